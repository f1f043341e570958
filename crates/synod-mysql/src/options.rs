//! What can be chosen about a database.

use std::time::Duration;

use mysql_async::{IsolationLevel, SslOpts};

/// How a database is used. All has a default.
///
/// ```
/// use std::time::Duration;
/// use synod_mysql::Options;
///
/// let options = Options::new().connections(32).wait(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) connections: usize,
    pub(crate) wait: Duration,
    pub(crate) answer: Duration,
    pub(crate) idle: Duration,
    pub(crate) isolation: Option<IsolationLevel>,
    pub(crate) votes: usize,
    pub(crate) verdicts: usize,
    pub(crate) lock_timeout: Duration,
    pub(crate) sweep: Duration,
    pub(crate) patience: Duration,
    pub(crate) hand_over: Duration,
    pub(crate) keep: Duration,
    pub(crate) tls: Option<SslOpts>,
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
            idle: Duration::from_secs(10 * 60),
            isolation: None,
            votes: 2,
            verdicts: 4,
            lock_timeout: Duration::from_secs(1),
            sweep: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
            keep: Duration::from_secs(24 * 60 * 60),
            tls: None,
        }
    }

    /// How many connections the application's branches share: 16. A branch holds one until its transaction ends.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a branch waits for a connection, for a lost answer, and for the answer to its end: 30 seconds. What it has
    /// prepared when no answer comes is left to the agent. For so long, too, the server keeps a connection over which a branch
    /// was prepared and nothing more is said: nobody else can end the branch before.
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

    /// How long a branch may be idle between two statements, in whole seconds: 10 minutes. Then the server ends its connection, and
    /// rolls back what is not prepared: the application's host may have died, and its locks would stay.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle.max(Duration::from_secs(2));
        self
    }

    /// The isolation level of branches: the server's, unless it is set. A branch cannot choose its own, for `SET TRANSACTION`
    /// is not allowed once an XA transaction has begun.
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// How many connections the agent has to look at branches, and to carry outcomes out: 2 and 4. They are its own, so that
    /// neither waits for the other, or for an application.
    pub fn agent_connections(mut self, votes: usize, verdicts: usize) -> Self {
        (self.votes, self.verdicts) = (votes.max(1), verdicts.max(1));
        self
    }

    /// How long the agent waits for a lock before it looks again, in whole seconds: 1.
    pub fn lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout.max(Duration::from_secs(1));
        self
    }

    /// How often the agent looks for prepared branches of which its node has heard nothing, and for how long it must have
    /// seen one before it rolls it back, or ends it as its transaction ended if that is over: 2 and 10 seconds. An application whose transaction is begun later than that finds it
    /// aborted.
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

    /// How long two kinds of rows are kept: those of branches that were committed by themselves, for an application that has
    /// lost the answer; and tombstones, for a statement that is still on its way. A day, and never less than [`wait`](Self::wait).
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// TLS to the database, in place of what the URL says (`?require_ssl=true` and its like).
    pub fn tls(mut self, tls: SslOpts) -> Self {
        self.tls = Some(tls);
        self
    }
}
