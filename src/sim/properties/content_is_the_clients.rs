//! What a resource is told that a transaction is about is what the client said when it began, and the resource is told
//! before it votes or commits. It must not carry out what nobody asked for.

use std::collections::BTreeMap;

use super::{Begun, Observation, Property, Violation, begun, require};
use crate::{
    TxId,
    commit::{Decision, Meta},
};

#[derive(Default)]
pub(super) struct ContentIsTheClients {
    begun: BTreeMap<TxId, Meta>,
}

impl Property for ContentIsTheClients {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, meta, .. }) = begun(observation) {
            self.begun.insert(tx, meta.clone());
        }
        let (at, transaction, meta) = match observation {
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
