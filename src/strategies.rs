//! Strategies for property tests: of what is valid, and of what is not.
//!
//! Names, rounds and numbers are small, mostly, so that one value has to do with the next; and now and then they are
//! any at all. Everything shrinks towards few and small parts.
//!
//! [`any_message`] and [`record`] yield whatever the types allow. [`message`], [`input`] and [`records`] know a
//! configuration, and yield what its nodes might say and write: transactions of one name are always the same one, votes
//! come from their resource managers, ballots belong to who sends them. Only the history is made up: what one says need
//! not go with what another said before.
//!
//! ```
//! use proptest::prelude::*;
//! use synod::{NodeId, Quorums, strategies};
//!
//! proptest!(|(quorums in strategies::quorums())| {
//!     let everyone = quorums.members(quorums.nodes());
//!     prop_assert!(quorums.is_quorum(synod::Phase::Accept, everyone));
//! });
//! ```

mod any;
mod known;

use alloc::vec::Vec;
use core::{fmt::Debug, ops::Range};
use proptest::{
    arbitrary::any,
    array::uniform4,
    collection::{btree_set, vec},
    option,
    prelude::{BoxedStrategy, Just, Strategy},
    prop_oneof,
    sample::{Index, select, subsequence},
};

use crate::{
    Ballot, NodeId, QuorumSpec, Quorums, TxId,
    commit::{
        Cluster, ClusterId, ClusterSpec, Config, Learning, Limits, Membership, Meta, Outcome, OutcomeBlock, Outcomes,
        Participants, Places, Targets, Timeouts, Transaction, TransactionSpec, TxRange, Vote, Votes,
    },
    paxos,
};

pub use self::{
    any::{any_message, epoch_message, key, record, what},
    known::{input, known_meta, known_transaction, message, records},
};

/// A node: one of six, mostly.
pub fn node() -> BoxedStrategy<NodeId> {
    small(0..6).prop_map(NodeId).boxed()
}

/// The name of a transaction: one of four of a [`node`], mostly.
pub fn tx() -> BoxedStrategy<TxId> {
    (node(), small(0..4)).prop_map(|(origin, seq)| TxId { origin, seq }).boxed()
}

/// A ballot in one of four rounds of a [`node`], mostly. One in four is initial.
pub fn ballot() -> BoxedStrategy<Ballot> {
    (small(0..4), node()).prop_map(|(round, node)| Ballot { round, node }).boxed()
}

/// A vote.
pub fn vote() -> BoxedStrategy<Vote> {
    one_of([Vote::Prepared, Vote::Aborted])
}

/// An outcome.
pub fn outcome() -> BoxedStrategy<Outcome> {
    one_of([Outcome::Committed, Outcome::Aborted])
}

/// A range of one to four transactions, mostly.
pub fn range() -> BoxedStrategy<TxRange> {
    (tx(), small(0..4)).prop_map(|(first, more)| range_from(first, more)).boxed()
}

/// How a few transactions of one block ended.
pub fn outcome_block() -> BoxedStrategy<OutcomeBlock> {
    let bits = || prop_oneof![3 => 0..16u64, 1 => any::<u64>()];
    (node(), prop_oneof![7 => Just(0), 1 => 0..=u64::MAX / 64], bits(), bits())
        .prop_filter_map("a block", |(origin, number, known, committed)| {
            OutcomeBlock::new(origin, number, known, known & committed).ok()
        })
        .boxed()
}

/// What a message tells of outcomes, which may be malformed: most often nothing.
pub fn outcomes() -> BoxedStrategy<Outcomes> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec(outcome_block(), 0..3)].prop_map(Outcomes::from).boxed()
}

/// A quorum system of one to five acceptors, which weigh one to three each and are in any order.
pub fn quorums() -> BoxedStrategy<Quorums> {
    let nodes = some_of((0..8).map(NodeId), 5).prop_shuffle();
    let system = |(nodes, weights, (prepare, accept)): (Vec<NodeId>, Vec<u64>, (Index, Index))| {
        let members: Vec<_> = nodes.into_iter().zip(weights).collect();
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let prepare = 1 + prepare.index(total as usize) as u64;
        let accept = total - accept.index(prepare as usize) as u64;
        Quorums::try_from(QuorumSpec { members, prepare, accept }).ok()
    };
    (nodes, vec(1..=3u64, 5), any::<(Index, Index)>()).prop_filter_map("a quorum system", system).boxed()
}

