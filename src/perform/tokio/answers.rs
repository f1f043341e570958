//! Answers that wait for the writes that they rest on.
//!
//! What a node has in memory may be ahead of its storage: a vote to abort, say, settles the outcome at once, but a crash
//! before its write would leave the vote open again. So an answer leaves when all that was stepped before it is durable.

use alloc::{boxed::Box, vec::Vec};

use super::{Error, handle::Reply};

/// Answers on their way out.
#[derive(Default)]
pub(super) struct Answers {
    /// Given since the last batch was taken.
    fresh: Vec<Answer>,
    /// Behind the batch that is being written.
    behind: Vec<Answer>,
}

type Answer = Box<dyn FnOnce() + Send>;

impl Answers {
    /// Answers `reply` with `result`, in time.
    pub(super) fn push<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, Error>) {
        // Who asked may be gone.
        self.fresh.push(Box::new(move || drop(reply.send(result))));
    }

    /// All that was stepped is in a batch now, which is being written.
    pub(super) fn batch_taken(&mut self) {
        self.behind.append(&mut self.fresh);
    }

    /// That batch is durable.
    pub(super) fn batch_written(&mut self) {
        self.behind.drain(..).for_each(|answer| answer());
    }

    /// All that was stepped is durable.
    pub(super) fn all_durable(&mut self) {
        self.batch_written();
        self.fresh.drain(..).for_each(|answer| answer());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.behind.is_empty()
    }
}
