//! An embedded store as a participant: its rows and the node's records are in one place, written together.
//!
//! Whoever keeps both in one store (SQLite, fjall, a file) implements [`Store`]: how to write records and changes of rows
//! in one atomic write, what a transaction wants to change, and whether that can be promised. [`Embedded`] makes a
//! [`Storage`] and a [`Resource`] of it, and keeps the contract of `docs/RESOURCE.md` for a resource whose votes are
//! recorded here ([`ResourceKind::VotesHere`](crate::commit::ResourceKind)):
//!
//! - A promise is written with the vote, at the latest. It is held until the outcome is written, in memory and, if the
//!   store cares to mark it, in the store.
//! - Rows change in the very write that holds the record that they have. So a transaction is carried out once, whenever a
//!   crash comes, and no row has to remember which transactions have changed it.
//! - After a restart the promises are made again from the records.
//! - What was aborted is not promised any more.
//!
//! ```
//! use std::{collections::BTreeMap, convert::Infallible};
//! use synod::{TxId, commit::{Key, Meta, Record, Transaction}, perform::embedded::{Embedded, Step, Store}};
//!
//! /// What is on an account here. In a real store both are durable, and written in one atomic write.
//! #[derive(Default)]
//! struct Account {
//!     balance: u64,
//!     records: BTreeMap<Key, Record>,
//! }
//!
//! impl Store for Account {
//!     /// How much is taken.
//!     type Change = u64;
//!     type Error = Infallible;
//!
//!     fn load(&mut self) -> Result<Vec<Record>, Infallible> {
//!         Ok(self.records.values().cloned().collect())
//!     }
//!
//!     fn write(&mut self, records: &[Record], steps: &[Step<'_, u64>]) -> Result<(), Infallible> {
//!         self.records.extend(records.iter().map(|record| (record.key(), record.clone())));
//!         for step in steps {
//!             if let Step::Commit(_, taken) = step {
//!                 self.balance -= **taken;
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn change(&self, _: &Transaction, meta: &Meta) -> Option<u64> {
//!         std::str::from_utf8(meta.bytes()).ok()?.parse().ok()
//!     }
//!
//!     fn check(&mut self, _: TxId, taken: &u64, promised: &BTreeMap<TxId, u64>) -> Result<bool, Infallible> {
//!         Ok(self.balance >= promised.values().sum::<u64>() + taken)
//!     }
//! }
//!
//! use synod::{NodeId, commit::Vote, perform::Resource};
//!
//! let mut account = Embedded::new(Account { balance: 100, ..Account::default() });
//! let mut vote = |seq, meta: &[u8]| {
//!     let meta = Meta::from(meta);
//!     let transaction = Transaction::new(TxId { origin: NodeId(1), seq }, [NodeId(1), NodeId(2)], meta.clone())?;
//!     Ok::<_, synod::commit::TransactionError>(account.vote(&transaction, &meta))
//! };
//! assert_eq!(vote(1, b"70")?, Some(Vote::Prepared));
//! assert_eq!(vote(2, b"70")?, Some(Vote::Aborted)); // beside the 70 that are promised
//! assert_eq!(vote(3, b"nonsense")?, Some(Vote::Aborted));
//! assert_eq!(vote(1, b"70")?, Some(Vote::Prepared)); // asked again
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Driver`](super::Driver) takes an [`Embedded`] as its storage and its resource; if the store is a [`Transport`] as
//! well, as all three. The driver for tokio takes them apart: `Embedded::split`.
//!
//! # What the store owes
//!
//! *Nobody else may take what is promised*: neither a statement of the application beside the node, nor another process
//! that can write to the same store. From the moment in which [`check`](Store::check) has said yes until the next
//! [`write`](Store::write), what it has looked at must stay; from that write on, what was promised in it. A store that only
//! this type writes to has nothing to do for that. Others need a transaction that stays open in between, and marks of what
//! is promised that other writers cannot pass: the package `synod-sqlite` shows both.

mod promises;
#[cfg(feature = "tokio")]
mod split;

use alloc::{collections::BTreeMap, vec::Vec};

use self::promises::Promises;
#[cfg(feature = "tokio")]
pub use self::split::{ResourceHalf, StorageHalf};
use super::{Progress, RecoverError, Resource, Storage, Transport};
use crate::{
    NodeId, Packet, TxId,
    commit::{Membership, Message, Meta, Outcome, Promised, Record, Transaction, Vote},
};

/// A store that holds rows and a node's records, and writes both at once.
///
/// See the [module](self) for an example.
pub trait Store {
    /// What a transaction wants to change here. It is kept in memory from the vote until the outcome is written.
    type Change;
    /// Why a write or a read failed.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Begins a new life, and returns all durable records: [`Storage::load`], with all that it says of lives.
    fn load(&mut self) -> Result<Vec<Record>, Self::Error>;

    /// Makes `records` durable as [`Storage::persist`] does, and in the same atomic write whatever `steps` say, in their
    /// order. After a crash or an error, either all of this is there or none.
    fn write(&mut self, records: &[Record], steps: &[Step<'_, Self::Change>]) -> Result<(), Self::Error>;

    /// What a transaction wants to change here, by its content alone: the same whenever it is asked, after a restart too.
    /// `None` if this store can make nothing of it; that is a vote to abort.
    fn change(&self, transaction: &Transaction, meta: &Meta) -> Option<Self::Change>;

    /// Whether `change` can be promised to `tx` beside all that is `promised` already, whichever of those come to be made:
    /// `true` is a binding vote. Rows are as the last write left them, so what is committed or aborted, and not written yet as
    /// that, is still among what is promised.
    ///
    /// An error is for a store that cannot go on. It is a vote to abort, and what the next write fails with. A store that
    /// just cannot tell now, such as for a lock that somebody else holds, says `false`.
    fn check(
        &mut self,
        tx: TxId,
        change: &Self::Change,
        promised: &BTreeMap<TxId, Self::Change>,
    ) -> Result<bool, Self::Error>;

    /// After a restart: exactly this is promised. A store that marks what is promised removes all other marks, and makes
    /// those that are missing, durably. On an error the node does not start. Unless given, this does nothing.
    fn recover(&mut self, promised: &BTreeMap<TxId, Self::Change>) -> Result<(), Self::Error> {
        let _ = promised;
        Ok(())
    }

    /// [`Resource::begun`], by a [`Driver`](super::Driver).
    fn begun(&mut self, tx: TxId) {
        let _ = tx;
    }

    /// [`Resource::decided`], by a [`Driver`](super::Driver).
    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// [`Resource::completed`], by a [`Driver`](super::Driver).
    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }
}

/// What a write does besides writing records. Of one write, all that is let go of comes first, and commits come last.
///
/// See the [module](self) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a, C> {
    /// This was promised, is aborted, and is promised no more. A store that marks nothing has nothing to do.
    Release(TxId, &'a C),
    /// This is promised from now on. A store that marks nothing has nothing to do.
    Promise(TxId, &'a C),
    /// Make this change. It was promised, and is no more once it is made.
    Commit(TxId, &'a C),
}

/// A [`Store`] as the storage and the resource of its node.
///
/// See the [module](self) for an example.
#[derive(Debug)]
pub struct Embedded<S: Store> {
    store: S,
    promises: Promises<S::Change>,
    /// Why the store cannot go on.
    failed: Option<S::Error>,
}

/// What was promised cannot be read any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "{tx} was promised here, and the store can make nothing of its content now: until it is over, run the version of the \
     program that has voted on it"
)]
struct Unreadable {
    tx: TxId,
}

impl<S: Store> Embedded<S> {
    /// The participant with this store. It has promised nothing until a driver restores it.
    pub fn new(store: S) -> Self {
        Self { store, promises: Promises::default(), failed: None }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, for reads of its rows and for changes of what is not promised.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// What is promised: from the vote until it is written that this is made, or let go of.
    pub fn promised(&self) -> &BTreeMap<TxId, S::Change> {
        self.promises.held()
    }
}

impl<S: Store> Storage for Embedded<S> {
    type Error = S::Error;

    fn load(&mut self) -> Result<Vec<Record>, S::Error> {
        let records = self.store.load()?;
        self.promises = Promises::after_restart(&records);
        self.failed = None;
        Ok(records)
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), S::Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.store.write(records, &self.promises.steps(records))?;
        self.promises.written(records);
        Ok(())
    }
}

impl<S: Store> Resource for Embedded<S> {
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        for Promised { transaction, meta, .. } in promised {
            let tx = transaction.id();
            let change = self.store.change(transaction, meta).ok_or(Unreadable { tx })?;
            self.promises.hold_again(tx, change);
        }
        self.store.recover(self.promises.held())?;
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        let tx = transaction.id();
        if self.promises.is_aborted(tx) {
            return Some(Vote::Aborted);
        }
        if self.promises.held().contains_key(&tx) {
            return Some(Vote::Prepared);
        }
        if self.failed.is_some() {
            return Some(Vote::Aborted);
        }
        let Some(change) = self.store.change(transaction, meta) else { return Some(Vote::Aborted) };
        match self.store.check(tx, &change, self.promises.held()) {
            Ok(true) => {
                self.promises.hold(tx, change);
                Some(Vote::Prepared)
            }
            Ok(false) => Some(Vote::Aborted),
            Err(error) => {
                self.failed = Some(error);
                Some(Vote::Aborted)
            }
        }
    }

    /// The change is made with the write of the record that follows from this answer.
    fn commit(&mut self, _: &Transaction, _: &Meta) -> Progress {
        Progress::Finished
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.promises.abort(transaction.id());
        Progress::Finished
    }

    fn begun(&mut self, tx: TxId) {
        self.store.begun(tx);
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.store.decided(tx, outcome);
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.store.completed(tx, outcome);
    }
}

/// A store that has a way to other nodes is all that a [`Driver`](super::Driver) needs.
impl<S: Store + Transport> Transport for Embedded<S> {
    fn send(&mut self, packet: Packet<Message>) {
        self.store.send(packet);
    }

    fn introduce(&mut self, birth: u64) {
        self.store.introduce(birth);
    }

    fn enter(&mut self, number: u64, membership: &Membership) {
        self.store.enter(number, membership);
    }

    fn learn(&mut self, membership: &Membership) {
        self.store.learn(membership);
    }

    fn let_go(&mut self, left: &[NodeId]) {
        self.store.let_go(left);
    }
}
