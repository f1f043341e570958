//! Faults of votes that are durable in the resource itself.

use std::collections::BTreeSet;

use synod::{
    TxId,
    commit::{Decision, Effect, Input, Message, Node, Vote, What},
};

use crate::canary::Fault;

/// A resource that cannot prepare is taken to vote to abort at its initial ballot, as if no vote could be forgotten.
#[derive(Clone, Default)]
pub(crate) struct VotesToAbort;

impl Fault for VotesToAbort {
    fn effects(&mut self, node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        let mut changed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message: Message::About { transaction, what: What::Decline } } => {
                    let vote = What::Vote { vote: Vote::Aborted, manager: to };
                    let message = Message::about(&transaction, vote);
                    let acceptors = node.config().cluster.acceptors().nodes();
                    changed.extend(acceptors.map(|to| Effect::Send { to, message: message.clone() }));
                }
                other => changed.push(other),
            }
        }
        changed
    }
}

/// A restored resource lets go of all that its node has not recorded, although what it holds is binding.
#[derive(Clone, Default)]
pub(crate) struct BindingRolledBack;

impl Fault for BindingRolledBack {
    fn lets_go(held: &BTreeSet<TxId>, _orphans: BTreeSet<TxId>) -> BTreeSet<TxId> {
        held.clone()
    }
}

/// A node does not listen to what its resource finds.
#[derive(Clone, Default)]
pub(crate) struct FindsIgnored;

impl Fault for FindsIgnored {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        if matches!(input, Input::Prepared { .. }) { Vec::new() } else { vec![input] }
    }
}

/// A node takes what its resource finds, and it has not heard of, for what nobody was promised.
#[derive(Clone, Default)]
pub(crate) struct FindsAborted;

impl Fault for FindsAborted {
    fn effects(&mut self, _node: &Node, input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        match input {
            Input::Prepared { transaction, .. } if !effects.is_empty() => {
                vec![Effect::Decide(Decision::Abort { transaction: transaction.clone(), meta: None })]
            }
            _ => effects,
        }
    }
}
