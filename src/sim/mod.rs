//! A world in a seed: nodes, a network, disks and clients, all under one deterministic schedule.
//!
//! A [`Schedule`] turns a seed into concrete [`Event`]s, one at a time, against a [`World`] of real nodes. After every
//! event, [properties] look at what was sent, written and decided; a breach is a [`Violation`]. After the last one the
//! world is healed, and everything must come to its end: [`World::heal`]. Events can be stored, replayed and
//! [shrunk](shrink): seeds find, events keep.
//!
//! A driver of one's own, or a node with something around it, is tested the same way: as an [`Actor`].
//!
//! ```
//! use synod::{commit::Node, sim};
//!
//! let run = sim::run(7);
//! assert!(run.result.is_ok() && run.stats.committed > 0);
//! // The same events happen again, without the schedule that drew them.
//! assert!(sim::replay::<Node>(&run.setup, &run.events).result.is_ok());
//! ```

mod actor;
mod disk;
mod event;
mod heal;
mod network;
mod process;
pub mod properties;
mod rng;
mod run;
mod schedule;
mod setup;
mod shrink;
mod stats;
mod world;

pub use actor::Actor;
pub use event::{Event, Lie};
pub use properties::{Observation, Property};
pub use rng::Rng;
pub use run::{Run, replay, run, run_schedule, run_seed};
pub use schedule::Schedule;
pub use setup::{Hurt, Setup};
pub use shrink::shrink;
pub use stats::Stats;
pub use world::{Happening, Violation, World};
