//! What must hold of records, and of what rests on them.

use super::*;
use crate::commit::OutcomeBlock;

const COMMITTED: Outcome = Outcome::Committed;

#[test]
fn an_acceptor_that_goes_back_is_seen() {
    let (zero, one, two) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M1));
    let mut watch = Watch(super::super::promise_monotone::PromiseMonotone::default());
    watch.writes(A1, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A1, acceptor(two, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(one, None)).unwrap();
    watch.writes(A1, acceptor(two, Some((two, PREPARED)))).unwrap();
    let accepted_went_back = acceptor(two, Some((zero, PREPARED)));
    watch.writes(A1, accepted_went_back).unwrap_err();

    let bad = [
        ("the promise goes back", acceptor(one, None), acceptor(zero, None)),
        ("accepted above the promise", acceptor(zero, None), acceptor(zero, Some((one, ABORTED)))),
        ("what was accepted is gone", acceptor(one, Some((one, ABORTED))), acceptor(two, None)),
        ("another value", acceptor(one, Some((one, ABORTED))), acceptor(one, Some((one, PREPARED)))),
    ];
    for (what, before, after) in bad {
        let mut watch = Watch(super::super::promise_monotone::PromiseMonotone::default());
        watch.writes(A1, before).unwrap();
        assert!(watch.writes(A1, after).is_err(), "{what}");
    }
}

#[test]
fn a_record_that_goes_back_is_seen() {
    let (zero, one, two) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M1));
    let range = |first, last| Record::Retired(TxRange::new(M1, first, last).unwrap());
    let identity = |node| Record::Identity { cluster: ClusterId([1; 16]), node };
    let by_hand = |finished, outcome| {
        let Record::ResourceManager(record) = rm(Some(PREPARED), finished) else { unreachable!() };
        Record::Resolved { record, outcome }
    };
    let history = |known, committed, age| {
        let outcomes = OutcomeBlock::new(M1, 0, known, committed).unwrap();
        Record::History { outcomes, age }
    };
    let handover = |epoch, ballot| {
        let state = paxos::AcceptorRecord { promised: Some(ballot), accepted: None };
        Record::Handover { epoch, state: state.into() }
    };
    let new = || Watch(super::super::records_never_go_back::RecordsNeverGoBack::default());
    // Each of these may follow the one before, and none may come before it.
    let growing = [
        vec![identity(A1)],
        vec![Record::Sequence { reserved: 1 }, Record::Sequence { reserved: 2 }],
        vec![Record::Rounds { reserved: 1 }, Record::Rounds { reserved: 2 }],
        vec![acceptor(zero, None), acceptor(zero, Some((zero, PREPARED))), acceptor(one, Some((zero, PREPARED)))],
        vec![acceptor(one, None), acceptor(two, None), acceptor(two, Some((two, ABORTED)))],
        vec![accepted([Some(PREPARED), None]), accepted([Some(PREPARED), Some(ABORTED)])],
        vec![rm(Some(PREPARED), None), rm(Some(PREPARED), Some(Outcome::Committed))],
        vec![range(2, 3), range(2, 5)],
        vec![Record::Resolutions { count: 1 }, Record::Resolutions { count: 2 }],
        vec![rm(Some(PREPARED), None), by_hand(None, COMMITTED), by_hand(Some(COMMITTED), COMMITTED)],
        vec![history(1, 1, 7), history(3, 1, 7), history(7, 5, 7)],
        vec![handover(0, one), handover(0, two), handover(1, zero), handover(1, one)],
    ];
    for records in growing {
        let mut watch = new();
        for record in &records {
            // A torn write may leave a record that the next one repeats.
            watch.writes(A1, record.clone()).unwrap();
            watch.writes(A1, record.clone()).unwrap();
        }
        for pair in records.windows(2) {
            let mut watch = new();
            watch.writes(A1, pair[1].clone()).unwrap();
            watch.writes(A2, pair[0].clone()).unwrap();
            assert!(watch.writes(A1, pair[0].clone()).is_err(), "{pair:?}");
        }
    }
    let contradictions = [
        [identity(A1), identity(A2)],
        [rm(Some(PREPARED), None), rm(Some(ABORTED), None)],
        [rm(None, Some(Outcome::Aborted)), rm(Some(PREPARED), None)],
        [rm(Some(PREPARED), Some(Outcome::Aborted)), rm(Some(PREPARED), Some(Outcome::Committed))],
        [accepted([Some(PREPARED), None]), accepted([Some(ABORTED), None])],
        [acceptor(one, Some((one, ABORTED))), acceptor(two, None)],
        [by_hand(None, COMMITTED), by_hand(None, Outcome::Aborted)],
        [by_hand(None, COMMITTED), rm(Some(PREPARED), None)],
        [rm(Some(ABORTED), None), by_hand(None, COMMITTED)],
        [history(3, 1, 7), history(3, 3, 7)],
        [history(3, 1, 7), history(3, 1, 8)],
    ];
    for [before, after] in contradictions {
        let mut watch = new();
        watch.writes(A1, before.clone()).unwrap();
        assert!(watch.writes(A1, after.clone()).is_err(), "{before:?}, then {after:?}");
    }
}

