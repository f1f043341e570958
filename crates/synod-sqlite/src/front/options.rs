//! What can be chosen about a file.

use std::time::Duration;

/// How a file is used. All has a default.
///
/// ```
/// use std::time::Duration;
/// use synod_sqlite::Options;
///
/// let options = Options::new().wait(Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) wait: Duration,
    pub(crate) foreign_keys: bool,
    pub(crate) sweep: Duration,
    pub(crate) patience: Duration,
    pub(crate) hand_over: Duration,
    pub(crate) keep: Duration,
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
            wait: Duration::from_secs(10),
            foreign_keys: true,
            sweep: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
            keep: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// How long a branch waits for those before it, and for other programs that write: 10 seconds.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Whether branches keep to foreign keys: yes. (SQLite itself does not, unless it is told to.)
    pub fn foreign_keys(mut self, foreign_keys: bool) -> Self {
        self.foreign_keys = foreign_keys;
        self
    }

    /// How often the agent looks for a branch that was left prepared, and for how long it must have seen it before it asks the
    /// cluster how it ended: 1 and 10 seconds.
    pub fn sweep(mut self, every: Duration, patience: Duration) -> Self {
        (self.sweep, self.patience) = (every.max(Duration::from_millis(10)), patience);
        self
    }

    /// How long the agent leaves a prepared branch to an application of its own process that is about to carry the outcome out:
    /// 5 seconds.
    pub fn hand_over(mut self, hand_over: Duration) -> Self {
        self.hand_over = hand_over;
        self
    }

    /// How long the mark of a branch that was aborted is kept after its transaction is over, for an application that comes late:
    /// a day.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}
