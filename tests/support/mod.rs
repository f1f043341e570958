//! A few nodes, the network between them and the resources behind them, all in the hands of one test.
//!
//! Nothing happens by itself: a message waits on the wire, and a resource's answer with the resource, until the test
//! lets them go. Whatever is decided is held against what was decided before, and against what is durable.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "several test crates share this, each its own part of it"
)]

pub mod catalogue;
mod flat;
mod group;
pub mod say;

use synod::{
    NodeId, Quorums, TxId,
    commit::{Cluster, ClusterId, Config, Node, Timeouts, Transaction},
};

pub use flat::Flat;
pub use group::{Cut, Group, Sent};

/// Resource managers.
pub const RMS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Acceptors.
pub const ACCEPTORS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
/// Transaction managers, in the order in which they are turned to.
pub const TMS: [NodeId; 2] = [NodeId(21), NodeId(22)];
/// A node that is nothing of all that.
pub const STRANGER: NodeId = NodeId(99);

pub const CLUSTER: ClusterId = ClusterId(*b"0123456789abcdef");

pub const TIMEOUTS: Timeouts = Timeouts { flush: 20, recover: 100, inquire: 150, repeat: 60, ceiling: 1_000 };

/// A cluster in which every role is a process of its own.
pub fn cluster() -> Cluster {
    cluster_of(&ACCEPTORS, &TMS)
}

/// A cluster of any acceptors and transaction managers.
pub fn cluster_of(acceptors: &[NodeId], managers: &[NodeId]) -> Cluster {
    let cluster = Cluster::new(CLUSTER, Quorums::majority(acceptors).unwrap(), managers).unwrap();
    cluster.with_timeouts(TIMEOUTS).unwrap()
}

pub fn tx(seq: u64) -> TxId {
    TxId { origin: TMS[0], seq }
}

/// The transaction of this number among all resource managers.
pub fn transaction(seq: u64) -> Transaction {
    Transaction::new(tx(seq), RMS, *b"meta").unwrap()
}

pub fn config(cluster: &Cluster, id: NodeId) -> Config {
    Config::new(cluster.clone(), id, id.0)
}

/// A new node in [`cluster`]; its identity is durable.
pub fn node(id: NodeId) -> Node {
    Node::create(config(&cluster(), id)).0
}
