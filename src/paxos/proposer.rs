//! The proposer: gets one value chosen, its own or one that may have been chosen before.
//!
//! It picks a ballot of its own, asks a phase-1 quorum what it has accepted, and proposes the value of the highest
//! accepted ballot, or its own value if there is none. It must never use a ballot twice, count an answer to another
//! ballot, or take a rejection for a promise.
//!
//! Invariants:
//! 1. the highest round that it used is durable before a message of that round is sent;
//! 2. it sends one value per ballot, and only after a phase-1 quorum has promised that ballot; an owner's initial
//!    ballot needs no promise, and only ever has one value;
//! 3. its decision never changes.

use alloc::{sync::Arc, vec::Vec};
use core::{borrow::Borrow, cmp::Ordering};

use super::{Input, Message};
use crate::{
    Ballot, EffectSink, Machine, NodeId, Phase, Quorums, Refusal, RestoreError, Scope, Urgency,
    quorum::{Voice, Voices},
};

/// How far a rejection's round may be above the rejected ballot. Believing a round that nobody can have reached would
/// use up all rounds. (All transactions of a transaction manager share its rounds.)
const FARTHEST_ROUND: u64 = 1 << 32;

/// What a proposer must know about itself and its decree.
///
/// ```
/// # use synod::{NodeId, Quorums, paxos::ProposerConfig};
/// let ids = [NodeId(1), NodeId(2), NodeId(3)];
/// // The proposer on node 1, which may start at the initial ballot.
/// let config = ProposerConfig::new(ids[0], Quorums::majority(ids)?, ids).with_owner(ids[0]);
/// assert!(!config.eager);
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct ProposerConfig {
    /// The proposer's own name.
    pub id: NodeId,
    /// The acceptors.
    pub acceptors: Quorums,
    /// All nodes that may propose. A rejection that names any other node is refused.
    pub proposers: Vec<NodeId>,
    /// The node that may start at the initial ballot, if any.
    pub owner: Option<NodeId>,
    /// Whether to answer a rejection with a higher ballot at once, instead of at the next time-out. Two eager proposers
    /// can keep each other from ever finishing.
    pub eager: bool,
}

/// A proposer of one decree.
///
/// *TLA+*: the leader of an instance; `Phase1a` and `Phase2a`.
///
/// ```
/// use synod::{Ballot, Effect, Machine, NodeId, Quorums, paxos::*};
///
/// let me = NodeId(1);
/// let mut proposer = Proposer::new(ProposerConfig::new(me, Quorums::majority([me])?, [me]));
/// // It writes that it uses round 1, then asks for promises.
/// let effects = proposer.step(Input::Propose("a value"));
/// assert_eq!(effects[0], Effect::Persist(ProposerRecord { round: 1, initial: None }));
/// let (ballot, receive) = (Ballot::new(1, me), |message| Input::Receive { from: me, message });
/// proposer.step(receive(Message::Promise { ballot, accepted: None }));
/// let effects = proposer.step(receive(Message::Accepted { ballot, value: "a value" }));
/// assert_eq!(effects, [Effect::Decide("a value")]);
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposer<V> {
    config: Arc<ProposerConfig>,
    /// Durable.
    record: ProposerRecord<V>,
    /// Volatile: the value to propose if no acceptor has accepted one.
    own: Option<V>,
    /// Volatile: the highest round that a rejection named, or 0.
    seen: u64,
    /// Volatile.
    stage: Stage<V>,
}

/// What a proposer must not forget.
///
/// See [`Proposer`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ProposerRecord<V> {
    /// The highest round that it used.
    pub round: u64,
    /// What it proposed at its initial ballot, if anything.
    pub initial: Option<V>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage<V> {
    /// No ballot is under way.
    Idle,
    /// A ballot is under way.
    Trying(Attempt<V>),
    /// A phase-2 quorum has accepted this value.
    Decided(V),
}

