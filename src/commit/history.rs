//! How transactions ended: two bits each, of the newest.
//!
//! A transaction manager keeps them when the transactions themselves are gone, in blocks of consecutive numbers of one
//! origin. A block that is full of news is opened rarely, and the oldest block leaves as the newest is opened, so the
//! memory is bounded whatever other nodes say.
//!
//! Invariants:
//! 1. how a transaction ended never changes, as long as it is known;
//! 2. no more blocks are kept than the configuration allows.

use alloc::{collections::VecDeque, vec::Vec};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::{Outcome, Record, TxRange, inline::InlineList, wait::mix};
use crate::{NodeId, Refusal, TxId};

/// How many numbers a block covers: one for each bit of a word.
const NUMBERS: u64 = 64;

/// The most blocks that one message carries.
pub(crate) const MOST_TOLD: usize = 16;

/// How up to 64 transactions of one origin ended, those with the numbers from a multiple of 64 on: whether that is
/// known, and whether they have committed.
///
/// ```
/// # use synod::{NodeId, TxId, commit::{MalformedBlock, Outcome, OutcomeBlock}};
/// let tx = |seq| TxId { origin: NodeId(1), seq };
/// let block = OutcomeBlock::new(NodeId(1), 1, 0b101, 0b100)?; // numbers 64 to 127
/// assert_eq!([64, 65, 66].map(|seq| block.outcome(tx(seq))), [Some(Outcome::Aborted), None, Some(Outcome::Committed)]);
/// assert_eq!(OutcomeBlock::of(tx(66), Outcome::Committed), OutcomeBlock::new(NodeId(1), 1, 0b100, 0b100)?);
/// assert_eq!(OutcomeBlock::new(NodeId(1), 1, 0b001, 0b100), Err(MalformedBlock));
/// # Ok::<(), MalformedBlock>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "(NodeId, u64, u64, u64)", into = "(NodeId, u64, u64, u64)"))]
pub struct OutcomeBlock {
    origin: NodeId,
    /// Its numbers, divided by 64.
    number: u64,
    known: u64,
    committed: u64,
}

/// A block of outcomes that says more than it knows, or that has no numbers.
///
/// See [`OutcomeBlock`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("a block of outcomes says more than it knows, or has no numbers")]
pub struct MalformedBlock;

/// How transactions of a range ended, as far as one message tells it: a few blocks, in ascending order.
///
/// ```
/// # use synod::{NodeId, TxId, commit::{Outcome, OutcomeBlock, Outcomes}};
/// let tx = TxId { origin: NodeId(1), seq: 7 };
/// let outcomes = Outcomes::from_iter([OutcomeBlock::of(tx, Outcome::Aborted)]);
/// assert_eq!(outcomes.outcome(tx), Some(Outcome::Aborted));
/// assert_eq!(Outcomes::default().outcome(tx), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<OutcomeBlock>", into = "Vec<OutcomeBlock>"))]
pub struct Outcomes(InlineList<OutcomeBlock, 2>);

/// The outcomes that a transaction manager remembers.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct History {
    /// Durable: by their first numbers. Nothing depends on the order.
    #[cfg_attr(feature = "record", serde(with = "in_order"))]
    blocks: HashMap<TxId, Entry, FixedState>,
    /// Their names, the oldest first.
    ages: VecDeque<TxId>,
    most: usize,
    /// The age of the next block to be opened.
    next: u64,
    /// Blocks that have changed, and blocks that have left. Empty between steps; kept for their memory.
    changed: Vec<TxId>,
    gone: Vec<TxId>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Entry {
    block: OutcomeBlock,
    age: u64,
    is_written: bool,
}

