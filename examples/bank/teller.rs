//! The client: says which transfer begins when, asks again when nobody answers, and keeps the results.
//!
//! A transfer's name as a transaction follows from its id, so it can be begun any number of times, in any run, and goes
//! through once. The teller's own database only saves asking again: what it lacks, the nodes still know.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use fjall::{Database, Keyspace, PersistMode};
use synod::{
    TxId,
    commit::{Meta, Outcome, Transaction, TransactionError},
};

use crate::{
    cast::{Cast, MANAGERS, Name},
    transfer::Transfer,
};

/// After this long without an answer, the teller turns to the next transaction manager.
const PATIENCE: Duration = Duration::from_millis(1_500);

pub(crate) struct Teller {
    transfers: Vec<Transfer>,
    transactions: Vec<(Transaction, Meta)>,
    places: HashMap<TxId, usize>,
    /// The first transfer that was not begun in this run.
    next: usize,
    under_way: BTreeMap<TxId, Request>,
    in_flight: usize,
    /// The transaction manager that answered last.
    manager: u64,
    results: HashMap<TxId, Outcome>,
    known_before: usize,
    latencies: Vec<Duration>,
    database: Database,
    kept: Keyspace,
    unsaved: Vec<TxId>,
    /// Transfers that ended in two ways.
    contradictions: Vec<TxId>,
}

/// A transfer that is under way.
struct Request {
    begun: Instant,
    asked: Instant,
    manager: u64,
}

/// Why the teller cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellerError {
    #[error("the teller's database failed")]
    Database(#[from] fjall::Error),
    #[error("transfer {0} makes no transaction")]
    NoTransaction(u64, #[source] TransactionError),
    #[error("transfer {0} was made before, with other legs; give it an id of its own")]
    OtherLegs(u64),
}

impl Teller {
    pub(crate) fn open(
        (database, kept): (Database, Keyspace),
        transfers: Vec<Transfer>,
        cast: &Cast,
        in_flight: usize,
    ) -> Result<Self, TellerError> {
        let mut results = HashMap::new();
        for transfer in &transfers {
            if let Some(value) = kept.get(transfer.id.to_be_bytes())?
                && let Some((outcome, legs)) = value.split_first()
            {
                if Transfer::decode_legs(legs) != transfer.legs {
                    return Err(TellerError::OtherLegs(transfer.id));
                }
                results.insert(transfer.tx(), if *outcome == 1 { Outcome::Committed } else { Outcome::Aborted });
            }
        }
        let transaction = |transfer: &Transfer| {
            transfer.transaction(cast).map_err(|error| TellerError::NoTransaction(transfer.id, error))
        };
        let transactions = transfers.iter().map(transaction).collect::<Result<_, _>>()?;
        Ok(Self {
            places: transfers.iter().enumerate().map(|(place, transfer)| (transfer.tx(), place)).collect(),
            transfers,
            transactions,
            next: 0,
            under_way: BTreeMap::new(),
            in_flight,
            manager: 0,
            known_before: results.len(),
            results,
            latencies: Vec::new(),
            database,
            kept,
            unsaved: Vec::new(),
            contradictions: Vec::new(),
        })
    }

    /// What to begin now, and where: new transfers up to the limit, and those that nobody has answered for.
    pub(crate) fn requests(&mut self, now: Instant) -> Vec<(Name, Transaction, Meta)> {
        let mut due = Vec::new();
        for (tx, request) in &mut self.under_way {
            if now.duration_since(request.asked) >= PATIENCE {
                request.asked = now;
                request.manager = (request.manager + 1) % MANAGERS;
                self.manager = request.manager;
                let (transaction, meta) = self.transactions[self.places[tx]].clone();
                due.push((Name::Manager(request.manager), transaction, meta));
            }
        }
        while self.under_way.len() < self.in_flight
            && let Some((transaction, meta)) = self.transactions.get(self.next)
        {
            self.next += 1;
            if !self.results.contains_key(&transaction.id()) {
                let request = Request { begun: now, asked: now, manager: self.manager };
                self.under_way.insert(transaction.id(), request);
                due.push((Name::Manager(self.manager), transaction.clone(), meta.clone()));
            }
        }
        due
    }

    /// Hears how a transaction ended; perhaps again, perhaps from an earlier run.
    pub(crate) fn settle(&mut self, tx: TxId, outcome: Outcome, now: Instant) {
        match self.results.get(&tx) {
            Some(known) if *known != outcome => return self.contradictions.push(tx),
            None if self.places.contains_key(&tx) => {}
            _ => return,
        }
        self.results.insert(tx, outcome);
        self.unsaved.push(tx);
        if let Some(request) = self.under_way.remove(&tx) {
            self.latencies.push(now.duration_since(request.begun));
        }
    }

    /// Keeps the new results. They outlive the process; should the machine lose them, the nodes are asked again.
    pub(crate) fn save(&mut self) -> Result<(), TellerError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for tx in self.unsaved.drain(..) {
            let outcome = u8::from(self.results[&tx] == Outcome::Committed);
            let legs = Transfer::encode_legs(&self.transfers[self.places[&tx]].legs);
            batch.insert(&self.kept, tx.seq.to_be_bytes(), [vec![outcome], legs].concat());
        }
        Ok(batch.commit()?)
    }

    /// When it will turn to another transaction manager, if nobody answers before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.under_way.values().map(|request| request.asked + PATIENCE).min()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.results.len() == self.transfers.len()
    }

    pub(crate) fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// How the transfers ended.
    pub(crate) fn results(&self) -> &HashMap<TxId, Outcome> {
        &self.results
    }

    /// Transfers that were reported to have ended in two ways, which must not be.
    pub(crate) fn contradictions(&self) -> &[TxId] {
        &self.contradictions
    }

    /// How many results this run has brought.
    pub(crate) fn done_now(&self) -> usize {
        self.results.len() - self.known_before
    }

    /// How long the transfers of this run took, from the first request until the outcome was known.
    pub(crate) fn latencies(&self) -> &[Duration] {
        &self.latencies
    }
}