/// One proposer's work at one ballot: phase 1, then phase 2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Attempt<V> {
    ballot: Ballot,
    /// The acceptors that have promised in phase 1, or accepted in phase 2.
    granted: Voices,
    phase: AttemptPhase<V>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum AttemptPhase<V> {
    /// Gathering promises; holds the highest acceptance that they reported.
    Prepare(Option<(Ballot, V)>),
    /// Gathering acceptances of this value.
    Accept(V),
}

impl ProposerConfig {
    /// The configuration of proposer `id` of a decree that has no owner. It waits after a rejection.
    pub fn new(id: NodeId, acceptors: Quorums, proposers: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Self {
        let proposers = proposers.into_iter().map(|node| *node.borrow()).collect();
        Self { id, acceptors, proposers, owner: None, eager: false }
    }

    /// Sets [`owner`](field@Self::owner).
    #[must_use]
    pub fn with_owner(self, owner: impl Into<Option<NodeId>>) -> Self {
        Self { owner: owner.into(), ..self }
    }

    with_methods! {
        with_eager(eager: bool);
    }
}

impl<V: Clone + PartialEq> Proposer<V> {
    /// A proposer that has never acted for this decree. Proposers of many decrees may share one configuration.
    pub fn new(config: impl Into<Arc<ProposerConfig>>) -> Self {
        let record = ProposerRecord { round: 0, initial: None };
        Self { config: config.into(), record, own: None, seen: 0, stage: Stage::Idle }
    }

    /// Rebuilds the proposer that wrote `record`. It never uses a round of that record again, and keeps proposing what
    /// it proposed at its initial ballot. Fails if that ballot was not this node's to use.
    pub fn restore(config: impl Into<Arc<ProposerConfig>>, record: ProposerRecord<V>) -> Result<Self, RestoreError> {
        let config = config.into();
        if record.initial.is_some() && config.owner != Some(config.id) {
            return Err(RestoreError::NotTheOwner);
        }
        let own = record.initial.clone();
        Ok(Self { config, record, own, seen: 0, stage: Stage::Idle })
    }

    /// Everything that must survive a crash.
    pub fn record(&self) -> &ProposerRecord<V> {
        &self.record
    }

    /// The ballot that is under way.
    pub fn ballot(&self) -> Option<Ballot> {
        match &self.stage {
            Stage::Trying(attempt) => Some(attempt.ballot()),
            Stage::Idle | Stage::Decided(_) => None,
        }
    }

    /// The chosen value, once it is known.
    pub fn chosen(&self) -> Option<&V> {
        match &self.stage {
            Stage::Decided(value) => Some(value),
            Stage::Idle | Stage::Trying(_) => None,
        }
    }

    /// Whether no higher ballot is left, should it need one: rounds never wrap. The ballot under way, if any, may still
    /// succeed.
    pub fn is_stalled(&self) -> bool {
        self.next_ballot().is_none() && self.chosen().is_none()
    }

    /// Starts to propose `value`.
    #[inline]
    fn propose(&mut self, value: V, effects: &mut impl Effects<V>) -> Result<(), Refusal> {
        if self.own.is_some() {
            return Err(Refusal::AlreadyProposed);
        }
        if self.may_open() {
            self.open(&value, effects);
        } else {
            self.start(effects)?;
        }
        self.own = Some(value);
        Ok(())
    }

