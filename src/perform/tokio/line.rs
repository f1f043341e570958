//! A line of transactions about which the resource is to be asked, and how long one waits that could not be carried out.

use alloc::collections::BTreeMap;
use core::time::Duration;

use ::tokio::time::Instant;

use crate::{TxId, commit::mix};

/// Who waits for a call to the resource, by when it is due, and the calls under way.
#[derive(Debug)]
pub(super) struct Line {
    most: usize,
    under_way: usize,
    waiting: BTreeMap<Place, TxId>,
    /// How many have come.
    came: u64,
}

/// A place in a line: when its turn comes at the earliest, and how many came before.
pub(super) type Place = (Instant, u64);

impl Line {
    /// A line for `most` calls at once.
    pub(super) fn new(most: usize) -> Self {
        Self { most, under_way: 0, waiting: BTreeMap::new(), came: 0 }
    }

    /// Puts `tx` in line for a call, `after` a while.
    pub(super) fn join(&mut self, tx: TxId, after: Duration) -> Place {
        self.came += 1;
        let place = (Instant::now() + after, self.came);
        self.waiting.insert(place, tx);
        place
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the next one out of the line, if its turn has come.
    pub(super) fn next(&mut self) -> Option<TxId> {
        let due = self.next_turn()?;
        if due > Instant::now() { None } else { self.waiting.pop_first().map(|(_, tx)| tx) }
    }

    /// When the turn of the next one comes, unless a call must end first.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let ((due, _), _) = self.waiting.first_key_value()?;
        (self.under_way < self.most).then_some(*due)
    }

    /// A call begins.
    pub(super) fn began(&mut self) {
        self.under_way += 1;
    }

    /// A call has ended.
    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }
}

/// How long to wait before something is tried again.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    ceiling: Duration,
    seed: u64,
}

impl Backoff {
    pub(super) fn new(first: Duration, ceiling: Duration, seed: u64) -> Self {
        Self { first, ceiling, seed }
    }

    /// The wait after attempt number `attempt`, from 0: doubled each time up to the ceiling, then stretched by up to half,
    /// so that many that failed at once do not come back at once.
    pub(super) fn pause(&self, tx: TxId, attempt: u32) -> Duration {
        let pause = self.first.saturating_mul(1 << attempt.min(31)).min(self.ceiling);
        let random = [tx.origin.0, tx.seq, attempt.into()].into_iter().fold(self.seed, |state, word| mix(state ^ word));
        pause + pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    #[test]
    fn each_pause_is_twice_the_last_one_up_to_a_ceiling_and_a_little_longer() {
        let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1), 7);
        let tx = TxId { origin: NodeId(1), seq: 1 };
        for (attempt, base) in [(0, 10), (1, 20), (2, 40), (6, 640), (7, 1_000), (31, 1_000), (u32::MAX, 1_000)] {
            let pause = backoff.pause(tx, attempt);
            let base = Duration::from_millis(base);
            assert!((base..=base * 3 / 2).contains(&pause), "{attempt}: {pause:?}");
        }
        let others = (1..=100).map(|seq| backoff.pause(TxId { seq, ..tx }, 0));
        assert!(others.clone().max() > others.min().map(|least| least * 5 / 4), "they all come back at once");
    }
}
