//! Sets of participants, and their votes, as bits.

use alloc::{sync::Arc, vec::Vec};

use super::Vote;

/// How many places one word holds.
const BITS: usize = u64::BITS as usize;

/// A set of participants of a transaction, by their places in its sorted list.
///
/// Two sets with the same places are equal, whatever the number of participants.
///
/// ```
/// # use synod::commit::Places;
/// let places: Places = [0, 65].into_iter().collect();
/// assert!(places.has(65) && !places.has(1));
/// assert_eq!(places.union(&Places::first(2)).len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places {
    /// The first 64 places, as bits.
    low: u64,
    /// The places from 64 on. Invariant: the last word is not zero.
    high: Option<Arc<Vec<u64>>>,
}

/// Votes of some participants of a transaction, by their places in its sorted list.
///
/// ```
/// # use synod::commit::{Vote, Votes};
/// let votes: Votes = [(0, Vote::Prepared), (2, Vote::Aborted)].into_iter().collect();
/// assert_eq!((votes.get(0), votes.get(1)), (Some(Vote::Prepared), None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Votes {
    cast: Places,
    /// Invariant: a subset of `cast`.
    prepared: Places,
}

impl Places {
    /// The set of the first `count` places.
    #[inline]
    pub fn first(count: usize) -> Self {
        if count <= BITS { Self { low: low_bits(count), high: None } } else { (0..count).collect() }
    }

    /// Whether there is no place in the set.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_none()
    }

    /// How many places are in the set.
    pub fn len(&self) -> usize {
        self.words().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether `place` is in the set.
    #[inline]
    pub fn has(&self, place: usize) -> bool {
        if place < BITS { self.low >> place & 1 == 1 } else { self.has_high(place) }
    }

    #[cold]
    fn has_high(&self, place: usize) -> bool {
        self.words().nth(place / BITS).is_some_and(|word| word >> (place % BITS) & 1 == 1)
    }

    /// Adds `place`.
    #[inline]
    pub fn insert(&mut self, place: usize) {
        if place < BITS { self.low |= 1 << place } else { self.insert_high(place) }
    }

    #[cold]
    fn insert_high(&mut self, place: usize) {
        let mut words: Vec<u64> = self.words().collect();
        set(&mut words, place);
        *self = Self::from_words(words);
    }

    /// The places, in ascending order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words().enumerate().flat_map(|(at, word)| {
            let (first, mut rest) = (at.saturating_mul(BITS), word);
            (0..word.count_ones()).map(move |_| {
                let bit = rest.trailing_zeros() as usize;
                // Clears the lowest bit.
                rest &= rest.wrapping_sub(1);
                first.saturating_add(bit)
            })
        })
    }

    /// Whether every place is below `count`.
    #[inline]
    pub fn is_within(&self, count: usize) -> bool {
        if self.high.is_none() { self.low & !low_bits(count) == 0 } else { self.is_high_within(count) }
    }

    #[cold]
    fn is_high_within(&self, count: usize) -> bool {
        self.iter().all(|place| place < count)
    }

    /// Whether every place of this set is in `other`.
    #[inline]
    pub fn is_subset(&self, other: &Self) -> bool {
        if self.high.is_none() { self.low & !other.low == 0 } else { self.difference(other).is_empty() }
    }

    /// The places that are in this set or in `other`.
    #[must_use]
    #[inline]
    pub fn union(&self, other: &Self) -> Self {
        self.merged(other, |word, other| word | other)
    }

    /// The places that are in this set and in `other`.
    #[must_use]
    #[inline]
    pub fn intersection(&self, other: &Self) -> Self {
        self.merged(other, |word, other| word & other)
    }

    /// The places that are in this set and not in `other`.
    #[must_use]
    #[inline]
    pub fn difference(&self, other: &Self) -> Self {
        self.merged(other, |word, other| word & !other)
    }

    #[inline]
    fn merged(&self, other: &Self, merge: impl Fn(u64, u64) -> u64) -> Self {
        if self.high.is_none() && other.high.is_none() {
            Self { low: merge(self.low, other.low), high: None }
        } else {
            self.merged_high(other, &merge)
        }
    }

    #[cold]
    fn merged_high(&self, other: &Self, merge: &dyn Fn(u64, u64) -> u64) -> Self {
        let (mut words, mut others) = (self.words(), other.words());
        let merged = core::iter::from_fn(|| match (words.next(), others.next()) {
            (None, None) => None,
            (word, other) => Some(merge(word.unwrap_or(0), other.unwrap_or(0))),
        });
        Self::from_words(merged.collect())
    }

    /// The set as words of 64 places each, lowest places first. There is at least one word; the last is not zero,
    /// unless it is the only one.
    #[inline]
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        core::iter::once(self.low).chain(self.high().iter().copied())
    }

    #[inline]
    fn high(&self) -> &[u64] {
        self.high.as_ref().map_or(&[], |high| high.as_slice())
    }

    /// The set that these words represent. Trailing zero words are ignored.
    pub fn from_words(mut words: Vec<u64>) -> Self {
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last.saturating_add(1));
        words.truncate(used);
        if words.len() <= 1 {
            return Self { low: words.first().copied().unwrap_or(0), high: None };
        }
        let low = words.remove(0);
        Self { low, high: Some(Arc::new(words)) }
    }
}

