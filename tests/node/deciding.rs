//! How the outcome comes about: by votes, by recovery, and by asking.

use synod::{
    Ballot, Effect, Machine, NodeId, Refusal,
    commit::{
        Cluster, Decision, Input, Learning, Message, Node, Outcome, Record, ResourceManagerState, Status, Targets,
        Time, Transaction, Vote, What,
    },
    paxos::Message::{Accept, Accepted, Prepare, Promise},
};

use super::{
    addressees, decisions, prepared,
    support::{
        ACCEPTORS, Group, RMS, TIMEOUTS, TMS, aborts_unknown, cluster, config, node, refuse, say, say::Part, spec,
        spec_of, transaction, tx,
    },
};

use Outcome::{Aborted, Committed};

fn faster() -> Cluster {
    spec().with_learning(Learning::Everyone).build().unwrap()
}

#[test]
fn with_any_number_of_acceptors_one_quorum_of_them_is_enough() {
    for f in 0..=3 {
        let acceptors: Vec<NodeId> = (11..12 + 2 * f).map(NodeId).collect();
        for learning in [Learning::Leader, Learning::Everyone] {
            let mut group = Group::apart(spec_of(&acceptors, &TMS).with_learning(learning).build().unwrap());
            for dead in &acceptors[..f as usize] {
                group.crash(*dead);
            }
            group.begin(TMS[0], &transaction(1));
            // No time passes.
            group.run();
            assert_eq!(group.outcome(tx(1)), Some(Committed), "F = {f}, {learning:?}");
            group.heal();
        }
    }
}

#[test]
fn one_vote_to_abort_is_enough_and_others_need_not_vote() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let mut group = Group::apart(spec().with_learning(learning).build().unwrap());
        group.votes = [(RMS[1], Vote::Aborted)].into();
        group.begin(TMS[0], &transaction(1));
        group.run();
        assert_eq!(group.outcome(tx(1)), Some(Aborted));
        group.heal();
        assert_eq!(RMS.map(|rm| group.voted(rm, tx(1))), [None, Some(Vote::Aborted), None]);
    }
}

