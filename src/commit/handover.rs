//! The handover: the one decree by which a cluster goes from an epoch to the next.
//!
//! It is one more instance of Paxos among the acceptors of the epoch: phase 1 and phase 2 of an infinite ballot, in all
//! instances of all transactions of the epoch at once. Its phase 1 *freezes* an acceptor for good: it accepts and promises
//! nothing any more in a transaction of the epoch. Its value, an [`Ending`], is the next membership together with how
//! everything ends that the epoch has not finished. After it, no message, record or quorum of the old epoch is needed for
//! anything.
//!
//! Invariants:
//! 1. at most one ending is chosen in an epoch;
//! 2. an acceptor is frozen from its first promise in the handover on, through any crash: the record of that promise *is* the
//!    freeze, so there is nothing else to forget;
//! 3. it reports what is durable at an acceptor that is frozen, and all of that;
//! 4. a value is proposed only after the whole reports of a phase-1 quorum have come, or an ending that one of them has
//!    accepted.
//!
//! This file has the roles; `node/handing_over.rs` carries out what they say.

mod message;
mod packed;
mod pages;
mod report;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use self::report::Reports;
pub use self::{
    message::{Ending, Entry, EpochMessage, Page, Part, Ranges},
    packed::{Fingerprint, Fingerprints},
};
pub(crate) use self::{
    packed::{Packing, union},
    pages::{Assembly, Lists, Progress, Volume},
};
use super::{AcceptorRecord, Cluster, Membership, Places, Time, Votes, Wait, clock::NEVER, ranges::RangeSet};
use crate::{Ballot, NodeId, Phase, Refusal, paxos, paxos::Attempt};

/// What a node knows of the handover of its epoch.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Handover {
    /// Durable: what this acceptor has promised and accepted. It is frozen as soon as there is any.
    pub(crate) state: Option<paxos::AcceptorRecord<Ending>>,
    /// What it has reported last, or accepted.
    pub(crate) reported: Option<Volume>,
    /// An ending that it is asked to accept, as far as it has come.
    incoming: Assembly,
    /// Whether another acceptor is known to be frozen.
    pub(crate) is_told: bool,
    /// Until when nothing new is begun here.
    pub(crate) held_until: Time,
    /// The membership that an operator wants.
    pub(crate) wish: Option<Wish>,
    pub(crate) trial: Option<Trial>,
    /// The highest round that a rejection named.
    pub(crate) highest_round: u64,
    /// What it waits for, and until when.
    pub(crate) wait: Option<Wait>,
    pub(crate) due: Time,
    /// How often it has waited for the same.
    pub(crate) repetitions: u32,
    /// How many ballots this epoch has seen here, of anybody: the more, the longer it waits before it adds one.
    rivals: u32,
}

/// The membership that an operator wants, before phase 1.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Wish {
    pub(crate) membership: Membership,
    /// The nodes that have answered.
    pub(crate) ready: BTreeSet<NodeId>,
    /// Whether managers were asked to begin nothing new.
    pub(crate) is_holding: bool,
    /// The managers of the present epoch that have nothing undecided left.
    pub(crate) drained: BTreeSet<NodeId>,
}

/// A ballot of this node's own.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Trial {
    attempt: Attempt<Ending>,
    /// The membership to propose if no ending was accepted.
    own: Membership,
    reports: Reports,
    /// Reports that have not come whole.
    partial: BTreeMap<NodeId, Assembly>,
    /// Who has answered in the present phase.
    answered: BTreeSet<NodeId>,
    /// The ending that it proposes.
    pub(crate) volume: Option<Volume>,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            state: None,
            reported: None,
            incoming: Assembly::default(),
            is_told: false,
            held_until: Time(0),
            wish: None,
            trial: None,
            highest_round: 0,
            wait: None,
            due: NEVER,
            repetitions: 0,
            rivals: 0,
        }
    }
}

impl Handover {
    /// The ballot that this acceptor has promised, if it is frozen.
    pub(crate) fn promised(&self) -> Option<Ballot> {
        self.state.as_ref()?.promised
    }

    /// Whether nothing new may begin here: it would hardly come to anything.
    pub(crate) fn is_holding(&self, now: Time) -> bool {
        self.state.is_some() || self.is_told || now < self.held_until
    }

