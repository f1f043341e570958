//! What must hold in every run: one property a file, each with its source.
//!
//! A [`World`](super::World) lets all of them watch. A test with a world of its own can do the same:
//!
//! ```
//! use synod::{NodeId, Quorums, TxId, commit::*, sim::properties::{self, Observation}};
//!
//! let ids = [NodeId(1), NodeId(2), NodeId(3)];
//! let cluster = Cluster::new(ClusterId(*b"a cluster of 3.."), Quorums::majority(ids)?, ids)?;
//! let mut properties = properties::all(&cluster);
//! let decision = Decision::Decided { tx: TxId { origin: ids[0], seq: 1 }, outcome: Outcome::Committed };
//! let seen = Observation::Decided { at: ids[0], decision: &decision };
//! // No acceptor has accepted any vote.
//! assert!(properties.iter_mut().any(|property| property.observe(&seen).is_err()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod a_frozen_epoch_ends;
mod abort_has_a_reason;
mod agreement;
mod ballots_unique;
mod clients_view;
mod commit_needs_all;
mod content_is_the_clients;
mod decided_is_chosen;
mod names_are_given_once;
mod names_never_split;
mod nothing_committed_is_forgotten;
mod nothing_is_left;
mod one_ending;
mod one_value_per_ballot;
mod outcome_stable;
mod own_epoch_only;
mod persist_before_send;
mod promise_monotone;
mod proposals_are_safe;
mod records_never_go_back;
mod refusals_change_nothing;
mod requests_are_granted;
mod resources_keep_promises;
mod retired_is_final;
mod second_votes_are_listed;
mod spared;
#[cfg(test)]
mod tests;
mod validity;

use std::collections::BTreeMap;

use super::{Hurt, Violation};
use crate::{
    Ballot, InstanceId, NodeId, Quorums, Refusal, TxId,
    commit::{
        Acceptance, AcceptorRecord, Cluster, Decision, Effect, Input, Message, Meta, Node, Outcome, Record, Vote,
        Votes, What,
    },
    paxos,
};

