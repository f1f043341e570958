//! The learner: finds out which value was chosen.
//!
//! It counts acceptances, ballot by ballot. It must never add up acceptances of different ballots, nor count an
//! acceptor twice, nor change its mind.
//!
//! Invariants:
//! 1. it decides only when a phase-2 quorum of distinct acceptors has accepted one ballot;
//! 2. its decision never changes;
//! 3. it holds at most one count per acceptor and one more, whatever it is sent.

use alloc::vec::Vec;
use core::convert::Infallible;

use super::{Input, Message};
use crate::{Ballot, Effect, Machine, NodeId, Phase, Quorums, Refusal, Standing, Tally, effect::EffectOf};

/// A learner of one decree. All of its state is volatile: whoever asks the acceptors again learns again.
///
/// *TLA+*: the condition of `Decide`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learner<V> {
    quorums: Quorums,
    chosen: Option<V>,
    counts: Counts<V>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts<V> {
    /// The ballot that came first; the only one, when nothing goes wrong.
    first: Option<Count<V>>,
    /// Further ballots, unordered.
    more: Vec<Count<V>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Count<V> {
    tally: Tally,
    value: V,
}

impl<V: Clone + PartialEq> Learner<V> {
    /// A learner that knows nothing yet.
    pub fn new(quorums: Quorums) -> Self {
        Self { quorums, chosen: None, counts: Counts::new() }
    }

    /// The chosen value, once it is known.
    pub fn chosen(&self) -> Option<&V> {
        self.chosen.as_ref()
    }

    /// Why `input` would be refused. What comes after the decision is old news, and no wrong.
    pub fn check(&self, input: &Input<V>) -> Result<(), Refusal> {
        match input {
            Input::Receive { from, message: Message::Accepted { ballot, value } } => {
                self.check_accepted(*from, *ballot, value)
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    fn check_accepted(&self, from: NodeId, ballot: Ballot, value: &V) -> Result<(), Refusal> {
        if !self.quorums.contains(from) {
            return Err(Refusal::NotAnAcceptor);
        }
        match self.counts.iter().find(|count| count.tally.ballot() == ballot) {
            Some(count) if count.value != *value => Err(Refusal::SecondValue),
            _ => Ok(()),
        }
    }

    /// Counts that `from` accepted `value` in `ballot`. Returns the chosen value if this decided it.
    pub(crate) fn learn(&mut self, from: NodeId, ballot: Ballot, value: V) -> Result<Option<V>, Refusal> {
        self.check_accepted(from, ballot, &value)?;
        if self.chosen.is_some() {
            return Ok(None);
        }
        let Some(count) = self.counts.at(ballot, value, self.quorums.len()) else { return Ok(None) };
        count.tally.grant(&self.quorums, from, ballot);
        if count.tally.standing(&self.quorums, Phase::Accept) == Standing::Won {
            self.chosen = Some(count.value.clone());
            self.counts = Counts::new();
        }
        Ok(self.chosen.clone())
    }
}

impl<V> Counts<V> {
    fn new() -> Self {
        Self { first: None, more: Vec::new() }
    }

    fn iter(&self) -> impl Iterator<Item = &Count<V>> {
        self.first.iter().chain(&self.more)
    }

    /// The count of `ballot`, new if need be. When there are more than acceptors could have open, the lowest ballot
    /// makes room, or is the one that gets none.
    fn at(&mut self, ballot: Ballot, value: V, acceptors: usize) -> Option<&mut Count<V>> {
        if self.iter().all(|count| count.tally.ballot() != ballot) {
            let count = Count { tally: Tally::new(ballot), value };
            if self.first.is_none() {
                self.first = Some(count);
            } else {
                self.more.push(count);
            }
            if self.more.len() > acceptors {
                let lowest = self.more.iter().enumerate().min_by_key(|(_, count)| count.tally.ballot())?.0;
                self.more.swap_remove(lowest);
            }
        }
        self.first.iter_mut().chain(&mut self.more).find(|count| count.tally.ballot() == ballot)
    }
}

impl<V: Clone + PartialEq> Machine for Learner<V> {
    type Input = Input<V>;
    type Record = Infallible;
    type Message = Infallible;
    type Decision = V;

    fn step_into(&mut self, input: Input<V>, effects: &mut Vec<EffectOf<Self>>) {
        if let Input::Receive { from, message: Message::Accepted { ballot, value } } = input
            && let Ok(Some(chosen)) = self.learn(from, ballot, value)
        {
            effects.push(Effect::Decide(chosen));
        }
    }
}
