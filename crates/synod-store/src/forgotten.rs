//! What is over, and not told to the store yet.

use std::{collections::VecDeque, time::Duration};

use synod::commit::TxRange;
use tokio::time::Instant;

/// Ranges that come within this time, and touch or overlap, are told as one.
const TOGETHER: Duration = Duration::from_secs(1);

/// Ranges in the order in which they came, and when.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(VecDeque<(Instant, TxRange)>);

impl Forgotten {
    pub(crate) fn add(&mut self, range: TxRange) {
        if let Some((since, last)) = self.0.back_mut()
            && since.elapsed() < TOGETHER
            && last.origin() == range.origin()
            && range.first().seq <= last.last().seq.saturating_add(1)
            && last.first().seq <= range.last().seq.saturating_add(1)
            // A node names the whole range around what is newly over.
            && let first = last.first().seq.min(range.first().seq)
            && let Ok(both) = TxRange::new(range.origin(), first, last.last().seq.max(range.last().seq))
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

#[cfg(test)]
mod tests {
    use synod::NodeId;

    use super::*;

    fn range(first: u64, last: u64) -> TxRange {
        TxRange::new(NodeId(5), first, last).unwrap()
    }

    #[test]
    fn a_range_that_grows_is_told_once_and_one_apart_by_itself() {
        let mut forgotten = Forgotten::default();
        for last in 3..=9 {
            forgotten.add(range(3, last));
        }
        forgotten.add(range(1, 2));
        forgotten.add(range(5, 5));
        forgotten.add(range(11, 12));
        let told: Vec<TxRange> = std::iter::from_fn(|| forgotten.take(Duration::ZERO)).collect();
        assert_eq!(told, [range(1, 9), range(11, 12)]);
    }
}