/// One thing to be seen from outside of the nodes.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each name says it")]
pub enum Observation<'a> {
    /// A node took an input, and said so or refused it.
    Stepped { at: NodeId, input: &'a Input, effects: &'a [Effect], verdict: Result<(), Refusal> },
    /// It refused the input: what it was before, and after. It comes behind the step.
    Refused { at: NodeId, input: &'a Input, refusal: Refusal, before: &'a Node, after: &'a Node },
    /// A record reached a node's disk.
    Durable { at: NodeId, record: &'a Record },
    /// A message left a node.
    Sent { at: NodeId, to: NodeId, message: &'a Message },
    /// A decision reached a node's caller.
    Decided { at: NodeId, decision: &'a Decision },
    /// A node knows how a transaction ended that is over.
    Remembered { at: NodeId, tx: TxId, outcome: Outcome },
    /// A faulty participant said something about its end that need not be true.
    Lied { at: NodeId, tx: TxId },
    /// A resource has prepared a transaction, durably.
    Held { at: NodeId, tx: TxId },
    /// It did, and its votes are durable in itself: that is its vote to commit.
    Voted { at: NodeId, tx: TxId },
    /// A resource holds nothing for a transaction any more.
    LetGo { at: NodeId, tx: TxId },
    /// A node stopped: its memory is lost.
    Stopped { at: NodeId },
    /// A node was restored from its disk.
    Started { at: NodeId },
    /// A node's storage was damaged: it never starts again.
    Damaged { at: NodeId },
}

/// Something that must hold in every run.
///
/// See the [module](self) for an example.
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
    of(cluster, None)
}

/// The same where some transactions may be hurt: these are followed by what each node does alone, and by what must hold of
/// them all the same.
pub(super) fn of(cluster: &Cluster, hurt: Option<Hurt>) -> Vec<Box<dyn Property>> {
    let mut all: Vec<Box<dyn Property>> = vec![
        spared::by(hurt, agreement::Agreement::default()),
        spared::by(hurt, validity::Validity::default()),
        spared::by(hurt, commit_needs_all::CommitNeedsAll::default()),
        spared::by(hurt, abort_has_a_reason::AbortHasAReason::default()),
        spared::by(hurt, outcome_stable::OutcomeStable::default()),
        spared::by(hurt, decided_is_chosen::DecidedIsChosen::new(cluster)),
        spared::by(hurt, proposals_are_safe::ProposalsAreSafe::new(cluster)),
        Box::new(promise_monotone::PromiseMonotone::default()),
        Box::new(one_ending::OneEnding::new(cluster)),
        Box::new(own_epoch_only::OwnEpochOnly::default()),
        spared::by(hurt, nothing_committed_is_forgotten::NothingCommittedIsForgotten::default()),
        Box::new(a_frozen_epoch_ends::AFrozenEpochEnds::default()),
        Box::new(records_never_go_back::RecordsNeverGoBack::default()),
        spared::by(hurt, one_value_per_ballot::OneValuePerBallot::default()),
        Box::new(ballots_unique::BallotsUnique::default()),
        Box::new(persist_before_send::PersistBeforeSend::default()),
        Box::new(retired_is_final::RetiredIsFinal::of(hurt)),
        spared::by(hurt, clients_view::ClientsView::default()),
        Box::new(refusals_change_nothing::RefusalsChangeNothing::default()),
        Box::new(requests_are_granted::RequestsAreGranted),
        Box::new(names_are_given_once::NamesAreGivenOnce::default()),
        spared::by(hurt, content_is_the_clients::ContentIsTheClients::default()),
        spared::by(hurt, nothing_is_left::NothingIsLeft::default()),
        spared::by(
            hurt.filter(|hurt| *hurt == Hurt::SecondVotes),
            resources_keep_promises::ResourcesKeepPromises::default(),
        ),
    ];
    match hurt {
        Some(Hurt::SecondVotes) => all.push(Box::new(second_votes_are_listed::SecondVotesAreListed::default())),
        Some(Hurt::Names) => all.push(Box::new(names_never_split::NamesNeverSplit::default())),
        None => {}
    }
    all
}

/// The acceptors of each epoch, as nodes write them.
struct Acceptors(BTreeMap<u64, Quorums>);

impl Acceptors {
    fn new(cluster: &Cluster) -> Self {
        Self(BTreeMap::from([(0, cluster.acceptors().clone())]))
    }

    fn note(&mut self, record: &Record) {
        if let Record::Epoch { number, membership, .. } = record {
            self.0.entry(*number).or_insert_with(|| membership.acceptors.clone());
        }
    }

    fn of(&self, epoch: u64) -> Option<&Quorums> {
        self.0.get(&epoch)
    }

    /// Whether an epoch after `epoch` has begun anywhere.
    fn is_over(&self, epoch: u64) -> bool {
        self.0.last_key_value().is_some_and(|(last, _)| *last > epoch)
    }
}

/// `Ok` if `holds`; otherwise a violation that `what` describes.
fn require(property: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { property, what: what() }) }
}

