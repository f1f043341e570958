//! Carrying effects out: the handlers that a caller supplies, and the [`Driver`] that runs a node with them.
//!
//! A caller's event loop gathers inputs with [`Driver::push`] and [`Driver::receive`], then calls [`Driver::flush`]: all
//! that was gathered becomes durable in *one* write (group commit), and only then are its messages sent and its
//! decisions carried out. The driver has no thread, no clock and no queue of its own; it fits into any loop, and its node
//! can go on while another thread writes ([`Driver::begin`]).
//!
//! ```
//! use synod::{NodeId, Quorums, commit::*, perform::{Driver, Handlers, memory::{MemoryStorage, Network}}};
//!
//! /// A resource that can always commit.
//! struct Yes;
//!
//! impl synod::perform::Resource for Yes {
//!     fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
//!         Some(Vote::Prepared)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One acceptor, who is the transaction manager too, and two resource managers.
//! let nodes = [NodeId(1), NodeId(2), NodeId(3)];
//! let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([NodeId(1)])?, [NodeId(1)])?;
//! let network = Network::new();
//! let mut members = Vec::new();
//! for node in nodes {
//!     let mut handlers = Handlers { storage: MemoryStorage::new(), transport: network.port(node), resource: Yes };
//!     let driver = Driver::create(Config::new(cluster.clone(), node, 0), &mut handlers)?;
//!     members.push((node, driver, handlers));
//! }
//!
//! let participants = Participants::new([NodeId(2), NodeId(3)])?;
//! members[0].1.push(Input::Begin { participants, meta: b"from 2 to 3".into() })?;
//! while members.iter().any(|(_, driver, _)| !driver.is_idle()) || network.in_flight() > 0 {
//!     for (node, driver, handlers) in &mut members {
//!         while let Some((from, messages)) = network.receive(*node) {
//!             driver.receive(from, &messages);
//!         }
//!         driver.flush(handlers)?;
//!     }
//! }
//! assert!(members.iter().all(|(_, driver, _)| driver.node().in_doubt().is_empty()));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
mod driver;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "std")]
pub mod memory;
#[cfg(feature = "tokio")]
pub mod tokio;

use alloc::vec::Vec;

pub use driver::{Batch, Driver, DriverError, Start};

use crate::{
    Packet, TxId,
    commit::{Message, Meta, Outcome, Record, Transaction, Vote},
};

/// Where records are made durable. Whether one of your own does all this is for the `conformance` suites to say.
pub trait Storage {
    /// Why a write or a read failed.
    type Error: core::error::Error + 'static;

    /// All records that are durable: the last one of each key, in any order. Tombstones need not be among them.
    fn load(&mut self) -> Result<Vec<Record>, Self::Error>;

    /// Makes `records` durable, as a whole and in this order. When this returns `Ok`, no crash can undo it; when it
    /// returns an error, or a crash interrupts it, any number of the first of them may be durable. After an error the node
    /// is fenced.
    fn persist(&mut self, records: &[Record]) -> Result<(), Self::Error>;
}

/// What takes messages to other nodes.
pub trait Transport {
    /// Sends a packet. It may be lost, repeated, delayed and reordered, but its sender must reach the receiver
    /// unforged, as the `from` of [`Input::Receive`](crate::commit::Input::Receive).
    fn send(&mut self, packet: Packet<Message>);
}

/// The local data of a resource manager; and, at a transaction manager, the callers that wait for outcomes. All methods
/// have defaults, those of a node that manages no resource: it votes to abort.
pub trait Resource {
    /// Votes on `transaction`, which is about `meta`, or says by `None` that
    /// [`Input::Vote`](crate::commit::Input::Vote) will come later.
    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        let _ = (transaction, meta);
        Some(Vote::Aborted)
    }

    /// Commits `transaction`. It may be asked again, and must then change nothing.
    ///
    /// What it answers is written with the next batch, so that a resource that shares the node's storage can have its
    /// own change in the same write.
    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        let _ = (transaction, meta);
        Progress::Finished
    }

    /// Aborts `transaction`. It may be asked again, and for a transaction that it never voted on: then `meta` may be
    /// missing.
    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        let _ = (transaction, meta);
        Progress::Finished
    }

    /// The [`Input::Begin`](crate::commit::Input::Begin) that was pushed first, of those that were accepted and not
    /// answered yet, got this name. It is durably taken.
    fn begun(&mut self, tx: TxId) {
        let _ = tx;
    }

    /// At a transaction manager: the outcome of `tx` is known, for good.
    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// At a transaction manager: every resource manager has carried the outcome of `tx` out.
    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }
}

/// How far a resource is with an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub enum Progress {
    /// It is carried out, and durable now or with the next write of the node's storage.
    Finished,
    /// [`Input::Finished`](crate::commit::Input::Finished) will come later.
    Later,
}

/// The resource of a node that manages none, such as an acceptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoResource;

impl Resource for NoResource {}

/// Three handlers as the one that a [`Driver`] takes. A type that is all three at once, such as a database that holds
/// both records and data, is one by itself.
#[derive(Clone, Debug, Default)]
pub struct Handlers<S, T, R> {
    /// Where records are made durable.
    pub storage: S,
    /// What takes messages to other nodes.
    pub transport: T,
    /// What the transactions are about.
    pub resource: R,
}

impl<S: Storage, T, R> Storage for Handlers<S, T, R> {
    type Error = S::Error;

    fn load(&mut self) -> Result<Vec<Record>, S::Error> {
        self.storage.load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), S::Error> {
        self.storage.persist(records)
    }
}

impl<S, T: Transport, R> Transport for Handlers<S, T, R> {
    fn send(&mut self, packet: Packet<Message>) {
        self.transport.send(packet);
    }
}

impl<S, T, R: Resource> Resource for Handlers<S, T, R> {
    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        self.resource.vote(transaction, meta)
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.resource.commit(transaction, meta)
    }

    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.resource.abort(transaction, meta)
    }

    fn begun(&mut self, tx: TxId) {
        self.resource.begun(tx);
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.resource.decided(tx, outcome);
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.resource.completed(tx, outcome);
    }
}

/// Packets are gathered in order, for the caller to send.
impl Transport for Vec<Packet<Message>> {
    fn send(&mut self, packet: Packet<Message>) {
        self.push(packet);
    }
}
