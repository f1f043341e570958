//! A storage that fails when it is told to, for tests of what is built on one.
//!
//! Wrap a storage, keep its [`Faults`], and order what shall go wrong:
//!
//! ```
//! use synod::{NodeId, Quorums, commit::*, perform::{Driver, DriverError, Handlers, NoResource, Start}};
//! use synod::perform::{faulty::FaultyStorage, memory::MemoryStorage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([NodeId(1)])?, [NodeId(1)])?;
//! let config = Config::new(cluster, NodeId(1), 0);
//! let storage = FaultyStorage::new(MemoryStorage::new());
//! let faults = storage.faults();
//! let mut handlers = Handlers { storage, transport: Vec::new(), resource: NoResource };
//! let mut driver = Driver::create(config.clone(), &mut handlers)?;
//!
//! faults.fill(); // the disk is full
//! driver.push(Input::Begin { participants: Participants::new([NodeId(1)])?, meta: Meta::default() })?;
//! assert!(matches!(driver.flush(&mut handlers), Err(DriverError::Write(_))));
//! assert!(driver.is_fenced());
//! faults.free();
//! let driver = Driver::open(config, Start::Restore, &mut handlers)?;
//! assert!(!driver.is_fenced());
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Storage;
use crate::commit::{Key, Record};

/// A storage over another one, with faults that are [ordered](Faults). Clones share the faults.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage<S> {
    storage: S,
    faults: Faults,
}

/// What goes wrong at a [`FaultyStorage`], and when. A clone orders for the same storage.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<(Mutex<Orders>, Condvar)>);

#[derive(Debug, Default)]
struct Orders {
    is_full: bool,
    is_stalled: bool,
    /// How many writes wait for the end of a stall.
    stalled: usize,
    next: Option<Next>,
    is_damaged: bool,
    /// What records look like when they are loaded. Nothing stands for one that is missing.
    changed: BTreeMap<Key, Option<Record>>,
}

/// What happens to the next write.
#[derive(Clone, Copy, Debug)]
enum Next {
    Short { records: usize },
    NoSync { durable: bool },
}

/// Why a [`FaultyStorage`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultyError<E: core::error::Error + 'static> {
    /// The storage below failed by itself.
    #[error(transparent)]
    Storage(E),
    /// [`Faults::fill`]
    #[error("the disk is full")]
    Full,
    /// [`Faults::cut_next_write`]
    #[error("the write was cut off after {written} records")]
    Short {
        /// How many records are durable.
        written: usize,
    },
    /// [`Faults::fail_next_sync`]
    #[error("the sync failed")]
    Sync,
    /// [`Faults::damage`]
    #[error("the storage is damaged")]
    Damaged,
}

impl<S> FaultyStorage<S> {
    /// A storage that does as `storage` does, until something else is ordered.
    pub fn new(storage: S) -> Self {
        Self { storage, faults: Faults::default() }
    }

    /// The orders of this storage and its clones.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The storage below.
    pub fn get_ref(&self) -> &S {
        &self.storage
    }
}

impl Faults {
    /// A full disk: from now on every write fails and nothing of it is durable, until the disk is [freed](Faults::free).
    pub fn fill(&self) {
        self.orders().is_full = true;
    }

    /// There is room again.
    pub fn free(&self) {
        self.orders().is_full = false;
    }

    /// A short write: of the next write only the first `records` are durable, and it is an error.
    pub fn cut_next_write(&self, records: usize) {
        self.orders().next = Some(Next::Short { records });
    }

    /// A failed sync: the next write is an error, though all of it is `durable`, or nothing.
    pub fn fail_next_sync(&self, durable: bool) {
        self.orders().next = Some(Next::NoSync { durable });
    }

    /// A stall: from now on writes hang, until they are [released](Faults::release).
    pub fn stall(&self) {
        self.orders().is_stalled = true;
    }

    /// Lets the writes that hang, and all others, go on.
    pub fn release(&self) {
        self.orders().is_stalled = false;
        self.0.1.notify_all();
    }

    /// How many writes hang.
    pub fn stalled(&self) -> usize {
        self.orders().stalled
    }

    /// Damage that the storage notices: it cannot be loaded any more.
    pub fn damage(&self) {
        self.orders().is_damaged = true;
    }

    /// Damage that the storage does not notice: it is loaded without the record of this key.
    pub fn lose(&self, key: Key) {
        self.orders().changed.insert(key, None);
    }

    /// Damage that the storage does not notice: it is loaded with this record in the place of the one with the same key.
    pub fn change(&self, record: Record) {
        self.orders().changed.insert(record.key(), Some(record));
    }

    /// Undoes all damage.
    pub fn repair(&self) {
        let mut orders = self.orders();
        orders.is_damaged = false;
        orders.changed.clear();
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of a stall, and says what happens to this write.
    fn next(&self) -> (bool, Option<Next>) {
        let mut orders = self.orders();
        orders.stalled += 1;
        orders = self.0.1.wait_while(orders, |orders| orders.is_stalled).unwrap_or_else(PoisonError::into_inner);
        orders.stalled -= 1;
        (orders.is_full, orders.next.take())
    }
}

impl<S: Storage> Storage for FaultyStorage<S> {
    type Error = FaultyError<S::Error>;

    fn load(&mut self) -> Result<Vec<Record>, Self::Error> {
        let records = self.storage.load().map_err(FaultyError::Storage)?;
        let orders = self.faults.orders();
        if orders.is_damaged {
            return Err(FaultyError::Damaged);
        }
        let seen = |record: Record| match orders.changed.get(&record.key()) {
            Some(changed) => changed.clone(),
            None => Some(record),
        };
        Ok(records.into_iter().filter_map(seen).collect())
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), Self::Error> {
        let (durable, error) = match self.faults.next() {
            (true, _) => return Err(FaultyError::Full),
            (false, None) => (records.len(), None),
            (false, Some(Next::Short { records: written })) => {
                let written = written.min(records.len());
                (written, Some(FaultyError::Short { written }))
            }
            (false, Some(Next::NoSync { durable: true })) => (records.len(), Some(FaultyError::Sync)),
            (false, Some(Next::NoSync { durable: false })) => return Err(FaultyError::Sync),
        };
        self.storage.persist(&records[..durable]).map_err(FaultyError::Storage)?;
        error.map_or(Ok(()), Err)
    }
}
