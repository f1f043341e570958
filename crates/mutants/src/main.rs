//! Judges every mutant that `cargo mutants` lists, with one build.
//!
//! `cargo mutants` builds the tests once per mutant, which takes days for the protocol. This program puts all mutants into one copy
//! of the code, each as an arm of a `match` on a number that a test program reads when it starts. It builds the tests once, records
//! which tests reach which mutants, and runs those tests for each mutant.

mod instrument;
mod list;
mod tests;
mod tree;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::Parser;

use tests::{Test, Verdict};
use tree::{Build, CRATE, Tree};

/// Judges every mutant that `cargo mutants` lists, with one build.
#[derive(Parser)]
struct Arguments {
    /// How many mutants are judged at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where the verdicts go: a line for each mutant. A new build begins with an empty file.
    #[arg(long, default_value = "target/mutants/verdicts")]
    verdicts: PathBuf,
    /// The test programs, as `cargo test` names them.
    #[arg(
        long,
        value_delimiter = ' ',
        default_value = "--lib --test=mutants_first --test=mutants_then",
        allow_hyphen_values = true
    )]
    programs: Vec<String>,
    /// Leaves out tests whose names contain this.
    #[arg(long, default_value = "memory_and_disk_stay_flat")]
    without: Vec<String>,
    /// Leaves out tests that take longer, in milliseconds. Mutants that the other tests do not catch stay open.
    #[arg(long, default_value_t = u64::MAX)]
    longest: u64,
    /// Judges the open mutants of the last build, and builds nothing.
    #[arg(long, conflicts_with_all = ["left", "filters"])]
    again: bool,
    /// Prints the mutants that cannot be in the build, and ends. `cargo mutants` itself can judge them.
    #[arg(long)]
    left: bool,
    /// Passed to `cargo mutants`: which mutants (`--file`, `--re`).
    #[arg(last = true)]
    filters: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = std::env::current_dir()?;
    ensure!(root.join(CRATE).exists(), "start this where {CRATE} is");
    let tree = Tree::of(&root);
    if arguments.again {
        return judge(&arguments, &tree.root(), &tree.built()?);
    }
    let mutants = list::mutants(&root, &arguments.filters)?;
    println!("{} mutants", mutants.len());
    let build = tree.instrument(&mutants)?;
    println!("{} are in one build; {} cannot be", build.mutants.len(), build.left.len());
    if arguments.left {
        build.left.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let build = tree.build(build, &arguments.programs, &arguments.without, arguments.jobs)?;
    fs::write(&arguments.verdicts, "")?;
    judge(&arguments, &tree.root(), &build)
}

/// Judges the open mutants. Returns an error if a mutant is left that no test has caught.
fn judge(arguments: &Arguments, root: &Path, build: &Build) -> Result<()> {
    let known = verdicts(&fs::read_to_string(&arguments.verdicts).unwrap_or_default());
    let is_open = |name: &str| known.get(name).is_none_or(|said| said == "open");
    let open: Vec<_> = build.mutants.iter().filter(|(_, name)| is_open(name)).collect();
    println!("{} are judged", open.len());
    let file = Mutex::new(fs::OpenOptions::new().create(true).append(true).open(&arguments.verdicts)?);
    let done = AtomicUsize::new(0);
    in_parallel(arguments.jobs, &open, |_, (number, name)| {
        let that_reach: Vec<&Test> = build.tests.iter().filter(|test| test.reaches.contains(number)).collect();
        let verdict = match tests::judge(*number, &that_reach, Duration::from_millis(arguments.longest), root)? {
            Verdict::Caught(by) => format!("caught\t{by}"),
            Verdict::TimedOut(tests) => format!("timed out\t{tests}"),
            Verdict::Missed(tests) => format!("missed\tby {tests} tests"),
            Verdict::Open(tests) => format!("open\tafter {tests} tests"),
        };
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !verdict.starts_with("caught") {
            println!("{done}/{}\t{name}\t{verdict}", open.len());
        } else if done.is_multiple_of(100) {
            println!("{done}/{}", open.len());
        }
        Ok(writeln!(file.lock().expect("no panic"), "{name}\t{verdict}")?)
    })?;
    let known = verdicts(&fs::read_to_string(&arguments.verdicts)?);
    let count = |what| known.values().filter(|said| *said == what).count();
    let [caught, missed, late, open] = ["caught", "missed", "timed out", "open"].map(count);
    println!(
        "{caught} caught, {missed} missed, {late} timed out, {open} open; {} left to cargo mutants",
        build.left.len()
    );
    ensure!(missed + late + open == 0, "see {}", arguments.verdicts.display());
    Ok(())
}

/// The last verdict on each mutant.
fn verdicts(text: &str) -> BTreeMap<String, String> {
    let fields = text.lines().map(|line| line.split('\t'));
    fields.filter_map(|mut line| Some((line.next()?.to_owned(), line.next()?.to_owned()))).collect()
}

/// Runs `step` on each of `work`, on `jobs` threads.
fn in_parallel<T: Sync>(jobs: usize, work: &[T], step: impl Fn(usize, &T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = work.get(at) else { return Ok(()) };
                if let Err(error) = step(at, one) {
                    // The others end, too.
                    next.store(work.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })
}