    #[inline]
    fn receive(&mut self, from: NodeId, message: Message<V>, effects: &mut impl Effects<V>) -> Result<(), Refusal> {
        let attempt = match &mut self.stage {
            Stage::Trying(attempt) => attempt,
            Stage::Idle => return Err(Refusal::OtherBallot),
            Stage::Decided(_) => return Err(Refusal::AlreadyDecided),
        };
        let acceptors = &self.config.acceptors;
        let voice = || acceptors.voice(from).ok_or(Refusal::NotAnAcceptor);
        match message {
            Message::Promise { ballot, accepted } => {
                if let Some(value) = attempt.promise(acceptors, voice()?, ballot, accepted, self.own.as_ref())? {
                    self.send(|| Message::Accept { ballot, value: value.clone() }, effects);
                }
            }
            Message::Accepted { ballot, value } => {
                if let Some(value) = attempt.accepted(acceptors, voice()?, ballot, value)? {
                    self.stage = Stage::Decided(value.clone());
                    effects.decide(value, Scope::EVERYTHING);
                }
            }
            Message::Reject { ballot, promised } => {
                voice()?;
                attempt.check_rejection(ballot, promised)?;
                if !self.may_propose(promised) {
                    return Err(Refusal::NotAProposer);
                }
                self.seen = self.seen.max(promised.round);
                if self.config.eager {
                    // The rejection counts even if no round is left.
                    let _ = self.start(effects);
                }
            }
            Message::Prepare { .. } | Message::Accept { .. } => return Err(Refusal::NotForThisRole),
        }
        Ok(())
    }

    /// Starts phase 1 at a ballot above every round that it used or that a rejection named.
    fn start(&mut self, effects: &mut impl Effects<V>) -> Result<(), Refusal> {
        let ballot = self.next_ballot().ok_or(Refusal::RoundsUsedUp)?;
        self.record.round = ballot.round;
        effects.persist(self.record.clone(), Urgency::Urgent);
        self.stage = Stage::Trying(Attempt::prepare(ballot));
        self.send(|| Message::Prepare { ballot }, effects);
        Ok(())
    }

    /// Starts phase 2 at the initial ballot.
    fn open(&mut self, value: &V, effects: &mut impl Effects<V>) {
        let ballot = Ballot::initial(self.config.id);
        self.record.initial = Some(value.clone());
        effects.persist(self.record.clone(), Urgency::Urgent);
        self.stage = Stage::Trying(Attempt::accept(ballot, value.clone()));
        self.send(|| Message::Accept { ballot, value: value.clone() }, effects);
    }

    /// Whether this proposer owns the initial ballot, and has used no ballot yet.
    fn may_open(&self) -> bool {
        self.config.owner == Some(self.config.id) && self.record.round == 0 && self.record.initial.is_none()
    }

    fn may_propose(&self, ballot: Ballot) -> bool {
        if ballot.is_initial() {
            self.config.owner == Some(ballot.node)
        } else {
            self.config.proposers.contains(&ballot.node)
        }
    }

    fn next_ballot(&self) -> Option<Ballot> {
        let id = self.config.id;
        Ballot::new(self.record.round.max(self.seen), id).next_above(id)
    }

    #[inline]
    fn send(&self, message: impl Fn() -> Message<V>, effects: &mut impl Effects<V>) {
        effects.send_each(self.config.acceptors.nodes(), message, Scope::EVERYTHING);
    }
}

/// Where a proposer puts its effects.
trait Effects<V>: EffectSink<ProposerRecord<V>, Message<V>, V> {}

impl<V, S: EffectSink<ProposerRecord<V>, Message<V>, V>> Effects<V> for S {}

impl<V: Clone + PartialEq> Machine for Proposer<V> {
    type Input = Input<V>;
    type Record = ProposerRecord<V>;
    type Message = Message<V>;
    type Decision = V;

    #[inline]
    fn step_into(
        &mut self,
        input: Input<V>,
        effects: &mut impl EffectSink<ProposerRecord<V>, Message<V>, V>,
    ) -> Result<(), Refusal> {
        match input {
            Input::Receive { from, message } => self.receive(from, message, effects),
            _ if self.chosen().is_some() => Err(Refusal::AlreadyDecided),
            Input::Propose(value) => self.propose(value, effects),
            Input::Timeout if self.own.is_none() => Err(Refusal::NothingProposed),
            Input::Timeout => self.start(effects),
        }
    }
}

impl<V: Clone + PartialEq> Attempt<V> {
    /// An attempt that begins with phase 1.
    pub(crate) fn prepare(ballot: Ballot) -> Self {
        Self { ballot, granted: Voices::default(), phase: AttemptPhase::Prepare(None) }
    }