    /// Phases 1a and 2a. Whether the state has changed, and what to answer.
    pub(crate) fn request(
        &mut self,
        from: NodeId,
        request: paxos::Message<Ending>,
    ) -> Result<paxos::Answer<Ending>, Refusal> {
        let blank = paxos::AcceptorRecord { promised: None, accepted: None };
        let before = self.state.clone().unwrap_or(blank);
        let mut acceptor = paxos::Acceptor::resume(before.clone());
        let answer = acceptor.receive(from, request)?;
        if answer.changed {
            debug_assert!(acceptor.record().may_follow(&before), "an acceptor never goes back");
            self.state = Some(acceptor.record().clone());
        }
        Ok(answer)
    }

    /// A page of an ending that this acceptor is asked to accept, at whatever ballot: pages of one digest say the same.
    pub(crate) fn add_ending(&mut self, page: &Page) -> Result<Progress, Refusal> {
        self.incoming.add(page)
    }

    /// The answer to phase 1a, with a page of what it has reported last.
    pub(crate) fn promise(&self, page: Page) -> Option<EpochMessage> {
        let state = self.state.as_ref()?;
        let accepted = state.accepted.as_ref().map(|(at, ending)| (*at, ending.membership.clone().into()));
        Some(EpochMessage::Promise { ballot: state.promised?, accepted, page })
    }

    /// What this node waits for: first for the answers to its own ballot.
    pub(crate) fn waits_for(&self, may_propose: bool) -> Option<Wait> {
        let repetitions = self.repetitions;
        match (&self.trial, &self.wish) {
            (Some(_), _) => Some(Wait::Repeat(repetitions)),
            // Somebody else is at it. Longer than that one repeats itself, so that they hardly ever meet.
            (None, _) if self.state.is_some() || self.is_told => {
                may_propose.then_some(Wait::Recover(self.rivals.saturating_sub(1)))
            }
            (None, Some(wish)) if wish.is_holding => Some(Wait::Flush),
            (None, Some(_)) => Some(Wait::Repeat(repetitions)),
            (None, None) => None,
        }
    }

    /// Whether phase 1 need wait no longer: nothing is undecided at any of `managers`. It is tried once; then it has its time.
    pub(crate) fn is_drained(&self, managers: &[NodeId]) -> bool {
        let has_drained = |wish: &Wish| managers.iter().all(|manager| wish.drained.contains(manager));
        self.wait == Some(Wait::Flush) && self.repetitions == 0 && self.wish.as_ref().is_some_and(has_drained)
    }

    /// One more ballot: waits for something else from now on, and longer before adding another one.
    pub(crate) fn meet_rival(&mut self) {
        self.rivals = self.rivals.saturating_add(1);
        self.start_over();
    }

    /// Waits for something else from now on.
    pub(crate) fn start_over(&mut self) {
        (self.wait, self.repetitions) = (None, 0);
    }
}

impl Wish {
    pub(crate) fn new(membership: Membership) -> Self {
        Self { membership, ready: BTreeSet::new(), is_holding: false, drained: BTreeSet::new() }
    }

    /// Whether `node` is to be a member, and has not answered.
    pub(crate) fn awaits(&self, node: NodeId) -> bool {
        self.membership.is_member(node) && !self.ready.contains(&node)
    }

    /// The members to come that have not answered.
    pub(crate) fn awaited(&self) -> Vec<NodeId> {
        self.membership.members().into_iter().filter(|node| self.awaits(*node)).collect()
    }

    /// Whether enough of the members to come have answered: a quorum of either phase, and a transaction manager.
    pub(crate) fn is_ready(&self) -> bool {
        let acceptors = &self.membership.acceptors;
        let ready = acceptors.members(acceptors.nodes().filter(|node| self.ready.contains(node)));
        acceptors.is_quorum(Phase::Prepare, ready)
            && acceptors.is_quorum(Phase::Accept, ready)
            && self.membership.managers.iter().any(|manager| self.ready.contains(manager))
    }
}

impl Trial {
    pub(crate) fn new(ballot: Ballot, own: Membership) -> Self {
        Self {
            attempt: Attempt::prepare(ballot),
            own,
            reports: Reports::default(),
            partial: BTreeMap::new(),
            answered: BTreeSet::new(),
            volume: None,
        }
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.attempt.ballot()
    }

