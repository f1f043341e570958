//! What time does: nothing but ticks, and only what is due.

use std::collections::BTreeSet;

use synod::{
    Effect, Machine, NodeId, Refusal, TxId,
    commit::{Config, Decision, Input, Node, Outcome, Time, Timeouts, Transaction, TxRange, Vote, roles::Wait},
};

use super::{
    completed, prepared,
    support::{
        self, ACCEPTORS, KEEPERS, RMS, TIMEOUTS, TMS, catalogue, cluster, cluster_of, config, node, refuse, say, spec,
        spec_of, transaction, tx,
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

/// Whether `due` is what a wait of `wait` that started at `start` may end at.
fn is_within(due: Option<Time>, start: u64, wait: u64) -> bool {
    due.is_some_and(|due| (start + wait..=start + wait * 3 / 2).contains(&due.0))
}

#[test]
fn a_time_out_starts_when_it_is_set_at_what_the_last_tick_said() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(1_000)));
    tm.step(say::begins(&transaction(1)));
    let due = tm.deadline().unwrap();
    assert!(is_within(Some(due), 1_000, TIMEOUTS.recover), "{due:?}");
    // Nothing is due before that.
    for before in [1_000, 1_001, due.0 - 1] {
        assert_eq!(tm.step(Input::Tick(Time(before))), []);
        assert_eq!(tm.deadline(), Some(due));
    }
    assert!(!tm.step(Input::Tick(due)).is_empty());
    assert_eq!(tm.metrics().recoveries, 1);
}

#[test]
fn time_outs_that_are_set_before_the_first_tick_start_at_it_wherever_that_is() {
    for first in [0, 7, 1_000_000, 1 << 63] {
        let mut tm = node(TMS[0]);
        tm.step(say::begins(&transaction(1)));
        assert_eq!(tm.deadline(), Some(Time(0)), "the node needs to know the time");
        assert_eq!(tm.step(Input::Tick(Time(first))), [], "the first tick ends nothing");
        let due = tm.deadline().unwrap();
        assert!(is_within(Some(due), first, TIMEOUTS.recover), "{due:?} after {first}");
        assert_eq!(tm.step(Input::Tick(Time(due.0 - 1))), []);
        assert!(!tm.step(Input::Tick(due)).is_empty());
    }
}

#[test]
fn time_never_goes_back_and_may_stand_still_or_leap() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(100)));
    refuse(&mut rm, Input::Tick(Time(99)), Refusal::TimeWentBack);
    let mut effects = Vec::new();
    assert_eq!(rm.step_into(Input::Tick(Time(100)), &mut effects), Ok(()));
    assert_eq!(effects, []);
    assert!(!rm.step(Input::Tick(Time(u64::MAX))).is_empty());
}

#[test]
fn at_the_end_of_time_nothing_panics_and_no_deadline_stays_due() {
    let full = || {
        let mut rm = prepared(RMS[0]);
        rm.step(Input::Tick(Time(0)));
        rm
    };
    let announcing = || {
        let (mut tm, _) = completed(Outcome::Committed);
        tm.step(Input::Tick(Time(0)));
        tm
    };
    let acceptor = || {
        let mut acceptor = node(ACCEPTORS[0]);
        acceptor.step(Input::Tick(Time(0)));
        acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
        acceptor
    };
    for mut node in [full(), announcing(), acceptor(), prepared(RMS[0]), completed(Outcome::Committed).0] {
        node.step(Input::Tick(Time(u64::MAX)));
        assert_eq!(node.deadline(), None, "its end is beyond all time");
        for _ in 0..3 {
            assert_eq!(node.step(Input::Tick(Time(u64::MAX))), [], "what has waited is not due for ever");
            assert_eq!(node.deadline(), None);
        }
        // What is set now cannot end either, and does not overflow.
        node.step(say::from(TMS[1], say::prepare(&transaction(2))));
        node.step(Input::Vote { transaction: transaction(2), vote: Vote::Prepared });
        assert_eq!(node.deadline(), None);
        refuse(&mut node, Input::Tick(Time(u64::MAX - 1)), Refusal::TimeWentBack);
    }
    // A wait that can still end does.
    let mut rm = node(RMS[0]);
    let last = u64::MAX - TIMEOUTS.inquire * 2;
    rm.step(Input::Tick(Time(last)));
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let due = rm.deadline().unwrap();
    assert!(due.0 - last >= TIMEOUTS.inquire);
    assert!(!rm.step(Input::Tick(due)).is_empty());
}

