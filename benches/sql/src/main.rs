//! Transfers between two PostgreSQL servers: how fast they are.
//!
//! ```sh
//! cargo run --release --manifest-path benches/sql/Cargo.toml              # transfers in a second and how long they take, for 1, 16 and 64 clients
//! cargo run --release --manifest-path benches/sql/Cargo.toml -- --syncs   # how often each server synced its log for a transfer of one client
//! ```
//!
//! The servers are started for this, in folders of their own (`synod-servers`); PostgreSQL must be installed. They keep
//! what they commit: `fsync` is on. A transfer takes 1 from an account in one server and gives it to an account in the
//! other one, with an `UPDATE` in each. It ends when both are committed. After every case the balances are added up: whoever
//! reports a transfer that did not happen in both servers stops the measurement.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "what measures databases has a clock")]

mod bank;
mod by_hand;
mod contestant;
mod dtmrs;
mod figures;
mod load;
mod machine;
mod plain;
mod syncs;
mod synod;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;

use crate::{
    bank::{Bank, OF_CLUSTERS},
    by_hand::ByHand,
    contestant::Contestant,
    dtmrs::Dtmrs,
    figures::Case,
    plain::Plain,
    synod::Synod,
};

/// Measures transfers between two PostgreSQL servers, and prints one table.
#[derive(Debug, Parser)]
struct Args {
    /// How many clients there are at a time.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 16, 64])]
    clients: Vec<usize>,
    /// How long a case is measured in each round, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    patience: u64,
    /// How often each case is measured. The cases take turns.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    rounds: usize,
    /// Only those whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
    /// Count how often each server syncs its log, instead.
    #[arg(long)]
    syncs: bool,
    /// Where the figures and the plots go.
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    out: PathBuf,
    /// Where to make the servers' folders, which are removed again; the system's folder for temporary files by default.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sql-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let bank = Bank::open(args.folder.as_deref())?;
    let folder = args.folder.as_deref();
    let contestants: [Box<dyn Contestant>; 6] = [
        Box::new(Synod::start("synod", &bank, OF_CLUSTERS[0], folder, 3, 2).await?),
        Box::new(Synod::start("synod, 1", &bank, OF_CLUSTERS[1], folder, 1, 2).await?),
        Box::new(ByHand),
        Box::new(Dtmrs::start(folder).await?),
        Box::new(Synod::start("alone", &bank, OF_CLUSTERS[2], folder, 3, 1).await?),
        Box::new(Plain),
    ];
    let contestants = contestants.iter().map(AsRef::as_ref).filter(|who| who.name().contains(&args.only));
    let contestants: Vec<&dyn Contestant> = contestants.collect();
    anyhow::ensure!(!contestants.is_empty(), "--only {:?} is part of no name: leave it out to see them all", args.only);
    if args.syncs {
        return syncs::run(&bank, &contestants, &args.out).await;
    }
    let cases = args.clients.iter().flat_map(|&clients| contestants.iter().map(move |who| (who, clients)));
    let mut cases: Vec<Case> = cases.map(|(who, clients)| Case::new(who.name(), clients)).collect();
    for round in 0..args.rounds {
        for (row, clients) in args.clients.iter().enumerate() {
            // Everyone is first once, then second, and so on.
            for turn in 0..contestants.len() {
                let place = (turn + round) % contestants.len();
                eprint!("\r\x1b[Kround {}: {}, {clients} clients", round + 1, contestants[place].name());
                let took = load::run(contestants[place], &bank, *clients, args.time()).await?;
                cases[row * contestants.len() + place].rounds.push(took);
            }
        }
        eprint!("\r\x1b[K");
    }
    figures::show(&cases, &args.out)
}

impl Args {
    fn time(&self) -> Duration {
        Duration::from_millis(self.patience)
    }
}
