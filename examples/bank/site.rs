//! What carries out the effects of one node: its database, its outgoing mail and, at a branch, its ledger.

use std::collections::BTreeMap;

use fjall::{Database, PersistMode};
use synod::{
    Packet, TxId,
    commit::{Message, Meta, Outcome, Record, Transaction},
    perform::{
        Storage, Transport,
        embedded::{Step, Store},
        fjall::{FjallError, FjallStorage, KEYSPACE},
    },
};

use crate::{
    cast::{Cast, Name},
    ledger::{BookError, Books, Ledger},
    meter::Meter,
    transfer::Leg,
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
        self.meter.written(records);
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

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.outcomes.push((tx, outcome));
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.outcomes.push((tx, outcome));
    }
}

impl Transport for Site {
    fn send(&mut self, packet: Packet<Message>) {
        self.meter.sent(&packet);
        self.outgoing.push(packet);
    }
}
