//! What carries out the effects of one node: its database, its outgoing mail and, at a branch, its ledger.

use fjall::{Database, PersistMode};
use synod::{
    Packet, TxId,
    commit::{Message, Meta, Outcome, Promised, Record, Transaction, Vote},
    perform::{
        Progress, RecoverError, Resource, Storage, Transport,
        fjall::{FjallError, FjallStorage, KEYSPACE},
    },
};

use crate::{
    cast::{Cast, Name},
    ledger::{BookError, Books, Ledger},
    meter::Meter,
};

/// The handlers of a node.
pub(crate) struct Site {
    storage: FjallStorage,
    /// A branch has one.
    ledger: Option<Ledger>,
    /// Packets that have left the node and are yet to be delivered.
    pub(crate) outgoing: Vec<Packet<Message>>,
    /// Outcomes that a transaction manager knows, for the teller.
    pub(crate) outcomes: Vec<(TxId, Outcome)>,
    pub(crate) meter: Meter,
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
            _ => None,
        };
        let (outgoing, outcomes, meter) = Default::default();
        Ok(Self { storage, ledger, outgoing, outcomes, meter })
    }

    /// The branch's ledger, and the database that it is in.
    pub(crate) fn ledger(&mut self) -> Option<(&mut Ledger, &Database)> {
        Some((self.ledger.as_mut()?, self.storage.database()))
    }
}

impl Storage for Site {
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        self.storage.load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), FjallError> {
        if records.is_empty() {
            return Ok(());
        }
        self.meter.written(records);
        match &mut self.ledger {
            // A change of balances and the record that says that it was made: one batch.
            Some(ledger) => self.storage.persist_with(records, |batch| ledger.write_staged(batch)),
            None => self.storage.persist(records),
        }
    }
}

impl Transport for Site {
    fn send(&mut self, packet: Packet<Message>) {
        self.meter.sent(&packet);
        self.outgoing.push(packet);
    }
}

impl Resource for Site {
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        self.ledger.as_mut().map_or(Ok(Vec::new()), |ledger| ledger.recover(promised))
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        self.ledger.as_mut()?.vote(transaction, meta)
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.ledger.as_mut().map_or(Progress::Finished, |ledger| ledger.commit(transaction, meta))
    }

    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.ledger.as_mut().map_or(Progress::Finished, |ledger| ledger.abort(transaction, meta))
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.outcomes.push((tx, outcome));
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.outcomes.push((tx, outcome));
    }
}
