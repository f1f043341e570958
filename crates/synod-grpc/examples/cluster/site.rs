//! What carries out the effects of one node: its database, its way out and, at a branch, its ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjall::{Database, PersistMode};
use synod::{
    Packet,
    commit::{Message, Meta, Promised, Record, Transaction, Vote},
    perform::{
        Resource as _, Storage, Transport,
        fjall::{FjallError, FjallStorage, KEYSPACE},
        tokio::{Progress, RecoverError, Resource},
    },
};
use synod_grpc::Peers;

use crate::{
    cast::{Cast, Name},
    ledger::{BookError, Books, Ledger},
    meter::Meter,
};

/// The storage of a node. At a branch, changes of the books are in it as well.
pub(crate) struct Site {
    storage: FjallStorage,
    desk: Desk,
    meter: Arc<Mutex<Meter>>,
}

/// The resource of a node: a branch has a ledger.
#[derive(Clone, Default)]
pub(crate) struct Desk(Option<Arc<Mutex<Ledger>>>);

/// The way out of a node, where packets are counted.
pub(crate) struct Door {
    pub(crate) peers: Peers,
    pub(crate) meter: Arc<Mutex<Meter>>,
}

/// Why a node's database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    #[error(transparent)]
    Storage(#[from] FjallError),
    #[error("the books cannot be read")]
    Books(#[from] BookError),
}

impl Site {
    /// The site whose database is `database`.
    pub(crate) fn restore(database: Database, cast: Cast, name: Name) -> Result<Self, SiteError> {
        let storage = FjallStorage::within(database.clone(), KEYSPACE)?.with_mode(PersistMode::SyncData);
        let desk = match name {
            Name::Branch(_) => {
                let books = Books::open(&database).map_err(FjallError::from)?;
                let ledger = Ledger::open(books, cast, name)?;
                Desk(Some(Arc::new(Mutex::new(ledger))))
            }
            Name::Manager(_) => Desk::default(),
        };
        Ok(Self { storage, desk, meter: Arc::default() })
    }

    /// The branch's ledger, and the database that it is in.
    pub(crate) fn ledger(&mut self) -> Option<(MutexGuard<'_, Ledger>, &Database)> {
        Some((self.desk.ledger()?, self.storage.database()))
    }

    pub(crate) fn desk(&self) -> Desk {
        self.desk.clone()
    }

    pub(crate) fn meter(&self) -> Arc<Mutex<Meter>> {
        Arc::clone(&self.meter)
    }
}

impl Storage for Site {
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        self.storage.load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), FjallError> {
        lock(&self.meter).written(records);
        let desk = &self.desk;
        self.storage.persist_with(records, |batch| {
            // What was staged before a record was made is in its batch at the latest.
            if let Some(mut ledger) = desk.ledger() {
                ledger.write_staged(batch);
            }
        })
    }
}

impl Desk {
    pub(crate) fn ledger(&self) -> Option<MutexGuard<'_, Ledger>> {
        self.0.as_deref().map(lock)
    }
}

impl Resource for Desk {
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        self.ledger().map_or(Ok(Vec::new()), |mut ledger| ledger.recover(promised))
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        self.ledger().and_then(|mut ledger| ledger.vote(transaction, meta)).unwrap_or(Vote::Aborted)
    }

    async fn commit(&self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.ledger().map_or(Progress::Finished, |mut ledger| ledger.commit(transaction, meta))
    }

    async fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.ledger().map_or(Progress::Finished, |mut ledger| ledger.abort(transaction, meta))
    }
}

impl Transport for Door {
    fn send(&mut self, packet: Packet<Message>) {
        lock(&self.meter).sent(&packet);
        self.peers.send(packet);
    }
}

/// What a thread that panicked was about does not matter here: the process ends then.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
