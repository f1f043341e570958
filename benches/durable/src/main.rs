//! Transactions on a real disk, through the fjall handler, beside what the store and the disk can do.
//!
//! ```sh
//! cargo run --release -p compare -- --durable
//! ```
//!
//! Three write the same bytes in the same batches, each batch with one durable commit: a node through the library's own
//! driver and handler; fjall straight; a file straight. Twice: in turn, where one thread makes a batch, writes it, and
//! then makes the next; and overlapped, as a driver with a thread for its disk does it. There the three have the same two
//! threads and the same halves of what is in flight, and may do on the first one whatever needs no disk: the node its
//! steps, fjall's program the insertions into its write batch.

#![allow(clippy::disallowed_types, reason = "what measures disks has a clock")]

mod lane;
mod limits;
mod member;
mod race;
mod role;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use compare::{memory, options::Options, table::Figures};

use self::{
    race::{Took, WHO, Way, race},
    role::Role,
};

/// How many transactions are under way at a time.
const IN_FLIGHT: [u64; 5] = [1, 10, 100, 1_000, 10_000];

/// How much of each round counts, and how the rows say so.
const EXTENTS: [(Extent, &str); 2] = [(first, ""), (all, ", to the end")];

type Extent = fn(&[Took]) -> Took;

/// Measures a node on a real disk, and prints one table.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    memory::keep();
    match run(&Args::parse().options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("durable: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let numbers = ["tx/s", "records/s", "% of fjall", "% of disk", "us", "CPU us", "records", "KiB"];
    let mut table = Figures::new(&["what", "who", "in flight"], &numbers);
    for (role, way) in Role::ALL.into_iter().flat_map(|role| Way::ALL.map(|way| (role, way))) {
        let races = races(role, way, options)?;
        for (extent, suffix) in extents(way) {
            for (in_flight, rounds) in &races {
                let rounds: Vec<Took> = rounds.iter().map(|phases| extent(phases)).collect();
                for (place, who) in WHO.into_iter().enumerate() {
                    let text = vec![format!("{}{suffix}", name(role, way)), who.into(), in_flight.to_string()];
                    table.push(text, figures(place, *in_flight, &rounds));
                }
            }
        }
    }
    table.print();
    println!("{NOTES}");
    table.write(&options.out, "durable")
}

/// What can be told apart of what is written that way.
fn extents(way: Way) -> &'static [(Extent, &'static str)] {
    match way {
        Way::InTurn => &EXTENTS,
        Way::Overlapped => &EXTENTS[1..],
    }
}

fn name(role: Role, way: Way) -> String {
    let way = if way == Way::Overlapped { ", overlapped" } else { "" };
    format!("{}{way}", role.name())
}

/// What each phase took, in all rounds, with so many in flight.
fn races(role: Role, way: Way, options: &Options) -> Result<Vec<(u64, Vec<Vec<Took>>)>> {
    let folder = options.folder();
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let rows = (extents(way).len() * WHO.len()) as u32;
    let mut races = Vec::new();
    for in_flight in IN_FLIGHT {
        let name = format!("{} | {in_flight}", name(role, way));
        // One alone overlaps with nothing.
        if !options.wants(&name) || (way == Way::Overlapped && in_flight < 2) {
            continue;
        }
        eprint!("\r\x1b[K{name}");
        let folder = tempfile::Builder::new().prefix("durable-").tempdir_in(folder)?;
        races.push((in_flight, race(role, way, in_flight, folder.path(), options.patience() * rows)?));
    }
    eprint!("\r\x1b[K");
    Ok(races)
}

const NOTES: &str = "\
All that is in flight becomes one batch, and one durable commit: synod's by a node (N=3, 16 bytes of content) through the
fjall handler, fjall's and the disk's of the very same bytes, written straight to a database of their own, and appended to
a file that has its blocks already, with one fdatasync. They take turns, batch by batch, in every order. us, CPU us: of all
that is in flight, as the clock has it and as the process was running. An acceptor is measured from the votes that come in
to the bundle that is durable and ready to be sent, a resource manager from the question to the vote; to the end: and on,
until the transaction is retired. Overlapped: half of what is in flight is a batch, and while a second thread writes it, the
first one makes the batch of the other half: the node takes its inputs, fjall's writes are put together. They take turns
after four times all that is in flight. Medians of all rounds; % of: the median of the speeds' ratio, round by round.";

fn figures(who: usize, in_flight: u64, rounds: &[Took]) -> Vec<Option<f64>> {
    let seconds = median(rounds.iter().map(|took| took.seconds[who]));
    let processor = median(rounds.iter().map(|took| took.processor[who]));
    let of = |other: usize| {
        let percent = median(rounds.iter().map(|took| took.seconds[other] / took.seconds[who] * 100.0));
        (who < other).then_some(percent)
    };
    let records = median(rounds.iter().map(|took| took.records));
    let kib = median(rounds.iter().map(|took| took.bytes / 1024.0));
    let speed = |count: f64| Some((count / seconds).round());
    let [us, cpu] = [seconds, processor].map(|seconds| Some(seconds * 1e6));
    vec![speed(in_flight as f64), speed(records), of(1), of(2), us, cpu, Some(records), Some(kib)]
}

/// Up to the bundle or the vote.
fn first(phases: &[Took]) -> Took {
    phases[0]
}

fn all(phases: &[Took]) -> Took {
    phases.iter().copied().fold(Took::default(), |sum, took| sum + took)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
