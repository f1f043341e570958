//! Faults that shipped in other libraries and that the commit layer could have, one test each. Rows are numbered as in
//! the project's list of published bugs; the reports are named.

mod support;

use std::collections::BTreeMap;

use support::{
    ACCEPTORS, CLUSTER, Flat, Group, RMS, STRANGER, TMS, aborts, catalogue, cluster, commits, config, node, say,
    say::Part, spec, transaction, tx,
};
use synod::{
    Ballot, Effect, Machine, NodeId, Outbox, Packet, Refusal, RestoreError,
    codec::{DecodeError, decode_frame, decode_record, encode_frame, encode_record},
    commit::{
        ClusterId, Decision, EpochMessage, Input, Key, Learning, Message, Node, Outcome, Record, ResourceManagerState,
        Status, Time, Transaction, Vote, What,
    },
    paxos::Message::{Accept, Accepted, Prepare, Promise, Reject},
    sim::Rng,
};

use Outcome::{Aborted, Committed};

/// A transaction manager that tries a ballot of its own, and that ballot.
fn recovering() -> (Node, Ballot) {
    let mut tm = node(TMS[0]);
    let effects = tm.step(say::from(RMS[0], say::inquire(&transaction(1))));
    let ballot = say::parts(&effects)[0].message.ballot();
    (tm, ballot)
}

fn promise(from: NodeId, ballot: Ballot, accepted: Option<(Ballot, Vote)>) -> Input {
    say::from(from, say::paxos(&transaction(1), &RMS, Promise { ballot, accepted }))
}

/// Gives `node` an input that it must refuse without any change or answer.
fn refuse(node: &mut Node, input: Input, refusal: Refusal) {
    assert_eq!(support::refuse(node, input, refusal), []);
}

/// Row 1: efficient/epaxos#28, hiqlite#361, phxpaxos#32.
#[test]
fn whoever_crashes_between_two_effects_has_told_nothing_that_it_does_not_know_when_it_is_back() {
    let play = |cut| {
        let mut group = Group::apart(cluster());
        group.cuts.extend(cut);
        group.begin(RMS[0], &transaction(1));
        group.run();
        group
    };
    for cut in play(None).boundaries() {
        // The group itself holds whatever is told against what was told, and against what was written.
        play(Some(cut)).heal();
    }
}

/// Row 2: Brooker's blog 2021-11-16.
#[test]
fn an_acceptance_of_one_instance_raises_its_promise_and_no_others() {
    let mut acceptor = node(ACCEPTORS[0]);
    let (high, low) = (Ballot::new(2, TMS[0]), Ballot::new(1, TMS[1]));
    acceptor
        .step(say::from(TMS[0], say::paxos(&transaction(1), &RMS[..1], Accept { ballot: high, value: Vote::Aborted })));
    let effects = acceptor.step(say::from(TMS[1], say::paxos(&transaction(1), &RMS[..2], Prepare { ballot: low })));
    let rejected = Part { rm: RMS[0], message: Reject { ballot: low, promised: high } };
    let promised = Part { rm: RMS[1], message: Promise { ballot: low, accepted: None } };
    assert_eq!(say::parts(&effects), [rejected, promised]);
}

/// Row 3: MyPaxos#18.
#[test]
fn promises_of_an_abandoned_ballot_do_not_count_for_the_next() {
    let (mut tm, first) = recovering();
    tm.step(promise(ACCEPTORS[0], first, None));
    let second = say::parts(&tm.step(Input::Inquire(tx(1))))[0].message.ballot();
    assert!(second > first);
    refuse(&mut tm, promise(ACCEPTORS[1], first, None), Refusal::OtherBallot);
    assert_eq!(tm.step(promise(ACCEPTORS[1], second, None)), [], "one of three has promised this ballot");
    assert_eq!(say::sends(&tm.step(promise(ACCEPTORS[2], second, None))).len(), ACCEPTORS.len());
}

/// Row 4: phxpaxos#145.
#[test]
fn a_restarted_transaction_manager_uses_a_higher_ballot_and_takes_no_answer_to_an_older_one() {
    let mut group = Group::apart(cluster());
    group.blocked.extend(ACCEPTORS.map(|acceptor| (acceptor, TMS[0])));
    let mut used = Vec::new();
    for _ in 0..3 {
        let effects = group.step(TMS[0], say::from(RMS[0], say::inquire(&transaction(1))));
        let ballot = say::parts(&effects)[0].message.ballot();
        assert!(used.iter().all(|older| *older < ballot), "{ballot} after {used:?}");
        let older = used.iter().map(|older| promise(ACCEPTORS[0], *older, None)).collect::<Vec<_>>();
        for older in older {
            refuse(group.node_mut(TMS[0]), older, Refusal::OtherBallot);
        }
        used.push(ballot);
        group.restart(TMS[0]);
    }
    group.heal();
}

