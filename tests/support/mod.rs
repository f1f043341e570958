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
mod durable;
mod flat;
mod group;
pub mod say;

use synod::{
    Effect, Machine, NodeId, Quorums, Refusal, TxId,
    commit::{
        self, Cluster, ClusterId, ClusterSpec, Config, Decision, Fingerprints, Input, Meta, Node, Record, Timeouts,
        Transaction,
    },
};

pub use flat::Flat;
pub use group::{Cut, Group, Sent, begun};

/// Resource managers.
pub const RMS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Acceptors.
pub const ACCEPTORS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
/// Transaction managers, in the order in which they are turned to.
pub const TMS: [NodeId; 2] = [NodeId(21), NodeId(22)];
/// Who must acknowledge what the first transaction manager says is over.
pub const KEEPERS: [NodeId; 4] = [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], TMS[1]];
/// The client that names the transactions: it is no node, so no node refuses a name that it did not give itself.
pub const CLIENT: NodeId = NodeId(9);
/// A node that is nothing of all that.
pub const STRANGER: NodeId = NodeId(99);

pub const CLUSTER: ClusterId = ClusterId(*b"0123456789abcdef");

pub const TIMEOUTS: Timeouts =
    Timeouts::new().with_flush(20).with_recover(100).with_inquire(150).with_repeat(60).with_ceiling(1_000);

/// A cluster in which every role is a process of its own.
pub fn cluster() -> Cluster {
    cluster_of(&ACCEPTORS, &TMS)
}

/// A cluster of any acceptors and transaction managers.
pub fn cluster_of(acceptors: &[NodeId], managers: &[NodeId]) -> Cluster {
    spec_of(acceptors, managers).build().unwrap()
}

/// The specification of [`cluster`].
pub fn spec() -> ClusterSpec {
    spec_of(&ACCEPTORS, &TMS)
}

/// The specification of [`cluster_of`].
pub fn spec_of(acceptors: &[NodeId], managers: &[NodeId]) -> ClusterSpec {
    ClusterSpec::new(CLUSTER, Quorums::majority(acceptors).unwrap(), managers).with_timeouts(TIMEOUTS)
}

pub fn tx(seq: u64) -> TxId {
    TxId { origin: CLIENT, seq }
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

/// What a founder of `cluster` writes before all else: whose storage it is, and that it is in epoch 0.
pub fn founding(cluster: &Cluster, id: NodeId) -> [Record; 2] {
    [Record::Identity { cluster: cluster.id(), node: id }, epoch_0(cluster)]
}

/// The record of the first epoch of `cluster`.
pub fn epoch_0(cluster: &Cluster) -> Record {
    let (membership, committed) = (cluster.membership().into(), Fingerprints::default());
    Record::Epoch { number: 0, membership, former: [].into(), committed }
}

/// What the resource is asked about `transaction`.
pub fn asked(transaction: &Transaction) -> Decision {
    Decision::Vote { transaction: transaction.clone(), meta: say::meta(transaction) }
}

/// `transaction` is handed over to be committed.
pub fn commits(transaction: &Transaction) -> Decision {
    Decision::Commit { transaction: transaction.clone(), meta: say::meta(transaction) }
}

/// `transaction` is handed over to be aborted, where its content is known.
pub fn aborts(transaction: &Transaction) -> Decision {
    Decision::Abort { transaction: transaction.clone(), meta: Some(say::meta(transaction)) }
}

/// `transaction` is handed over to be aborted, where its content was never told.
pub fn aborts_unknown(transaction: &Transaction) -> Decision {
    Decision::Abort { transaction: transaction.clone(), meta: None }
}

/// Whether `machine` would take `input`, and if not, why.
pub fn verdict<M: Machine + Clone>(machine: &M, input: &M::Input) -> Result<(), Refusal>
where
    M::Input: Clone,
{
    machine.clone().step_into(input.clone(), &mut Vec::new())
}

/// All that `node` shows of itself, its counters apart.
pub fn visible(node: &Node, about: &[TxId]) -> impl PartialEq + core::fmt::Debug + use<> {
    let status: Vec<_> = about.iter().map(|tx| node.status(*tx)).collect();
    (node.snapshot(), node.open_transactions(), node.in_doubt(), node.deadline(), status)
}

/// The transactions that an input names.
fn named(input: &Input) -> Vec<TxId> {
    match input {
        Input::Begin { .. } | Input::Names { .. } | Input::Tick(_) | Input::Met { .. } | Input::Change(_) => Vec::new(),
        Input::BeginAs { transaction, .. } | Input::Vote { transaction, .. } | Input::Prepared { transaction, .. } => {
            vec![transaction.id()]
        }
        Input::Finished(tx) | Input::Inquire(tx) | Input::Patience { tx, .. } | Input::Resolve { tx, .. } => vec![*tx],
        Input::Receive { message: commit::Message::About { transaction, .. }, .. } => vec![transaction.id()],
        Input::Receive { message: commit::Message::Retired { range, .. }, .. }
        | Input::Receive { message: commit::Message::RetiredNoted { range }, .. } => vec![range.first(), range.last()],
        Input::Receive { message: commit::Message::Epoch { .. }, .. } => Vec::new(),
    }
}

/// Gives `node` an input that it must refuse for this reason, and no other, without any change. Returns its answer.
pub fn refuse(node: &mut Node, input: Input, refusal: Refusal) -> Vec<commit::Effect> {
    let about = named(&input);
    let (before, memory, counters) = (visible(node, &about), catalogue::memory(node), node.metrics());
    let mut effects = Vec::new();
    assert_eq!(node.step_into(input.clone(), &mut effects), Err(refusal), "{input:?}");
    assert_eq!(visible(node, &about), before, "{input:?}");
    assert_eq!(catalogue::memory(node), memory, "{input:?}");
    let answers = effects.iter().all(|effect| matches!(effect, Effect::Send { .. }));
    assert!(answers, "{input:?} was refused with {effects:?}");
    for other in Refusal::ALL {
        let more = node.metrics().refused(*other) - counters.refused(*other);
        assert_eq!(more, u64::from(*other == refusal), "{other:?} is counted for {input:?}");
    }
    effects
}
