//! One test for each fault of the Go package `tcommit`, and of its transaction managers, that this library grew out of.

mod support;

use support::{
    ACCEPTORS, Group, RMS, STRANGER, TMS, cluster, cluster_of, commits, node, refuse, say, spec, transaction, tx,
};
use synod::{
    Ballot, Effect, Machine, NodeId, Refusal,
    codec::{DecodeError, decode_frame, encode_frame},
    commit::{
        Decision, Input, Learning, Message, Node, Outcome, Record, Status, Time, Transaction, TransactionError,
        TransactionSpec, Vote, Votes, What,
    },
    paxos,
};

use Vote::{Aborted, Prepared};

/// A transaction manager that has been asked to commit the transaction, and has asked for votes.
fn manager() -> Node {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm
}

/// A begin failed when any one of its acceptors did.
#[test]
fn a_minority_of_dead_acceptors_delays_nothing() {
    for learning in [Learning::Leader, Learning::Everyone] {
        for dead in ACCEPTORS {
            let mut group = Group::apart(spec().with_learning(learning).build().unwrap());
            group.crash(dead);
            group.begin(TMS[0], &transaction(1));
            // No time passes: nobody waited for a time-out.
            group.run();
            assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed), "without {dead}");
            group.heal();
        }
    }
}

/// The votes that had come were taken for the votes of all, so that the first `Prepared` committed.
#[test]
fn the_votes_of_some_do_not_commit() {
    for some in [&RMS[..1], &RMS[1..2], &RMS[2..], &RMS[..2], &RMS[1..]] {
        let mut tm = manager();
        for acceptor in ACCEPTORS {
            assert_eq!(tm.step(say::from(acceptor, say::bundle(&transaction(1), some, Prepared))), [], "{some:?}");
        }
        for acceptor in &ACCEPTORS[..2] {
            tm.step(say::from(*acceptor, say::bundle(&transaction(1), &RMS, Prepared)));
        }
        let committed = Status::Open { state: None, outcome: Some(Outcome::Committed) };
        assert_eq!(tm.status(tx(1)), committed, "when the other votes are there as well");
    }
}

#[test]
fn an_acceptor_waits_for_all_votes_and_says_of_no_more_than_it_has() {
    let mut acceptor = node(ACCEPTORS[0]);
    for rm in &RMS[..2] {
        let effects = acceptor.step(say::from(*rm, say::vote(&transaction(1), Prepared, TMS[0])));
        assert_eq!(effects, []);
    }
    let mut impatient = acceptor.clone();
    let effects = acceptor.step(say::from(RMS[2], say::vote(&transaction(1), Prepared, TMS[0])));
    assert_eq!(say::sends(&effects), [(TMS[0], &say::bundle(&transaction(1), &RMS, Prepared))]);

    impatient.step(Input::Tick(Time(0)));
    let effects = impatient.step(Input::Tick(impatient.deadline().unwrap()));
    assert_eq!(say::sends(&effects), [(TMS[0], &say::bundle(&transaction(1), &RMS[..2], Prepared))]);
}

/// No votes at all committed.
#[test]
fn a_transaction_of_nobody_does_not_exist_and_no_votes_settle_nothing() {
    assert_eq!(Transaction::new(tx(1), [] as [NodeId; 0], []), Err(TransactionError::NoParticipants));
    let spec = TransactionSpec { id: tx(1), epoch: 0, participants: Vec::new(), content: 0 };
    assert_eq!(Transaction::try_from(spec), Err(TransactionError::NoParticipants));
    assert_eq!(Outcome::of([]), None);
    assert_eq!(Outcome::of([None, None]), None);
    assert_eq!(Outcome::of([Some(Prepared), None]), None);
    assert_eq!(Outcome::of([Some(Prepared), Some(Prepared)]), Some(Outcome::Committed));
    assert_eq!(Outcome::of([None, Some(Aborted)]), Some(Outcome::Aborted));

    let mut tm = manager();
    let empty = Message::about(&transaction(1), What::Phase2b { votes: Votes::default(), higher: Box::default() });
    for acceptor in ACCEPTORS {
        assert_eq!(refuse(&mut tm, say::from(acceptor, empty.clone()), Refusal::MalformedBundle), []);
    }
}

