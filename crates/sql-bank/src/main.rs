//! Money between real database servers, in real processes that are really killed: it shows that `synod-postgres`,
//! `synod-mysql` and `synod-client` keep what they promise. See the README.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real processes live in real time")]

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod application;
mod audit;
mod books;
mod cast;
mod chaos;
mod crash;
mod databases;
mod doom;
mod fleet;
mod line;
mod node;
mod plan;
mod random;
mod run;
mod scene;
mod schedule;
mod server;
mod signals;

#[derive(Debug, Parser)]
#[command(about = "Money between real database servers, in real processes that are really killed", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Transfers, how long they take, and whether the books are right
    Run(run::Args),
    /// Applications die at each step of a commit, and leave nothing behind
    Crash(crash::Args),
    /// Servers, agents, managers and applications are killed at random
    Chaos(chaos::Args),
    #[command(hide = true)]
    Node {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        name: cast::Name,
        #[arg(long)]
        seed: u64,
    },
    #[command(hide = true)]
    Application {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        number: u64,
        #[arg(long)]
        tellers: u64,
        #[arg(long)]
        seed: u64,
    },
    #[command(hide = true)]
    Doomed {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        id: u64,
        #[arg(long)]
        left: u64,
        #[arg(long)]
        right: u64,
        #[arg(long)]
        step: doom::Step,
        #[arg(long)]
        side: u64,
        #[arg(long)]
        micros: u64,
    },
}

/// Whether all is well.
async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Crash(args) => crash::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::Node { data, name, seed } => node::run(&data, name, seed).await.map(|()| true),
        Command::Application { data, number, tellers, seed } => {
            application::run(&data, number, tellers, seed).await.map(|()| true)
        }
        Command::Doomed { data, id, left, right, step, side, micros } => {
            let transfer = books::Transfer { id, accounts: [left, right], amount: 1 };
            doom::run(&data, transfer, step, side, micros).await.map(|()| true)
        }
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // The processes that are started log to files; what they say to this one is not for people.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
