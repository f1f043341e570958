//! Carrying effects out: the handlers that a caller supplies, and the [`Driver`] that runs a node with them.
//!
//! A caller's event loop gathers inputs with [`Driver::push`] and [`Driver::receive`], then calls [`Driver::flush`]:
//! everything gathered becomes durable in *one* write (group commit), and only then are the messages and decisions that
//! rest on it carried out. The driver has no thread, no clock and no queue of its own. It fits into any loop, and its
//! node can keep stepping while another thread writes ([`Driver::begin`]).
//!
//! ```
//! use synod::{NodeId, Quorums, commit::*, perform::{Driver, Handlers, RecoverError, memory::{MemoryStorage, Network}}};
//!
//! /// A resource that can always commit.
//! struct Yes;
//!
//! impl synod::perform::Resource for Yes {
//!     fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
//!         Ok(Vec::new()) // it holds nothing
//!     }
//!
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
pub mod embedded;
#[cfg(feature = "conformance")]
pub mod faulty;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "std")]
mod lives;
#[cfg(feature = "std")]
pub mod memory;
mod random;
#[cfg(feature = "record")]
pub mod record;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(not(feature = "record"))]
mod unrecorded;

use alloc::{boxed::Box, vec::Vec};

pub use driver::{Batch, Driver, DriverError, Start};
#[cfg(feature = "std")]
pub use lives::{EarlierLife, LifeGuard, Lives};

use crate::{
    NodeId, Packet, TxId,
    commit::{GivenNames, Membership, Message, Meta, Outcome, Promised, Record, Transaction, TxRange, Vote},
};

/// Makes records durable. The `conformance` suites check that an implementation does all this.
///
/// ```
/// use std::{collections::BTreeMap, convert::Infallible};
/// use synod::{commit::{Key, Record}, perform::Storage};
///
/// /// For tests: it forgets everything when the process ends.
/// #[derive(Default)]
/// struct Map(BTreeMap<Key, Record>);
///
/// impl Storage for Map {
///     type Error = Infallible;
///
///     fn load(&mut self) -> Result<Vec<Record>, Infallible> {
///         Ok(self.0.values().cloned().collect())
///     }
///
///     fn persist(&mut self, records: &[Record]) -> Result<(), Infallible> {
///         self.0.extend(records.iter().map(|record| (record.key(), record.clone())));
///         Ok(())
///     }
/// }
///
/// let mut map = Map::default();
/// map.persist(&[Record::Sequence { reserved: 64 }, Record::Sequence { reserved: 128 }])?;
/// assert_eq!(map.load()?, [Record::Sequence { reserved: 128 }]);
/// # Ok::<(), Infallible>(())
/// ```
///
/// A storage has **one life at a time**. [`load`](Storage::load) begins a new life; a node lives in it until the storage
/// is loaded again. A write of an earlier life never lands after that. A node's driver may be dropped, and its task
/// aborted, while a batch of it is still on its way on another thread: if that were written over what the restored node
/// has written, a promise that was sent would not be durable any more. So a storage owes this to its nodes:
///
/// - a `load` waits for a write that is under way elsewhere, so that it is loaded as well, or sees to it that it will
///   never land;
/// - a `persist` for an earlier life writes nothing, and is an error that says so.
///
/// This concerns all handles to the same records: clones, and what was opened again in the same process. A storage that
/// cannot be open in two places at once need not care for other processes. `Lives` does this for handles that share
/// something.
pub trait Storage {
    /// Why a write or a read failed.
    type Error: core::error::Error + 'static;

    /// Begins a new life, and returns all durable records: the last one of each key, in any order. Tombstones may be left
    /// out.
    fn load(&mut self) -> Result<Vec<Record>, Self::Error>;

    /// Makes `records` durable, all of them and in this order. When this returns `Ok`, no crash can undo it. When it
    /// returns an error, or a crash interrupts it, any prefix of them may be durable. After an error the node is
    /// fenced.
    fn persist(&mut self, records: &[Record]) -> Result<(), Self::Error>;
}

