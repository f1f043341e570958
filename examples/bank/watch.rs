//! Whether anything still moves.

use std::time::{Duration, Instant};

/// When nothing has changed for so long, nothing will.
pub(crate) const STANDSTILL: Duration = Duration::from_secs(60);

/// Watches that something changes: how many transfers are done, and how many parts of transactions are open.
pub(crate) struct Watch {
    seen: (usize, usize),
    since: Instant,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { seen: (0, 0), since: Instant::now() }
    }

    pub(crate) fn stands_still(&mut self, now: (usize, usize)) -> bool {
        if now != self.seen {
            *self = Self { seen: now, since: Instant::now() };
        }
        self.since.elapsed() > STANDSTILL
    }
}