/// Row 5: jjzhang/booth#47.
#[test]
fn when_every_message_comes_twice_every_node_writes_what_it_writes_when_it_comes_once() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let play = |times: usize| {
            let mut group = Group::apart(spec().with_learning(learning).build().unwrap());
            group.begin(RMS[0], &transaction(1));
            for _ in 0..1_000 {
                group.answer_all();
                let Some(sent) = group.wire.pop_front() else { break };
                for _ in 0..times {
                    group.step(sent.to, say::from(sent.from, sent.message.clone()));
                }
            }
            assert!(group.wire.is_empty(), "the group does not stop talking");
            group.nodes().into_iter().map(|at| group.log(at).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(play(2), play(1));
    }
}

/// Row 6: efficient/epaxos#20.
#[test]
fn the_vote_of_the_highest_ballot_is_proposed_instance_by_instance() {
    let (mut tm, _) = recovering();
    let ballot = say::parts(&tm.step(Input::Inquire(tx(1))))[0].message.ballot();
    let voted = |rm| Some((Ballot::initial(rm), Vote::Prepared));
    let later = Some((Ballot::new(1, TMS[1]), Vote::Aborted));
    let told = [[voted(RMS[0]), later, None], [None, voted(RMS[1]), None]];
    let mut effects = Vec::new();
    for (from, accepted) in ACCEPTORS.into_iter().zip(told) {
        let part = |(rm, accepted)| Part { rm, message: Promise { ballot, accepted } };
        let promises = say::all(&transaction(1), RMS.into_iter().zip(accepted).map(part));
        effects = tm.step(say::from(from, promises));
    }
    let proposed: Vec<_> = say::parts(&effects).into_iter().map(|part| part.message).collect();
    let expected = [Vote::Prepared, Vote::Aborted, Vote::Aborted];
    assert_eq!(proposed, expected.map(|value| Accept { ballot, value }));
}

/// Row 7: openraft#1146, #1220. Row 9: cocagne/multi-paxos-example#4.
#[test]
fn a_rejection_is_no_promise_and_is_answered_with_a_higher_ballot_after_a_while() {
    for rejections in 1..=3 {
        let (mut tm, ballot) = recovering();
        let promised = Ballot::new(40, TMS[1]);
        let reject = say::paxos(&transaction(1), &RMS, Reject { ballot, promised });
        for acceptor in &ACCEPTORS[..rejections] {
            assert_eq!(tm.step(say::from(*acceptor, reject.clone())), []);
        }
        for acceptor in &ACCEPTORS[rejections..] {
            let proposes = !tm.step(promise(*acceptor, ballot, None)).is_empty();
            assert_eq!(proposes, rejections == 1 && *acceptor == ACCEPTORS[2], "with {rejections} rejections");
        }
        tm.step(Input::Tick(Time(0)));
        let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
        assert!(say::parts(&effects)[0].message.ballot() > promised);
    }
}

/// Row 8: MyPaxos#19.
#[test]
fn an_acceptor_takes_an_accept_above_what_it_promised() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(TMS[0], say::paxos(&transaction(1), &RMS, Prepare { ballot: Ballot::new(1, TMS[0]) })));
    let ballot = Ballot::new(2, TMS[1]);
    let accept = say::paxos(&transaction(1), &RMS, Accept { ballot, value: Vote::Aborted });
    let effects = acceptor.step(say::from(TMS[1], accept));
    assert!(matches!(effects[0], Effect::Persist(Record::Acceptor(_))));
    let accepted = RMS.map(|rm| Part { rm, message: Accepted { ballot, value: Vote::Aborted } });
    assert_eq!(say::parts(&effects), accepted);
}

