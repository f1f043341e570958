//! Judges every mutant that `cargo mutants` lists, with one build.
//!
//! `cargo mutants` builds the tests anew for each mutant, which is a day for the protocol. This program puts all mutants into
//! one copy of the code, each an arm of a `match` on a number that a test program reads at its start, builds the tests of
//! `.cargo/mutants.toml` once, notes which test comes by which mutant, and shows each mutant to the tests that do.

mod instrument;
mod list;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use instrument::{Instrumented, Number, instrument};
use list::Mutant;
use tests::{Test, Verdict};

/// Judges every mutant that `cargo mutants` lists, with one build.
#[derive(Parser)]
struct Arguments {
    /// How many are judged at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// What was judged: a line for each. Those in it are not judged again.
    #[arg(long, default_value = "target/mutants/verdicts")]
    verdicts: PathBuf,
    /// Which test programs see them.
    #[arg(
        long,
        value_delimiter = ' ',
        default_value = "--lib --test=mutants_first --test=mutants_then",
        allow_hyphen_values = true
    )]
    programs: Vec<String>,
    /// Tests whose names hold this are left out.
    #[arg(long, default_value = "memory_and_disk_stay_flat")]
    without: Vec<String>,
    /// Tests that take more milliseconds are left out, and what the others do not catch stays open: for a first look.
    #[arg(long, default_value_t = u64::MAX)]
    longest: u64,
    /// Builds nothing, and judges what is still open with the build that is there.
    #[arg(long)]
    again: bool,
    /// Only prints which mutants no arm of a `match` can be: `cargo mutants` judges those.
    #[arg(long)]
    left: bool,
    /// For `cargo mutants`: which mutants (`--file`, `--re`).
    #[arg(last = true)]
    filters: Vec<String>,
}

/// The crate's root, where the number is read.
const CRATE: &str = "src/lib.rs";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = std::env::current_dir()?;
    ensure!(root.join(CRATE).exists(), "start this where {CRATE} is");
    let mutants = list::mutants(&root, &arguments.filters)?;
    println!("{} mutants", mutants.len());
    let tree = Tree::of(&root);
    let left = if arguments.again { tree.left(&mutants)? } else { tree.instrument(&mutants)? };
    println!("{} are in one build; {} no arm of a match can be", mutants.len() - left.len(), left.len());
    if arguments.left {
        left.iter().for_each(|number| println!("{}", mutants[*number as usize - 1].name));
        return Ok(());
    }
    let tests = if arguments.again { tree.measured()? } else { tree.tests(&arguments)? };
    judge(&arguments, &tree, &mutants, &left, &tests)
}

/// A copy of the checkout that is changed.
struct Tree {
    original: PathBuf,
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn of(original: &Path) -> Self {
        let (root, target) = (original.join("target/mutants/tree"), original.join("target/mutants/target"));
        Self { original: original.to_owned(), root, target }
    }

    fn copy(&self) -> Result<()> {
        let mut git = Command::new("git");
        let files = git.args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(&self.original).output()?;
        ensure!(files.status.success(), "git does not list the files: {}", String::from_utf8_lossy(&files.stderr));
        for file in String::from_utf8(files.stdout)?.split_terminator('\0') {
            let from = self.original.join(file);
            if from.is_file() {
                write_if_other(&self.root.join(file), &fs::read(from)?)?;
            }
        }
        Ok(())
    }

    /// Which mutants are not in the build that is there.
    fn left(&self, mutants: &[Mutant]) -> Result<BTreeSet<Number>> {
        let text = fs::read_to_string(self.target.join("left")).context("there is no build: leave out --again")?;
        let names: BTreeSet<&str> = text.lines().collect();
        Ok((1..)
            .zip(mutants)
            .filter(|(_, mutant)| names.contains(mutant.name.as_str()))
            .map(|(number, _)| number)
            .collect())
    }

