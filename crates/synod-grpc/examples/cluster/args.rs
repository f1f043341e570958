//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, value_parser};
use synod::TxId;

use crate::cast::{Name, Style};

/// A cluster of processes on this machine: three acceptors that are transaction managers, and four branches of a bank.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the cluster, make all transfers of a file, and end with the bank's summary
    Up(Up),
    /// The same with made-up transfers, while random processes are killed, stopped and restarted, and members replaced
    Chaos(Chaos),
    /// Measure what it costs that one process stands still for a while, and then goes on
    Stop(Stop),
    /// Replace all three founders by new machines, one after the other, and write a branch off, while money moves
    Replace(Replace),
    /// What the nodes of a running cluster know of a transaction, or whether they answer at all
    Status {
        #[command(flatten)]
        place: Place,
        /// A transaction, such as n0#17
        #[arg(value_parser = tx)]
        tx: Option<TxId>,
    },
    /// What is in doubt at the nodes of a running cluster
    InDoubt {
        #[command(flatten)]
        place: Place,
    },
    /// Have a running cluster drive a transaction to its outcome now
    Inquire {
        #[command(flatten)]
        place: Place,
        /// A transaction, such as n0#17
        #[arg(value_parser = tx)]
        tx: TxId,
    },
    /// Be one of the processes. It ends when its input does
    #[command(hide = true)]
    Node {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        name: Name,
        #[command(flatten)]
        style: Style,
        #[arg(long)]
        seed: u64,
        /// Members come and go: these are in a file, and the others are found by the contacts in the membership
        #[arg(long)]
        members: bool,
        /// Begin a life, on a blank disk
        #[arg(long, value_enum, requires = "members")]
        begin: Option<Begin>,
    },
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The folder of all databases, certificates and addresses; a second run on it goes on from what is there
    #[arg(long, value_name = "DIR", default_value = "cluster-data")]
    pub(crate) data: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Work {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How many transfers are under way at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u64).range(1..=200))]
    pub(crate) in_flight: u64,

    #[command(flatten)]
    pub(crate) style: Style,

    /// The seed of the nodes' jitter, of made-up transfers and of chaos
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) work: Work,

    /// The transfers, a CSV file such as examples/bank/transfers.csv [default: that one, from inside the program]
    #[arg(long, value_name = "FILE")]
    pub(crate) transfers: Option<PathBuf>,

    /// Leave the cluster up when all transfers are made, until Ctrl-C
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Chaos {
    #[command(flatten)]
    pub(crate) work: Work,

    /// For how long processes are killed and stopped
    #[arg(long, value_name = "MINUTES", default_value_t = 2.0, value_parser = minutes)]
    pub(crate) minutes: f64,

    /// For how many seconds they are left alone, before and after
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) quiet: u64,

    /// Replace members by new machines meanwhile, living ones and ones that were lost with their disks
    #[arg(long)]
    pub(crate) changes: bool,
}

/// How a life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Begin {
    /// As a founder's.
    Create,
    /// As that of one that comes later.
    Join,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) work: Work,

    /// Who stands still
    #[arg(long, value_name = "NAME", default_value = "tm-0")]
    pub(crate) who: Name,

    /// For how many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,

    /// Begin this share of what the cluster can do, in percent, whatever is under way [default: begin a transfer
    /// whenever one has ended]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u64).range(1..=100))]
    pub(crate) load: Option<u64>,

    /// For how many seconds all is well, before and after
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) quiet: u64,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Replace {
    #[command(flatten)]
    pub(crate) work: Work,

    /// For how many seconds all is well, before each change and after the last
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub(crate) quiet: f64,

    /// For how many seconds at most no transfer may commit
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) pause: f64,
}

/// A name as nodes print it: n0#17. Without an origin it is a client's of the bank.
fn tx(text: &str) -> Result<TxId, String> {
    let name = if text.contains('#') { text } else { &format!("n0#{text}") };
    name.parse().map_err(|error| format!("{error}\n  names are like n0#17"))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected 0.1 to 3600".to_owned()),
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=1_440.0).contains(&minutes) => Ok(minutes),
        _ => Err("expected 0 to 1440".to_owned()),
    }
}