/// How late a tick may come without being a standstill.
fn shortest() -> u64 {
    let Timeouts { flush, recover, inquire, repeat, .. } = TIMEOUTS;
    flush.min(recover).min(inquire).min(repeat)
}

#[test]
fn a_standstill_is_left_out_but_for_the_shortest_time_out() {
    for standstill in [1_000, 1_000_000, 1 << 62] {
        let mut rm = prepared(RMS[0]);
        rm.step(Input::Tick(Time(0)));
        let first = rm.deadline().unwrap().0;
        // The second transaction would have waited for longer than the first one, and than that and the patience.
        rm.step(Input::Tick(Time(first - 1)));
        rm.step(say::from(TMS[0], say::prepare(&transaction(2))));
        rm.step(Input::Vote { transaction: transaction(2), vote: Vote::Prepared });
        let mut punctual = rm.clone();
        punctual.step(Input::Tick(Time(first + shortest())));
        let late = first + standstill;
        let effects = rm.step(Input::Tick(Time(late)));
        let about: BTreeSet<_> =
            say::sends(&effects).into_iter().filter_map(|(_, message)| Some(message.transaction()?.id())).collect();
        assert_eq!(about, [tx(1)].into(), "only what was due at the deadline has ended");
        // From then on it goes on as if the tick had come by that much too late and no more.
        let excess = late - (first + shortest());
        assert_eq!(rm.deadline().unwrap().0, punctual.deadline().unwrap().0 + excess);
        let age = |rm: &Node| rm.in_doubt().iter().map(|doubt| doubt.age).collect::<Vec<_>>();
        assert_eq!(age(&rm), age(&punctual));
        assert_eq!(age(&rm), [first + shortest(), shortest() + 1]);
    }
}

#[test]
fn a_tick_that_comes_late_by_the_shortest_time_out_is_no_standstill_and_one_later_is() {
    for (late, left_out) in [(0, 0), (shortest(), 0), (shortest() + 1, 1), (shortest() + 500, 500)] {
        let mut rm = prepared(RMS[0]);
        rm.step(Input::Tick(Time(0)));
        let due = rm.deadline().unwrap().0;
        rm.step(Input::Tick(Time(due + late)));
        assert_eq!(rm.in_doubt()[0].age, due + late - left_out);
    }
}

#[test]
fn with_nothing_to_wait_for_no_tick_comes_late_and_time_passes_in_full() {
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    assert_eq!(rm.deadline(), None);
    rm.step(Input::Tick(Time(1_000_000)));
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    assert_eq!(rm.in_doubt()[0].age, 0);
    assert!(is_within(rm.deadline(), 1_000_000, TIMEOUTS.inquire));
}

#[test]
fn the_clock_of_a_restarted_node_may_begin_anywhere() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Aborted, TMS[0])));
    acceptor.step(Input::Tick(Time(1_000_000)));
    let mut acceptor = Node::restore(acceptor.config().clone(), acceptor.snapshot()).unwrap();
    assert_eq!(acceptor.deadline(), Some(Time(0)));
    assert_eq!(acceptor.step(Input::Tick(Time(3))), []);
    let due = acceptor.deadline().unwrap();
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
    let timeouts = TIMEOUTS.with_ceiling(u64::MAX);
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
        let mut tm = Node::create(Config::new(cluster(), TMS[0], seed)).0;
        tm.step(say::begins(&transaction(1)));
        tm.step(Input::Tick(Time(0)));
        tm.deadline()
    };
    assert_eq!(due(1), due(1));
    assert!((2..20).any(|seed| due(seed) != due(1)));
}

