//! When everything has come to its end, no disk holds anything of a single transaction any more: what is kept does not
//! grow with history. The fault of atomikos#99, whose logs had to be deleted by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId,
    commit::{Key, Record, TxRange},
};

#[derive(Default)]
pub(super) struct NothingIsLeft {
    left: BTreeSet<(NodeId, Key)>,
    retired: BTreeMap<NodeId, BTreeSet<TxRange>>,
}

impl NothingIsLeft {
    fn is_retired(&self, at: NodeId, key: Key) -> bool {
        let (Key::Acceptor(tx) | Key::ResourceManager(tx)) = key else { return false };
        self.retired.get(&at).is_some_and(|ranges| ranges.iter().any(|range| range.contains(tx)))
    }
}

impl Property for NothingIsLeft {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record: Record::Retired(range) } => {
                self.retired.entry(*at).or_default().insert(*range);
            }
            Observation::Durable { at, record: record @ (Record::Acceptor(_) | Record::ResourceManager(_)) } => {
                self.left.insert((*at, record.key()));
            }
            Observation::Durable { at, record: Record::Erased(key) } => {
                self.left.remove(&(*at, *key));
            }
            // A write torn between a range and its tombstones leaves records that are void; a snapshot sweeps them out.
            Observation::Stopped { at } => {
                let mut left = core::mem::take(&mut self.left);
                left.retain(|(node, key)| node != at || !self.is_retired(*node, *key));
                self.left = left;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Violation> {
        let left = self.left.first();
        require("nothing is left", left.is_none(), || format!("{} records are left, first {left:?}", self.left.len()))
    }
}
