//! What a node knows after a crash: all that it ever told anyone, whenever the crash came.

mod epochs;
mod records;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{
    ACCEPTORS, CLIENT, CLUSTER, Cut, Group, RMS, STRANGER, TMS, catalogue, cluster, cluster_of, config, founding, say,
    spec, transaction, tx,
};
use synod::{
    Ballot, Effect, Machine, NodeId, RestoreError, TxId,
    commit::{
        AcceptorRecord, Cluster, ClusterId, HigherInstance, Input, Key, Learning, Meta, Node, Outcome, Record,
        ResourceManagerRecord, Status, Targets, Time, Transaction, TxRange, Vote, Votes,
    },
    paxos,
    sim::Rng,
};

/// A run, and how it ends where nobody crashes.
struct Script {
    name: &'static str,
    cluster: fn() -> Cluster,
    play: fn(&mut Group),
    /// The transaction that ends so.
    tx: TxId,
    outcome: Outcome,
}

/// The first name that the client gives, and the first one of the first transaction manager's own.
const FIRST: TxId = TxId { origin: CLIENT, seq: 1 };
const NAMED: TxId = TxId { origin: TMS[0], seq: 1 };

const SCRIPTS: [Script; 10] = [
    Script { name: "commit", cluster, play: begin_at_rm, tx: FIRST, outcome: Outcome::Committed },
    Script {
        name: "commit, begun at a transaction manager",
        cluster,
        play: begin_at_tm,
        tx: FIRST,
        outcome: Outcome::Committed,
    },
    Script { name: "abort by vote", cluster, play: vote_down, tx: FIRST, outcome: Outcome::Aborted },
    Script { name: "recovery", cluster, play: recover, tx: FIRST, outcome: Outcome::Aborted },
    Script { name: "Faster", cluster: faster, play: begin_at_rm, tx: FIRST, outcome: Outcome::Committed },
    Script { name: "Faster, recovery", cluster: faster, play: recover, tx: FIRST, outcome: Outcome::Aborted },
    Script { name: "co-located", cluster: together, play: begin_at_rm, tx: FIRST, outcome: Outcome::Committed },
    Script { name: "two-phase commit", cluster: two_phase, play: begin_at_tm, tx: FIRST, outcome: Outcome::Committed },
    Script { name: "named by a node", cluster, play: begin_new, tx: NAMED, outcome: Outcome::Committed },
    Script {
        name: "co-located, named by a node",
        cluster: together,
        play: begin_new,
        tx: TxId { origin: RMS[0], seq: 1 },
        outcome: Outcome::Committed,
    },
];

fn faster() -> Cluster {
    spec().with_learning(Learning::Everyone).with_targets(Targets::Quorum).build().unwrap()
}

/// Everyone is everything, but that the last one is no transaction manager.
fn together() -> Cluster {
    cluster_of(&RMS, &RMS[..2])
}

fn two_phase() -> Cluster {
    cluster_of(&ACCEPTORS[..1], &TMS)
}

/// Three transactions, the second of which ends last, so that ranges of what is over merge.
fn begin_at_rm(group: &mut Group) {
    let late = *group.cluster().managers().last().unwrap();
    group.begin(RMS[0], &transaction(1));
    group.run();
    group.begin(RMS[2], &transaction(3));
    group.run();
    group.begin(late, &transaction(2));
}

fn begin_at_tm(group: &mut Group) {
    let first = group.cluster().managers()[0];
    group.begin(first, &transaction(1));
}

/// The first transaction manager names two, and a resource manager one.
fn begin_new(group: &mut Group) {
    let first = group.cluster().managers()[0];
    for at in [first, first, RMS[0]] {
        group.begin_new(at, &RMS, *b"meta");
        group.run();
    }
}

fn vote_down(group: &mut Group) {
    group.votes.insert(RMS[1], Vote::Aborted);
    group.begin(RMS[0], &transaction(1));
}

/// One resource keeps silent, until someone stops waiting for it. Then two try to finish the transaction.
fn recover(group: &mut Group) {
    group.votes.remove(&RMS[2]);
    group.begin(RMS[0], &transaction(1));
    group.run();
    group.step(TMS[1], say::from(RMS[1], say::inquire(&transaction(1))));
    group.live(2);
    group.votes.insert(RMS[2], Vote::Prepared);
}

fn play(script: &Script, cuts: &[Cut]) -> Group {
    let mut group = Group::apart((script.cluster)());
    group.cuts = cuts.to_vec();
    (script.play)(&mut group);
    group.live(6);
    group
}

/// What is left of a log in a store that keeps the last record of each key.
fn latest(log: &[Record]) -> Vec<Record> {
    let mut store = BTreeMap::new();
    for record in log {
        match record.is_tombstone() {
            true => store.remove(&record.key()),
            false => store.insert(record.key(), record.clone()),
        };
    }
    store.into_values().collect()
}

