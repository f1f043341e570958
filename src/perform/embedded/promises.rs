//! What an embedded store has promised, from the vote until it is written how that ended.
//!
//! Promises and what is let go of are written as soon as possible, for it does no harm if they are durable before their
//! records are: what was promised to nobody is let go of after a restart, and what was aborted stays aborted. A change is
//! made only in the write that holds the record of it, for a crash in between would make it twice.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::Step;
use crate::{
    TxId,
    commit::{Key, Outcome, Record},
};

#[derive(Debug)]
pub(super) struct Promises<C> {
    held: BTreeMap<TxId, C>,
    /// Those that were promised since the last write.
    fresh: BTreeSet<TxId>,
    /// Promises that were written, and are to be let go of with the next write.
    released: BTreeMap<TxId, C>,
    /// What is aborted, until it is over everywhere: nobody asks for a vote on it after that.
    aborted: BTreeSet<TxId>,
}

/// How a promise ends with a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Made,
    LetGo,
}

impl<C> Promises<C> {
    /// Nothing is held yet.
    pub(super) fn after_restart(records: &[Record]) -> Self {
        let aborted = |record: &Record| match record {
            Record::ResourceManager(record) | Record::Resolved { record, .. } => {
                (record.finished == Some(Outcome::Aborted)).then(|| record.transaction.id())
            }
            _ => None,
        };
        Self { aborted: records.iter().filter_map(aborted).collect(), ..Self::default() }
    }

    pub(super) fn held(&self) -> &BTreeMap<TxId, C> {
        &self.held
    }

    pub(super) fn is_aborted(&self, tx: TxId) -> bool {
        self.aborted.contains(&tx)
    }

    pub(super) fn hold(&mut self, tx: TxId, change: C) {
        self.held.insert(tx, change);
        self.fresh.insert(tx);
    }

    /// What was promised before the restart.
    pub(super) fn hold_again(&mut self, tx: TxId, change: C) {
        self.held.insert(tx, change);
    }

    pub(super) fn abort(&mut self, tx: TxId) {
        self.aborted.insert(tx);
        if let Some(change) = self.held.remove(&tx)
            && !self.fresh.remove(&tx)
        {
            self.released.insert(tx, change);
        }
    }

    /// What a write of `records` has to do besides.
    pub(super) fn steps(&self, records: &[Record]) -> Vec<Step<'_, C>> {
        // Of the records of one transaction the first tells: a tombstone may follow in the same batch.
        let ends: BTreeMap<TxId, End> = records.iter().rev().filter_map(end).collect();
        let ended = |end: End| {
            let held = |tx: &TxId| self.held.get_key_value(tx);
            ends.iter().filter(move |(_, is)| **is == end).filter_map(move |(tx, _)| held(tx))
        };
        let fresh = self.fresh.iter().filter_map(|tx| self.held.get_key_value(tx));
        let released = self.released.iter().chain(ended(End::LetGo)).map(|(tx, change)| Step::Release(*tx, change));
        let promised = fresh.map(|(tx, change)| Step::Promise(*tx, change));
        let made = ended(End::Made).map(|(tx, change)| Step::Commit(*tx, change));
        released.chain(promised).chain(made).collect()
    }

    /// `records` are written, with the steps for them.
    pub(super) fn written(&mut self, records: &[Record]) {
        self.released.clear();
        self.fresh.clear();
        for record in records {
            if let Some((tx, _)) = end(record) {
                self.held.remove(&tx);
            }
            match record {
                Record::Erased(Key::ResourceManager(tx)) => {
                    self.aborted.remove(tx);
                }
                Record::Retired(range) => {
                    while let Some(&tx) = self.aborted.range(range.first()..=range.last()).next() {
                        self.aborted.remove(&tx);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The transaction whose promise ends with `record`, and how. Of what an operator gives up there is nothing but a tombstone.
fn end(record: &Record) -> Option<(TxId, End)> {
    match record {
        Record::ResourceManager(record) | Record::Resolved { record, .. } => {
            let end = if record.finished? == Outcome::Committed { End::Made } else { End::LetGo };
            Some((record.transaction.id(), end))
        }
        Record::Erased(Key::ResourceManager(tx)) => Some((*tx, End::LetGo)),
        _ => None,
    }
}

impl<C> Default for Promises<C> {
    fn default() -> Self {
        let (held, fresh, released, aborted) = Default::default();
        Self { held, fresh, released, aborted }
    }
}
