//! What a node knows after a crash: all that it ever told anyone, whenever the crash came.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{ACCEPTORS, Cut, Group, RMS, TMS, catalogue, cluster, cluster_of, config, say, transaction, tx};
use synod::{
    Ballot, Effect, Machine, NodeId, RestoreError,
    commit::{
        AcceptorRecord, Cluster, Input, Key, Learning, Node, Outcome, Record, ResourceManagerRecord, Status, Targets,
        Time, Transaction, TxRange, Vote,
    },
    paxos,
    sim::Rng,
};

/// A run, and how it ends where nobody crashes.
struct Script {
    name: &'static str,
    cluster: fn() -> Cluster,
    play: fn(&mut Group),
    outcome: Outcome,
}

const SCRIPTS: [Script; 8] = [
    Script { name: "commit", cluster, play: begin_at_rm, outcome: Outcome::Committed },
    Script { name: "commit, begun at a transaction manager", cluster, play: begin_at_tm, outcome: Outcome::Committed },
    Script { name: "abort by vote", cluster, play: vote_down, outcome: Outcome::Aborted },
    Script { name: "recovery", cluster, play: recover, outcome: Outcome::Aborted },
    Script { name: "Faster", cluster: faster, play: begin_at_rm, outcome: Outcome::Committed },
    Script { name: "Faster, recovery", cluster: faster, play: recover, outcome: Outcome::Aborted },
    Script { name: "co-located", cluster: together, play: begin_at_rm, outcome: Outcome::Committed },
    Script { name: "two-phase commit", cluster: two_phase, play: begin_at_tm, outcome: Outcome::Committed },
];

fn faster() -> Cluster {
    cluster().with_learning(Learning::Everyone).with_targets(Targets::Quorum)
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
        assert_eq!(group.outcome(tx(1)), Some(script.outcome), "{}", script.name);
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
        let identity = Record::Identity { cluster: cluster.id(), node: at };
        assert_eq!(effects, [Effect::Persist(identity.clone())]);
        assert_eq!(node.snapshot(), [identity]);
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
                let over = |tx| live.status(tx) == Status::Retired;
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

/// A node that is acceptor, resource manager and transaction manager.
const ALL: NodeId = RMS[0];

fn identity() -> Record {
    Record::Identity { cluster: support::CLUSTER, node: ALL }
}

fn try_restore(records: impl IntoIterator<Item = Record>) -> Result<(), RestoreError> {
    let records = [identity()].into_iter().chain(records);
    Node::restore(config(&together(), ALL), records).map(|_| ())
}

fn of_rm(transaction: &Transaction, vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    Record::ResourceManager(ResourceManagerRecord { transaction: transaction.clone(), vote, finished })
}

type State = (Ballot, Option<(Ballot, Vote)>);

fn of_acceptor(transaction: &Transaction, states: &[State]) -> Record {
    let instance =
        |(promised, accepted): &State| paxos::AcceptorRecord { promised: Some(*promised), accepted: *accepted };
    let instances = states.iter().map(instance).collect();
    Record::Acceptor(AcceptorRecord { transaction: transaction.clone(), instances })
}

#[test]
fn votes_and_outcomes_that_contradict_each_other_are_refused() {
    let one = transaction(1);
    let contradiction = Err(RestoreError::ContradictoryOutcome(tx(1)));
    for (vote, finished, result) in [
        (None, None, contradiction),
        (None, Some(Outcome::Committed), contradiction),
        (None, Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Aborted), None, Ok(())),
        (Some(Vote::Aborted), Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Aborted), Some(Outcome::Committed), contradiction),
        (Some(Vote::Prepared), None, Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Committed), Ok(())),
    ] {
        assert_eq!(try_restore([of_rm(&one, vote, finished)]), result, "{vote:?}, {finished:?}");
    }
}

#[test]
fn an_acceptors_record_that_none_can_have_written_is_refused() {
    let one = transaction(1);
    let [first, second, third] = RMS.map(Ballot::initial);
    let (low, high) = (Ballot::new(1, RMS[1]), Ballot::new(2, RMS[0]));
    let fine = [(first, Some((first, Vote::Prepared))), (high, Some((low, Vote::Aborted))), (third, None)];
    assert_eq!(try_restore([of_acceptor(&one, &fine)]), Ok(()));
    let with = |place: usize, state: State| {
        let mut states = fine;
        states[place] = state;
        try_restore([of_acceptor(&one, &states)])
    };
    assert_eq!(with(0, (low, Some((high, Vote::Prepared)))), Err(RestoreError::AcceptedAbovePromise));
    assert_eq!(with(1, (first, None)), Err(RestoreError::NotTheOwner));
    assert_eq!(with(1, (high, Some((third, Vote::Prepared)))), Err(RestoreError::NotTheOwner));
    assert_eq!(with(1, (second, Some((second, Vote::Prepared)))), Ok(()));
    for instances in [&fine[..0], &fine[..2], &[fine[0]; 4]] {
        assert_eq!(try_restore([of_acceptor(&one, instances)]), Err(RestoreError::WrongInstances(tx(1))));
    }
    let Record::Acceptor(mut unpromised) = of_acceptor(&one, &fine) else { unreachable!() };
    unpromised.instances[2].promised = None;
    assert_eq!(try_restore([Record::Acceptor(unpromised)]), Err(RestoreError::NotTheOwner));
}

