//! A learner: scenarios, and a twin that remembers everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Effect, Machine, NodeId, Quorums, Refusal,
    paxos::{Input, Learner, Message},
};

use super::*;

fn learner() -> Learner<Value> {
    Learner::new(Quorums::majority(ACCEPTORS).unwrap())
}

#[track_caller]
fn refuses(learner: &mut Learner<Value>, input: Input<Value>, refusal: Refusal) {
    let before = learner.clone();
    assert_eq!(take(learner, input), (Err(refusal), vec![]));
    assert_eq!(*learner, before);
}

#[test]
fn a_quorum_at_one_ballot_decides_once() {
    let mut learner = learner();
    assert_eq!(learner.step(accepted(A, ballot(1, OWNER), 7)), []);
    assert_eq!(learner.chosen(), None);
    assert_eq!(learner.step(accepted(B, ballot(1, OWNER), 7)), [Effect::Decide(7)]);
    assert_eq!(learner.chosen(), Some(&7));
    for again in [accepted(C, ballot(1, OWNER), 7), accepted(A, ballot(2, OWNER), 7)] {
        assert_eq!(take(&mut learner, again), (Ok(()), vec![]), "old news is no wrong");
    }
}

#[test]
fn acceptances_of_different_ballots_are_never_added_up() {
    let mut learner = learner();
    assert_eq!(learner.step(accepted(A, ballot(1, OWNER), 7)), []);
    assert_eq!(learner.step(accepted(B, ballot(2, OWNER), 7)), []);
    assert_eq!(learner.step(accepted(C, ballot(1, PROPOSERS[1]), 7)), []);
    assert_eq!(learner.step(accepted(C, ballot(2, OWNER), 7)), [Effect::Decide(7)]);
}

#[test]
fn one_acceptor_counts_once_however_often_it_says_so() {
    let mut learner = learner();
    for _ in 0..5 {
        assert_eq!(learner.step(accepted(A, ballot(1, OWNER), 7)), []);
    }
    let after_one = learner.clone();
    assert_eq!(learner.step(accepted(A, ballot(1, OWNER), 7)), []);
    assert_eq!(learner, after_one);
}

#[test]
fn only_an_acceptance_by_an_acceptor_is_for_a_learner() {
    let mut learner = learner();
    let at = ballot(1, OWNER);
    refuses(&mut learner, accepted(STRANGER, at, 7), Refusal::NotAnAcceptor);
    let others = [
        Message::Prepare { ballot: at },
        Message::Promise { ballot: at, accepted: Some((ballot(0, OWNER), 7)) },
        Message::Accept { ballot: at, value: 7 },
        Message::Reject { ballot: at, promised: ballot(2, OWNER) },
    ];
    for message in others {
        refuses(&mut learner, receive(A, message), Refusal::NotForThisRole);
    }
    refuses(&mut learner, Input::Propose(7), Refusal::NotForThisRole);
    refuses(&mut learner, Input::Timeout, Refusal::NotForThisRole);
}

#[test]
fn a_second_value_of_one_ballot_is_refused() {
    let mut learner = learner();
    learner.step(accepted(A, ballot(1, OWNER), 7));
    refuses(&mut learner, accepted(B, ballot(1, OWNER), 8), Refusal::SecondValue);
    learner.step(accepted(A, ballot(2, OWNER), 8));
    refuses(&mut learner, accepted(B, ballot(2, OWNER), 7), Refusal::SecondValue);
}

/// Proposers that keep overtaking each other leave one acceptance after the other behind.
#[test]
fn a_learner_stays_small_and_still_learns_the_highest_ballot() {
    let mut learner = learner();
    let mut largest = 0;
    for round in 1..=1000 {
        assert_eq!(learner.step(accepted(A, ballot(round, OWNER), round)), []);
        assert_eq!(learner.step(accepted(B, ballot(round, PROPOSERS[1]), round)), []);
        if round == 10 {
            largest = format!("{learner:?}").len();
        }
    }
    assert!(format!("{learner:?}").len() < 2 * largest);
    assert_eq!(learner.step(accepted(C, ballot(1000, OWNER), 1000)), [Effect::Decide(1000)]);
}

#[test]
fn a_ballot_that_finds_no_room_is_not_counted_and_does_no_harm() {
    let mut learner = learner();
    for round in 10..15 {
        learner.step(accepted(A, ballot(round, OWNER), round));
    }
    let full = learner.clone();
    assert_eq!(learner.step(accepted(B, ballot(9, OWNER), 9)), []);
    assert_eq!(learner, full);
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("failures")))]

    /// With no more ballots than it has room for, a learner knows exactly what one knows that forgets nothing.
    #[test]
    fn a_learner_knows_what_was_accepted_at_one_ballot_by_a_quorum(
        events in prop::collection::vec((0..4usize, 1..=4u64), 0..30),
        accept in 1..=3usize,
    ) {
        let mut learner = Learner::new(Quorums::flexible(ACCEPTORS, 4 - accept, accept).unwrap());
        let mut seen: BTreeMap<u64, BTreeSet<NodeId>> = BTreeMap::new();
        let mut chosen = None;
        for (from, round) in events {
            let from = [A, B, C, STRANGER][from];
            let effects = learner.step(accepted(from, ballot(round, OWNER), 10 * round));
            if from != STRANGER {
                seen.entry(round).or_default().insert(from);
            }
            let decides = chosen.is_none() && seen.get(&round).is_some_and(|nodes| nodes.len() >= accept);
            if decides {
                chosen = Some(10 * round);
            }
            prop_assert_eq!(effects, decides.then_some(Effect::Decide(10 * round)).into_iter().collect::<Vec<_>>());
            prop_assert_eq!(learner.chosen().copied(), chosen);
        }
    }
}
