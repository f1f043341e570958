//! The open transactions of a node, each found by one lookup.
//!
//! The table holds no more than where a transaction is: it stays small, and in the caches, however many are open.

use alloc::boxed::Box;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::{open::Open, wait::mix};
use crate::TxId;

/// Open transactions by name. Their order is the hasher's: nothing may depend on it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    open: HashTable<Box<Open>>,
    hasher: FixedState,
}

impl Table {
    /// No transactions; `seed` keeps outsiders from making names collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self { open: HashTable::new(), hasher: FixedState::with_seed(mix(seed)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    #[inline]
    pub(crate) fn get(&self, tx: TxId) -> Option<&Open> {
        self.open.find(self.hasher.hash_one(tx), |open| open.id == tx).map(|open| &**open)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, tx: TxId) -> Option<&mut Open> {
        self.open.find_mut(self.hasher.hash_one(tx), |open| open.id == tx).map(|open| &mut **open)
    }

    pub(crate) fn contains(&self, tx: TxId) -> bool {
        self.get(tx).is_some()
    }

    /// Adds a transaction that is not in the table.
    pub(crate) fn insert(&mut self, open: Box<Open>) -> &mut Open {
        let hasher = &self.hasher;
        self.open.insert_unique(hasher.hash_one(open.id), open, |open| hasher.hash_one(open.id)).into_mut()
    }

    pub(crate) fn remove(&mut self, tx: TxId) -> Option<Box<Open>> {
        let entry = self.open.find_entry(self.hasher.hash_one(tx), |open| open.id == tx).ok()?;
        Some(entry.remove().0)
    }

    /// The names of all, in no order.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = TxId> {
        self.open.iter().map(|open| open.id)
    }

    /// All, in no order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Open> {
        self.open.iter_mut().map(|open| &mut **open)
    }
}

/// The same transactions in the same states, in whatever order.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.open.iter().all(|open| other.get(open.id) == Some(open))
    }
}