/// Takes messages to other nodes.
///
/// ```
/// use std::sync::mpsc;
/// use synod::{NodeId, Packet, commit::{Message, TxRange}, perform::Transport};
///
/// /// From node 1 to node 2, which may be another thread.
/// struct Line(mpsc::Sender<(NodeId, Vec<Message>)>);
///
/// impl Transport for Line {
///     fn send(&mut self, packet: Packet<Message>) {
///         if packet.to == NodeId(2) {
///             // If node 2 has gone, the packet is lost.
///             let _ = self.0.send((NodeId(1), packet.messages));
///         }
///     }
/// }
///
/// let (sender, arrived) = mpsc::channel();
/// let messages = vec![Message::retired(TxRange::new(NodeId(1), 1, 9)?)];
/// Line(sender).send(Packet { to: NodeId(2), messages: messages.clone() });
/// assert_eq!(arrived.recv()?, (NodeId(1), messages));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Transport {
    /// Sends a packet. It may be lost, repeated, delayed and reordered, but the receiver must learn the true sender, as
    /// the `from` of [`Input::Receive`](crate::commit::Input::Receive).
    fn send(&mut self, packet: Packet<Message>);

    /// This node's [birth](crate::commit::Node::birth), for a transport that says it to whomever it connects to. The driver
    /// for tokio calls this before it sends anything.
    fn introduce(&mut self, birth: u64) {
        let _ = birth;
    }

    /// This node is in epoch `number` now, of these members. A transport takes up their
    /// [contacts](crate::commit::Membership::contacts), and says the epoch in its greetings from now on. The driver for tokio
    /// calls this at the start, if the node is in an epoch, and when another one has begun, durably.
    fn enter(&mut self, number: u64, membership: &Membership) {
        let _ = (number, membership);
    }

    /// These may be the next members, and are not yet: a transport takes up the contacts of those of whom it has none, so that
    /// they can be asked whether they are there. The driver for tokio calls this for a change that is asked for here, and as
    /// long as this node is in no epoch, for what others say.
    fn learn(&mut self, membership: &Membership) {
        let _ = membership;
    }

    /// These nodes have left the membership and may be switched off for good: none of the members need tell them anything. The
    /// driver for tokio calls this once in an epoch, and again after a restart.
    fn let_go(&mut self, left: &[NodeId]) {
        let _ = left;
    }
}

/// Why a resource could not [recover](Resource::recover).
pub type RecoverError = Box<dyn core::error::Error + Send + Sync>;

/// The local data of a resource manager and, at a transaction manager, the callers that wait for outcomes. The default
/// methods are those of a node that manages no resource: it votes to abort.
///
/// What a node relies on, crash by crash, is in `docs/RESOURCE.md`, for both kinds of
/// [`ResourceKind`](crate::commit::ResourceKind). `conformance::resource` tries it.
///
/// ```
/// use std::collections::BTreeSet;
/// use synod::{NodeId, TxId, commit::{Meta, Promised, Transaction, Vote}, perform::{Progress, RecoverError, Resource}};
///
/// /// Things in stock: every transaction takes one.
/// struct Stock {
///     left: usize,
///     reserved: BTreeSet<TxId>,
/// }
///
/// impl Resource for Stock {
///     fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
///         self.reserved = promised.iter().map(|promised| promised.transaction.id()).collect();
///         Ok(Vec::new())
///     }
///
///     fn vote(&mut self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
///         if self.reserved.len() == self.left && !self.reserved.contains(&transaction.id()) {
///             return Some(Vote::Aborted);
///         }
///         self.reserved.insert(transaction.id()); // a real one makes this durable before it votes
///         Some(Vote::Prepared)
///     }
///
///     fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
///         // The second time it is reserved no more, and nothing changes.
///         if self.reserved.remove(&transaction.id()) {
///             self.left -= 1;
///         }
///         Progress::Finished
///     }
///
///     fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
///         self.reserved.remove(&transaction.id());
///         Progress::Finished
///     }
/// }
///
/// let mut stock = Stock { left: 1, reserved: BTreeSet::new() };
/// let order = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [NodeId(1), NodeId(2)], *b"one")?;
/// assert_eq!(stock.vote(&order, &Meta::from(b"one")), Some(Vote::Prepared));
/// for _ in 0..2 {
///     assert_eq!(stock.commit(&order, &Meta::from(b"one")), Progress::Finished);
/// }
/// assert_eq!(stock.left, 0);
/// # Ok::<(), synod::commit::TransactionError>(())
/// ```
pub trait Resource {
    /// Lets go of everything that the resource holds for transactions other than `promised`, and of nothing else, and returns
    /// nothing. A restored driver calls this before anything else.
    ///
    /// `promised` are the transactions whose vote to commit is durable here, and which are not carried out as far as
    /// the node knows. What the resource holds for any other one was promised to nobody: the node crashed before its
    /// vote was written, and nobody may ever ask for it again. A resource that keeps its promises only in memory gets
    /// them back here. What it has neither kept nor carried out, and cannot hold again, is lost for good: report that
    /// as an error, and the node will not start. A database that may find it again after its next restart raises an alarm
    /// instead, and never answers its commit with [`Progress::Finished`].
    ///
    /// All this is for a resource whose votes are recorded here. One whose votes are
    /// [durable elsewhere](crate::commit::ResourceKind) lets go of nothing: whatever it holds is binding, whether the node
    /// remembers it or not. It returns what it finds prepared in itself, and the node asks how that ended
    /// ([`Input::Prepared`](crate::commit::Input::Prepared)).
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError>;

