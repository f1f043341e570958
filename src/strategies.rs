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

use alloc::{boxed::Box, vec::Vec};
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
        Acceptance, AcceptorRecord, Cluster, ClusterId, ClusterSpec, Config, Ending, Entry, EpochMessage, EpochTag,
        Fingerprint, Fingerprints, HigherInstance, Input, Key, Learning, Limits, Membership, Message, Meta, Node,
        Obstacle, Outcome, OutcomeBlock, Outcomes, Page, Part, Participants, Places, Promises, Ranges, Record,
        ResourceManagerRecord, Targets, Time, Timeouts, Transaction, TransactionSpec, TxRange, Vote, Votes, What,
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

/// One of the transactions that [`message`], [`input`] and [`records`] speak of in `cluster`: one to three of its nodes,
/// or of two more that are nothing but resource managers. Its name says which. Transaction managers gave some of the
/// names, and a client, who is no node, the others.
pub fn known_transaction(cluster: &Cluster) -> BoxedStrategy<Transaction> {
    let everyone = everyone(cluster);
    let client = NodeId(everyone.iter().max().map_or(0, |node| node.0).saturating_add(1));
    let named = move |(origin, seq): (NodeId, u64)| {
        let count = (1 + seq as usize % 3).min(everyone.len());
        let participants = everyone.iter().cycle().skip(seq as usize).take(count);
        let id = TxId { origin, seq };
        Transaction::new(id, participants, known_meta(id)).ok()
    };
    let name = prop_oneof![(select(cluster.managers().to_vec()), 0..4u64), (Just(client), 0..6u64)];
    name.prop_filter_map("a transaction", named).boxed()
}

