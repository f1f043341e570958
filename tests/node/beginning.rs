//! How a transaction begins: at a transaction manager, at a participant, and again.

use synod::{
    Effect, Machine, Refusal,
    commit::{Decision, Input, Message, Node, Outcome, Record, Transaction, Vote, What},
};

use super::{
    addressees, decisions,
    support::{ACCEPTORS, Group, RMS, TMS, asked, cluster, cluster_of, config, node, refuse, say, transaction, tx},
};

#[test]
fn at_a_transaction_manager_all_participants_are_asked_and_nothing_is_written() {
    let mut tm = node(TMS[0]);
    let effects = tm.step(say::begins(&transaction(1)));
    let prepare = say::prepare(&transaction(1));
    assert_eq!(say::sends(&effects), RMS.map(|rm| (rm, &prepare)));
    assert_eq!(effects.len(), RMS.len());
}

#[test]
fn at_a_participant_its_own_vote_comes_first_and_the_begin_rides_with_it() {
    let mut rm = node(RMS[0]);
    let effects = rm.step(say::begins(&transaction(1)));
    assert_eq!(effects, [Effect::Decide(asked(&transaction(1)))]);
    let effects = rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    assert!(matches!(effects[0], Effect::Persist(Record::ResourceManager(_))));
    assert_eq!(addressees(&effects), [&ACCEPTORS[..], &TMS[..1]].concat());

    // The transaction manager asks the others, and not the one that began.
    let mut tm = node(TMS[0]);
    let effects = tm.step(say::from(RMS[0], say::begin(&transaction(1))));
    assert_eq!(addressees(&effects), RMS[1..]);
}

#[test]
fn a_participant_that_votes_its_own_transaction_down_begins_nothing_and_still_ends_it_everywhere() {
    let mut group = Group::apart(cluster());
    group.votes.insert(RMS[0], Vote::Aborted);
    group.begin(RMS[0], &transaction(1));
    group.rest();
    assert!(group.sent.iter().all(|sent| !matches!(sent.message, Message::About { what: What::Begin { .. }, .. })));
    assert_eq!(RMS.map(|rm| group.done(rm, tx(1))), [Some(Outcome::Aborted); 3]);
    assert_eq!(RMS.map(|rm| group.voted(rm, tx(1))), [Some(Vote::Aborted), None, None]);
}

#[test]
fn at_a_node_that_is_both_the_transaction_manager_begins_and_asks_its_own_resource_without_a_packet() {
    let mut both = Node::create(config(&cluster_of(&ACCEPTORS, &RMS[..1]), RMS[0])).0;
    let effects = both.step(say::begins(&transaction(1)));
    assert_eq!(addressees(&effects), RMS[1..]);
    assert_eq!(decisions(&effects), [asked(&transaction(1))]);
}

#[test]
fn at_a_node_that_is_neither_it_is_refused() {
    let two = Transaction::new(tx(1), &RMS[..2], []).unwrap();
    for at in [RMS[2], ACCEPTORS[0]] {
        refuse(&mut node(at), say::begins(&two), Refusal::NotAManager);
    }
}

#[test]
fn a_resource_is_asked_once_however_often_its_node_is() {
    let mut rm = node(RMS[0]);
    let prepare = say::from(TMS[0], say::prepare(&transaction(1)));
    assert_eq!(decisions(&rm.step(prepare.clone())), [asked(&transaction(1))]);
    for input in [prepare, say::from(TMS[1], say::prepare(&transaction(1))), say::begins(&transaction(1))] {
        assert_eq!(rm.step(input), []);
    }
}

#[test]
fn who_has_voted_says_so_again_to_whoever_asks_and_to_all_acceptors() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let effects = rm.step(say::from(TMS[1], say::prepare(&transaction(1))));
    let vote = say::vote(&transaction(1), Vote::Prepared, TMS[1]);
    assert_eq!(say::sends(&effects), ACCEPTORS.map(|acceptor| (acceptor, &vote)));
    assert_eq!(effects.len(), ACCEPTORS.len(), "nothing is written twice");
}

#[test]
fn begun_again_at_a_transaction_manager_those_are_asked_whose_votes_are_missing() {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    for acceptor in &ACCEPTORS[..2] {
        tm.step(say::from(*acceptor, say::bundle(&transaction(1), &RMS[..2], Vote::Prepared)));
    }
    assert_eq!(addressees(&tm.step(say::begins(&transaction(1)))), RMS[2..]);
    for acceptor in &ACCEPTORS[..2] {
        tm.step(say::from(*acceptor, say::bundle(&transaction(1), &RMS[2..], Vote::Prepared)));
    }
    // Now there is an outcome, and it is told again.
    let decided = Decision::Decided { tx: tx(1), outcome: Outcome::Committed };
    assert_eq!(tm.step(say::begins(&transaction(1))), [Effect::Decide(decided)]);
    let effects = tm.step(say::from(RMS[1], say::begin(&transaction(1))));
    assert_eq!(say::sends(&effects), [(RMS[1], &say::outcome(&transaction(1), Outcome::Committed))]);
}

#[test]
fn begun_again_elsewhere_it_comes_to_the_same_outcome() {
    for again in [TMS[1], RMS[0], RMS[1]] {
        let mut group = Group::apart(cluster());
        group.begin(TMS[0], &transaction(1));
        for _ in 0..5 {
            group.answer_all();
            group.deliver();
        }
        group.begin(again, &transaction(1));
        group.rest();
        assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed), "again at {again}");
    }
}

#[test]
fn begun_again_at_a_participant_the_next_transaction_manager_hears_of_it() {
    let mut group = Group::apart(cluster());
    group.crash(TMS[0]);
    group.begin(RMS[0], &transaction(1));
    group.run();
    assert_eq!(group.outcome(tx(1)), None);
    // No time passes.
    group.begin(RMS[0], &transaction(1));
    group.run();
    assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed));
    group.heal();
}
