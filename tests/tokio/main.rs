//! The ready driver: nodes as tasks of a runtime, on storages that can be held, failed and kept.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tasks, blocking threads and their clock")]

mod again;
mod bytes;
mod conformance;
mod ends;
mod epochs;
mod lives;
mod meeting;
mod outcomes;
mod panics;
mod queues;
mod recordings;
mod resource;
mod rides;
mod scene;
mod stalls;
mod telemetry;
mod turns;
mod writes;
