//! What carries out the effects of one node: its database, its way out and, at a branch, its ledger.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fjall::{Database, PersistMode};
use synod::{
    NodeId, Packet, TxId,
    commit::{Membership, Message, Meta, Record, Transaction},
    perform::{
        Storage, Transport,
        embedded::{Step, Store},
        fjall::{FjallError, FjallStorage, KEYSPACE},
    },
};
use synod_grpc::Peers;

use crate::{
    cast::{Cast, Name},
    ledger::{BookError, Books, Ledger},
    meter::Meter,
    transfer::Leg,
};

/// The database of a node. At a branch, the books are in it as well.
pub(crate) struct Site {
    storage: FjallStorage,
    /// A branch has one.
    ledger: Option<Ledger>,
    meter: Arc<Mutex<Meter>>,
}

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
        let ledger = match name {
            Name::Branch(_) => {
                let books = Books::open(&database).map_err(FjallError::from)?;
                Some(Ledger::open(books, cast, name)?)
            }
            Name::Manager(_) => None,
        };
        Ok(Self { storage, ledger, meter: Arc::default() })
    }

    /// The branch's ledger, and the database that it is in.
    pub(crate) fn ledger(&mut self) -> Option<(&mut Ledger, &Database)> {
        Some((self.ledger.as_mut()?, self.storage.database()))
    }

    pub(crate) fn meter(&self) -> Arc<Mutex<Meter>> {
        Arc::clone(&self.meter)
    }
}

impl Store for Site {
    /// The legs of a transfer that are at home here.
    type Change = Vec<Leg>;
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        self.storage.load()
    }

    fn write(&mut self, records: &[Record], steps: &[Step<'_, Vec<Leg>>]) -> Result<(), FjallError> {
        if records.is_empty() {
            return Ok(());
        }
        lock(&self.meter).written(records);
        match &mut self.ledger {
            // A change of balances and the record that says that it was made: one batch.
            Some(ledger) => self.storage.persist_with(records, |batch| ledger.write(batch, steps)),
            None => self.storage.persist(records),
        }
    }

    fn change(&self, _: &Transaction, meta: &Meta) -> Option<Vec<Leg>> {
        Some(self.ledger.as_ref()?.legs(meta))
    }

    fn check(&mut self, tx: TxId, legs: &Vec<Leg>, promised: &BTreeMap<TxId, Vec<Leg>>) -> Result<bool, FjallError> {
        Ok(self.ledger.as_mut().is_some_and(|ledger| ledger.check(tx, legs, promised)))
    }
}

impl Transport for Door {
    fn send(&mut self, packet: Packet<Message>) {
        lock(&self.meter).sent(&packet);
        self.peers.send(packet);
    }

    fn introduce(&mut self, birth: u64) {
        self.peers.introduce(birth);
    }

    fn enter(&mut self, number: u64, membership: &Membership) {
        self.peers.enter(number, membership);
    }

    fn learn(&mut self, membership: &Membership) {
        self.peers.learn(membership);
    }

    fn let_go(&mut self, left: &[NodeId]) {
        self.peers.let_go(left);
    }
}

/// What a thread that panicked was about does not matter here: the process ends then.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
