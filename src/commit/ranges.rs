//! Sets of transactions as ranges: they grow with the gaps between them, not with history.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Bound;

use super::TxRange;
use crate::{NodeId, TxId};

/// A set of transactions, as the fewest ranges. *Range first, tombstone after*: when ranges merge, the merged one is
/// written before those that it swallows are erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct RangeSet {
    /// Sorted by node. There is one for each node that begins transactions, so additions are rare.
    origins: Vec<Origin>,
    len: usize,
}

/// The retired transactions of one origin, at least one. Ranges neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Origin {
    node: NodeId,
    /// The first and the last number of the highest range. Most lookups are about it, or about what follows it.
    top: (u64, u64),
    /// The lower ranges, from the first number of each to its last.
    below: BTreeMap<u64, u64>,
}

impl RangeSet {
    #[inline]
    pub(crate) fn contains(&self, tx: TxId) -> bool {
        self.around(tx).is_some()
    }

    /// The range that contains `tx`.
    #[inline]
    pub(crate) fn around(&self, tx: TxId) -> Option<TxRange> {
        let (first, last) = self.origin(tx.origin)?.around(tx.seq)?;
        TxRange::new(tx.origin, first, last).ok()
    }

    /// The parts of `range` that are not in the set.
    #[inline]
    pub(crate) fn missing(&self, range: TxRange) -> impl Iterator<Item = TxRange> {
        range.without_all(self.touching(range))
    }

    /// The number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// The ranges, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TxRange> + '_ {
        self.origins.iter().flat_map(Origin::iter)
    }

    /// The ranges that begin with `next` or later, in order.
    pub(crate) fn iter_from(&self, next: TxId) -> impl Iterator<Item = TxRange> + '_ {
        let origins = self.origins.iter().filter(move |origin| origin.node >= next.origin);
        origins.flat_map(move |origin| origin.iter_from(if origin.node == next.origin { next.seq } else { 0 }))
    }

    /// The ranges that begin before `next`, in order.
    pub(crate) fn iter_to(&self, next: TxId) -> impl Iterator<Item = TxRange> + '_ {
        self.iter().take_while(move |range| range.first() < next)
    }

    /// Adds `range`. Returns the range that now contains it, and the keys of the ranges that this one swallowed; `None`
    /// if nothing is new.
    #[inline]
    pub(crate) fn add(&mut self, range: TxRange) -> Option<(TxRange, Vec<TxId>)> {
        let (node, first, last) = range.into();
        let Ok(at) = self.place(node) else {
            self.add_origin(range);
            return Some((range, Vec::new()));
        };
        let origin = self.origins.get_mut(at)?;
        let (top_first, top_last) = origin.top;
        if !(top_first..=top_last.saturating_add(1)).contains(&first) {
            return self.add_apart(at, range);
        }
        if last <= top_last {
            return None;
        }
        origin.top.1 = last;
        Some((TxRange::new(node, top_first, last).ok()?, Vec::new()))
    }

    /// Adds the first range of an origin.
    fn add_origin(&mut self, range: TxRange) {
        let (node, first, last) = range.into();
        if let Err(at) = self.place(node) {
            self.origins.insert(at, Origin { node, top: (first, last), below: BTreeMap::new() });
            self.len = self.len.saturating_add(1);
        }
    }

    /// Adds a range that does not simply extend the highest one.
    #[cold]
    fn add_apart(&mut self, at: usize, range: TxRange) -> Option<(TxRange, Vec<TxId>)> {
        let (node, first, last) = range.into();
        let (added, swallowed) = self.change(at, |ranges| add(ranges, first, last))??;
        let range = TxRange::new(node, added.0, added.1).ok()?;
        Some((range, swallowed.into_iter().map(|seq| TxId { origin: node, seq }).collect()))
    }

    /// Removes `range`.
    #[inline]
    pub(crate) fn remove(&mut self, range: TxRange) {
        let (node, first, last) = range.into();
        let Ok(at) = self.place(node) else { return };
        match self.origins.get(at) {
            Some(origin) if origin.below.is_empty() && first <= origin.top.0 && origin.top.1 <= last => {
                self.origins.remove(at);
                self.len = self.len.saturating_sub(1);
            }
            _ => self.remove_apart(at, first, last),
        }
    }

    /// Removes a range that need not cover all of its origin.
    #[cold]
    fn remove_apart(&mut self, at: usize, first: u64, last: u64) {
        self.change(at, |ranges| remove(ranges, first, last));
    }

    /// Changes the ranges of the origin at `at`, and drops an origin that has none left.
    fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut BTreeMap<u64, u64>) -> T) -> Option<T> {
        let origin = self.origins.get_mut(at)?;
        let before = origin.below.len().saturating_add(1);
        let (first, last) = origin.top;
        origin.below.insert(first, last);
        let result = change(&mut origin.below);
        let now = origin.below.len();
        match origin.below.pop_last() {
            Some(top) => origin.top = top,
            None => drop(self.origins.remove(at)),
        }
        self.len = self.len.saturating_sub(before).saturating_add(now);
        Some(result)
    }

    /// The ranges that overlap `range`, in order.
    #[inline]
    pub(crate) fn touching(&self, range: TxRange) -> impl Iterator<Item = TxRange> {
        let (node, first, last) = range.into();
        let origin = self.origin(node);
        let top = origin.map(|origin| origin.top).filter(|top| top.0 <= last && first <= top.1);
        let below = origin.map(|origin| {
            let start = origin.around(first).map_or(first, |left| left.0);
            origin.below.range(start..=last).map(|(first, last)| (*first, *last))
        });
        below.into_iter().flatten().chain(top).filter_map(move |(first, last)| TxRange::new(node, first, last).ok())
    }

    #[inline]
    fn origin(&self, node: NodeId) -> Option<&Origin> {
        self.origins.get(self.place(node).ok()?)
    }

    /// The index of `node` among the origins, or where it would be inserted.
    #[inline]
    fn place(&self, node: NodeId) -> Result<usize, usize> {
        self.origins.binary_search_by_key(&node, |origin| origin.node)
    }
}

