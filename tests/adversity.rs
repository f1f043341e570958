//! Overload, nodes that never come back, nodes that stand in for others, and peers that say what cannot be.

mod support;

use synod::{
    Ballot, Machine, NodeId, Refusal,
    commit::{Decision, Effect, Input, Key, Limits, Message, Node, Outcome, Record, Time, Transaction, What},
    paxos,
};

use support::{ACCEPTORS, Group, RMS, TMS, cluster, config, refuse, say, spec_of, transaction, tx};

#[test]
fn nodes_that_are_full_do_not_keep_each_others_transactions_from_ending() {
    let all = [NodeId(1), NodeId(2), NodeId(3)];
    let limits = Limits::default().with_open(1).with_participants(3).with_meta(8);
    let mut group = Group::new(spec_of(&all, &all).with_limits(limits).build().unwrap(), all);
    for (at, seq) in all.into_iter().zip(1..) {
        group.begin(at, &transaction(seq));
    }
    // Everyone is full with a transaction of its own, and refuses those of the others.
    group.run();
    group.rest();
    for seq in 1..=3 {
        assert!(group.outcome(tx(seq)).is_some(), "transaction {seq} has no outcome");
    }
}

#[test]
fn a_prepared_participant_does_not_hang_because_what_waits_for_a_dead_one_takes_all_the_room() {
    let (tm, alive, dead) = (NodeId(1), NodeId(2), NodeId(3));
    let limits = Limits::default().with_open(1).with_participants(3).with_meta(8);
    let mut group = Group::new(spec_of(&[tm], &[tm]).with_limits(limits).build().unwrap(), [tm, alive, dead]);
    group.crash(dead);
    group.begin(tm, &Transaction::new(tx(1), [dead], []).unwrap());
    group.live(20);
    assert_eq!(group.outcome(tx(1)), Some(Outcome::Aborted));
    assert_eq!(group.node(tm).metrics().open, 1, "its participant has yet to hear of it");

    group.begin(alive, &Transaction::new(tx(2), [alive], []).unwrap());
    group.run();
    assert_eq!(group.node(alive).in_doubt().len(), 1, "it votes before the transaction manager refuses it");
    group.live(20);
    assert_eq!(group.outcome(tx(2)), Some(Outcome::Aborted));
    assert_eq!(group.node(alive).metrics().open, 0);
    group.heal();
}

#[test]
fn a_participant_that_began_says_so_twice_to_each_transaction_manager_before_it_asks_how_it_ended() {
    let mut group = Group::apart(cluster());
    group.begin(RMS[0], &transaction(1));
    group.answer_all();
    for _ in 0..20 {
        group.lose(|sent| TMS.contains(&sent.to) || ACCEPTORS.contains(&sent.to));
        group.pass_time();
    }
    let turns: Vec<(NodeId, bool)> = group
        .sent
        .iter()
        .filter(|sent| sent.from == RMS[0])
        .filter_map(|sent| match sent.message {
            Message::About { what: What::Begin { .. }, .. } => Some((sent.to, true)),
            Message::About { what: What::Inquire, .. } => Some((sent.to, false)),
            _ => None,
        })
        .collect();
    let [first, second] = TMS;
    let began = [(first, true), (second, true), (first, true), (second, true), (first, true)];
    assert_eq!(turns[..5], began);
    assert!(turns[5..].len() > 2 && turns[5..].iter().all(|(_, begins)| !begins), "{turns:?}");
}

#[test]
fn what_a_dead_node_never_acknowledges_does_not_grow_with_history() {
    let mut group = Group::apart(cluster());
    group.crash(ACCEPTORS[2]);
    for seq in 1..=200 {
        group.begin(TMS[seq as usize % 2], &transaction(seq));
        group.run();
    }
    for tm in TMS {
        let metrics = group.node(tm).metrics();
        assert!(metrics.retired_ranges <= 2, "{metrics:?}");
        assert!(metrics.unacknowledged_ranges <= 2, "{metrics:?}");
    }
    group.heal();
}

#[test]
fn ranges_close_at_nodes_that_take_part_in_few_transactions() {
    let mut group = Group::apart(cluster());
    for seq in 1..=300 {
        let participants = [RMS[seq as usize % 3], RMS[(seq as usize / 3) % 3]];
        let participants = participants.into_iter().collect::<std::collections::BTreeSet<_>>();
        group.begin(TMS[seq as usize % 2], &Transaction::new(tx(seq), participants, []).unwrap());
        group.run();
    }
    for at in group.nodes() {
        assert!(group.node(at).metrics().retired_ranges <= 2, "{at} has {:?}", group.node(at).metrics());
    }
}

#[test]
fn a_transaction_manager_that_another_one_stood_in_for_still_tells_its_client() {
    let mut group = Group::apart(cluster());
    group.begin(TMS[0], &transaction(1));
    // It decides, and nobody hears of it but its client.
    group.run_until(|sent| matches!(sent.message, Message::About { what: What::Outcome(_), .. }));
    group.lose(|sent| matches!(sent.message, Message::About { what: What::Outcome(_), .. }));
    for rm in RMS {
        group.step(rm, Input::Inquire(tx(1)));
    }
    group.run();
    let completed = Decision::Completed { tx: tx(1), outcome: Outcome::Committed };
    assert!(group.decisions(TMS[0]).contains(&completed), "{:?}", group.decisions(TMS[0]));
}

#[test]
fn a_rejection_by_an_unreachable_round_neither_moves_nor_uses_up_the_rounds_of_a_node() {
    let (mut node, _) = Node::create(config(&cluster(), TMS[0]));
    node.step(say::from(RMS[0], say::inquire(&transaction(1))));
    let ballot = Ballot::new(1, TMS[0]);
    let promised = Ballot::new(u64::MAX - 2, TMS[1]);
    let reject = say::paxos(&transaction(1), &RMS, paxos::Message::Reject { ballot, promised });
    assert_eq!(refuse(&mut node, say::from(ACCEPTORS[0], reject), Refusal::FarBallot), []);
    let effects = node.step(say::from(RMS[0], say::inquire(&transaction(2))));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Send { .. })), "it still recovers");
}

#[test]
fn what_a_torn_write_left_behind_is_erased_after_the_restore() {
    let mut group = Group::apart(cluster());
    for seq in 1..=3 {
        group.begin(TMS[0], &transaction(seq));
        group.run();
    }
    let rm = RMS[0];
    let log = group.log(rm).to_vec();
    // Every prefix of the log is a write that may have been torn.
    for end in 1..=log.len() {
        let mut disk = std::collections::BTreeMap::new();
        let mut write = |record: &Record| match record.is_tombstone() {
            true => disk.remove(&record.key()),
            false => disk.insert(record.key(), record.clone()),
        };
        log[..end].iter().for_each(|record| drop(write(record)));
        let mut node = Node::restore(config(&cluster(), rm), log[..end].to_vec()).unwrap();
        let mended = node.step(Input::Tick(Time(0)));
        for effect in &mended {
            if let Effect::Persist(record) = effect {
                write(record);
            }
        }
        let needed: Vec<Key> = node.snapshot().iter().map(Record::key).collect();
        assert!(disk.keys().all(|key| needed.contains(key)), "{end}: {disk:?} but {needed:?}");
    }
}
