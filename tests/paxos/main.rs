//! Single-decree Paxos: each role alone, against naive twins, and all of them together through crashes.

mod learner;
mod proposer;
mod protocol;
mod refusals;
mod sequences;

use synod::{
    Ballot, Effect, EffectOf, Machine, NodeId, Quorums, Refusal,
    paxos::{Input, Message, ProposerConfig},
};

/// Values are numbers.
type Value = u64;

const A: NodeId = NodeId(11);
const B: NodeId = NodeId(12);
const C: NodeId = NodeId(13);
const ACCEPTORS: [NodeId; 3] = [A, B, C];
const PROPOSERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// The proposer whose initial ballot it is, where anyone's.
const OWNER: NodeId = PROPOSERS[0];
/// A node that is nothing in this decree.
const STRANGER: NodeId = NodeId(99);

fn ballot(round: u64, node: NodeId) -> Ballot {
    Ballot::new(round, node)
}

fn config(id: NodeId) -> ProposerConfig {
    ProposerConfig::new(id, Quorums::majority(ACCEPTORS).unwrap(), PROPOSERS).with_owner(OWNER)
}

fn receive(from: NodeId, message: Message<Value>) -> Input<Value> {
    Input::Receive { from, message }
}

fn promise(from: NodeId, ballot: Ballot, accepted: Option<(Ballot, Value)>) -> Input<Value> {
    receive(from, Message::Promise { ballot, accepted })
}

fn accepted(from: NodeId, ballot: Ballot, value: Value) -> Input<Value> {
    receive(from, Message::Accepted { ballot, value })
}

fn reject(from: NodeId, ballot: Ballot, promised: Ballot) -> Input<Value> {
    receive(from, Message::Reject { ballot, promised })
}

/// What `machine` says of `input`, and what follows.
fn take<T: Machine>(machine: &mut T, input: T::Input) -> (Result<(), Refusal>, Vec<EffectOf<T>>) {
    let mut effects = Vec::new();
    (machine.step_into(input, &mut effects), effects)
}

/// One copy of `message` for every acceptor.
fn to_all<R, D>(message: Message<Value>) -> Vec<Effect<R, Message<Value>, D>> {
    ACCEPTORS.map(|to| Effect::Send { to, message }).into()
}
