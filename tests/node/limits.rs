//! How much a node takes on, and the names that it gives.

use std::collections::{BTreeMap, BTreeSet};

use synod::{
    Ballot, Effect, Machine, NodeId, Outbox, Refusal, TxId,
    commit::{
        ConfigError, Decision, GivenNames, Input, Limits, MOST_NAMES, Meta, Node, Outcome, Participants, Record,
        Status, Timeouts, Transaction, TxRange, Vote,
    },
    paxos::Message::Prepare,
};

use super::support::{
    ACCEPTORS, RMS, STRANGER, TMS, begun, cluster, config, founding, node, refuse, say, spec, spec_of, transaction, tx,
    verdict,
};

fn limits(open: usize, participants: usize, meta: usize) -> Limits {
    Limits::default().with_open(open).with_participants(participants).with_meta(meta)
}

/// A node of every role, which takes on two transactions.
fn busy() -> Node {
    let mut node = Node::create(config(&spec_of(&RMS, &RMS).with_limits(limits(2, 3, 4)).build().unwrap(), RMS[0])).0;
    for seq in [1, 2] {
        node.step(say::from(RMS[1], say::prepare(&transaction(seq))));
    }
    node
}

#[test]
fn over_the_limit_no_new_work_is_taken() {
    let mut node = busy();
    for input in [
        say::begins(&transaction(3)),
        say::from(RMS[1], say::begin(&transaction(3))),
        say::from(RMS[1], say::prepare(&transaction(3))),
        say::from(RMS[1], say::vote(&transaction(3), Vote::Prepared, RMS[1])),
    ] {
        assert_eq!(refuse(&mut node, input, Refusal::TooManyOpen), []);
    }
}

#[test]
fn over_the_limit_what_ends_old_work_is_taken_until_there_is_sixty_four_times_as_much() {
    let prepare = Prepare { ballot: Ballot::new(1, RMS[1]) };
    let ends = |seq| {
        let transaction = transaction(seq);
        [
            say::inquire(&transaction),
            say::outcome(&transaction, Outcome::Aborted),
            say::finished(&transaction, Outcome::Aborted),
            say::paxos(&transaction, &RMS, prepare),
        ]
    };
    for kind in 0..4 {
        let mut node = busy();
        for seq in 3..=128 {
            assert_eq!(verdict(&node, &say::from(RMS[1], ends(seq)[kind].clone())), Ok(()));
            node.step(say::from(RMS[1], ends(seq)[kind].clone()));
        }
        assert_eq!(node.metrics().open, 128);
        for message in ends(129) {
            assert_eq!(refuse(&mut node, say::from(RMS[1], message), Refusal::TooManyOpen), []);
        }
        // What is open goes on, and makes room when it is over.
        node.step(Input::Vote { transaction: transaction(1), vote: Vote::Aborted });
        for seq in 1..=127 {
            node.step(say::from(RMS[1], say::retired(tx(seq))));
        }
        assert_eq!(verdict(&node, &say::begins(&transaction(129))), Ok(()));
    }
}

#[test]
fn a_transaction_that_is_too_large_gets_in_by_no_message() {
    let mut node = busy();
    node.step(say::from(RMS[1], say::retired(tx(2))));
    let many = Transaction::new(tx(9), [RMS[0], RMS[1], RMS[2], TMS[0]], []).unwrap();
    let long = Transaction::new(tx(9), RMS, *b"12345").unwrap();
    let just = Transaction::new(tx(9), RMS, *b"1234").unwrap();
    for (transaction, refusal) in [(many, Refusal::TooManyParticipants), (long, Refusal::MetaTooLong)] {
        refuse(&mut node, say::begins(&transaction), refusal);
        refuse(&mut node, say::from(RMS[1], say::prepare(&transaction)), refusal);
        refuse(&mut node, say::from(RMS[1], say::begin(&transaction)), refusal);
        if refusal == Refusal::TooManyParticipants {
            for message in [say::inquire(&transaction), say::outcome(&transaction, Outcome::Aborted)] {
                refuse(&mut node, say::from(RMS[1], message), refusal);
            }
        }
    }
    assert_eq!(verdict(&node, &say::begins(&just)), Ok(()));
}