/// Row 10: swiftpaxos#3.
#[test]
fn no_part_of_any_ballot_is_lost_in_a_frame_or_in_a_record() {
    for (round, by) in [(1, 300), (u64::MAX, 1), (1 << 40, u64::MAX)] {
        let (ballot, lower) = (Ballot::new(round, NodeId(by)), Ballot::new(round - 1, NodeId(by ^ 1)));
        let bodies = [
            Prepare { ballot },
            Promise { ballot, accepted: Some((lower, Vote::Prepared)) },
            Accept { ballot, value: Vote::Aborted },
            Accepted { ballot, value: Vote::Prepared },
            Reject { ballot: lower, promised: ballot },
        ];
        let messages = bodies.map(|body| say::paxos(&transaction(1), &RMS, body));
        let bytes = encode_frame(CLUSTER, RMS[0], TMS[0], &messages);
        assert_eq!(decode_frame(&bytes, CLUSTER, TMS[0]).unwrap().messages, messages);
    }
    let mut acceptor = node(ACCEPTORS[0]);
    let (ballot, higher) = (Ballot::new(1, TMS[1]), Ballot::new(1 << 33, TMS[0]));
    acceptor.step(say::from(TMS[1], say::paxos(&transaction(1), &RMS, Accept { ballot, value: Vote::Aborted })));
    acceptor.step(say::from(TMS[0], say::paxos(&transaction(1), &RMS[..1], Prepare { ballot: higher })));
    for record in acceptor.snapshot() {
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }
}

/// Row 11: openraft#1960, #2118.
#[test]
fn one_write_is_under_way_at_a_time_so_that_none_can_be_acknowledged_out_of_order() {
    let mut acceptor = node(ACCEPTORS[0]);
    let mut outbox = Outbox::new();
    let abort = |number| say::from(RMS[0], say::vote(&transaction(number), Vote::Aborted, TMS[0]));
    outbox.step(&mut acceptor, abort(1)).unwrap();
    let first = outbox.take().unwrap();
    outbox.step(&mut acceptor, abort(2)).unwrap();
    assert!(outbox.take().is_none(), "the first write is not durable yet");
    assert!(outbox.take_free().is_none());
    let bundle =
        |number| Packet { to: TMS[0], messages: vec![say::bundle(&transaction(number), &RMS[..1], Vote::Aborted)] };
    assert_eq!(first.persisted().packets(), [bundle(1)]);
    assert_eq!(outbox.take().unwrap().persisted().packets(), [bundle(2)]);

    outbox.step(&mut acceptor, abort(3)).unwrap();
    outbox.take().unwrap().failed();
    let _ = outbox.step(&mut acceptor, abort(4));
    assert!(outbox.is_fenced() && outbox.take().is_none());
}

/// Row 12: etcd#17078, restate#2963.
#[test]
fn what_is_meant_for_another_role_transaction_instance_or_ballot_changes_nothing() {
    use Refusal::{MalformedBundle, NotAManager, NotAParticipant, NotAnAcceptor, NotYourBallot, OtherBallot};
    let one = transaction(1);
    let ballot = Ballot::new(1, TMS[0]);
    let votes = say::vote(&one, Vote::Prepared, TMS[0]);
    let asks = say::paxos(&one, &RMS, Prepare { ballot });
    let bundle = say::bundle(&one, &RMS, Vote::Prepared);
    for (at, from, message, refusal) in [
        (RMS[0], RMS[1], votes.clone(), NotAnAcceptor),
        (TMS[0], RMS[1], votes.clone(), NotAnAcceptor),
        (RMS[0], TMS[0], asks.clone(), NotAnAcceptor),
        (TMS[1], TMS[0], asks.clone(), NotAnAcceptor),
        (RMS[0], ACCEPTORS[0], bundle.clone(), NotAManager),
        (ACCEPTORS[1], ACCEPTORS[0], bundle.clone(), NotAManager),
        (ACCEPTORS[0], TMS[0], say::prepare(&one), NotAParticipant),
        (ACCEPTORS[0], TMS[0], say::outcome(&one, Committed), NotAParticipant),
        (RMS[1], RMS[0], say::begin(&one), NotAManager),
        (ACCEPTORS[0], RMS[0], say::inquire(&one), NotAManager),
        (RMS[1], RMS[0], say::finished(&one, Committed), NotAManager),
        (ACCEPTORS[0], TMS[1], asks, NotYourBallot),
        (
            TMS[0],
            ACCEPTORS[0],
            say::paxos(&one, &[STRANGER], Accepted { ballot, value: Vote::Prepared }),
            MalformedBundle,
        ),
    ] {
        refuse(&mut node(at), say::from(from, message), refusal);
    }
    // Nor is it taken where the role is at work: another transaction of that name, another ballot.
    let (mut tm, _) = recovering();
    refuse(&mut tm, promise(ACCEPTORS[0], Ballot::new(1, TMS[1]), None), OtherBallot);
    let (mut rm, mut acceptor) = (node(RMS[0]), node(ACCEPTORS[0]));
    rm.step(say::from(TMS[0], say::prepare(&one)));
    acceptor.step(say::from(RMS[0], say::vote(&one, Vote::Prepared, TMS[0])));
    let others = [Transaction::new(tx(1), &RMS[..2], *b"meta").unwrap(), Transaction::new(tx(1), RMS, []).unwrap()];
    for (node, other) in [tm, rm, acceptor].iter().flat_map(|node| others.iter().map(move |other| (node, other))) {
        for message in catalogue::messages(other).into_iter().filter(|message| message.transaction().is_some()) {
            let answer = support::refuse(&mut node.clone(), say::from(TMS[1], message), Refusal::OtherTransaction);
            // Who asks an acceptor to take part is told why it does not.
            let told = Message::about(other, What::OtherTransaction);
            assert!(answer.is_empty() || answer == [Effect::Send { to: TMS[1], message: told }]);
        }
    }
    // The frame says whom it is for, and in which cluster.
    let frame = encode_frame(CLUSTER, RMS[0], ACCEPTORS[0], &[votes]);
    let other = ClusterId([7; 16]);
    assert_eq!(decode_frame(&frame, other, ACCEPTORS[0]), Err(DecodeError::OtherCluster(CLUSTER)));
    assert_eq!(decode_frame(&frame, CLUSTER, ACCEPTORS[1]), Err(DecodeError::OtherAddressee(ACCEPTORS[0])));
}

