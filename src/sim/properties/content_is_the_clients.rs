//! What a resource is told that a transaction is about is what the client said when it began, and the resource is told
//! before it votes or commits. It must not carry out what nobody asked for. A resource whose votes are durable in itself
//! knows what it has prepared by its name, and need not be told what that is about.

use std::collections::{BTreeMap, BTreeSet};

use super::{Begun, Observation, Property, Violation, begun, require};
use crate::{
    NodeId, TxId,
    commit::{Decision, Meta},
};

#[derive(Default)]
pub(super) struct ContentIsTheClients {
    begun: BTreeMap<TxId, Meta>,
    /// What each resource whose votes are durable in itself has prepared.
    voted: BTreeSet<(NodeId, TxId)>,
}

impl Property for ContentIsTheClients {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, meta, .. }) = begun(observation) {
            self.begun.insert(tx, meta.clone());
        }
        let (at, transaction, meta) = match observation {
            Observation::Voted { at, tx } => {
                self.voted.insert((*at, *tx));
                return Ok(());
            }
            Observation::Decided { at, decision: Decision::Commit { transaction, meta } }
                if meta.bytes().is_empty() && self.voted.contains(&(*at, transaction.id())) =>
            {
                return Ok(());
            }
            Observation::Decided {
                at,
                decision:
                    Decision::Vote { transaction, meta }
                    | Decision::Commit { transaction, meta }
                    | Decision::Abort { transaction, meta: Some(meta) },
            } => (at, transaction, meta),
            _ => return Ok(()),
        };
        let said = self.begun.get(&transaction.id());
        require("content is the client's", said == Some(meta) && transaction.is_about(meta), || {
            format!("{at} is told that {transaction:?} is about {meta:?}, and the client said {said:?}")
        })
    }
}
