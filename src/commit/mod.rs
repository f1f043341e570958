//! Paxos Commit: non-blocking atomic commit among several resource managers.
//!
//! Gray and Lamport, *Consensus on Transaction Commit* (2006), section 4. Each resource manager's vote is one instance
//! of Paxos over the same acceptors; the transaction commits if and only if every instance chooses
//! [`Vote::Prepared`]. With one acceptor this is two-phase commit.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod acceptor;
mod block;
mod bundle;
mod clock;
mod config;
mod contacts;
mod context;
mod handover;
mod history;
mod inline;
mod membership;
mod message;
mod metrics;
pub(crate) mod node;
mod open;
mod peers;
mod places;
mod ranges;
mod record;
mod resource_manager;
pub mod roles;
mod shared;
mod table;
mod transaction;
mod transaction_manager;
mod turns;
mod wait;
mod weight;

pub use config::{
    Cluster, ClusterId, ClusterSpec, Config, ConfigError, Learning, Limits, ResourceKind, Targets, Time, Timeouts,
};
pub use handover::{Ending, Entry, EpochMessage, Fingerprint, Fingerprints, Page, Part, Ranges};
pub use history::{MalformedBlock, OutcomeBlock, Outcomes};
pub use membership::{EpochTag, Membership};
pub use message::{
    Acceptance, Decision, Effect, GivenNames, Input, MOST_NAMES, Message, Obstacle, Promises, Sink, What,
};
pub use metrics::Metrics;
pub use node::{EpochStatus, InDoubt, Node, OpenTransaction, Promised, Status, Violation, ViolationReason};
pub use places::{Places, Votes};
pub use record::{AcceptorRecord, EmptyRange, HigherInstance, Key, Record, ResourceManagerRecord, TxRange};
pub use roles::ResourceManagerState;
pub use transaction::{Meta, Outcome, Participants, Transaction, TransactionError, TransactionSpec, Vote};
use wait::Wait;
#[cfg(any(feature = "sim", feature = "conformance", feature = "tokio"))]
pub(crate) use wait::mix;
pub(crate) use weight::Weight;
