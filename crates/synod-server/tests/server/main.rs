//! The real binary, as processes: with TLS, real databases, SIGTERM and SIGKILL.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of a program has a clock")]

mod console;
mod databases;
mod dev;
mod errors;
mod health;
mod https;
mod machines;
mod operations;
mod python;
mod recordings;
mod seats;
mod shop;
mod stage;
mod stores;
mod support;
#[cfg(feature = "opentelemetry")]
mod traces;
mod typescript;
mod why;
