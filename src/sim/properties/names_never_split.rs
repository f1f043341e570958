//! Of two transactions that have one name, neither is split: what resource managers hear of one of them, they all hear alike,
//! and they hear that it commits only if all of its participants have voted to. One transaction is more than its name here:
//! its participants and its content as well. What an operator says at one node is that node's alone, and what a client is
//! told of a name is of whichever transaction its transaction manager knows by it.

use std::collections::{HashMap, HashSet};

use super::{Observation, Property, Violation, require, votes};
use crate::{
    NodeId, TxId,
    commit::{Decision, Input, Message, Outcome, Transaction, Vote, What},
};

#[derive(Default)]
pub(super) struct NamesNeverSplit {
    outcomes: HashMap<Transaction, Outcome>,
    prepared: HashSet<(NodeId, Transaction)>,
    /// What an operator has ended.
    resolved: HashSet<(NodeId, TxId)>,
}

const NAME: &str = "names never split";

impl NamesNeverSplit {
    fn hears(&mut self, at: NodeId, transaction: &Transaction, outcome: Outcome) -> Result<(), Violation> {
        if self.resolved.contains(&(at, transaction.id())) {
            return Ok(());
        }
        let known = *self.outcomes.entry(transaction.clone()).or_insert(outcome);
        require(NAME, known == outcome, || format!("{transaction:?} is {known:?}, but {outcome:?} at {at}"))?;
        let mut participants = transaction.participants().iter();
        let missing = participants.find(|rm| !self.prepared.contains(&(**rm, transaction.clone())));
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
                self.prepared.insert((*at, transaction.clone()));
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