#[test]
fn what_is_open_or_over_is_not_measured_again_when_limits_shrink() {
    let mut rm = node(RMS[0]);
    for seq in [1, 2, 3] {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
    }
    rm.step(say::from(TMS[0], say::outcome(&transaction(3), Outcome::Aborted)));
    rm.step(Input::Finished(tx(3)));
    rm.step(say::from(TMS[0], say::retired(tx(3))));
    let mut rm =
        Node::restore(config(&spec().with_limits(limits(1, 1, 1)).build().unwrap(), RMS[0]), rm.snapshot()).unwrap();
    assert_eq!(rm.metrics().open, 2);
    for seq in [1, 2] {
        rm.step(say::from(TMS[0], say::outcome(&transaction(seq), Outcome::Committed)));
        let effects = rm.step(Input::Finished(tx(seq)));
        assert_eq!(say::sends(&effects), [(TMS[0], &say::finished(&transaction(seq), Outcome::Committed))]);
    }
    refuse(&mut rm, say::from(TMS[0], say::prepare(&transaction(3))), Refusal::Retired);
}

/// Begins a transaction that gets its name here.
fn new() -> Input {
    Input::Begin { participants: Participants::new(RMS).unwrap(), meta: Meta::default() }
}

fn restored(at: synod::NodeId, reserved: u64) -> Node {
    let records = founding(&cluster(), at).into_iter().chain([Record::Sequence { reserved }]);
    Node::restore(config(&cluster(), at), records).unwrap()
}

#[test]
fn a_name_is_given_once_and_comes_behind_the_record_of_its_block() {
    let mut tm = node(TMS[0]);
    let mut given = BTreeSet::new();
    for restart in 0..3 {
        for number in 0..1_500 {
            let effects = tm.step(new());
            let tx = begun(&effects).unwrap();
            assert_eq!(tx.origin, TMS[0]);
            assert!(given.insert(tx), "{tx} comes twice");
            match &effects[..effects.len() - RMS.len()] {
                [Effect::Decide(Decision::Begun(_))] => {
                    assert!(!matches!(number, 0 | 1_024), "{number} after {restart}");
                }
                [Effect::Persist(Record::Sequence { reserved }), Effect::Decide(Decision::Begun(_))] => {
                    assert!(matches!(number, 0 | 1_024), "{number} after {restart}");
                    assert!(tx.seq < *reserved);
                }
                other => panic!("{other:?}"),
            }
        }
        tm = Node::restore(tm.config().clone(), tm.snapshot()).unwrap();
    }
    // A name without a gap in between where there was no restart.
    assert!((1..=1_500).all(|seq| given.contains(&TxId { origin: TMS[0], seq })));
}

#[test]
fn a_begin_names_the_transaction_before_anything_is_said_of_it() {
    let mut tm = node(TMS[0]);
    let effects = tm.step(new());
    let name = TxId { origin: TMS[0], seq: 1 };
    let prepare = say::prepare(&Transaction::new(name, RMS, []).unwrap());
    let asked = RMS.map(|to| Effect::Send { to, message: prepare.clone() });
    let named = [Effect::Persist(Record::Sequence { reserved: 1_025 }), Effect::Decide(Decision::Begun(name))];
    assert_eq!(effects, [&named[..], &asked].concat());
    // A crash before that loses the name, which nobody has seen, and it is given again.
    let mut lost = Node::restore(tm.config().clone(), founding(&cluster(), TMS[0])).unwrap();
    assert_eq!(begun(&lost.step(new())), Some(name));
}

#[test]
fn a_name_and_all_that_shows_it_wait_for_the_record_of_its_block() {
    let (mut tm, mut outbox) = (node(TMS[0]), Outbox::new());
    assert_eq!(outbox.step(&mut tm, new()), Ok(()));
    assert!(outbox.take_free().is_none(), "a crash now would give the name again");
    let pending = outbox.take().unwrap();
    assert_eq!(pending.records(), [Record::Sequence { reserved: 1_025 }]);
    let (packets, decisions) = pending.persisted().into_parts();
    assert_eq!(decisions, [Decision::Begun(TxId { origin: TMS[0], seq: 1 })]);
    assert_eq!(packets.iter().map(|packet| packet.to).collect::<Vec<_>>(), RMS);
}

