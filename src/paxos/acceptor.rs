//! The acceptor: the memory of one decree.
//!
//! It promises ballots and accepts values, and writes down each before it says so. It must never go back on a
//! promise, and never accept two values in one ballot.
//!
//! Invariants, in every state and across every step:
//! 1. what it has accepted is in no higher ballot than it has promised;
//! 2. both ballots only grow;
//! 3. it accepts one value per ballot;
//! 4. nothing is answered that is not durable first.

use alloc::vec::Vec;

use super::{Input, Message};
use crate::{Ballot, Effect, Machine, NodeId, Refusal, RestoreError, effect::EffectOf};

/// An acceptor of one decree. All of its state is durable.
///
/// *TLA+*: `aState[rm][acc]`, with `mbal` here `promised` and `bal`, `val` here `accepted`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<V> {
    state: AcceptorRecord<V>,
}

/// All that an acceptor knows, as one durable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct AcceptorRecord<V> {
    /// No ballot below this one is taken. At first the owner's initial ballot, or none where nobody owns the decree.
    pub promised: Option<Ballot>,
    /// The highest accepted ballot, and its value.
    pub accepted: Option<(Ballot, V)>,
}

/// What an acceptor makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<V> {
    /// Whether the state changed, and must be written before the reply leaves.
    pub(crate) changed: bool,
    /// What to tell the proposer.
    pub(crate) reply: Message<V>,
}

impl<V: Clone + PartialEq> Acceptor<V> {
    /// An acceptor that has never heard of its decree. `owner`, if any, may start at the initial ballot.
    pub fn new(owner: Option<NodeId>) -> Self {
        Self { state: AcceptorRecord { promised: owner.map(Ballot::initial), accepted: None } }
    }

    /// The acceptor that wrote `record`. An error if no acceptor can have written it.
    pub fn restore(record: AcceptorRecord<V>) -> Result<Self, RestoreError> {
        match (record.promised, &record.accepted) {
            (promised, Some((at, _))) if promised < Some(*at) => Err(RestoreError::AcceptedAbovePromise),
            // The initial ballot is accepted from the owner alone, to whom it was promised at birth.
            (Some(promised), Some((at, _))) if promised.is_initial() && promised != *at => {
                Err(RestoreError::NotTheOwner)
            }
            _ => Ok(Self { state: record }),
        }
    }

    /// The acceptor whose record this is, by one who knows.
    pub(crate) fn resume(record: AcceptorRecord<V>) -> Self {
        Self { state: record }
    }

    /// All that it knows.
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

    /// Why `input` would be refused. A ballot that is too low is refused with [`Message::Reject`], all else in silence.
    pub fn check(&self, input: &Input<V>) -> Result<(), Refusal> {
        match input {
            Input::Receive { from, message: Message::Prepare { ballot } } => self.check_prepare(*from, *ballot),
            Input::Receive { from, message: Message::Accept { ballot, value } } => {
                self.check_accept(*from, *ballot, value)
            }
            Input::Receive { .. } | Input::Propose(_) | Input::Timeout => Err(Refusal::NotForThisRole),
        }
    }

    /// Why phase 1a would be refused.
    #[inline]
    fn check_prepare(&self, from: NodeId, ballot: Ballot) -> Result<(), Refusal> {
        // Nobody needs to prepare the initial ballot.
        if ballot.node != from || ballot.is_initial() {
            return Err(Refusal::NotYourBallot);
        }
        if self.is_stale(ballot) { Err(Refusal::StaleBallot) } else { Ok(()) }
    }

    /// Why phase 2a would be refused.
    #[inline]
    fn check_accept(&self, from: NodeId, ballot: Ballot, value: &V) -> Result<(), Refusal> {
        let promised = self.state.promised;
        // The initial ballot is the owner's, to whom it was promised at birth.
        let owned = || promised.is_some_and(|promised| promised == ballot || !promised.is_initial());
        if ballot.node != from || (ballot.is_initial() && !owned()) {
            return Err(Refusal::NotYourBallot);
        }
        if self.is_stale(ballot) {
            return Err(Refusal::StaleBallot);
        }
        match &self.state.accepted {
            Some((at, other)) if *at == ballot && other != value => Err(Refusal::SecondValue),
            _ => Ok(()),
        }
    }

    #[inline]
    fn is_stale(&self, ballot: Ballot) -> bool {
        self.state.promised.is_some_and(|promised| ballot < promised)
    }

    /// Takes a request and says what to write and to reply.
    #[inline]
    pub(crate) fn receive(&mut self, from: NodeId, message: Message<V>) -> Result<Answer<V>, Refusal> {
        match message {
            Message::Prepare { ballot } => match self.check_prepare(from, ballot) {
                Ok(()) => Ok(self.prepare(ballot)),
                Err(refusal) => self.reject(ballot, refusal),
            },
            Message::Accept { ballot, value } => match self.check_accept(from, ballot, &value) {
                Ok(()) => Ok(self.accept(ballot, value)),
                Err(refusal) => self.reject(ballot, refusal),
            },
            _ => Err(Refusal::NotForThisRole),
        }
    }

    /// Who comes too late is told so.
    fn reject(&self, ballot: Ballot, refusal: Refusal) -> Result<Answer<V>, Refusal> {
        match self.state.promised {
            Some(promised) if refusal == Refusal::StaleBallot => {
                Ok(Answer { changed: false, reply: Message::Reject { ballot, promised } })
            }
            _ => Err(refusal),
        }
    }

    /// *TLA+*: `Phase1b`.
    #[inline]
    fn prepare(&mut self, ballot: Ballot) -> Answer<V> {
        match &self.state.accepted {
            // A second promise now would differ from the first; what it would tell is told by the acceptance.
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

impl<V: Clone + PartialEq> Machine for Acceptor<V> {
    type Input = Input<V>;
    type Record = AcceptorRecord<V>;
    type Message = Message<V>;
    type Decision = core::convert::Infallible;

    #[inline]
    fn step_into(&mut self, input: Input<V>, effects: &mut Vec<EffectOf<Self>>) {
        let Input::Receive { from, message } = input else { return };
        if let Ok(answer) = self.receive(from, message) {
            if answer.changed {
                effects.push(Effect::Persist(self.state.clone()));
            }
            effects.push(Effect::Send { to: from, message: answer.reply });
        }
    }
}