/// The numbers are what SplitMix64 makes of seed, transaction, and what is waited for how often; a node must wait equally
/// long wherever it runs.
#[test]
fn how_long_a_node_waits_is_the_same_on_every_platform() {
    let of = |seq| Transaction::new(TxId { origin: TMS[0], seq }, RMS, *b"meta").unwrap();
    let waits = |at: NodeId, seed: u64, seq: u64| {
        let timeouts = TIMEOUTS.with_recover(1 << 40).with_inquire(1 << 40).with_ceiling(1 << 41);
        let cluster = spec().with_timeouts(timeouts).build().unwrap();
        let mut node = Node::create(Config::new(cluster, at, seed)).0;
        if at == TMS[0] {
            node.step(say::begins(&of(seq)));
        } else {
            node.step(say::from(TMS[0], say::prepare(&of(seq))));
            node.step(Input::Vote { transaction: of(seq), vote: Vote::Prepared });
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
        [1_379_704_804_749, 2_752_993_047_743],
        [1_634_153_728_110, 2_451_390_716_535],
        [1_233_063_979_709, 3_187_944_795_453],
        [1_293_800_585_144, 3_192_602_068_062],
        [1_477_565_501_493, 2_619_596_625_000],
    ];
    assert_eq!(all, expected);
}

/// As above, with the moment in the place of the transaction and of what is waited for.
#[test]
fn how_long_a_node_waits_for_acknowledgements_is_the_same_on_every_platform() {
    let waits = |seed, now: u64| {
        let cluster = spec().with_timeouts(TIMEOUTS.with_repeat(1 << 40).with_ceiling(1 << 41)).build().unwrap();
        let mut tm = Node::create(Config::new(cluster, TMS[0], seed)).0;
        // The node's own clock begins at the first tick.
        tm.step(Input::Tick(Time(5)));
        tm.step(Input::Tick(Time(5 + now)));
        tm.step(say::begins(&transaction(1)));
        for rm in RMS {
            tm.step(say::from(rm, say::finished(&transaction(1), Outcome::Committed)));
        }
        tm.deadline().unwrap().0 - (5 + now)
    };
    let all = [waits(0, 0), waits(0x0123_4567_89ab_cdef, 0xffff), waits(0xff, 0x0f)];
    assert_eq!(all, [1_585_116_880_062, 1_268_460_036_496, 1_508_968_539_346]);
}

#[test]
fn news_ends_a_wait_and_another_begins() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(Input::Tick(Time(10)));
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    let due = rm.deadline().unwrap().0;
    assert!(
        (10 + TIMEOUTS.repeat..=10 + TIMEOUTS.repeat * 3 / 2).contains(&due),
        "not the longer wait of who is in doubt"
    );
    rm.step(Input::Finished(tx(1)));
    rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!(rm.deadline(), None);
    rm.step(Input::Tick(Time(11)));
    assert_eq!(rm.deadline(), None);
    assert_eq!(rm.step(Input::Tick(Time(1_000_000))), []);
}

/// A resource manager that inquires after one unit of time and repeats itself after ten, prepared in this many
/// transactions since the beginning.
fn punctual(transactions: u64) -> Node {
    let timeouts = Timeouts::default().with_flush(1).with_recover(1).with_inquire(1).with_repeat(10).with_ceiling(10);
    let mut rm = Node::create(config(&spec().with_timeouts(timeouts).build().unwrap(), RMS[0])).0;
    for seq in 1..=transactions {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
    }
    rm.step(Input::Tick(Time(0)));
    rm
}

#[test]
fn a_wait_that_is_over_does_not_end_with_another_that_ends_at_the_same_time() {
    let mut rm = punctual(2);
    assert_eq!(rm.deadline(), Some(Time(1)));
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    let effects = rm.step(Input::Tick(Time(1)));
    let about = say::sends(&effects).into_iter().filter_map(|(_, message)| Some(message.transaction()?.id()));
    assert_eq!(about.collect::<Vec<_>>(), [tx(2); 4]);
    assert_eq!(effects.len(), 4);
}

/// How many moments a node keeps in mind at which it would look at something that waits.
fn kept(node: &Node) -> usize {
    catalogue::memory(node).matches("Place {").count()
}

fn end(rm: &mut Node, seq: u64) {
    rm.step(say::from(TMS[0], say::outcome(&transaction(seq), Outcome::Committed)));
    rm.step(Input::Finished(tx(seq)));
    rm.step(say::from(TMS[0], say::retired(tx(seq))));
}

