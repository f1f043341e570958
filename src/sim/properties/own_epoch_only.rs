//! A node takes part in the transactions of its own epoch only, and a frozen acceptor in none: from its first promise in a
//! handover on, through any crash, it accepts and promises nothing more in that epoch. What a handover reports is then all
//! that was ever accepted there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId,
    commit::{AcceptorRecord, Key, Record},
};

#[derive(Default)]
pub(super) struct OwnEpochOnly {
    epochs: BTreeMap<NodeId, u64>,
    /// The acceptors that are frozen, and in which epoch.
    frozen: BTreeMap<NodeId, u64>,
    /// What each acceptor holds, to tell a record that is written again from one that says more.
    held: BTreeMap<(NodeId, Key), AcceptorRecord>,
    /// Nodes that have not been seen to write an epoch: a hand-made world may begin with them.
    known: BTreeSet<NodeId>,
}

const NAME: &str = "own epoch only";

impl OwnEpochOnly {
    fn accepts(&mut self, at: NodeId, record: &AcceptorRecord) -> Result<(), Violation> {
        let epoch = record.transaction.epoch();
        if self.known.contains(&at) {
            let own = self.epochs.get(&at).copied();
            require(NAME, own == Some(epoch), || format!("{at}, in epoch {own:?}, writes {record:?} of another one"))?;
        }
        let key = Key::Acceptor(record.transaction.id());
        let before = self.held.insert((at, key), record.clone());
        let is_frozen = self.frozen.get(&at) == Some(&epoch);
        require(NAME, !is_frozen || before.as_ref() == Some(record), || {
            format!("{at} is frozen, and goes on from {before:?} to {record:?}")
        })
    }
}

impl Property for OwnEpochOnly {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Durable { at, record } = observation else { return Ok(()) };
        match record {
            Record::Identity { .. } => {
                self.known.insert(*at);
            }
            Record::Epoch { number, .. } => {
                self.epochs.insert(*at, *number);
                if self.frozen.get(at).is_some_and(|frozen| frozen < number) {
                    self.frozen.remove(at);
                }
            }
            Record::Handover { epoch, .. } => {
                let own = self.epochs.get(at).copied();
                require(NAME, own == Some(*epoch), || {
                    format!("{at}, in epoch {own:?}, takes part in the end of {epoch}")
                })?;
                self.frozen.insert(*at, *epoch);
            }
            Record::Acceptor(record) => return self.accepts(*at, record),
            _ => {}
        }
        Ok(())
    }
}
