//! Time-outs of many transactions, in order of time: a tick costs what is due, and no more.
//!
//! To cancel a timer is to count it out. It stays where it is, and whoever is told that a timer has ended looks whether it
//! still waits for that. Once most timers are cancelled, a tick sweeps them out.

use alloc::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    vec::Vec,
};

use super::Time;
use crate::TxId;

/// How many cancelled timers are not worth looking for.
const CLUTTER: usize = 512;

/// The three roles that a node can play in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Acceptor,
    ResourceManager,
    TransactionManager,
}

/// What is waited for, by transaction and role. A timer that was armed between two ticks starts at the next one.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Timers {
    /// By the moment at which they end. None is all cancelled.
    started: BTreeMap<Time, Batch>,
    /// How many are in the batches, and how many of them are cancelled.
    entries: usize,
    cancelled: usize,
    /// Transactions that may have timers to be started, in the order of their arming.
    armed: VecDeque<TxId>,
}

/// Timers that end at one moment. One that was cancelled and started again is there twice.
#[derive(Clone, Debug, PartialEq)]
struct Batch {
    timers: Vec<(TxId, Role)>,
    cancelled: usize,
}

impl Timers {
    /// Notes that `tx` has timers that are to start at the next tick.
    pub(crate) fn arm(&mut self, tx: TxId) {
        self.armed.push_back(tx);
    }

    /// The next transaction whose timers are to start.
    pub(crate) fn next_armed(&mut self) -> Option<TxId> {
        self.armed.pop_front()
    }

    pub(crate) fn start(&mut self, due: Time, tx: TxId, role: Role) {
        match self.started.entry(due) {
            Entry::Occupied(mut batch) => batch.get_mut().timers.push((tx, role)),
            // Where the unit of time is small, most are alone.
            Entry::Vacant(place) => drop(place.insert(Batch { timers: alloc::vec![(tx, role)], cancelled: 0 })),
        }
        self.entries = self.entries.saturating_add(1);
    }

    /// Counts out one of the timers that end at `due`, if there are any.
    pub(crate) fn cancel(&mut self, due: Time) {
        let Entry::Occupied(mut batch) = self.started.entry(due) else { return };
        batch.get_mut().cancelled = batch.get().cancelled.saturating_add(1);
        self.cancelled = self.cancelled.saturating_add(1);
        if batch.get().cancelled >= batch.get().timers.len() {
            let batch = batch.remove();
            self.forget(&batch);
        }
    }

    /// Moves all that is due by `now` to `due`, in order, those that are cancelled included.
    pub(crate) fn take_due(&mut self, now: Time, due: &mut Vec<(Time, TxId, Role)>) {
        while let Some(first) = self.started.first_entry().filter(|first| *first.key() <= now) {
            let (at, mut batch) = first.remove_entry();
            self.forget(&batch);
            batch.timers.sort_unstable();
            due.extend(batch.timers.into_iter().map(|(tx, role)| (at, tx, role)));
        }
    }

    /// Drops cancelled timers once they are the greater part: all but those that are `current`. No batch becomes empty, for
    /// none is all cancelled.
    pub(crate) fn sweep(&mut self, current: impl Fn(Time, TxId, Role) -> bool) {
        if self.cancelled <= CLUTTER.saturating_add(self.entries / 2) {
            return;
        }
        for (due, batch) in &mut self.started {
            batch.timers.sort_unstable();
            batch.timers.dedup();
            batch.timers.retain(|(tx, role)| current(*due, *tx, *role));
            batch.cancelled = 0;
        }
        self.entries = self.started.values().map(|batch| batch.timers.len()).sum();
        self.cancelled = 0;
    }

    fn forget(&mut self, batch: &Batch) {
        self.entries = self.entries.saturating_sub(batch.timers.len());
        self.cancelled = self.cancelled.saturating_sub(batch.cancelled);
    }

    /// When the first timer ends, of those that have started and are not cancelled.
    pub(crate) fn first_due(&self) -> Option<Time> {
        self.started.first_key_value().map(|(due, _)| *due)
    }

    /// How many transactions are armed, those included that are not open any more.
    pub(crate) fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Forgets armed transactions that are not open any more, when they have become the greater part.
    pub(crate) fn prune(&mut self, open: usize, is_open: impl Fn(TxId) -> bool) {
        if self.armed.len() / 2 > open.saturating_add(CLUTTER) {
            self.armed.retain(|tx| is_open(*tx));
        }
    }
}
