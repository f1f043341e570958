//! What is durable never goes back: each record that replaces one of its key may follow that one, and what is erased is
//! over. *Paxos Made Simple*, section 2.3: an acceptor remembers its highest promise and what it accepted, whatever
//! fails; Gray and Lamport 2006, section 4: so does a resource manager with its vote.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId, TxId,
    commit::{Key, Record, TxRange},
};

#[derive(Default)]
pub(super) struct RecordsNeverGoBack {
    written: BTreeMap<(NodeId, Key), Record>,
    /// The records of single transactions that were erased, with the epoch of each: they never come again. In a later epoch,
    /// another transaction may have the name.
    erased: BTreeMap<(NodeId, Key), u64>,
}

const NAME: &str = "records never go back";

/// Whether `record` may replace `before`, which has the same key.
fn may_follow(record: &Record, before: &Record) -> bool {
    match (record, before) {
        (Record::Identity { .. } | Record::Birth(_) | Record::Peer { .. }, _) => record == before,
        (Record::Sequence { reserved }, Record::Sequence { reserved: before })
        | (Record::Rounds { reserved }, Record::Rounds { reserved: before })
        | (Record::Resolutions { count: reserved }, Record::Resolutions { count: before }) => reserved >= before,
        (Record::Acceptor(record), Record::Acceptor(before)) => record.may_follow(before),
        (Record::ResourceManager(record), Record::ResourceManager(before)) => record.may_follow(before),
        // An operator has settled what was prepared.
        (Record::Resolved { record, .. }, Record::ResourceManager(before)) => record.may_follow(before),
        (Record::Resolved { record, outcome }, Record::Resolved { record: before, outcome: settled }) => {
            record.may_follow(before) && outcome == settled
        }
        (Record::Retired(range), Record::Retired(before)) => range.contains(before.last()),
        (
            Record::Epoch { number, membership, former, .. },
            Record::Epoch { number: before, membership: old, former: left, .. },
        ) => number > before || number == before && membership == old && former == left,
        (Record::Handover { epoch, state }, Record::Handover { epoch: before, state: old }) => {
            epoch > before || epoch == before && state.may_follow(old)
        }
        (Record::History { outcomes, age }, Record::History { outcomes: before, age: since }) => {
            outcomes.may_follow(before) && age == since
        }
        _ => false,
    }
}

/// The epoch of the transaction that a record is about.
fn epoch_of(record: &Record) -> Option<u64> {
    match record {
        Record::Acceptor(record) => Some(record.transaction.epoch()),
        Record::ResourceManager(record) | Record::Resolved { record, .. } => Some(record.transaction.epoch()),
        _ => None,
    }
}

impl RecordsNeverGoBack {
    fn is_retired(&self, at: NodeId, range: TxRange) -> bool {
        self.written.iter().any(|((node, _), record)| match record {
            Record::Retired(known) => *node == at && known.contains(range.first()) && known.contains(range.last()),
            _ => false,
        })
    }

    /// The epoch that a node is in.
    fn epoch(&self, at: NodeId) -> Option<u64> {
        match self.written.get(&(at, Key::Epoch)) {
            Some(Record::Epoch { number, .. }) => Some(*number),
            _ => None,
        }
    }

    /// A record may go when all that it is about is over, as another record says.
    fn erase(&mut self, at: NodeId, key: Key) -> Result<(), Violation> {
        let before = self.written.remove(&(at, key));
        let over = |tx: TxId| self.is_retired(at, TxRange::only(tx));
        let may_go = match (key, &before) {
            // What was written and erased before a crash may be erased again after it.
            (Key::Acceptor(_), Some(Record::Acceptor(record))) => {
                over(record.transaction.id()) || self.epoch(at) > Some(record.transaction.epoch())
            }
            (Key::Acceptor(tx), _) => over(tx) || self.epoch(at) > Some(0),
            (Key::ResourceManager(tx), _) => over(tx),
            (Key::Handover, Some(Record::Handover { epoch, .. })) => self.epoch(at) > Some(*epoch),
            (Key::Handover, _) => self.epoch(at) > Some(0),
            (Key::Retired(_), Some(Record::Retired(range))) => self.is_retired(at, *range),
            (Key::Retired(first), _) => over(first),
            (
                Key::Identity | Key::Epoch | Key::Birth | Key::Peer(_) | Key::Sequence | Key::Rounds | Key::Resolutions,
                _,
            ) => false,
            // The oldest outcomes leave.
            (Key::History(_), _) => true,
        };
        require(NAME, may_go, || format!("{at} erases {key:?}, which is not over: {before:?}"))?;
        if matches!(key, Key::Acceptor(_) | Key::ResourceManager(_)) {
            let epoch = before.as_ref().and_then(epoch_of).unwrap_or_default();
            let known = self.erased.entry((at, key)).or_default();
            *known = epoch.max(*known);
        }
        Ok(())
    }
}

impl Property for RecordsNeverGoBack {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Durable { at, record } = observation else { return Ok(()) };
        if let Record::Erased(key) = record {
            return self.erase(*at, *key);
        }
        let key = (*at, record.key());
        let is_new = self.erased.get(&key).is_none_or(|erased| epoch_of(record) > Some(*erased));
        require(NAME, is_new, || format!("{at} erased what it writes again: {record:?}"))?;
        if let Some(before) = self.written.insert(key, (*record).clone()) {
            let follows = may_follow(record, &before);
            require(NAME, follows, || format!("{at} goes back from {before:?} to {record:?}"))?;
        }
        Ok(())
    }
}
