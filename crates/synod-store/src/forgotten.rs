//! What is over, and not told to the store yet.

use std::{collections::VecDeque, time::Duration};

use synod::commit::TxRange;
use tokio::time::Instant;

/// Ranges that come within this time, one right after the other, are told as one.
const TOGETHER: Duration = Duration::from_secs(1);

/// Ranges in the order in which they came, and when.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(VecDeque<(Instant, TxRange)>);

impl Forgotten {
    pub(crate) fn add(&mut self, range: TxRange) {
        if let Some((since, last)) = self.0.back_mut()
            && since.elapsed() < TOGETHER
            && last.origin() == range.origin()
            && last.last().seq.checked_add(1) == Some(range.first().seq)
            && let Ok(both) = TxRange::new(range.origin(), last.first().seq, range.last().seq)
        {
            // It is due up to that much earlier.
            *last = both;
            return;
        }
        self.0.push_back((Instant::now(), range));
    }

    /// The oldest one that has been here for as long as `keep`.
    pub(crate) fn take(&mut self, keep: Duration) -> Option<TxRange> {
        let is_due = self.0.front().is_some_and(|(since, _)| since.elapsed() >= keep);
        is_due.then(|| self.0.pop_front()).flatten().map(|(_, range)| range)
    }

    /// One that was taken could not be told: it stays due.
    pub(crate) fn put_back(&mut self, range: TxRange, keep: Duration) {
        let since = Instant::now().checked_sub(keep).unwrap_or_else(Instant::now);
        self.0.push_front((since, range));
    }
}
