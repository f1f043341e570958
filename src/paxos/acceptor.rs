//! The acceptor: the memory of one decree.
//!
//! It promises ballots and accepts values, and writes each down before it answers. It must never break a promise, nor
//! accept two values in one ballot.
//!
//! Invariants, in every state and across every step:
//! 1. it has accepted nothing above the ballot that it has promised;
//! 2. the promised and the accepted ballot only grow;
//! 3. it accepts one value per ballot;
//! 4. it answers only once what it says is durable.

use core::convert::Infallible;

use super::{Input, Message};
use crate::{Ballot, EffectSink, Machine, NodeId, Refusal, RestoreError, Scope, Urgency};

/// An acceptor of one decree. All of its state is durable.
///
/// *TLA+*: `aState[rm][acc]`, with `mbal` here `promised` and `bal`, `val` here `accepted`.
///
/// ```
/// use synod::{Ballot, Effect, Machine, NodeId, paxos::{Acceptor, Input, Message}};
///
/// let (proposer, ballot) = (NodeId(1), Ballot::new(1, NodeId(1)));
/// let mut acceptor = Acceptor::<&str>::new(None);
/// let effects = acceptor.step(Input::Receive { from: proposer, message: Message::Prepare { ballot } });
/// // The first effect persists the promise.
/// assert_eq!(effects[1], Effect::Send { to: proposer, message: Message::Promise { ballot, accepted: None } });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<V> {
    state: AcceptorRecord<V>,
}

/// Everything that an acceptor knows, as one durable record.
///
/// ```
/// # use synod::{Ballot, NodeId, paxos::{Acceptor, AcceptorRecord}};
/// let ballot = Ballot::new(1, NodeId(1));
/// let promised = AcceptorRecord { promised: Some(ballot), accepted: None };
/// let accepted = AcceptorRecord { accepted: Some((ballot, "a value")), ..promised };
/// assert!(accepted.may_follow(&promised) && !promised.may_follow(&accepted));
/// // After a crash:
/// assert_eq!(Acceptor::restore(accepted)?.accepted(), Some(&(ballot, "a value")));
/// # Ok::<(), synod::RestoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct AcceptorRecord<V> {
    /// The acceptor takes no ballot below this one. Initially the owner's initial ballot, or `None` if the decree has
    /// no owner.
    pub promised: Option<Ballot>,
    /// The highest accepted ballot, and its value.
    pub accepted: Option<(Ballot, V)>,
}

impl<V: PartialEq> AcceptorRecord<V> {
    /// Whether an acceptor whose record was `before` may write this one: the promised and the accepted ballot only
    /// grow, nothing is accepted above the promise, and no ballot has two values.
    pub fn may_follow(&self, before: &Self) -> bool {
        let accepted_grows = match (&before.accepted, &self.accepted) {
            (Some((old, before)), Some((new, now))) => old < new || (old == new && before == now),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let kept = self.accepted.as_ref().is_none_or(|(at, _)| Some(*at) <= self.promised);
        accepted_grows && kept && before.promised <= self.promised
    }
}

/// An acceptor's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<V> {
    /// Whether the state changed and must be written before the reply leaves.
    pub(crate) changed: bool,
    /// What to tell the proposer.
    pub(crate) reply: Message<V>,
}

impl<V: Clone + PartialEq> Acceptor<V> {
    /// An acceptor that has never heard of its decree. Only `owner`, if any, may start at the initial ballot.
    pub fn new(owner: Option<NodeId>) -> Self {
        Self { state: AcceptorRecord { promised: owner.map(Ballot::initial), accepted: None } }
    }

    /// Rebuilds the acceptor that wrote `record`. Fails if no acceptor can have written it.
    pub fn restore(record: AcceptorRecord<V>) -> Result<Self, RestoreError> {
        match (record.promised, &record.accepted) {
            (promised, Some((at, _))) if promised < Some(*at) => Err(RestoreError::AcceptedAbovePromise),
            // A new acceptor has promised the initial ballot to the owner, so it accepts no other node's value there.
            (Some(promised), Some((at, _))) if promised.is_initial() && promised != *at => {
                Err(RestoreError::NotTheOwner)
            }
            _ => Ok(Self { state: record }),
        }
    }

    /// Rebuilds the acceptor that wrote `record`, unchecked: the caller guarantees that an acceptor did.
    pub(crate) fn resume(record: AcceptorRecord<V>) -> Self {
        Self { state: record }
    }

    /// Its durable state.
    pub fn record(&self) -> &AcceptorRecord<V> {
        &self.state
    }

    /// The promised ballot.
    pub fn promised(&self) -> Option<Ballot> {
        self.state.promised
    }

    /// The highest accepted ballot and its value.
    pub fn accepted(&self) -> Option<&(Ballot, V)> {
        self.state.accepted.as_ref()
    }