#[test]
fn waits_that_are_over_are_cleared_away_and_the_others_end_when_they_were_to_end() {
    let mut rm = punctual(1_400);
    assert_eq!(kept(&rm), 1_400);
    (1..=1_213_u64).for_each(|seq| end(&mut rm, seq));
    assert!(kept(&rm) <= 1_400);
    assert_eq!(rm.deadline(), Some(Time(1)));
    let effects = rm.step(Input::Tick(Time(1)));
    let about = say::sends(&effects).into_iter().filter_map(|(_, message)| Some(message.transaction()?.id()));
    assert_eq!(about.collect::<BTreeSet<_>>(), (1_214..=1_400).map(tx).collect());
    // The first moment of each that is over has come; a few had begun another wait before they were over.
    assert!((187..220).contains(&kept(&rm)), "{}", kept(&rm));
    (1_214..=1_400).for_each(|seq| end(&mut rm, seq));
    assert_eq!((kept(&rm), rm.deadline()), (0, None));
    assert_eq!(rm.step(Input::Tick(Time(2))), []);
}

/// Where a transaction begins one wait after the other, too, only the last one stays.
#[test]
fn waits_that_gave_way_to_others_take_no_room() {
    let timeouts = Timeouts::default().with_flush(1).with_recover(1).with_inquire(100).with_repeat(1).with_ceiling(100);
    let mut acceptor = Node::create(config(&spec().with_timeouts(timeouts).build().unwrap(), ACCEPTORS[0])).0;
    for seq in 1..=200 {
        acceptor.step(say::from(RMS[0], say::vote(&transaction(seq), Vote::Aborted, TMS[0])));
    }
    acceptor.step(Input::Tick(Time(0)));
    assert_eq!(kept(&acceptor), 200);
    for turn in 0..200 {
        for seq in 1..=10 {
            acceptor.step(Input::Inquire(tx(turn % 20 * 10 + seq)));
            acceptor.step(Input::Tick(Time(0)));
        }
        assert_eq!(kept(&acceptor), 200);
    }
}

#[test]
fn of_transactions_that_come_and_go_no_more_waits_are_kept_than_were_open_at_once() {
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    for seq in 1..=3_000_u64 {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
        if seq > 5 {
            end(&mut rm, seq - 5);
        }
        assert!(kept(&rm) <= 6, "{} after {seq}", kept(&rm));
    }
    (2_996..=3_000_u64).for_each(|seq| end(&mut rm, seq));
    assert_eq!((kept(&rm), rm.deadline(), rm.metrics().open), (0, None, 0));
}

#[test]
fn a_resource_that_does_not_answer_is_asked_again_and_again() {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Tick(Time(0)));
    let asked = [Effect::Decide(support::asked(&transaction(1)))];
    let mut before = 0;
    for repetition in 0..4 {
        let due = rm.deadline().unwrap().0;
        assert!(due - before >= TIMEOUTS.repeat << repetition, "each time it waits longer");
        assert_eq!(rm.step(Input::Tick(Time(due))), asked);
        before = due;
    }
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    assert_eq!(rm.in_doubt().len(), 1);
}

