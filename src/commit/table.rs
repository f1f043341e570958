//! The open transactions of a node: a slab, and a hash index that finds a transaction in it.
//!
//! The slab grows by chunks, so that growing moves nothing. A handle knows the generation of its slot, so that a handle
//! kept beyond the end of its transaction finds nothing.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::{clock::Waiter, open::Open, wait::mix};
use crate::TxId;

/// How many transactions one chunk holds.
const CHUNK: usize = 256;

/// Open transactions, by name and by handle.
///
/// Only the slab is serialized: [`rehash`](Table::rehash) makes the index again.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Table {
    #[cfg_attr(feature = "record", serde(skip))]
    index: HashTable<u32>,
    #[cfg_attr(feature = "record", serde(skip))]
    hasher: FixedState,
    slab: Slab,
}

/// Identifies an open transaction, for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    slot: u32,
    generation: u32,
}

#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Slab {
    chunks: Vec<Vec<Slot>>,
    /// The slots that hold no transaction.
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Slot {
    generation: u32,
    open: Option<Open>,
}

impl Table {
    /// An empty table. `seed` keeps outsiders from choosing names that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self { index: HashTable::new(), hasher: FixedState::with_seed(mix(seed)), slab: Slab::default() }
    }

    /// Makes the index of what was deserialized. Names are there once: what has the name of another is left out.
    #[cfg(feature = "record")]
    pub(crate) fn rehash(&mut self, seed: u64) {
        *self = Self { slab: core::mem::take(&mut self.slab), ..Self::new(seed) };
        let Self { index, hasher, slab } = self;
        let hash = |slot: &u32| slab.name(*slot).map_or(0, |tx| hasher.hash_one(tx));
        let slots = slab.chunks.iter().map(Vec::len).sum::<usize>();
        for slot in 0..u32::try_from(slots).unwrap_or(u32::MAX) {
            let name = slab.name(slot);
            if name.is_some() && index.find(hash(&slot), |other| slab.name(*other) == name).is_none() {
                index.insert_unique(hash(&slot), slot, hash);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The hash of a name. It may differ between platforms, so only the order of the table may depend on it.
    #[inline]
    pub(crate) fn hash(&self, tx: TxId) -> u64 {
        self.hasher.hash_one(tx)
    }

    /// The handle of `tx`, if it is open. `hash` is the hash of its name.
    #[inline]
    pub(crate) fn find(&self, tx: TxId, hash: u64) -> Option<Handle> {
        let slot = *self.index.find(hash, |slot| self.slab.name(*slot) == Some(tx))?;
        Some(Handle { slot, generation: self.slab.slot(slot)?.generation })
    }

    pub(crate) fn get(&self, tx: TxId) -> Option<&Open> {
        self.at(self.find(tx, self.hash(tx))?)
    }

    /// The transaction at `handle`, if it is still open.
    #[inline]
    pub(crate) fn at(&self, handle: Handle) -> Option<&Open> {
        let slot = self.slab.slot(handle.slot).filter(|slot| slot.generation == handle.generation)?;
        slot.open.as_ref()
    }

    /// The transaction at `handle`, if it is still open.
    #[inline]
    pub(crate) fn at_mut(&mut self, handle: Handle) -> Option<&mut Open> {
        let slot = self.slab.slot_mut(handle.slot).filter(|slot| slot.generation == handle.generation)?;
        slot.open.as_mut()
    }

    /// Adds a transaction that is not in the table. `None` if no slot number is left.
    pub(crate) fn insert(&mut self, open: Open, hash: u64) -> Option<Handle> {
        let (slab, hasher) = (&mut self.slab, &self.hasher);
        let handle = slab.insert(open)?;
        self.index.insert_unique(hash, handle.slot, |slot| slab.name(*slot).map_or(0, |tx| hasher.hash_one(tx)));
        Some(handle)
    }

    /// Removes the transaction at `handle`.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Open> {
        let tx = self.at(handle)?.transaction.id();
        let hash = self.hash(tx);
        if let Ok(entry) = self.index.find_entry(hash, |slot| *slot == handle.slot) {
            entry.remove();
        }
        self.slab.remove(handle.slot)
    }

    /// The names of all open transactions, in no particular order: nothing may depend on it.
    pub(crate) fn names(&self) -> impl Iterator<Item = TxId> {
        self.slab.iter().map(|open| open.transaction.id())
    }
}

impl Handle {
    /// The waiter that stands for this transaction.
    #[inline]
    pub(crate) fn waiter(self) -> Waiter {
        // Waiter 0 is the node itself.
        self.slot.saturating_add(1)
    }
}

impl Table {
    /// The transaction that `waiter` stands for.
    pub(crate) fn waiting(&self, waiter: Waiter) -> Option<Handle> {
        let slot = waiter.checked_sub(1)?;
        let generation = self.slab.slot(slot)?.generation;
        Some(Handle { slot, generation })
    }
}

impl Slab {
    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }

    #[inline]
    fn name(&self, slot: u32) -> Option<TxId> {
        Some(self.slot(slot)?.open.as_ref()?.transaction.id())
    }

    fn insert(&mut self, open: Open) -> Option<Handle> {
        if let Some(slot) = self.free.pop() {
            let place = self.slot_mut(slot)?;
            place.open = Some(open);
            return Some(Handle { slot, generation: place.generation });
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = self.chunks.len().saturating_sub(1).saturating_mul(CHUNK);
        let chunk = self.chunks.last_mut()?;
        let slot = u32::try_from(before.saturating_add(chunk.len())).ok().filter(|slot| *slot != u32::MAX)?;
        chunk.push(Slot { generation: 0, open: Some(open) });
        Some(Handle { slot, generation: 0 })
    }

    fn remove(&mut self, slot: u32) -> Option<Open> {
        let place = self.slot_mut(slot)?;
        let open = place.open.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        Some(open)
    }

    fn iter(&self) -> impl Iterator<Item = &Open> {
        self.chunks.iter().flatten().filter_map(|slot| slot.open.as_ref())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use super::{
        super::{Time, Transaction},
        *,
    };
    use crate::{NodeId, Scope};

    fn tx(seq: u64) -> TxId {
        TxId { origin: NodeId(1), seq }
    }

    fn open(seq: u64) -> Open {
        let transaction = Transaction::new(tx(seq), [NodeId(1)], []).expect("one participant");
        Open::new(transaction, Scope::NOTHING, Time(0))
    }

    fn insert(table: &mut Table, seq: u64) -> Handle {
        table.insert(open(seq), table.hash(tx(seq))).expect("room")
    }

    #[test]
    fn memory_is_taken_a_chunk_at_a_time() {
        let mut table = Table::new(0);
        for seq in 0..=CHUNK as u64 {
            insert(&mut table, seq);
            assert_eq!(table.slab.chunks.len(), 1 + usize::from(seq == CHUNK as u64));
        }
    }

    #[cfg(feature = "record")]
    #[test]
    fn a_table_that_was_read_finds_what_is_open_once_and_nothing_else() {
        use crate::codec::steps::{decode_value, encode_value};

        let mut table = Table::new(7);
        let handles = [1, 2, 3].map(|seq| insert(&mut table, seq));
        table.remove(handles[1]).expect("it is open");
        // Bytes that were made up may have a name twice.
        table.slab.free.clear();
        table.slab.insert(open(3)).expect("room");
        let mut read: Table = decode_value(&encode_value(&table).expect("bytes")).expect("a table");
        read.rehash(7);
        assert_eq!(read.len(), 2);
        let found = [1, 2, 3].map(|seq| read.find(tx(seq), read.hash(tx(seq))));
        assert_eq!(found, [Some(handles[0]), None, Some(handles[2])]);
        assert_eq!(read.hash(tx(1)), table.hash(tx(1)), "it is hashed by its seed");
    }
}
