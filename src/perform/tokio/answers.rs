//! Answers that wait for the writes that they rest on.
//!
//! What a node has in memory may be ahead of its storage: a vote to abort, say, settles the outcome at once, but a crash
//! before its write would leave the vote open again. So an answer leaves once all that it rests on is durable, and waits
//! for nothing else.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use super::{Error, handle::Reply, outcomes::Outcomes};
use crate::{Scope, TxId, commit::Outcome};

/// Answers on their way out, by what they rest on.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<Scope, Vec<Answer>>);

/// Takes the outcomes that are known, or why there is no answer.
type Answer = Box<dyn FnOnce(Result<&Outcomes, Error>) + Send>;

impl Answers {
    /// Answers `reply` with `result`, once `after` is durable.
    pub(super) fn push<T: Send + 'static>(&mut self, after: Scope, reply: Reply<T>, result: Result<T, Error>) {
        // The caller may be gone.
        self.add(after, move |due| drop(reply.send(due.and(result))));
    }

    /// Answers `reply` with the outcome of `tx`, which is over, if that is known once `after` is durable.
    pub(super) fn push_known(&mut self, after: Scope, reply: Reply<Outcome>, tx: TxId) {
        let answer = move |outcomes: &Outcomes| outcomes.get(tx).ok_or(Error::Forgotten(tx));
        self.add(after, move |due| drop(reply.send(due.and_then(answer))));
    }

    fn add(&mut self, after: Scope, answer: impl FnOnce(Result<&Outcomes, Error>) + Send + 'static) {
        self.0.entry(after).or_default().push(Box::new(answer));
    }

    /// Gives those answers that rest on nothing more. What rests on the same must have been carried out.
    pub(super) fn give(&mut self, is_durable: impl Fn(Scope) -> bool, outcomes: &Outcomes) {
        while let Some(first) = self.0.first_entry()
            && is_durable(*first.key())
        {
            first.remove().into_iter().for_each(|answer| answer(Ok(outcomes)));
        }
    }

    /// Tells all who wait that there is no answer now.
    pub(super) fn fail(&mut self, error: &Error) {
        let waiting = core::mem::take(&mut self.0);
        waiting.into_values().flatten().for_each(|answer| answer(Err(error.clone())));
    }

    /// How many wait: for a few batches at most, so there is little to add up.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