/// What `message` says in the terms of Paxos: one statement per instance. A vote is phase 2a of its instance.
fn paxos_of(from: NodeId, message: &Message) -> Vec<(InstanceId, paxos::Message<Vote>)> {
    let Message::About { transaction, what } = message else { return Vec::new() };
    let instance = |rm| InstanceId { tx: transaction.id(), rm };
    // No node takes part under this name: what is said of a participant that there is not is true of nothing.
    let rm = |place: usize| transaction.participants().get(place).copied().unwrap_or(NodeId(u64::MAX));
    let initial = |(place, value)| (rm(place), Ballot::initial(rm(place)), value);
    let accepted = |votes: &Votes, higher: &[Acceptance]| -> Vec<(NodeId, Ballot, Vote)> {
        let higher = higher.iter().map(|accepted| (accepted.rm, accepted.ballot, accepted.vote));
        votes.iter().map(initial).chain(higher).collect()
    };
    match what {
        What::Vote { vote, .. } => {
            vec![(instance(from), paxos::Message::Accept { ballot: Ballot::initial(from), value: *vote })]
        }
        What::Phase1a { ballot, instances } => {
            let prepare = paxos::Message::Prepare { ballot: *ballot };
            instances.iter().map(|place| (instance(rm(place)), prepare)).collect()
        }
        What::Phase1b { ballot, promises } => {
            let accepted = accepted(&promises.votes, &promises.higher);
            let blank = promises.instances.iter().map(rm).filter(|rm| accepted.iter().all(|told| told.0 != *rm));
            let blank = blank.map(|rm| (instance(rm), paxos::Message::Promise { ballot: *ballot, accepted: None }));
            let told = accepted.iter().map(|&(rm, at, value)| {
                (instance(rm), paxos::Message::Promise { ballot: *ballot, accepted: Some((at, value)) })
            });
            blank.chain(told).collect()
        }
        What::Phase2a { ballot, votes } => {
            let accept = |(place, value)| (instance(rm(place)), paxos::Message::Accept { ballot: *ballot, value });
            votes.iter().map(accept).collect()
        }
        What::Phase2b { votes, higher } => {
            let accepted = accepted(votes, higher).into_iter();
            accepted.map(|(rm, ballot, value)| (instance(rm), paxos::Message::Accepted { ballot, value })).collect()
        }
        What::Reject { ballot, promised } => {
            let reject = |promised| paxos::Message::Reject { ballot: *ballot, promised };
            promised.iter().map(|obstacle| (instance(obstacle.rm), reject(obstacle.promised))).collect()
        }
        What::Begin { .. }
        | What::Prepare { .. }
        | What::Inquire
        | What::Decline
        | What::Wait
        | What::OtherTransaction
        | What::Outcome(_)
        | What::Finished(_) => Vec::new(),
    }
}

/// Whether a vote is written: one that came too late changes nothing.
fn votes(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Persist(Record::ResourceManager(_))))
}

/// What `record` says of each instance.
fn instances_of(record: &AcceptorRecord) -> impl Iterator<Item = (InstanceId, paxos::AcceptorRecord<Vote>)> + '_ {
    let tx = record.transaction.id();
    let each = record.transaction.participants().iter().enumerate();
    each.filter_map(move |(place, rm)| Some((InstanceId { tx, rm: *rm }, record.instance(place)?)))
}

/// A transaction that was begun.
struct Begun<'a> {
    tx: TxId,
    participants: &'a [NodeId],
    meta: &'a Meta,
}

/// The transaction that a client begins, if the node takes it.
fn begun<'a>(observation: &Observation<'a>) -> Option<Begun<'a>> {
    let Observation::Stepped { input, effects, verdict: Ok(()), .. } = observation else { return None };
    match input {
        Input::Begin { participants, meta } => {
            let tx = effects.iter().find_map(|effect| match effect {
                Effect::Decide(Decision::Begun(tx)) => Some(*tx),
                _ => None,
            });
            tx.map(|tx| Begun { tx, participants: participants.nodes(), meta })
        }
        Input::BeginAs { transaction, meta } => {
            Some(Begun { tx: transaction.id(), participants: transaction.participants(), meta })
        }
        _ => None,
    }
}

/// The transaction that `decision` is about, if it is about any; the last one, if it is about a range.
fn name_in(decision: &Decision) -> Option<TxId> {
    match decision {
        Decision::Begun(tx) | Decision::Decided { tx, .. } | Decision::Completed { tx, .. } => Some(*tx),
        Decision::Forget(range) => Some(range.last()),
        Decision::Named(given) => Some(given.names.last()),
        Decision::Vote { transaction, .. }
        | Decision::Commit { transaction, .. }
        | Decision::Abort { transaction, .. } => Some(transaction.id()),
        Decision::Epoch { .. } | Decision::Changed { .. } => None,
    }
}

/// The outcome that `decision` tells of, if it does.
pub(super) fn outcome_of(decision: &Decision) -> Option<(TxId, Outcome)> {
    match decision {
        Decision::Begun(_)
        | Decision::Vote { .. }
        | Decision::Forget(_)
        | Decision::Named(_)
        | Decision::Epoch { .. }
        | Decision::Changed { .. } => None,
        Decision::Commit { transaction, .. } => Some((transaction.id(), Outcome::Committed)),
        Decision::Abort { transaction, .. } => Some((transaction.id(), Outcome::Aborted)),
        Decision::Decided { tx, outcome } | Decision::Completed { tx, outcome } => Some((*tx, *outcome)),
    }
}
