//! Answers that wait for the writes that they rest on.
//!
//! What a node has in memory may be ahead of its storage: a vote to abort, say, settles the outcome at once, but a crash
//! before its write would leave the vote open again. So an answer leaves when all that was stepped before it is durable.

use alloc::{boxed::Box, vec::Vec};

use super::{Error, handle::Reply, outcomes::Outcomes};
use crate::{TxId, commit::Outcome};

/// Answers on their way out.
#[derive(Default)]
pub(super) struct Answers {
    /// Given since the last batch was taken.
    fresh: Vec<Answer>,
    /// Behind the batch that is being written.
    behind: Vec<Answer>,
}

type Answer = Box<dyn FnOnce(&Outcomes) + Send>;

impl Answers {
    /// Answers `reply` with `result`, in time.
    pub(super) fn push<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, Error>) {
        // Who asked may be gone.
        self.fresh.push(Box::new(move |_| drop(reply.send(result))));
    }

    /// Answers `reply` with the outcome of `tx`, which is over, if that is known by then.
    pub(super) fn push_known(&mut self, reply: Reply<Outcome>, tx: TxId) {
        let answer = move |outcomes: &Outcomes| reply.send(outcomes.get(tx).ok_or(Error::Forgotten(tx)));
        self.fresh.push(Box::new(move |outcomes| drop(answer(outcomes))));
    }

    /// All that was stepped is in a batch now, which is being written.
    pub(super) fn batch_taken(&mut self) {
        self.behind.append(&mut self.fresh);
    }

    /// That batch is durable, and carried out.
    pub(super) fn batch_written(&mut self, outcomes: &Outcomes) {
        self.behind.drain(..).for_each(|answer| answer(outcomes));
    }

    /// All that was stepped is durable, and carried out.
    pub(super) fn all_durable(&mut self, outcomes: &Outcomes) {
        self.batch_written(outcomes);
        self.fresh.drain(..).for_each(|answer| answer(outcomes));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.behind.is_empty()
    }
}
