//! A disk: what was synced stays, and nothing else does, unless it is damaged.

use std::collections::{BTreeMap, VecDeque};

use crate::commit::{Key, Record};

/// How many of the last records a disk can lose.
pub(crate) const MOST_LOST: usize = 32;

/// The durable records of one node, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    records: BTreeMap<Key, Record>,
    /// What the last records took the place of.
    before: VecDeque<(Key, Option<Record>)>,
    is_damaged: bool,
}

impl Disk {
    pub(crate) fn write(&mut self, record: &Record) {
        let key = record.key();
        let before =
            if record.is_tombstone() { self.records.remove(&key) } else { self.records.insert(key, record.clone()) };
        self.before.truncate(MOST_LOST - 1);
        self.before.push_front((key, before));
    }

    /// Loses the last `lost` records, as if they had never been written.
    pub(crate) fn damage(&mut self, lost: usize) {
        for (key, before) in self.before.drain(..lost.min(self.before.len())) {
            match before {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
        self.is_damaged = true;
    }

    /// Whether what it called durable is lost. A storage notices.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Keeps `records` and nothing else. Returns the keys of what is gone.
    pub(crate) fn replace(&mut self, records: Vec<Record>) -> Vec<Key> {
        let records = records.into_iter().map(|record| (record.key(), record)).collect();
        self.before.clear();
        let before = core::mem::replace(&mut self.records, records);
        before.into_keys().filter(|key| !self.records.contains_key(key)).collect()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.values().cloned().collect()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Record> {
        self.records.get(&key)
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.records.is_empty()
    }
}
