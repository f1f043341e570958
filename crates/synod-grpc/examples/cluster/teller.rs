//! The transfers: which come next, which are under way, and how they ended.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use synod::{
    TxId,
    commit::{Meta, Outcome, Transaction, TransactionError},
};

use crate::{cast::CAST, counter::Errand, transfer::Transfer};

#[derive(Default)]
pub(crate) struct Teller {
    transfers: Vec<Transfer>,
    /// The first one that was not begun.
    next: usize,
    under_way: BTreeMap<TxId, Instant>,
    results: HashMap<TxId, Outcome>,
    /// How many of those an earlier run has brought.
    old: usize,
    latencies: Vec<Duration>,
    /// When each of this run ended.
    ended: Vec<(Instant, Errand)>,
}

impl Teller {
    /// Takes one more transfer, to be made after the others.
    pub(crate) fn add(&mut self, transfer: Transfer) {
        self.transfers.push(transfer);
    }

    /// The next transfer that is to be made, as a transaction and its content.
    pub(crate) fn next(&mut self) -> Result<Option<(Transaction, Meta)>, TransactionError> {
        let Some(transfer) = self.transfers.get(self.next) else { return Ok(None) };
        self.next += 1;
        self.under_way.insert(transfer.tx(), Instant::now());
        transfer.transaction(&CAST).map(Some)
    }

    /// Notes how a transfer went.
    pub(crate) fn settle(&mut self, errand: Errand) {
        let Errand { tx, outcome, waited, is_old, .. } = errand;
        self.under_way.remove(&tx);
        self.results.insert(tx, outcome);
        if is_old {
            self.old += 1;
        } else {
            self.latencies.push(waited);
            self.ended.push((Instant::now(), errand));
        }
    }

    /// The transfer called `tx`.
    pub(crate) fn find(&self, tx: TxId) -> Option<&Transfer> {
        // They are in the order of their ids.
        let place = self.transfers.binary_search_by_key(&tx.seq, |transfer| transfer.id).ok()?;
        self.transfers.get(place)
    }

    /// Gives up what was not begun.
    pub(crate) fn cut(&mut self) {
        self.transfers.truncate(self.next);
    }

    /// Whether all have ended.
    pub(crate) fn is_done(&self) -> bool {
        self.results.len() == self.transfers.len()
    }

    /// Whether all are begun.
    pub(crate) fn is_dry(&self) -> bool {
        self.next == self.transfers.len()
    }

    pub(crate) fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// How the transfers ended.
    pub(crate) fn results(&self) -> &HashMap<TxId, Outcome> {
        &self.results
    }

    /// How many results this run has brought.
    pub(crate) fn done_now(&self) -> usize {
        self.results.len() - self.old
    }

    /// How long the transfers of this run took, from the first request until the outcome was known.
    pub(crate) fn latencies(&self) -> &[Duration] {
        &self.latencies
    }

    /// When each transfer of this run ended, and how.
    pub(crate) fn ended(&self) -> &[(Instant, Errand)] {
        &self.ended
    }

    /// How long the one waits that waits longest now.
    pub(crate) fn oldest(&self) -> Duration {
        self.under_way.values().min().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// How long the one waited that waited longest.
    pub(crate) fn longest(&self) -> Duration {
        self.latencies.iter().copied().max().unwrap_or_default()
    }
}
