//! Runs tests: to measure which mutants each of them reaches, and to judge a mutant.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a test takes is measured by the clock"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::instrument::Number;

/// Limits the address space of a test program, since a mutant may allocate without bound.
const KIBIBYTES: u64 = 8 << 20;

/// A test of a test program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) program: PathBuf,
    pub(crate) name: String,
    pub(crate) takes: Duration,
    pub(crate) reaches: BTreeSet<Number>,
}

/// The result for a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This test fails.
    Caught(String),
    /// These tests hang, and no other test fails.
    TimedOut(String),
    /// This many tests reach it, and all pass.
    Missed(usize),
    /// This many tests pass, and slower tests were not tried.
    Open(usize),
}

/// The names of the tests of `program` that are not ignored, except those that contain one of `without`.
pub(crate) fn names(program: &Path, root: &Path, without: &[String]) -> Result<Vec<String>> {
    let list = |more: &[&str]| -> Result<BTreeSet<String>> {
        let output =
            Command::new(program).args(["--list", "--format", "terse"]).args(more).current_dir(root).output()?;
        ensure!(output.status.success(), "{} does not list its tests", program.display());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    };
    let ignored = list(&["--ignored"])?;
    let left = |name: &String| !ignored.contains(name) && !without.iter().any(|part| name.contains(part.as_str()));
    Ok(list(&[])?.into_iter().filter(left).collect())
}

/// Runs a test without any mutant, and measures how long it takes and which mutants it reaches.
pub(crate) fn measure(program: &Path, name: String, root: &Path, notes: &Path) -> Result<Test> {
    let run = |notes: Option<&Path>| -> Result<(bool, Duration)> {
        let mut command = limited(program, root, std::slice::from_ref(&name));
        if let Some(path) = notes {
            command.env("SYNOD_MUTANTS_REACHED", path);
        }
        let started = Instant::now();
        let status = command.stdout(Stdio::null()).status()?;
        Ok((status.success(), started.elapsed()))
    };
    let (passes, takes) = run(None)?;
    ensure!(passes, "without any mutant, {name} of {} fails", program.display());
    // The result does not matter here: a test that counts allocations or writes may fail while notes are taken.
    run(Some(notes))?;
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    let _ = std::fs::remove_file(notes);
    let reaches = text.lines().map(str::parse).collect::<Result<_, _>>().context("notes of another form")?;
    Ok(Test { program: program.to_owned(), name, takes, reaches })
}

/// Judges `mutant` by `tests`, which reach it, sorted by duration. Leaves out tests that take longer than `longest`.
pub(crate) fn judge(mutant: Number, tests: &[&Test], longest: Duration, root: &Path) -> Result<Verdict> {
    let short = tests.partition_point(|test| test.takes <= longest);
    let mut rest = &tests[..short];
    let mut hangs = Vec::new();
    let mut allowed = Duration::from_millis(500);
    while !rest.is_empty() {
        let mut sum = Duration::ZERO;
        let mut many = 0;
        while many < rest.len() && (many == 0 || sum + rest[many].takes <= allowed) {
            sum += rest[many].takes;
            many += 1;
        }
        let (batch, after) = rest.split_at(many);
        let mut by_program: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
        for test in batch {
            by_program.entry(&test.program).or_default().push(test.name.clone());
        }
        for (program, names) in by_program {
            let run = |names: &[String]| {
                let mut command = limited(program, root, names);
                command.env("SYNOD_MUTANT", mutant.to_string());
                first_failure(command, sum * 5 + Duration::from_secs(5))
            };
            match run(&names)? {
                Run::Passed => {}
                Run::Failed(name) => return Ok(Verdict::Caught(name)),
                // One of them hangs, but another one may fail.
                Run::TookTooLong => {
                    for name in names {
                        match run(std::slice::from_ref(&name))? {
                            Run::Passed => {}
                            Run::Failed(name) => return Ok(Verdict::Caught(name)),
                            Run::TookTooLong => hangs.push(name),
                        }
                    }
                }
            }
        }
        rest = after;
        allowed *= 4;
    }
    if short < tests.len() {
        Ok(Verdict::Open(short))
    } else if hangs.is_empty() {
        Ok(Verdict::Missed(short))
    } else {
        Ok(Verdict::TimedOut(hangs.join(" ")))
    }
}

fn limited(program: &Path, root: &Path, names: &[String]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {KIBIBYTES}; ulimit -c 0; exec \"$0\" \"$@\"")]).arg(program);
    command.args(["--exact", "--test-threads=1"]).args(names);
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("RUST_BACKTRACE", "0").env_remove("SYNOD_MUTANT");
    // As cargo starts it.
    command.current_dir(root).env("CARGO_MANIFEST_DIR", root).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

enum Run {
    Passed,
    Failed(String),
    TookTooLong,
}

/// Runs the program until its first test fails.
fn first_failure(mut command: Command, limit: Duration) -> Result<Run> {
    let mut program = command.stdout(Stdio::piped()).spawn()?;
    let out = program.stdout.take().context("its output")?;
    let (send, receive) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(name) = line.trim_end().strip_suffix(" ... FAILED") {
                let _ = send.send(name.trim_start_matches("test ").to_owned());
                return;
            }
        }
    });
    let answer = receive.recv_timeout(limit);
    let run = match answer {
        Ok(name) => Run::Failed(name),
        Err(mpsc::RecvTimeoutError::Timeout) => Run::TookTooLong,
        // The output ended. A program that crashes reports no failed test.
        Err(mpsc::RecvTimeoutError::Disconnected) if program.wait()?.success() => Run::Passed,
        Err(mpsc::RecvTimeoutError::Disconnected) => Run::Failed("the program ends".to_owned()),
    };
    end(&mut program);
    let _ = reader.join();
    Ok(run)
}

fn end(program: &mut Child) {
    let _ = program.kill();
    let _ = program.wait();
}
