//! How fast `synod` is.
//!
//! ```sh
//! cargo run --release -p compare                   # beside its floor and its peers: time, allocations, messages
//! cargo run --release -p compare -- --callgrind    # the same with instructions, which no other load disturbs
//! ```

mod alloc;
mod cases;
mod floor;
mod measure;
mod ring;
mod subject;
mod synods;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;

use crate::{cases::Case, measure::Figures};

/// Measures synod, its floor and its peers, and prints one table.
#[derive(Debug, Parser)]
struct Args {
    /// Count instructions, too, by running every row again under callgrind (valgrind must be installed).
    #[arg(long)]
    callgrind: bool,
    /// Only rows whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How long to measure a row, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    patience: u64,
    /// Where the figures and the profiles go.
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    out: PathBuf,
    /// Run just this row once: what a run under callgrind does.
    #[arg(long, value_name = "NAME", hide = true)]
    count_me: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let cases = cases::all();
    if let Some(name) = &args.count_me {
        let case =
            cases.iter().find(|case| case.name() == *name).with_context(|| format!("no row is called {name}"))?;
        measure::count_me(case);
        return Ok(());
    }
    fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    for case in cases.iter().filter(|case| args.only.as_ref().is_none_or(|only| case.name().contains(only))) {
        let mut figures = measure::figures(case, Duration::from_millis(args.patience));
        if args.callgrind {
            figures.instructions = Some(measure::instructions(case, &args.out.join("profile.out"))?);
        }
        show(case, &figures);
    }
    Ok(())
}

fn show(case: &Case, figures: &Figures) {
    println!(
        "{:70} {:10.0} ns {:8.1} allocs {:8.0} bytes {:6.1} messages {:10.0} instructions",
        case.name(),
        figures.nanoseconds,
        figures.allocations,
        figures.bytes,
        figures.messages,
        figures.instructions.unwrap_or(0.0)
    );
}
