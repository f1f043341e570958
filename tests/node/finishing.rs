//! How a transaction ends: carried out everywhere, then over everywhere, then forgotten but for its name.

use std::collections::BTreeSet;

use synod::{
    Effect, Machine, NodeId,
    commit::{
        Decision, Input, Key, Message, Node, Outcome, OutcomeBlock, Record, Status, Time, Transaction, TxRange, Vote,
        What,
    },
};

use super::{
    addressees, completed, prepared,
    support::{
        ACCEPTORS, CLIENT, Group, KEEPERS, RMS, TMS, aborts, cluster, cluster_of, commits, config, node, say,
        transaction, tx,
    },
};

use Outcome::{Aborted, Committed};

fn over(seq: u64) -> Record {
    Record::Retired(TxRange::only(tx(seq)))
}

/// What a transaction manager that has committed transaction 1 tells `to` when that is over.
fn retired(to: NodeId) -> Message {
    let ended = OutcomeBlock::of(tx(1), Committed);
    let outcomes = TMS.contains(&to).then_some(ended).into_iter().collect();
    Message::Retired { range: TxRange::only(tx(1)), outcomes }
}

#[test]
fn an_outcome_is_handed_over_until_it_is_carried_out() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    let handed = [Effect::Decide(commits(&transaction(1)))];
    assert_eq!(rm.step(say::from(TMS[0], say::outcome(&transaction(1), Committed))), handed);
    assert_eq!(rm.step(say::from(TMS[0], say::outcome(&transaction(1), Committed))), [], "it is at it");
    for _ in 0..3 {
        assert_eq!(rm.step(Input::Tick(rm.deadline().unwrap())), handed);
    }
}

#[test]
fn that_it_is_carried_out_is_written_before_it_is_told_and_told_until_all_is_over() {
    let mut rm = prepared(RMS[0]);
    rm.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    let effects = rm.step(Input::Finished(tx(1)));
    let [Effect::Persist(Record::ResourceManager(record)), Effect::Send { to, message }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((record.vote, record.finished), (Some(Vote::Prepared), Some(Committed)));
    let finished = say::finished(&transaction(1), Committed);
    assert_eq!((*to, message), (TMS[1], &finished), "to the one who told the outcome");
    assert_eq!(rm.step(Input::Finished(tx(1))), [], "once is enough");
    // Again to the same one, and then to one after the other.
    rm.step(Input::Tick(Time(0)));
    for to in [TMS[1], TMS[0], TMS[1]] {
        assert_eq!(say::sends(&rm.step(Input::Tick(rm.deadline().unwrap()))), [(to, &finished)]);
    }
    let effects = rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!(effects, [over(1), Record::Erased(Key::ResourceManager(tx(1)))].map(Effect::Persist));
    assert_eq!((rm.status(tx(1)), rm.deadline()), (Status::Retired { outcome: None }, None));
}

#[test]
fn a_transaction_is_completed_when_the_last_resource_manager_has_finished_and_then_over() {
    let (_, effects) = completed(Committed);
    let told = KEEPERS.into_iter().chain(RMS).map(|to| Effect::Send { to, message: retired(to) });
    let completed = Effect::Decide(Decision::Completed { tx: tx(1), outcome: Committed });
    let ended = Record::History { outcomes: OutcomeBlock::of(tx(1), Committed), age: 0 };
    let written = [ended, over(1)].map(Effect::Persist);
    let expected: Vec<_> = [completed].into_iter().chain(written).chain(told).collect();
    assert_eq!(effects, expected);
}

#[test]
fn a_dead_transaction_manager_is_replaced_at_the_end_as_well() {
    let mut group = Group::apart(cluster());
    group.begin(TMS[0], &transaction(1));
    group.run_until(|sent| matches!(sent.message, Message::About { what: What::Finished(_), .. }));
    group.crash(TMS[0]);
    group.rest();
    assert!(group.decisions(TMS[1]).contains(&Decision::Completed { tx: tx(1), outcome: Committed }));
    group.heal();
}

#[test]
fn who_has_not_voted_to_commit_lets_go_of_what_is_over() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    let effects = rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!(effects, [Effect::Decide(aborts(&transaction(1))), Effect::Persist(over(1))]);
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Aborted });
    let effects = rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!(effects, [over(1), Record::Erased(Key::ResourceManager(tx(1)))].map(Effect::Persist));
}