fn restore(node: &Node, records: &[Record]) -> Node {
    Node::restore(node.config().clone(), records.to_vec()).expect("a node wrote these records")
}

#[test]
fn the_scripts_end_as_they_say_when_nobody_crashes() {
    for script in &SCRIPTS {
        let mut group = play(script, &[]);
        assert!(group.is_at_rest(), "{}", script.name);
        assert_eq!(group.outcome(script.tx), Some(script.outcome), "{}", script.name);
        group.heal();
    }
}

/// The group holds everything that is told against everything that was told before, and against what is durable; and
/// at the end all must be done and nothing open.
#[test]
fn after_a_crash_between_any_two_effects_a_run_comes_to_one_outcome_and_to_its_end() {
    for script in &SCRIPTS {
        let boundaries = play(script, &[]).boundaries();
        assert!(boundaries.len() > 100);
        for cut in boundaries {
            let mut group = play(script, &[cut]);
            assert!(group.cuts.is_empty(), "{cut:?} did not come");
            group.heal();
        }
    }
}

#[test]
fn after_any_three_crashes_a_run_comes_to_one_outcome_and_to_its_end() {
    let mut rng = Rng::new(0);
    for script in &SCRIPTS {
        let boundaries = play(script, &[]).boundaries();
        for _ in 0..2_000 {
            let cuts: Vec<Cut> = (0..3).filter_map(|_| rng.pick(&boundaries).copied()).collect();
            play(script, &cuts).heal();
        }
    }
}

#[test]
fn a_crash_before_a_nodes_name_is_durable_leaves_a_node_that_never_was() {
    let cluster = cluster();
    for at in RMS.into_iter().chain(ACCEPTORS).chain(TMS) {
        let (node, effects) = Node::create(config(&cluster, at));
        let founding = founding(&cluster, at);
        assert_eq!(effects, founding.clone().map(Effect::Persist));
        assert_eq!(node.snapshot(), founding);
        assert_eq!(Node::restore(config(&cluster, at), []).map(|_| ()), Err(RestoreError::NoIdentity));
    }
}

#[test]
fn a_log_its_latest_records_and_a_snapshot_restore_the_same_node_at_every_length() {
    for script in &SCRIPTS {
        let group = play(script, &[]);
        for at in group.nodes() {
            let (live, log) = (group.node(at), group.log(at));
            for length in 1..=log.len() {
                // A log that ends between a range and its tombstones owes those; a snapshot does not.
                let memory = |records: &[Record]| {
                    let mut node = restore(live, records);
                    node.step(Input::Tick(Time(0)));
                    catalogue::memory(&node)
                };
                let log = &log[..length];
                assert_eq!(memory(&latest(log)), memory(log));
                assert_eq!(memory(&restore(live, log).snapshot()), memory(log));
            }
            assert_eq!(restore(live, log).snapshot(), live.snapshot());
        }
    }
}

#[test]
fn a_live_nodes_snapshot_is_what_it_has_written_in_every_state() {
    for script in &SCRIPTS {
        let mut group = Group::apart((script.cluster)());
        (script.play)(&mut group);
        for _ in 0..100 {
            for at in group.nodes() {
                let (live, log) = (group.node(at), group.log(at));
                assert_eq!(restore(live, log).snapshot(), live.snapshot(), "{}: {at}", script.name);
            }
            group.answer_all();
            if !group.deliver() {
                group.pass_time();
            }
        }
    }
}

#[test]
fn a_snapshot_has_no_record_too_many() {
    for script in &SCRIPTS {
        let mut group = Group::apart((script.cluster)());
        (script.play)(&mut group);
        for _ in 0..60 {
            for at in group.nodes() {
                let live = group.node(at);
                let snapshot = live.snapshot();
                let keys: BTreeSet<Key> = snapshot.iter().map(Record::key).collect();
                assert_eq!(keys.len(), snapshot.len(), "one record a key");
                assert!(snapshot.iter().all(|record| !record.is_tombstone()));
                let over = |tx| live.status(tx).is_retired();
                assert!(keys.iter().all(|key| match key {
                    Key::Acceptor(tx) | Key::ResourceManager(tx) => !over(*tx),
                    _ => true,
                }));
                // Without any one of them, it is another node, or none.
                let whole = catalogue::memory(&restore(live, &snapshot));
                for left_out in 0..snapshot.len() {
                    let mut rest = snapshot.clone();
                    rest.remove(left_out);
                    let other = Node::restore(live.config().clone(), rest).map(|node| catalogue::memory(&node));
                    assert_ne!(other, Ok(whole.clone()), "{:?}", snapshot[left_out]);
                }
            }
            group.answer_all();
            group.deliver();
        }
    }
}