#[test]
fn who_is_told_to_abort_before_it_has_voted_votes_no_more() {
    let mut rm = node(RMS[0]);
    let effects = rm.step(say::from(TMS[0], say::outcome(&transaction(1), Aborted)));
    assert_eq!(effects, [Effect::Decide(aborts_unknown(&transaction(1)))], "it had never heard of it");
    refuse(&mut rm, Input::Vote { transaction: transaction(1), vote: Vote::Aborted }, Refusal::AlreadyAborted);
    assert_eq!(rm.step(say::from(TMS[0], say::prepare(&transaction(1)))), [], "nor is its resource asked");
    let effects = rm.step(Input::Finished(tx(1)));
    let Effect::Persist(Record::ResourceManager(record)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((record.vote, record.finished, record.meta.as_ref()), (None, Some(Aborted), None));
}

#[test]
fn acceptances_of_different_ballots_do_not_add_up() {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm.step(say::from(ACCEPTORS[0], say::bundle(&transaction(1), &RMS, Vote::Prepared)));
    for (acceptor, round) in [(ACCEPTORS[1], 1), (ACCEPTORS[2], 2), (ACCEPTORS[0], 3)] {
        let ballot = Ballot::new(round, TMS[1]);
        let accepted = say::paxos(&transaction(1), &RMS, Accepted { ballot, value: Vote::Prepared });
        assert_eq!(tm.step(say::from(acceptor, accepted)), []);
    }
    let ballot = Ballot::new(2, TMS[1]);
    let accepted = say::paxos(&transaction(1), &RMS, Accepted { ballot, value: Vote::Prepared });
    let decided = Decision::Decided { tx: tx(1), outcome: Committed };
    assert_eq!(decisions(&tm.step(say::from(ACCEPTORS[1], accepted))), [decided]);
}

#[test]
fn any_transaction_manager_finishes_what_another_began_with_the_votes_that_there_are() {
    for tm in TMS {
        for silent in [None, Some(RMS[1])] {
            let mut group = Group::apart(cluster());
            silent.map(|rm| group.votes.remove(&rm));
            // The first one hears nothing, and then forgets.
            group.blocked.extend(ACCEPTORS.map(|acceptor| (acceptor, TMS[0])));
            group.begin(TMS[0], &transaction(1));
            group.run();
            group.restart(TMS[0]);
            group.blocked.clear();
            group.step(tm, say::from(RMS[0], say::inquire(&transaction(1))));
            group.run();
            assert_eq!(group.outcome(tx(1)), Some(if silent.is_some() { Aborted } else { Committed }), "by {tm}");
            assert_eq!(group.node(tm).metrics().recoveries, 1);
            group.heal();
        }
    }
}

#[test]
fn a_recovery_tells_the_other_transaction_managers_as_well() {
    let mut group = Group::apart(cluster());
    group.votes.clear();
    group.begin(TMS[0], &transaction(1));
    group.run();
    group.step(TMS[1], say::from(RMS[0], say::inquire(&transaction(1))));
    group.run();
    for tm in TMS {
        assert!(group.decisions(tm).contains(&Decision::Decided { tx: tx(1), outcome: Aborted }), "{tm}");
    }
}

#[test]
fn an_inquiry_about_what_a_transaction_manager_knows_nothing_of_makes_it_recover_at_once_and_once() {
    let mut tm = node(TMS[0]);
    let effects = tm.step(say::from(RMS[0], say::inquire(&transaction(1))));
    let prepare = say::paxos(&transaction(1), &RMS, Prepare { ballot: Ballot::new(1, TMS[0]) });
    assert_eq!(effects[0], Effect::Persist(Record::Rounds { reserved: 1025 }), "the rounds are reserved first");
    assert_eq!(say::sends(&effects), ACCEPTORS.map(|acceptor| (acceptor, &prepare)));
    for from in [RMS[0], RMS[1], ACCEPTORS[0]] {
        assert_eq!(tm.step(say::from(from, say::inquire(&transaction(1)))), [], "it is at it");
    }
    // About what was begun here it waits, as long as it would have anyway.
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    assert_eq!(tm.step(say::from(RMS[0], say::inquire(&transaction(1)))), []);
    // A caller's inquiry waits for nothing.
    assert_eq!(tm.step(Input::Inquire(tx(1))).len(), 1 + ACCEPTORS.len());
}

#[test]
fn an_inquiry_about_a_known_outcome_is_answered_to_participants() {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    let effects = tm.step(say::from(RMS[1], say::inquire(&transaction(1))));
    assert_eq!(say::sends(&effects), [(RMS[1], &say::outcome(&transaction(1), Committed))]);
    assert_eq!(tm.step(say::from(ACCEPTORS[0], say::inquire(&transaction(1)))), [], "an acceptor waits for the end");
}

#[test]
fn in_doubt_a_resource_manager_tells_all_acceptors_and_asks_the_next_transaction_manager() {
    let mut rm = prepared(RMS[0]);
    for tm in [TMS[1], TMS[0], TMS[1]] {
        let effects = rm.step(Input::Inquire(tx(1)));
        let (vote, inquire) = (say::vote(&transaction(1), Vote::Prepared, tm), say::inquire(&transaction(1)));
        let votes = ACCEPTORS.iter().map(|acceptor| (*acceptor, &vote));
        assert_eq!(say::sends(&effects), votes.chain([(tm, &inquire)]).collect::<Vec<_>>());
    }
    rm.step(Input::Tick(Time(0)));
    assert_eq!(addressees(&rm.step(Input::Tick(rm.deadline().unwrap()))), [&ACCEPTORS[..], &TMS[..1]].concat());
}

#[test]
fn who_began_says_so_again_because_to_inquire_would_be_to_abort() {
    let mut rm = node(RMS[0]);
    rm.step(say::begins(&transaction(1)));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    rm.step(Input::Tick(Time(0)));
    let effects = rm.step(Input::Tick(rm.deadline().unwrap()));
    assert_eq!(say::sends(&effects).last(), Some(&(TMS[1], &say::begin(&transaction(1)))));
}

#[test]
fn an_operator_who_inquires_where_a_transaction_began_has_it_driven_to_its_end() {
    let mut rm = node(RMS[0]);
    rm.step(say::begins(&transaction(1)));
    let inquire = say::inquire(&transaction(1));
    let effects = rm.step(Input::Inquire(tx(1)));
    assert_eq!(say::sends(&effects), [(TMS[0], &inquire)], "without a vote, to abort");
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let effects = rm.step(Input::Inquire(tx(1)));
    assert_eq!(say::sends(&effects).last(), Some(&(TMS[0], &inquire)));
}

#[test]
fn who_began_inquires_when_every_transaction_manager_was_turned_to_twice() {
    let mut rm = node(RMS[0]);
    rm.step(say::begins(&transaction(1)));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    rm.step(Input::Tick(Time(0)));
    let (begin, inquire) = (say::begin(&transaction(1)), say::inquire(&transaction(1)));
    for (tm, said) in
        [(TMS[1], &begin), (TMS[0], &begin), (TMS[1], &begin), (TMS[0], &begin), (TMS[1], &inquire), (TMS[0], &inquire)]
    {
        let effects = rm.step(Input::Tick(rm.deadline().unwrap()));
        assert_eq!(say::sends(&effects).last(), Some(&(tm, said)));
    }
}

#[test]
fn in_doubt_is_what_is_prepared_without_an_outcome_with_its_age_since_it_was_opened() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Tick(Time(1_000)));
    assert_eq!(rm.in_doubt(), []);
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let age = |rm: &Node| rm.in_doubt().into_iter().map(|doubt| (doubt.state, doubt.age)).collect::<Vec<_>>();
    assert_eq!(age(&rm), [(ResourceManagerState::Prepared, 0)]);
    rm.step(Input::Tick(Time(1_070)));
    assert_eq!(age(&rm), [(ResourceManagerState::Prepared, 70)]);
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Committed)));
    assert_eq!(age(&rm), []);
    assert_eq!(
        rm.status(tx(1)),
        Status::Open { state: Some(ResourceManagerState::Committed), outcome: Some(Committed) }
    );
}

