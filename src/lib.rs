//! Non-blocking atomic commit: Paxos and Paxos Commit as pure, deterministic state machines.
//!
//! Several databases must commit a transaction together or not at all, and no crash of any machine may leave one of
//! them hanging. Two-phase commit cannot guarantee that: when its coordinator dies, every participant that has voted
//! waits. *Paxos Commit* (Gray and Lamport, *Consensus on Transaction Commit*, 2006) can: Paxos agrees on each
//! participant's vote, so that any F of 2F+1 acceptors may die, and any transaction manager can finish what another one
//! began.
//!
//! This crate is that protocol and nothing else. It is *sans-IO*: an input goes into a [`Machine`], a list of
//! [`Effect`]s comes out, and the caller carries them out. It never opens a socket, a file, a clock or a random source,
//! so it runs in any event loop, and a test can run a whole cluster through years of crashes in a second.
//!
//! # A vote, a decision
//!
//! Three nodes that play every role, one transaction between them, and an [`Outbox`] for each, which releases a message only
//! once the records that it rests on are written. The network is a queue, and each disk a list. (A
//! [`Driver`](perform::Driver) is this loop, ready made.)
//!
//! ```
//! use std::collections::VecDeque;
//! use synod::{NodeId, Outbox, Quorums};
//! use synod::commit::{Cluster, ClusterId, Config, Decision, Input, Node, Outcome, Participants, Record, Vote};
//!
//! let ids = [NodeId(1), NodeId(2), NodeId(3)];
//! let cluster = Cluster::new(ClusterId(*b"the docs' little"), Quorums::majority(ids)?, ids)?;
//! let mut nodes = Vec::new();
//! for id in ids {
//!     let (node, identity) = Node::create(Config::new(cluster.clone(), id, id.0));
//!     let mut outbox = Outbox::new();
//!     outbox.extend(identity);
//!     nodes.push((node, outbox, Vec::<Record>::new()));
//! }
//!
//! let begin = Input::Begin { participants: Participants::new(ids)?, meta: b"move 10 from 1 to 2".into() };
//! let mut inputs = VecDeque::from([(ids[0], begin)]);
//! let mut outcome = None;
//! while let Some((at, input)) = inputs.pop_front() {
//!     let (node, outbox, disk) = &mut nodes[at.0 as usize - 1];
//!     outbox.step(node, input)?;
//!     while let Some(pending) = outbox.take() {
//!         disk.extend_from_slice(pending.records()); // a real driver waits here until they are durable
//!         let (packets, decisions) = pending.persisted().into_parts();
//!         for packet in packets {
//!             let receive = |message| (packet.to, Input::Receive { from: at, message });
//!             inputs.extend(packet.messages.into_iter().map(receive));
//!         }
//!         for decision in decisions {
//!             match decision {
//!                 Decision::Vote { transaction, .. } => {
//!                     inputs.push_back((at, Input::Vote { transaction, vote: Vote::Prepared }));
//!                 }
//!                 Decision::Commit { transaction, .. } | Decision::Abort { transaction, .. } => {
//!                     inputs.push_back((at, Input::Finished(transaction.id())));
//!                 }
//!                 Decision::Decided { outcome: decided, .. } => outcome = Some(decided),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!(outcome, Some(Outcome::Committed));
//! assert!(nodes.iter().all(|(node, ..)| node.metrics().open == 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The layers
//!
//! | module | what it holds | when to use it alone |
//! |---|---|---|
//! | [`commit`] | [`Node`](commit::Node): many transactions, every role of one process | almost always |
//! | [`commit::roles`] | [`Acceptor`](commit::roles::Acceptor), [`ResourceManager`](commit::roles::ResourceManager), [`TransactionManager`](commit::roles::TransactionManager): one transaction each | with an event loop per transaction |
//! | [`paxos`] | [`Acceptor`](paxos::Acceptor), [`Proposer`](paxos::Proposer), [`Learner`](paxos::Learner): one decree each | to agree on one value |
//! | here | [`Ballot`], [`Quorums`], [`Effect`], [`Outbox`] | |
//!
//! # From type to paper to specification
//!
//! | here | Gray and Lamport 2006, section 4 | `PaxosCommit.tla` |
//! |---|---|---|
//! | [`commit::ResourceManagerState`] | states of a resource manager | `rmState` |
//! | [`paxos::AcceptorRecord`] | phases 1b and 2b | `aState[rm][acc]`: `mbal`; `bal`, `val` |
//! | [`commit::What::Vote`] | phase 2a of ballot 0 | `RMPrepare`, `RMChooseToAbort` |
//! | [`commit::What::Phase1a`], [`paxos::Message::Prepare`] | phase 1a | `Phase1a` |
//! | [`commit::What::Phase1b`], [`paxos::Message::Promise`] | phase 1b | `Phase1b` |
//! | [`commit::What::Phase2a`], [`paxos::Message::Accept`] | phase 2a | `Phase2a` |
//! | [`commit::What::Phase2b`], [`paxos::Message::Accepted`] | phase 2b | `Phase2b` |
//! | [`commit::What::Outcome`] | *Commit*, *Abort* | `Decide`, then `RMRcvCommitMsg`, `RMRcvAbortMsg` |
//!
//! # Features
//!
//! All are additive, and none changes what a machine does. Without any of them the crate is `no_std` with `alloc`.
//!
//! | feature | what it adds |
//! |---|---|
//! | `std` (default) | handlers in memory ([`perform::memory`]) |
//! | `serde` | `Serialize` and `Deserialize` on every public data type |
//! | `codec` | frames, records and keys as bytes |
//! | `arbitrary`, `proptest` | generators of valid and invalid data, for fuzzers and property tests |
//! | `sim` | worlds from seeds, and the properties that must hold in them |
//! | `conformance` | checks of storages, transports and resources of your own |
//! | `record` | what a running node was told, in files, and the same node stepped again |
//! | `fjall` | a durable storage |
//! | `tokio` | the ready driver, a task of a tokio runtime |
//!
//! The protocol is here; a network is not. That of the package `synod-grpc` is gRPC with mutual TLS, by way of
//! [`perform::Transport`] and the driver for tokio.

#![cfg_attr(not(feature = "std"), no_std)]
// docs.rs says of each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

/// The methods that set the public fields of a `#[non_exhaustive]` struct of options, which its users cannot write as a
/// literal.
macro_rules! with_methods {
    ($($method:ident($field:ident: $type:ty);)+) => {$(
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub const fn $method(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )+};
}

pub mod commit;
pub mod paxos;
pub mod perform;

#[cfg(feature = "codec")]
pub mod codec;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "proptest")]
pub mod strategies;

#[cfg(feature = "arbitrary")]
mod arbitrary;
mod ballot;
mod effect;
mod error;
mod id;
mod outbox;
mod quorum;

pub use ballot::Ballot;
pub use effect::{Effect, EffectOf, EffectSink, Machine, Scope, Urgency};
pub use error::{Fence, Refusal, RestoreError};
pub use id::{InstanceId, NodeId, ParseIdError, TxId};
pub use outbox::{Outbox, Packet, Pending, Released};
pub use quorum::{MAX_ACCEPTORS, Members, Phase, QuorumError, QuorumSpec, Quorums};

/// The code of the README runs as a test, as does that of the guide.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, feature = "sim", feature = "conformance", feature = "codec", feature = "fjall"))]
#[doc = include_str!("../docs/GUIDE.md")]
struct Guide;

#[cfg(all(doctest, feature = "conformance"))]
#[doc = include_str!("../docs/RESOURCE.md")]
struct ResourceContract;
