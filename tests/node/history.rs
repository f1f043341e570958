//! How transactions ended: what a transaction manager remembers when they are over, tells the others, and forgets.

use core::slice::from_ref;

use synod::{
    Effect, Machine, NodeId, Refusal, TxId,
    commit::{
        Decision, Input, Key, Limits, Message, Node, Outcome, OutcomeBlock, Outcomes, Record, Status, Transaction,
        TxRange, What,
    },
};

use super::{
    completed, decisions,
    support::{
        ACCEPTORS, CLIENT, Group, RMS, TMS, cluster, cluster_of, config, node, refuse, say, spec, transaction, tx,
    },
};

use Outcome::{Aborted, Committed};

const NEVER: [Effect<Record, Message, Decision>; 0] = [];

fn ended(outcome: Outcome) -> Status {
    Status::Retired { outcome: Some(outcome) }
}

/// That transactions 1 to `last` are over, and that some of them ended so.
fn over(last: u64, outcomes: impl IntoIterator<Item = (u64, Outcome)>) -> Message {
    let blocks = outcomes.into_iter().map(|(seq, outcome)| OutcomeBlock::of(tx(seq), outcome));
    Message::Retired { range: TxRange::new(CLIENT, 1, last).unwrap(), outcomes: blocks.collect() }
}

/// A transaction manager that remembers `outcomes` outcomes.
fn forgetful(outcomes: usize) -> Node {
    let limits = Limits::default().with_history(outcomes);
    Node::create(config(&spec().with_limits(limits).build().unwrap(), TMS[0])).0
}

/// The blocks that a node remembers, by their first numbers.
fn blocks(node: &Node) -> Vec<u64> {
    let first = |record| if let Record::History { outcomes, .. } = record { Some(outcomes.first().seq) } else { None };
    node.snapshot().into_iter().filter_map(first).collect()
}

/// Ends `transaction`, of which the node has heard nothing before.
fn end(tm: &mut Node, transaction: &Transaction, outcome: Outcome) {
    for rm in RMS {
        tm.step(say::from(rm, say::finished(transaction, outcome)));
    }
}

#[test]
fn a_block_is_followed_by_one_of_the_same_transactions_that_forgets_none_and_contradicts_none() {
    let block = |origin, number, known, committed| OutcomeBlock::new(NodeId(origin), number, known, committed).unwrap();
    let before = block(1, 1, 0b1101, 0b0100);
    assert_eq!((before.known(), before.committed()), (0b1101, 0b0100));
    for (after, may) in [
        (before, true),
        (block(1, 1, 0b1111, 0b0110), true),
        (block(2, 1, 0b1101, 0b0100), false),
        (block(1, 2, 0b1101, 0b0100), false),
        (block(1, 1, 0b0101, 0b0100), false),
        (block(1, 1, 0b1101, 0b0101), false),
        (block(1, 1, 0b1101, 0b0000), false),
    ] {
        assert_eq!(after.may_follow(&before), may, "{after:?}");
    }
}

#[test]
fn how_a_transaction_ended_is_written_before_that_it_is_over_and_told_to_transaction_managers_alone() {
    for outcome in [Committed, Aborted] {
        let (tm, effects) = completed(outcome);
        assert_eq!(tm.status(tx(1)), ended(outcome));
        let outcomes = OutcomeBlock::of(tx(1), outcome);
        let written =
            effects.iter().filter_map(|effect| if let Effect::Persist(record) = effect { Some(record) } else { None });
        let expected = [Record::History { outcomes, age: 0 }, Record::Retired(TxRange::only(tx(1)))];
        assert_eq!(Vec::from_iter(written.cloned()), expected);
        for (to, message) in say::sends(&effects) {
            let Message::Retired { outcomes: told, .. } = message else { panic!("{message:?}") };
            let expected = if to == TMS[1] { Outcomes::from(vec![outcomes]) } else { Outcomes::default() };
            assert_eq!(*told, expected, "{to}");
        }
    }
}

#[test]
fn every_transaction_manager_remembers_the_end_after_a_restart_and_nobody_else_does() {
    let mut group = Group::apart(cluster());
    assert_eq!(group.complete(TMS[0], &transaction(1)), Some(Committed));
    group.nodes().into_iter().for_each(|at| group.restart(at));
    for at in group.nodes() {
        let outcome = TMS.contains(&at).then_some(Committed);
        assert_eq!(group.node(at).status(tx(1)), Status::Retired { outcome }, "{at}");
    }
}

