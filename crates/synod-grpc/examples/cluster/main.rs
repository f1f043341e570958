//! The bank on a real network: seven processes on loopback, with certificates, that are killed and stopped at random, or
//! replaced by others.
//!
//! Three processes are acceptors and transaction managers, four are resource managers, each a branch with a database of
//! its own; a further one starts them, makes transfers as a client, and sees that they end well. What a branch is, and
//! what an audit is, comes from the `bank` example; here are the processes and what lies between them.
//!
//! ```sh
//! cargo run --release -p synod-grpc --example cluster -- up
//! cargo run --release -p synod-grpc --example cluster -- chaos --minutes 2
//! cargo run --release -p synod-grpc --example cluster -- chaos --changes --minutes 2 --data new-folder
//! cargo run --release -p synod-grpc --example cluster -- stop --who rm-0 --seconds 3 --load 63
//! cargo run --release -p synod-grpc --example cluster -- replace
//! # and from another terminal meanwhile:
//! cargo run --release -p synod-grpc --example cluster -- status
//! cargo run --release -p synod-grpc --example cluster -- in-doubt
//! cargo run --release -p synod-grpc --example cluster -- inquire n0#17
//! ```

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a program around machines has a clock")]

#[path = "../../../../examples/bank/audit.rs"]
mod audit;
#[path = "../../../../examples/bank/file.rs"]
mod file;
#[allow(dead_code, reason = "the bank restores its nodes here, too")]
#[path = "../../../../examples/bank/folder.rs"]
mod folder;
#[allow(dead_code, reason = "the bank writes transfers to files")]
#[path = "../../../../examples/bank/generate.rs"]
mod generate;
#[path = "../../../../examples/bank/ledger.rs"]
mod ledger;
#[path = "../../../../examples/bank/meter.rs"]
mod meter;
#[path = "../../../../examples/bank/money.rs"]
mod money;
#[allow(dead_code, reason = "the bank's own note does not fit this cluster")]
#[path = "../../../../examples/bank/report.rs"]
mod report;
#[path = "../../../../examples/support/say.rs"]
mod say;
#[path = "../../../../examples/bank/transfer.rs"]
mod transfer;
#[path = "../../../../examples/bank/watch.rs"]
mod watch;

mod args;
mod ask;
mod cast;
mod changes;
mod chaos;
mod counter;
mod fleet;
mod line;
mod member;
mod node;
mod operator;
mod page;
mod papers;
mod places;
mod plan;
mod replace;
mod run;
mod signals;
mod site;
mod stop;
mod tally;
mod teller;
mod view;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{Args, Command},
    node::Finds,
};

fn main() -> ExitCode {
    let args = Args::parse();
    let who = match &args.command {
        Command::Node { name, .. } => name.to_string(),
        _ => "cluster".to_owned(),
    };
    match obey(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::err!("{}", page::folded(&format!("{who}: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says, and returns whether all is well.
fn obey(args: Args) -> anyhow::Result<bool> {
    let runtime = runtime()?;
    let result = match args.command {
        Command::Up(up) => runtime.block_on(run::up(up)),
        Command::Chaos(chaos) => runtime.block_on(run::chaos(chaos)),
        Command::Stop(stop) => runtime.block_on(run::stop(stop)),
        Command::Replace(replace) => runtime.block_on(run::replace(replace)),
        Command::Status { place, tx } => runtime.block_on(ask::status(&place.data, tx)),
        Command::InDoubt { place } => runtime.block_on(ask::in_doubt(&place.data)),
        Command::Inquire { place, tx } => runtime.block_on(ask::inquire(&place.data, tx)),
        Command::Node { place, name, style, seed, members, begin } => {
            let finds = if members { Finds::Members } else { Finds::Addresses };
            runtime.block_on(node::run(&place.data, name, style, seed, finds, begin))
        }
    };
    // A read of the standard input cannot be called off.
    runtime.shutdown_background();
    result
}

/// One thread does: each process has one, and blocking threads besides.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