/// Row 13: cockroach#9377, tikv#7364, CEP-14.
#[test]
fn whatever_comes_after_the_end_is_told_so_and_revives_nothing() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let mut group = Group::apart(spec().with_learning(learning).build().unwrap());
        group.complete(RMS[0], &transaction(1));
        let ballot = Ballot::new(9, TMS[1]);
        let late = [
            (TMS[1], say::paxos(&transaction(1), &RMS, Prepare { ballot })),
            (TMS[1], say::paxos(&transaction(1), &RMS, Accept { ballot, value: Vote::Aborted })),
        ];
        let late = late.iter().flat_map(|(from, message)| ACCEPTORS.map(|to| (*from, to, message.clone())));
        let sent = group.sent.iter().map(|sent| (sent.from, sent.to, sent.message.clone()));
        for (from, to, message) in sent.chain(late).filter(|(.., message)| message.transaction().is_some()) {
            let mut node = group.node(to).clone();
            let before = catalogue::memory(&node);
            let begins = matches!(message, Message::About { what: What::Begin { .. }, .. });
            let input = say::from(from, message);
            // A participant that begins may be in doubt: where the outcome is remembered, it is told that.
            let told = match (node.status(tx(1)), begins && RMS.contains(&from)) {
                (Status::Retired { outcome: Some(outcome) }, true) => say::outcome(&transaction(1), outcome),
                _ => say::retired(tx(1)),
            };
            let mut effects = Vec::new();
            assert_eq!(node.step_into(input.clone(), &mut effects), Err(Refusal::Retired), "{to}: {input:?}");
            assert_eq!(effects, [Effect::Send { to: from, message: told }]);
            assert_eq!(catalogue::memory(&node), before);
            assert!(node.status(tx(1)).is_retired());
        }
    }
}

/// Row 14: cockroach#75601, #62761.
#[test]
fn two_transaction_managers_that_recover_at_once_agree() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut group = Group::apart(cluster());
        // Some votes reach some acceptors; one resource may have voted to abort.
        if seed % 2 == 0 {
            group.votes.insert(RMS[2], Vote::Aborted);
        }
        group.begin(TMS[0], &transaction(1));
        group.run_shuffled(&mut rng, 3);
        group.step(TMS[1], say::begins(&transaction(1)));
        for at in TMS {
            group.step(at, Input::Inquire(tx(1)));
        }
        group.run_shuffled(&mut rng, 40);
        group.heal();
        *outcomes.entry(group.outcome(tx(1))).or_insert(0) += 1;
    }
    assert!(outcomes.contains_key(&Some(Committed)) && outcomes.contains_key(&Some(Aborted)), "{outcomes:?}");
    assert!(!outcomes.contains_key(&None));
}

