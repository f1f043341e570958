//! What the nodes say to each other, in few words.

use synod::{
    Ballot, NodeId, TxId,
    commit::{Effect, Input, Message, Outcome, Part, Transaction, TxRange, Vote},
    paxos,
};

pub fn from(from: NodeId, message: Message) -> Input {
    Input::Receive { from, message }
}

pub fn begin(transaction: &Transaction) -> Message {
    Message::Begin { transaction: transaction.clone() }
}

pub fn prepare(transaction: &Transaction) -> Message {
    Message::Prepare { transaction: transaction.clone() }
}

pub fn vote(transaction: &Transaction, vote: Vote, manager: NodeId) -> Message {
    Message::Vote { transaction: transaction.clone(), vote, manager }
}

pub fn inquire(transaction: &Transaction) -> Message {
    Message::Inquire { transaction: transaction.clone() }
}

pub fn outcome(transaction: &Transaction, outcome: Outcome) -> Message {
    Message::Outcome { transaction: transaction.clone(), outcome }
}

pub fn finished(transaction: &Transaction, outcome: Outcome) -> Message {
    Message::Finished { transaction: transaction.clone(), outcome }
}

pub fn retired(tx: TxId) -> Message {
    Message::Retired { range: TxRange::only(tx) }
}

pub fn retired_to(first: TxId, last: u64) -> Message {
    Message::Retired { range: TxRange::new(first.origin, first.seq, last).unwrap() }
}

/// The same Paxos message about the instances of `rms`.
pub fn paxos(transaction: &Transaction, rms: &[NodeId], message: paxos::Message<Vote>) -> Message {
    let parts = rms.iter().map(|rm| Part { rm: *rm, message }).collect();
    Message::Paxos { transaction: transaction.clone(), parts }
}

/// What an acceptor says when it has accepted `vote` of each of `rms` at its initial ballot.
pub fn bundle(transaction: &Transaction, rms: &[NodeId], vote: Vote) -> Message {
    let part =
        |rm: &NodeId| Part { rm: *rm, message: paxos::Message::Accepted { ballot: Ballot::initial(*rm), value: vote } };
    Message::Paxos { transaction: transaction.clone(), parts: rms.iter().map(part).collect() }
}

/// The messages among `effects`, with their destinations.
pub fn sends(effects: &[Effect]) -> Vec<(NodeId, &Message)> {
    let send = |effect| match effect {
        &Effect::Send { to, ref message } => Some((to, message)),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

/// The parts of the first bundle among `effects`.
pub fn parts(effects: &[Effect]) -> Vec<Part> {
    let parts = sends(effects).into_iter().find_map(|(_, message)| match message {
        Message::Paxos { parts, .. } => Some(parts.clone()),
        _ => None,
    });
    parts.unwrap_or_default()
}
