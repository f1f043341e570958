//! Who does not answer is asked last, in all transactions.

use synod::{
    Machine, NodeId, Refusal,
    commit::{Input, Message, Meta, Node, Time, Vote, What},
};

use super::support::{RMS, TIMEOUTS, TMS, node, refuse, say, transaction};

/// A resource manager's node, whose clock runs.
fn started() -> Node {
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm
}

/// Whom the node turns to when the transaction of this number begins there, and its resource has voted to commit.
fn turns_to(rm: &mut Node, seq: u64) -> NodeId {
    rm.step(say::begins(&transaction(seq)));
    let effects = rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
    let begins = |message: &Message| matches!(message, Message::About { what: What::Begin { .. }, .. });
    let to: Vec<_> =
        say::sends(&effects).into_iter().filter(|(_, message)| begins(message)).map(|(to, _)| to).collect();
    let [to] = to[..] else { panic!("{to:?}") };
    to
}

/// Lets the first time-out end.
fn wait(rm: &mut Node) -> Time {
    let due = rm.deadline().unwrap();
    rm.step(Input::Tick(due));
    due
}

#[test]
fn transactions_take_turns_among_the_transaction_managers() {
    let mut rm = started();
    assert_eq!([1, 2, 3, 4].map(|seq| turns_to(&mut rm, seq)), [TMS[0], TMS[1], TMS[0], TMS[1]]);
}

#[test]
fn who_lets_a_whole_wait_pass_without_a_word_is_turned_to_last() {
    let mut rm = started();
    assert_eq!(turns_to(&mut rm, 1), TMS[0]);
    wait(&mut rm);
    assert_eq!([3, 5].map(|seq| turns_to(&mut rm, seq)), [TMS[1]; 2]);
    // A word is enough.
    rm.step(say::from(TMS[0], say::prepare(&transaction(8))));
    assert_eq!(turns_to(&mut rm, 7), TMS[0]);
}

#[test]
fn who_has_said_anything_meanwhile_is_not_suspected() {
    let mut rm = started();
    assert_eq!(turns_to(&mut rm, 1), TMS[0]);
    rm.step(Input::Tick(Time(1)));
    rm.step(say::from(TMS[0], say::prepare(&transaction(8))));
    wait(&mut rm);
    assert_eq!(turns_to(&mut rm, 3), TMS[0]);
}

#[test]
fn a_message_that_is_refused_leaves_no_trace_of_its_sender_either() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    rm.step(Input::Tick(Time(1)));
    let other = Message::about(&transaction(8), What::Prepare { meta: Meta::from(b"other") });
    refuse(&mut rm, say::from(TMS[0], other), Refusal::OtherContent);
}

#[test]
fn who_is_suspected_gets_another_chance_after_the_longest_wait() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    let since = wait(&mut rm).0;
    let mut now = since;
    while now < since + TIMEOUTS.ceiling - 1 {
        now = (since + TIMEOUTS.ceiling - 1).min(rm.deadline().unwrap().0);
        rm.step(Input::Tick(Time(now)));
    }
    let mut sooner = rm.clone();
    assert_eq!(turns_to(&mut sooner, 101), TMS[1]);
    rm.step(Input::Tick(Time(since + TIMEOUTS.ceiling)));
    assert_eq!(turns_to(&mut rm, 103), TMS[0]);
}

#[test]
fn where_all_are_suspected_somebody_is_asked_all_the_same() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    wait(&mut rm);
    turns_to(&mut rm, 2);
    wait(&mut rm);
    wait(&mut rm);
    assert!(TMS.contains(&turns_to(&mut rm, 3)));
}
