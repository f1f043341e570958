//! What a machine asks of the world, and what a machine is.

use alloc::vec::Vec;

use crate::NodeId;

/// One thing that a machine asks its caller to do.
///
/// **Effects are carried out in order, and [`Persist`](Effect::Persist) is a barrier: nothing after it happens before
/// its record is durable.** [`Outbox`](crate::Outbox) makes that a matter of types.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Effect<R, M, D> {
    /// Make this record durable. Records are whole: the last one of a key is the truth.
    Persist(R),
    /// Send a message to a node. It may be lost, repeated, delayed and reordered.
    Send {
        /// Whom it is for.
        to: NodeId,
        /// The message.
        message: M,
    },
    /// A decision for the caller.
    Decide(D),
}

/// The effects of a machine.
pub type EffectOf<T> = Effect<<T as Machine>::Record, <T as Machine>::Message, <T as Machine>::Decision>;

/// A pure state machine: an input goes in, effects come out.
///
/// Two machines that hold the same state and take the same input yield the same effects, on every platform. A step
/// is total: it takes whatever a peer may send, and refuses what is wrong by doing nothing.
pub trait Machine {
    /// What goes in.
    type Input;
    /// What must be durable.
    type Record;
    /// What goes to other nodes.
    type Message;
    /// What comes out for the caller.
    type Decision;

    /// Takes `input` and appends what follows from it to `effects`.
    fn step_into(&mut self, input: Self::Input, effects: &mut Vec<EffectOf<Self>>);

    /// Takes `input` and returns what follows from it.
    fn step(&mut self, input: Self::Input) -> Vec<EffectOf<Self>> {
        let mut effects = Vec::new();
        self.step_into(input, &mut effects);
        effects
    }
}