/// Sets the bit of `place`, in as many words as that takes.
fn set(words: &mut Vec<u64>, place: usize) {
    let at = place / BITS;
    if words.len() <= at {
        words.resize(at.saturating_add(1), 0);
    }
    if let Some(word) = words.get_mut(at) {
        *word |= 1 << (place % BITS);
    }
}

impl FromIterator<usize> for Places {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut words = alloc::vec![0_u64];
        for place in places {
            set(&mut words, place);
        }
        Self::from_words(words)
    }
}

impl Votes {
    /// The votes of `cast`: those in `prepared` are to commit, the others to abort. `None` if `prepared` is not a
    /// subset of `cast`.
    #[inline]
    pub fn new(cast: Places, prepared: Places) -> Option<Self> {
        prepared.is_subset(&cast).then_some(Self { cast, prepared })
    }

    /// The votes of `cast`: those in `prepared` are to commit, the others to abort.
    #[inline]
    pub(crate) fn of(cast: Places, prepared: &Places) -> Self {
        Self { prepared: prepared.intersection(&cast), cast }
    }

    /// The participants whose votes these are.
    #[inline]
    pub fn cast(&self) -> &Places {
        &self.cast
    }

    /// The participants that voted to commit.
    #[inline]
    pub fn prepared(&self) -> &Places {
        &self.prepared
    }

    /// Whether there is no vote.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.cast.is_empty()
    }

    /// The vote of the participant at `place`, if it is present.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Vote> {
        self.cast.has(place).then(|| if self.prepared.has(place) { Vote::Prepared } else { Vote::Aborted })
    }

    /// Adds the vote of the participant at `place`, unless one is present.
    #[inline]
    pub fn insert(&mut self, place: usize, vote: Vote) {
        if !self.cast.has(place) {
            self.cast.insert(place);
            if vote == Vote::Prepared {
                self.prepared.insert(place);
            }
        }
    }

    /// The votes, in ascending order of places.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (usize, Vote)> + '_ {
        self.cast.iter().map(|place| (place, if self.prepared.has(place) { Vote::Prepared } else { Vote::Aborted }))
    }
}

impl FromIterator<(usize, Vote)> for Votes {
    fn from_iter<I: IntoIterator<Item = (usize, Vote)>>(votes: I) -> Self {
        let mut all = Self::default();
        for (place, vote) in votes {
            all.insert(place, vote);
        }
        all
    }
}

/// A word whose lowest `count` bits are set.
#[inline]
fn low_bits(count: usize) -> u64 {
    u32::try_from(count).ok().and_then(|count| 1_u64.checked_shl(count)).map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}

#[cfg(feature = "serde")]
mod serial {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::{Places, Votes};

    impl Serialize for Places {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.words().collect::<Vec<_>>())
        }
    }

    impl<'de> Deserialize<'de> for Places {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(Self::from_words(Vec::deserialize(deserializer)?))
        }
    }

    impl Serialize for Votes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            (&self.cast, &self.prepared).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Votes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let (cast, prepared) = Deserialize::deserialize(deserializer)?;
            Self::new(cast, prepared).ok_or_else(|| D::Error::custom("a participant is prepared without having voted"))
        }
    }
}
