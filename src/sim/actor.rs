//! What a world is peopled with.

use std::collections::BTreeSet;

use crate::{
    Machine, RestoreError, TxId,
    commit::{Config, Decision, Effect, Input, Message, Node, Record, ResourceKind},
};

/// A node of a world: a [`Node`], or something around one.
///
/// ```
/// use synod::{EffectSink, Machine, Refusal, RestoreError, commit::*, sim::{self, Actor}};
///
/// /// A node that comes back without its records.
/// struct Forgetful(Node);
///
/// impl Machine for Forgetful {
///     type Input = Input;
///     type Record = Record;
///     type Message = Message;
///     type Decision = Decision;
///
///     fn step_into(
///         &mut self,
///         input: Input,
///         effects: &mut impl EffectSink<Record, Message, Decision>,
///     ) -> Result<(), Refusal> {
///         self.0.step_into(input, effects)
///     }
/// }
///
/// impl Actor for Forgetful {
///     fn create(config: Config) -> (Self, Vec<Effect>) {
///         let (node, effects) = Node::create(config);
///         (Self(node), effects)
///     }
///
///     fn join(config: Config) -> (Self, Vec<Effect>) {
///         let (node, effects) = Node::join(config);
///         (Self(node), effects)
///     }
///
///     fn restore(config: Config, _: Vec<Record>) -> Result<Self, RestoreError> {
///         Ok(Self(Node::create(config).0))
///     }
///
///     fn node(&self) -> &Node {
///         &self.0
///     }
/// }
///
/// // Some seed finds it out.
/// assert!((0..10).any(|seed| sim::run_seed::<Forgetful>(seed).result.is_err()));
/// ```
pub trait Actor: Machine<Input = Input, Record = Record, Message = Message, Decision = Decision> + Sized {
    /// As [`Node::create`].
    fn create(config: Config) -> (Self, Vec<Effect>);

    /// As [`Node::join`].
    fn join(config: Config) -> (Self, Vec<Effect>);

    /// As [`Node::restore`].
    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError>;

    /// What comes up from a storage that has lost some of its records: nothing, for a storage notices that and says so, and who may
    /// have forgotten what it has promised must not vote.
    fn restore_damaged(_config: Config, _records: Vec<Record>) -> Option<Self> {
        None
    }

    /// The node within.
    fn node(&self) -> &Node;

    /// What the resource lets go of, of all that it holds, once the node is restored: whatever is not
    /// [promised](Node::promised); nothing, if its votes are durable in itself.
    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId> {
        if self.node().config().resource == ResourceKind::VotesElsewhere {
            return BTreeSet::new();
        }
        let promised = self.node().promised().into_iter().map(|promised| promised.transaction.id()).collect();
        held.difference(&promised).copied().collect()
    }
}

impl Actor for Node {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        Self::create(config)
    }

    fn join(config: Config) -> (Self, Vec<Effect>) {
        Self::join(config)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        Self::restore(config, records)
    }

    fn node(&self) -> &Node {
        self
    }
}
