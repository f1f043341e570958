//! Scenarios of one proposer.

use synod::{
    Effect, Machine, NodeId, Quorums, Refusal, RestoreError,
    paxos::{Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use super::*;

type Effects = Vec<Effect<ProposerRecord<Value>, Message<Value>, Value>>;

const ME: NodeId = PROPOSERS[1];
const OTHER: NodeId = PROPOSERS[2];

/// What starting at a ballot yields: the round is written, then everyone is asked.
fn starts(round: u64, initial: Option<Value>) -> Effects {
    let mut effects = vec![Effect::Persist(ProposerRecord { round, initial })];
    let node = if initial.is_some() { OWNER } else { ME };
    effects.extend(to_all(Message::Prepare { ballot: ballot(round, node) }));
    effects
}

fn proposes(round: u64, value: Value) -> Effects {
    to_all(Message::Accept { ballot: ballot(round, ME), value })
}

/// A proposer that asked for promises in round 1 for value 7.
fn preparing() -> Proposer<Value> {
    let mut proposer = Proposer::new(config(ME));
    assert_eq!(proposer.step(Input::Propose(7)), starts(1, None));
    proposer
}

/// A proposer that has sent value 7 in round 1.
fn accepting() -> Proposer<Value> {
    let mut proposer = preparing();
    assert_eq!(proposer.step(promise(A, ballot(1, ME), None)), []);
    assert_eq!(proposer.step(promise(C, ballot(1, ME), None)), proposes(1, 7));
    proposer
}

/// The input is refused for this reason, and changes nothing.
#[track_caller]
fn refuses(proposer: &mut Proposer<Value>, input: Input<Value>, refusal: Refusal) {
    let before = proposer.clone();
    assert_eq!(take(proposer, input), (Err(refusal), vec![]));
    assert_eq!(*proposer, before);
}

#[test]
fn its_own_value_is_chosen_where_no_other_was_accepted() {
    let mut proposer = accepting();
    assert_eq!(proposer.ballot(), Some(ballot(1, ME)));
    assert_eq!(proposer.step(accepted(B, ballot(1, ME), 7)), []);
    assert_eq!(proposer.step(accepted(A, ballot(1, ME), 7)), [Effect::Decide(7)]);
    assert_eq!((proposer.chosen(), proposer.ballot()), (Some(&7), None));
    for late in [accepted(C, ballot(1, ME), 7), Input::Timeout, Input::Propose(8)] {
        refuses(&mut proposer, late, Refusal::AlreadyDecided);
    }
    assert!(!proposer.is_stalled());
}

#[test]
fn the_value_of_the_highest_accepted_ballot_is_proposed_whichever_promise_comes_first() {
    let told = [(A, Some((ballot(2, OTHER), 22))), (B, Some((ballot(3, OWNER), 31))), (C, None)];
    for order in [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1]] {
        let mut proposer = Proposer::restore(config(ME), ProposerRecord { round: 3, initial: None }).unwrap();
        assert_eq!(proposer.step(Input::Propose(7)), starts(4, None));
        let [one, other] = order.map(|place| told[place]);
        assert_eq!(proposer.step(promise(one.0, ballot(4, ME), one.1)), []);
        let value = if order.contains(&1) { 31 } else { 22 };
        assert_eq!(proposer.step(promise(other.0, ballot(4, ME), other.1)), proposes(4, value));
    }
}

#[test]
fn of_two_accepted_ballots_in_one_round_the_higher_node_wins() {
    let mut proposer = Proposer::restore(config(ME), ProposerRecord { round: 4, initial: None }).unwrap();
    proposer.step(Input::Propose(7));
    assert_eq!(proposer.step(promise(A, ballot(5, ME), Some((ballot(4, OTHER), 43)))), []);
    assert_eq!(proposer.step(promise(B, ballot(5, ME), Some((ballot(4, OWNER), 41)))), proposes(5, 43));
}

#[test]
fn the_owner_starts_at_its_initial_ballot_with_phase_2() {
    let mut owner = Proposer::new(config(OWNER));
    let mut expected = vec![Effect::Persist(ProposerRecord { round: 0, initial: Some(7) })];
    expected.extend(to_all(Message::Accept { ballot: ballot(0, OWNER), value: 7 }));
    assert_eq!(owner.step(Input::Propose(7)), expected);
    refuses(&mut owner, promise(A, ballot(0, OWNER), None), Refusal::PhaseIsOver);
    assert_eq!(owner.step(accepted(A, ballot(0, OWNER), 7)), []);
    assert_eq!(owner.step(accepted(B, ballot(0, OWNER), 7)), [Effect::Decide(7)]);
}

#[test]
fn the_owner_uses_its_initial_ballot_once_ever() {
    let mut owner = Proposer::new(config(OWNER));
    owner.step(Input::Propose(7));
    let record = *owner.record();
    assert_eq!(owner.step(Input::Timeout), starts(1, Some(7)));

    let mut restored = Proposer::restore(config(OWNER), record).unwrap();
    refuses(&mut restored, Input::Propose(8), Refusal::AlreadyProposed);
    assert_eq!(restored.step(Input::Timeout), starts(1, Some(7)), "it goes on with what it proposed");
    restored.step(promise(A, ballot(1, OWNER), None));
    let sends = restored.step(promise(B, ballot(1, OWNER), None));
    assert_eq!(sends, to_all(Message::Accept { ballot: ballot(1, OWNER), value: 7 }));
}

#[test]
fn an_owner_that_used_a_higher_round_does_not_go_back_to_its_initial_ballot() {
    let mut owner = Proposer::restore(config(OWNER), ProposerRecord { round: 2, initial: None }).unwrap();
    let effects = owner.step(Input::Propose(7));
    assert_eq!(effects[0], Effect::Persist(ProposerRecord { round: 3, initial: None }));
    assert_eq!(effects[1..], to_all(Message::Prepare { ballot: ballot(3, OWNER) }));
}

#[test]
fn where_nobody_owns_the_decree_everyone_begins_with_phase_1() {
    for id in PROPOSERS {
        let mut proposer = Proposer::new(config(id).with_owner(None));
        let effects = proposer.step(Input::Propose(7));
        assert_eq!(effects[1..], to_all(Message::Prepare { ballot: ballot(1, id) }));
    }
}

#[test]
fn an_initial_ballot_that_another_used_is_no_record_of_this_proposer() {
    let record = ProposerRecord { round: 0, initial: Some(7) };
    assert_eq!(Proposer::restore(config(ME), record), Err(RestoreError::NotTheOwner));
    let ownerless = config(OWNER).with_owner(None);
    assert_eq!(Proposer::restore(ownerless, record), Err(RestoreError::NotTheOwner));
    assert!(Proposer::restore(config(OWNER), record).is_ok());
}

#[test]
fn a_restored_proposer_never_uses_a_round_of_its_record_again() {
    for round in [0, 1, 5, 1000] {
        let mut proposer = Proposer::restore(config(ME), ProposerRecord { round, initial: None }).unwrap();
        assert_eq!(proposer.record().round, round);
        refuses(&mut proposer, Input::Timeout, Refusal::NothingProposed);
        assert_eq!(proposer.step(Input::Propose(7)), starts(round + 1, None));
    }
}

#[test]
fn an_answer_to_another_ballot_counts_for_nothing() {
    let mut proposer = preparing();
    proposer.step(Input::Timeout);
    let present = ballot(2, ME);
    for other in [ballot(1, ME), ballot(3, ME), ballot(2, OTHER), ballot(0, OWNER)] {
        refuses(&mut proposer, promise(A, other, None), Refusal::OtherBallot);
        refuses(&mut proposer, accepted(A, other, 7), Refusal::OtherBallot);
        refuses(&mut proposer, reject(A, other, ballot(9, OTHER)), Refusal::OtherBallot);
    }
    assert_eq!(proposer.step(promise(B, present, None)), []);
    assert_eq!(proposer.step(promise(A, present, None)), proposes(2, 7), "the stale ones counted for nothing");
}

#[test]
fn a_stranger_has_no_voice() {
    let mut proposer = preparing();
    refuses(&mut proposer, promise(STRANGER, ballot(1, ME), None), Refusal::NotAnAcceptor);
    let mut proposer = accepting();
    refuses(&mut proposer, accepted(STRANGER, ballot(1, ME), 7), Refusal::NotAnAcceptor);
    refuses(&mut proposer, reject(STRANGER, ballot(1, ME), ballot(2, OTHER)), Refusal::NotAnAcceptor);
}

#[test]
fn what_no_correct_acceptor_says_is_refused() {
    let mut proposer = preparing();
    for impossible in [ballot(1, ME), ballot(1, OTHER), ballot(2, OWNER)] {
        refuses(&mut proposer, promise(A, ballot(1, ME), Some((impossible, 5))), Refusal::ImpossiblePromise);
    }
    refuses(&mut proposer, accepted(A, ballot(1, ME), 7), Refusal::NothingProposed);
    for idle in [ballot(1, ME), ballot(1, OWNER), ballot(0, OWNER)] {
        refuses(&mut proposer, reject(A, ballot(1, ME), idle), Refusal::IdleRejection);
    }
    for nobody in [ballot(2, STRANGER), ballot(2, A), ballot(1 << 32, STRANGER)] {
        refuses(&mut proposer, reject(A, ballot(1, ME), nobody), Refusal::NotAProposer);
    }
    let mut proposer = accepting();
    refuses(&mut proposer, accepted(A, ballot(1, ME), 8), Refusal::SecondValue);
    refuses(&mut proposer, promise(B, ballot(1, ME), None), Refusal::PhaseIsOver);
}

#[test]
fn a_promise_that_tells_another_value_of_a_ballot_is_refused_whichever_came_first() {
    for (first, second) in [(7, 8), (8, 7)] {
        let mut proposer = Proposer::restore(config(ME), ProposerRecord { round: 4, initial: None }).unwrap();
        proposer.step(Input::Propose(9));
        let told = |by, value| promise(by, ballot(5, ME), Some((ballot(4, OTHER), value)));
        proposer.step(told(A, first));
        refuses(&mut proposer, told(B, second), Refusal::SecondValue);
        assert_eq!(proposer.step(told(C, first)), proposes(5, first));
    }
}

#[test]
fn requests_are_not_for_a_proposer() {
    let mut proposer = preparing();
    for from in [A, OTHER] {
        let prepare = receive(from, Message::Prepare { ballot: ballot(1, ME) });
        refuses(&mut proposer, prepare, Refusal::NotForThisRole);
        let accept = receive(from, Message::Accept { ballot: ballot(1, ME), value: 7 });
        refuses(&mut proposer, accept, Refusal::NotForThisRole);
    }
}

#[test]
fn a_proposer_with_nothing_to_propose_does_nothing() {
    let mut proposer = Proposer::new(config(ME));
    refuses(&mut proposer, Input::Timeout, Refusal::NothingProposed);
    refuses(&mut proposer, promise(A, ballot(1, ME), None), Refusal::OtherBallot);
    assert_eq!((proposer.ballot(), proposer.chosen()), (None, None));
}

#[test]
fn a_second_proposal_is_refused() {
    refuses(&mut preparing(), Input::Propose(8), Refusal::AlreadyProposed);
    refuses(&mut accepting(), Input::Propose(7), Refusal::AlreadyProposed);
}

#[test]
fn after_a_rejection_the_next_ballot_is_above_all_that_were_seen() {
    for eager in [false, true] {
        let mut proposer = Proposer::new(config(ME).with_eager(eager));
        proposer.step(Input::Propose(7));
        let at_once = proposer.step(reject(A, ballot(1, ME), ballot(5, OTHER)));
        if eager {
            assert_eq!(at_once, starts(6, None));
        } else {
            assert_eq!(at_once, []);
            assert_eq!(proposer.step(reject(B, ballot(1, ME), ballot(3, OWNER))), []);
            assert_eq!(proposer.step(Input::Timeout), starts(6, None));
        }
    }
}

#[test]
fn a_rejection_in_the_same_round_by_a_higher_node_is_overtaken_by_the_next_round() {
    let mut proposer = preparing();
    proposer.step(reject(A, ballot(1, ME), ballot(1, OTHER)));
    assert_eq!(proposer.step(Input::Timeout), starts(2, None));
}

#[test]
fn an_owner_that_was_overtaken_at_its_initial_ballot_goes_on_above() {
    let mut owner = Proposer::new(config(OWNER));
    owner.step(Input::Propose(7));
    owner.step(reject(B, ballot(0, OWNER), ballot(4, OTHER)));
    assert_eq!(owner.step(Input::Timeout), starts(5, Some(7)));
}

#[test]
fn with_some_rejections_a_quorum_still_decides() {
    let mut proposer = preparing();
    assert_eq!(proposer.step(reject(A, ballot(1, ME), ballot(2, OTHER))), []);
    proposer.step(promise(B, ballot(1, ME), None));
    assert_eq!(proposer.step(promise(C, ballot(1, ME), None)), proposes(1, 7));
    proposer.step(reject(A, ballot(1, ME), ballot(2, OTHER)));
    proposer.step(accepted(B, ballot(1, ME), 7));
    assert_eq!(proposer.step(accepted(C, ballot(1, ME), 7)), [Effect::Decide(7)]);
}

#[test]
fn when_the_rounds_are_used_up_it_is_stalled_and_nothing_wraps() {
    let last = ProposerRecord { round: u64::MAX, initial: None };
    let mut proposer = Proposer::restore(config(ME), last).unwrap();
    assert!(proposer.is_stalled());
    refuses(&mut proposer, Input::Propose(7), Refusal::RoundsUsedUp);

    let before_last = ProposerRecord { round: u64::MAX - 1, initial: None };
    let mut proposer = Proposer::restore(config(ME), before_last).unwrap();
    assert!(!proposer.is_stalled());
    assert_eq!(proposer.step(Input::Propose(7)), starts(u64::MAX, None));
    refuses(&mut proposer, Input::Timeout, Refusal::RoundsUsedUp);
    proposer.step(promise(A, ballot(u64::MAX, ME), None));
    assert_eq!(proposer.step(promise(B, ballot(u64::MAX, ME), None)), proposes(u64::MAX, 7), "the last round counts");
}

#[test]
fn a_rejection_by_the_last_round_stalls_and_does_not_wrap() {
    for eager in [false, true] {
        let near = ProposerRecord { round: u64::MAX - 2, initial: None };
        let mut proposer = Proposer::restore(config(ME).with_eager(eager), near).unwrap();
        proposer.step(Input::Propose(7));
        let mine = ballot(u64::MAX - 1, ME);
        assert_eq!(proposer.step(reject(A, mine, ballot(u64::MAX, OTHER))), []);
        assert!(proposer.is_stalled());
        refuses(&mut proposer, Input::Timeout, Refusal::RoundsUsedUp);
        assert_eq!(proposer.record().round, mine.round);
    }
}

#[test]
fn a_rejection_by_a_round_that_nobody_can_have_reached_does_not_use_up_the_rounds() {
    let mut proposer = Proposer::new(config(ME).with_eager(true));
    proposer.step(Input::Propose(7));
    let farthest = 1 + (1 << 32);
    for far in [farthest + 1, u64::MAX - 1, u64::MAX] {
        refuses(&mut proposer, reject(A, ballot(1, ME), ballot(far, OTHER)), Refusal::FarBallot);
    }
    assert_eq!(proposer.step(reject(A, ballot(1, ME), ballot(farthest, OTHER))), starts(farthest + 1, None));
}

#[test]
fn phases_have_quorums_of_their_own() {
    let acceptors = Quorums::flexible(ACCEPTORS, 3, 1).unwrap();
    let mut proposer = Proposer::new(ProposerConfig::new(ME, acceptors, PROPOSERS));
    proposer.step(Input::Propose(7));
    assert_eq!(proposer.step(promise(A, ballot(1, ME), None)), []);
    assert_eq!(proposer.step(promise(B, ballot(1, ME), None)), []);
    assert_eq!(proposer.step(promise(C, ballot(1, ME), None)), proposes(1, 7));
    assert_eq!(proposer.step(accepted(C, ballot(1, ME), 7)), [Effect::Decide(7)]);
}
