//! An application dies at each step of a commit, again and again. What it leaves behind must be gone soon, and both databases
//! must agree.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::ValueEnum;
use synod_client::Outcome;

use crate::{
    audit::Audit,
    cast::Name,
    databases::Databases,
    doom::{STEPS, Step},
    line::Report,
    random::{self, Random},
    run::judge,
    scene::Scene,
};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which database servers there are
    #[arg(long, value_enum, default_value_t = Databases::Postgres)]
    databases: Databases,

    /// How many applications die
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    times: u64,

    /// What chooses accounts, sides and moments [default: drawn]
    #[arg(long)]
    seed: Option<u64>,
}

/// How often agents look for what was left behind, and how old that must be, in milliseconds.
const SWEEP: (u64, u64) = (200, 1_000);

/// How long nothing may be prepared or locked after a death: the agents' patience, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// "Anywhere" is within so many microseconds.
const ANYWHERE: u64 = 6_000;

/// What has become of those transfers whose applications died at one step.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    committed: u64,
    aborted: u64,
    longest: Duration,
    wrong: u64,
}

/// Lets applications die, and says whether all is well.
pub(crate) async fn run(Args { databases, times, seed }: Args) -> anyhow::Result<bool> {
    let seed = seed.unwrap_or_else(random::seed);
    let servers = databases.installed()?;
    println!("{servers}, 3 transaction managers, 2 agents; {times} applications die; --seed {seed}");
    let mut scene = Scene::start(databases, 20, SWEEP, seed).await?;
    let (mut random, mut tallies) = (Random(seed), BTreeMap::<usize, Tally>::new());
    for number in 0..times {
        let at = (number % STEPS.len() as u64) as usize;
        let (committed, waited) = die(&mut scene, number, STEPS[at], &mut random).await?;
        let tally = tallies.entry(at).or_default();
        match committed {
            Some(true) => tally.committed += 1,
            Some(false) => tally.aborted += 1,
            None => tally.wrong += 1,
        }
        tally.longest = tally.longest.max(waited);
        scene.fleet.check()?;
    }
    println!(
        "{:<34} {:>9} {:>8} {:>6} {:>13}",
        "the application died when", "committed", "aborted", "wrong", "longest wait"
    );
    for (at, Tally { committed, aborted, longest, wrong }) in &tallies {
        let text = STEPS[*at].text();
        println!("{text:<34} {committed:>9} {aborted:>8} {wrong:>6} {:>11.2} s", longest.as_secs_f64());
    }
    let wrong: u64 = tallies.values().map(|tally| tally.wrong).sum();
    let longest = tallies.values().map(|tally| tally.longest).max().unwrap_or_default();
    println!("{} of {times} left nothing behind; the longest wait was {:.2} s", times - wrong, longest.as_secs_f64());
    Ok(judge(scene, &Report::default(), PATIENCE).await? && wrong == 0)
}

/// An application makes one transfer and dies: whether that is committed, or nothing if it is not as it must be, and how long
/// it took until that was so.
async fn die(
    scene: &mut Scene,
    number: u64,
    step: Step,
    random: &mut Random,
) -> anyhow::Result<(Option<bool>, Duration)> {
    let name = Name::Application(number);
    let value = step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let accounts = [random.below(scene.plan.accounts), random.below(scene.plan.accounts)];
    let flags = [
        format!("--id={number}"),
        format!("--left={}", accounts[0]),
        format!("--right={}", accounts[1]),
        format!("--step={value}"),
        format!("--side={}", random.below(2)),
        format!("--micros={}", random.below(ANYWHERE)),
    ];
    scene.fleet.start(name, "doomed", &flags)?;
    let status = scene.fleet.end(name).await?;
    let died = Instant::now();
    if status.signal() != Some(9) {
        bail!("an application that was to die at {value:?} has ended with {status}: see {}", scene.data().display());
    }
    let (audit, _) = Audit::when_clean(&scene.servers, scene.plan.accounts, PATIENCE).await?;
    let waited = died.elapsed();
    let is_committed = audit.whole.contains(&number);
    let must_be = step.must_be();
    let is_right = must_be.is_none_or(|outcome| (outcome == Outcome::Committed) == is_committed);
    if !audit.is_clean() || !is_right {
        println!("transfer {number}, whose application died at {value:?}, is committed: {is_committed}\n{audit}");
        return Ok((None, waited));
    }
    Ok((Some(is_committed), waited))
}
