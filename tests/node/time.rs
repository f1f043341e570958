//! What time does: nothing but ticks, and only what is due.

use std::collections::BTreeSet;

use synod::{
    Machine, NodeId, Refusal,
    commit::{Input, Node, Outcome, Time, Timeouts, Vote, Wait},
};

use super::{
    completed, prepared,
    support::{
        ACCEPTORS, KEEPERS, RMS, TIMEOUTS, TMS, catalogue, cluster, config, judge, node, refuse, say, transaction, tx,
    },
};

#[test]
fn a_node_with_nothing_to_wait_for_has_no_deadline() {
    for at in [RMS[0], ACCEPTORS[0], TMS[0]] {
        let mut node = node(at);
        assert_eq!(node.deadline(), None);
        assert_eq!(node.step(Input::Tick(Time(7))), []);
        assert_eq!(node.deadline(), None);
    }
}

#[test]
fn a_timer_that_is_armed_between_ticks_starts_at_the_next_one_which_is_due_at_once() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(1_000)));
    tm.step(Input::Begin(transaction(1)));
    assert_eq!(tm.deadline(), Some(Time(1_000)));
    // It waits from here on, however late that is.
    assert_eq!(tm.step(Input::Tick(Time(50_000))), []);
    let due = tm.deadline().unwrap();
    assert!((50_000 + TIMEOUTS.recover..=50_000 + TIMEOUTS.recover * 3 / 2).contains(&due.0), "{due:?}");
    // Nothing is due before that.
    for before in [50_000, 50_001, due.0 - 1] {
        assert_eq!(tm.step(Input::Tick(Time(before))), []);
        assert_eq!(tm.deadline(), Some(due));
    }
    assert!(!tm.step(Input::Tick(due)).is_empty());
    assert_eq!(tm.metrics().recoveries, 1);
}

#[test]
fn time_never_goes_back_and_may_stand_still_or_leap() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(100)));
    refuse(&mut rm, Input::Tick(Time(99)), Refusal::TimeWentBack);
    assert_eq!(judge(&rm, &Input::Tick(Time(100))), Ok(()));
    assert_eq!(rm.step(Input::Tick(Time(100))), []);
    assert!(!rm.step(Input::Tick(Time(u64::MAX))).is_empty());
    // At the end of time whatever is due is due at every tick, and nothing overflows.
    assert_eq!(rm.deadline(), Some(Time(u64::MAX)));
    assert!(!rm.step(Input::Tick(Time(u64::MAX))).is_empty());
}

#[test]
fn the_clock_of_a_restarted_node_may_begin_anywhere() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(1_000_000)));
    let mut rm = Node::restore(rm.config().clone(), rm.snapshot()).unwrap();
    assert_eq!(rm.deadline(), Some(Time(0)));
    assert_eq!(rm.step(Input::Tick(Time(3))), []);
    let due = rm.deadline().unwrap();
    assert!((3 + TIMEOUTS.inquire..=3 + TIMEOUTS.inquire * 3 / 2).contains(&due.0), "{due:?}");
}

#[test]
fn waits_double_up_to_the_ceiling_and_are_drawn_out_by_up_to_a_half() {
    let mut rm = prepared(RMS[0]);
    let mut now = 0;
    rm.step(Input::Tick(Time(now)));
    for repetition in 0..12 {
        let wait = (TIMEOUTS.inquire << repetition).min(TIMEOUTS.ceiling);
        let due = rm.deadline().unwrap().0;
        assert!((now + wait..=now + wait * 3 / 2).contains(&due), "{repetition}: {}", due - now);
        now = due;
        assert!(!rm.step(Input::Tick(Time(now))).is_empty());
    }
    // Whatever the number of repetitions and the jitter.
    let timeouts = Timeouts { ceiling: u64::MAX, ..TIMEOUTS };
    for repetition in [0, 1, 63, 64, u32::MAX] {
        for wait in [Wait::Flush, Wait::Recover(repetition), Wait::Inquire(repetition), Wait::Repeat(repetition)] {
            for jitter in [0, 1, u64::MAX] {
                assert!(wait.duration(&timeouts, jitter) >= TIMEOUTS.flush);
                assert!(wait.duration(&TIMEOUTS, jitter) <= TIMEOUTS.ceiling * 3 / 2);
            }
        }
    }
}