#[test]
fn names_end_and_never_wrap() {
    let mut tm = restored(TMS[0], u64::MAX - 2);
    for seq in [u64::MAX - 2, u64::MAX - 1] {
        assert_eq!(begun(&tm.step(new())), Some(TxId { origin: TMS[0], seq }));
    }
    for _ in 0..2 {
        assert_eq!(refuse(&mut tm, new(), Refusal::NumbersUsedUp), []);
    }
    refuse(&mut restored(TMS[0], u64::MAX), new(), Refusal::NumbersUsedUp);
    // Nor does a caller get beyond.
    let last = Transaction::new(TxId { origin: TMS[0], seq: u64::MAX }, RMS, []).unwrap();
    refuse(&mut node(TMS[0]), say::begins(&last), Refusal::NumbersUsedUp);
    assert_eq!(verdict(&node(TMS[1]), &say::begins(&last)), Ok(()), "it is no name of that node's own");
}

fn given(first: u64, last: u64) -> GivenNames {
    GivenNames { names: TxRange::new(TMS[0], first, last).unwrap(), epoch: 0 }
}

#[test]
fn names_are_given_away_in_a_row_behind_the_record_of_their_block_and_each_only_once() {
    let mut tm = node(TMS[0]);
    let row = |first, last| Decision::Named(given(first, last));
    let ask = |count| Input::Names { count };
    let reserved = |reserved| Effect::Persist(Record::Sequence { reserved });
    assert_eq!(tm.step(ask(10)), [reserved(1_034), Effect::Decide(row(1, 10))]);
    assert_eq!(tm.step(ask(1)), [Effect::Decide(row(11, 11))]);
    assert_eq!(begun(&tm.step(new())), Some(TxId { origin: TMS[0], seq: 12 }));
    // Neither what is over nor what is open is among them.
    tm.step(say::from(TMS[1], say::retired(TxId { origin: TMS[0], seq: 15 })));
    let open = Transaction::new(TxId { origin: TMS[0], seq: 18 }, RMS, []).unwrap();
    tm.step(say::from(RMS[0], say::inquire(&open)));
    assert_eq!(
        [ask(9), ask(9), ask(9)].map(|ask| tm.step(ask)),
        [[Effect::Decide(row(13, 14))], [Effect::Decide(row(16, 17))], [Effect::Decide(row(19, 27))],]
    );
    let mut restored = Node::restore(tm.config().clone(), tm.snapshot()).unwrap();
    let effects = restored.step(ask(MOST_NAMES));
    assert_eq!(effects[1], Effect::Decide(row(1_034, 2_057)), "whatever was given, it is not given again");
    for count in [0, MOST_NAMES + 1, u64::MAX] {
        assert_eq!(refuse(&mut tm, ask(count), Refusal::BadCount), []);
    }
    assert_eq!(refuse(&mut node(RMS[0]), ask(1), Refusal::NotAManager), []);
}

#[test]
fn the_last_names_are_given_away_and_never_wrap() {
    let mut tm = restored(TMS[0], u64::MAX - 2);
    let last = given(u64::MAX - 2, u64::MAX - 1);
    assert_eq!(tm.step(Input::Names { count: 9 }).last(), Some(&Effect::Decide(Decision::Named(last))));
    assert_eq!(refuse(&mut tm, Input::Names { count: 1 }, Refusal::NumbersUsedUp), []);
}

#[test]
fn who_was_given_a_name_begins_at_any_manager_by_it() {
    let mut tms = [node(TMS[0]), node(TMS[1])];
    tms[0].step(Input::Names { count: 2 });
    for (seq, tm) in (1..).zip(&mut tms) {
        let named = Transaction::new(TxId { origin: TMS[0], seq }, RMS, []).unwrap();
        assert_eq!(tm.step(say::begins(&named)).len(), RMS.len(), "nothing is written for it");
    }
}