/// The plain data of a quorum system. More than every second time it is one.
pub fn quorum_spec() -> BoxedStrategy<QuorumSpec> {
    let wild = (vec((node(), small(0..4)), 0..6), small(0..10), small(0..10));
    prop_oneof![
        quorums().prop_map(QuorumSpec::from),
        wild.prop_map(|(members, prepare, accept)| QuorumSpec { members, prepare, accept }),
    ]
    .boxed()
}

/// A cluster of up to five acceptors and three transaction managers, some of which may share a node.
pub fn cluster() -> BoxedStrategy<Cluster> {
    let managers = some_of((0..8).map(NodeId), 3).prop_shuffle().boxed();
    spec(managers, 1).prop_filter_map("a cluster", |spec| Cluster::try_from(spec).ok()).boxed()
}

/// The plain data of a cluster. More than every second time it is one.
pub fn cluster_spec() -> BoxedStrategy<ClusterSpec> {
    let wild = spec(vec(node(), 0..4).boxed(), 0);
    prop_oneof![cluster().prop_map(ClusterSpec::from), wild].boxed()
}

/// A membership that may follow that of `cluster`: mostly with another node in the place of a member.
fn next_membership(cluster: &Cluster) -> BoxedStrategy<Membership> {
    let membership = cluster.membership();
    let members: Vec<NodeId> = membership.members().into_iter().collect();
    let replaced = (any::<Index>(), node()).prop_map(move |(old, new)| membership.replace(*old.get(&members), new));
    prop_oneof![4 => replaced, 1 => Just(cluster.membership())].boxed()
}

/// The plain data of a cluster, in which no number is less than `least`. With a `least` of 1 all of them are sound.
fn spec(managers: BoxedStrategy<Vec<NodeId>>, least: u8) -> BoxedStrategy<ClusterSpec> {
    let waits = (uniform4(u64::from(least)..100), 100 * u64::from(least)..200);
    let timeouts = waits.prop_map(|(waits, ceiling)| {
        let [flush, recover, inquire, repeat] = waits;
        Timeouts { flush, recover, inquire, repeat, ceiling }
    });
    let most = usize::from(least)..8;
    let limits = (most.clone(), most, 0..64usize, 0..200usize).prop_map(|(open, participants, meta, history)| {
        Limits::new().with_open(open).with_participants(participants).with_meta(meta).with_history(history)
    });
    let (learning, targets) = ([Learning::Leader, Learning::Everyone], [Targets::All, Targets::Quorum]);
    let id = any::<u8>().prop_map(|byte| ClusterId([byte; 16]));
    (id, quorums(), managers, one_of(learning), one_of(targets), timeouts, limits)
        .prop_map(|(id, acceptors, managers, learning, targets, timeouts, limits)| ClusterSpec {
            id,
            acceptors,
            managers,
            learning,
            targets,
            timeouts,
            limits,
            contacts: Default::default(),
            departed: Default::default(),
        })
        .boxed()
}

/// The configuration of one node of a [`cluster`].
pub fn config() -> BoxedStrategy<Config> {
    (cluster(), any::<Index>(), any::<u64>())
        .prop_map(|(cluster, id, seed)| {
            let id = *id.get(&everyone(&cluster));
            Config::new(cluster, id, seed)
        })
        .boxed()
}

/// One to four participants.
pub fn participants() -> BoxedStrategy<Participants> {
    btree_set(node(), 1..=4).prop_filter_map("participants", |nodes| Participants::new(nodes).ok()).boxed()
}

/// What a transaction is about: one of a few short contents, mostly.
pub fn meta() -> BoxedStrategy<Meta> {
    let few = vec(0..2u8, 0..2);
    let long = vec(any::<u8>(), 20..40);
    prop_oneof![6 => few, 2 => vec(any::<u8>(), 0..4), 1 => long].prop_map(Meta::from).boxed()
}

/// A set of places: of four participants, mostly.
pub fn places() -> BoxedStrategy<Places> {
    let few = vec(0..4usize, 0..4);
    prop_oneof![14 => few, 1 => vec(0..8usize, 0..4), 1 => vec(0..200usize, 0..4)].prop_map(Places::from_iter).boxed()
}