#[test]
fn a_record_that_is_erased_before_its_time_or_comes_back_is_seen() {
    let range = |first, last| Record::Retired(TxRange::new(M1, first, last).unwrap());
    let first = |seq| Key::Retired(TxId { origin: M1, seq });
    let new = || Watch(super::super::records_never_go_back::RecordsNeverGoBack::default());
    let records = [acceptor(Ballot::initial(R1), Some((Ballot::initial(R1), PREPARED))), rm(Some(PREPARED), None)];
    for record in records {
        let erased = Record::Erased(record.key());
        let mut watch = new();
        watch.writes(R1, record.clone()).unwrap();
        watch.writes(R2, range(1, 1)).unwrap();
        assert!(watch.writes(R1, erased.clone()).is_err(), "{record:?}");

        let mut watch = new();
        watch.writes(R1, record.clone()).unwrap();
        watch.writes(R1, range(1, 1)).unwrap();
        watch.writes(R1, erased.clone()).unwrap();
        watch.writes(R1, erased).unwrap();
        watch.writes(R2, record.clone()).unwrap();
        assert!(watch.writes(R1, record.clone()).is_err(), "{record:?}");
    }

    // A range goes when a wider one has swallowed it.
    let mut watch = new();
    watch.writes(A1, range(3, 4)).unwrap();
    watch.writes(A1, range(1, 4)).unwrap();
    watch.writes(A1, Record::Erased(first(3))).unwrap();
    watch.writes(A1, Record::Erased(first(1))).unwrap_err();
    let mut watch = new();
    watch.writes(A1, range(3, 4)).unwrap();
    watch.writes(A1, range(1, 3)).unwrap();
    watch.writes(A1, Record::Erased(first(3))).unwrap_err();
    for (key, record) in
        [(Key::Sequence, Record::Sequence { reserved: 1 }), (Key::Rounds, Record::Rounds { reserved: 1 })]
    {
        let mut watch = new();
        watch.writes(A1, record).unwrap();
        watch.writes(A1, Record::Erased(key)).unwrap_err();
    }
}

#[test]
fn a_message_whose_record_is_not_durable_is_seen() {
    let (zero, one) = (Ballot::initial(R1), Ballot::new(1, M1));
    let vote = about(What::Vote { vote: PREPARED, manager: M1 });
    let finished = about(What::Finished(Outcome::Committed));
    let retired = TxRange::only(TX);
    let rests_on = [
        (vote.clone(), rm(Some(PREPARED), None)),
        (finished, rm(Some(PREPARED), Some(Outcome::Committed))),
        (say(paxos::Message::Prepare { ballot: Ballot::new(1, R1) }), Record::Rounds { reserved: 2 }),
        (say(paxos::Message::Promise { ballot: one, accepted: None }), acceptor(one, None)),
        (say(paxos::Message::Accepted { ballot: zero, value: PREPARED }), acceptor(zero, Some((zero, PREPARED)))),
        (Message::retired(retired), Record::Retired(retired)),
        (Message::RetiredNoted { range: retired }, Record::Retired(retired)),
    ];
    for (message, record) in rests_on {
        let mut watch = Watch(super::super::persist_before_send::PersistBeforeSend::default());
        assert!(watch.sends(R1, message.clone()).is_err(), "{message:?}");
        watch.writes(R2, record.clone()).unwrap();
        assert!(watch.sends(R1, message.clone()).is_err(), "{message:?}");
        watch.writes(R1, record).unwrap();
        watch.sends(R1, message).unwrap();
    }
    let mut watch = Watch(super::super::persist_before_send::PersistBeforeSend::default());
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap();
    watch.sends(R1, vote).unwrap_err();
}

