//! What a resource was once told, it is always told: across restarts, an outcome does not change, and what was carried
//! out stays so. Gray and Lamport 2006, section 2: *Stability*.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId, TxId,
    commit::{Decision, Outcome, Record, Vote},
};

#[derive(Default)]
pub(super) struct OutcomeStable {
    handed: BTreeMap<(NodeId, TxId), Outcome>,
    voted: BTreeMap<(NodeId, TxId), Vote>,
}

impl OutcomeStable {
    fn outcome(&mut self, at: NodeId, tx: TxId, outcome: Outcome) -> Result<(), Violation> {
        let known = *self.handed.entry((at, tx)).or_insert(outcome);
        require("outcome stable", known == outcome, || {
            format!("{at} was told that {tx} is {known:?}, and now that it is {outcome:?}")
        })
    }
}

impl Property for OutcomeStable {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Decided { at, decision: Decision::Commit { transaction, .. } } => {
                self.outcome(*at, transaction.id(), Outcome::Committed)
            }
            Observation::Decided { at, decision: Decision::Abort { transaction, .. } } => {
                self.outcome(*at, transaction.id(), Outcome::Aborted)
            }
            Observation::Durable { at, record: Record::ResourceManager(record) } => {
                let tx = record.transaction.id();
                if let Some(vote) = record.vote {
                    let known = *self.voted.entry((*at, tx)).or_insert(vote);
                    require("outcome stable", known == vote, || format!("{at} voted {known:?} and {vote:?} in {tx}"))?;
                }
                record.finished.map_or(Ok(()), |outcome| self.outcome(*at, tx, outcome))
            }
            _ => Ok(()),
        }
    }
}
