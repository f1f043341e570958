//! Which rows of the fence may go.

use std::collections::BTreeMap;

use synod::{TxId, commit::TxRange};

/// Ranges of transactions that are over everywhere: those whose rows are gone, and those whose rows are to go.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    known: Ranges,
    due: Ranges,
}

impl Forgotten {
    /// All of `range` is over. Much of it may be known already: a node names the whole range around what is newly over.
    pub(crate) fn add(&mut self, range: TxRange) {
        for piece in self.known.missing(range) {
            self.due.add(piece);
        }
        self.known.add(range);
    }

    /// Takes what is to go now.
    pub(crate) fn take(&mut self) -> Vec<TxRange> {
        std::mem::take(&mut self.due).iter().collect()
    }

    /// Some rows of `range` could not go yet.
    pub(crate) fn put_back(&mut self, range: TxRange) {
        self.due.add(range);
    }
}

/// Ranges that neither overlap nor touch: the last number of each by its first transaction.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<TxId, u64>);

impl Ranges {
    fn iter(&self) -> impl Iterator<Item = TxRange> + '_ {
        self.0.iter().filter_map(|(first, last)| TxRange::new(first.origin, first.seq, *last).ok())
    }

    fn add(&mut self, range: TxRange) {
        let (mut first, mut last) = (range.first(), range.last().seq);
        while let Some((before, end)) = self.before(TxId { seq: last.saturating_add(1), ..first })
            && end.saturating_add(1) >= first.seq
        {
            self.0.remove(&before);
            first.seq = first.seq.min(before.seq);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// The parts of `range` that are not here.
    fn missing(&self, range: TxRange) -> Vec<TxRange> {
        let (origin, mut last) = (range.origin(), range.last().seq);
        let (first, mut missing) = (range.first().seq, Vec::new());
        // From the last one backwards.
        while let Some((before, end)) = self.before(TxId { origin, seq: last })
            && end >= first
        {
            missing.extend(TxRange::new(origin, end.saturating_add(1), last));
            match before.seq.checked_sub(1) {
                Some(next) if next >= first => last = next,
                _ => return missing,
            }
        }
        missing.extend(TxRange::new(origin, first, last));
        missing
    }

    /// The last range that begins at `tx` or before, of the same origin.
    fn before(&self, tx: TxId) -> Option<(TxId, u64)> {
        let (first, last) = self.0.range(..=tx).next_back()?;
        (first.origin == tx.origin).then_some((*first, *last))
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
    fn only_what_is_new_is_due_and_each_number_once() {
        let mut forgotten = Forgotten::default();
        forgotten.add(range(3, 3));
        forgotten.add(range(5, 6));
        forgotten.add(TxRange::new(NodeId(6), 1, 9).unwrap());
        assert_eq!(forgotten.take(), [range(3, 3), range(5, 6), TxRange::new(NodeId(6), 1, 9).unwrap()]);
        forgotten.add(range(1, 8));
        assert_eq!(forgotten.take(), [range(1, 2), range(4, 4), range(7, 8)]);
        forgotten.add(range(1, 8));
        forgotten.add(range(2, 5));
        assert_eq!(forgotten.take(), []);
        forgotten.put_back(range(4, 4));
        forgotten.add(range(1, 9));
        assert_eq!(forgotten.take(), [range(4, 4), range(9, 9)]);
    }

    #[test]
    fn whatever_comes_in_whatever_order_each_number_is_due_once() {
        let (mut forgotten, mut seen, mut state) = (Forgotten::default(), std::collections::BTreeSet::new(), 7_u64);
        for step in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let first = (state >> 33) % 200;
            forgotten.add(range(first, first + (state >> 20) % 7));
            if step % 3 == 0 {
                for due in forgotten.take() {
                    (due.first().seq..=due.last().seq).for_each(|seq| assert!(seen.insert(seq), "{seq} is due again"));
                }
            }
        }
        assert!(seen.len() > 190);
        assert!(forgotten.known.0.len() < 10, "neighbours are one range");
    }
}
