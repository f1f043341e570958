//! How fast `synod` is.
//!
//! ```sh
//! cargo run --release -p compare                   # beside its floor and its peers: time, allocations, messages
//! cargo run --release -p compare -- --callgrind    # the same with instructions, which no other load disturbs
//! cargo run --release -p compare -- --scale        # many open transactions, and many one after the other
//! cargo run --release -p compare -- --changes      # what a change of the members costs
//! cargo run --release -p compare -- --durable      # on a real disk, beside what the store and the disk can do
//! cargo run --release -p compare -- plot           # what these have measured, as SVG
//! cargo bench -p compare                           # single steps and parts, to see what a change does
//! ```

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "what measures machines has a clock")]

mod alloc;
mod cases;
mod changes;
mod floor;
mod measure;
mod peers;
mod plot;
mod scale;

use std::{
    env, fs,
    process::{self, ExitCode},
};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use compare::{memory, options::Options, parties, ring, subject, synods, table};

use crate::{cases::Case, measure::Measured, table::Figures};

/// Measures synod, its floor and its peers, and prints one table.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Count instructions, too, by running every row again under callgrind (valgrind must be installed).
    #[arg(long)]
    callgrind: bool,
    /// Measure with many open transactions at an acceptor, and with many transactions one after the other, instead.
    #[arg(long)]
    scale: bool,
    /// With --scale: how many transactions to run, and to hold open at most.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000)]
    transactions: u64,
    /// Measure what a change of the members costs instead.
    #[arg(long, conflicts_with = "scale")]
    changes: bool,
    /// Measure on a real disk, beside what the store and the disk can do, instead.
    #[arg(long, conflicts_with = "scale")]
    durable: bool,
    #[command(flatten)]
    options: Options,
    /// Run just this row once: what a run under callgrind does.
    #[arg(long, value_name = "NAME", hide = true)]
    count_me: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draws what earlier runs have measured, as SVG, beside the figures.
    Plot,
}

fn main() -> ExitCode {
    memory::keep();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(Command::Plot) = args.command {
        return plot::run(&args.options.out);
    }
    let cases = cases::all();
    if let Some(name) = &args.count_me {
        let case =
            cases.iter().find(|case| case.name() == *name).with_context(|| format!("no row is called {name}"))?;
        measure::count_me(case);
        return Ok(());
    }
    if args.scale {
        return scale::run(args);
    }
    if args.changes {
        return changes::run(args);
    }
    if args.durable {
        return durable(&args.options);
    }
    decisions(args, &cases)
}

/// Runs the package of that name, which says why it is one of its own.
fn durable(options: &Options) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = process::Command::new(cargo);
    run.args(["run", "--quiet", "--release", "--package", "durable", "--"]).args(options.arguments());
    let status = run.status().context("cargo could not be started")?;
    ensure!(status.success(), "the measurement on a real disk failed");
    Ok(())
}

/// Every row, beside the floor of its group.
fn decisions(args: &Args, cases: &[Case]) -> anyhow::Result<()> {
    fs::create_dir_all(&args.options.out).with_context(|| format!("making {}", args.options.out.display()))?;
    let numbers = ["ns", "instructions", "x floor", "allocations", "bytes", "messages"];
    let mut table = Figures::new(&["what", "who", "in flight"], &numbers);
    let mut floor = None;
    for case in cases.iter().filter(|case| args.options.wants(&case.name())) {
        eprint!("\r\x1b[K{}", case.name());
        let figures = measure::figures(case, args.options.patience());
        let instructions = if args.callgrind {
            Some(measure::instructions(case, &args.options.out.join("callgrind.out"))?)
        } else {
            None
        };
        // Instructions are compared where they are counted, for nothing disturbs them.
        let cost = instructions.unwrap_or(figures.nanoseconds);
        if case.who == "floor" {
            floor = Some((case.group.clone(), cost));
        }
        let floor = floor.as_ref().filter(|(group, _)| *group == case.group);
        let ratio = floor.filter(|_| case.who != "floor").map(|(_, floor)| cost / floor);
        let text = vec![case.group.clone(), case.who.into(), case.in_flight.to_string()];
        let Measured { nanoseconds, allocations, bytes, messages } = figures;
        let (nanoseconds, messages) = (Some(nanoseconds), Some(messages));
        table.push(text, vec![nanoseconds, instructions, ratio, Some(allocations), Some(bytes), messages]);
    }
    eprintln!("\r\x1b[K");
    table.print();
    println!("{NOTES}");
    table.write(&args.options.out, "decisions")
}

const NOTES: &str = "\
All per decision, in memory, on one thread, with a 16-byte value. x floor: instructions beside the floor's where they
are counted, else nanoseconds. omnipaxos, raft, raftbare and quepaxa keep a replicated log on an elected leader, put
what is in flight into few messages, and take the messages that tell the followers of a commit along. paxos-rust is
single-decree Paxos. raftbare does not carry values: they go along by hand.";
