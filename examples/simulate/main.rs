//! Runs worlds from seeds, on all cores. A failure prints one command that replays it, and writes its events, shrunk.
//!
//! ```text
//! cargo run --release --features sim --example simulate -- --seeds 0..10000
//! cargo run --release --features sim --example simulate -- --seeds 0..10000 --hurt
//! cargo run --release --features sim --example simulate -- --seeds 0..10000 --changes
//! cargo run --release --features sim --example simulate -- --seeds 0..10000 --changes --hurt
//! cargo run --release --features sim --example simulate -- --seeds 0..10000 --damage
//! cargo run --release --features sim --example simulate -- --replay seed-7.json
//! cargo run --release --features sim --example simulate -- --seed 7 --draw run.html
//! ```
//!
//! `--draw` makes a page to look at in a browser, of one seed or of the events of a file: who said what to whom, what was written
//! and decided, and how every node was at any moment.

mod draw;
#[path = "../support/say.rs"]
mod say;

use std::{
    error::Error,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use synod::{
    commit::Node,
    sim::{self, Event, Run, Schedule, Setup, Stats, World},
};

/// Runs worlds from seeds, or replays the events of one.
#[derive(Parser)]
struct Arguments {
    /// The seeds to run: FIRST..END, without END.
    #[arg(long, default_value = "0..1000", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Just this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs the worlds in which a participant does what can hurt others: it votes twice, or uses names that are not its own.
    #[arg(long)]
    hurt: bool,
    /// Runs the worlds in which members are replaced; with --hurt, those in which names are used twice meanwhile.
    #[arg(long)]
    changes: bool,
    /// Runs the worlds in which storages are damaged.
    #[arg(long, conflicts_with_all = ["hurt", "changes"])]
    damage: bool,
    /// Where the events of a failed run go.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Replays the events of a file, and shows the effects of each step.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Draws the run of the seed, or the events of the file, as a page.
    #[arg(long, value_name = "PAGE")]
    draw: Option<PathBuf>,
}

/// A run that can be kept: what it is about, what the world was made of, and what happened in it.
#[derive(Deserialize)]
struct Story {
    about: String,
    setup: Setup,
    events: Vec<Event>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (&arguments.replay, &arguments.draw) {
        (Some(file), Some(page)) => Story::read(file).and_then(|story| draw_story(&story, page)),
        (Some(file), None) => replay(file),
        (None, Some(page)) => draw_seed(&arguments, page),
        (None, None) => run(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::err!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn schedule(&self) -> fn(u64) -> (Setup, Schedule) {
        match (self.hurt, self.changes) {
            (true, true) => Schedule::changing_and_hurt,
            (true, false) => Schedule::hurt,
            (false, true) => Schedule::changing,
            _ if self.damage => Schedule::damaging,
            _ => Schedule::new,
        }
    }
}

impl Story {
    fn read(file: &Path) -> Result<Self, Box<dyn Error>> {
        let named = |error: &dyn Error| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| named(&error))?;
        Ok(serde_json::from_str(&text).map_err(|error| named(&error))?)
    }
}

fn draw_seed(arguments: &Arguments, page: &Path) -> Result<bool, Box<dyn Error>> {
    let seed =
        arguments.seed.ok_or("say which seed to draw, as in --seed 7, or which file, as in --replay seed-7.json")?;
    let run = sim::run_schedule::<Node>(arguments.schedule()(seed));
    let about = match &run.result {
        Ok(()) => format!("Seed {seed}: every property holds"),
        Err(violation) => format!("Seed {seed} breaks {violation}"),
    };
    draw_story(&Story { about, setup: run.setup, events: run.events }, page)
}

/// Whether nothing went wrong.
fn draw_story(Story { about, setup, events }: &Story, page: &Path) -> Result<bool, Box<dyn Error>> {
    let (picture, is_well) = draw::draw(about, setup, events);
    fs::write(page, picture.html()).map_err(|error| format!("{}: {error}", page.display()))?;
    say::out!("{about}\n{} moments, drawn in {}", picture.moments(), page.display());
    Ok(is_well)
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let one = arguments.seed.map(|seed| seed..seed.saturating_add(1));
    let (seeds, schedule) = (one.unwrap_or_else(|| arguments.seeds.clone()), arguments.schedule());
    let count = seeds.end - seeds.start;
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {eta} left")?);
    let (seeds, stop) = (Mutex::new(seeds), AtomicBool::new(false));
    let (total, failed) = (Mutex::new(Stats::default()), Mutex::new(None));
    let cores = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut stats = Stats::default();
                while !stop.load(Ordering::Relaxed)
                    && let Some(seed) = seeds.lock().ok().and_then(|mut seeds| seeds.next())
                {
                    let run = sim::run_schedule::<Node>(schedule(seed));
                    stats += run.stats;
                    bar.inc(1);
                    if run.result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                        keep_first(&failed, seed, run);
                    }
                }
                if let Ok(mut total) = total.lock() {
                    *total += stats;
                }
            });
        }
    });
    bar.finish_and_clear();
    say::out!("{}", total.into_inner().map_err(|_| "a thread panicked")?);
    match failed.into_inner().map_err(|_| "a thread panicked")? {
        None => {
            say::out!("{count} seeds passed");
            Ok(true)
        }
        Some((seed, run)) => {
            report(seed, &run, &arguments.out)?;
            Ok(false)
        }
    }
}

/// Of several threads' failures, the one with the lowest seed.
fn keep_first(failed: &Mutex<Option<(u64, Run)>>, seed: u64, run: Run) {
    if let Ok(mut failed) = failed.lock()
        && failed.as_ref().is_none_or(|(other, _)| seed < *other)
    {
        *failed = Some((seed, run));
    }
}

fn report(seed: u64, run: &Run, out: &Path) -> Result<(), Box<dyn Error>> {
    let small = sim::shrink::<Node>(run);
    let violation = small.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let about = format!("Seed {seed} breaks {violation}");
    say::out!("{about}");
    let events = small.events.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let (about, setup) = (serde_json::to_string(&about)?, serde_json::to_string(&small.setup)?);
    let file = out.join(format!("seed-{seed}.json"));
    let story = format!("{{\n\"about\": {about},\n\"setup\": {setup},\n\"events\": [\n{}\n]\n}}\n", events.join(",\n"));
    fs::write(&file, story)?;
    say::out!("{} events, shrunk to {}. To see what each does:", run.events.len(), small.events.len());
    say::out!("cargo run --release --features sim --example simulate -- --replay {}", file.display());
    say::out!("(and with --draw run.html, to look at it)");
    Ok(())
}

fn replay(file: &Path) -> Result<bool, Box<dyn Error>> {
    let Story { about, setup, events } = Story::read(file)?;
    say::out!("{about}");
    let mut world = World::<Node>::new(setup);
    for (number, event) in events.iter().enumerate() {
        say::out!("{number:4}  {event:?}");
        match world.apply(event) {
            Ok(effects) => effects.iter().for_each(|effect| say::out!("        -> {effect:?}")),
            Err(violation) => {
                say::out!("breaks {violation}");
                return Ok(false);
            }
        }
    }
    match world.heal() {
        Ok(()) => {
            say::out!("every property holds, and the healed world comes to rest");
            Ok(true)
        }
        Err(violation) => {
            say::out!("once healed, breaks {violation}");
            Ok(false)
        }
    }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (start, end) = text.split_once("..").ok_or("write FIRST..END")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let seeds = number(start)?..number(end)?;
    if seeds.is_empty() { Err(format!("{text} has no seeds")) } else { Ok(seeds) }
}