#[test]
fn a_node_drops_all_its_roles_in_the_write_that_adds_to_its_range_range_first() {
    let mut all = Node::create(config(&cluster_of(&RMS, &RMS), RMS[0])).0;
    for seq in [1, 3, 2] {
        all.step(say::from(RMS[1], say::prepare(&transaction(seq))));
        all.step(Input::Vote { transaction: transaction(seq), vote: Vote::Aborted });
        all.step(Input::Finished(tx(seq)));
    }
    let erased = |seq| [Key::Acceptor(tx(seq)), Key::ResourceManager(tx(seq))].map(Record::Erased).map(Effect::Persist);
    let mut retire = |seq| {
        let effects = all.step(say::from(RMS[1], say::retired(tx(seq))));
        let noted = Message::RetiredNoted { range: TxRange::only(tx(seq)) };
        let (last, writes) = effects.split_last().unwrap();
        assert_eq!(*last, Effect::Send { to: RMS[1], message: noted });
        writes.to_vec()
    };
    // How they ended goes before: none has committed.
    let ended = |known| Record::History { outcomes: OutcomeBlock::new(tx(1).origin, 0, known, 0).unwrap(), age: 0 };
    assert_eq!(retire(1), [&[ended(0b10), over(1)].map(Effect::Persist)[..], &erased(1)].concat());
    assert_eq!(retire(3), [&[ended(0b1010), over(3)].map(Effect::Persist)[..], &erased(3)].concat());
    // The second joins the others, which are one range then.
    let joined = Record::Retired(TxRange::new(tx(1).origin, 1, 3).unwrap());
    let swallowed = Record::Erased(Key::Retired(tx(3)));
    assert_eq!(retire(2), [&[ended(0b1110), joined, swallowed].map(Effect::Persist)[..], &erased(2)].concat());
    assert_eq!(all.metrics().retired_ranges, 1);
}

#[test]
fn what_is_over_is_announced_until_every_acceptor_and_transaction_manager_has_acknowledged_it() {
    let (mut tm, _) = completed(Committed);
    assert_eq!(tm.metrics().unacknowledged_ranges, KEEPERS.len());
    assert_eq!(tm.unacknowledged_by(RMS[0]), 0);
    tm.step(Input::Tick(Time(0)));
    let noted = Message::RetiredNoted { range: TxRange::only(tx(1)) };
    for left in [&KEEPERS[..], &KEEPERS[1..], &KEEPERS[2..], &KEEPERS[3..]] {
        let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
        let expected: Vec<_> = left.iter().map(|keeper| (*keeper, retired(*keeper))).collect();
        let sent = say::sends(&effects).into_iter().map(|(to, message)| (to, message.clone()));
        assert_eq!(Vec::from_iter(sent), expected);
        assert_eq!(tm.unacknowledged_by(left[0]), 1);
        assert_eq!(tm.step(say::from(left[0], noted.clone())), []);
        assert_eq!(tm.unacknowledged_by(left[0]), 0);
    }
    assert_eq!(tm.metrics().unacknowledged_ranges, 0);
    assert_eq!(tm.deadline(), None);
}

#[test]
fn what_is_over_is_not_announced_again_because_the_node_wakes_for_something_else() {
    let (mut tm, _) = completed(Committed);
    tm.step(Input::Tick(Time(0)));
    tm.step(Input::Change(cluster().membership().replace(ACCEPTORS[1], NodeId(14)).into()));
    let mut wakes = BTreeSet::new();
    for _ in 0..6 {
        let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
        let announces = say::sends(&effects).iter().any(|(_, message)| matches!(message, Message::Retired { .. }));
        wakes.insert((announces, !say::epochs(&effects).is_empty()));
    }
    assert_eq!(wakes, BTreeSet::from([(true, false), (false, true)]), "never both");
}

#[test]
fn ranges_that_are_never_acknowledged_do_not_keep_others_from_being_announced() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(0)));
    // Every second transaction of these, so that each is a range of its own.
    let seqs: Vec<u64> = (1..=200).map(|k| 2 * k).collect();
    for seq in &seqs {
        for rm in RMS {
            tm.step(say::from(rm, say::finished(&transaction(*seq), Aborted)));
        }
    }
    let mut announced = BTreeSet::new();
    for round in 1..=4 {
        let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
        let to_first = say::sends(&effects).into_iter().filter(|(to, _)| *to == KEEPERS[0]).collect::<Vec<_>>();
        assert!(to_first.len() <= 64, "a bounded number at a time");
        announced.extend(to_first.iter().map(|(_, message)| format!("{message:?}")));
        assert_eq!(announced.len(), seqs.len().min(64 * round), "and each time others");
    }
    assert_eq!(announced.len(), seqs.len(), "each one comes up");
    let again = tm.step(Input::Tick(tm.deadline().unwrap()));
    assert!(!say::sends(&again).is_empty(), "and then the first ones again");
}

#[test]
fn who_has_acknowledged_all_and_says_so_again_does_not_hurry_what_is_said_to_others() {
    let (mut tm, _) = completed(Committed);
    let noted = say::from(KEEPERS[0], Message::RetiredNoted { range: TxRange::only(tx(1)) });
    tm.step(Input::Tick(Time(0)));
    tm.step(noted.clone());
    let mut told_again = tm.clone();
    for _ in 0..5 {
        for node in [&mut tm, &mut told_again] {
            node.step(Input::Tick(node.deadline().unwrap()));
        }
        assert_eq!(told_again.step(noted.clone()), []);
        assert_eq!(told_again.deadline(), tm.deadline());
    }
}

