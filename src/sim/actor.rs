//! What a world is peopled with.

use std::collections::BTreeSet;

use crate::{
    Machine, RestoreError, TxId,
    commit::{Config, Decision, Effect, Input, Message, Node, Record},
};

/// A node of a world: a [`Node`], or something around one.
pub trait Actor: Machine<Input = Input, Record = Record, Message = Message, Decision = Decision> + Sized {
    /// As [`Node::create`].
    fn create(config: Config) -> (Self, Vec<Effect>);

    /// As [`Node::restore`].
    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError>;

    /// The node within.
    fn node(&self) -> &Node;

    /// What the resource lets go of, of all that it holds, once the node is restored: whatever is not
    /// [promised](Node::promised).
    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId> {
        let promised = self.node().promised().into_iter().map(|promised| promised.transaction.id()).collect();
        held.difference(&promised).copied().collect()
    }
}

impl Actor for Node {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        Self::create(config)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        Self::restore(config, records)
    }

    fn node(&self) -> &Node {
        self
    }
}
