//! Many transactions in little memory: in order, and close together, they take nine or ten bytes each.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{cmp::Ordering, fmt, iter::Peekable};

use crate::{NodeId, TxId};

/// How many transactions a chunk has. Each chunk can be read alone, so that nothing that comes before is looked at, and nothing
/// is moved when more come.
const CHUNK: usize = 128;

/// A transaction as a handover tells of it: its name, and a digest of everything else that makes it this one, so that another
/// one of the same name is not taken for it.
///
/// ```
/// # use synod::{NodeId, TxId, commit::Transaction};
/// let tx = TxId { origin: NodeId(1), seq: 1 };
/// let one = Transaction::new(tx, [NodeId(2), NodeId(3)], *b"move 10")?;
/// let other = Transaction::new(tx, [NodeId(2), NodeId(3)], *b"move 20")?;
/// assert_eq!(one.fingerprint().tx, other.fingerprint().tx);
/// assert_ne!(one.fingerprint(), other.fingerprint());
/// # Ok::<(), synod::commit::TransactionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Fingerprint {
    /// Its name.
    pub tx: TxId,
    /// The digest of its epoch, its participants and its content.
    pub digest: u64,
}

/// Any number of transactions, cheap to clone. In order of name, and close together, they take nine or ten bytes each.
///
/// ```
/// # use synod::{NodeId, TxId, commit::{Fingerprint, Fingerprints}};
/// let one = Fingerprint { tx: TxId { origin: NodeId(1), seq: 1 }, digest: 7 };
/// let all = Fingerprints::from(vec![one]);
/// assert_eq!((all.len(), all.iter().next()), (1, Some(one)));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<Fingerprint>", into = "Vec<Fingerprint>"))]
pub struct Fingerprints {
    /// All but the last have [`CHUNK`] transactions.
    chunks: Arc<[Box<[u8]>]>,
    len: usize,
}

/// Transactions that are not all there yet.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "record", serde(from = "Vec<Fingerprint>", into = "Vec<Fingerprint>"))]
pub(crate) struct Packing {
    full: Vec<Box<[u8]>>,
    /// The last chunk, which is not full, and its last name.
    rest: Vec<u8>,
    last: Option<TxId>,
    len: usize,
}

/// The transactions of a chunk that are not read yet.
struct Unpacked<'a> {
    bytes: &'a [u8],
    last: Option<TxId>,
}

impl Fingerprints {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The transactions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        self.iter_from(0)
    }

    /// Those from number `first` on. Little of what comes before is looked at.
    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = Fingerprint> + '_ {
        self.chunks_from(first / CHUNK).skip(first % CHUNK)
    }

    fn chunks_from(&self, chunk: usize) -> impl Iterator<Item = Fingerprint> + '_ {
        self.chunks.get(chunk..).unwrap_or_default().iter().flat_map(|chunk| Unpacked::of(chunk))
    }

    /// Those of this name. They must be in order.
    fn named(&self, tx: TxId) -> impl Iterator<Item = Fingerprint> + '_ {
        let first = |chunk: &[u8]| Unpacked::of(chunk).next();
        let chunk =
            self.chunks.partition_point(|chunk| first(chunk).is_some_and(|first| first.tx < tx)).saturating_sub(1);
        self.chunks_from(chunk).skip_while(move |one| one.tx < tx).take_while(move |one| one.tx == tx)
    }

    /// Whether any has this name. They must be in order.
    pub(crate) fn has_name(&self, tx: TxId) -> bool {
        self.named(tx).next().is_some()
    }

    /// Whether just this one is among them. They must be in order.
    pub(crate) fn contains(&self, one: Fingerprint) -> bool {
        self.named(one.tx).any(|known| known == one)
    }

    /// The same, in order, and each once.
    pub(crate) fn sorted(self) -> Self {
        if self.iter().is_sorted_by(|one, next| one < next) {
            return self;
        }
        let mut all = Vec::from(self);
        all.sort_unstable();
        all.dedup();
        all.into()
    }

    /// How many bytes of memory they take.
    pub(crate) fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| size_of_val(chunk).saturating_add(chunk.len())).fold(0, usize::saturating_add)
    }
}

/// All that is in one of both, in order, if both are in order.
pub(crate) fn union(
    one: impl Iterator<Item = Fingerprint>,
    other: impl Iterator<Item = Fingerprint>,
) -> impl Iterator<Item = Fingerprint> {
    let (mut one, mut other): (Peekable<_>, Peekable<_>) = (one.peekable(), other.peekable());
    core::iter::from_fn(move || {
        let order = match (one.peek(), other.peek()) {
            (Some(first), Some(second)) => first.cmp(second),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => one.next(),
            Ordering::Greater => other.next(),
            Ordering::Equal => {
                other.next();
                one.next()
            }
        }
    })
}

