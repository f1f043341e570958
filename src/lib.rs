//! Atomic commit that does not block, as pure state machines.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "codec")]
pub mod codec;
pub mod commit;
pub mod paxos;
#[cfg(feature = "proptest")]
pub mod strategies;

mod ballot;
mod effect;
mod error;
mod id;
mod outbox;
mod quorum;

pub use ballot::Ballot;
pub use effect::{Effect, EffectOf, Machine};
pub use error::{Refusal, RestoreError};
pub use id::{InstanceId, NodeId, TxId};
pub use outbox::{Outbox, Packet, Pending, Released};
pub use quorum::{MAX_ACCEPTORS, Members, Phase, QuorumError, QuorumSpec, Quorums, Standing, Tally};
