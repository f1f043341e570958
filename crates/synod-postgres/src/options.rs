//! What can be chosen about a database.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;

/// How a database is used. All has a default.
///
/// ```
/// use std::time::Duration;
/// use synod_postgres::Options;
///
/// let options = Options::new().connections(32).wait(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) connections: usize,
    pub(crate) wait: Duration,
    pub(crate) answer: Duration,
    pub(crate) votes: usize,
    pub(crate) verdicts: usize,
    pub(crate) lock_timeout: Duration,
    pub(crate) sweep: Duration,
    pub(crate) patience: Duration,
    pub(crate) hand_over: Duration,
    pub(crate) keep: Duration,
    pub(crate) reset_always: bool,
    pub(crate) tls: Option<Arc<ClientConfig>>,
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
            connections: 16,
            wait: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            votes: 2,
            verdicts: 4,
            lock_timeout: Duration::from_millis(200),
            sweep: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            hand_over: Duration::from_secs(5),
            keep: Duration::from_secs(24 * 60 * 60),
            reset_always: false,
            tls: None,
        }
    }

    /// How many connections the application's branches share: 16. A branch holds one until its transaction ends. The server
    /// needs `max_prepared_transactions` for all branches that can be prepared at once, of all applications.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a branch waits for a connection, and for the answer to its end: 30 seconds. What it has prepared when no answer
    /// comes is left to the agent.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long the agent waits for an answer of the database before it gives the connection up, and asks again later: 10 seconds.
    /// What was asked may have been done, so nothing is concluded from the silence.
    pub fn answer(mut self, answer: Duration) -> Self {
        self.answer = answer;
        self
    }

    /// How many connections the agent has to look at branches, and to carry outcomes out: 2 and 4. They are its own, so that
    /// neither waits for the other, or for an application.
    pub fn agent_connections(mut self, votes: usize, verdicts: usize) -> Self {
        (self.votes, self.verdicts) = (votes.max(1), verdicts.max(1));
        self
    }

    /// How often the agent looks for prepared branches that were left behind, and how old they must be: 2 and 5 seconds. An
    /// application that prepares for longer than that still commits; only then its agent has asked for the outcome already,
    /// and a transaction that was begun nowhere may have been aborted.
    pub fn sweep(mut self, every: Duration, patience: Duration) -> Self {
        (self.sweep, self.patience) = (every.max(Duration::from_millis(10)), patience);
        self
    }

    /// How long the agent leaves a prepared branch to an application of its own process that is about to carry the outcome
    /// out: 5 seconds.
    pub fn hand_over(mut self, hand_over: Duration) -> Self {
        self.hand_over = hand_over;
        self
    }

    /// How long the row of a branch that was committed by itself is kept, for an application that has lost the answer: a day,
    /// and never less than [`wait`](Self::wait).
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Whether every branch's session is reset when it ends, and not only one of whose statements the text says that they
    /// change it: no. Needed where functions of the database set what outlives the transaction, or take advisory locks of the
    /// session. It costs a message for each branch.
    pub fn reset_always(mut self, reset_always: bool) -> Self {
        self.reset_always = reset_always;
        self
    }

    /// TLS to the database, where the URL's `sslmode` asks for it (`prefer`, its default, does if the server can). Without
    /// this, a URL with `sslmode=require` is refused by the server's or the client's side.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }
}
