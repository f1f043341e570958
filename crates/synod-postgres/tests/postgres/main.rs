//! PostgreSQL in transactions with other databases, against real servers. Where none is installed, the tests say so and pass.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real servers take real time")]

mod agent_at_work;
mod checks;
mod conformance;
mod crashes;
mod front_door;
mod many;
mod scene;
mod sessions;
mod silence;
mod truth_table;
