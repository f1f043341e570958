//! Handlers in memory, for tests and first steps.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{EarlierLife, LifeGuard, Lives, Storage, Transport};
use crate::{
    NodeId, Packet,
    commit::{Key, Message, Record},
};

/// A storage in memory. Clones share its records, so that a node can be dropped and restored. Once one of them is loaded,
/// those that were made before can write no more: they belong to an earlier life (see [`Storage`]).
///
/// See the [module of handlers](super) for an example.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(Lives<Disk>);

#[derive(Debug, Default)]
struct Disk {
    records: BTreeMap<Key, Record>,
    writes: u64,
    /// How many more records are written before a write fails.
    until_failure: Option<usize>,
}

/// Why a write to a [`MemoryStorage`] failed.
///
/// ```
/// # use synod::{commit::Record, perform::{Storage, memory::{MemoryStorage, WriteFailed}}};
/// let mut storage = MemoryStorage::new();
/// storage.fail_after(1);
/// let records = [Record::Sequence { reserved: 64 }, Record::Rounds { reserved: 64 }];
/// assert_eq!(storage.persist(&records), Err(WriteFailed::Ordered { written: 1 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteFailed {
    /// [`MemoryStorage::fail_after`] had ordered it.
    #[error("the write failed after {written} records")]
    Ordered {
        /// How many records of the batch are durable nevertheless.
        written: usize,
    },
    /// The storage was loaded again since.
    #[error(transparent)]
    EarlierLife(#[from] EarlierLife),
}

impl MemoryStorage {
    /// A blank storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage that holds `records`.
    pub fn with_records(records: impl IntoIterator<Item = Record>) -> Self {
        let mut disk = Disk::default();
        records.into_iter().for_each(|record| disk.write(&record));
        Self(Lives::new(disk))
    }

    /// Allows `records` more records to be written. The write that exceeds this fails, with a prefix of its batch
    /// durable, like a crash in the middle of a log. Later writes succeed again.
    pub fn fail_after(&self, records: usize) {
        self.disk().until_failure = Some(records);
    }

    /// Deletes all records, like a new, blank disk.
    pub fn wipe(&self) {
        self.disk().records.clear();
    }

    /// The records that are durable, in the order of their keys.
    pub fn records(&self) -> Vec<Record> {
        self.disk().records.values().cloned().collect()
    }

    /// The number of keys that have a record.
    pub fn len(&self) -> usize {
        self.disk().records.len()
    }

    /// Whether there is no record at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of batches given to be written. Each would be one sync of a disk.
    pub fn writes(&self) -> u64 {
        self.disk().writes
    }

    fn disk(&self) -> LifeGuard<'_, Disk> {
        self.0.inspect()
    }
}

impl Disk {
    fn write(&mut self, record: &Record) {
        if record.is_tombstone() {
            self.records.remove(&record.key());
        } else {
            self.records.insert(record.key(), record.clone());
        }
    }
}

impl Storage for MemoryStorage {
    type Error = WriteFailed;

    fn load(&mut self) -> Result<Vec<Record>, WriteFailed> {
        Ok(self.0.begin().records.values().cloned().collect())
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), WriteFailed> {
        let mut disk = self.0.write()?;
        let disk = &mut *disk;
        if !records.is_empty() {
            disk.writes += 1;
        }
        for (written, record) in records.iter().enumerate() {
            match &mut disk.until_failure {
                Some(0) => {
                    disk.until_failure = None;
                    return Err(WriteFailed::Ordered { written });
                }
                Some(left) => *left -= 1,
                None => {}
            }
            disk.write(record);
        }
        Ok(())
    }
}

/// A network inside one process: one queue per node. Clones share it.
///
/// See the [module of handlers](super) for an example.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    queues: BTreeMap<NodeId, VecDeque<(NodeId, Vec<Message>)>>,
    cut_off: BTreeSet<NodeId>,
    packets: u64,
}

/// One node's access to the network: [`Network::port`].
///
/// See the [module of handlers](super) for an example.
#[derive(Clone, Debug)]
pub struct Port {
    node: NodeId,
    network: Network,
}

impl Network {
    /// A network with no packets in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// The access of `node` to the network.
    pub fn port(&self, node: NodeId) -> Port {
        Port { node, network: self.clone() }
    }

    /// The next packet for `node`, and its sender.
    pub fn receive(&self, node: NodeId) -> Option<(NodeId, Vec<Message>)> {
        self.wires().queues.get_mut(&node)?.pop_front()
    }

    /// Drops all packets in flight to `node`, and returns how many.
    pub fn lose(&self, node: NodeId) -> usize {
        self.wires().queues.remove(&node).map_or(0, |queue| queue.len())
    }

    /// Drops all packets in flight to `node`, and from now on all packets from and to it.
    pub fn cut_off(&self, node: NodeId) {
        self.lose(node);
        self.wires().cut_off.insert(node);
    }

    /// Reconnects `node`.
    pub fn reconnect(&self, node: NodeId) {
        self.wires().cut_off.remove(&node);
    }

    /// The number of packets in flight.
    pub fn in_flight(&self) -> usize {
        self.wires().queues.values().map(VecDeque::len).sum()
    }

    /// The number of packets ever sent, including lost ones.
    pub fn packets(&self) -> u64 {
        self.wires().packets
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Port {
    fn send(&mut self, packet: Packet<Message>) {
        let mut wires = self.network.wires();
        wires.packets += 1;
        if !wires.cut_off.contains(&self.node) && !wires.cut_off.contains(&packet.to) {
            wires.queues.entry(packet.to).or_default().push_back((self.node, packet.messages));
        }
    }
}
