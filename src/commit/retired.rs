//! The memory of finished transactions: ranges of them, so that it grows with the gaps and not with history.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Bound;

use super::TxRange;
use crate::TxId;

/// A set of transactions, as the fewest ranges. *Range first, tombstone after*: when ranges merge, the merged one is
/// written before those that it swallows are erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retired {
    /// From the first transaction of a range to the last number in it. Ranges neither overlap nor touch.
    ranges: BTreeMap<TxId, u64>,
}

impl Retired {
    pub(crate) fn contains(&self, tx: TxId) -> bool {
        self.around(tx).is_some()
    }

    /// The range that `tx` is in.
    pub(crate) fn around(&self, tx: TxId) -> Option<TxRange> {
        self.floor(tx).filter(|range| range.contains(tx))
    }

    /// What of `range` is not in the set.
    pub(crate) fn missing(&self, range: TxRange) -> impl Iterator<Item = TxRange> {
        range.without_all(self.touching(range))
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TxRange> + '_ {
        self.ranges.iter().filter_map(|(first, last)| TxRange::new(first.origin, first.seq, *last).ok())
    }

    /// Adds `range`. Returns the range that it is part of now, and the keys of those that this one swallowed; `None`
    /// if nothing is new.
    pub(crate) fn add(&mut self, range: TxRange) -> Option<(TxRange, Vec<TxId>)> {
        if self.floor(range.first()).is_some_and(|known| known.contains(range.last())) {
            return None;
        }
        let (mut first, mut last) = (range.first(), range.last().seq);
        let before = TxId { seq: first.seq.saturating_sub(1), ..first };
        if let Some(left) = self.floor(before).filter(|left| left.contains(before)) {
            first = left.first();
        }
        let after = TxId { seq: last.saturating_add(1), ..first };
        let right = (Bound::Excluded(first), Bound::Included(after));
        let swallowed: Vec<TxId> = self.ranges.range(right).map(|(first, _)| *first).collect();
        for swallowed in &swallowed {
            last = self.ranges.remove(swallowed).unwrap_or(last).max(last);
        }
        self.ranges.insert(first, last);
        let merged = TxRange::new(first.origin, first.seq, last).ok()?;
        Some((merged, swallowed))
    }

    /// Takes `range` out.
    pub(crate) fn remove(&mut self, range: TxRange) {
        // Each turn leaves one range less that has something of it.
        for _ in 0..self.ranges.len() {
            let Some(known) = self.touching(range).next() else { return };
            self.ranges.remove(&known.first());
            for piece in known.without(range).into_iter().flatten() {
                self.ranges.insert(piece.first(), piece.last().seq);
            }
        }
    }

    /// The ranges that have something of `range`, in order.
    pub(crate) fn touching(&self, range: TxRange) -> impl Iterator<Item = TxRange> {
        let start = self.around(range.first()).map_or(range.first(), |left| left.first());
        let touching = self.ranges.range(start..=range.last());
        touching.filter_map(|(first, last)| TxRange::new(first.origin, first.seq, *last).ok())
    }

    /// The last range that begins at or before `tx`.
    fn floor(&self, tx: TxId) -> Option<TxRange> {
        let (first, last) = self.ranges.range(..=tx).next_back()?;
        if first.origin == tx.origin { TxRange::new(first.origin, first.seq, *last).ok() } else { None }
    }
}
