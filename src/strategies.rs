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
        AcceptorRecord, Cluster, ClusterId, ClusterSpec, Config, Input, Key, Learning, Limits, Message, Outcome, Part,
        Record, ResourceManagerRecord, Targets, Time, Timeouts, Transaction, TransactionSpec, TxRange, Vote,
    },
    paxos,
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

/// The plain data of a cluster, in which no number is less than `least`. With a `least` of 1 all of them are sound.
fn spec(managers: BoxedStrategy<Vec<NodeId>>, least: u8) -> BoxedStrategy<ClusterSpec> {
    let waits = (uniform4(u64::from(least)..100), 100 * u64::from(least)..200);
    let timeouts = waits.prop_map(|(waits, ceiling)| {
        let [flush, recover, inquire, repeat] = waits;
        Timeouts { flush, recover, inquire, repeat, ceiling }
    });
    let most = usize::from(least)..8;
    let limits =
        (most.clone(), most, 0..64usize).prop_map(|(open, participants, meta)| Limits { open, participants, meta });
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

/// A transaction among one to four nodes.
pub fn transaction() -> BoxedStrategy<Transaction> {
    (tx(), btree_set(node(), 1..=4), meta())
        .prop_filter_map("a transaction", |(id, nodes, meta)| Transaction::new(id, nodes, meta).ok())
        .boxed()
}

/// The plain data of a transaction. More than every second time it is one.
pub fn transaction_spec() -> BoxedStrategy<TransactionSpec> {
    let wild = (tx(), vec(node(), 0..4), meta());
    prop_oneof![
        transaction().prop_map(TransactionSpec::from),
        wild.prop_map(|(id, participants, meta)| TransactionSpec { id, participants, meta }),
    ]
    .boxed()
}

/// One of the transactions that [`message`], [`input`] and [`records`] speak of in `cluster`: one to three of its nodes,
/// or of two more that are nothing but resource managers. Its name says which.
pub fn known_transaction(cluster: &Cluster) -> BoxedStrategy<Transaction> {
    let (everyone, managers) = (everyone(cluster), cluster.managers().to_vec());
    let named = move |(origin, seq): (NodeId, u64)| {
        let count = (1 + seq as usize % 3).min(everyone.len());
        let participants = everyone.iter().cycle().skip(seq as usize).take(count);
        Transaction::new(TxId { origin, seq }, participants, []).ok()
    };
    (select(managers), 0..6u64).prop_filter_map("a transaction", named).boxed()
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

/// A message of any kind about any [`transaction`], which may be no bundle and come from nobody who may say so.
pub fn any_message() -> BoxedStrategy<Message> {
    let part = (node(), paxos_message(vote())).prop_map(|(rm, message)| Part { rm, message });
    prop_oneof![
        transaction().prop_map(|transaction| Message::Begin { transaction }),
        transaction().prop_map(|transaction| Message::Prepare { transaction }),
        (transaction(), vote(), node()).prop_map(|(transaction, vote, manager)| Message::Vote {
            transaction,
            vote,
            manager
        }),
        (transaction(), vec(part, 0..4)).prop_map(|(transaction, parts)| Message::Paxos { transaction, parts }),
        transaction().prop_map(|transaction| Message::Inquire { transaction }),
        (transaction(), outcome()).prop_map(|(transaction, outcome)| Message::Outcome { transaction, outcome }),
        (transaction(), outcome()).prop_map(|(transaction, outcome)| Message::Finished { transaction, outcome }),
        range().prop_map(|range| Message::Retired { range }),
        range().prop_map(|range| Message::RetiredNoted { range }),
    ]
    .boxed()
}

/// A message that some node of `cluster` may send, about a [`known_transaction`].
pub fn message(cluster: &Cluster) -> BoxedStrategy<Message> {
    said(cluster).prop_map(|(_, message)| message).boxed()
}

/// An input of a node of `cluster`: mostly a [`message`] from a node that may send it; sometimes one that it may not
/// send, or [`any_message`]; and what a caller may say about a [`known_transaction`].
pub fn input(cluster: &Cluster) -> BoxedStrategy<Input> {
    let known = known_transaction(cluster);
    let name = known.clone().prop_map(|transaction| transaction.id());
    let receive = |(from, message)| Input::Receive { from, message };
    prop_oneof![
        2 => known.prop_map(Input::Begin),
        2 => (name.clone(), vote()).prop_map(|(tx, vote)| Input::Vote { tx, vote }),
        2 => name.clone().prop_map(Input::Finished),
        1 => name.prop_map(Input::Inquire),
        2 => small(0..1000).prop_map(|now| Input::Tick(Time(now))),
        16 => said(cluster).prop_map(receive),
        1 => (node(), message(cluster)).prop_map(receive),
        1 => (node(), any_message()).prop_map(receive),
    ]
    .boxed()
}

/// A key of any kind.
pub fn key() -> BoxedStrategy<Key> {
    prop_oneof![
        one_of([Key::Identity, Key::Sequence, Key::Rounds]),
        tx().prop_map(Key::Acceptor),
        tx().prop_map(Key::ResourceManager),
        tx().prop_map(Key::Retired),
    ]
    .boxed()
}

/// A record of any kind about any [`transaction`], which perhaps no node can have written.
pub fn record() -> BoxedStrategy<Record> {
    let instance = (option::of(ballot()), option::of((ballot(), vote())))
        .prop_map(|(promised, accepted)| paxos::AcceptorRecord { promised, accepted });
    let acceptor = (transaction(), vec(instance, 0..4))
        .prop_map(|(transaction, instances)| AcceptorRecord { transaction, instances });
    let resource_manager = (transaction(), option::of(vote()), option::of(outcome()))
        .prop_map(|(transaction, vote, finished)| ResourceManagerRecord { transaction, vote, finished });
    prop_oneof![
        (any::<u8>(), node()).prop_map(|(byte, node)| Record::Identity { cluster: ClusterId([byte; 16]), node }),
        small(0..8).prop_map(|reserved| Record::Sequence { reserved }),
        small(0..8).prop_map(|reserved| Record::Rounds { reserved }),
        acceptor.prop_map(Record::Acceptor),
        resource_manager.prop_map(Record::ResourceManager),
        range().prop_map(Record::Retired),
        key().prop_map(Record::Erased),
    ]
    .boxed()
}

/// All the records of the node of `config`: what it may have written about any [`known_transaction`], one after the
/// other. One record in 16 is just any [`record`], and the identity is missing or another's now and then, so that some
/// sets contradict themselves or the configuration.
pub fn records(config: &Config) -> BoxedStrategy<Vec<Record>> {
    let right = Record::Identity { cluster: config.cluster.id(), node: config.id };
    let identity = prop_oneof![
        14 => Just(Some(right)),
        1 => Just(None),
        1 => record().prop_map(Some),
    ];
    let other = prop_oneof![15 => written(config), 1 => record()];
    (identity, vec(other, 0..8)).prop_map(|(identity, others)| identity.into_iter().chain(others).collect()).boxed()
}

/// A record that the node of `config` may have written.
fn written(config: &Config) -> BoxedStrategy<Record> {
    let (acceptor, id) = (config.cluster.acceptors().contains(config.id), config.id);
    let votes = [(None, None), (None, Some(Outcome::Aborted)), (Some(Vote::Prepared), None)];
    let more =
        [(Vote::Prepared, Outcome::Committed), (Vote::Prepared, Outcome::Aborted), (Vote::Aborted, Outcome::Aborted)];
    let votes = votes.into_iter().chain(more.map(|(vote, outcome)| (Some(vote), Some(outcome))));
    (scene(&config.cluster), select(Vec::from_iter(votes)), 0..6, 0..8u64)
        .prop_map(move |(scene, (vote, finished), kind, reserved)| {
            let (transaction, tx) = (scene.transaction.clone(), scene.transaction.id());
            match kind {
                0 if acceptor => Record::Acceptor(scene.accepted()),
                1 if transaction.has(id) => {
                    Record::ResourceManager(ResourceManagerRecord { transaction, vote, finished })
                }
                2 => Record::Sequence { reserved },
                3 => Record::Rounds { reserved },
                4 => Record::Erased(Key::Acceptor(tx)),
                _ => Record::Retired(range_from(tx, 0)),
            }
        })
        .boxed()
}

/// A message of `cluster`, and who may send it.
fn said(cluster: &Cluster) -> BoxedStrategy<(NodeId, Message)> {
    (scene(cluster), 0..13u8).prop_map(|(scene, kind)| scene.say(kind)).boxed()
}

/// What a message or a record is made of.
#[derive(Clone, Debug)]
struct Scene {
    transaction: Transaction,
    rm: NodeId,
    acceptor: NodeId,
    manager: NodeId,
    rival: NodeId,
    round: u64,
    outcome: Outcome,
    /// One for each participant, and perhaps more: its vote, the round in which that was accepted, and whether a message
    /// may leave it out.
    votes: Vec<(Vote, u64, bool)>,
}

fn scene(cluster: &Cluster) -> BoxedStrategy<Scene> {
    let manager = select(cluster.managers().to_vec());
    let acceptor = select(Vec::from_iter(cluster.acceptors().nodes()));
    let votes = vec((vote(), 0..4u64, any::<bool>()), 3);
    (known_transaction(cluster), any::<Index>(), acceptor, manager.clone(), manager, 0..4u64, outcome(), votes)
        .prop_map(|(transaction, rm, acceptor, manager, rival, round, outcome, votes)| {
            let rm = *rm.get(transaction.participants());
            Scene { transaction, rm, acceptor, manager, rival, round, outcome, votes }
        })
        .boxed()
}

impl Scene {
    fn say(self, kind: u8) -> (NodeId, Message) {
        use paxos::Message::{Accept, Accepted, Prepare, Promise, Reject};
        let Self { rm, acceptor, manager, rival, outcome, .. } = self;
        let own = Ballot::new(1 + self.round, manager);
        let higher = Ballot::new(2 + self.round, rival);
        let (vote, transaction) = (self.votes.first().map_or(Vote::Aborted, |each| each.0), self.transaction.clone());
        match kind {
            0 => (rm, Message::Begin { transaction }),
            1 => (manager, Message::Prepare { transaction }),
            2 => (rm, Message::Vote { transaction, vote, manager }),
            3 => (manager, self.bundle(|_, _, _| Prepare { ballot: own })),
            4 => (manager, self.bundle(|_, value, _| Accept { ballot: own, value })),
            5 => (
                acceptor,
                self.bundle(|_, value, at| Promise { ballot: own, accepted: (at < own).then_some((at, value)) }),
            ),
            6 => (acceptor, self.bundle(|rm, value, _| Accepted { ballot: self.ballot(self.round, rm), value })),
            7 => (acceptor, self.bundle(|rm, _, _| Reject { ballot: self.ballot(self.round, rm), promised: higher })),
            8 => (acceptor, Message::Inquire { transaction }),
            9 => (manager, Message::Outcome { transaction, outcome }),
            10 => (rm, Message::Finished { transaction, outcome }),
            11 => (manager, Message::Retired { range: range_from(transaction.id(), self.round) }),
            _ => (acceptor, Message::RetiredNoted { range: range_from(transaction.id(), self.round) }),
        }
    }

    /// What is said of each participant, of its vote and of the ballot in which that was accepted.
    fn bundle(&self, say: impl Fn(NodeId, Vote, Ballot) -> paxos::Message<Vote>) -> Message {
        let each = self.transaction.participants().iter().zip(&self.votes);
        let some = each.filter(|(rm, each)| **rm == self.rm || !each.2);
        let parts = some.map(|(&rm, each)| Part { rm, message: say(rm, each.0, self.ballot(each.1, rm)) }).collect();
        Message::Paxos { transaction: self.transaction.clone(), parts }
    }

    /// All that an acceptor may know.
    fn accepted(&self) -> AcceptorRecord {
        let each = self.transaction.participants().iter().zip(&self.votes);
        let instances = each.map(|(&rm, &(vote, round, none))| {
            let accepted = (!none).then_some((self.ballot(round, rm), vote));
            let promised = self.ballot(round.max(self.round), rm);
            paxos::AcceptorRecord { promised: Some(promised), accepted }
        });
        AcceptorRecord { instances: instances.collect(), transaction: self.transaction.clone() }
    }

    /// The ballot of `round` in the instance of `rm`.
    fn ballot(&self, round: u64, rm: NodeId) -> Ballot {
        Ballot::new(round, if round == 0 { rm } else { self.manager })
    }
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

fn meta() -> BoxedStrategy<Vec<u8>> {
    vec(any::<u8>(), 0..4).boxed()
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