#[test]
fn a_refused_begin_uses_no_number() {
    let cluster = spec().with_limits(limits(2, 3, 4)).build().unwrap();
    let begin = |participants: &[_], meta: &[u8]| Input::Begin {
        participants: Participants::new(participants).unwrap(),
        meta: Meta::from(meta),
    };
    let mut tm = Node::create(config(&cluster, TMS[0])).0;
    assert_eq!(begun(&tm.step(new())), Some(TxId { origin: TMS[0], seq: 1 }));
    refuse(&mut tm, begin(&[RMS[0], RMS[1], RMS[2], STRANGER], b""), Refusal::TooManyParticipants);
    refuse(&mut tm, begin(&RMS, b"12345"), Refusal::MetaTooLong);
    assert_eq!(begun(&tm.step(new())), Some(TxId { origin: TMS[0], seq: 2 }));
    for _ in 0..3 {
        assert_eq!(refuse(&mut tm, new(), Refusal::TooManyOpen), []);
    }
    tm.step(say::from(TMS[1], say::retired(TxId { origin: TMS[0], seq: 1 })));
    assert_eq!(begun(&tm.step(new())), Some(TxId { origin: TMS[0], seq: 3 }));
    // Where it is neither, not even a block is reserved.
    let mut rm = node(RMS[2]);
    assert_eq!(refuse(&mut rm, begin(&RMS[..2], b""), Refusal::NotAManager), []);
    let effects = rm.step(new());
    let name = TxId { origin: RMS[2], seq: 1 };
    assert_eq!(
        effects[..2],
        [Effect::Persist(Record::Sequence { reserved: 1_025 }), Effect::Decide(Decision::Begun(name))]
    );
}

#[test]
fn names_that_others_have_used_under_this_nodes_name_are_not_given_again() {
    let mut tm = node(TMS[0]);
    let own = |seq| TxId { origin: TMS[0], seq };
    let named = |seq| Transaction::new(own(seq), RMS, []).unwrap();
    assert_eq!(begun(&tm.step(new())), Some(own(1)));
    // Somebody holds an old copy of this node's storage, or the caller numbers by itself.
    tm.step(say::from(RMS[0], say::inquire(&named(2))));
    tm.step(say::from(TMS[1], say::retired_to(own(4), 9)));
    tm.step(say::from(TMS[1], say::retired_to(own(11), 11)));
    for seq in [3, 10, 12] {
        let effects = tm.step(new());
        assert_eq!(begun(&effects), Some(own(seq)));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Persist(_))), "its block is reserved");
    }
    // The caller's own numbers are reserved too, and what is below them is not given any more.
    assert_eq!(tm.step(say::begins(&named(20))).len(), RMS.len());
    assert_eq!(begun(&tm.step(new())), Some(own(21)));
    let effects = tm.step(say::begins(&named(5_000)));
    assert_eq!(effects[0], Effect::Persist(Record::Sequence { reserved: 6_024 }));
    assert_eq!(begun(&tm.step(new())), Some(own(5_001)));
    // To the end of a block that is over, and into the next.
    tm.step(say::from(TMS[1], say::retired_to(own(5_002), 6_023)));
    let effects = tm.step(new());
    assert_eq!(
        effects[..2],
        [Effect::Persist(Record::Sequence { reserved: 7_048 }), Effect::Decide(Decision::Begun(own(6_024)))]
    );
}

#[test]
fn a_node_whose_rounds_are_used_up_stalls_and_wraps_nothing() {
    let records = founding(&cluster(), TMS[0]).into_iter().chain([Record::Rounds { reserved: u64::MAX - 1 }]);
    let mut tm = Node::restore(config(&cluster(), TMS[0]), records).unwrap();
    let effects = tm.step(say::from(RMS[0], say::inquire(&transaction(1))));
    let last = say::paxos(&transaction(1), &RMS, Prepare { ballot: Ballot::new(u64::MAX - 1, TMS[0]) });
    assert_eq!(effects[0], Effect::Persist(Record::Rounds { reserved: u64::MAX }));
    assert_eq!(say::sends(&effects), ACCEPTORS.map(|acceptor| (acceptor, &last)));
    assert_eq!(tm.step(Input::Inquire(tx(1))), []);
    assert_eq!(tm.metrics().refused(Refusal::RoundsUsedUp), 1);
    assert!(matches!(tm.status(tx(1)), Status::Open { .. }));
}

