//! Three resource managers and three acceptors, each a process of its own; the transaction manager is on the first
//! acceptor's. What they say to one of them, with a transaction of its own in each message, as a decoder makes it.

use synod::{
    NodeId, Quorums, TxId,
    commit::{Cluster, ClusterId, Input, Message, Transaction, Vote, What},
};

use crate::subject::value;

/// The resource managers.
pub const RMS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// The acceptors.
pub const ACCEPTORS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
/// The transaction manager.
pub const MANAGER: NodeId = ACCEPTORS[0];

/// Their cluster.
pub fn cluster() -> Cluster {
    let quorums = Quorums::majority(ACCEPTORS).expect("three");
    Cluster::new(ClusterId::default(), quorums, [MANAGER]).expect("a plain cluster")
}

/// The name of a transaction.
pub fn tx(number: u64) -> TxId {
    TxId { origin: RMS[0], seq: number }
}

/// A transaction of all three.
pub fn transaction(number: u64) -> Transaction {
    Transaction::new(tx(number), RMS, value(number)).expect("a plain transaction")
}

/// To an acceptor: the sender is prepared.
pub fn prepared(number: u64) -> Message {
    Message::about(&transaction(number), What::Vote { vote: Vote::Prepared, manager: MANAGER })
}

/// To an acceptor: `from` is prepared.
pub fn vote(number: u64, from: NodeId) -> Input {
    Input::Receive { from, message: prepared(number) }
}
