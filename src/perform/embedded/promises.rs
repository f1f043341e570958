//! What an embedded store has promised, from the vote until it is written how that ended.
//!
//! A promise is written as soon as possible, for it does no harm if it is durable before the vote is: what was promised to
//! nobody is let go of after a restart. How it ends is written with the record of that, neither earlier nor later: in between
//! a crash would have a change made twice, or find a promise that somebody else has taken.

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

    /// What was not written is gone at once, the rest with the record of it.
    pub(super) fn abort(&mut self, tx: TxId) {
        self.aborted.insert(tx);
        if self.fresh.remove(&tx) {
            self.held.remove(&tx);
        }
    }

    /// What a write of `records` has to do besides.
    pub(super) fn steps(&self, records: &[Record]) -> Vec<Step<'_, C>> {
        let ends = self.ends(records);
        let ended = |end: End| {
            let ended = ends.iter().filter(move |(_, is)| **is == end);
            ended.filter_map(|(tx, _)| self.held.get_key_value(tx))
        };
        let fresh = self.fresh.iter().filter(|tx| ends.get(tx) != Some(&End::LetGo));
        let fresh = fresh.filter_map(|tx| self.held.get_key_value(tx));
        let released = ended(End::LetGo).filter(|(tx, _)| !self.fresh.contains(tx));
        let released = released.map(|(tx, change)| Step::Release(*tx, change));
        let promised = fresh.map(|(tx, change)| Step::Promise(*tx, change));
        let made = ended(End::Made).map(|(tx, change)| Step::Commit(*tx, change));
        released.chain(promised).chain(made).collect()
    }

    /// `records` are written, with the steps for them.
    pub(super) fn written(&mut self, records: &[Record]) {
        for tx in self.ends(records).keys() {
            self.held.remove(tx);
        }
        self.fresh.clear();
        for record in records {
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

    /// How promises end with `records`. Of the records of one transaction the first one tells: its tombstone may follow in the
    /// same batch. Of what an operator gives up, there is nothing but that.
    fn ends(&self, records: &[Record]) -> BTreeMap<TxId, End> {
        let mut ends = BTreeMap::new();
        for record in records {
            match record {
                Record::ResourceManager(record) | Record::Resolved { record, .. } => {
                    if let Some(outcome) = record.finished {
                        let end = if outcome == Outcome::Committed { End::Made } else { End::LetGo };
                        ends.entry(record.transaction.id()).or_insert(end);
                    }
                }
                Record::Erased(Key::ResourceManager(tx)) => {
                    ends.entry(*tx).or_insert(End::LetGo);
                }
                Record::Retired(range) => {
                    for (tx, _) in self.held.range(range.first()..=range.last()) {
                        ends.entry(*tx).or_insert(End::LetGo);
                    }
                }
                _ => {}
            }
        }
        ends
    }
}

impl<C> Default for Promises<C> {
    fn default() -> Self {
        let (held, fresh, aborted) = Default::default();
        Self { held, fresh, aborted }
    }
}