/// What a [`known_transaction`] is about.
pub fn known_meta(tx: TxId) -> Meta {
    if tx.seq.is_multiple_of(2) { Meta::default() } else { Meta::from([tx.seq as u8]) }
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

/// A message of any kind about any [`transaction`], which may be malformed and come from nobody who may say so.
pub fn any_message() -> BoxedStrategy<Message> {
    prop_oneof![
        7 => (transaction(), what()).prop_map(|(transaction, what)| Message::About { transaction, what }),
        1 => (range(), outcomes()).prop_map(|(range, outcomes)| {
            let of_range = |block: &OutcomeBlock| {
                let number = block.first().seq / u64::from(u64::BITS);
                OutcomeBlock::new(range.origin(), number, block.known(), block.committed()).ok()
            };
            Message::Retired { range, outcomes: outcomes.blocks().iter().filter_map(of_range).collect() }
        }),
        1 => range().prop_map(|range| Message::RetiredNoted { range }),
        1 => (option::of(small(0..3)), epoch_message(cluster().prop_map(|cluster| cluster.membership()).boxed()))
            .prop_map(|(number, what)| Message::Epoch { number, what: Box::new(what) }),
    ]
    .boxed()
}

/// Anything that a message says about an epoch, or its handover to one of these memberships.
pub fn epoch_message(membership: BoxedStrategy<Membership>) -> BoxedStrategy<EpochMessage> {
    let of = || membership.clone().prop_map(Box::new);
    let accepted = option::of((ballot(), of()));
    prop_oneof![
        of().prop_map(EpochMessage::Invite),
        Just(EpochMessage::Ready),
        Just(EpochMessage::Hold),
        Just(EpochMessage::Drained),
        ballot().prop_map(|ballot| EpochMessage::Prepare { ballot }),
        (ballot(), accepted, page()).prop_map(|(ballot, accepted, page)| EpochMessage::Promise {
            ballot,
            accepted,
            page
        }),
        (ballot(), of(), page()).prop_map(|(ballot, membership, page)| EpochMessage::Accept {
            ballot,
            membership,
            page
        }),
        ballot().prop_map(|ballot| EpochMessage::Accepted { ballot }),
        (ballot(), ballot()).prop_map(|(ballot, promised)| EpochMessage::Reject { ballot, promised }),
        ballot().prop_map(|promised| EpochMessage::Frozen { promised }),
        (small(0..3), small(0..3)).prop_map(|(digest, next)| EpochMessage::More { digest, next }),
        Just(EpochMessage::Newer),
        Just(EpochMessage::Wanted),
        (of(), vec(node(), 0..4), page()).prop_map(|(membership, former, page)| EpochMessage::Told {
            membership,
            former: former.into(),
            page
        }),
        Just(EpochMessage::Noted),
    ]
    .boxed()
}

/// A page of a few entries. One in two is whole, and says nothing.
/// A [`transaction`], as a handover tells of it; or nobody's.
fn fingerprint() -> BoxedStrategy<Fingerprint> {
    let nobodys = (tx(), 0..3u64).prop_map(|(tx, digest)| Fingerprint { tx, digest });
    prop_oneof![3 => transaction().prop_map(|transaction| transaction.fingerprint()), 1 => nobodys].boxed()
}

fn page() -> BoxedStrategy<Page> {
    let instances = vec(option::of((ballot(), vote())), 0..4);
    let entry = prop_oneof![
        fingerprint().prop_map(Entry::Ready),
        (fingerprint(), instances)
            .prop_map(|(transaction, instances)| Entry::Part(Part { transaction, instances: instances.into() })),
        fingerprint().prop_map(Entry::Committed),
        range().prop_map(Entry::Retired),
        (node(), 0..3u64).prop_map(|(node, birth)| Entry::Peer { node, birth }),
    ];
    let wild = (any::<u64>(), small(0..4), small(0..4), vec(entry, 0..4))
        .prop_map(|(digest, total, first, entries)| Page { digest, total, first, entries: entries.into() });
    prop_oneof![Just(Page { digest: 0, total: 0, first: 0, entries: [].into() }), wild].boxed()
}

/// Anything that a message says about a transaction, which may be about participants that it does not have.
pub fn what() -> BoxedStrategy<What> {
    let obstacle = (node(), ballot()).prop_map(|(rm, promised)| Obstacle { rm, promised });
    let promises = (places(), votes(), acceptances())
        .prop_map(|(instances, votes, higher)| Box::new(Promises { instances, votes, higher }));
    prop_oneof![
        meta().prop_map(|meta| What::Begin { meta }),
        (meta(), places()).prop_map(|(meta, acceptors)| What::Prepare { meta, acceptors }),
        (vote(), node()).prop_map(|(vote, manager)| What::Vote { vote, manager }),
        (ballot(), places()).prop_map(|(ballot, instances)| What::Phase1a { ballot, instances }),
        (ballot(), promises).prop_map(|(ballot, promises)| What::Phase1b { ballot, promises }),
        (ballot(), votes()).prop_map(|(ballot, votes)| What::Phase2a { ballot, votes }),
        (votes(), acceptances()).prop_map(|(votes, higher)| What::Phase2b { votes, higher }),
        (ballot(), vec(obstacle, 0..4))
            .prop_map(|(ballot, promised)| What::Reject { ballot, promised: promised.into() }),
        Just(What::Inquire),
        Just(What::Decline),
        Just(What::Wait),
        Just(What::OtherTransaction),
        outcome().prop_map(What::Outcome),
        outcome().prop_map(What::Finished),
    ]
    .boxed()
}

fn acceptances() -> BoxedStrategy<Box<[Acceptance]>> {
    let acceptance = (node(), ballot(), vote()).prop_map(|(rm, ballot, vote)| Acceptance { rm, ballot, vote });
    vec(acceptance, 0..4).prop_map(Vec::into_boxed_slice).boxed()
}

/// A message that some node of `cluster` may send, about a [`known_transaction`].
pub fn message(cluster: &Cluster) -> BoxedStrategy<Message> {
    said(cluster).prop_map(|(_, message)| message).boxed()
}

/// An input of a node of `cluster`: mostly a [`message`] from a node that may send it; sometimes one that it may not
/// send, one with something wrong in it, or [`any_message`]; and what a caller may say about a [`known_transaction`].
pub fn input(cluster: &Cluster) -> BoxedStrategy<Input> {
    let known = known_transaction(cluster);
    let name = known.clone().prop_map(|transaction| transaction.id());
    let receive = |(from, message)| Input::Receive { from, message };
    let nodes = some_of(everyone(cluster).into_iter(), 3);
    let begin = (nodes, meta()).prop_filter_map("participants", |(nodes, meta)| {
        Some(Input::Begin { participants: Participants::new(nodes).ok()?, meta })
    });
    let known_digest = cluster.membership().digest();
    let next = next_membership(cluster);
    let begin_as = |transaction: Transaction| Input::BeginAs { meta: known_meta(transaction.id()), transaction };
    prop_oneof![
        2 => begin,
        3 => known.clone().prop_map(begin_as),
        1 => (known.clone(), meta()).prop_map(|(transaction, meta)| Input::BeginAs { transaction, meta }),
        4 => (known.clone(), vote()).prop_map(|(transaction, vote)| Input::Vote { transaction, vote }),
        2 => known.prop_map(|transaction| Input::Prepared { meta: known_meta(transaction.id()), transaction }),
        4 => name.clone().prop_map(Input::Finished),
        2 => name.clone().prop_map(Input::Inquire),
        1 => (name.clone(), small(0..1000)).prop_map(|(tx, patience)| Input::Patience { tx, patience }),
        2 => (node(), 0..3u64, option::of((small(0..3), option::of(small(0..3))))).prop_map(move |(node, birth, epoch)| {
            let tag = |(number, digest): (u64, Option<u64>)| EpochTag { number, digest: digest.unwrap_or(known_digest) };
            Input::Met { node, birth, epoch: epoch.map(tag) }
        }),
        1 => next.clone().prop_map(|membership| Input::Change(Box::new(membership))),
        6 => (node(), option::of(small(0..2)), epoch_message(next))
            .prop_map(|(from, number, what)| Input::Receive { from, message: Message::Epoch { number, what: Box::new(what) } }),
        1 => (name, outcome()).prop_map(|(tx, outcome)| Input::Resolve { tx, outcome }),
        1 => small(0..2000).prop_map(|count| Input::Names { count }),
        4 => small(0..1000).prop_map(|now| Input::Tick(Time(now))),
        32 => said(cluster).prop_map(receive),
        1 => (node(), message(cluster)).prop_map(receive),
        2 => (said(cluster), 0..FLAWS, any::<Index>()).prop_map(|((from, message), flaw, at)| {
            Input::Receive { from, message: bent(message, flaw, at) }
        }),
        1 => (node(), any_message()).prop_map(receive),
    ]
    .boxed()
}

/// A key of any kind.
pub fn key() -> BoxedStrategy<Key> {
    prop_oneof![
        one_of([Key::Identity, Key::Birth, Key::Sequence, Key::Rounds, Key::Resolutions, Key::Epoch, Key::Handover]),
        node().prop_map(Key::Peer),
        tx().prop_map(Key::Acceptor),
        tx().prop_map(Key::ResourceManager),
        tx().prop_map(Key::Retired),
        tx().prop_map(Key::History),
    ]
    .boxed()
}

/// A record of any kind about any [`transaction`], which perhaps no node can have written.
pub fn record() -> BoxedStrategy<Record> {
    let state = (option::of(ballot()), option::of((ballot(), vote())))
        .prop_map(|(promised, accepted)| paxos::AcceptorRecord { promised, accepted });
    let higher = (node(), state).prop_map(|(rm, state)| HigherInstance { rm, state });
    let acceptor = (transaction(), votes(), vec(higher, 0..4))
        .prop_map(|(transaction, votes, higher)| AcceptorRecord { transaction, votes, higher: higher.into() });
    let resource_manager = (transaction(), option::of(meta()), option::of(vote()), option::of(outcome()))
        .prop_map(|(transaction, meta, vote, finished)| ResourceManagerRecord { transaction, meta, vote, finished });
    let resolved = (resource_manager.clone(), outcome());
    let ranges = || vec(range(), 0..4).prop_map(Ranges::from);
    let committed = || vec(fingerprint(), 0..4).prop_map(Fingerprints::from);
    let membership = || cluster().prop_map(|cluster| cluster.membership());
    let epoch = (small(0..3), membership(), vec(node(), 0..4), committed()).prop_map(
        |(number, membership, former, committed)| Record::Epoch {
            number,
            membership: membership.into(),
            former: former.into(),
            committed,
        },
    );
    let ending = (membership(), committed(), ranges()).prop_map(|(membership, committed, retired)| Ending {
        membership,
        committed,
        retired,
    });
    let handover =
        (small(0..3), option::of(ballot()), option::of((ballot(), ending))).prop_map(|(epoch, promised, accepted)| {
            Record::Handover { epoch, state: paxos::AcceptorRecord { promised, accepted }.into() }
        });
    prop_oneof![
        (any::<u8>(), node()).prop_map(|(byte, node)| Record::Identity { cluster: ClusterId([byte; 16]), node }),
        small(0..8).prop_map(|reserved| Record::Sequence { reserved }),
        small(0..8).prop_map(|reserved| Record::Rounds { reserved }),
        acceptor.prop_map(Record::Acceptor),
        resource_manager.prop_map(Record::ResourceManager),
        range().prop_map(Record::Retired),
        key().prop_map(Record::Erased),
        (outcome_block(), small(0..8)).prop_map(|(outcomes, age)| Record::History { outcomes, age }),
        small(0..8).prop_map(Record::Birth),
        (node(), 0..3u64).prop_map(|(node, birth)| Record::Peer { node, birth }),
        resolved.prop_map(|(record, outcome)| Record::Resolved { record, outcome }),
        small(0..8).prop_map(|count| Record::Resolutions { count }),
        epoch,
        handover,
    ]
    .boxed()
}

/// All the records of the node of `config`: what it may have written about any [`known_transaction`], one after the
/// other. One record in 16 is just any [`record`], and the identity is missing or another's now and then. One time in
/// four that is all, and most such sets contradict themselves or the configuration; otherwise the node can be restored
/// from what follows its identity and its epoch.
pub fn records(config: &Config) -> BoxedStrategy<Vec<Record>> {
    let right = Record::Identity { cluster: config.cluster.id(), node: config.id };
    let membership = config.cluster.membership().into();
    let epoch = Record::Epoch { number: 0, membership, former: [].into(), committed: Fingerprints::default() };
    let identity = prop_oneof![
        14 => Just(Some(right.clone())),
        1 => Just(None),
        1 => record().prop_map(Some),
    ];
    let other = prop_oneof![15 => written(config), 1 => record().prop_map(|record| Vec::from([record]))];
    let config = config.clone();
    (identity, vec(other, 0..8), 0..4u8)
        .prop_map(move |(identity, others, wild)| {
            let others = others.into_iter().flatten();
            let founding = [right.clone(), epoch.clone()];
            let others = if wild == 0 { others.collect() } else { sound(&config, &founding, others) };
            identity.into_iter().chain([epoch.clone()]).chain(others).collect()
        })
        .boxed()
}

/// Of `records`, those that the node of `config` can be restored from, behind what it wrote first.
fn sound(config: &Config, founding: &[Record], records: impl Iterator<Item = Record>) -> Vec<Record> {
    let mut sound = Vec::new();
    for record in records {
        sound.push(record);
        let all = founding.iter().chain(&sound).cloned();
        if Node::restore(config.clone(), all).is_err() {
            sound.pop();
        }
    }
    sound
}

/// What the node of `config` may have written, in one step.
fn written(config: &Config) -> BoxedStrategy<Vec<Record>> {
    let (acceptor, id) = (config.cluster.acceptors().contains(config.id), config.id);
    let votes = [(None, Some(Outcome::Aborted)), (Some(Vote::Prepared), None), (Some(Vote::Aborted), None)];
    let more =
        [(Vote::Prepared, Outcome::Committed), (Vote::Prepared, Outcome::Aborted), (Vote::Aborted, Outcome::Aborted)];
    let votes = votes.into_iter().chain(more.map(|(vote, outcome)| (Some(vote), Some(outcome))));
    (scene(&config.cluster), select(Vec::from_iter(votes)), 0..11, 0..8u64)
        .prop_map(move |(scene, (vote, finished), kind, more)| {
            let (transaction, tx) = (scene.transaction.clone(), scene.transaction.id());
            let meta = vote.map_or(scene.meta(), |_| Some(known_meta(tx)));
            let own = ResourceManagerRecord { transaction: transaction.clone(), meta, vote, finished };
            // Higher than what any of these may have used.
            let reserved = 8 + more;
            let numbers = (tx.origin == id).then_some(Record::Sequence { reserved });
            let about = match kind {
                0 | 1 if acceptor => {
                    let record = scene.accepted();
                    let place = transaction.place(id);
                    // A vote of its own was durable before.
                    let voted = place.and_then(|place| record.instance(place)?.accepted);
                    let voted = voted.filter(|(ballot, _)| ballot.is_initial()).map(|(_, vote)| {
                        let meta = Some(known_meta(tx));
                        Record::ResourceManager(ResourceManagerRecord { vote: Some(vote), meta, finished: None, ..own })
                    });
                    let rounds = record.higher.iter().filter_map(|instance| instance.state.promised);
                    let rounds = rounds.filter(|ballot| ballot.node == id).map(|_| Record::Rounds { reserved }).next();
                    voted.into_iter().chain(rounds).chain([Record::Acceptor(record)]).collect()
                }
                2 | 3 if transaction.has(id) => Vec::from([Record::ResourceManager(own)]),
                4 => Vec::from([Record::Sequence { reserved }]),
                5 => Vec::from([Record::Rounds { reserved }]),
                6 => Vec::from([Record::Erased(Key::Acceptor(tx))]),
                7 => Vec::from([Record::History { outcomes: OutcomeBlock::of(tx, scene.outcome), age: tx.origin.0 }]),
                8 => Vec::from([Record::Birth(7), Record::Peer { node: NodeId(1_000 + more), birth: more }]),
                9 => Vec::from([Record::Resolutions { count: reserved }]),
                _ => Vec::from([Record::Retired(range_from(tx, 0))]),
            };
            numbers.into_iter().chain(about).collect()
        })
        .boxed()
}

/// A message of `cluster`, and who may send it.
fn said(cluster: &Cluster) -> BoxedStrategy<(NodeId, Message)> {
    (scene(cluster), 0..19u8).prop_map(|(scene, kind)| scene.say(kind)).boxed()
}

/// How many things [`bent`] can put wrong.
const FLAWS: u8 = 8;

/// `message` with something wrong in it. Where that is nothing of its kind, it is about another content.
fn bent(message: Message, flaw: u8, at: Index) -> Message {
    let Message::About { transaction, mut what } = message else { return message };
    let count = transaction.participants().len();
    // A participant that there is not: the next one, or one far off.
    let beyond = count + if flaw == 0 { 0 } else { 64 * at.index(3) };
    let stranger = NodeId(transaction.participants().last().map_or(0, |rm| rm.0).saturating_add(1));
    let acceptance = Acceptance { rm: stranger, ballot: Ballot::new(1, stranger), vote: Vote::Aborted };
    match (&mut what, flaw) {
        (What::Begin { meta } | What::Prepare { meta, .. }, 0..6) => *meta = Meta::from([0xff]),
        (What::Vote { manager, .. }, 0..6) => *manager = stranger,
        // A place beyond the participants.
        (What::Phase1a { instances, .. }, 0 | 1) => instances.insert(beyond),
        (What::Phase2a { votes, .. } | What::Phase2b { votes, .. }, 0 | 1) => votes.insert(beyond, Vote::Prepared),
        (What::Phase1b { promises, .. }, 0) => promises.instances.insert(beyond),
        // An acceptance in an instance that is not promised.
        (What::Phase1b { promises, .. }, 1) => {
            promises.instances = promises.instances.difference(&Places::from_iter([at.index(count)]));
            promises.votes.insert(at.index(count), Vote::Prepared);
        }
        // Nothing at all.
        (What::Phase1a { instances, .. }, 2) => *instances = Places::default(),
        (What::Phase2a { votes, .. }, 2) => *votes = Votes::default(),
        (What::Phase1b { promises, .. }, 2) => **promises = Promises::default(),
        (What::Phase2b { votes, higher }, 2) => (*votes, *higher) = (Votes::default(), Box::default()),
        (What::Reject { promised, .. }, 2) => *promised = Box::default(),
        // Instances by name, out of order, or one of them twice.
        (What::Phase1b { promises, .. }, 3) => promises.higher = disordered(&promises.higher, at),
        (What::Phase2b { higher, .. }, 3) => *higher = disordered(higher, at),
        (What::Reject { promised, .. }, 3) => *promised = disordered(promised, at),
        // An instance by a name that no participant has.
        (What::Phase1b { promises, .. }, 4) => promises.higher = with(&promises.higher, acceptance),
        (What::Phase2b { higher, .. }, 4) => *higher = with(higher, acceptance),
        (What::Reject { promised, .. }, 4) => {
            *promised = with(promised, Obstacle { rm: stranger, promised: Ballot::new(9, stranger) });
        }
        // A ballot that is not the sender's, or initial.
        (What::Phase1a { ballot, .. } | What::Phase2a { ballot, .. } | What::Phase1b { ballot, .. }, 5) => {
            *ballot = if at.index(2) == 0 { Ballot::initial(ballot.node) } else { Ballot::new(ballot.round, stranger) };
        }
        // A vote of an initial ballot that is another's.
        (What::Phase2b { votes, higher }, 5) => {
            let rm = transaction.participants().get(at.index(count)).copied().unwrap_or(stranger);
            *votes = Votes::default();
            *higher = Box::new([Acceptance { rm, ballot: Ballot::initial(stranger), vote: Vote::Prepared }]);
        }
        // An instance by place and by name.
        (What::Phase2b { votes, higher }, 6) => {
            for accepted in higher {
                if let Some(place) = transaction.place(accepted.rm) {
                    votes.insert(place, Vote::Prepared);
                }
            }
        }
        _ => {
            let (id, nodes) = (transaction.id(), transaction.participants());
            let other = Transaction::new(id, nodes, [0xfe]).unwrap_or_else(|_| transaction.clone());
            return Message::About { transaction: other, what };
        }
    }
    Message::About { transaction, what }
}

/// `items`, backwards; one or none becomes two of a kind.
fn disordered<T: Copy>(items: &[T], at: Index) -> Box<[T]> {
    match items {
        [] => Box::default(),
        [_] => items.iter().chain(items).copied().collect(),
        _ if at.index(2) == 0 => items.iter().rev().copied().collect(),
        [first, ..] => core::iter::once(first).chain(items).copied().collect(),
    }
}

fn with<T: Copy>(items: &[T], more: T) -> Box<[T]> {
    items.iter().copied().chain([more]).collect()
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
        let Self { rm, acceptor, manager, rival, outcome, .. } = self;
        let own = Ballot::new(1 + self.round, manager);
        let higher = Ballot::new(2 + self.round, rival);
        let (vote, tx) = (self.votes.first().map_or(Vote::Aborted, |each| each.0), self.transaction.id());
        let meta = known_meta(tx);
        let (from, what) = match kind {
            0 => (rm, What::Begin { meta }),
            1 => (manager, What::prepare(meta)),
            2 => (rm, What::Vote { vote, manager }),
            3 => (manager, What::Phase1a { ballot: own, instances: self.some().map(|(place, ..)| place).collect() }),
            4 => (
                manager,
                What::Phase2a { ballot: own, votes: self.some().map(|(place, _, vote, _)| (place, vote)).collect() },
            ),
            5 => {
                let instances = self.some().map(|(place, ..)| place).collect();
                let (votes, higher) = self.told(self.some().filter(|(.., at)| *at < own));
                (acceptor, What::Phase1b { ballot: own, promises: Box::new(Promises { instances, votes, higher }) })
            }
            6 => {
                let one = |(place, rm, vote, _)| (place, rm, vote, self.ballot(self.round, rm));
                let (votes, higher) = self.told(self.some().map(one));
                (acceptor, What::Phase2b { votes, higher })
            }
            7 => {
                let (votes, higher) = self.told(self.some());
                (acceptor, What::Phase2b { votes, higher })
            }
            8 => {
                let promised = self.some().map(|(_, rm, ..)| Obstacle { rm, promised: higher }).collect();
                (acceptor, What::Reject { ballot: own, promised })
            }
            9 => (acceptor, What::Inquire),
            10 => (rm, What::Inquire),
            11 => (manager, What::Outcome(outcome)),
            12 => (rm, What::Finished(outcome)),
            13 => {
                let told = OutcomeBlock::of(tx, outcome);
                let outcomes = self.round.is_multiple_of(2).then_some(told).into_iter().collect();
                return (manager, Message::Retired { range: range_from(tx, self.round), outcomes });
            }
            14 => (rm, What::Decline),
            15 => (manager, What::Wait),
            16 => (acceptor, What::OtherTransaction),
            17 => (manager, What::OtherTransaction),
            _ => return (acceptor, Message::RetiredNoted { range: range_from(tx, self.round) }),
        };
        (from, Message::About { transaction: self.transaction, what })
    }

    /// Some participants, at least one: their places, votes, and the ballots in which those were accepted.
    fn some(&self) -> impl Iterator<Item = (usize, NodeId, Vote, Ballot)> + '_ {
        let each = self.transaction.participants().iter().zip(&self.votes).enumerate();
        let some = each.filter(|(_, (rm, each))| **rm == self.rm || !each.2);
        some.map(|(place, (&rm, each))| (place, rm, each.0, self.ballot(each.1, rm)))
    }

    /// These acceptances, as messages have them.
    fn told(&self, all: impl Iterator<Item = (usize, NodeId, Vote, Ballot)>) -> (Votes, Box<[Acceptance]>) {
        let (initial, higher): (Vec<_>, Vec<_>) = all.partition(|(.., ballot)| ballot.is_initial());
        let higher = higher.into_iter().map(|(_, rm, vote, ballot)| Acceptance { rm, ballot, vote });
        (initial.into_iter().map(|(place, _, vote, _)| (place, vote)).collect(), higher.collect())
    }

    /// What a resource manager that was never asked knows of it: every second time, what it is about.
    fn meta(&self) -> Option<Meta> {
        self.round.is_multiple_of(2).then(|| known_meta(self.transaction.id()))
    }

    /// All that an acceptor may know.
    fn accepted(&self) -> AcceptorRecord {
        let (mut votes, mut higher) = (Votes::default(), Vec::new());
        let each = self.transaction.participants().iter().zip(&self.votes).enumerate();
        for (place, (&rm, &(vote, round, none))) in each {
            let accepted = (!none).then_some((self.ballot(round, rm), vote));
            let promised = self.ballot(round.max(self.round), rm);
            if !promised.is_initial() {
                higher.push(HigherInstance { rm, state: paxos::AcceptorRecord { promised: Some(promised), accepted } });
            } else if accepted.is_some() {
                votes.insert(place, vote);
            }
        }
        AcceptorRecord { transaction: self.transaction.clone(), votes, higher: higher.into() }
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
