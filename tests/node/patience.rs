//! How long a transaction manager waits for votes, if it is told, and who waits with it.

use synod::{
    Machine, NodeId, Refusal,
    commit::{Effect, Input, Message, Node, Outcome, Time, Vote, What},
};

use super::{
    prepared,
    support::{ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, node, refuse, say, transaction, tx},
};

const LONG: u64 = 50 * TIMEOUTS.inquire;

fn patient(patience: u64) -> (Node, Vec<Effect>) {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(1_000)));
    tm.step(say::begins(&transaction(1)));
    let effects = tm.step(Input::Patience { tx: tx(1), patience });
    (tm, effects)
}

/// Who is told in these effects that it is waited for votes.
fn told_to_wait(effects: &[Effect]) -> Vec<NodeId> {
    let wait =
        |(to, message): (NodeId, &Message)| matches!(message, Message::About { what: What::Wait, .. }).then_some(to);
    say::sends(effects).into_iter().filter_map(wait).collect()
}

/// Lets the next wait end, and says who is asked for the outcome.
fn asks(node: &mut Node) -> Vec<NodeId> {
    let due = node.deadline().unwrap();
    let effects = node.step(Input::Tick(due));
    let inquiry = say::inquire(&transaction(1));
    say::sends(&effects).into_iter().filter(|(_, message)| **message == inquiry).map(|(to, _)| to).collect()
}

fn recovers(effects: &[Effect]) -> bool {
    say::sends(effects).iter().any(|(_, message)| matches!(message, Message::About { what: What::Phase1a { .. }, .. }))
}

fn wait() -> Message {
    Message::about(&transaction(1), What::Wait)
}

#[test]
fn a_short_patience_ends_sooner_than_the_usual_wait_and_nobody_else_is_told() {
    let (mut tm, effects) = patient(30);
    assert_eq!(effects, []);
    assert_eq!(tm.deadline(), Some(Time(1_030)));
    assert!(recovers(&tm.step(Input::Tick(Time(1_030)))));
}

#[test]
fn the_participants_are_told_of_a_patience_that_outlasts_the_usual_wait_and_of_no_other() {
    assert_eq!(told_to_wait(&patient(TIMEOUTS.recover).1), []);
    assert_eq!(told_to_wait(&patient(TIMEOUTS.recover + 1).1), RMS);
}

#[test]
fn patience_counts_from_the_beginning() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(1_000)));
    tm.step(say::begins(&transaction(1)));
    tm.step(Input::Tick(Time(1_020)));
    tm.step(Input::Patience { tx: tx(1), patience: 30 });
    assert_eq!(tm.deadline(), Some(Time(1_030)));
    tm.step(Input::Patience { tx: tx(1), patience: 10 });
    assert!(recovers(&tm.step(Input::Tick(Time(1_020)))), "it is over already");
}

#[test]
fn a_long_patience_lasts_and_the_participants_are_told() {
    let (mut tm, effects) = patient(LONG);
    assert_eq!(told_to_wait(&effects), RMS);
    assert_eq!(tm.deadline(), Some(Time(1_000 + LONG)));
    assert!(recovers(&tm.step(Input::Tick(Time(1_000 + LONG)))));
}

#[test]
fn while_it_waits_no_inquiry_makes_it_recover() {
    let (mut tm, _) = patient(LONG);
    tm.step(Input::Tick(Time(1_000 + LONG / 2)));
    for from in [RMS[0], ACCEPTORS[0]] {
        let effects = tm.step(say::from(from, say::inquire(&transaction(1))));
        assert_eq!((told_to_wait(&effects), recovers(&effects)), (vec![from], false));
    }
    // Its outcome ends the wait.
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    assert_eq!(told_to_wait(&tm.step(say::from(RMS[0], say::inquire(&transaction(1))))), []);
}

#[test]
fn who_is_prepared_asks_the_one_that_is_at_work_for_as_long_as_it_answers() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    for _ in 0..5 {
        rm.step_into(say::from(TMS[0], wait()), &mut Vec::new()).unwrap();
        let before = rm.deadline().unwrap().0;
        assert_eq!(asks(&mut rm), [TMS[0]]);
        assert!(rm.deadline().unwrap().0 - before <= 3 * TIMEOUTS.inquire, "and hardly less often than usual");
    }
    // It may be told before it has voted.
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[1], say::prepare(&transaction(1))));
    rm.step(say::from(TMS[1], wait()));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    assert_eq!(asks(&mut rm), [TMS[1]]);
}

#[test]
fn who_waits_for_a_patient_transaction_manager_that_dies_turns_to_another_in_the_usual_time() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[0], wait()));
    assert_eq!([asks(&mut rm), asks(&mut rm)], [[TMS[0]], [TMS[1]]]);
    assert!(rm.deadline().unwrap().0 < 12 * TIMEOUTS.inquire);
}

#[test]
fn a_patient_transaction_manager_is_not_taken_for_dead() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[0], wait()));
    asks(&mut rm);
    // The next transaction whose turn it is turns to the same one.
    rm.step(say::begins(&transaction(3)));
    let effects = rm.step(Input::Vote { transaction: transaction(3), vote: Vote::Prepared });
    let begun = say::begin(&transaction(3));
    assert!(say::sends(&effects).into_iter().any(|(to, message)| to == TMS[0] && *message == begun));
}

#[test]
fn an_acceptor_asks_the_one_that_is_at_work_for_as_long_as_it_answers() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    assert_eq!(asks(&mut acceptor), [], "first, it writes what it has");
    for _ in 0..3 {
        assert_eq!(asks(&mut acceptor), [TMS[0]]);
        acceptor.step_into(say::from(TMS[0], wait()), &mut Vec::new()).unwrap();
    }
    assert_eq!([asks(&mut acceptor), asks(&mut acceptor)], [[TMS[0]], [TMS[1]]]);
}

#[test]
fn patience_is_for_what_a_transaction_manager_waits_for_and_only_they_ask_to_wait() {
    let mut rm = prepared(RMS[0]);
    refuse(&mut rm, Input::Patience { tx: tx(1), patience: 1 }, Refusal::NotAManager);
    refuse(&mut rm, Input::Patience { tx: tx(2), patience: 1 }, Refusal::UnknownTransaction);
    refuse(&mut rm, say::from(STRANGER, wait()), Refusal::NotAManager);
    let (mut tm, _) = patient(LONG);
    refuse(&mut tm, say::from(TMS[1], wait()), Refusal::UnknownTransaction);
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    refuse(&mut tm, Input::Patience { tx: tx(1), patience: 1 }, Refusal::AlreadyDecided);
}