/// Row 15: tidb#33641.
#[test]
fn what_a_client_was_told_stands_when_the_one_who_told_it_is_lost_with_all_it_said() {
    for vote in [Vote::Prepared, Vote::Aborted] {
        let play = |cut| {
            let mut group = Group::apart(cluster());
            group.votes.insert(RMS[1], vote);
            group.cuts.extend(cut);
            group.begin(TMS[0], &transaction(1));
            group.run();
            group
        };
        let told = |group: &Group| group.decisions(TMS[0]).first().cloned();
        let outcome = if vote == Vote::Prepared { Committed } else { Aborted };
        let mut tested = 0;
        for cut in play(None).boundaries().into_iter().filter(|cut| cut.at == TMS[0] && !cut.delivered && !cut.at_once)
        {
            let mut group = play(Some(cut));
            if told(&group).is_some() {
                tested += 1;
                assert_eq!(told(&group), Some(Decision::Decided { tx: tx(1), outcome }));
                // The other one finishes the work.
                group.rest();
                assert_eq!(group.outcome(tx(1)), Some(outcome));
                RMS.iter().for_each(|rm| assert_eq!(group.done(*rm, tx(1)), Some(outcome)));
            }
            group.heal();
        }
        assert!(tested > 3);
    }
}

/// Row 16: narayana#1668, atomikos#239.
#[test]
fn an_outcome_stays_what_it_was_through_restarts_in_every_state() {
    for outcome in [Committed, Aborted] {
        let wrong = if outcome == Committed { Aborted } else { Committed };
        let state = |rm: &Node| match rm.status(tx(1)) {
            Status::Open { state: Some(state), .. } => state,
            other => panic!("{other:?}"),
        };
        let told = say::from(TMS[0], say::outcome(&transaction(1), outcome));
        let handed = match outcome {
            Committed => [Effect::Decide(commits(&transaction(1)))],
            Aborted => [Effect::Decide(aborts(&transaction(1)))],
        };
        let mut group = Group::apart(cluster());
        group.blocked.extend(TMS.map(|tm| (tm, RMS[0])));
        group.step(RMS[0], say::from(TMS[0], say::prepare(&transaction(1))));
        group.step(RMS[0], Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
        for _ in 0..3 {
            group.restart(RMS[0]);
            assert_eq!(state(group.node(RMS[0])), ResourceManagerState::Prepared);
            let voted = group.step(RMS[0], say::from(TMS[1], say::prepare(&transaction(1))));
            assert!(say::sends(&voted).contains(&(ACCEPTORS[0], &say::vote(&transaction(1), Vote::Prepared, TMS[1]))));
            assert_eq!(group.step(RMS[0], told.clone()), handed, "handed over at least once");
        }
        group.step(RMS[0], Input::Finished(tx(1)));
        for _ in 0..3 {
            group.restart(RMS[0]);
            let contradiction = say::from(TMS[0], say::outcome(&transaction(1), wrong));
            refuse(group.node_mut(RMS[0]), contradiction, Refusal::ContradictoryOutcome);
            let effects = group.step(RMS[0], told.clone());
            assert_eq!(say::sends(&effects), [(TMS[0], &say::finished(&transaction(1), outcome))]);
            assert_eq!(effects.len(), 1, "what is finished is not handed over again");
        }
    }
}

/// Row 17: Protocol-Aware Recovery, FAST'18.
#[test]
fn a_blank_disk_or_anothers_does_not_vote() {
    let mut group = Group::apart(cluster());
    group.complete(TMS[0], &transaction(1));
    let restore = |id, records: &[Record]| Node::restore(config(&cluster(), id), records.to_vec()).map(|_| ());
    for at in group.nodes() {
        let log = group.log(at);
        assert_eq!(restore(at, log), Ok(()));
        assert_eq!(restore(at, &[]), Err(RestoreError::NoIdentity));
        assert_eq!(restore(at, &log[1..]), Err(RestoreError::NoIdentity));
        assert_eq!(restore(at, &[log, &[Record::Erased(Key::Identity)]].concat()), Err(RestoreError::NoIdentity));
        assert_eq!(restore(STRANGER, log), Err(RestoreError::OtherNode(at)));
        let elsewhere = Record::Identity { cluster: ClusterId([7; 16]), node: at };
        assert_eq!(restore(at, &[&[elsewhere], &log[1..]].concat()), Err(RestoreError::OtherCluster));
    }
}

/// Row 18: omnipaxos#124, etcd#17081.
#[test]
fn no_input_whatever_makes_a_node_panic_in_any_state_and_what_is_refused_changes_nothing() {
    let inputs = catalogue::inputs();
    for (place, node) in catalogue::states().into_iter().enumerate() {
        let memory = catalogue::memory(&node);
        // Every third input, others for the next node: neighbours are much alike.
        for input in inputs.iter().skip(place % 3).step_by(3) {
            let (mut after, mut effects) = (node.clone(), Vec::new());
            let verdict = after.step_into(input.clone(), &mut effects);
            let Err(refusal) = verdict else { continue };
            assert_eq!(after.metrics().refused(refusal), node.metrics().refused(refusal) + 1, "{input:?}");
            assert_eq!(catalogue::memory(&after), memory, "{refusal:?}: {input:?}");
            for effect in &effects {
                let Effect::Send { message, .. } = effect else { panic!("{refusal:?}: {input:?}: {effect:?}") };
                let answers = match message {
                    Message::Retired { .. } | Message::About { what: What::Outcome(_), .. } => {
                        refusal == Refusal::Retired
                    }
                    Message::About { what: What::Reject { .. }, .. } => refusal == Refusal::StaleBallot,
                    Message::About { what: What::OtherTransaction, .. } => {
                        matches!(refusal, Refusal::OtherTransaction | Refusal::NotNamedHere)
                    }
                    Message::Epoch { what, .. } => match **what {
                        EpochMessage::Wanted => matches!(
                            refusal,
                            Refusal::NewerEpoch | Refusal::NotAManager | Refusal::WideRange | Refusal::NotAParticipant
                        ),
                        EpochMessage::Newer => refusal == Refusal::OldEpoch,
                        EpochMessage::Frozen { .. } => refusal == Refusal::Changing,
                        _ => false,
                    },
                    _ => false,
                };
                assert!(answers, "{refusal:?}: {input:?}: {message:?}");
            }
        }
    }
}

/// Row 19: etcd#5386, bincode#286.
#[test]
fn a_length_is_held_against_the_bytes_that_are_there() {
    let frame = encode_frame(CLUSTER, RMS[0], TMS[0], &[say::begin(&transaction(1))]);
    let huge = [&[0xfd][..], &(u64::MAX / 2).to_le_bytes()].concat();
    // Of the messages, of the participants, and of the content.
    for (place, length) in [(19, 1), (32, 3), (37, 4)] {
        assert_eq!(frame[place], length);
        let hostile = [&frame[..place], &huge, &frame[place + 1..]].concat();
        assert_eq!(decode_frame(&hostile, CLUSTER, TMS[0]), Err(DecodeError::Truncated));
    }
}

/// Row 20: atomikos#99.
#[test]
fn memory_and_disk_stay_flat_over_two_hundred_thousand_transactions() {
    const TRANSACTIONS: u64 = 200_000;
    const AT_ONCE: u64 = 50;
    let mut cluster = Flat::new();
    for round in 1..=TRANSACTIONS / AT_ONCE {
        cluster.commit(AT_ONCE);
        if round % 400 == 0 {
            cluster.advance();
            cluster.restart();
            cluster.advance();
        }
        cluster.assert_flat();
    }
    assert_eq!(cluster.committed, TRANSACTIONS);
}

/// Row 20: OpenLiberty#33144.
#[test]
fn what_is_in_doubt_is_listed_and_an_inquiry_drives_it_to_its_outcome() {
    let mut group = Group::apart(cluster());
    group.begin(TMS[0], &transaction(1));
    group.run_until(|sent| matches!(sent.message, Message::About { what: What::Phase2b { .. }, .. }));
    group.crash(TMS[0]);
    group.run();
    for at in RMS {
        let in_doubt = group.node(at).in_doubt();
        assert_eq!(in_doubt.len(), 1);
        assert_eq!(in_doubt[0].transaction, transaction(1));
        assert_eq!(in_doubt[0].state, ResourceManagerState::Prepared);
    }
    // No time passes.
    group.step(RMS[1], Input::Inquire(tx(1)));
    group.run();
    assert_eq!(group.outcome(tx(1)), Some(Committed));
    assert!(RMS.iter().all(|at| group.node(*at).in_doubt().is_empty()));
    group.heal();
}