#[test]
fn a_tick_costs_what_is_due_and_comes_in_the_order_of_time() {
    let mut rm = node(RMS[0]);
    for seq in 1..=50 {
        rm.step(say::from(TMS[0], say::prepare(&transaction(seq))));
        rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
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

/// An acceptor with this many transactions whose votes wait for others.
fn gathering(transactions: u64) -> Node {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    for seq in 1..=transactions {
        acceptor.step(say::from(RMS[0], say::vote(&transaction(seq), Vote::Prepared, TMS[0])));
    }
    acceptor
}

#[test]
fn a_tick_does_no_more_than_a_bounded_part_of_what_is_due_and_stays_due_until_all_is_done() {
    const MANY: u64 = 100_000;
    let mut acceptor = gathering(MANY);
    let late = Time(acceptor.deadline().unwrap().0 + TIMEOUTS.flush / 2);
    let (mut flushed, mut ticks) = (BTreeSet::new(), 0);
    while acceptor.deadline().is_some_and(|due| due <= late) {
        let effects = acceptor.step(Input::Tick(late));
        // A step of one transaction may go a little beyond.
        assert!((1..=2 << 10).contains(&effects.len()), "{} effects", effects.len());
        for effect in &effects {
            if let Effect::Send { message, .. } = effect {
                assert!(flushed.insert(message.transaction().unwrap().id()), "each once");
            }
        }
        ticks += 1;
        assert!(ticks < 100);
    }
    assert_eq!(flushed.len() as u64, MANY);
    assert!(ticks >= MANY >> 10, "two effects of each, and its time-out");
    assert!(acceptor.deadline().unwrap() > late, "from now on they wait for news");
}

#[test]
fn a_tick_is_bounded_where_what_is_due_is_for_another_role_of_the_node() {
    const MANY: u64 = 100_000;
    // Two-phase commit: the only acceptor is the only transaction manager, and asks itself.
    let timeouts = TIMEOUTS.with_recover(1 << 30).with_repeat(1 << 30).with_ceiling(1 << 30);
    let cluster = spec_of(&ACCEPTORS[..1], &ACCEPTORS[..1]).with_timeouts(timeouts).build().unwrap();
    let mut node = Node::create(config(&cluster, ACCEPTORS[0])).0;
    node.step(Input::Tick(Time(0)));
    for seq in 1..=MANY {
        node.step(say::from(RMS[0], say::vote(&transaction(seq), Vote::Prepared, ACCEPTORS[0])));
    }
    while node.deadline().is_some_and(|due| due <= Time(TIMEOUTS.flush * 3 / 2)) {
        node.step(Input::Tick(Time(TIMEOUTS.flush * 3 / 2)));
    }
    let late = Time(node.deadline().unwrap().0 + TIMEOUTS.flush / 2);
    let mut ticks = 0;
    while node.deadline().is_some_and(|due| due <= late) {
        node.step(Input::Tick(late));
        ticks += 1;
    }
    assert!(ticks > 1, "all at once");
}

#[test]
fn a_range_of_many_open_transactions_that_are_over_is_taken_piece_by_piece() {
    const MANY: u64 = 100_000;
    let mut acceptor = gathering(MANY);
    let whole = TxRange::new(tx(1).origin, 0, u64::MAX).unwrap();
    let (mut next, mut repeats) = (0, 0);
    while acceptor.metrics().open > 0 {
        let before = acceptor.metrics().open;
        let effects = acceptor.step(say::from(TMS[0], synod::commit::Message::retired(whole)));
        assert!(effects.len() < 4_096, "{} effects", effects.len());
        let noted: Vec<TxRange> = say::sends(&effects)
            .into_iter()
            .map(|(to, message)| match message {
                synod::commit::Message::RetiredNoted { range } if to == TMS[0] => *range,
                other => panic!("{other:?}"),
            })
            .collect();
        // What is acknowledged is what is over here, from where the last piece ended.
        let [noted] = noted[..] else { panic!("{noted:?}") };
        assert_eq!((noted.origin(), noted.first().seq), (tx(1).origin, 0));
        for seq in [next, noted.last().seq.min(MANY)] {
            assert!(acceptor.status(tx(seq)).is_retired());
        }
        let open = acceptor.open_transactions();
        assert!(open.iter().all(|tx| !noted.contains(*tx)));
        assert_eq!(open.first().map(|tx| tx.seq), (!open.is_empty()).then(|| noted.last().seq + 1));
        assert!(before - open.len() <= 1_024 && before > open.len());
        assert_eq!(acceptor.metrics().retired_ranges, 1);
        next = noted.last().seq;
        repeats += 1;
        assert!(repeats <= MANY / 1_000, "the range comes to its end");
    }
    assert_eq!(next, u64::MAX);
    assert_eq!(acceptor.deadline(), None);
}

/// What a resource manager is told to decide comes from time-outs of its own, too.
#[test]
fn an_outcome_that_nobody_carried_out_is_handed_over_when_its_time_out_ends() {
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Committed)));
    let effects = rm.step(Input::Tick(rm.deadline().unwrap()));
    assert!(matches!(effects.as_slice(), [Effect::Decide(Decision::Commit { .. })]), "{effects:?}");
}

#[test]
fn the_time_out_of_one_role_does_not_end_the_wait_of_another() {
    let mut both = Node::create(config(&cluster_of(&RMS, &RMS), RMS[0])).0;
    both.step(Input::Tick(Time(0)));
    both.step(say::from(RMS[1], say::prepare(&transaction(1))));
    both.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    // The acceptor here has gathered that vote, and sends it when the others do not come.
    assert!(is_within(both.deadline(), 0, TIMEOUTS.flush));
    let effects = both.step(Input::Tick(both.deadline().unwrap()));
    assert_eq!(say::sends(&effects), [(RMS[1], &say::bundle(&transaction(1), &RMS[..1], Vote::Prepared))]);
}
