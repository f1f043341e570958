//! Whole runs, from a seed or from events.

use super::{Actor, Event, Schedule, Setup, Stats, Violation, World};
use crate::commit::Node;

/// A run: what it was made of, what happened, and how it ended.
///
/// See the [module](crate::sim) for an example.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the world was made of.
    pub setup: Setup,
    /// What happened, before the world was healed.
    pub events: Vec<Event>,
    /// What has happened, in numbers.
    pub stats: Stats,
    /// How it ended.
    pub result: Result<(), Violation>,
}

/// Runs the schedule of `seed` against real nodes, then heals the world.
pub fn run(seed: u64) -> Run {
    run_seed::<Node>(seed)
}

/// Runs the schedule of `seed` against any actors, then heals the world.
pub fn run_seed<A: Actor>(seed: u64) -> Run {
    run_schedule::<A>(Schedule::new(seed))
}

/// Runs a schedule in a world of its setup against any actors, then heals the world.
///
/// See [`Schedule::hurt`] for an example.
pub fn run_schedule<A: Actor>((setup, mut schedule): (Setup, Schedule)) -> Run {
    let mut world = World::<A>::new(setup.clone());
    let mut events = Vec::new();
    let mut result = Ok(());
    while let Some(event) = schedule.next(&world) {
        result = world.apply(&event).map(|_| ());
        events.push(event);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| world.heal());
    Run { setup, events, stats: world.stats(), result }
}

/// Lets `events` happen in a world of `setup`, then heals it.
pub fn replay<A: Actor>(setup: &Setup, events: &[Event]) -> Run {
    let mut world = World::<A>::new(setup.clone());
    let result = events.iter().try_for_each(|event| world.apply(event).map(|_| ())).and_then(|()| world.heal());
    Run { setup: setup.clone(), events: events.to_vec(), stats: world.stats(), result }
}
