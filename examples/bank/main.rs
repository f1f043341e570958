//! A bank that runs on Paxos Commit.
//!
//! Each branch keeps its accounts in a database of its own. A transfer is one transaction among the branches of its
//! accounts, so it happens in all of them or in none, whoever crashes: a branch, an acceptor, a transaction manager, or
//! all of them at once. Everything runs in one process, on one event loop ([`bank`]).
//!
//! ```sh
//! cargo run --release --example bank
//! cargo run --release --example bank -- --data D --crash acceptor-1@2000 --crash branch-2@4000 --crash tm-0@6000
//! ```

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a program around machines has a clock")]

mod args;
mod audit;
mod bank;
mod cast;
mod file;
mod folder;
mod generate;
mod ledger;
#[allow(dead_code, reason = "the cluster example forgets costs")]
mod meter;
mod money;
mod report;
#[path = "../support/say.rs"]
mod say;
mod site;
mod teller;
mod transfer;
mod watch;

use std::{
    collections::BTreeSet,
    io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::Args,
    bank::Bank,
    cast::Cast,
    folder::Folder,
    report::Report,
    teller::Teller,
    transfer::Account,
    watch::{STANDSTILL, Watch},
};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::err!("bank: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the bank, and returns whether all is well with it.
fn run(args: &Args) -> anyhow::Result<bool> {
    if let Some(count) = args.generate {
        return match generate::generate(count, args.seed, io::stdout().lock()) {
            Err(error) if is_closed_pipe(&error) => Ok(true),
            made => Ok(made.map(|()| true)?),
        };
    }
    let cast = Cast { branches: args.branches, acceptors: args.acceptors };
    if let Some(crash) = args.crash.iter().find(|crash| !cast.has(crash.name)) {
        bail!("there is no {} to crash", crash.name);
    }
    let transfers = file::read(args.transfers.as_deref())?;
    let accounts: BTreeSet<Account> =
        transfers.iter().flat_map(|transfer| &transfer.legs).map(|leg| leg.account).collect();
    let accounts: Vec<Account> = accounts.into_iter().collect();

    let folder = Folder::open(&args.data, cast, cast.cluster(args.faster)?, args.seed)
        .with_context(|| format!("the folder {}", args.data.display()))?;
    let mut teller = Teller::open(folder.teller()?, transfers, &cast, args.in_flight as usize)?;
    let mut bank = Bank::restore(folder.clone(), cast, &accounts, args.crash.clone())?;

    settle(&mut bank, &mut teller)?;
    let took = work(&mut bank, &mut teller)?;
    for crash in bank.crashes_left() {
        say::err!("bank: {} did not crash, for there were not {} transfers to be done", crash.name, crash.after);
    }

    // The nodes are gone now, and the databases must tell the whole story.
    let tally = bank.close();
    let audit = audit::audit(&folder, cast.names(), teller.transfers(), teller.results())?;
    let (transfers, meter) = ("transfers in the file", &tally.meter);
    let report = Report { cast, faster: args.faster, transfers, meter, teller: &teller, audit: &audit, took };
    say::out!("{}", report.table());
    say::out!("{}", report.note());
    for fault in &audit.faults {
        say::err!("bank: {fault}");
    }
    for tx in teller.contradictions() {
        say::err!("bank: transaction {tx} was reported both committed and aborted");
    }
    if tally.violations > 0 {
        say::err!("bank: {} inputs broke the protocol", tally.violations);
    }
    Ok(audit.faults.is_empty() && teller.contradictions().is_empty() && tally.violations == 0)
}

/// Whether nobody reads the rest, as under `| head`.
fn is_closed_pipe(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// Brings what an earlier run has left open to its end.
fn settle(bank: &mut Bank, teller: &mut Teller) -> anyhow::Result<()> {
    let open = bank.open();
    if open > 0 {
        say::err!("bank: an earlier run has left something open; {open} parts of transactions are settled first");
    }
    bank.inquire();
    let mut watch = Watch::new();
    while !bank.is_settled() {
        turn(bank, teller, &mut watch)?;
    }
    Ok(())
}

/// Makes all transfers that are not made yet. Returns how long it took until the last outcome was known.
fn work(bank: &mut Bank, teller: &mut Teller) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut took = None;
    let bar = ProgressBar::new(teller.transfers().len() as u64).with_elapsed(Duration::ZERO);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} transfers, {per_sec}, {elapsed}")?);
    let mut watch = Watch::new();
    loop {
        bar.set_position(teller.results().len() as u64);
        if teller.is_done() {
            took.get_or_insert_with(|| began.elapsed());
            if bank.is_settled() {
                break;
            }
        }
        bank.begin(teller, Instant::now())?;
        turn(bank, teller, &mut watch)?;
    }
    bar.finish_and_clear();
    Ok(took.unwrap_or_default())
}

/// One turn of the bank, and a rest if nothing happened.
fn turn(bank: &mut Bank, teller: &mut Teller, watch: &mut Watch) -> anyhow::Result<()> {
    let happened = bank.turn(teller, Instant::now())?;
    teller.save()?;
    if !happened {
        bank.rest(teller);
    }
    if watch.stands_still((teller.results().len(), bank.open())) {
        bail!("nothing has moved for {} s: {}", STANDSTILL.as_secs(), bank.stuck());
    }
    Ok(())
}
