//! Machines, and the effects that they ask for.

use alloc::vec::Vec;

use crate::{NodeId, Refusal};

/// One thing that a machine asks its caller to do.
///
/// **Effects are carried out in order, and [`Persist`](Effect::Persist) is a barrier: nothing after it happens before
/// its record is durable.** [`Outbox`](crate::Outbox) enforces that rule with types, and knows which effects may leave
/// earlier.
///
/// See [`Machine`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Effect<R, M, D> {
    /// Make this record durable. Records are complete: the last record of a key is the truth.
    Persist(R),
    /// Send a message to a node. It may be lost, repeated, delayed and reordered.
    Send {
        /// The node that the message is for.
        to: NodeId,
        /// The message.
        message: M,
    },
    /// A decision for the caller.
    Decide(D),
}

/// The effects of a machine.
///
/// See [`Machine`] for an example.
pub type EffectOf<T> = Effect<<T as Machine>::Record, <T as Machine>::Message, <T as Machine>::Decision>;

/// The writes that an effect rests on: it may leave once they are durable.
///
/// An [`Outbox`](crate::Outbox) writes records in numbered batches. A scope is the number of the last batch with a
/// record that the effect rests on. [`EffectSink::persist`] returns the scope of the record that it takes; the machine
/// keeps it, with whatever the record is about, for the effects that will rest on it.
///
/// A list of effects has no batches: a caller that carries out effects one by one waits for every record anyway.
///
/// See [`Machine`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Scope(pub(crate) u64);

/// Whether progress waits for a record.
///
/// Urgency decides when a write starts, never the order of records.
///
/// See [`Machine`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// Progress waits for this record: write it now.
    Urgent,
    /// Nothing waits for this record soon: it may ride along with the next urgent one.
    RidesAlong,
}

/// Where the effects of a machine go: a plain list, or an [`Outbox`](crate::Outbox).
///
/// See [`Machine`] for an example.
pub trait EffectSink<R, M, D> {
    /// Takes a record to make durable, after all records before it. Returns the scope of effects that rest on it.
    fn persist(&mut self, record: R, urgency: Urgency) -> Scope;

    /// Takes a message for node `to`, which may leave once `after` is durable.
    fn send(&mut self, to: NodeId, message: M, after: Scope);

    /// Takes a message for each of these nodes, which may leave once `after` is durable.
    #[inline]
    fn send_each(&mut self, to: impl ExactSizeIterator<Item = NodeId>, message: impl Fn() -> M, after: Scope)
    where
        Self: Sized,
    {
        to.for_each(|to| self.send(to, message(), after));
    }

    /// Takes a decision for the caller, which may be carried out once `after` is durable.
    fn decide(&mut self, decision: D, after: Scope);
}

/// A pure state machine: an input goes in, effects come out.
///
/// Two machines with the same state and the same input yield the same effects, on every platform. A step is total: it
/// handles anything that a peer may send, and refuses what is wrong. A refused input changes nothing but counters.
///
/// ```
/// use synod::{Effect, EffectSink, Machine, NodeId, Refusal, Urgency};
///
/// /// Adds up, and tells node 2 the sum once it is durable.
/// struct Adder(u64);
///
/// impl Machine for Adder {
///     type Input = u64;
///     type Record = u64;
///     type Message = u64;
///     type Decision = ();
///
///     fn step_into(&mut self, input: u64, effects: &mut impl EffectSink<u64, u64, ()>) -> Result<(), Refusal> {
///         self.0 += input;
///         let scope = effects.persist(self.0, Urgency::Urgent);
///         effects.send(NodeId(2), self.0, scope);
///         Ok(())
///     }
/// }
///
/// assert_eq!(Adder(1).step(2), [Effect::Persist(3), Effect::Send { to: NodeId(2), message: 3 }]);
/// ```
pub trait Machine {
    /// What goes in.
    type Input;
    /// What must be durable.
    type Record;
    /// What goes to other nodes.
    type Message;
    /// What comes out for the caller.
    type Decision;

    /// Handles `input` and appends its effects to `effects`. An error says why the input was refused; the protocol's
    /// own answer to that, such as a rejection, may be among the effects.
    fn step_into(
        &mut self,
        input: Self::Input,
        effects: &mut impl EffectSink<Self::Record, Self::Message, Self::Decision>,
    ) -> Result<(), Refusal>;

    /// Handles `input` and returns its effects. Only [`step_into`](Self::step_into) says why an input was refused.
    fn step(&mut self, input: Self::Input) -> Vec<EffectOf<Self>> {
        let mut effects = Vec::new();
        // A refusal is not the caller's error: it shows as missing effects.
        let _ = self.step_into(input, &mut effects);
        effects
    }
}

impl Scope {
    /// Of an effect that rests on nothing: it may leave at once.
    pub const NOTHING: Self = Self(0);

    /// Of an effect that rests on every record before it.
    pub const EVERYTHING: Self = Self(u64::MAX);

    /// Of an effect that rests on the batch of this number, and so on all before it. For sinks that number batches of
    /// their own, from 1.
    pub const fn batch(number: u64) -> Self {
        Self(number)
    }

    /// Of an effect that rests on both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl<R, M, D> EffectSink<R, M, D> for Vec<Effect<R, M, D>> {
    #[inline]
    fn persist(&mut self, record: R, _: Urgency) -> Scope {
        self.push(Effect::Persist(record));
        Scope::NOTHING
    }

    #[inline]
    fn send(&mut self, to: NodeId, message: M, _: Scope) {
        self.push(Effect::Send { to, message });
    }

    #[inline]
    fn send_each(&mut self, to: impl ExactSizeIterator<Item = NodeId>, message: impl Fn() -> M, _: Scope) {
        self.extend(to.map(|to| Effect::Send { to, message: message() }));
    }

    #[inline]
    fn decide(&mut self, decision: D, _: Scope) {
        self.push(Effect::Decide(decision));
    }
}
