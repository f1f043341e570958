//! A transaction aborts only if a resource voted to, or a transaction manager waited too long and proposed it. Gray and
//! Lamport 2006, section 2: *Non-Triviality*: without failures, if all can commit, it commits.

use std::collections::BTreeSet;

use super::{Observation, Property, Violation, instances_of, outcome_of, require};
use crate::{
    TxId,
    commit::{Effect, Input, Message, Outcome, Record, Vote, What},
};

#[derive(Default)]
pub(super) struct AbortHasAReason {
    reasons: BTreeSet<TxId>,
    /// Whether a handover has aborted what it did not commit.
    handed_over: bool,
}

/// The transaction that a proposer above round 0 wants to abort, as its message shows; or, where the acceptor is on the
/// proposer's own node, as that one's record does.
fn proposed_to_abort(effect: &Effect) -> Option<TxId> {
    match effect {
        Effect::Send { message: Message::About { transaction, what: What::Phase2a { votes, .. } }, .. } => {
            votes.iter().any(|(_, vote)| vote == Vote::Aborted).then(|| transaction.id())
        }
        Effect::Persist(Record::Acceptor(record)) => instances_of(record)
            .filter_map(|(_, state)| state.accepted)
            .any(|(ballot, vote)| !ballot.is_initial() && vote == Vote::Aborted)
            .then(|| record.transaction.id()),
        _ => None,
    }
}

impl Property for AbortHasAReason {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stepped {
                input: Input::Vote { transaction, vote: Vote::Aborted }, verdict: Ok(()), ..
            } => {
                self.reasons.insert(transaction.id());
            }
            Observation::Durable { record: Record::Epoch { number, .. }, .. } => self.handed_over |= *number > 0,
            Observation::Stepped { effects, .. } => self.reasons.extend(effects.iter().filter_map(proposed_to_abort)),
            Observation::Decided { at, decision } => {
                if let Some((tx, Outcome::Aborted)) = outcome_of(decision) {
                    return require("abort only with a reason", self.handed_over || self.reasons.contains(&tx), || {
                        format!("{at} aborts {tx}, which nobody voted or proposed to abort")
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
