//! The learner: finds out which value was chosen.
//!
//! It counts acceptances, ballot by ballot. It must never add up acceptances of different ballots, count an acceptor
//! twice, or change its decision.
//!
//! Invariants:
//! 1. it decides only when a phase-2 quorum of distinct acceptors has accepted one ballot;
//! 2. its decision never changes;
//! 3. it holds at most one count more than there are acceptors, whatever it receives.

use alloc::vec::Vec;
use core::convert::Infallible;

use super::{Input, Message};
use crate::{
    Ballot, EffectSink, Machine, Phase, Quorums, Refusal, Scope,
    quorum::{Voice, Voices},
};

/// A learner of one decree. All of its state is volatile: after a crash it learns the value from the acceptors again.
///
/// *TLA+*: the condition of `Decide`.
///
/// ```
/// use synod::{Ballot, Machine, NodeId, Quorums, paxos::{Input, Learner, Message}};
///
/// let (ids, ballot) = ([NodeId(1), NodeId(2), NodeId(3)], Ballot::new(1, NodeId(1)));
/// let mut learner = Learner::new(Quorums::majority(ids)?);
/// for from in [ids[0], ids[2]] {
///     learner.step(Input::Receive { from, message: Message::Accepted { ballot, value: 7 } });
/// }
/// assert_eq!(learner.chosen(), Some(&7));
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learner<V> {
    quorums: Quorums,
    lesson: Lesson<V>,
}

/// What a learner knows of one decree. The quorums are kept outside, so that many decrees can share them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Lesson<V> {
    chosen: Option<V>,
    /// The count of the ballot that came first; normally the only one.
    first: Option<Count<V>>,
    /// Further ballots, unordered.
    more: Vec<Count<V>>,
}

/// The acceptors that have accepted one ballot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Count<V> {
    ballot: Ballot,
    value: V,
    accepted: Voices,
}

impl<V: Clone + PartialEq> Learner<V> {
    /// A learner that knows nothing yet.
    pub fn new(quorums: Quorums) -> Self {
        Self { quorums, lesson: Lesson::default() }
    }

    /// The chosen value, once it is known.
    pub fn chosen(&self) -> Option<&V> {
        self.lesson.chosen()
    }
}

impl<V: Clone + PartialEq> Lesson<V> {
    /// The chosen value, once it is known.
    #[inline]
    pub(crate) fn chosen(&self) -> Option<&V> {
        self.chosen.as_ref()
    }

    /// Counts that an acceptor has accepted `value` in `ballot`. Returns the chosen value if this acceptance decided
    /// it. An error changes nothing.
    #[inline]
    pub(crate) fn learn(
        &mut self,
        quorums: &Quorums,
        acceptor: Voice,
        ballot: Ballot,
        value: V,
    ) -> Result<Option<V>, Refusal> {
        if self.chosen.is_some() {
            return Ok(None);
        }
        let new = || Count { ballot, value: value.clone(), accepted: Voices::default() };
        let first = self.first.get_or_insert_with(new);
        let count = if first.ballot == ballot {
            first
        } else if let Some(count) = further(&mut self.more, new(), quorums.len()) {
            count
        } else {
            return Ok(None);
        };
        if count.value != value {
            return Err(Refusal::SecondValue);
        }
        count.accepted.add(acceptor);
        if !quorums.carries(Phase::Accept, count.accepted) {
            return Ok(None);
        }
        self.chosen = Some(value.clone());
        self.first = None;
        self.more = Vec::new();
        Ok(Some(value))
    }
}

/// The count for the ballot of `new`, added if need be. If there are then more counts than acceptors, the one of the
/// lowest ballot is dropped, which may be the new one.
#[cold]
fn further<V>(more: &mut Vec<Count<V>>, new: Count<V>, acceptors: usize) -> Option<&mut Count<V>> {
    let ballot = new.ballot;
    if more.iter().all(|count| count.ballot != ballot) {
        more.push(new);
        if more.len() > acceptors {
            let lowest = more.iter().enumerate().min_by_key(|(_, count)| count.ballot)?.0;
            more.swap_remove(lowest);
        }
    }
    more.iter_mut().find(|count| count.ballot == ballot)
}

impl<V> Default for Lesson<V> {
    fn default() -> Self {
        Self { chosen: None, first: None, more: Vec::new() }
    }
}

impl<V: Clone + PartialEq> Machine for Learner<V> {
    type Input = Input<V>;
    type Record = Infallible;
    type Message = Infallible;
    type Decision = V;

    /// Acceptances that come after the decision are not refused: they change nothing.
    fn step_into(
        &mut self,
        input: Input<V>,
        effects: &mut impl EffectSink<Infallible, Infallible, V>,
    ) -> Result<(), Refusal> {
        let Input::Receive { from, message: Message::Accepted { ballot, value } } = input else {
            return Err(Refusal::NotForThisRole);
        };
        let acceptor = self.quorums.voice(from).ok_or(Refusal::NotAnAcceptor)?;
        if let Some(chosen) = self.lesson.learn(&self.quorums, acceptor, ballot, value)? {
            effects.decide(chosen, Scope::EVERYTHING);
        }
        Ok(())
    }
}
