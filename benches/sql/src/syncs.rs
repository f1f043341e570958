//! How often each server syncs its log for a transfer.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use compare::table::Figures;
use tokio::time::sleep;

use crate::{
    bank::Bank,
    contestant::Contestant,
    load::{Accounts, verify},
};

/// How many transfers are counted of each contestant.
const TRANSFERS: i64 = 500;

/// Servers gather such figures for up to a second after a connection has ended.
const GATHER: Duration = Duration::from_millis(1_500);

const NOTES: &str = "\
Per transfer of one client, as pg_stat_wal has it. What a coordinator syncs of its own is not in it: nothing by hand, and
SQLite with synchronous=NORMAL syncs only when it moves its log into its database.";

/// Prints a table, and writes it to `out`.
pub async fn run(bank: &Bank, contestants: &[&dyn Contestant], out: &Path) -> Result<()> {
    let names = ["syncs, first", "syncs, second", "bytes, first", "bytes, second"];
    let mut table = Figures::new(&["who"], &names);
    for who in contestants {
        bank.rest()?;
        sleep(GATHER).await;
        let (balances, before) = (bank.balances()?, counts(bank)?);
        let (mut teller, accounts) = (who.teller(bank).await?, Accounts::of(0, 1));
        for _ in 0..TRANSFERS {
            teller.transfer(accounts.transfer()).await?;
        }
        drop(teller);
        sleep(GATHER).await;
        let after = counts(bank)?;
        verify(*who, balances, bank.balances()?, TRANSFERS)?;
        let each = |figure: usize, side: usize| Some((after[side][figure] - before[side][figure]) / TRANSFERS as f64);
        table.push(vec![who.name().into()], vec![each(0, 0), each(0, 1), each(1, 0), each(1, 1)]);
    }
    table.print();
    println!("{NOTES}");
    table.write(out, "sql-syncs")
}

/// Syncs and bytes of both servers' logs since they started.
fn counts(bank: &Bank) -> Result<[[f64; 2]; 2]> {
    let answers = bank.ask("SELECT wal_sync, wal_bytes FROM pg_stat_wal").context("this needs PostgreSQL 14 to 17")?;
    let mut counts = [[0.0; 2]; 2];
    for (counts, answer) in counts.iter_mut().zip(&answers) {
        for (count, text) in counts.iter_mut().zip(answer.split('\t')) {
            *count = text.parse().with_context(|| format!("pg_stat_wal says {answer}"))?;
        }
    }
    Ok(counts)
}