#[test]
fn whoever_begins_a_transaction_that_has_ended_is_told_how_as_long_as_that_is_remembered() {
    let (mut tm, _) = completed(Committed);
    let mut effects = Vec::new();
    tm.step_into(say::begins(&transaction(1)), &mut effects).unwrap();
    assert_eq!(effects, [Effect::Decide(Decision::Decided { tx: tx(1), outcome: Committed })]);

    let mut tm = forgetful(0);
    end(&mut tm, &transaction(1), Committed);
    assert_eq!(tm.status(tx(1)), Status::Retired { outcome: None });
    assert_eq!(refuse(&mut tm, say::begins(&transaction(1)), Refusal::Retired), NEVER);
}

#[test]
fn a_participant_that_asks_how_what_is_over_has_ended_is_told_and_an_acceptor_that_it_is_over() {
    let (mut tm, _) = completed(Aborted);
    let inquiry = |from| say::from(from, say::inquire(&transaction(1)));
    let told = Effect::Send { to: RMS[0], message: say::outcome(&transaction(1), Aborted) };
    assert_eq!(refuse(&mut tm, inquiry(RMS[0]), Refusal::Retired), from_ref(&told));
    // One that was restored in doubt asks by a begin.
    assert_eq!(refuse(&mut tm, say::from(RMS[0], say::begin(&transaction(1))), Refusal::Retired), [told]);
    let told = Effect::Send { to: ACCEPTORS[0], message: say::retired(tx(1)) };
    assert_eq!(refuse(&mut tm, inquiry(ACCEPTORS[0]), Refusal::Retired), [told]);
}

#[test]
fn a_transaction_manager_decides_by_what_another_one_says_of_what_is_over() {
    let mut tm = node(TMS[1]);
    tm.step(say::begins(&transaction(2)));
    let effects = tm.step(say::from(TMS[0], over(3, [(2, Committed)])));
    let (tx, outcome) = (tx(2), Committed);
    assert_eq!(decisions(&effects), [Decision::Decided { tx, outcome }, Decision::Completed { tx, outcome }]);
    assert_eq!((tm.status(tx), tm.metrics().missed_outcomes), (ended(Committed), 0));
    assert_eq!(tm.status(super::support::tx(3)), Status::Retired { outcome: None });
}

#[test]
fn what_an_acceptor_or_a_participant_says_of_an_outcome_is_not_believed() {
    for from in [ACCEPTORS[0], RMS[0]] {
        let mut tm = node(TMS[1]);
        tm.step(say::begins(&transaction(1)));
        tm.step(say::from(from, over(1, [(1, Committed)])));
        assert_eq!(tm.status(tx(1)).outcome(), None, "{from}");
    }
}

#[test]
fn an_outcome_that_contradicts_the_known_one_is_counted_and_changes_nothing() {
    // It was learned of what was open here, or from the history of another.
    let (known_here, _) = completed(Committed);
    let mut told = node(TMS[0]);
    told.step(say::from(TMS[1], over(1, [(1, Committed)])));
    let mut decided = node(TMS[0]);
    decided.step(say::begins(&transaction(1)));
    decided.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    for mut tm in [known_here, told, decided] {
        tm.step(say::from(TMS[1], over(2, [(1, Aborted)])));
        assert_eq!(tm.metrics().refused(Refusal::ContradictoryOutcome), 1);
        assert_eq!(tm.status(tx(1)), ended(Committed));
    }
}

#[test]
fn outcomes_that_are_not_of_their_range_out_of_order_or_too_many_are_refused() {
    let of = |origin, seq| OutcomeBlock::of(TxId { origin, seq }, Committed);
    let here = |seq| of(CLIENT, seq);
    let wrong = [
        vec![here(1_001)],
        vec![here(0)],
        vec![of(NodeId(8), 1)],
        vec![here(65), here(1)],
        vec![here(1), here(2)],
        vec![OutcomeBlock::new(CLIENT, 1, 0, 0).unwrap()],
        (0..17).map(|block| here(1 + 64 * block)).collect(),
    ];
    for blocks in wrong {
        let range = TxRange::new(CLIENT, 1, 1_000 + 64 * u64::from(blocks.len() > 2)).unwrap();
        let message = Message::Retired { range, outcomes: blocks.into() };
        assert_eq!(refuse(&mut node(TMS[0]), say::from(TMS[1], message), Refusal::MalformedOutcomes), NEVER);
    }
    let most = Outcomes::from_iter((0..16).map(|block| here(1 + 64 * block)));
    let message = Message::Retired { range: TxRange::new(CLIENT, 1, 1_000).unwrap(), outcomes: most };
    node(TMS[0]).step_into(say::from(TMS[1], message), &mut Vec::new()).unwrap();
}

