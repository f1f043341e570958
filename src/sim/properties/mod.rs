//! What must hold in every run: one property a file, each with its source.

mod abort_has_a_reason;
mod agreement;
mod ballots_unique;
mod clients_view;
mod commit_needs_all;
mod decided_is_chosen;
mod nothing_is_left;
mod one_value_per_ballot;
mod outcome_stable;
mod persist_before_send;
mod promise_monotone;
mod proposals_are_safe;
mod retired_is_final;
#[cfg(test)]
mod tests;
mod validity;
mod verdict_is_true;

use super::Violation;
use crate::{
    Ballot, InstanceId, NodeId, Refusal,
    commit::{Cluster, Decision, Effect, Input, Message, Outcome, Record, Vote},
    paxos,
};

/// One thing to be seen from outside of the nodes.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each name says it")]
pub enum Observation<'a> {
    /// A node took an input, or refused it, as `verdict` says. If it refused it: whether it changed all the same, counters
    /// aside.
    Stepped { at: NodeId, input: &'a Input, effects: &'a [Effect], verdict: Result<(), Refusal>, changed: bool },
    /// A record reached a node's disk.
    Durable { at: NodeId, record: &'a Record },
    /// A message left a node.
    Sent { at: NodeId, to: NodeId, message: &'a Message },
    /// A decision reached a node's caller.
    Decided { at: NodeId, decision: &'a Decision },
    /// A node stopped: its memory is lost.
    Stopped { at: NodeId },
    /// A node was restored from its disk.
    Started { at: NodeId },
}

/// Something that must hold in every run.
pub trait Property {
    /// Looks at one more thing that happened. An error if it breaks the property.
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation>;

    /// The run is over, and everything has come to its end. An error if the property is broken by what did not happen.
    fn finish(&mut self) -> Result<(), Violation> {
        Ok(())
    }
}

/// Every property, as it reads in `cluster`.
pub fn all(cluster: &Cluster) -> Vec<Box<dyn Property>> {
    let acceptors = || cluster.acceptors().clone();
    vec![
        Box::new(agreement::Agreement::default()),
        Box::new(validity::Validity::default()),
        Box::new(commit_needs_all::CommitNeedsAll::default()),
        Box::new(abort_has_a_reason::AbortHasAReason::default()),
        Box::new(outcome_stable::OutcomeStable::default()),
        Box::new(decided_is_chosen::DecidedIsChosen::new(acceptors())),
        Box::new(proposals_are_safe::ProposalsAreSafe::new(acceptors())),
        Box::new(promise_monotone::PromiseMonotone::default()),
        Box::new(one_value_per_ballot::OneValuePerBallot::default()),
        Box::new(ballots_unique::BallotsUnique::default()),
        Box::new(persist_before_send::PersistBeforeSend::default()),
        Box::new(retired_is_final::RetiredIsFinal::default()),
        Box::new(clients_view::ClientsView::default()),
        Box::new(verdict_is_true::VerdictIsTrue),
        Box::new(nothing_is_left::NothingIsLeft::default()),
    ]
}

/// `Ok` if `holds`; otherwise a violation that `what` describes.
fn require(property: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { property, what: what() }) }
}

/// What `message` says in the terms of Paxos: one statement per instance. A vote is phase 2a of its instance.
fn paxos_of(from: NodeId, message: &Message) -> Vec<(InstanceId, paxos::Message<Vote>)> {
    match message {
        Message::Vote { transaction, vote, .. } => {
            let instance = InstanceId { tx: transaction.id(), rm: from };
            vec![(instance, paxos::Message::Accept { ballot: Ballot::initial(from), value: *vote })]
        }
        Message::Paxos { transaction, parts } => {
            let tx = transaction.id();
            parts.iter().map(|part| (InstanceId { tx, rm: part.rm }, part.message)).collect()
        }
        _ => Vec::new(),
    }
}

/// The outcome that `decision` tells of, if it does.
pub(super) fn outcome_of(decision: &Decision) -> Option<(crate::TxId, Outcome)> {
    match decision {
        Decision::Vote(_) => None,
        Decision::Commit(tx) => Some((*tx, Outcome::Committed)),
        Decision::Abort(tx) => Some((*tx, Outcome::Aborted)),
        Decision::Decided { tx, outcome } | Decision::Completed { tx, outcome } => Some((*tx, *outcome)),
    }
}