    /// The ending that it proposes, once a quorum has reported.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.attempt.value()
    }

    /// Who has not answered in the present phase.
    pub(crate) fn silent(&self, cluster: &Cluster) -> Vec<NodeId> {
        cluster.acceptors().nodes().filter(|node| !self.answered.contains(node)).collect()
    }

    /// A page of a promise. The next page to ask for, or, if this was the last one that was missing, the ending to propose.
    pub(crate) fn promise(
        &mut self,
        cluster: &Cluster,
        from: NodeId,
        ballot: Ballot,
        accepted: Option<(Ballot, &Membership)>,
        page: &Page,
    ) -> Result<(Option<u64>, Option<Ending>), Refusal> {
        let acceptors = cluster.acceptors();
        let voice = acceptors.voice(from).ok_or(Refusal::NotAnAcceptor)?;
        if ballot != self.attempt.ballot() {
            return Err(Refusal::OtherBallot);
        }
        if self.attempt.value().is_some() || self.answered.contains(&from) {
            return Err(Refusal::PhaseIsOver);
        }
        let mut partial = self.partial.remove(&from).unwrap_or_default();
        let lists = match partial.add(page) {
            Ok(Progress::Whole(lists)) => lists,
            Ok(Progress::Next(next)) => {
                self.partial.insert(from, partial);
                return Ok((Some(next), None));
            }
            Err(refusal) => {
                // What had come before stays.
                if !partial.is_blank() {
                    self.partial.insert(from, partial);
                }
                return Err(refusal);
            }
        };
        let value = match accepted {
            Some((at, membership)) => {
                let Lists { committed, retired, .. } = lists;
                let ending = Ending { membership: membership.clone(), committed, retired };
                self.attempt.promise(acceptors, voice, ballot, Some((at, ending)), None)?
            }
            None => {
                self.reports.add(lists);
                let completes = self.attempt.completes(acceptors, voice);
                let own = completes.then(|| core::mem::take(&mut self.reports).ending(self.own.clone()));
                self.attempt.promise(acceptors, voice, ballot, None, own.as_ref())?
            }
        };
        self.answered.insert(from);
        if let Some(ending) = &value {
            self.answered.clear();
            self.partial.clear();
            self.reports = Reports::default();
            self.volume = Some(Volume::new(Lists::of_ending(ending)));
        }
        Ok((None, value))
    }

    /// Phase 2b. The ending, if a quorum has accepted it.
    pub(crate) fn accepted(
        &mut self,
        cluster: &Cluster,
        from: NodeId,
        ballot: Ballot,
    ) -> Result<Option<Ending>, Refusal> {
        let voice = cluster.acceptors().voice(from).ok_or(Refusal::NotAnAcceptor)?;
        let value = self.attempt.value().cloned().ok_or(Refusal::NothingProposed)?;
        let chosen = self.attempt.accepted(cluster.acceptors(), voice, ballot, value)?;
        self.answered.insert(from);
        Ok(chosen)
    }

    /// A higher ballot is promised: this one comes to nothing.
    pub(crate) fn check_rejection(&self, ballot: Ballot, promised: Ballot) -> Result<(), Refusal> {
        self.attempt.check_rejection(ballot, promised)
    }
}

/// What an acceptor reports of the transactions of its epoch, given their records in order of name, and what is retired.
pub(crate) fn report(records: impl Iterator<Item = AcceptorRecord>, retired: &RangeSet) -> Lists {
    let (mut ready, mut parts) = (Packing::default(), Vec::new());
    for record in records {
        let (transaction, participants) = (record.transaction.fingerprint(), record.transaction.participants());
        if record.votes == all_prepared(participants.len()) {
            ready.push(transaction);
            continue;
        }
        let instances = (0..participants.len()).map(|place| record.instance(place).and_then(|state| state.accepted));
        parts.push(Part { transaction, instances: instances.collect() });
    }
    Lists { ready: ready.finish(), parts, retired: retired.iter().collect(), ..Lists::default() }
}

/// A vote to commit in each of so many instances.
fn all_prepared(participants: usize) -> Votes {
    Votes::of(Places::first(participants), &Places::first(participants))
}
