//! When everything has come to its end, no disk holds anything of a single transaction any more: what is kept does not
//! grow with history. The fault of atomikos#99, whose logs had to be deleted by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId,
    commit::{AcceptorRecord, Key, Record, ResourceManagerRecord},
};

#[derive(Default)]
pub(super) struct NothingIsLeft {
    /// The records of single transactions, with who takes part.
    left: BTreeMap<(NodeId, Key), Vec<NodeId>>,
    /// A liar may never hear the end of what it has lied about.
    lied: BTreeSet<(NodeId, Key)>,
    down: BTreeSet<NodeId>,
    /// What these take part in is never over.
    damaged: BTreeSet<NodeId>,
}

impl Property for NothingIsLeft {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record: Record::Acceptor(AcceptorRecord { transaction, .. }) } => {
                self.left.insert((*at, Key::Acceptor(transaction.id())), transaction.participants().to_vec());
            }
            Observation::Durable { at, record: Record::ResourceManager(ResourceManagerRecord { transaction, .. }) } => {
                self.left.insert((*at, Key::ResourceManager(transaction.id())), transaction.participants().to_vec());
            }
            Observation::Durable { at, record: Record::Erased(key) } => {
                self.left.remove(&(*at, *key));
            }
            // A machine that is switched off for good may hold what it likes.
            Observation::Stopped { at } => {
                self.down.insert(*at);
            }
            Observation::Started { at } => {
                self.down.remove(at);
            }
            Observation::Damaged { at } => {
                self.damaged.insert(*at);
            }
            Observation::Lied { at, tx } => {
                self.lied.insert((*at, Key::ResourceManager(*tx)));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Violation> {
        let is_left = |(at, key): &(NodeId, Key), participants: &[NodeId]| {
            let may_stay = self.lied.contains(&(*at, *key)) || self.down.contains(at);
            !may_stay && !participants.iter().any(|rm| self.damaged.contains(rm))
        };
        let left = self.left.iter().find(|(place, participants)| is_left(place, participants)).map(|(place, _)| place);
        require("nothing is left", left.is_none(), || format!("{} records are left, first {left:?}", self.left.len()))
    }
}