impl Origin {
    /// The range that contains number `seq`.
    #[inline]
    fn around(&self, seq: u64) -> Option<(u64, u64)> {
        if seq < self.top.0 { self.around_below(seq) } else { Some(self.top).filter(|top| seq <= top.1) }
    }

    #[cold]
    fn around_below(&self, seq: u64) -> Option<(u64, u64)> {
        around(&self.below, seq)
    }

    fn iter(&self) -> impl Iterator<Item = TxRange> + '_ {
        self.iter_from(0)
    }

    fn iter_from(&self, seq: u64) -> impl Iterator<Item = TxRange> + '_ {
        let below = self.below.range(seq..).map(|(first, last)| (*first, *last));
        below
            .chain(Some(self.top).filter(|(first, _)| seq <= *first))
            .filter_map(|(first, last)| TxRange::new(self.node, first, last).ok())
    }
}

/// The range that contains number `seq`.
fn around(ranges: &BTreeMap<u64, u64>, seq: u64) -> Option<(u64, u64)> {
    let (first, last) = ranges.range(..=seq).next_back()?;
    (seq <= *last).then_some((*first, *last))
}

/// Adds a range. Returns the range that now contains it, and the first numbers of the ranges that this one swallowed;
/// `None` if nothing is new.
fn add(ranges: &mut BTreeMap<u64, u64>, mut first: u64, mut last: u64) -> Option<((u64, u64), Vec<u64>)> {
    if around(ranges, first).is_some_and(|known| last <= known.1) {
        return None;
    }
    if let Some(left) = around(ranges, first.saturating_sub(1)) {
        first = left.0;
    }
    let right = (Bound::Excluded(first), Bound::Included(last.saturating_add(1)));
    let swallowed: Vec<u64> = ranges.range(right).map(|(first, _)| *first).collect();
    for swallowed in &swallowed {
        last = ranges.remove(swallowed).unwrap_or(last).max(last);
    }
    ranges.insert(first, last);
    Some(((first, last), swallowed))
}