impl Packing {
    pub(crate) fn push(&mut self, one: Fingerprint) {
        put(&mut self.rest, self.last, one);
        self.last = Some(one.tx);
        self.len = self.len.saturating_add(1);
        if self.len.is_multiple_of(CHUNK) {
            self.full.push(self.rest.as_slice().into());
            self.rest.clear();
            self.last = None;
        }
    }

    pub(crate) fn finish(mut self) -> Fingerprints {
        if !self.rest.is_empty() {
            self.full.push(self.rest.into());
        }
        Fingerprints { chunks: self.full.into(), len: self.len }
    }
}

impl FromIterator<Fingerprint> for Packing {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(all: I) -> Self {
        let mut packing = Self::default();
        all.into_iter().for_each(|one| packing.push(one));
        packing
    }
}

impl FromIterator<Fingerprint> for Fingerprints {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(all: I) -> Self {
        Packing::from_iter(all).finish()
    }
}

impl From<Vec<Fingerprint>> for Fingerprints {
    fn from(all: Vec<Fingerprint>) -> Self {
        all.into_iter().collect()
    }
}

impl From<Fingerprints> for Vec<Fingerprint> {
    fn from(all: Fingerprints) -> Self {
        all.iter().collect()
    }
}

impl From<Vec<Fingerprint>> for Packing {
    fn from(all: Vec<Fingerprint>) -> Self {
        all.into_iter().collect()
    }
}

impl From<Packing> for Vec<Fingerprint> {
    fn from(packing: Packing) -> Self {
        packing.finish().into()
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Appends `one`, which comes after `before`: how far its number is from that, if it is higher and of the same origin;
/// otherwise 0, its origin and its number. Then its digest.
fn put(bytes: &mut Vec<u8>, before: Option<TxId>, one: Fingerprint) {
    let Fingerprint { tx, digest } = one;
    let before = before.filter(|before| before.origin == tx.origin);
    match before.and_then(|before| tx.seq.checked_sub(before.seq)).filter(|further| *further > 0) {
        Some(further) => put_number(bytes, further),
        None => [0, tx.origin.0, tx.seq].into_iter().for_each(|number| put_number(bytes, number)),
    }
    bytes.extend(digest.to_le_bytes());
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    for _ in (0..u64::BITS).step_by(7) {
        let rest = number >> 7;
        if rest == 0 {
            break;
        }
        bytes.push(number as u8 | 0x80);
        number = rest;
    }
    bytes.push(number as u8);
}

impl<'a> Unpacked<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, last: None }
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte <= 0x7f {
                return Some(number);
            }
        }
        None
    }
}

