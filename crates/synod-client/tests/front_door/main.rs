//! The front door over a database in memory, and a real cluster in this process.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests wait in real time")]

mod branches;
mod folder;
mod managers;
mod vault;