/// Votes of some participants: of four, mostly.
pub fn votes() -> BoxedStrategy<Votes> {
    (places(), any::<u64>())
        .prop_map(|(places, prepared)| {
            let vote = |place: usize| if (prepared >> (place % 64)) & 1 == 1 { Vote::Prepared } else { Vote::Aborted };
            places.iter().map(|place| (place, vote(place))).collect()
        })
        .boxed()
}

/// A transaction among one to four nodes.
pub fn transaction() -> BoxedStrategy<Transaction> {
    (tx(), participants(), meta()).prop_map(|(id, nodes, meta)| Transaction::of(id, nodes, &meta)).boxed()
}

/// The plain data of a transaction. More than every second time it is one.
pub fn transaction_spec() -> BoxedStrategy<TransactionSpec> {
    let wild = (tx(), small(0..2), vec(node(), 0..4), any::<u64>());
    prop_oneof![
        transaction().prop_map(TransactionSpec::from),
        wild.prop_map(|(id, epoch, participants, content)| TransactionSpec { id, epoch, participants, content }),
    ]
    .boxed()
}

/// A message of Paxos about values of `value`: any kind, any ballots, possible or not.
pub fn paxos_message<V>(value: impl Strategy<Value = V> + Clone + 'static) -> BoxedStrategy<paxos::Message<V>>
where
    V: Clone + Debug + 'static,
{
    let accepted = option::of((ballot(), value.clone()));
    prop_oneof![
        ballot().prop_map(|ballot| paxos::Message::Prepare { ballot }),
        (ballot(), accepted).prop_map(|(ballot, accepted)| paxos::Message::Promise { ballot, accepted }),
        (ballot(), value.clone()).prop_map(|(ballot, value)| paxos::Message::Accept { ballot, value }),
        (ballot(), value).prop_map(|(ballot, value)| paxos::Message::Accepted { ballot, value }),
        (ballot(), ballot()).prop_map(|(ballot, promised)| paxos::Message::Reject { ballot, promised }),
    ]
    .boxed()
}

/// An input of a role of Paxos about values of `value`. Three in four messages come from the node of their ballot.
pub fn paxos_input<V>(value: impl Strategy<Value = V> + Clone + 'static) -> BoxedStrategy<paxos::Input<V>>
where
    V: Clone + Debug + 'static,
{
    let own = |message: paxos::Message<V>| paxos::Input::Receive { from: message.ballot().node, message };
    let message = paxos_message(value.clone());
    prop_oneof![
        1 => Just(paxos::Input::Timeout),
        1 => value.prop_map(paxos::Input::Propose),
        6 => message.clone().prop_map(own),
        2 => (node(), message).prop_map(|(from, message)| paxos::Input::Receive { from, message }),
    ]
    .boxed()
}

/// The nodes that the configuration names, and two more.
fn everyone(cluster: &Cluster) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = cluster.acceptors().nodes().chain(cluster.managers().iter().copied()).collect();
    let last = nodes.iter().max().map_or(0, |node| node.0);
    nodes.extend([last.saturating_add(1), last.saturating_add(2)].map(NodeId));
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn range_from(first: TxId, more: u64) -> TxRange {
    let last = first.seq.saturating_add(more);
    TxRange::new(first.origin, first.seq, last).unwrap_or(TxRange::only(first))
}

/// One to `most` of `values`, in their order.
fn some_of<T: Clone + Debug + 'static>(values: impl Iterator<Item = T>, most: usize) -> BoxedStrategy<Vec<T>> {
    subsequence(Vec::from_iter(values), 1..=most).boxed()
}

/// One of `values`; it shrinks to the first.
fn one_of<T: Clone + Debug + 'static, const N: usize>(values: [T; N]) -> BoxedStrategy<T> {
    select(Vec::from(values)).boxed()
}

/// A number in `range`, and now and then another, which may be as high as they get.
fn small(range: Range<u64>) -> BoxedStrategy<u64> {
    prop_oneof![30 => range, 1 => any::<u64>(), 1 => u64::MAX - 1..=u64::MAX].boxed()
}