    /// An attempt that needs no phase 1.
    fn accept(ballot: Ballot, value: V) -> Self {
        Self { ballot, granted: Voices::default(), phase: AttemptPhase::Accept(value) }
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Checks that an answer is about the ballot of this attempt.
    #[inline]
    fn check_ballot(&self, ballot: Ballot) -> Result<(), Refusal> {
        if ballot == self.ballot { Ok(()) } else { Err(Refusal::OtherBallot) }
    }

    /// Counts a promise. Returns the value to send in phase 2a if this promise completed a quorum: the value of the
    /// highest accepted ballot, or `own` if there is none. An error changes nothing.
    #[inline]
    pub(crate) fn promise(
        &mut self,
        acceptors: &Quorums,
        acceptor: Voice,
        ballot: Ballot,
        accepted: Option<(Ballot, V)>,
        own: Option<&V>,
    ) -> Result<Option<V>, Refusal> {
        self.check_ballot(ballot)?;
        if accepted.as_ref().is_some_and(|(at, _)| *at >= ballot) {
            return Err(Refusal::ImpossiblePromise);
        }
        let AttemptPhase::Prepare(highest) = &mut self.phase else { return Err(Refusal::PhaseIsOver) };
        let is_higher = match (&accepted, &*highest) {
            (None, _) => false,
            (Some((at, value)), Some((known, other))) => match at.cmp(known) {
                Ordering::Less => false,
                Ordering::Equal if value == other => false,
                Ordering::Equal => return Err(Refusal::SecondValue),
                Ordering::Greater => true,
            },
            (Some(_), None) => true,
        };
        if !self.granted.add(acceptor) {
            return Ok(None);
        }
        if is_higher {
            *highest = accepted;
        }
        if !acceptors.carries(Phase::Prepare, self.granted) {
            return Ok(None);
        }
        let Some(value) = highest.as_ref().map(|(_, value)| value).or(own).cloned() else { return Ok(None) };
        self.granted = Voices::default();
        self.phase = AttemptPhase::Accept(value.clone());
        Ok(Some(value))
    }

    /// Whether a promise of `acceptor` would complete a quorum, if it is one more.
    pub(crate) fn completes(&self, acceptors: &Quorums, acceptor: Voice) -> bool {
        let mut granted = self.granted;
        granted.add(acceptor) && acceptors.carries(Phase::Prepare, granted)
    }

    /// The value that it proposes, once phase 1 is over.
    pub(crate) fn value(&self) -> Option<&V> {
        match &self.phase {
            AttemptPhase::Prepare(_) => None,
            AttemptPhase::Accept(value) => Some(value),
        }
    }

    /// Counts an acceptance. Returns the chosen value if this acceptance completed a quorum. An error changes nothing.
    #[inline]
    pub(crate) fn accepted(
        &mut self,
        acceptors: &Quorums,
        acceptor: Voice,
        ballot: Ballot,
        value: V,
    ) -> Result<Option<V>, Refusal> {
        self.check_ballot(ballot)?;
        match &self.phase {
            AttemptPhase::Prepare(_) => Err(Refusal::NothingProposed),
            AttemptPhase::Accept(own) if value != *own => Err(Refusal::SecondValue),
            AttemptPhase::Accept(_) => {
                self.granted.add(acceptor);
                Ok(acceptors.carries(Phase::Accept, self.granted).then_some(value))
            }
        }
    }

    /// Checks that a rejection names a higher ballot that can exist. It never ends the attempt: other acceptors may
    /// still make a quorum.
    #[inline]
    pub(crate) fn check_rejection(&self, ballot: Ballot, promised: Ballot) -> Result<(), Refusal> {
        self.check_ballot(ballot)?;
        match promised.round.checked_sub(ballot.round) {
            _ if promised <= ballot => Err(Refusal::IdleRejection),
            Some(ahead) if ahead > FARTHEST_ROUND => Err(Refusal::FarBallot),
            _ => Ok(()),
        }
    }
}
