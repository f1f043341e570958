//! What a broken invariant does to a node. These tests are inside the crate, since no input from outside can break one.

#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

use alloc::{boxed::Box, vec::Vec};

use super::{
    super::{Cluster, ClusterId, Config, Effect, Input, Message, Time, Transaction, TxRange, Vote, What},
    Node, Status,
};
use crate::{Ballot, Fence, Machine, NodeId, Quorums, Refusal, TxId};

const ALL: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

pub(crate) fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: NodeId(9), seq }, ALL, []).expect("three participants")
}

pub(crate) fn message(seq: u64) -> Message {
    Message::about(&transaction(seq), What::Vote { vote: Vote::Prepared, manager: NodeId(1) })
}

fn vote(seq: u64) -> Input {
    Input::Receive { from: NodeId(3), message: message(seq) }
}

/// A node whose roles will exchange too many messages when they next hear of a transaction.
pub(crate) fn about_to_be_fenced() -> Node {
    let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority(ALL).expect("three"), ALL).expect("a cluster");
    let mut node = Node::create(Config::new(cluster, NodeId(2), 7)).0;
    let noise = What::Reject { ballot: Ballot { round: 1, node: NodeId(1) }, promised: Box::default() };
    node.shared.local.extend((0..1_000).map(|_| noise.clone()));
    node
}

/// A node with two open transactions, the first of which is fenced.
fn fenced() -> Node {
    let mut node = about_to_be_fenced();
    node.step(vote(1));
    node.step(vote(2));
    node
}

#[test]
fn a_transaction_whose_invariant_broke_is_listed_with_the_reason_and_counted() {
    let node = fenced();
    assert_eq!(node.status(transaction(1).id()), Status::Fenced(Fence::EndlessExchange));
    assert_eq!(node.metrics().fenced, 1);
    assert!(matches!(node.status(transaction(2).id()), Status::Open { .. }), "others go on");
    assert!(node.shared.local.is_empty(), "nothing of it reaches another transaction");
}

#[test]
fn a_fenced_transaction_is_silent_whatever_comes_and_however_long_it_takes() {
    let mut node = fenced();
    let mut effects = Vec::new();
    assert_eq!(node.step_into(vote(1), &mut effects), Err(Refusal::Broken));
    assert_eq!(node.step_into(Input::Inquire(transaction(1).id()), &mut effects), Err(Refusal::Broken));
    for now in 0..100 {
        node.step_into(Input::Tick(Time(now * 1_000)), &mut effects).expect("time goes on");
    }
    let about = |effect: &Effect| match effect {
        Effect::Send { message, .. } => message.transaction().map(Transaction::id),
        _ => None,
    };
    assert!(effects.iter().all(|effect| about(effect) != Some(transaction(1).id())), "{effects:?}");
    assert!(effects.iter().any(|effect| about(effect) == Some(transaction(2).id())), "the other one does wait");
}

#[test]
fn a_fenced_transaction_is_never_retired() {
    let mut node = fenced();
    let over = |range| Input::Receive { from: NodeId(1), message: Message::retired(range) };
    let only = TxRange::only(transaction(1).id());
    assert_eq!(node.step_into(over(only), &mut Vec::new()), Err(Refusal::RetiredUnfinished));
    let both = TxRange::new(NodeId(9), 1, 2).expect("two");
    node.step_into(over(both), &mut Vec::new()).expect("the other one is over");
    assert_eq!(node.status(transaction(1).id()), Status::Fenced(Fence::EndlessExchange));
    assert!(node.status(transaction(2).id()).is_retired());
}