    /// Handles a request, and returns what to write and what to reply. A request that is refused, by an error or by a
    /// rejection, changes nothing.
    #[inline]
    pub(crate) fn receive(&mut self, from: NodeId, message: Message<V>) -> Result<Answer<V>, Refusal> {
        match message {
            Message::Prepare { ballot } => match self.check_prepare(from, ballot) {
                Ok(()) => Ok(self.prepare(ballot)),
                Err(refusal) => self.refuse(ballot, refusal),
            },
            Message::Accept { ballot, value } => match self.check_accept(from, ballot, &value) {
                Ok(()) => Ok(self.accept(ballot, value)),
                Err(refusal) => self.refuse(ballot, refusal),
            },
            _ => Err(Refusal::NotForThisRole),
        }
    }

    /// Answers a ballot that is too low with a rejection. Other refusals get no reply.
    fn refuse(&self, ballot: Ballot, refusal: Refusal) -> Result<Answer<V>, Refusal> {
        match self.state.promised {
            Some(promised) if refusal == Refusal::StaleBallot => {
                Ok(Answer { changed: false, reply: Message::Reject { ballot, promised } })
            }
            _ => Err(refusal),
        }
    }

    /// Checks phase 1a.
    #[inline]
    fn check_prepare(&self, from: NodeId, ballot: Ballot) -> Result<(), Refusal> {
        // The owner uses the initial ballot without phase 1.
        if ballot.node != from || ballot.is_initial() {
            return Err(Refusal::NotYourBallot);
        }
        self.check_stale(ballot)
    }

    /// Checks phase 2a.
    #[inline]
    fn check_accept(&self, from: NodeId, ballot: Ballot, value: &V) -> Result<(), Refusal> {
        let promised = self.state.promised;
        // A new acceptor has promised the initial ballot to the owner, so only the owner may use that ballot.
        let owned = || promised.is_some_and(|promised| promised == ballot || !promised.is_initial());
        if ballot.node != from || (ballot.is_initial() && !owned()) {
            return Err(Refusal::NotYourBallot);
        }
        self.check_stale(ballot)?;
        match &self.state.accepted {
            Some((at, other)) if *at == ballot && other != value => Err(Refusal::SecondValue),
            _ => Ok(()),
        }
    }

    #[inline]
    fn check_stale(&self, ballot: Ballot) -> Result<(), Refusal> {
        let is_stale = self.state.promised.is_some_and(|promised| ballot < promised);
        if is_stale { Err(Refusal::StaleBallot) } else { Ok(()) }
    }

    /// *TLA+*: `Phase1b`.
    #[inline]
    fn prepare(&mut self, ballot: Ballot) -> Answer<V> {
        match &self.state.accepted {
            // A second promise would differ from the first. Repeat the acceptance instead: it says the same.
            Some((at, value)) if *at == ballot => {
                Answer { changed: false, reply: Message::Accepted { ballot, value: value.clone() } }
            }
            accepted => {
                let reply = Message::Promise { ballot, accepted: accepted.clone() };
                let changed = self.state.promised != Some(ballot);
                self.state.promised = Some(ballot);
                Answer { changed, reply }
            }
        }
    }

    /// *TLA+*: `Phase2b`.
    #[inline]
    fn accept(&mut self, ballot: Ballot, value: V) -> Answer<V> {
        let reply = Message::Accepted { ballot, value: value.clone() };
        let changed = self.state.accepted.as_ref().is_none_or(|(at, _)| *at != ballot);
        if changed {
            self.state = AcceptorRecord { promised: Some(ballot), accepted: Some((ballot, value)) };
        }
        Answer { changed, reply }
    }
}

impl<V> Answer<V> {
    /// Whether the request was granted. A rejection is the only reply that refuses it.
    #[inline]
    pub(crate) fn verdict(&self) -> Result<(), Refusal> {
        match self.reply {
            Message::Reject { .. } => Err(Refusal::StaleBallot),
            _ => Ok(()),
        }
    }
}

impl<V: Clone + PartialEq> Machine for Acceptor<V> {
    type Input = Input<V>;
    type Record = AcceptorRecord<V>;
    type Message = Message<V>;
    type Decision = Infallible;

    /// A ballot that is too low is refused and answered with [`Message::Reject`]. Other refusals send nothing.
    #[inline]
    fn step_into(
        &mut self,
        input: Input<V>,
        effects: &mut impl EffectSink<AcceptorRecord<V>, Message<V>, Infallible>,
    ) -> Result<(), Refusal> {
        let Input::Receive { from, message } = input else { return Err(Refusal::NotForThisRole) };
        let answer = self.receive(from, message)?;
        if answer.changed {
            effects.persist(self.state.clone(), Urgency::Urgent);
        }
        let verdict = answer.verdict();
        effects.send(from, answer.reply, Scope::EVERYTHING);
        verdict
    }
}
