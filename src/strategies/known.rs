//! Strategies that know a configuration: what its nodes might say and write, and sometimes what they might not.

use alloc::{boxed::Box, vec::Vec};
use core::fmt::Debug;
use proptest::{
    arbitrary::any,
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy},
    prop_oneof,
    sample::{Index, select},
};

use super::{
    any_message, epoch_message, everyone, meta, next_membership, node, outcome, range_from, record, small, some_of,
    vote,
};
use crate::{
    Ballot, NodeId, TxId,
    commit::{
        Acceptance, AcceptorRecord, Cluster, Config, EpochTag, Fingerprints, HigherInstance, Input, Key, Message, Meta,
        Node, Obstacle, Outcome, OutcomeBlock, Participants, Places, Promises, Record, ResourceManagerRecord, Time,
        Transaction, Vote, Votes, What,
    },
    paxos,
};

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
