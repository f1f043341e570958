//! What a mutant is shown that got past `first.rs`: what takes longer, as one program.

#![allow(clippy::duplicate_mod, reason = "each of these files is a program of its own, with support of its own")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "as in tests/outbox.rs")]

#[path = "../allocations.rs"]
mod allocations;
#[path = "../commit_machine.rs"]
mod commit_machine;
#[path = "../published_bugs.rs"]
mod published_bugs;
#[path = "../quorums.rs"]
mod quorums;
#[path = "../record.rs"]
mod record;
#[path = "../restore/main.rs"]
mod restore;
