//! Paxos Commit: atomic commit among several resource managers, that no crash can block.
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
mod config;
mod message;
mod metrics;
mod node;
mod open;
mod playing;
mod record;
mod reserve;
mod resource_manager;
mod retired;
mod short;
mod table;
mod timers;
mod transaction;
mod transaction_manager;
mod wait;

pub use acceptor::{Acceptor, AcceptorInput};
pub use config::{Cluster, ClusterId, ClusterSpec, Config, ConfigError, Learning, Limits, Targets, Time, Timeouts};
pub use message::{Decision, Effect, Input, Message, Part};
pub use metrics::Metrics;
pub use node::{InDoubt, Node, Status};
pub use record::{AcceptorRecord, EmptyRange, Key, Record, ResourceManagerRecord, TxRange};
pub use resource_manager::{ResourceManager, ResourceManagerInput, ResourceManagerState};
pub use transaction::{Outcome, Transaction, TransactionError, TransactionSpec, Vote};
pub use transaction_manager::{TransactionManager, TransactionManagerInput};
pub use wait::Wait;
#[cfg(any(feature = "sim", feature = "conformance", feature = "grpc"))]
pub(crate) use wait::mix;