#[test]
fn nodes_with_other_seeds_do_not_wait_equally_long() {
    let due = |seed| {
        let mut tm = Node::create(synod::commit::Config { seed, ..config(&cluster(), TMS[0]) }).0;
        tm.step(Input::Begin(transaction(1)));
        tm.step(Input::Tick(Time(0)));
        tm.deadline()
    };
    assert_eq!(due(1), due(1));
    assert!((2..20).any(|seed| due(seed) != due(1)));
}

/// The numbers are what SplitMix64 makes of seed, transaction, repetition and role; a node must wait equally long
/// wherever it runs.
#[test]
fn how_long_a_node_waits_is_the_same_on_every_platform() {
    let waits = |at: NodeId, seed: u64, seq: u64| {
        let cluster =
            cluster().with_timeouts(Timeouts { recover: 1 << 40, inquire: 1 << 40, ceiling: 1 << 41, ..TIMEOUTS });
        let mut node = Node::create(synod::commit::Config { seed, ..config(&cluster.unwrap(), at) }).0;
        if at == TMS[0] {
            node.step(Input::Begin(transaction(seq)));
        } else {
            node.step(say::from(TMS[0], say::prepare(&transaction(seq))));
            node.step(Input::Vote { tx: tx(seq), vote: Vote::Prepared });
        }
        let mut now = 0;
        [(); 2].map(|()| {
            node.step(Input::Tick(Time(now)));
            let wait = node.deadline().unwrap().0 - now;
            now += wait;
            node.step(Input::Tick(Time(now)));
            wait
        })
    };
    let all = [
        waits(TMS[0], 0, 1),
        waits(TMS[0], u64::MAX, 1),
        waits(TMS[0], 0x0123_4567_89ab_cdef, 2),
        waits(RMS[0], 0, 1),
        waits(RMS[0], 0x0123_4567_89ab_cdef, u64::MAX),
    ];
    let expected = [
        [1_236_075_762_486, 2_959_731_138_247],
        [1_416_412_363_177, 2_968_261_013_732],
        [1_255_951_274_367, 2_269_569_140_637],
        [1_125_510_619_927, 2_423_038_172_425],
        [1_571_209_989_644, 2_885_321_865_584],
    ];
    assert_eq!(all, expected);
}

/// As above, with the moment in the place of transaction and role.
#[test]
fn how_long_a_node_waits_for_acknowledgements_is_the_same_on_every_platform() {
    let waits = |seed, now| {
        let cluster = cluster().with_timeouts(Timeouts { repeat: 1 << 40, ceiling: 1 << 41, ..TIMEOUTS }).unwrap();
        let mut tm = Node::create(synod::commit::Config { seed, ..config(&cluster, TMS[0]) }).0;
        tm.step(Input::Begin(transaction(1)));
        for rm in RMS {
            tm.step(say::from(rm, say::finished(&transaction(1), Outcome::Committed)));
        }
        tm.step(Input::Tick(Time(now)));
        tm.deadline().unwrap().0 - now
    };
    let all = [waits(0, 0), waits(0x0123_4567_89ab_cdef, 0xffff), waits(0xff, 0x0f)];
    assert_eq!(all, [1_346_360_675_423, 1_387_809_557_325, 1_415_746_520_764]);
}

#[test]
fn news_ends_a_wait_and_another_begins() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    rm.step(Input::Tick(Time(10)));
    let due = rm.deadline().unwrap().0;
    assert!(
        (10 + TIMEOUTS.repeat..=10 + TIMEOUTS.repeat * 3 / 2).contains(&due),
        "not the longer wait of who is in doubt"
    );
    rm.step(Input::Finished(tx(1)));
    rm.step(say::from(TMS[0], say::retired(tx(1))));
    rm.step(Input::Tick(Time(11)));
    assert_eq!(rm.deadline(), None);
    assert_eq!(rm.step(Input::Tick(Time(1_000_000))), []);
}

