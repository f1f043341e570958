//! One row's figures.

use std::{
    env, fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    alloc::Allocated,
    cases::{Case, Extent},
    subject::Subject,
};

/// What one decision took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Nanoseconds, in the best tenth of all rounds: what else the machine does can only add to them.
    pub nanoseconds: f64,
    /// Calls to the allocator that got memory.
    pub allocations: f64,
    /// Bytes that those calls got.
    pub bytes: f64,
    /// Messages between nodes.
    pub messages: f64,
}

/// Runs a row for about as long as `patience`, at least three times.
pub fn figures(case: &Case, patience: Duration) -> Measured {
    let clock = clock();
    let mut subject = (case.make)();
    warm_up(case, &mut *subject);
    let started = Instant::now();
    let (mut times, mut messages, mut allocated) = (Vec::new(), 0, Allocated::default());
    while times.len() < 3 || started.elapsed() < patience {
        let (before, at) = (Allocated::now(), Instant::now());
        messages += measured(case, &mut *subject);
        let took = at.elapsed().saturating_sub(clock);
        allocated = allocated + (Allocated::now() - before);
        times.push(took.as_nanos() as f64 / decisions(case));
        unmeasured(case, &mut *subject);
    }
    let decisions = times.len() as f64 * decisions(case);
    times.sort_by(f64::total_cmp);
    Measured {
        nanoseconds: times[times.len() / 10],
        allocations: allocated.count as f64 / decisions,
        bytes: allocated.bytes as f64 / decisions,
        messages: messages as f64 / decisions,
    }
}

/// How long it takes to look at the clock.
fn clock() -> Duration {
    let mut looks: Vec<Duration> = (0..1_000).map(|_| Instant::now().elapsed()).collect();
    looks.sort();
    looks[looks.len() / 2]
}

/// Whatever grows has grown after that.
fn warm_up(case: &Case, subject: &mut dyn Subject) {
    for _ in 0..(ROUNDS * 4).div_ceil(case.in_flight).max(3) {
        measured(case, subject);
        unmeasured(case, subject);
    }
}

/// How many decisions are measured in one go, at least, where nothing has to be left out.
const ROUNDS: usize = 256;

/// How many decisions [`measured`] makes.
fn decisions(case: &Case) -> f64 {
    match case.extent {
        Extent::Whole => case.in_flight.max(ROUNDS) as f64,
        Extent::Decision => case.in_flight as f64,
    }
}

fn measured(case: &Case, subject: &mut dyn Subject) -> u64 {
    match case.extent {
        Extent::Whole => {
            let rounds = ROUNDS.div_ceil(case.in_flight);
            (0..rounds).map(|_| subject.decide(case.in_flight) + subject.complete()).sum()
        }
        Extent::Decision => subject.decide(case.in_flight),
    }
}

fn unmeasured(case: &Case, subject: &mut dyn Subject) {
    if case.extent == Extent::Decision {
        subject.complete();
    }
}

/// What a process does whose instructions are counted: warms up, and then lets callgrind count a known number of
/// decisions.
pub fn count_me(case: &Case) {
    let mut subject = (case.make)();
    warm_up(case, &mut *subject);
    for _ in 0..counted_rounds(case) {
        counted_by_callgrind(case, &mut *subject);
        unmeasured(case, &mut *subject);
    }
}

fn counted_rounds(case: &Case) -> usize {
    ROUNDS.div_ceil(decisions(case) as usize)
}

/// Callgrind finds this by its name.
#[inline(never)]
fn counted_by_callgrind(case: &Case, subject: &mut dyn Subject) -> u64 {
    measured(case, subject)
}

/// How many instructions a decision takes: runs this program again, for one row, under callgrind, and leaves the profile
/// at `profile`.
pub fn instructions(case: &Case, profile: &Path) -> anyhow::Result<f64> {
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
    Ok(total as f64 / (counted_rounds(case) as f64 * decisions(case)))
}
