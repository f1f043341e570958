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

/// A connection reports its figures when it has been idle for ten seconds, or ends.
const GATHER: Duration = Duration::from_millis(11_000);

const NOTES: &str = "\
Per transfer of one client, as pg_stat_wal has it. What a coordinator syncs of its own is not in it: by hand there is none,
and SQLite with synchronous=NORMAL syncs only when it moves its log into its database.";

/// Prints a table, and writes it to `out`.
pub async fn run(bank: &Bank, contestants: &[&dyn Contestant], out: &Path) -> Result<()> {
    let names = ["syncs, first", "syncs, second"];
    let mut table = Figures::new(&["who"], &names);
    bank.rest()?;
    sleep(GATHER).await;
    for who in contestants {
        let (balances, before) = (bank.balances()?, counts(bank)?);
        let (mut teller, accounts) = (who.teller(bank).await?, Accounts::of(0, 1));
        for _ in 0..TRANSFERS {
            teller.transfer(accounts.transfer()).await?;
        }
        drop(teller);
        sleep(GATHER).await;
        let after = counts(bank)?;
        verify(*who, balances, bank.balances()?, TRANSFERS)?;
        let each = |side: usize| Some((after[side] - before[side]) / TRANSFERS as f64);
        table.push(vec![who.name().into()], vec![each(0), each(1)]);
    }
    table.print();
    println!("{NOTES}");
    table.write(out, "sql-syncs")
}

/// How often each server has synced its log since it started.
fn counts(bank: &Bank) -> Result<[f64; 2]> {
    let [first, second] = bank.ask("SELECT wal_sync FROM pg_stat_wal").context("this needs PostgreSQL 14 to 17")?;
    Ok([first.parse()?, second.parse()?])
}
