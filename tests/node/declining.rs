//! A resource that cannot prepare, and whose votes are durable in itself: its node says so, and it is no vote.

use synod::{
    Effect, Machine, Refusal,
    commit::{Decision, Input, Message, Meta, Node, Outcome, Record, Time, Vote, What},
};

use super::{
    addressees, decisions,
    elsewhere::{asked, found, votes},
    support::{ACCEPTORS, RMS, STRANGER, TMS, aborts, commits, node, refuse, say, transaction, tx},
};

fn decline() -> Message {
    Message::about(&transaction(1), What::Decline)
}

/// Lets the next time-out end.
fn wait(node: &mut Node) -> Vec<synod::commit::Effect> {
    let due = node.deadline().unwrap();
    node.step(Input::Tick(due))
}

fn declined() -> Node {
    let mut rm = asked();
    rm.step(Input::Tick(Time(0)));
    let effects = rm.step(votes(Vote::Aborted));
    assert_eq!(effects, [Effect::Send { to: TMS[0], message: decline() }], "it writes nothing, and votes for nothing");
    rm
}

#[test]
fn a_resource_whose_votes_are_durable_elsewhere_never_votes_to_abort_at_its_initial_ballot() {
    let mut rm = declined();
    // Whoever asks again hears the same.
    let again = rm.step(say::from(TMS[1], say::prepare(&transaction(1))));
    assert_eq!(again, [Effect::Send { to: TMS[1], message: decline() }]);
    assert!(!rm.awaits_vote(tx(1)));
    refuse(&mut rm, votes(Vote::Aborted), Refusal::AlreadyVoted);
}

#[test]
fn it_says_so_again_to_one_manager_after_the_other_ever_less_often_until_it_hears_the_outcome() {
    let mut rm = declined();
    let (mut last, mut waits) = (rm.deadline().unwrap(), Vec::new());
    for manager in [TMS[1], TMS[0], TMS[1], TMS[0]] {
        assert_eq!(wait(&mut rm), [Effect::Send { to: manager, message: decline() }]);
        let due = rm.deadline().unwrap();
        waits.push(due.0 - last.0);
        last = due;
    }
    assert!(waits.is_sorted() && waits[3] > 3 * waits[0], "{waits:?}");
    let effects = rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Aborted)));
    assert_eq!(effects, [Effect::Decide(aborts(&transaction(1)))]);
    let effects = rm.step(Input::Finished(tx(1)));
    let [Effect::Persist(Record::ResourceManager(record)), Effect::Send { .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((record.vote, record.finished), (None, Some(Outcome::Aborted)));
}

#[test]
fn a_resource_that_declined_may_find_that_it_did_prepare_and_is_believed() {
    for late in [votes(Vote::Prepared), found()] {
        let effects = declined().step(late);
        assert_eq!(addressees(&effects), ACCEPTORS);
        assert_eq!(effects[0], asked().step(votes(Vote::Prepared))[0]);
    }
    // A vote of an earlier life may have been chosen, too.
    let mut rm = declined();
    let effects = rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    assert_eq!(decisions(&effects), [commits(&transaction(1))]);
}

#[test]
fn an_operator_who_inquires_turns_to_the_next_manager_at_once() {
    assert_eq!(declined().step(Input::Inquire(tx(1))), [Effect::Send { to: TMS[1], message: decline() }]);
}

#[test]
fn a_manager_recovers_at_once_what_is_declined_whether_it_has_heard_of_it_or_not() {
    let recovers = |tm: &mut Node| {
        let effects = tm.step(say::from(RMS[0], decline()));
        assert!(matches!(effects[0], Effect::Persist(Record::Rounds { .. })));
        assert_eq!(addressees(&effects), ACCEPTORS);
        for (_, message) in say::sends(&effects) {
            assert!(
                matches!(message, Message::About { what: What::Phase1a { instances, .. }, .. } if instances.len() == 3)
            );
        }
    };
    recovers(&mut node(TMS[0]));
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    recovers(&mut tm);
    assert_eq!(tm.step(say::from(RMS[0], decline())), [], "the ballot under way is not disturbed");
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    let told = Effect::Send { to: RMS[0], message: say::outcome(&transaction(1), Outcome::Aborted) };
    assert_eq!(tm.step(say::from(RMS[0], decline())), [told]);
}

#[test]
fn only_participants_decline_and_only_to_managers() {
    refuse(&mut node(TMS[0]), say::from(STRANGER, decline()), Refusal::NotAParticipant);
    refuse(&mut node(ACCEPTORS[0]), say::from(RMS[0], decline()), Refusal::NotAManager);
}

#[test]
fn a_vote_that_was_forgotten_is_in_no_snapshot_until_its_commit_is_carried_out() {
    let config = asked().config().clone();
    let mut rm = Node::create(config.clone()).0;
    let effects = rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    let commit = Decision::Commit { transaction: transaction(1), meta: Meta::default() };
    assert_eq!(decisions(&effects), [commit]);
    let of_vote = |node: &Node| node.snapshot().iter().any(|record| matches!(record, Record::ResourceManager(_)));
    assert!(!of_vote(&rm) && Node::restore(config.clone(), rm.snapshot()).is_ok());
    rm.step(Input::Finished(tx(1)));
    assert!(of_vote(&rm) && Node::restore(config, rm.snapshot()).is_ok());
}