#[test]
fn open_transactions_are_listed_oldest_first_with_those_whom_each_waits_for() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(1_000)));
    tm.step(say::begins(&transaction(2)));
    tm.step(Input::Tick(Time(1_070)));
    tm.step(say::begins(&transaction(1)));
    let list = |tm: &Node, limit| {
        let open = tm.list_open(limit).into_iter();
        open.map(|open| (open.transaction.id(), open.age, open.outcome, open.waits_for)).collect::<Vec<_>>()
    };
    let [first, second] = [(tx(2), 70, None, RMS.to_vec()), (tx(1), 0, None, RMS.to_vec())];
    assert_eq!(list(&tm, 1), std::slice::from_ref(&first));
    assert_eq!(list(&tm, 9), [first, second]);
    tm.step(say::from(TMS[1], say::outcome(&transaction(2), Committed)));
    tm.step(say::from(RMS[0], say::finished(&transaction(2), Committed)));
    assert_eq!(list(&tm, 1), [(tx(2), 70, Some(Committed), RMS[1..].to_vec())]);
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    assert_eq!(list(&rm, 9), [(tx(1), 0, None, vec![])]);
}

#[test]
fn in_faster_mode_the_transaction_manager_keeps_silent_until_it_is_asked() {
    let mut group = Group::apart(faster());
    group.begin(TMS[0], &transaction(1));
    group.run();
    let mut said = group.sent.iter().filter(|sent| sent.from == TMS[0]);
    let asks_or_ends = |message: &Message| {
        matches!(message, Message::About { what: What::Prepare { .. }, .. } | Message::Retired { .. })
    };
    assert!(said.all(|sent| asks_or_ends(&sent.message)));
    assert!(group.sent.iter().all(|sent| sent.to != TMS[0] || !say::is_paxos(&sent.message)));
    assert!(group.decisions(TMS[0]).contains(&Decision::Completed { tx: tx(1), outcome: Committed }));

    let mut tm = Node::create(config(&faster(), TMS[0])).0;
    tm.step(say::begins(&transaction(1)));
    tm.step(Input::Tick(Time(0)));
    assert_eq!(tm.step(say::from(RMS[0], say::finished(&transaction(1), Committed))), [], "that is its own end");
    let mut all = tm.clone();
    assert_eq!(all.step(say::from(RMS[1], say::finished(&transaction(1), Committed))), []);
    let [decided, completed] =
        [Decision::Decided { tx: tx(1), outcome: Committed }, Decision::Completed { tx: tx(1), outcome: Committed }];
    let effects = all.step(say::from(RMS[2], say::finished(&transaction(1), Committed)));
    assert_eq!(decisions(&effects), [decided.clone(), completed]);
    // It is told by another one.
    let effects = tm.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
    assert_eq!(effects, [Effect::Decide(decided)]);
    assert_eq!(addressees(&tm.step(say::from(RMS[1], say::inquire(&transaction(1))))), RMS[1..2]);
    // When its timer runs out it tells those that have not finished.
    tm.step(Input::Tick(Time(0)));
    assert_eq!(addressees(&tm.step(Input::Tick(tm.deadline().unwrap()))), RMS[1..]);
}