#[test]
fn an_acceptors_record_with_nothing_to_remember_is_erased() {
    let empty = of_acceptor(&transaction(1), &RMS.map(|rm| (Ballot::initial(rm), None)));
    let mut node = restore(&Node::create(config(&together(), ALL)).0, &[identity(), empty.clone()]);
    assert_eq!(node.snapshot(), [identity()]);
    assert_eq!(node.status(tx(1)), Status::Unknown);
    assert_eq!(node.step(Input::Tick(Time(0))), [Effect::Persist(Record::Erased(empty.key()))]);
}

#[test]
fn records_of_roles_that_the_node_does_not_have_are_refused() {
    let (one, others) = (transaction(1), Transaction::new(tx(1), &RMS[1..], []).unwrap());
    let [initial, ..] = RMS.map(|rm| (Ballot::initial(rm), None));
    let elsewhere = |cluster: &Cluster, record| Node::restore(config(cluster, ALL), [identity(), record]).map(|_| ());
    let record = of_acceptor(&one, &[initial; 3]);
    assert_eq!(elsewhere(&cluster(), record), Err(RestoreError::NotAnAcceptor(tx(1))));
    let record = of_rm(&others, Some(Vote::Prepared), None);
    assert_eq!(try_restore([record]), Err(RestoreError::NotAParticipant(tx(1))));
}

#[test]
fn two_transactions_of_one_name_are_refused() {
    let namesake = Transaction::new(tx(1), RMS, *b"other").unwrap();
    let accepted = RMS.map(|rm| (Ballot::initial(rm), Some((Ballot::initial(rm), Vote::Prepared))));
    let records = [of_acceptor(&transaction(1), &accepted), of_rm(&namesake, Some(Vote::Prepared), None)];
    assert_eq!(try_restore(records), Err(RestoreError::OtherTransaction(tx(1))));
}

#[test]
fn what_is_over_is_not_looked_at_any_more() {
    let nonsense = of_rm(&transaction(2), None, Some(Outcome::Committed));
    assert!(try_restore([nonsense.clone()]).is_err());
    assert_eq!(try_restore([nonsense.clone(), Record::Erased(nonsense.key())]), Ok(()));
    let over = Record::Retired(TxRange::new(tx(1).origin, 1, 3).unwrap());
    assert_eq!(try_restore([nonsense.clone(), over.clone()]), Ok(()));
    assert_eq!(try_restore([over, nonsense]), Ok(()), "in either order");
}

/// When a range takes in others, it is written first and they are erased after; a torn batch leaves some of both.
#[test]
fn ranges_that_overlap_after_a_torn_batch_are_merged() {
    let mut group = Group::apart(together());
    for seq in [1, 3, 5, 2, 4] {
        group.complete(ALL, &transaction(seq));
    }
    let log = group.log(ALL);
    let overlaps = |records: &[Record]| {
        let ranges = |record: &Record| if let Record::Retired(range) = record { Some(*range) } else { None };
        let ranges: Vec<TxRange> = records.iter().filter_map(ranges).collect();
        ranges.iter().any(|one| ranges.iter().any(|other| one != other && one.contains(other.first())))
    };
    let torn: Vec<_> = (1..=log.len()).map(|length| latest(&log[..length])).filter(|left| overlaps(left)).collect();
    assert_eq!(torn.len(), 2, "when 2 joins 1 and 3, and when 4 joins those and 5");
    for left in torn {
        let node = restore(group.node(ALL), &left);
        assert!(!overlaps(&node.snapshot()));
        for seq in 1..=5 {
            assert_eq!(node.status(tx(seq)), restore(group.node(ALL), &node.snapshot()).status(tx(seq)));
        }
        let covered =
            left.iter().filter_map(|record| if let Record::Retired(range) = record { Some(range) } else { None });
        covered.for_each(|range| assert_eq!(node.status(range.last()), Status::Retired));
    }
    let scattered = [(4, 9), (1, 2), (3, 3), (5, 6), (8, 12), (20, 21)];
    let ranges = scattered.map(|(first, last)| Record::Retired(TxRange::new(tx(1).origin, first, last).unwrap()));
    let mut node = restore(group.node(ALL), &[&[identity()], &ranges[..]].concat());
    let merged =
        [(1, 12), (20, 21)].map(|(first, last)| Record::Retired(TxRange::new(tx(1).origin, first, last).unwrap()));
    assert_eq!(node.snapshot()[1..], merged);
    // The next step mends that on the disk: the range first.
    let swallowed = [3, 4, 5, 8].map(|first| Record::Erased(Key::Retired(tx(first))));
    let mended: Vec<_> = [&merged[..1], &swallowed].concat().into_iter().map(Effect::Persist).collect();
    assert!(node.step(Input::Tick(Time(0))).starts_with(&mended));
}