/// A resource manager whose waits all take one unit of time, prepared in this many transactions since the beginning.
fn punctual(transactions: u64) -> Node {
    let timeouts = Timeouts { flush: 1, recover: 1, inquire: 1, repeat: 1, ceiling: 1 };
    let mut rm = Node::create(config(&cluster().with_timeouts(timeouts).unwrap(), RMS[0])).0;
    for seq in 1..=transactions {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { tx: tx(seq), vote: Vote::Prepared });
    }
    rm.step(Input::Tick(Time(0)));
    rm
}

#[test]
fn a_wait_that_is_over_does_not_end_with_another_that_ends_at_the_same_time() {
    let mut rm = punctual(2);
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    let effects = rm.step(Input::Tick(Time(1)));
    let about = say::sends(&effects).into_iter().filter_map(|(_, message)| Some(message.transaction()?.id()));
    assert_eq!(about.collect::<Vec<_>>(), [tx(2); 4]);
    assert_eq!(effects.len(), 4);
}

/// Clearing away is to look at all of them.
#[test]
fn waits_that_are_over_are_cleared_away_once_they_are_the_greater_part_and_not_before() {
    let mut rm = punctual(1_400);
    rm.step(Input::Tick(Time(1)));
    let end = |rm: &mut Node, seq| {
        rm.step(say::from(TMS[0], say::outcome(&transaction(seq), Outcome::Committed)));
        rm.step(Input::Finished(tx(seq)));
        rm.step(say::from(TMS[0], say::retired(tx(seq))));
    };
    let kept = |rm: &Node| catalogue::memory(rm).matches(", ResourceManager)").count();
    // Half of them, and 512.
    (1..=1_212).for_each(|seq| end(&mut rm, seq));
    rm.step(Input::Tick(Time(1)));
    assert_eq!(kept(&rm), 1_400);
    end(&mut rm, 1_213);
    rm.step(Input::Tick(Time(1)));
    assert_eq!(kept(&rm), 187);
    // The others end when they were to end.
    assert_eq!(rm.deadline(), Some(Time(2)));
    let effects = rm.step(Input::Tick(Time(2)));
    let about = say::sends(&effects).into_iter().filter_map(|(_, message)| Some(message.transaction()?.id()));
    assert_eq!(about.collect::<BTreeSet<_>>(), (1_214..=1_400).map(tx).collect());
    (1_214..=1_400).for_each(|seq| end(&mut rm, seq));
    assert_eq!(rm.step(Input::Tick(Time(2))), []);
    assert_eq!(rm.deadline(), None);
}

/// Where a transaction begins one wait after the other, too, only the last one stays.
#[test]
fn waits_that_gave_way_to_others_are_cleared_away_as_well() {
    let timeouts = Timeouts { flush: 1, recover: 1, inquire: 100, repeat: 1, ceiling: 100 };
    let mut acceptor = Node::create(config(&cluster().with_timeouts(timeouts).unwrap(), ACCEPTORS[0])).0;
    let kept = |acceptor: &Node| catalogue::memory(acceptor).matches(", Acceptor)").count();
    for seq in 1..=200 {
        acceptor.step(say::from(RMS[0], say::vote(&transaction(seq), Vote::Aborted, TMS[0])));
    }
    acceptor.step(Input::Tick(Time(0)));
    assert_eq!(kept(&acceptor), 200);
    let after_ten = (0..200).map(|turn| {
        for seq in 1..=10 {
            acceptor.step(Input::Inquire(tx(turn % 20 * 10 + seq)));
            acceptor.step(Input::Tick(Time(0)));
        }
        kept(&acceptor)
    });
    let after_ten: Vec<usize> = after_ten.collect();
    assert!(after_ten.iter().all(|kept| *kept < 2_000));
    assert!(after_ten[100..].iter().any(|kept| *kept <= 210));
}

