//! Sets of participants, and what those participants voted, as bits.

use alloc::{sync::Arc, vec::Vec};

use super::Vote;

/// How many places one word holds.
const BITS: usize = u64::BITS as usize;

/// A set of participants of a transaction, by their places in its sorted list.
///
/// Two sets with the same places are equal, whatever the number of participants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Places(Bits);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bits {
    /// All places are below 64.
    Few(u64),
    /// Some place is not. Invariant: there are at least two words, and the last one is not zero.
    Many(Arc<Vec<u64>>),
}

/// Votes of some participants of a transaction, by their places in its sorted list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Votes {
    cast: Places,
    /// Invariant: a subset of `cast`.
    prepared: Places,
}

impl Default for Places {
    fn default() -> Self {
        Self(Bits::Few(0))
    }
}

impl Places {
    /// The set of the first `count` places.
    #[inline]
    pub fn first(count: usize) -> Self {
        if count <= BITS { Self(Bits::Few(low_bits(count))) } else { (0..count).collect() }
    }

    /// Whether there is no place in the set.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Bits::Few(0))
    }

    /// How many places are in the set.
    pub fn len(&self) -> usize {
        self.words().iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether `place` is in the set.
    #[inline]
    pub fn has(&self, place: usize) -> bool {
        match &self.0 {
            Bits::Few(word) => place < BITS && (*word >> (place % BITS)) & 1 == 1,
            Bits::Many(words) => words.get(place / BITS).is_some_and(|word| (word >> (place % BITS)) & 1 == 1),
        }
    }

    /// Adds `place`.
    #[inline]
    pub fn insert(&mut self, place: usize) {
        match &mut self.0 {
            Bits::Few(word) if place < BITS => *word |= 1 << (place % BITS),
            _ => self.insert_far(place),
        }
    }

    #[cold]
    fn insert_far(&mut self, place: usize) {
        let mut words = self.words().to_vec();
        words.resize(words.len().max((place / BITS).saturating_add(1)), 0);
        if let Some(word) = words.get_mut(place / BITS) {
            *word |= 1 << (place % BITS);
        }
        *self = Self::from_words(words);
    }

    /// The places, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.words().iter().enumerate();
        words.flat_map(|(at, word)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.checked_sub(1)?;
                Some(at.saturating_mul(BITS).saturating_add(bit))
            })
        })
    }

    /// Whether every place is below `count`.
    #[inline]
    pub fn is_within(&self, count: usize) -> bool {
        match &self.0 {
            Bits::Few(word) => word & !low_bits(count) == 0,
            Bits::Many(_) => self.iter().all(|place| place < count),
        }
    }

    /// Whether every place of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        let others = other.words().iter().copied().chain(core::iter::repeat(0));
        self.words().iter().zip(others).all(|(word, other)| word & !other == 0)
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
    pub fn difference(&self, other: &Self) -> Self {
        self.merged(other, |word, other| word & !other)
    }

    #[inline]
    fn merged(&self, other: &Self, merge: impl Fn(u64, u64) -> u64) -> Self {
        if let (Bits::Few(word), Bits::Few(other)) = (&self.0, &other.0) {
            return Self(Bits::Few(merge(*word, *other)));
        }
        let (words, others) = (self.words(), other.words());
        let word = |words: &[u64], at: usize| words.get(at).copied().unwrap_or(0);
        let longest = words.len().max(others.len());
        Self::from_words((0..longest).map(|at| merge(word(words, at), word(others, at))).collect())
    }

    /// The set as words of 64 places each: the first word holds the lowest places. There is at least one word, and only
    /// the first one may be zero at the end.
    pub fn words(&self) -> &[u64] {
        match &self.0 {
            Bits::Few(word) => core::slice::from_ref(word),
            Bits::Many(words) => words,
        }
    }

    /// The set that consists of these words; trailing words of zero add nothing.
    pub fn from_words(mut words: Vec<u64>) -> Self {
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        match words.as_slice() {
            [] => Self::default(),
            [word] => Self(Bits::Few(*word)),
            _ => Self(Bits::Many(Arc::new(words))),
        }
    }
}

impl FromIterator<usize> for Places {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut words = alloc::vec![0_u64];
        for place in places {
            words.resize(words.len().max((place / BITS).saturating_add(1)), 0);
            if let Some(word) = words.get_mut(place / BITS) {
                *word |= 1 << (place % BITS);
            }
        }
        Self::from_words(words)
    }
}

impl Votes {
    /// The votes of `cast`, of which those in `prepared` are to commit and the others to abort. `None` if someone is
    /// prepared without having voted.
    pub fn new(cast: Places, prepared: Places) -> Option<Self> {
        prepared.is_subset(&cast).then_some(Self { cast, prepared })
    }

    /// Whose votes these are.
    pub fn cast(&self) -> &Places {
        &self.cast
    }

    /// Who voted to commit.
    pub fn prepared(&self) -> &Places {
        &self.prepared
    }

    /// Whether there is no vote.
    pub fn is_empty(&self) -> bool {
        self.cast.is_empty()
    }

    /// The vote of the participant at `place`, if it is here.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Vote> {
        self.cast.has(place).then(|| if self.prepared.has(place) { Vote::Prepared } else { Vote::Aborted })
    }

    /// Adds the vote of the participant at `place`. A vote that is here already stays.
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
            self.words().serialize(serializer)
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
