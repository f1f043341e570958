//! A world in a seed: nodes, a network, disks and clients, all under one deterministic schedule.
//!
//! A [`Schedule`] turns a seed into concrete [`Event`]s, one at a time, against a [`World`] of real nodes. After every
//! event, [properties] look at what was sent, written and decided; a breach is a [`Violation`]. After the last one the
//! world is healed, and everything must come to its end: [`World::heal`]. Events can be stored, replayed and
//! [shrunk](shrink): seeds find, events keep.
//!
//! A driver of one's own, or a node with something around it, is tested the same way: as an [`Actor`].

mod disk;
mod event;
pub mod properties;
mod rng;
mod schedule;
mod shrink;
mod stats;
mod world;

pub use event::{Event, Setup};
pub use properties::{Observation, Property};
pub use rng::Rng;
pub use schedule::{Run, Schedule, Weights, replay, run, run_seed};
pub use shrink::shrink;
pub use stats::Stats;
pub use world::{Actor, Violation, World};