/// Removes a range.
fn remove(ranges: &mut BTreeMap<u64, u64>, first: u64, last: u64) {
    // From the last range that may overlap to the first one.
    let mut below = last;
    while let Some((known_first, known_last)) = ranges.range(..=below).next_back().map(|(first, last)| (*first, *last))
    {
        if known_last < first {
            return;
        }
        ranges.remove(&known_first);
        if let Some(before) = first.checked_sub(1).filter(|before| known_first <= *before) {
            ranges.insert(known_first, before);
        }
        if let Some(after) = last.checked_add(1).filter(|after| *after <= known_last) {
            ranges.insert(after, known_last);
        }
        let Some(before) = known_first.checked_sub(1) else { return };
        below = before;
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use alloc::{collections::BTreeSet, vec::Vec};

    use proptest::prelude::*;

    use super::{NodeId, RangeSet, TxId, TxRange};

    fn range() -> impl Strategy<Value = TxRange> {
        let edge = prop_oneof![9 => 0..30_u64, 1 => (u64::MAX - 3)..=u64::MAX];
        (0..3_u64, edge, 0..6_u64).prop_filter_map("a range", |(origin, first, more)| {
            TxRange::new(NodeId(origin), first, first.checked_add(more)?).ok()
        })
    }

    fn names(range: TxRange) -> impl Iterator<Item = TxId> {
        (range.first().seq..=range.last().seq).map(move |seq| TxId { origin: range.origin(), seq })
    }

    /// The fewest ranges that contain exactly these names.
    fn ranges(names: &BTreeSet<TxId>) -> Vec<TxRange> {
        let mut ranges: Vec<TxRange> = Vec::new();
        for tx in names {
            match ranges.last_mut() {
                Some(last) if last.origin() == tx.origin && last.last().seq.checked_add(1) == Some(tx.seq) => {
                    *last = TxRange::new(tx.origin, last.first().seq, tx.seq).expect("it grows");
                }
                _ => ranges.push(TxRange::only(*tx)),
            }
        }
        ranges
    }

    proptest! {
        #[test]
        fn the_ranges_are_the_fewest_of_a_plain_set(changes in prop::collection::vec((0..4_u8, range()), 0..60)) {
            let (mut retired, mut plain) = (RangeSet::default(), BTreeSet::new());
            for (kind, range) in changes {
                let before = ranges(&plain);
                if kind == 0 {
                    retired.remove(range);
                    plain.retain(|tx| !range.contains(*tx));
                } else {
                    let is_new = names(range).any(|tx| !plain.contains(&tx));
                    plain.extend(names(range));
                    let (merged, swallowed) = retired.add(range).unzip();
                    prop_assert_eq!(merged, ranges(&plain).into_iter().find(|all| is_new && all.contains(range.first())));
                    let gone = before.iter().map(TxRange::first).filter(|first| {
                        ranges(&plain).iter().all(|range| range.first() != *first)
                    });
                    prop_assert_eq!(swallowed.unwrap_or_default(), gone.collect::<Vec<_>>());
                }
                let now = ranges(&plain);
                prop_assert_eq!(retired.iter().collect::<Vec<_>>(), now.clone());
                let (before, behind): (Vec<_>, Vec<_>) = now.iter().partition(|known| known.first() < range.first());
                prop_assert_eq!(retired.iter_to(range.first()).collect::<Vec<_>>(), before);
                prop_assert_eq!(retired.iter_from(range.first()).collect::<Vec<_>>(), behind);
                prop_assert_eq!(retired.len(), now.len());
                prop_assert_eq!(retired.is_empty(), now.is_empty());
                for tx in names(range) {
                    prop_assert_eq!(retired.around(tx), now.iter().copied().find(|range| range.contains(tx)));
                }
                let touching = now.iter().copied().filter(|known| names(range).any(|tx| known.contains(tx)));
                prop_assert_eq!(retired.touching(range).collect::<Vec<_>>(), touching.collect::<Vec<_>>());
                let missing: Vec<TxId> = names(range).filter(|tx| !plain.contains(tx)).collect();
                prop_assert_eq!(retired.missing(range).flat_map(names).collect::<Vec<_>>(), missing);
            }
        }
    }
}
