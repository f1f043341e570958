//! A disk: what was synced stays, and nothing else does.

use std::collections::BTreeMap;

use crate::commit::{Key, Record};

/// The durable records of one node, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    records: BTreeMap<Key, Record>,
}

impl Disk {
    pub(crate) fn write(&mut self, record: &Record) {
        if record.is_tombstone() {
            self.records.remove(&record.key());
        } else {
            self.records.insert(record.key(), record.clone());
        }
    }

    /// Keeps `records` and nothing else. Returns the keys of what is gone.
    pub(crate) fn replace(&mut self, records: Vec<Record>) -> Vec<Key> {
        let records = records.into_iter().map(|record| (record.key(), record)).collect();
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
