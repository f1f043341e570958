//! Three acceptors, one decision: `cargo run --example minimal`.
//!
//! n4 wants tea and gets it while n3 is asleep: two of three are a majority. Then n1 falls asleep, n3 wakes up, and n5
//! wants coffee. Any two majorities share an acceptor. Here that is n2, who tells of the tea; so n5 gets tea as well.

#[path = "support/say.rs"]
mod say;

use std::collections::VecDeque;

use synod::{
    Effect, Machine, NodeId, QuorumError, Quorums,
    paxos::{Acceptor, Input, Message, Proposer, ProposerConfig},
};

const ACCEPTORS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const PROPOSERS: [NodeId; 2] = [NodeId(4), NodeId(5)];

type Value = &'static str;
/// Messages on their way: from whom, to whom, what.
type Network = VecDeque<(NodeId, NodeId, Message<Value>)>;

fn main() -> Result<(), QuorumError> {
    let mut acceptors = ACCEPTORS.map(|_| Acceptor::new(None));
    let first = propose("tea", PROPOSERS[0], NodeId(3), &mut acceptors)?;
    let second = propose("coffee", PROPOSERS[1], NodeId(1), &mut acceptors)?;
    assert_eq!((first, second), (Some("tea"), Some("tea")));
    Ok(())
}

/// Lets `id` get one value chosen, `value` if it can be, while one acceptor is asleep. Returns what was chosen.
fn propose(
    value: Value,
    id: NodeId,
    asleep: NodeId,
    all: &mut [Acceptor<Value>],
) -> Result<Option<Value>, QuorumError> {
    say::out!("{id} proposes {value} while {asleep} is asleep:");
    let acceptors = Quorums::majority(ACCEPTORS)?;
    let mut proposer = Proposer::new(ProposerConfig::new(id, acceptors, PROPOSERS));
    let mut network = Network::new();

    carry_out(id, proposer.step(Input::Propose(value)), &mut network);
    while let Some((from, to, message)) = network.pop_front() {
        let input = Input::Receive { from, message };
        if to == id {
            carry_out(id, proposer.step(input), &mut network);
        } else if to != asleep {
            carry_out(to, all[to.0 as usize - 1].step(input), &mut network);
        }
    }
    Ok(proposer.chosen().copied())
}

/// Does what a machine asks for, in the order in which it asks.
fn carry_out<R, D: std::fmt::Display>(at: NodeId, effects: Vec<Effect<R, Message<Value>, D>>, network: &mut Network) {
    for effect in effects {
        match effect {
            // The one rule: this record must be safe on a disk before anything that comes after it is done.
            Effect::Persist(_record) => say::out!("  {at} writes it down"),
            Effect::Decide(value) => say::out!("  {at} knows that {value} is chosen"),
            Effect::Send { to, message } => {
                say::out!("  {at} to {to}: {}", in_words(&message));
                network.push_back((at, to, message));
            }
        }
    }
}

fn in_words(message: &Message<Value>) -> String {
    match message {
        Message::Prepare { ballot } => format!("promise me ballot {ballot}"),
        Message::Promise { ballot, accepted: None } => format!("{ballot} is promised"),
        Message::Promise { ballot, accepted: Some((at, value)) } => format!("{ballot} is promised; {at} had {value}"),
        Message::Accept { ballot, value } => format!("accept {value} in ballot {ballot}"),
        Message::Accepted { ballot, value } => format!("{value} is accepted in ballot {ballot}"),
        Message::Reject { ballot, promised } => format!("not {ballot}: {promised} is promised"),
    }
}