#[test]
fn in_faster_mode_a_transaction_manager_that_takes_no_part_learns_all_the_same() {
    let mut tm = Node::create(config(&faster(), TMS[0])).0;
    let bundle = say::bundle(&transaction(1), &RMS, Vote::Prepared);
    tm.step(say::from(ACCEPTORS[0], bundle.clone()));
    let decided = Decision::Decided { tx: tx(1), outcome: Committed };
    assert_eq!(decisions(&tm.step(say::from(ACCEPTORS[1], bundle))), [decided]);
}

#[test]
fn in_faster_mode_acceptors_tell_every_resource_manager_and_again_the_one_that_repeats_its_vote() {
    let mut acceptor = Node::create(config(&faster(), ACCEPTORS[0])).0;
    let vote = say::vote(&transaction(1), Vote::Prepared, TMS[0]);
    let effects = RMS.map(|rm| acceptor.step(say::from(rm, vote.clone())));
    assert_eq!(addressees(&effects[2]), RMS);
    assert_eq!(addressees(&acceptor.step(say::from(RMS[1], vote))), RMS[1..2]);
}

#[test]
fn with_targets_of_a_quorum_the_first_vote_goes_to_one_and_after_a_while_to_all() {
    let beside = spec_of(&ACCEPTORS, &ACCEPTORS[2..]).with_targets(Targets::Quorum).build().unwrap();
    for (cluster, tm, quorum) in [
        (spec().with_targets(Targets::Quorum).build().unwrap(), TMS[0], &ACCEPTORS[..2]),
        // The acceptor of the transaction manager's own node is one of them.
        (beside, ACCEPTORS[2], &[ACCEPTORS[0], ACCEPTORS[2]]),
    ] {
        let mut rm = Node::create(config(&cluster, RMS[0])).0;
        rm.step(say::from(tm, say::prepare(&transaction(1))));
        assert_eq!(addressees(&rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared })), quorum);
        rm.step(Input::Tick(Time(0)));
        let effects = rm.step(Input::Tick(rm.deadline().unwrap()));
        assert_eq!(addressees(&effects)[..3], ACCEPTORS);
        // Who has to ask again gets all of them, too.
        assert_eq!(addressees(&rm.step(say::from(tm, say::prepare(&transaction(1))))), ACCEPTORS);
    }
}

#[test]
fn an_acceptor_says_what_it_has_when_it_has_waited_long_enough() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    acceptor.step(Input::Tick(Time(100)));
    acceptor.step(say::from(RMS[1], say::vote(&transaction(1), Vote::Prepared, TMS[1])));
    let due = acceptor.deadline().unwrap();
    assert!((100 + TIMEOUTS.flush..=100 + TIMEOUTS.flush * 3 / 2).contains(&due.0));
    let effects = acceptor.step(Input::Tick(due));
    assert!(matches!(effects[0], Effect::Persist(Record::Acceptor(_))));
    assert_eq!(say::sends(&effects), [(TMS[1], &say::bundle(&transaction(1), &RMS[1..2], Vote::Prepared))]);
    // The rest follows, with all that was accepted before.
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[1])));
    let effects = acceptor.step(say::from(RMS[2], say::vote(&transaction(1), Vote::Prepared, TMS[1])));
    assert_eq!(say::sends(&effects), [(TMS[1], &say::bundle(&transaction(1), &RMS, Vote::Prepared))]);
}

#[test]
fn a_vote_that_comes_again_before_it_is_accepted_is_no_second_value() {
    let mut acceptor = node(ACCEPTORS[0]);
    let vote = |manager| say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, manager));
    acceptor.step(vote(TMS[0]));
    let mut effects = Vec::new();
    assert_eq!(acceptor.step_into(vote(TMS[1]), &mut effects), Ok(()));
    assert_eq!(effects, []);
    assert_eq!(acceptor.metrics().refusals().count(), 0);
    // The answer goes where the latest vote says.
    let effects =
        [RMS[1], RMS[2]].map(|rm| acceptor.step(say::from(rm, say::vote(&transaction(1), Vote::Prepared, TMS[1]))));
    assert_eq!(addressees(&effects[1]), [TMS[1]]);
}

