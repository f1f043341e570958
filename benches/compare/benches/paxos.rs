//! One step of each role of a decree, with five acceptors and a 16-byte value.

#![allow(missing_docs, reason = "what criterion makes has none")]

use compare::subject::{Value, value};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use synod::{
    Ballot, Machine, NodeId, Quorums,
    paxos::{Acceptor, Input, Learner, Message, Proposer, ProposerConfig},
};

const PROPOSER: NodeId = NodeId(9);
/// The first one that a proposer tries.
const BALLOT: Ballot = Ballot { round: 1, node: PROPOSER };

fn acceptor(c: &mut Criterion) {
    let (fresh, prepare) = (Acceptor::new(None), receive(PROPOSER, Message::Prepare { ballot: BALLOT }));
    let promised = after(fresh.clone(), [prepare]);
    let accepted = after(promised.clone(), [accept(BALLOT)]);
    let higher = Message::Prepare { ballot: Ballot { round: 2, ..BALLOT } };
    let beyond = after(fresh.clone(), [receive(PROPOSER, higher)]);
    step(c, "acceptor, prepare", &fresh, prepare, 2);
    step(c, "acceptor, accept", &promised, accept(BALLOT), 2);
    step(c, "acceptor, accept once more", &accepted, accept(BALLOT), 1);
    step(c, "acceptor, a ballot too low", &beyond, accept(BALLOT), 1);
}

fn proposer(c: &mut Criterion) {
    let config = ProposerConfig::new(PROPOSER, five(), [PROPOSER]);
    let propose = Input::Propose(value(1));
    let promise = |from| receive(NodeId(from), Message::Promise { ballot: BALLOT, accepted: None });
    let fresh = Proposer::new(config);
    let proposed = after(fresh.clone(), [propose]);
    let nearly_promised = after(proposed.clone(), [promise(0), promise(1)]);
    let nearly_chosen = after(nearly_promised.clone(), [promise(2), accepted(0), accepted(1)]);
    step(c, "proposer, propose", &fresh, propose, 6);
    step(c, "proposer, first promise", &proposed, promise(0), 0);
    step(c, "proposer, last promise", &nearly_promised, promise(2), 5);
    step(c, "proposer, last accepted", &nearly_chosen, accepted(2), 1);
}

fn learner(c: &mut Criterion) {
    let fresh = Learner::new(five());
    let nearly = after(fresh.clone(), [accepted(0), accepted(1)]);
    step(c, "learner, first accepted", &fresh, accepted(0), 0);
    step(c, "learner, last accepted", &nearly, accepted(2), 1);
}

/// Measures how `machine` takes `input`, which has so many effects.
fn step<M>(c: &mut Criterion, name: &str, machine: &M, input: Input<Value>, effects: usize)
where
    M: Machine<Input = Input<Value>> + Clone,
{
    assert_eq!(machine.clone().step(input).len(), effects, "{name}");
    let blank = || (machine.clone(), Vec::with_capacity(8));
    c.bench_function(name, |bencher| {
        bencher.iter_batched_ref(blank, |(machine, effects)| machine.step_into(input, effects), BatchSize::SmallInput);
    });
}

fn after<M: Machine>(mut machine: M, inputs: impl IntoIterator<Item = M::Input>) -> M {
    inputs.into_iter().for_each(|input| drop(machine.step(input)));
    machine
}

fn five() -> Quorums {
    Quorums::majority((0..5).map(NodeId)).expect("five")
}

fn receive(from: NodeId, message: Message<Value>) -> Input<Value> {
    Input::Receive { from, message }
}

fn accept(ballot: Ballot) -> Input<Value> {
    receive(PROPOSER, Message::Accept { ballot, value: value(1) })
}

fn accepted(from: u64) -> Input<Value> {
    receive(NodeId(from), Message::Accepted { ballot: BALLOT, value: value(1) })
}

criterion_group!(benches, acceptor, proposer, learner);
criterion_main!(benches);
