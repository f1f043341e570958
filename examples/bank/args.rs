//! The command line.

use std::{path::PathBuf, str::FromStr};

use clap::{Parser, builder::TypedValueParser, value_parser};

use crate::cast::{Name, NoName};

/// A bank: money moves between branches, each with a database of its own, and every transfer happens in all of its
/// branches or in none.
#[derive(Debug, Parser)]
#[command(name = "bank", version, max_term_width = 110)]
pub(crate) struct Args {
    /// The transfers, a CSV file such as examples/bank/transfers.csv [default: that one, from inside the program]
    #[arg(long, value_name = "FILE")]
    pub(crate) transfers: Option<PathBuf>,

    /// How many branches there are; an account's home is its number modulo this
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u64).range(1..=64))]
    pub(crate) branches: u64,

    /// How many acceptors there are, an odd number: 2F+1 outlive F failures, 1 is two-phase commit
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u64).range(1..=127).try_map(odd))]
    pub(crate) acceptors: u64,

    /// Faster Paxos Commit: acceptors tell the branches directly, one message delay less
    #[arg(long)]
    pub(crate) faster: bool,

    /// How many transfers are under way at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u64).range(1..=65_536))]
    pub(crate) in_flight: u64,

    /// The folder of all databases; a second run on it goes on from what is there
    #[arg(long, value_name = "DIR", default_value = "bank-data")]
    pub(crate) data: PathBuf,

    /// Drop a node without warning once COUNT transfers are through, and restore it from its database (repeatable)
    #[arg(long, value_name = "NODE@COUNT")]
    pub(crate) crash: Vec<Crash>,

    /// The seed of the nodes' jitter
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Print a file of N made-up transfers and leave
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) generate: Option<u64>,
}

/// A node to be dropped, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    pub(crate) name: Name,
    pub(crate) after: u64,
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoCrash {
    #[error("a crash is written NODE@COUNT, such as acceptor-1@2000")]
    Form,
    #[error(transparent)]
    Name(#[from] NoName),
}

/// An even number of acceptors has one more member than the odd number below it, and outlives no more of their failures.
fn odd(acceptors: u64) -> Result<u64, String> {
    if acceptors % 2 == 1 {
        return Ok(acceptors);
    }
    let (fewer, more, outlived) = (acceptors - 1, acceptors + 1, acceptors / 2);
    let failures = if outlived == 1 { "failure" } else { "failures" };
    Err(format!(
        "an even number outlives no more failures than {fewer}: use {fewer}, or {more} to outlive {outlived} {failures}"
    ))
}

impl FromStr for Crash {
    type Err = NoCrash;

    fn from_str(text: &str) -> Result<Self, NoCrash> {
        let (name, after) = text.split_once('@').ok_or(NoCrash::Form)?;
        Ok(Self { name: name.parse()?, after: after.parse().map_err(|_| NoCrash::Form)? })
    }
}
