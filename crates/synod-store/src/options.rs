//! What can be chosen about a store.

use std::time::Duration;

/// How a store is asked. All has a default.
///
/// ```
/// use std::time::Duration;
/// use synod_store::Options;
///
/// let options = Options::new().answer(Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    pub(crate) answer: Duration,
    pub(crate) retry: Duration,
    pub(crate) sweep: Duration,
    pub(crate) keep: Duration,
    pub(crate) patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            answer: Duration::from_secs(5),
            retry: Duration::from_millis(50),
            sweep: Duration::from_secs(2),
            keep: Duration::from_secs(60),
            patience: Duration::from_secs(60),
        }
    }

    /// How long a call may take, with connecting: 5 seconds. A vote is waited for as long, and then it is to abort; and so long an
    /// application waits for a store that is away.
    pub fn answer(mut self, answer: Duration) -> Self {
        self.answer = answer;
        self
    }

    /// How often to look for what the store has prepared and the node does not know of: every 2 seconds. Such a thing is left
    /// when the answer to a vote was lost.
    pub fn sweep(mut self, sweep: Duration) -> Self {
        self.sweep = sweep.max(Duration::from_millis(10));
        self
    }

    /// How long the agent leaves alone what an application has staged for a transaction that nobody has begun yet: 60 seconds. Then the
    /// application has died, and it is taken back; one that begins later than that is aborted.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a tombstone is kept once its transaction is over: 60 seconds. A vote that is still on its way must not come
    /// after that, so it must be much longer than [`answer`](Self::answer).
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}