/// The blocks in the order of their names, which is the same wherever they are hashed otherwise.
#[cfg(feature = "record")]
mod in_order {
    use alloc::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Entry, FixedState, HashMap, TxId};

    pub(super) fn serialize<S: Serializer>(
        blocks: &HashMap<TxId, Entry, FixedState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        blocks.iter().collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<TxId, Entry, FixedState>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

impl OutcomeBlock {
    /// The block of `origin` that begins with 64 times `number`. Each bit stands for a transaction, the lowest one for
    /// the first. Fails if an outcome is told that is not known, or if there are no such numbers.
    pub fn new(origin: NodeId, number: u64, known: u64, committed: u64) -> Result<Self, MalformedBlock> {
        if number > u64::MAX.wrapping_div(NUMBERS) || committed & !known != 0 {
            return Err(MalformedBlock);
        }
        Ok(Self { origin, number, known, committed })
    }

    /// How just one transaction ended.
    pub fn of(tx: TxId, outcome: Outcome) -> Self {
        let bit = 1_u64.wrapping_shl((tx.seq % NUMBERS) as u32);
        let committed = if outcome == Outcome::Committed { bit } else { 0 };
        Self { origin: tx.origin, number: number_of(tx.seq), known: bit, committed }
    }

    /// The first transaction that it could tell of.
    pub fn first(&self) -> TxId {
        first_of(self.origin, self.number)
    }

    /// Which transactions it knows the end of: a bit each.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// Which of those have committed: a bit each.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// How `tx` ended.
    pub fn outcome(&self, tx: TxId) -> Option<Outcome> {
        let bit = self.mask(TxRange::only(tx));
        match (self.known & bit != 0, self.committed & bit != 0) {
            (false, _) => None,
            (true, true) => Some(Outcome::Committed),
            (true, false) => Some(Outcome::Aborted),
        }
    }

    /// Every transaction that it knows the end of, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TxId, Outcome)> {
        let (block, TxId { origin, seq }) = (*self, self.first());
        let all = (0..NUMBERS).map(move |offset| TxId { origin, seq: seq.saturating_add(offset) });
        all.filter_map(move |tx| Some((tx, block.outcome(tx)?)))
    }

    /// Whether a history that held `before` may hold this block: what is known never changes.
    pub fn may_follow(&self, before: &Self) -> bool {
        self.first() == before.first() && before.known & !self.known == 0 && !self.contradicts(before)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// What it knows of `range`.
    #[must_use]
    pub(crate) fn within(self, range: TxRange) -> Self {
        self.only(self.mask(range))
    }

    /// What it knows of all else but `range`.
    #[must_use]
    pub(crate) fn without(self, range: TxRange) -> Self {
        self.only(!self.mask(range))
    }

    /// All the numbers that it could tell of.
    pub(crate) fn range(&self) -> TxRange {
        let first = self.first();
        let last = first.seq.saturating_add(NUMBERS.wrapping_sub(1));
        TxRange::new(self.origin, first.seq, last).unwrap_or(TxRange::only(first))
    }

    fn only(self, mask: u64) -> Self {
        Self { known: self.known & mask, committed: self.committed & mask, ..self }
    }

    /// The bits of the transactions that are in `range`.
    fn mask(&self, range: TxRange) -> u64 {
        let all = self.first().seq;
        let (first, last) = (range.first().seq.max(all), range.last().seq.min(all.saturating_add(NUMBERS - 1)));
        if range.origin() != self.origin || first > last {
            return 0;
        }
        let (before, missing) = (first.wrapping_sub(all), (NUMBERS - 1).wrapping_sub(last.wrapping_sub(first)));
        u64::MAX.wrapping_shr(missing as u32).wrapping_shl(before as u32)
    }

    /// Whether the two tell different ends of a transaction.
    fn contradicts(&self, other: &Self) -> bool {
        self.known & other.known & (self.committed ^ other.committed) != 0
    }

    /// Adds what only `other` knows. Returns whether there is any.
    fn add(&mut self, other: &Self) -> bool {
        let news = other.known & !self.known;
        self.known |= news;
        self.committed |= other.committed & news;
        news != 0
    }
}

impl Outcomes {
    /// The blocks.
    pub fn blocks(&self) -> &[OutcomeBlock] {
        &self.0
    }

    /// How `tx` ended, if it says so.
    pub fn outcome(&self, tx: TxId) -> Option<Outcome> {
        self.blocks().iter().find_map(|block| block.outcome(tx))
    }

    /// Whether a message about `range` may say this: each block is about some of it, no two are the same, and there are
    /// not too many.
    pub(crate) fn are_of(&self, range: TxRange) -> bool {
        let blocks = self.blocks();
        blocks.len() <= MOST_TOLD
            && blocks.iter().all(|block| !block.is_empty() && block.within(range) == *block)
            && blocks.iter().zip(blocks.iter().skip(1)).all(|(left, right)| left.number < right.number)
    }
}

impl History {
    /// An empty history of the newest `most` outcomes. `seed` keeps outsiders from choosing names that collide.
    pub(crate) fn new(most: usize, seed: u64) -> Self {
        Self {
            blocks: HashMap::with_hasher(FixedState::with_seed(mix(seed))),
            ages: VecDeque::new(),
            most: most.div_ceil(NUMBERS as usize),
            next: 0,
            changed: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Hashes what was deserialized by this seed.
    #[cfg(feature = "record")]
    pub(crate) fn rehash(&mut self, seed: u64) {
        let blocks = HashMap::with_hasher(FixedState::with_seed(mix(seed)));
        let unseeded = core::mem::replace(&mut self.blocks, blocks);
        self.blocks.extend(unseeded);
    }

    /// Remembers the newest `most` outcomes from now on.
    pub(crate) fn remember(&mut self, most: usize) {
        self.most = most.div_ceil(NUMBERS as usize);
    }

    /// Adds what was recorded, with the ages of the blocks. [`next_change`](Self::next_change) erases what there is no
    /// room for.
    pub(crate) fn restore(&mut self, recorded: impl Iterator<Item = (OutcomeBlock, u64)>) {
        let mut recorded: Vec<_> = recorded.map(|(block, age)| (age, block)).collect();
        recorded.sort_unstable();
        for (age, block) in recorded {
            self.next = age;
            if let Some(entry) = self.open(block.first()) {
                (entry.block, entry.is_written) = (block, true);
            }
        }
    }

    /// How `tx` ended, if that is remembered.
    #[inline]
    pub(crate) fn outcome(&self, tx: TxId) -> Option<Outcome> {
        self.blocks.get(&first_of(tx.origin, number_of(tx.seq)))?.block.outcome(tx)
    }

    /// Whether the transactions of `block` have a block here.
    pub(crate) fn has(&self, block: &OutcomeBlock) -> bool {
        self.blocks.contains_key(&block.first())
    }

    /// Remembers what `told` says. Refuses what contradicts it, and remembers the rest.
    #[inline]
    pub(crate) fn learn(&mut self, told: &OutcomeBlock) -> Result<(), Refusal> {
        let name = told.first();
        if told.is_empty() || self.most == 0 || (!self.blocks.contains_key(&name) && self.open(name).is_none()) {
            return Ok(());
        }
        let Some(entry) = self.blocks.get_mut(&name) else { return Ok(()) };
        let contradicts = entry.block.contradicts(told);
        if entry.block.add(told) && core::mem::replace(&mut entry.is_written, false) {
            self.changed.push(name);
        }
        if contradicts { Err(Refusal::ContradictoryOutcome) } else { Ok(()) }
    }

    /// Opens a block; the oldest ones make room. `None` if there is room for no block at all.
    #[cold]
    fn open(&mut self, name: TxId) -> Option<&mut Entry> {
        if self.most == 0 {
            self.gone.push(name);
            return None;
        }
        while self.ages.len() >= self.most
            && let Some(oldest) = self.ages.pop_front()
        {
            self.blocks.remove(&oldest);
            self.gone.push(oldest);
        }
        self.ages.push_back(name);
        let block = OutcomeBlock { origin: name.origin, number: number_of(name.seq), ..OutcomeBlock::default() };
        let entry = Entry { block, age: self.next, is_written: true };
        self.next = self.next.saturating_add(1);
        Some(self.blocks.entry(name).insert(entry).into_mut())
    }

    /// The next record to write: tombstones of what has left first.
    pub(crate) fn next_change(&mut self) -> Option<Record> {
        if let Some(name) = self.gone.pop() {
            return Some(Record::Erased(super::Key::History(name)));
        }
        while let Some(name) = self.changed.pop() {
            // It may have left since.
            if let Some(entry) = self.blocks.get_mut(&name) {
                entry.is_written = true;
                return Some(entry.record());
            }
        }
        None
    }

    /// What is remembered, the oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.ages.iter().filter_map(|name| self.blocks.get(name)).map(Entry::record)
    }

    /// What is remembered of `range`, up to `last`, in at most `most` blocks: the last ones.
    pub(crate) fn told(&self, range: TxRange, last: TxId, most: usize) -> Outcomes {
        let newest = number_of(last.seq);
        let oldest = newest.saturating_sub((most as u64).saturating_sub(1)).max(number_of(range.first().seq));
        let blocks = (oldest..=newest).filter_map(|number| self.blocks.get(&first_of(range.origin(), number)));
        blocks.map(|entry| entry.block.within(range)).filter(|block| !block.is_empty()).collect()
    }
}

impl Entry {
    fn record(&self) -> Record {
        Record::History { outcomes: self.block, age: self.age }
    }
}

/// The number of the block that number `seq` is in.
fn number_of(seq: u64) -> u64 {
    seq.wrapping_div(NUMBERS)
}

/// The first transaction of a block.
fn first_of(origin: NodeId, number: u64) -> TxId {
    TxId { origin, seq: number.saturating_mul(NUMBERS) }
}

impl Default for Outcomes {
    fn default() -> Self {
        Self(InlineList::from_iter([]))
    }
}

impl FromIterator<OutcomeBlock> for Outcomes {
    fn from_iter<I: IntoIterator<Item = OutcomeBlock>>(blocks: I) -> Self {
        Self(blocks.into_iter().collect())
    }
}

impl From<Vec<OutcomeBlock>> for Outcomes {
    fn from(blocks: Vec<OutcomeBlock>) -> Self {
        Self(blocks.as_slice().into())
    }
}

impl From<Outcomes> for Vec<OutcomeBlock> {
    fn from(outcomes: Outcomes) -> Self {
        outcomes.blocks().into()
    }
}

impl TryFrom<(NodeId, u64, u64, u64)> for OutcomeBlock {
    type Error = MalformedBlock;

    fn try_from((origin, number, known, committed): (NodeId, u64, u64, u64)) -> Result<Self, MalformedBlock> {
        Self::new(origin, number, known, committed)
    }
}

impl From<OutcomeBlock> for (NodeId, u64, u64, u64) {
    fn from(OutcomeBlock { origin, number, known, committed }: OutcomeBlock) -> Self {
        (origin, number, known, committed)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

    use alloc::{
        collections::{BTreeMap, BTreeSet},
        vec::Vec,
    };

    use proptest::prelude::*;

    use super::*;

    fn tx() -> impl Strategy<Value = TxId> {
        let seq = prop_oneof![8 => 0..200_u64, 1 => u64::MAX - 70..=u64::MAX];
        (0..2_u64, seq).prop_map(|(origin, seq)| TxId { origin: NodeId(origin), seq })
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![Just(Outcome::Committed), Just(Outcome::Aborted)]
    }

    fn range() -> impl Strategy<Value = TxRange> {
        (tx(), 0..150_u64).prop_map(|(first, more)| {
            TxRange::new(first.origin, first.seq, first.seq.saturating_add(more))
                .expect("it ends where it begins, or later")
        })
    }

    #[cfg(feature = "record")]
    #[test]
    fn a_history_that_was_read_knows_what_it_did_and_is_hashed_by_its_seed() {
        use core::hash::BuildHasher;

        use crate::codec::steps::{decode_value, encode_value};

        let tx = TxId { origin: NodeId(1), seq: 100 };
        let mut history = History::new(64, 7);
        history.learn(&OutcomeBlock::of(tx, Outcome::Committed)).expect("it is news");
        let mut read: History = decode_value(&encode_value(&history).expect("bytes")).expect("a history");
        read.rehash(7);
        assert_eq!(read.outcome(tx), Some(Outcome::Committed));
        assert_eq!(read.blocks.hasher().hash_one(tx), history.blocks.hasher().hash_one(tx));
    }

    proptest! {
        #[test]
        fn a_part_of_a_block_is_what_it_knows_of_that_part(tx in tx(), known: u64, committed: u64, range in range()) {
            let block = OutcomeBlock::new(tx.origin, tx.seq / NUMBERS, known, committed & known).expect("it is one");
            let (inside, outside): (Vec<_>, Vec<_>) = block.iter().partition(|(tx, _)| range.contains(*tx));
            prop_assert_eq!(block.within(range).iter().collect::<Vec<_>>(), inside);
            prop_assert_eq!(block.without(range).iter().collect::<Vec<_>>(), outside);
            prop_assert_eq!(block.within(block.range()), block);
            prop_assert_eq!(block.iter().count(), known.count_ones() as usize);
            prop_assert!(block.iter().all(|(tx, outcome)| block.outcome(tx) == Some(outcome)));
        }

        #[test]
        fn a_history_remembers_the_first_word_about_each_transaction_of_the_newest_blocks(
            told in prop::collection::vec((tx(), outcome()), 0..40),
            most in 0..5_usize,
            range in range(),
        ) {
            let (mut history, mut plain, mut ages) = (History::new(most * 64, 7), BTreeMap::new(), Vec::new());
            let mut written = BTreeMap::new();
            for (tx, outcome) in told {
                let block = OutcomeBlock::of(tx, outcome);
                let contradicts = history.outcome(tx).is_some_and(|known| known != outcome);
                prop_assert_eq!(history.learn(&block).is_err(), contradicts);
                while let Some(record) = history.next_change() {
                    if record.is_tombstone() { written.remove(&record.key()); } else { written.insert(record.key(), record); }
                }
                if !ages.contains(&block.first()) && most > 0 {
                    ages.push(block.first());
                }
                plain.entry(tx).or_insert(outcome);
                if ages.len() > most {
                    let gone = ages.remove(0);
                    plain.retain(|tx, _| first_of(tx.origin, number_of(tx.seq)) != gone);
                }
                if most == 0 {
                    plain.clear();
                }
            }
            let records: Vec<_> = history.records().collect();
            prop_assert_eq!(records.iter().map(Record::key).collect::<BTreeSet<_>>(), written.keys().copied().collect());
            prop_assert_eq!(records.iter().collect::<Vec<_>>().len(), ages.len());
            let blocks = records.iter().filter_map(|record| match record {
                Record::History { outcomes, age } => Some((*outcomes, *age)),
                _ => None,
            });
            let mut restored = History::new(most * 64, 8);
            restored.restore(blocks);
            for history in [&history, &restored] {
                for (tx, outcome) in &plain {
                    prop_assert_eq!(history.outcome(*tx), Some(*outcome));
                }
                prop_assert!(history.records().eq(records.iter().cloned()));
                let told = history.told(range, range.last(), MOST_TOLD);
                prop_assert!(told.blocks().is_empty() || told.are_of(range));
                prop_assert!(plain.iter().all(|(tx, outcome)| !range.contains(*tx) || told.outcome(*tx) == Some(*outcome)));
            }
        }
    }
}