#[test]
fn a_restarted_transaction_manager_announces_again_what_it_knows_to_be_over() {
    let (tm, _) = completed(Committed);
    let mut tm = Node::restore(tm.config().clone(), tm.snapshot()).unwrap();
    assert_eq!(tm.step(Input::Tick(tm.deadline().unwrap())), [], "its wait starts at the first tick");
    assert_eq!(addressees(&tm.step(Input::Tick(tm.deadline().unwrap()))), KEEPERS);
    // An acknowledgement may be of more, or of less.
    let mut more = tm.clone();
    more.step(say::from(ACCEPTORS[0], Message::RetiredNoted { range: TxRange::new(CLIENT, 0, u64::MAX).unwrap() }));
    assert_eq!(more.metrics().unacknowledged_ranges, 3);
    tm.step(say::from(ACCEPTORS[0], Message::RetiredNoted { range: TxRange::only(tx(2)) }));
    assert_eq!(tm.metrics().unacknowledged_ranges, 4);
}

#[test]
fn a_sleeping_acceptor_hears_later_that_all_is_over() {
    let mut group = Group::apart(cluster());
    group.crash(ACCEPTORS[2]);
    for seq in 1..=20 {
        group.begin(TMS[0], &transaction(seq));
        group.live(1);
    }
    assert_eq!(group.node(TMS[0]).metrics().open, 0);
    assert_eq!(group.node(TMS[0]).metrics().unacknowledged_ranges, 1, "one range of twenty transactions");
    group.heal();
    assert!(group.node(ACCEPTORS[2]).status(tx(20)).is_retired());
}

#[test]
fn an_acceptor_asks_what_has_become_of_an_old_transaction_and_is_told_that_it_is_over() {
    let mut group = Group::apart(cluster());
    group.blocked.extend(TMS.map(|tm| (tm, ACCEPTORS[0])));
    group.begin(TMS[0], &transaction(1));
    group.live(2);
    assert_eq!(group.node(ACCEPTORS[0]).open_transactions(), [tx(1)]);
    group.blocked.clear();
    // Its announcements are lost for good.
    group.restart(TMS[0]);
    group.step(ACCEPTORS[0], Input::Tick(Time(10_000)));
    let asked = group.wire.iter().filter(|sent| sent.from == ACCEPTORS[0]);
    assert!(
        asked.clone().count() > 0
            && asked.clone().all(|sent| matches!(sent.message, Message::About { what: What::Inquire, .. }))
    );
    group.run();
    assert!(group.node(ACCEPTORS[0]).status(tx(1)).is_retired());
}

#[test]
fn a_transaction_manager_that_misses_the_end_counts_what_it_missed() {
    let mut tm = node(TMS[1]);
    tm.step(say::begins(&transaction(1)));
    let effects = tm.step(say::from(ACCEPTORS[0], say::retired(tx(1))));
    assert_eq!(effects, [Effect::Persist(over(1))]);
    assert_eq!((tm.metrics().missed_outcomes, tm.status(tx(1))), (1, Status::Retired { outcome: None }));
}

#[test]
fn a_run_without_faults_refuses_nothing() {
    for cluster in [cluster(), cluster_of(&RMS[..1], &RMS[..1]), cluster_of(&RMS, &RMS)] {
        let mut group = Group::apart(cluster);
        let tm = group.cluster().managers()[0];
        for seq in 1..=3 {
            group.complete(tm, &transaction(seq));
        }
        for at in group.nodes() {
            let expected: [_; 0] = [];
            assert_eq!(group.node(at).metrics().refusals().collect::<Vec<_>>(), expected, "{at}");
        }
    }
}

#[test]
fn who_need_tell_nobody_waits_for_no_acknowledgement() {
    let mut alone = Node::create(config(&cluster_of(&RMS[..1], &RMS[..1]), RMS[0])).0;
    let transaction = Transaction::new(tx(1), &RMS[..1], *b"meta").unwrap();
    alone.step(Input::Tick(Time(0)));
    alone.step(say::begins(&transaction));
    alone.step(Input::Vote { transaction, vote: Vote::Prepared });
    alone.step(Input::Finished(tx(1)));
    assert_eq!((alone.status(tx(1)), alone.deadline()), (Status::Retired { outcome: Some(Committed) }, None));
}

#[test]
fn what_is_over_is_announced_again_when_nobody_has_acknowledged_it_for_a_while_and_no_sooner() {
    let (mut tm, _) = completed(Outcome::Committed);
    tm.step(Input::Tick(Time(0)));
    let due = tm.deadline().unwrap();
    assert_eq!(tm.step(Input::Tick(Time(due.0 - 1))), []);
    assert_eq!(addressees(&tm.step(Input::Tick(due))), KEEPERS);
}