#[test]
fn the_newest_outcomes_are_remembered_and_the_oldest_leave_the_storage_too() {
    let mut tm = forgetful(129);
    let mut group = Vec::new();
    for seq in [1, 65, 129, 2, 193] {
        let mut effects = Vec::new();
        for rm in RMS {
            effects.extend(tm.step(say::from(rm, say::finished(&transaction(seq), Committed))));
        }
        let erased = |effect| match effect {
            Effect::Persist(Record::Erased(Key::History(first))) => Some(first.seq),
            _ => None,
        };
        group.push(effects.into_iter().find_map(erased));
    }
    assert_eq!(group, [None, None, None, None, Some(0)]);
    assert_eq!(blocks(&tm), [64, 128, 192]);
    assert_eq!(tm.status(tx(1)), Status::Retired { outcome: None });
    assert_eq!(tm.status(tx(65)), ended(Committed));

    // So are they after a restart, in their order, and with less room.
    let limits = Limits::default().with_history(64);
    let config = config(&spec().with_limits(limits).build().unwrap(), TMS[0]);
    let mut records = tm.snapshot();
    records.reverse();
    let mut tm = Node::restore(config, records).unwrap();
    assert_eq!(blocks(&tm), [192]);
    let owed = tm.step(Input::Inquire(tx(7)));
    let erased = |seq| Effect::Persist(Record::Erased(Key::History(tx(seq))));
    assert_eq!(owed, [128, 64].map(erased));
}

#[test]
fn what_has_left_the_history_does_not_come_back_as_news() {
    let mut tm = forgetful(64);
    tm.step(say::from(TMS[1], over(1, [(1, Committed)])));
    tm.step(say::from(TMS[1], over(65, [(65, Committed)])));
    assert_eq!(blocks(&tm), [64]);
    let again = tm.step(say::from(TMS[1], over(65, [(1, Committed)])));
    assert_eq!(say::sends(&again), [(TMS[1], &Message::RetiredNoted { range: TxRange::new(CLIENT, 1, 65).unwrap() })]);
    assert_eq!((again.len(), blocks(&tm)), (1, vec![64]));
}

#[test]
fn the_history_is_bounded_whatever_the_other_transaction_managers_say() {
    let mut tm = forgetful(640);
    for origin in 0..1_000 {
        let tx = TxId { origin: NodeId(1_000 + origin), seq: origin };
        let outcomes = [OutcomeBlock::of(tx, Committed)].into_iter().collect();
        tm.step(say::from(TMS[1], Message::Retired { range: TxRange::only(tx), outcomes }));
    }
    assert_eq!(blocks(&tm).len(), 10);
}

#[test]
fn a_repetition_tells_of_the_newest_thousand() {
    let mut tm = node(TMS[0]);
    for seq in 1..=2_000 {
        end(&mut tm, &transaction(seq), if seq % 3 == 0 { Aborted } else { Committed });
    }
    tm.step(Input::Tick(synod::commit::Time(0)));
    let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
    let told = say::sends(&effects).into_iter().find_map(|(to, message)| match message {
        Message::Retired { outcomes, .. } if to == TMS[1] => Some(outcomes.clone()),
        _ => None,
    });
    let told = told.unwrap();
    for seq in 1..=2_000 {
        let outcome = if seq % 3 == 0 { Aborted } else { Committed };
        assert_eq!(told.outcome(tx(seq)), (seq >= 1_024).then_some(outcome), "{seq}");
    }
}

#[test]
fn the_largest_number_ends_like_any_other_and_is_in_nobodys_way() {
    let last = TxId { origin: TMS[0], seq: u64::MAX };
    let cluster = cluster_of(&ACCEPTORS, &TMS);
    let mut group = Group::apart(cluster);
    let transaction = Transaction::new(last, RMS, *b"meta").unwrap();
    // A node never gives its own last number, nor lets a caller use it.
    refuse(group.node_mut(TMS[0]), say::begins(&transaction), Refusal::NumbersUsedUp);
    refuse(group.node_mut(TMS[0]), say::from(RMS[0], say::begin(&transaction)), Refusal::NotNamedHere);
    // A client's may end.
    let transaction = Transaction::new(TxId { origin: CLIENT, ..last }, RMS, *b"meta").unwrap();
    assert_eq!(group.complete(TMS[0], &transaction), Some(Committed));
    assert_eq!(group.node(TMS[1]).status(transaction.id()), ended(Committed));
    for at in TMS {
        group.restart(at);
        assert_eq!(group.node(at).status(transaction.id()), ended(Committed));
        assert!(super::support::begun(&group.begin_new(at, &RMS, *b"meta")).is_some());
    }
}

#[test]
fn the_answer_to_what_asks_for_no_outcome_is_that_it_is_over() {
    let (mut tm, _) = completed(Committed);
    for what in [What::Finished(Committed), What::Outcome(Committed)] {
        let told = Effect::Send { to: RMS[0], message: say::retired(tx(1)) };
        let input = say::from(RMS[0], Message::about(&transaction(1), what));
        assert_eq!(refuse(&mut tm, input, Refusal::Retired), [told]);
    }
}
