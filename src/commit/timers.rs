//! Time-outs of many transactions, in order of time: a tick costs what is due, and no more.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use super::Time;
use crate::TxId;

/// The three roles that a node can play in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Acceptor,
    ResourceManager,
    TransactionManager,
}

/// What is waited for, by transaction and role. A timer that was armed between two ticks starts at the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    started: BTreeSet<(Time, TxId, Role)>,
    /// Transactions that may have timers to be started, in the order of their arming.
    armed: VecDeque<TxId>,
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
        self.started.insert((due, tx, role));
    }

    pub(crate) fn cancel(&mut self, due: Time, tx: TxId, role: Role) {
        self.started.remove(&(due, tx, role));
    }

    /// Moves all that is due by `now` to `due`, in order.
    pub(crate) fn take_due(&mut self, now: Time, due: &mut Vec<(TxId, Role)>) {
        while let Some(&(at, tx, role)) = self.started.first()
            && at <= now
        {
            self.started.pop_first();
            due.push((tx, role));
        }
    }

    /// When the first timer ends, of those that have started.
    pub(crate) fn first_due(&self) -> Option<Time> {
        self.started.first().map(|(due, ..)| *due)
    }

    /// How many transactions are armed, those included that are not open any more.
    pub(crate) fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Puts the armed transactions in order of name.
    pub(crate) fn sort_armed(&mut self) {
        self.armed.make_contiguous().sort_unstable();
    }

    /// Forgets armed transactions that are not open any more, when they have become the greater part.
    pub(crate) fn prune(&mut self, open: usize, is_open: impl Fn(TxId) -> bool) {
        if self.armed.len() / 2 > open.saturating_add(512) {
            self.armed.retain(|tx| is_open(*tx));
        }
    }
}
