//! A resource holds what it has promised until that is carried out, and, when everything has come to its end, nothing
//! else. The faults of seata#1851 and citus_docs#417: prepared transactions of which nobody knows.

use std::collections::BTreeSet;

use super::{Observation, Property, Violation, require};
use crate::{NodeId, TxId, commit::Decision};

#[derive(Default)]
pub(super) struct ResourcesKeepPromises {
    held: BTreeSet<(NodeId, TxId)>,
    /// What a resource was told to commit while it held it. It may be told again.
    committed: BTreeSet<(NodeId, TxId)>,
    /// A liar may never hear the end of what it has lied about.
    lied: BTreeSet<(NodeId, TxId)>,
    /// Nobody tells these any more.
    damaged: BTreeSet<NodeId>,
}

impl Property for ResourcesKeepPromises {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Held { at, tx } => {
                self.held.insert((*at, *tx));
            }
            Observation::Lied { at, tx } => {
                self.lied.insert((*at, *tx));
            }
            Observation::Damaged { at } => {
                self.damaged.insert(*at);
            }
            Observation::LetGo { at, tx } => {
                self.held.remove(&(*at, *tx));
            }
            Observation::Decided { at, decision: Decision::Commit { transaction, .. } } => {
                let tx = transaction.id();
                let kept = self.held.contains(&(*at, tx)) || self.committed.contains(&(*at, tx));
                require("a promise is kept", kept, || format!("{at} commits {tx}, which its resource does not hold"))?;
                self.committed.insert((*at, tx));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Violation> {
        let orphan = self.held.difference(&self.lied).find(|(at, _)| !self.damaged.contains(at));
        require("no orphan", orphan.is_none(), || {
            format!("resources hold {} transactions that are over, first {orphan:?}", self.held.len())
        })
    }
}