/// An abort could follow a commit.
#[test]
fn nothing_that_comes_after_a_commit_aborts_it() {
    let mut tm = manager();
    for acceptor in &ACCEPTORS[..2] {
        tm.step(say::from(*acceptor, say::bundle(&transaction(1), &RMS, Prepared)));
    }
    let ballot = Ballot::new(9, TMS[1]);
    let late = say::paxos(&transaction(1), &RMS, paxos::Message::Accepted { ballot, value: Aborted });
    for (from, message) in [
        (ACCEPTORS[0], late.clone()),
        (ACCEPTORS[1], late),
        (ACCEPTORS[2], say::bundle(&transaction(1), &RMS, Aborted)),
        (RMS[0], say::finished(&transaction(1), Outcome::Aborted)),
        (TMS[1], say::outcome(&transaction(1), Outcome::Aborted)),
    ] {
        assert_eq!(tm.step(say::from(from, message.clone())), [], "{message:?}");
    }
    // Whoever asks is still told the same.
    let effects = tm.step(say::from(RMS[0], say::inquire(&transaction(1))));
    assert_eq!(say::sends(&effects), [(RMS[0], &say::outcome(&transaction(1), Outcome::Committed))]);

    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Prepared });
    let effects = rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    assert_eq!(effects, [Effect::Decide(commits(&transaction(1)))]);
    for _ in 0..2 {
        let abort = say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted));
        assert_eq!(refuse(&mut rm, abort, Refusal::ContradictoryOutcome), []);
        rm.step(Input::Finished(tx(1)));
    }
}

/// Whoever voted was counted.
#[test]
fn nobody_votes_but_participants_and_each_for_itself() {
    let mut acceptor = node(ACCEPTORS[0]);
    let two = Transaction::new(tx(1), &RMS[..2], []).unwrap();
    for unknown in [RMS[2], STRANGER, TMS[0], ACCEPTORS[1]] {
        let input = say::from(unknown, say::vote(&two, Prepared, TMS[0]));
        assert_eq!(refuse(&mut acceptor, input, Refusal::NotAParticipant), []);
    }
    assert_eq!(acceptor.open_transactions(), []);
    // Nor can one vote in the name of the other.
    acceptor.step(say::from(RMS[0], say::vote(&two, Prepared, TMS[0])));
    let accept = paxos::Message::Accept { ballot: Ballot::initial(RMS[1]), value: Prepared };
    for liar in [RMS[0], RMS[1], TMS[0]] {
        assert_eq!(acceptor.step(say::from(liar, say::paxos(&two, &[RMS[1]], accept))), []);
    }
}

#[test]
fn nobody_accepts_but_acceptors() {
    let mut tm = manager();
    tm.step(say::from(ACCEPTORS[0], say::bundle(&transaction(1), &RMS, Prepared)));
    for unknown in [RMS[0], RMS[1], TMS[1], STRANGER] {
        let input = say::from(unknown, say::bundle(&transaction(1), &RMS, Prepared));
        assert_eq!(refuse(&mut tm, input, Refusal::NotAnAcceptor), []);
    }
    let unheard = say::from(ACCEPTORS[1], say::bundle(&transaction(1), &[RMS[0], STRANGER], Prepared));
    assert_eq!(refuse(&mut tm, unheard, Refusal::MalformedBundle), []);
}

/// What came twice was counted twice.
#[test]
fn what_comes_twice_counts_once() {
    let mut tm = manager();
    for _ in 0..3 {
        assert_eq!(tm.step(say::from(ACCEPTORS[0], say::bundle(&transaction(1), &RMS, Prepared))), []);
    }
    let mut acceptor = node(ACCEPTORS[0]);
    for _ in 0..3 {
        assert_eq!(acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Prepared, TMS[0]))), []);
    }
    tm.step(say::from(ACCEPTORS[1], say::bundle(&transaction(1), &RMS, Prepared)));
    for _ in 0..3 {
        assert_eq!(tm.step(say::from(RMS[0], say::finished(&transaction(1), Outcome::Committed))), []);
    }
}