#[test]
fn counters_count_what_a_node_does() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let metrics = rm.metrics();
    assert_eq!((metrics.steps, metrics.decisions, metrics.writes, metrics.sends), (3, 1, 1, 3));
    assert_eq!((metrics.open, metrics.retired_ranges, metrics.recoveries), (1, 0, 0));
    assert_eq!(metrics.refused(Refusal::AlreadyVoted), 1);
    let (tm, _) = super::completed(Outcome::Committed);
    assert_eq!((tm.metrics().open, tm.metrics().retired_ranges, tm.metrics().unacknowledged_ranges), (0, 1, 4));
}

#[test]
fn a_membership_is_as_large_as_one_message_tells_and_no_larger() {
    let nodes = |count: u64| (1_000..1_000 + count).map(NodeId);
    let contacts = |count, bytes: usize| nodes(count).map(|node| (node, vec![7; bytes])).collect::<BTreeMap<_, _>>();
    let large = Err(ConfigError::LargeMembership);
    // Each contact counts for sixteen bytes more than it has.
    for (count, most) in [(1, (1 << 16) - 16), (2, (1 << 15) - 16), (1 << 12, 0)] {
        let told = spec().with_contacts(contacts(count, most)).build().unwrap();
        assert_eq!(told.membership().contacts, contacts(count, most));
        for bytes in [most + 1, most + 2] {
            assert_eq!(spec().with_contacts(contacts(count, bytes)).build().map(drop), large);
        }
    }
    for more in [1, 2] {
        assert_eq!(spec().with_contacts(contacts((1 << 12) + more, 0)).build().map(drop), large);
    }
    let departed = |count| spec().with_departed(nodes(count).collect()).build();
    assert!(departed(1 << 12).unwrap().membership().departed.into_iter().eq(nodes(1 << 12)));
    let managed = |count| spec_of(&ACCEPTORS, &nodes(count).collect::<Vec<_>>()).build();
    assert_eq!(managed(1 << 10).unwrap().managers().len(), 1 << 10);
    for more in [1, 2] {
        assert_eq!(departed((1 << 12) + more).map(drop), large);
        assert_eq!(managed((1 << 10) + more).map(drop), large);
    }
}

#[test]
fn limits_and_time_outs_without_room_are_no_configuration() {
    let limits = |open, participants| spec().with_limits(limits(open, participants, 0)).build().map(drop);
    assert_eq!(limits(1, 1), Ok(()));
    assert_eq!(limits(0, 1), Err(ConfigError::NoRoom));
    assert_eq!(limits(1, 0), Err(ConfigError::NoRoom));
    let history = |history| spec().with_limits(Limits::default().with_history(history)).build().map(drop);
    assert_eq!((history(1 << 30), history((1 << 30) + 1)), (Ok(()), Err(ConfigError::LongHistory)));
    let waits = |waits: [u64; 4], ceiling| {
        let [flush, recover, inquire, repeat] = waits;
        let timeouts = Timeouts::default().with_flush(flush).with_recover(recover).with_inquire(inquire);
        spec().with_timeouts(timeouts.with_repeat(repeat).with_ceiling(ceiling)).build().map(drop)
    };
    assert_eq!(waits([5; 4], 5), Ok(()));
    assert_eq!(waits([5; 4], 6), Ok(()));
    for place in 0..4 {
        let (mut none, mut longer) = ([5; 4], [5; 4]);
        (none[place], longer[place]) = (0, 6);
        assert_eq!(waits(none, 5), Err(ConfigError::ZeroTimeout));
        assert_eq!(waits(longer, 5), Err(ConfigError::LowCeiling));
    }
}