#[test]
fn of_many_participants_each_votes_for_itself() {
    let rms: Vec<NodeId> = (100..140).map(NodeId).collect();
    let many = Transaction::new(tx(1), &rms, []).unwrap();
    let mut acceptor = node(ACCEPTORS[0]);
    for (place, rm) in rms.iter().enumerate() {
        let effects = acceptor.step(say::from(*rm, say::vote(&many, Vote::Prepared, TMS[0])));
        assert_eq!(effects.is_empty(), place < 39);
        if place == 39 {
            assert_eq!(say::sends(&effects), [(TMS[0], &say::bundle(&many, &rms, Vote::Prepared))]);
        }
    }
    assert!(rms.iter().all(|rm| many.has(*rm)));
    assert!([0, 99, 140].iter().all(|stranger| !many.has(NodeId(*stranger))));
}

#[test]
fn an_acceptor_asks_one_transaction_manager_after_the_other_beginning_with_the_one_that_was_named() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    acceptor.step(say::from(RMS[1], say::vote(&transaction(1), Vote::Aborted, TMS[1])));
    acceptor.step(Input::Tick(Time(0)));
    let inquire = say::inquire(&transaction(1));
    for tm in [TMS[1], TMS[0], TMS[1]] {
        let effects = acceptor.step(Input::Tick(acceptor.deadline().unwrap()));
        assert_eq!(say::sends(&effects), [(tm, &inquire)]);
    }
    assert_eq!(say::sends(&acceptor.step(Input::Inquire(tx(1)))), [(TMS[0], &inquire)]);
}

#[test]
fn before_it_promises_a_ballot_an_acceptor_accepts_the_votes_that_it_has() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(RMS[1], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    let ballot = Ballot::new(1, TMS[1]);
    let effects = acceptor.step(say::from(TMS[1], say::paxos(&transaction(1), &RMS, Prepare { ballot })));
    let accepted = Some((Ballot::initial(RMS[1]), Vote::Prepared));
    let promises = [None, accepted, None].map(|accepted| Promise { ballot, accepted });
    let promises = RMS.into_iter().zip(promises).map(|(rm, message)| Part { rm, message });
    let promises = say::all(&transaction(1), promises);
    let bundle = say::bundle(&transaction(1), &RMS[1..2], Vote::Prepared);
    assert_eq!(say::sends(&effects), [(TMS[0], &bundle), (TMS[1], &promises)]);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Persist(_))).count(), 1);
    // The vote of another comes too late now.
    refuse(&mut acceptor, say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])), Refusal::StaleBallot);
}

#[test]
fn a_restarted_acceptor_has_forgotten_what_it_gathered_and_nothing_that_it_accepted() {
    let mut group = Group::apart(cluster());
    let vote = say::vote(&transaction(1), Vote::Prepared, TMS[0]);
    group.step(ACCEPTORS[0], say::from(RMS[0], vote.clone()));
    group.restart(ACCEPTORS[0]);
    assert_eq!(group.node(ACCEPTORS[0]).status(tx(1)), Status::Unknown);
    for rm in RMS {
        group.step(ACCEPTORS[0], say::from(rm, vote.clone()));
    }
    group.restart(ACCEPTORS[0]);
    // A vote again is answered again, without a second write.
    let effects = group.step(ACCEPTORS[0], say::from(RMS[0], vote));
    assert_eq!(effects, [Effect::Send { to: TMS[0], message: say::bundle(&transaction(1), &RMS, Vote::Prepared) }]);
}

#[test]
fn an_equal_request_is_answered_again_and_written_once() {
    let mut acceptor = node(ACCEPTORS[0]);
    let ballot = Ballot::new(1, TMS[0]);
    for body in [Prepare { ballot }, Accept { ballot, value: Vote::Aborted }] {
        let request = say::from(TMS[0], say::paxos(&transaction(1), &RMS, body));
        let first = acceptor.step(request.clone());
        assert!(matches!(first[0], Effect::Persist(_)));
        assert_eq!(acceptor.step(request), first[1..]);
    }
}
