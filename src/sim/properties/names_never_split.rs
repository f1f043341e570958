//! Of two transactions that have one name, neither is split: what resource managers hear of one of them, they all hear alike,
//! and they hear that it commits only if all of its participants have voted to. One transaction is more than its name here:
//! its participants and its content as well. What an operator says at one node is that node's alone, and what a client is
//! told of a name is of whichever transaction its transaction manager knows by it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, require, votes};
use crate::{
    NodeId, TxId,
    commit::{Decision, Input, Message, Outcome, Transaction, Vote, What},
};

#[derive(Default)]
pub(super) struct NamesNeverSplit {
    /// All transactions of each name.
    known: BTreeMap<TxId, Vec<Known>>,
    /// What an operator has ended.
    resolved: BTreeSet<(NodeId, TxId)>,
}

/// One transaction, whatever else has its name.
struct Known {
    transaction: Transaction,
    outcome: Option<Outcome>,
    prepared: BTreeSet<NodeId>,
}

const NAME: &str = "names never split";

impl NamesNeverSplit {
    fn known(&mut self, transaction: &Transaction) -> &mut Known {
        let namesakes = self.known.entry(transaction.id()).or_default();
        let place = namesakes.iter().position(|known| known.transaction == *transaction).unwrap_or_else(|| {
            let (transaction, outcome, prepared) = (transaction.clone(), None, BTreeSet::new());
            namesakes.push(Known { transaction, outcome, prepared });
            namesakes.len() - 1
        });
        &mut namesakes[place]
    }

    fn hears(&mut self, at: NodeId, transaction: &Transaction, outcome: Outcome) -> Result<(), Violation> {
        if self.resolved.contains(&(at, transaction.id())) {
            return Ok(());
        }
        let known = self.known(transaction);
        let first = *known.outcome.get_or_insert(outcome);
        require(NAME, first == outcome, || format!("{transaction:?} is {first:?}, but {outcome:?} at {at}"))?;
        let missing = transaction.participants().iter().find(|rm| !known.prepared.contains(rm));
        require(NAME, outcome == Outcome::Aborted || missing.is_none(), || {
            format!("{at} commits {transaction:?}, but {missing:?} has not voted to")
        })
    }
}

impl Property for NamesNeverSplit {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stepped { at, input: Input::Vote { transaction, vote: Vote::Prepared }, effects, .. }
                if votes(effects) =>
            {
                self.known(transaction).prepared.insert(*at);
                Ok(())
            }
            Observation::Stepped { at, input: Input::Resolve { tx, .. }, verdict: Ok(()), .. } => {
                self.resolved.insert((*at, *tx));
                Ok(())
            }
            Observation::Sent { at, message: Message::About { transaction, what: What::Outcome(outcome) }, .. } => {
                self.hears(*at, transaction, *outcome)
            }
            Observation::Decided { at, decision: Decision::Commit { transaction, .. } } => {
                self.hears(*at, transaction, Outcome::Committed)
            }
            Observation::Decided { at, decision: Decision::Abort { transaction, .. } } => {
                self.hears(*at, transaction, Outcome::Aborted)
            }
            _ => Ok(()),
        }
    }
}