    /// Votes on `transaction`, which is about `meta`. It may be asked again, after a crash too, and must then vote the
    /// same if the first vote was written. `None` says that [`Input::Vote`](crate::commit::Input::Vote) will
    /// come later.
    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        let _ = (transaction, meta);
        Some(Vote::Aborted)
    }

    /// Commits `transaction`. May be called again, and must then change nothing.
    ///
    /// The answer is written with the next batch, so a resource that shares the node's storage can put its own change
    /// into the same write.
    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        let _ = (transaction, meta);
        Progress::Finished
    }

    /// Aborts `transaction`. May be called again, and for a transaction that was never voted on; `meta` may then be
    /// missing. Once this is finished, the resource must not prepare that transaction any more. If it did so at the
    /// same time, the vote is answered with another call of this.
    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        let _ = (transaction, meta);
        Progress::Finished
    }

    /// Reports the name of the oldest [`Input::Begin`](crate::commit::Input::Begin) that was accepted and not answered
    /// yet. The name is durably reserved.
    fn begun(&mut self, tx: TxId) {
        let _ = tx;
    }

    /// Reports the names that the oldest [`Input::Names`](crate::commit::Input::Names) was given that was accepted and not
    /// answered yet. They are durably reserved.
    fn named(&mut self, given: GivenNames) {
        let _ = given;
    }

    /// This node is in epoch `number` now. The transport goes by its [contacts](crate::commit::Membership::contacts).
    fn epoch(&mut self, number: u64, membership: &crate::commit::Membership) {
        let _ = (number, membership);
    }

    /// The handover that an [`Input::Change`](crate::commit::Input::Change) here asked for has led to epoch `number`: to the
    /// membership that was asked for, or to another one that came first.
    fn changed(&mut self, number: u64, is_mine: bool) {
        let _ = (number, is_mine);
    }

    /// At a transaction manager: the outcome of `tx` is known, and final.
    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// At a transaction manager: every resource manager has carried out the outcome of `tx`.
    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// To a resource whose votes are [durable elsewhere](crate::commit::ResourceKind): these transactions are over
    /// everywhere, so what it keeps to remember how they ended may go. A crash may lose this, but a later range covers them.
    /// By default it keeps nothing.
    fn forget(&mut self, range: TxRange) {
        let _ = range;
    }
}

/// A resource's progress with an outcome.
///
/// See [`Resource`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub enum Progress {
    /// The outcome is carried out, and is durable now or with the next write of the node's storage.
    Finished,
    /// [`Input::Finished`](crate::commit::Input::Finished) will come later. A [`Driver`] may ask again meanwhile.
    Later,
    /// It cannot be carried out now: ask again. A [`Driver`] does that when the node repeats the outcome
    /// ([`Timeouts::repeat`](crate::commit::Timeouts::repeat), then ever less often).
    Again,
}

/// The resource of a node that manages none, such as a pure acceptor.
///
/// See [`Driver`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoResource;

impl Resource for NoResource {
    /// It holds nothing.
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }
}

/// Combines three handlers into the one that a [`Driver`] takes. A type that implements all three, such as a database
/// that holds both records and data, needs no such wrapper.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug, Default)]
pub struct Handlers<S, T, R> {
    /// Makes records durable.
    pub storage: S,
    /// Takes messages to other nodes.
    pub transport: T,
    /// Votes on transactions, and carries out their outcomes.
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
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        self.resource.recover(promised)
    }

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

    fn named(&mut self, given: GivenNames) {
        self.resource.named(given);
    }

    fn epoch(&mut self, number: u64, membership: &crate::commit::Membership) {
        self.resource.epoch(number, membership);
    }

    fn changed(&mut self, number: u64, is_mine: bool) {
        self.resource.changed(number, is_mine);
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.resource.decided(tx, outcome);
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.resource.completed(tx, outcome);
    }

    fn forget(&mut self, range: TxRange) {
        self.resource.forget(range);
    }
}

/// Gathers packets in order, for the caller to send.
impl Transport for Vec<Packet<Message>> {
    fn send(&mut self, packet: Packet<Message>) {
        self.push(packet);
    }
}
