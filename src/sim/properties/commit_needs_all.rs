//! A transaction commits only if every participant's resource voted to. Gray and Lamport 2006, section 2: a resource
//! manager can reach *committed* only from all being *prepared*; TLA+: `canCommit`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Begun, Observation, Property, Violation, begun, outcome_of, require, votes};
use crate::{
    NodeId, TxId,
    commit::{Input, Outcome, Vote},
};

#[derive(Default)]
pub(super) struct CommitNeedsAll {
    participants: BTreeMap<TxId, Vec<NodeId>>,
    prepared: BTreeSet<(TxId, NodeId)>,
}

impl Property for CommitNeedsAll {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, participants, .. }) = begun(observation) {
            self.participants.insert(tx, participants.to_vec());
        }
        match observation {
            Observation::Stepped { at, input: Input::Vote { transaction, vote: Vote::Prepared }, effects, .. }
                if votes(effects) =>
            {
                self.prepared.insert((transaction.id(), *at));
                Ok(())
            }
            Observation::Voted { at, tx } => {
                self.prepared.insert((*tx, *at));
                Ok(())
            }
            Observation::Decided { at, decision } => match outcome_of(decision) {
                Some((tx, Outcome::Committed)) => {
                    let missing = self.participants.get(&tx).into_iter().flatten();
                    let missing = missing.copied().find(|rm| !self.prepared.contains(&(tx, *rm)));
                    require("commit only if all prepared", missing.is_none(), || {
                        format!("{at} commits {tx}, but {missing:?} has not voted to")
                    })
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
