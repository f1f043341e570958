//! What a participant says of its end is true of that participant, and proves nothing about the others.

use synod::{
    Effect, Machine, Refusal,
    commit::{Decision, Input, Node, Outcome, Status, Time, Vote, What},
};

use super::{
    addressees, decisions, prepared,
    support::{self, ACCEPTORS, RMS, STRANGER, TMS, node, say, transaction, tx},
};

use Outcome::{Aborted, Committed};

fn begun() -> Node {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm
}

fn decided(outcome: Outcome) -> Decision {
    Decision::Decided { tx: tx(1), outcome }
}

fn completed(outcome: Outcome) -> Decision {
    Decision::Completed { tx: tx(1), outcome }
}

/// Whether `effects` ask all acceptors in a ballot of the node's own, and do nothing else to others.
fn ask_the_acceptors(effects: &[synod::commit::Effect]) -> bool {
    let asks = |what: &What| matches!(what, What::Phase1a { .. });
    let sends = say::sends(effects);
    addressees(effects) == ACCEPTORS
        && sends.iter().all(|(_, message)| matches!(message, synod::commit::Message::About { what, .. } if asks(what)))
}

#[test]
fn one_participants_false_word_does_not_split_the_others() {
    for lie in [say::finished(&transaction(1), Committed), say::retired(tx(1))] {
        let mut tm = begun();
        let mut rms = [prepared(RMS[0]), node(RMS[1])];
        rms[1].step(say::from(TMS[0], say::prepare(&transaction(1))));
        let aborts = rms[1].step(Input::Vote { transaction: transaction(1), vote: Vote::Aborted });
        assert!(decisions(&aborts).contains(&support::aborts(&transaction(1))));
        let said = tm.step(say::from(RMS[2], lie));
        let told = say::sends(&said).into_iter().filter(|(to, _)| RMS.contains(to)).count();
        assert_eq!((decisions(&said), told), (vec![], 0));
        assert!(rms[0].promised().len() == 1);
    }
}

#[test]
fn a_transaction_manager_that_waits_for_votes_takes_no_outcome_from_one_participant() {
    let mut tm = begun();
    assert_eq!(tm.step(say::from(RMS[0], say::finished(&transaction(1), Committed))), []);
    assert_eq!(tm.status(tx(1)), Status::Open { state: None, outcome: None });
    assert_eq!(
        tm.step(say::from(RMS[1], say::retired(tx(1)))).len(),
        1 + ACCEPTORS.len(),
        "one says nothing of the outcome"
    );
}

#[test]
fn what_all_participants_have_finished_is_the_outcome() {
    for outcome in [Committed, Aborted] {
        let mut tm = begun();
        for rm in &RMS[..2] {
            assert_eq!(tm.step(say::from(*rm, say::finished(&transaction(1), outcome))), []);
        }
        let effects = tm.step(say::from(RMS[2], say::finished(&transaction(1), outcome)));
        assert_eq!(decisions(&effects), [decided(outcome), completed(outcome)]);
        assert!(tm.status(tx(1)).is_retired());
    }
}

#[test]
fn a_transaction_manager_that_knows_nothing_asks_the_acceptors_as_soon_as_it_is_told_of_an_end() {
    for said in [say::finished(&transaction(1), Aborted), say::finished(&transaction(1), Committed)] {
        let mut tm = node(TMS[1]);
        let effects = tm.step(say::from(RMS[2], said.clone()));
        assert!(ask_the_acceptors(&effects), "{effects:?}");
        // Once: what else it is told is no reason to try another ballot.
        assert_eq!(tm.step(say::from(RMS[2], said.clone())), []);
        assert_eq!(tm.metrics().recoveries, 1);
    }
}

#[test]
fn participants_that_contradict_each_other_have_the_acceptors_asked_once() {
    let mut tm = begun();
    assert_eq!(tm.step(say::from(RMS[0], say::finished(&transaction(1), Committed))), []);
    assert!(ask_the_acceptors(&tm.step(say::from(RMS[1], say::finished(&transaction(1), Aborted)))));
    // Who contradicts itself is not believed a second time.
    for outcome in [Committed, Aborted, Committed] {
        assert_eq!(tm.step(say::from(RMS[1], say::finished(&transaction(1), outcome))), []);
    }
    assert_eq!(tm.metrics().recoveries, 1);
    assert_eq!(tm.metrics().refused(Refusal::ContradictoryOutcome), 2);
}

#[test]
fn who_has_finished_otherwise_is_done_all_the_same_and_is_counted_as_a_violation() {
    let mut tm = begun();
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    assert_eq!(tm.step(say::from(RMS[0], say::finished(&transaction(1), Aborted))), []);
    assert_eq!(tm.metrics().violations(), 1);
    // It is not told any more.
    tm.step(Input::Tick(Time(0)));
    assert_eq!(addressees(&tm.step(Input::Tick(tm.deadline().unwrap()))), RMS[1..]);
    tm.step(say::from(RMS[1], say::finished(&transaction(1), Committed)));
    let effects = tm.step(say::from(RMS[2], say::finished(&transaction(1), Committed)));
    assert_eq!(decisions(&effects), [completed(Committed)]);
}

#[test]
fn a_participant_to_which_the_transaction_is_over_is_done_and_ends_nothing_for_others() {
    let mut tm = begun();
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    for rm in &RMS[..2] {
        assert_eq!(tm.step(say::from(*rm, say::retired(tx(1)))), []);
    }
    assert_eq!(tm.metrics().violations(), 0);
    let effects = tm.step(say::from(RMS[2], say::retired(tx(1))));
    assert_eq!(decisions(&effects), [completed(Committed)]);
    // An acceptor has nobody's word but that of transaction managers and acceptors.
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    assert_eq!(acceptor.step(say::from(RMS[0], say::retired(tx(1)))), []);
    assert_eq!(acceptor.open_transactions(), [tx(1)]);
}

#[test]
fn what_is_over_to_an_acceptor_or_a_transaction_manager_is_over() {
    for from in [ACCEPTORS[0], TMS[1]] {
        let mut tm = begun();
        let effects = tm.step(say::from(from, say::retired(tx(1))));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Persist(_))));
        assert!(tm.status(tx(1)).is_retired());
    }
}

#[test]
fn a_stranger_ends_nothing() {
    let mut tm = begun();
    assert_eq!(tm.step(say::from(STRANGER, say::retired(tx(1)))), []);
    assert_eq!(tm.open_transactions(), [tx(1)]);
    assert_eq!(tm.metrics().refused(Refusal::NotAParticipant), 1);
}