/// Of transactions that come and go between two ticks the next tick would have nothing to do.
#[test]
fn what_is_over_before_its_wait_begins_is_cleared_away_once_it_is_the_greater_part_and_not_before() {
    let mut rm = node(RMS[0]);
    let kept = |rm: &Node| {
        let memory = catalogue::memory(rm);
        let (_, armed) = memory.split_once("armed: [").unwrap();
        armed.split_once(']').unwrap().0.matches("TxId").count()
    };
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    for seq in 2..=1_030 {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(say::from(TMS[0], say::retired(tx(seq))));
        // Twice as many as are open, and 1,024.
        assert_eq!(kept(&rm) as u64, if seq < 1_028 { seq } else { seq - 1_027 });
    }
}

#[test]
fn while_its_resource_works_a_resource_manager_waits_for_nothing_else() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Tick(Time(0)));
    assert_eq!(rm.deadline(), None);
    assert_eq!(rm.step(Input::Tick(Time(1_000_000))), []);
}

#[test]
fn a_tick_costs_what_is_due_and_comes_in_the_order_of_time() {
    let mut rm = node(RMS[0]);
    for seq in 1..=50 {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { tx: tx(seq), vote: Vote::Prepared });
        rm.step(Input::Tick(Time(seq)));
    }
    let mut inquired = Vec::new();
    while inquired.len() < 50 {
        let due = rm.deadline().unwrap();
        let effects = rm.step(Input::Tick(due));
        let about: Vec<u64> = say::sends(&effects)
            .into_iter()
            .filter(|(to, _)| *to == TMS[1])
            .filter_map(|(_, message)| Some(message.transaction()?.id().seq))
            .collect();
        assert!(!about.is_empty(), "a deadline at which nothing was due");
        inquired.extend(about);
    }
    inquired.sort_unstable();
    assert_eq!(inquired, (1..=50).collect::<Vec<_>>());
}

#[test]
fn announcements_that_nobody_acknowledges_come_more_and_more_seldom() {
    let (mut tm, _) = completed(Outcome::Committed);
    assert_eq!(tm.deadline(), Some(Time(0)));
    tm.step(Input::Tick(Time(0)));
    let mut now = 0;
    for repetition in 0..8 {
        let wait = (TIMEOUTS.repeat << repetition).min(TIMEOUTS.ceiling);
        let due = tm.deadline().unwrap().0;
        assert!((now + wait..=now + wait * 3 / 2).contains(&due));
        assert_eq!(tm.step(Input::Tick(Time(due - 1))), []);
        let effects = tm.step(Input::Tick(Time(due)));
        assert_eq!(say::sends(&effects).into_iter().map(|(to, _)| to).collect::<Vec<NodeId>>(), KEEPERS);
        now = due;
    }
}

#[test]
fn to_look_ahead_finds_the_messages_whose_transaction_waits_here_and_changes_nothing() {
    let vote = |seq| say::vote(&transaction(seq), Vote::Prepared, TMS[0]);
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(RMS[0], vote(1)));
    acceptor.step(say::from(RMS[0], vote(2)));
    let messages = [vote(1), vote(3), vote(2), say::retired(tx(1)), vote(1)];
    assert_eq!(acceptor.look_ahead(&messages), 0, "their waits have yet to begin");
    acceptor.step(Input::Tick(Time(0)));
    let before = format!("{acceptor:?}");
    assert_eq!(acceptor.look_ahead(&messages), 3);
    assert_eq!(acceptor.look_ahead(&[]), 0);
    assert_eq!(format!("{acceptor:?}"), before);

    let outcome = [say::outcome(&transaction(1), Outcome::Committed)];
    let mut working = node(RMS[0]);
    working.step(say::from(TMS[0], say::prepare(&transaction(1))));
    let [mut rm, mut tm] = [prepared(RMS[0]), node(TMS[0])];
    tm.step(Input::Begin(transaction(1)));
    for (node, waiting) in [(&mut working, 0), (&mut rm, 1), (&mut tm, 1)] {
        node.step(Input::Tick(Time(0)));
        assert_eq!(node.look_ahead(&outcome), waiting);
    }
}
