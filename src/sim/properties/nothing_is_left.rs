//! When everything has come to its end, no disk holds anything of a single transaction any more: what is kept does not
//! grow with history. The fault of atomikos#99, whose logs had to be deleted by hand.

use std::collections::BTreeSet;

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId,
    commit::{Key, Record},
};

#[derive(Default)]
pub(super) struct NothingIsLeft {
    left: BTreeSet<(NodeId, Key)>,
    /// A liar may never hear the end of what it has lied about.
    lied: BTreeSet<(NodeId, Key)>,
    down: BTreeSet<NodeId>,
}

impl Property for NothingIsLeft {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record: record @ (Record::Acceptor(_) | Record::ResourceManager(_)) } => {
                self.left.insert((*at, record.key()));
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
            Observation::Lied { at, tx } => {
                self.lied.insert((*at, Key::ResourceManager(*tx)));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Violation> {
        let left = self.left.difference(&self.lied).find(|(at, _)| !self.down.contains(at));
        require("nothing is left", left.is_none(), || format!("{} records are left, first {left:?}", self.left.len()))
    }
}
