//! From records to a node, and back.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use super::{
    super::{
        Acceptor, AcceptorRecord, Config, Effect, Key, Record, ResourceManager, ResourceManagerRecord, Transaction,
        open::Open, reserve::Reserve,
    },
    Node,
    retirement::other_keepers,
};
use crate::RestoreError;

impl Node {
    /// The node that wrote `records`, in the order of writing. Of each key the last one counts.
    ///
    /// An error if the identity record is missing or another's: a blank disk does not vote. And an error if no node can
    /// have written these records.
    pub fn restore(config: Config, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let latest: BTreeMap<Key, Record> = records.into_iter().map(|record| (record.key(), record)).collect();
        match latest.get(&Key::Identity) {
            Some(Record::Identity { cluster, .. }) if *cluster != config.cluster.id() => {
                return Err(RestoreError::OtherCluster);
            }
            Some(Record::Identity { node, .. }) if *node != config.id => return Err(RestoreError::OtherNode(*node)),
            Some(Record::Identity { .. }) => {}
            _ => return Err(RestoreError::NoIdentity),
        }
        let mut node = Self::blank(config);
        node.restore_retired(&latest);
        for record in latest.into_values() {
            match record {
                Record::Sequence { reserved } => node.sequence = Reserve::from(reserved),
                Record::Rounds { reserved } => node.common.rounds = Reserve::from(reserved),
                Record::Acceptor(record) => node.restore_acceptor(record)?,
                Record::ResourceManager(record) => node.restore_rm(record)?,
                Record::Identity { .. } | Record::Retired(_) | Record::Erased(_) => {}
            }
        }
        if node.config.cluster.is_manager(node.config.id) && !node.retired.is_empty() {
            for keeper in other_keepers(&node.config) {
                node.announced.insert(keeper, node.retired.clone());
            }
        }
        for open in node.open.iter_mut() {
            // Which is armed first does not matter: none starts before the first tick, and then each by itself.
            open.arm(&mut node.common);
        }
        Ok(node)
    }

    /// Restores the retired ranges. A write that was torn may have left ranges that overlap, or touch: the next step
    /// mends that on the disk, too.
    fn restore_retired(&mut self, latest: &BTreeMap<Key, Record>) {
        let recorded = latest.values().filter_map(|record| match record {
            Record::Retired(range) => Some(*range),
            _ => None,
        });
        for range in recorded.clone() {
            self.retired.add(range);
        }
        for range in recorded {
            match self.retired.around(range.first()) {
                Some(merged) if merged.first() != range.first() => self.owe_erasure(Key::Retired(range.first())),
                Some(merged) if merged != range => self.owed.push(Effect::Persist(Record::Retired(merged))),
                _ => {}
            }
        }
    }

    /// Of a write that was torn, what is retired may have been left behind: the next step erases it.
    fn owe_erasure(&mut self, key: Key) {
        self.owed.push(Effect::Persist(Record::Erased(key)));
    }

    fn restore_open(&mut self, transaction: &Transaction) -> Result<&mut Open, RestoreError> {
        let tx = transaction.id();
        if !self.open.contains(tx) {
            self.open.insert(Box::new(Open::new(transaction.clone())));
        }
        let same = self.open.get_mut(tx).filter(|open| open.transaction == *transaction);
        same.ok_or(RestoreError::OtherTransaction(tx))
    }

    fn restore_acceptor(&mut self, record: AcceptorRecord) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        if self.retired.contains(tx) {
            self.owe_erasure(Key::Acceptor(tx));
            return Ok(());
        }
        if !self.config.cluster.acceptors().contains(self.config.id) {
            return Err(RestoreError::NotAnAcceptor(tx));
        }
        let acceptor = Acceptor::restore(self.config.cluster.clone(), record)?;
        if !acceptor.has_record() {
            // It says no more than that there was an acceptor. None writes that, and none needs it.
            self.owe_erasure(Key::Acceptor(tx));
            return Ok(());
        }
        let open = self.restore_open(acceptor.transaction())?;
        open.acceptor = Some(acceptor.into());
        Ok(())
    }

    fn restore_rm(&mut self, record: ResourceManagerRecord) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        if self.retired.contains(tx) {
            self.owe_erasure(Key::ResourceManager(tx));
            return Ok(());
        }
        let rm = ResourceManager::restore(self.config.cluster.clone(), self.config.id, record)?;
        let open = self.restore_open(rm.transaction())?;
        open.rm = Some(rm.into());
        Ok(())
    }

    /// The least set of records that would rebuild this node, so that a log can be cut. What it leaves out is volatile.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = alloc::vec![Record::Identity { cluster: self.config.cluster.id(), node: self.config.id }];
        if self.sequence.is_used() {
            records.push(Record::Sequence { reserved: self.sequence.reserved() });
        }
        if self.common.rounds.is_used() {
            records.push(Record::Rounds { reserved: self.common.rounds.reserved() });
        }
        records.extend(self.retired.iter().map(Record::Retired));
        for tx in self.open_transactions() {
            let Some(open) = self.open.get(tx) else { continue };
            let acceptor = open.acceptor.as_ref().filter(|acceptor| acceptor.has_record());
            records.extend(acceptor.map(|acceptor| Record::Acceptor(acceptor.record())));
            let rm = open.rm.as_ref().filter(|rm| rm.has_record());
            records.extend(rm.map(|rm| Record::ResourceManager(rm.record())));
        }
        records
    }
}
