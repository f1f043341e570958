//! How long a transaction manager waits for votes, if it is told, and whom it asks to wait with it.

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

/// Whom these effects ask to wait, and how long.
fn waits(effects: &[Effect]) -> Vec<(NodeId, u64)> {
    let wait = |(to, message): (NodeId, &Message)| match message {
        Message::About { what: What::Wait { left }, .. } => Some((to, *left)),
        _ => None,
    };
    say::sends(effects).into_iter().filter_map(wait).collect()
}

fn recovers(effects: &[Effect]) -> bool {
    say::sends(effects).iter().any(|(_, message)| matches!(message, Message::About { what: What::Phase1a { .. }, .. }))
}

fn asked_to_wait(left: u64) -> Input {
    say::from(TMS[0], Message::about(&transaction(1), What::Wait { left }))
}

#[test]
fn a_short_patience_ends_sooner_than_the_usual_wait_and_nobody_else_is_told() {
    let (mut tm, effects) = patient(30);
    assert_eq!(effects, []);
    assert_eq!(tm.deadline(), Some(Time(1_030)));
    assert!(recovers(&tm.step(Input::Tick(Time(1_030)))));
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
fn a_long_patience_lasts_and_the_participants_are_asked_to_wait() {
    let (mut tm, effects) = patient(LONG);
    assert_eq!(waits(&effects), RMS.map(|rm| (rm, LONG)));
    assert_eq!(tm.deadline(), Some(Time(1_000 + LONG)));
    assert!(recovers(&tm.step(Input::Tick(Time(1_000 + LONG)))));
}

#[test]
fn while_it_waits_no_inquiry_makes_it_recover() {
    let (mut tm, _) = patient(LONG);
    tm.step(Input::Tick(Time(1_000 + LONG / 2)));
    for from in [RMS[0], ACCEPTORS[0]] {
        let effects = tm.step(say::from(from, say::inquire(&transaction(1))));
        assert_eq!((waits(&effects), recovers(&effects)), (vec![(from, LONG - LONG / 2)], false));
    }
    // Its outcome ends the wait.
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    assert_eq!(waits(&tm.step(say::from(RMS[0], say::inquire(&transaction(1))))), []);
}

#[test]
fn who_is_prepared_and_asked_to_wait_asks_nobody_before_that_is_over() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(asked_to_wait(LONG));
    assert_eq!(rm.deadline(), Some(Time(LONG)));
    assert_ne!(rm.step(Input::Tick(Time(LONG))), []);
    // It may be asked before it has voted.
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(asked_to_wait(LONG));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    assert_eq!(rm.deadline(), Some(Time(LONG)));
}

#[test]
fn an_acceptor_that_is_asked_to_wait_asks_the_same_transaction_manager_again() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let due = acceptor.deadline().unwrap();
        let effects = acceptor.step(Input::Tick(due));
        let inquiry = say::inquire(&transaction(1));
        let to = say::sends(&effects).into_iter().find(|(_, message)| **message == inquiry).map(|(to, _)| to);
        if let Some(to) = to {
            asked.push(to);
            acceptor.step(asked_to_wait(LONG));
            assert_eq!(acceptor.deadline(), Some(Time(due.0 + LONG)));
        }
    }
    assert_eq!(asked, [TMS[0]; 2]);
}

#[test]
fn patience_is_for_what_a_transaction_manager_waits_for_and_only_they_ask_to_wait() {
    let mut rm = prepared(RMS[0]);
    refuse(&mut rm, Input::Patience { tx: tx(1), patience: 1 }, Refusal::NotAManager);
    refuse(&mut rm, Input::Patience { tx: tx(2), patience: 1 }, Refusal::UnknownTransaction);
    let wait = Message::about(&transaction(1), What::Wait { left: 1 });
    refuse(&mut rm, say::from(STRANGER, wait.clone()), Refusal::NotAManager);
    let (mut tm, _) = patient(LONG);
    refuse(&mut tm, say::from(TMS[1], wait), Refusal::UnknownTransaction);
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    refuse(&mut tm, Input::Patience { tx: tx(1), patience: 1 }, Refusal::AlreadyDecided);
}