#[test]
fn every_instance_of_a_message_must_be_durable() {
    let (one, two) = (Ballot::new(1, M1), Ballot::new(2, M2));
    let both = || Places::first(2);
    let higher = |rm| Acceptance { rm, ballot: one, vote: ABORTED };
    let votes = |places: &[usize]| Votes::from_iter(places.iter().map(|place| (*place, PREPARED)));
    let promise = |instances, votes, higher: &[Acceptance]| {
        let promises = Promises { instances, votes, higher: higher.into() };
        about(What::Phase1b { ballot: two, promises: Box::new(promises) })
    };
    let bundle = |votes, higher: &[Acceptance]| about(What::Phase2b { votes, higher: higher.into() });
    // The first instance is at ballot 2, and has accepted in ballot 1; the second has accepted its own vote.
    let record = || {
        let state = paxos::AcceptorRecord { promised: Some(two), accepted: Some((one, ABORTED)) };
        let higher = Box::from([HigherInstance { rm: R1, state }]);
        Record::Acceptor(AcceptorRecord { transaction: transaction(), votes: votes(&[1]), higher })
    };
    let good = [
        promise(Places::first(1), votes(&[]), &[higher(R1)]),
        bundle(votes(&[1]), &[higher(R1)]),
        bundle(votes(&[1]), &[]),
    ];
    let bad = [
        promise(both(), votes(&[]), &[]),
        promise(Places::first(1), votes(&[1]), &[higher(R1)]),
        promise(Places::from_iter([0, 2]), votes(&[]), &[higher(R1)]),
        bundle(votes(&[1]), &[higher(R1), higher(R2)]),
        bundle(votes(&[1, 2]), &[higher(R1)]),
        bundle(votes(&[1]), &[Acceptance { vote: PREPARED, ..higher(R1) }]),
        bundle(Votes::from_iter([(1, ABORTED)]), &[]),
    ];
    for (messages, holds) in [(good.as_slice(), true), (bad.as_slice(), false)] {
        for message in messages {
            let mut watch = Watch(super::super::persist_before_send::PersistBeforeSend::default());
            watch.writes(A1, record()).unwrap();
            assert_eq!(watch.sends(A1, message.clone()).is_ok(), holds, "{message:?}");
        }
    }
}

#[test]
fn a_name_that_is_not_reserved_is_seen() {
    let new = || Watch(super::super::persist_before_send::PersistBeforeSend::default());
    let prepare = || about(What::prepare(meta()));

    let mut watch = new();
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.sends(M1, prepare()).unwrap_err();
    watch.writes(M1, Record::Sequence { reserved: TX.seq }).unwrap();
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.writes(M1, Record::Sequence { reserved: TX.seq + 1 }).unwrap();
    watch.decides(M1, Decision::Begun(TX)).unwrap();
    watch.sends(M1, prepare()).unwrap();
    // The name is another node's matter.
    new().sends(M2, prepare()).unwrap();

    let tellings = [
        Decision::Vote { transaction: transaction(), meta: meta() },
        commit(TX),
        abort(TX),
        decided(Outcome::Committed),
        Decision::Completed { tx: TX, outcome: Outcome::Committed },
    ];
    for telling in tellings {
        assert!(new().decides(M1, telling.clone()).is_err(), "{telling:?}");
        new().decides(M2, telling.clone()).unwrap();
        let mut watch = new();
        watch.writes(M1, Record::Sequence { reserved: TX.seq + 1 }).unwrap();
        watch.decides(M1, telling).unwrap();
    }
}

#[test]
fn a_name_that_is_given_twice_is_seen() {
    let mut watch = Watch(super::super::names_are_given_once::NamesAreGivenOnce::default());
    watch.decides(M1, Decision::Begun(TX)).unwrap();
    watch.decides(M1, Decision::Begun(OTHER)).unwrap();
    watch.restarts(M1);
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.decides(M2, Decision::Begun(TxId { seq: 3, ..TX })).unwrap_err();
}

#[test]
fn a_record_that_is_left_on_a_disk_is_seen() {
    let mut watch = Watch(super::super::nothing_is_left::NothingIsLeft::default());
    watch.writes(A1, acceptor(Ballot::new(1, M1), None)).unwrap();
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.0.finish().unwrap_err();
    watch.writes(A1, Record::Erased(Key::Acceptor(TX))).unwrap();
    watch.writes(A1, Record::Erased(Key::ResourceManager(TX))).unwrap();
    watch.0.finish().unwrap_err();
    watch.writes(R1, Record::Erased(Key::ResourceManager(TX))).unwrap();
    watch.writes(R1, Record::Retired(TxRange::only(TX))).unwrap();
    watch.0.finish().unwrap();
}
