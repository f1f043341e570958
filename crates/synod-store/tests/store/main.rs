//! Stores in other languages, as processes that are killed.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "files, processes and real time")]

mod conformance;
mod front_door;
mod shop;