impl Iterator for Unpacked<'_> {
    type Item = Fingerprint;

    fn next(&mut self) -> Option<Fingerprint> {
        let tx = match self.number()? {
            0 => TxId { origin: NodeId(self.number()?), seq: self.number()? },
            further => {
                let last = self.last?;
                TxId { seq: last.seq.checked_add(further)?, ..last }
            }
        };
        let (digest, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        self.last = Some(tx);
        Some(Fingerprint { tx, digest: u64::from_le_bytes(*digest) })
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a test may panic")]

    use alloc::{collections::BTreeSet, format, vec, vec::Vec};

    use proptest::prelude::*;

    use super::{CHUNK, Fingerprint, Fingerprints, Packing, union};
    use crate::{NodeId, TxId};

    fn one() -> impl Strategy<Value = Fingerprint> {
        let seq = prop_oneof![20 => 0..500_u64, 1 => (u64::MAX - 3)..=u64::MAX, 1 => any::<u64>()];
        let origin = prop_oneof![20 => 0..2_u64, 1 => any::<u64>()];
        let name = (origin, seq).prop_map(|(origin, seq)| TxId { origin: NodeId(origin), seq });
        (name, prop_oneof![0..2_u64, any::<u64>()]).prop_map(|(tx, digest)| Fingerprint { tx, digest })
    }

    fn list() -> impl Strategy<Value = Vec<Fingerprint>> {
        prop::collection::vec(one(), 0..(4 * CHUNK))
    }

    proptest! {
        #[test]
        fn what_is_packed_is_the_same_list_whatever_it_is(list in list(), first in 0..(5 * CHUNK)) {
            let packed = Fingerprints::from(list.clone());
            prop_assert_eq!(packed.len(), list.len());
            prop_assert_eq!(packed.is_empty(), list.is_empty());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), list.clone());
            let after: Vec<_> = list.iter().skip(first).copied().collect();
            prop_assert_eq!(packed.iter_from(first).collect::<Vec<_>>(), after);
            let (part, rest) = list.split_at(first.min(list.len()));
            let mut packing = Packing::from(Vec::from(Packing::from(part.to_vec())));
            rest.iter().for_each(|one| packing.push(*one));
            prop_assert_eq!(&packing.finish(), &packed);
        }

        #[test]
        fn what_is_in_order_is_found_and_joined_like_a_plain_set(one in list(), other in list(), asked in list()) {
            let plain = |list: &[Fingerprint]| list.iter().copied().collect::<BTreeSet<_>>();
            let packed = |list: &[Fingerprint]| Fingerprints::from(list.to_vec()).sorted();
            prop_assert_eq!(packed(&one).iter().collect::<Vec<_>>(), plain(&one).into_iter().collect::<Vec<_>>());
            let both: Fingerprints = union(packed(&one).iter(), packed(&other).iter()).collect();
            let all = plain(&[one, other].concat());
            prop_assert_eq!(&both.iter().collect::<BTreeSet<_>>(), &all);
            prop_assert_eq!(both.len(), all.len());
            for asked in asked.into_iter().chain(all.iter().copied()) {
                prop_assert_eq!(both.contains(asked), all.contains(&asked));
                prop_assert_eq!(both.has_name(asked.tx), all.iter().any(|one| one.tx == asked.tx));
            }
        }
    }

    fn named(seq: u64, digest: u64) -> Fingerprint {
        Fingerprint { tx: TxId { origin: NodeId(1), seq }, digest }
    }

    #[test]
    fn two_of_one_name_are_both_found_though_a_chunk_ends_between_them() {
        let (first, last) = (named(1_000, 1), named(1_000, 2));
        let before = (1..CHUNK as u64).map(|seq| named(seq, 7));
        let after = (2_000..2_000 + 2 * CHUNK as u64).map(|seq| named(seq, 7));
        let all: Vec<_> = before.chain([first, last]).chain(after).collect();
        let packed = Fingerprints::from(all.clone());
        assert!(all.iter().all(|one| packed.contains(*one) && packed.has_name(one.tx)));
        for absent in [named(0, 7), named(1_000, 3), named(1_500, 7), named(9_999, 7)] {
            assert!(!packed.contains(absent), "{absent:?}");
            assert_eq!(packed.has_name(absent.tx), absent.tx == first.tx, "{absent:?}");
        }
    }

    #[test]
    fn whatever_order_they_come_in_they_are_sorted_and_each_is_there_once() {
        let [one, two, three] = [named(1, 1), named(1, 2), named(2, 0)];
        for list in
            [vec![one, two, three], vec![three, two, one], vec![two, one, three, one], vec![one, one, two, three]]
        {
            assert_eq!(Vec::from(Fingerprints::from(list.clone()).sorted()), [one, two, three], "{list:?}");
        }
        let twice = Fingerprints::from(vec![one, one]);
        assert_eq!(Vec::from(twice.sorted()), [one]);
        let joined = |first: &[_], second: &[_]| {
            Vec::from(union(first.iter().copied(), second.iter().copied()).collect::<Fingerprints>())
        };
        for (first, second) in [
            (&[one, three][..], &[two][..]),
            (&[two], &[one, three]),
            (&[], &[one, two, three]),
            (&[one, two, three], &[]),
            (&[one, two], &[two, three]),
        ] {
            assert_eq!(joined(first, second), [one, two, three], "{first:?} {second:?}");
        }
    }

    #[test]
    fn they_are_shown_like_a_list() {
        let list = vec![named(1, 7), named(3, 8)];
        assert_eq!(format!("{:?}", Fingerprints::from(list.clone())), format!("{list:?}"));
    }

    #[test]
    fn a_number_takes_a_byte_for_each_seven_bits() {
        let memory = |further| Fingerprints::from(vec![named(0, 0), named(further, 0)]).memory();
        let shortest = memory(1);
        for (further, more) in [(0x7f, 0), (0x80, 1), (0x3fff, 1), (0x4000, 2), ((1 << 56) - 1, 7), (1 << 63, 9)] {
            assert_eq!(memory(further), shortest + more, "{further}");
        }
    }

    #[test]
    fn a_name_that_is_not_far_from_the_one_before_takes_a_byte_more_than_its_digest() {
        let every_other = (0..1_000_000_u64).map(|seq| TxId { origin: NodeId(1), seq: seq.saturating_mul(2) });
        let all: Fingerprints = every_other.map(|tx| Fingerprint { tx, digest: u64::MAX }).collect();
        assert!((9_000_000..9_300_000).contains(&all.memory()), "{} bytes", all.memory());
    }
}
