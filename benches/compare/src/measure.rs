//! One row's figures.

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{alloc::Allocated, cases::Case, subject::Subject};

/// What one decision took.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Nanoseconds: the median of several batches.
    pub nanoseconds: f64,
    /// Calls to the allocator that got memory.
    pub allocations: f64,
    /// Bytes that those calls got.
    pub bytes: f64,
    /// Messages between nodes.
    pub messages: f64,
    /// Instructions, by callgrind.
    pub instructions: Option<f64>,
}

/// Runs a row for about as long as `patience`, at least three times.
pub fn figures(case: &Case, patience: Duration) -> Figures {
    let mut subject = (case.make)();
    warm_up(case, &mut *subject);
    let started = Instant::now();
    let (mut times, mut messages, mut allocated) = (Vec::new(), 0, Allocated::default());
    while times.len() < 3 || started.elapsed() < patience {
        let before = (Allocated::now(), Instant::now());
        messages += measured(case, &mut *subject);
        let took = before.1.elapsed();
        let new = Allocated::now() - before.0;
        (allocated.count, allocated.bytes) = (allocated.count + new.count, allocated.bytes + new.bytes);
        times.push(took.as_nanos() as f64 / case.batch() as f64);
        unmeasured(case, &mut *subject);
    }
    let decisions = (times.len() * case.batch()) as f64;
    times.sort_by(f64::total_cmp);
    Figures {
        nanoseconds: times[times.len() / 2],
        allocations: allocated.count as f64 / decisions,
        bytes: allocated.bytes as f64 / decisions,
        messages: messages as f64 / decisions,
        instructions: None,
    }
}

/// Whatever grows has grown after that.
fn warm_up(case: &Case, subject: &mut dyn Subject) {
    for _ in 0..3 {
        measured(case, subject);
        unmeasured(case, subject);
    }
}

/// What is measured.
fn measured(case: &Case, subject: &mut dyn Subject) -> u64 {
    if !case.whole {
        return subject.decide(case.batch());
    }
    let rounds = case.batch() / case.in_flight;
    (0..rounds).map(|_| subject.decide(case.in_flight) + subject.complete()).sum()
}

fn unmeasured(case: &Case, subject: &mut dyn Subject) {
    subject.complete();
}

/// What a process does whose instructions are counted.
pub fn count_me(case: &Case) {
    let mut subject = (case.make)();
    warm_up(case, &mut *subject);
    counted_by_callgrind(case, &mut *subject);
}

/// What is counted, and what the warm-up has no part in: callgrind finds it by its name.
#[inline(never)]
fn counted_by_callgrind(case: &Case, subject: &mut dyn Subject) -> u64 {
    measured(case, subject)
}

/// How many instructions a decision takes: runs this program again, for one row, under callgrind. The profile is left
/// in the folder `profiles` if `keep` says so.
pub fn instructions(case: &Case, profile: &std::path::Path) -> anyhow::Result<f64> {
    let me = env::current_exe().context("where this program is")?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_by_callgrind*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(me)
        .args(["--count-me", &case.name()])
        .output()
        .context("valgrind could not be started; it must be installed")?;
    if !run.status.success() {
        bail!("callgrind failed on {}:\n{}", case.name(), String::from_utf8_lossy(&run.stderr));
    }
    let text = fs::read_to_string(profile).with_context(|| format!("reading {}", profile.display()))?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("a profile without totals")?;
    let total: u64 = totals.trim().parse().context("totals that are no number")?;
    ensure!(total > 0, "callgrind did not find what is to be counted");
    Ok(total as f64 / case.batch() as f64)
}