/// A vote was read as 32 bits and used as 8, so that 257 was `Prepared`.
#[test]
fn a_vote_has_two_values_and_no_other_number_reads_as_one() {
    let two = Transaction::new(tx(1), &RMS[..2], []).unwrap();
    let frame = |vote| encode_frame(support::CLUSTER, RMS[0], ACCEPTORS[0], &[say::vote(&two, vote, TMS[0])]);
    let decode = |bytes: &[u8]| decode_frame(bytes, support::CLUSTER, ACCEPTORS[0]);
    let (prepared, aborted) = (frame(Prepared), frame(Aborted));
    let place = (0..prepared.len()).find(|place| prepared[*place] != aborted[*place]).unwrap();
    for tag in 0..=u8::MAX {
        let bytes = [&prepared[..place], &[tag], &prepared[place + 1..]].concat();
        match decode(&bytes) {
            Ok(frame) if tag == prepared[place] => assert_eq!(frame.messages, [say::vote(&two, Prepared, TMS[0])]),
            Ok(frame) if tag == aborted[place] => assert_eq!(frame.messages, [say::vote(&two, Aborted, TMS[0])]),
            other => assert_eq!(other, Err(DecodeError::UnknownTag { kind: "vote", tag })),
        }
    }
    // 257, in either order of bytes, as 2 bytes or as 4, with and without the mark of a longer number.
    for wide in [&[1, 1][..], &[0xfb, 1, 1], &[0xfc, 1, 1, 0, 0], &[0, 0, 1, 1], &[1, 1, 0, 0]] {
        let bytes = [&prepared[..place], wide, &prepared[place + 1..]].concat();
        assert!(decode(&bytes).is_err(), "{wide:?}");
    }
}

/// The call to several transaction managers failed when one of them did.
#[test]
fn one_dead_transaction_manager_stops_no_begin() {
    for dead in TMS {
        let mut group = Group::apart(cluster());
        group.crash(dead);
        group.begin(RMS[0], &transaction(1));
        group.rest();
        assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed), "without {dead}");
        let alive = if dead == TMS[0] { TMS[1] } else { TMS[0] };
        assert!(group.decisions(alive).contains(&Decision::Completed { tx: tx(1), outcome: Outcome::Committed }));
        group.heal();
    }
}

/// The resource manager's client proposed the vote, waited, and then began.
#[test]
fn a_vote_is_durable_before_anyone_hears_of_it() {
    let mut rm = node(RMS[0]);
    let asked = rm.step(say::begins(&transaction(1)));
    assert_eq!(asked, [Effect::Decide(support::asked(&transaction(1)))], "nobody is told before the vote");
    let effects = rm.step(Input::Vote { transaction: transaction(1), vote: Prepared });
    assert!(matches!(&effects[0], Effect::Persist(Record::ResourceManager(record)) if record.vote == Some(Prepared)));
    let vote = say::vote(&transaction(1), Prepared, TMS[0]);
    let told = ACCEPTORS.iter().map(|acceptor| (*acceptor, vote.clone()));
    let told: Vec<_> = told.chain([(TMS[0], say::begin(&transaction(1)))]).collect();
    assert_eq!(say::sends(&effects), told.iter().map(|(to, message)| (*to, message)).collect::<Vec<_>>());
    assert_eq!(effects.len(), 1 + told.len());
}

/// `twopc` was a package of its own; here it is the same with one acceptor.
#[test]
fn with_one_acceptor_this_is_two_phase_commit() {
    for (votes, outcome) in [([Prepared; 3], Outcome::Committed), ([Prepared, Aborted, Prepared], Outcome::Aborted)] {
        let mut group = Group::apart(cluster_of(&ACCEPTORS[..1], &TMS[..1]));
        group.votes = RMS.into_iter().zip(votes).collect();
        assert_eq!(group.complete(RMS[0], &transaction(1)), Some(outcome));
        group.heal();
    }
}