    /// Puts all mutants in, but for those that do not compile so, whose numbers are returned.
    fn instrument(&self, mutants: &[Mutant]) -> Result<BTreeSet<Number>> {
        self.copy()?;
        let mut by_file: BTreeMap<&Path, Vec<(Number, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in (1..).zip(mutants) {
            by_file.entry(&mutant.file).or_default().push((number, mutant));
        }
        let mut left_out = BTreeSet::new();
        loop {
            let mut files = BTreeMap::new();
            for (path, mutants) in &by_file {
                let source = fs::read_to_string(self.original.join(path))?;
                let file = instrument(&source, mutants, &left_out).with_context(|| path.display().to_string())?;
                let mut text = file.text.clone();
                if *path == Path::new(CRATE) {
                    text.push_str(include_str!("runtime.rs"));
                }
                write_if_other(&self.root.join(path), text.as_bytes())?;
                left_out.extend(&file.unplaced);
                files.insert(path.to_path_buf(), file);
            }
            if !by_file.contains_key(Path::new(CRATE)) {
                let text = fs::read_to_string(self.original.join(CRATE))? + include_str!("runtime.rs");
                write_if_other(&self.root.join(CRATE), text.as_bytes())?;
            }
            let wrong = self.wrong(&files)?;
            if wrong.is_empty() {
                let names: Vec<&str> =
                    left_out.iter().map(|number| mutants[*number as usize - 1].name.as_str()).collect();
                fs::write(self.target.join("left"), names.join("\n"))?;
                return Ok(left_out);
            }
            println!("{} do not compile", wrong.len());
            left_out.extend(wrong);
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).env("RUSTFLAGS", "--cap-lints=allow");
        cargo.env("CARGO_INCREMENTAL", "0");
        cargo
    }

    /// Which mutants the compiler complains about.
    fn wrong(&self, files: &BTreeMap<PathBuf, Instrumented>) -> Result<BTreeSet<Number>> {
        let output = self
            .cargo()
            .args(["check", "--lib", "--profile=test", "--all-features", "--message-format=json"])
            .output()?;
        let mut wrong = BTreeSet::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
            let primary = spans.iter().filter(|span| span["is_primary"] == true);
            let found = primary.chain(spans).find_map(|span| {
                let file = files.get(Path::new(span["file_name"].as_str()?))?;
                blamed(file, usize::try_from(span["line_start"].as_u64()?).ok()?)
            });
            match found {
                Some(numbers) => wrong.extend(numbers),
                None if spans.is_empty() => {}
                None => bail!("an error without a mutant:\n{}", message["rendered"].as_str().unwrap_or_default()),
            }
        }
        ensure!(output.status.success() || !wrong.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(wrong)
    }

    /// Builds the test programs, and finds what each test comes by.
    fn tests(&self, arguments: &Arguments) -> Result<Vec<Test>> {
        println!("the tests are built");
        let output =
            self.cargo().args(["test", "--no-run", "--message-format=json"]).args(&arguments.programs).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut programs = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if let (Some(program), true) = (message["executable"].as_str(), message["profile"]["test"] == true) {
                programs.push(PathBuf::from(program));
            }
        }
        self.measure(&programs, arguments)
    }

    fn measure(&self, programs: &[PathBuf], arguments: &Arguments) -> Result<Vec<Test>> {
        let mut names = Vec::new();
        for program in programs {
            let of = tests::names(program, &self.root, &arguments.without)?;
            names.extend(of.into_iter().map(|name| (program, name)));
        }
        println!("{} tests are run, each by itself", names.len());
        let tests = Mutex::new(Vec::new());
        in_parallel(arguments.jobs, &names, |at, (program, name)| {
            let test = tests::measure(program, name.clone(), &self.root, &self.target.join(format!("reached-{at}")))?;
            tests.lock().expect("no panic").push(test);
            Ok(())
        })?;
        let mut tests = tests.into_inner()?;
        tests.sort_by_key(|test| test.takes);
        fs::write(self.target.join("tests"), serde_json::to_vec(&tests)?)?;
        Ok(tests)
    }

    /// What is known of the tests of the build that is there.
    fn measured(&self) -> Result<Vec<Test>> {
        Ok(serde_json::from_slice(&fs::read(self.target.join("tests"))?)?)
    }
}

/// The mutants on a line, or else those of the innermost place around it.
fn blamed(file: &Instrumented, line: usize) -> Option<Vec<Number>> {
    let on_it = file.lines.get(&line);
    let around = || file.places.iter().rev().find(|(lines, _)| lines.contains(&line)).map(|(_, numbers)| numbers);
    on_it.or_else(around).map(|numbers| numbers.iter().copied().collect())
}

fn judge(
    arguments: &Arguments,
    tree: &Tree,
    mutants: &[Mutant],
    left: &BTreeSet<Number>,
    tests: &[Test],
) -> Result<()> {
    let before = fs::read_to_string(&arguments.verdicts).unwrap_or_default();
    let settled = before.lines().filter_map(|line| line.split_once('\t')).filter(|(_, said)| !said.starts_with("open"));
    let judged: BTreeSet<&str> = settled.map(|(name, _)| name).collect();
    let open =
        (1..).zip(mutants).filter(|(number, mutant)| !left.contains(number) && !judged.contains(mutant.name.as_str()));
    let open: Vec<(Number, &Mutant)> = open.collect();
    println!("{} are judged", open.len());
    let file = Mutex::new(fs::OpenOptions::new().create(true).append(true).open(&arguments.verdicts)?);
    let done = AtomicUsize::new(0);
    in_parallel(arguments.jobs, &open, |_, (number, mutant)| {
        let that_reach: Vec<&Test> = tests.iter().filter(|test| test.reaches.contains(number)).collect();
        let verdict = match tests::judge(*number, &that_reach, Duration::from_millis(arguments.longest), &tree.root)? {
            Verdict::Caught(by) => format!("caught\t{by}"),
            Verdict::TimedOut(tests) => format!("timed out\t{tests}"),
            Verdict::Missed(tests) => format!("missed\tby {tests} tests"),
            Verdict::Open(tests) => format!("open\tafter {tests} tests"),
        };
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !verdict.starts_with("caught") {
            println!("{done}/{}\t{}\t{verdict}", open.len(), mutant.name);
        } else if done.is_multiple_of(100) {
            println!("{done}/{}", open.len());
        }
        Ok(writeln!(file.lock().expect("no panic"), "{}\t{verdict}", mutant.name)?)
    })?;
    let text = fs::read_to_string(&arguments.verdicts)?;
    let count = |what: &str| text.lines().filter(|line| line.split('\t').nth(1) == Some(what)).count();
    let (caught, missed, late) = (count("caught"), count("missed"), count("timed out"));
    println!("{caught} caught, {missed} missed, {late} timed out; {} left to cargo mutants", left.len());
    ensure!(missed + late == 0, "see {}", arguments.verdicts.display());
    Ok(())
}

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

fn write_if_other(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
