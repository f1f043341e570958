//! Who waits for which outcome, and the outcomes that were known last.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::{ops::RangeInclusive, time::Duration};

use ::tokio::time::Instant;

use super::{Error, handle::Reply};
use crate::{
    Refusal, TxId,
    commit::{Outcome, TxRange},
};

/// Outcomes, awaited and remembered.
#[derive(Debug)]
pub(super) struct Outcomes {
    open: BTreeMap<TxId, Interest>,
    /// How many are waiting, those that have gone since among them.
    waiting: usize,
    most_waiting: usize,
    /// How many have asked since it was last looked who has gone.
    asked: usize,
    known: BTreeMap<TxId, Outcome>,
    /// The same, in the order in which they became known.
    order: VecDeque<Settled>,
    most_known: usize,
}

/// When an outcome became known.
#[derive(Clone, Copy, Debug)]
struct Settled {
    tx: TxId,
    at: Instant,
    /// How long that was after it was begun here.
    took: Option<Duration>,
}

/// How a transaction ended, and when that became known at a node since it was started.
///
/// See [`Handle::recent`](super::Handle::recent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentOutcome {
    /// The transaction.
    pub tx: TxId,
    /// How it ended.
    pub outcome: Outcome,
    /// How long ago that became known here.
    pub ago: Duration,
    /// How long it took since it was begun, if that was here.
    pub took: Option<Duration>,
}

/// Why a transaction is of interest whose outcome is not known, or not carried out everywhere, yet.
#[derive(Debug, Default)]
struct Interest {
    /// When it was begun here.
    begun: Option<Instant>,
    waiting: Vec<(Until, Reply<Outcome>)>,
    /// The outcome, for those who wait until it is carried out everywhere.
    outcome: Option<Outcome>,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The outcome is known.
    Known,
    /// Every resource manager has carried it out.
    Completed,
}

impl Outcomes {
    pub(super) fn new(most_waiting: usize, most_known: usize) -> Self {
        let (open, known, order) = Default::default();
        Self { open, waiting: 0, most_waiting, asked: 0, known, order, most_known }
    }

    /// How `tx` ended, if that became known lately.
    pub(super) fn get(&self, tx: TxId) -> Option<Outcome> {
        self.known.get(&tx).copied()
    }

    /// The outcomes that became known last, the latest first.
    pub(super) fn recent(&self, limit: usize) -> Vec<RecentOutcome> {
        let now = Instant::now();
        let recent = self.order.iter().rev().take(limit).filter_map(|&Settled { tx, at, took }| {
            let ago = now.saturating_duration_since(at);
            Some(RecentOutcome { tx, outcome: *self.known.get(&tx)?, ago, took })
        });
        recent.collect()
    }

    /// How many are waiting.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Notes that `tx` was begun here at `since`.
    pub(super) fn begun(&mut self, tx: TxId, since: Instant) {
        self.open.entry(tx).or_default().begun.get_or_insert(since);
    }

    /// Lets `reply` wait for the outcome of `tx`, which may be known already, unless too many wait.
    pub(super) fn wait(&mut self, tx: TxId, until: Until, known: Option<Outcome>, reply: Reply<Outcome>) {
        self.asked += 1;
        // To look at everything for each of many who find no room would be to do little else.
        if self.waiting >= self.most_waiting && self.asked > self.most_waiting / 16 {
            self.forget_who_left();
        }
        if self.waiting >= self.most_waiting {
            return drop(reply.send(Err(Error::TooManyWaiting)));
        }
        self.waiting += 1;
        let interest = self.open.entry(tx).or_default();
        interest.outcome = interest.outcome.or(known);
        interest.waiting.push((until, reply));
    }

    /// The outcome of `tx` is known. Returns, the first time, how long that took since it was begun, if that was here.
    pub(super) fn settle(&mut self, tx: TxId, outcome: Outcome) -> Option<Duration> {
        let (took, is_answered) = match self.open.get_mut(&tx) {
            Some(interest) => {
                let took = interest.begun.take().map(|begun| begun.elapsed());
                interest.outcome = Some(outcome);
                let heard = interest.waiting.extract_if(.., |(until, _)| *until == Until::Known).map(|(_, reply)| {
                    let _ = reply.send(Ok(outcome));
                });
                self.waiting -= heard.count();
                (took, interest.waiting.is_empty())
            }
            None => (None, false),
        };
        if is_answered {
            self.open.remove(&tx);
        }
        if self.known.insert(tx, outcome).is_none() {
            self.order.push_back(Settled { tx, at: Instant::now(), took });
        }
        while self.known.len() > self.most_known
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest.tx);
        }
        took
    }

    /// Everyone has carried out how `tx` ended.
    pub(super) fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.answer(tx, |_| Ok(outcome));
    }

    /// All of `range` is over: whoever still waits there is told how it ended, as far as that is `known`. They will hear
    /// no more.
    pub(super) fn over(&mut self, range: TxRange, known: impl Fn(TxId) -> Option<Outcome>) {
        let range: RangeInclusive<TxId> = range.first()..=range.last();
        let over: Vec<TxId> = self.open.range(range).map(|(tx, _)| *tx).collect();
        for tx in over {
            self.answer(tx, |outcome| outcome.or_else(|| known(tx)).ok_or(Error::Forgotten(tx)));
        }
    }

    /// The node is silent about some transactions from now on: whoever waits for one that `is_broken` is told.
    pub(super) fn broken(&mut self, is_broken: impl Fn(TxId) -> bool) {
        let broken: Vec<TxId> = self.open.keys().copied().filter(|tx| is_broken(*tx)).collect();
        for tx in broken {
            self.answer(tx, |_| Err(Refusal::Broken.into()));
        }
    }

    /// Tells all who wait that they will not hear soon.
    pub(super) fn fail(&mut self, error: &Error) {
        if self.waiting == 0 {
            return;
        }
        for interest in self.open.values_mut() {
            for (_, reply) in interest.waiting.drain(..) {
                let _ = reply.send(Err(error.clone()));
            }
        }
        self.open.retain(|_, interest| interest.begun.is_some());
        self.waiting = 0;
    }

    /// Answers all who wait for `tx`, given what is known of its outcome.
    fn answer(&mut self, tx: TxId, result: impl FnOnce(Option<Outcome>) -> Result<Outcome, Error>) {
        let Some(Interest { waiting, outcome, .. }) = self.open.remove(&tx) else { return };
        let result = result(outcome);
        self.waiting -= waiting.len();
        for (_, reply) in waiting {
            let _ = reply.send(result.clone());
        }
    }

    /// Makes room where callers have stopped waiting.
    fn forget_who_left(&mut self) {
        let mut waiting = 0;
        self.open.retain(|_, interest| {
            interest.waiting.retain(|(_, reply)| !reply.is_closed());
            waiting += interest.waiting.len();
            interest.begun.is_some() || !interest.waiting.is_empty()
        });
        self.waiting = waiting;
        self.asked = 0;
    }
}
