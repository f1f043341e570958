//! How a node hears of a later epoch, how it tells others of its own, and what of that it says by itself.

use std::collections::BTreeSet;

use synod::{
    Machine, NodeId, Refusal,
    commit::{self, Config, Entry, EpochMessage, Input, Limits, Message, Node, Page, Time, TxRange},
};

use super::{
    old_epochs::{NEW, in_epoch_1, later, of_epoch, told},
    support::{ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, cluster, config, node, refuse, say, spec, transaction, tx},
};

/// How far ahead the epoch of another node may be.
const FARTHEST: u64 = 1 << 32;

fn number(node: &Node) -> Option<u64> {
    node.tag().map(|tag| tag.number)
}

fn newcomer() -> Node {
    Node::join(config(&cluster(), NEW[0])).0
}

fn range(seq: u64) -> Entry {
    Entry::Retired(TxRange::only(tx(seq)))
}

/// Page `first` of three, each of one entry.
fn of_three(first: usize) -> Page {
    let all = [1, 3, 5].map(range);
    Page { total: 3, first: first as u64, entries: [all[first].clone()].into(), ..Page::alone(all) }
}

/// The one node that is asked for more of an epoch, with the number of that.
fn asks_for_more(effects: &[commit::Effect]) -> Option<(NodeId, u64, u64)> {
    match &say::sends(effects)[..] {
        [(to, Message::Epoch { number: Some(number), what })] => match **what {
            EpochMessage::More { next, .. } => Some((*to, *number, next)),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn a_teller_that_is_silent_as_long_as_one_waits_for_an_answer_makes_room_for_another_one() {
    let mut node = node(TMS[1]);
    node.step(Input::Tick(Time(0)));
    let newer = || say::from(ACCEPTORS[0], of_epoch(1, EpochMessage::Newer));
    let first = || say::from(ACCEPTORS[0], told(1, of_three(0)));
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], told(1, of_three(0))))), Some((TMS[0], 1, 1)));
    node.step(Input::Tick(Time(1)));
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], told(1, of_three(1))))), Some((TMS[0], 1, 2)));
    node.step(Input::Tick(Time(TIMEOUTS.repeat)));
    assert_eq!(node.step(newer()), [], "it is told already");
    assert_eq!(refuse(&mut node, first(), Refusal::OtherPage), []);
    node.step(Input::Tick(Time(1 + TIMEOUTS.repeat)));
    assert_eq!(say::sends(&node.step(newer())), [(ACCEPTORS[0], &of_epoch(0, EpochMessage::Wanted))]);
    assert_eq!(asks_for_more(&node.step(first())), Some((ACCEPTORS[0], 1, 1)));
}

#[test]
fn who_tells_of_a_later_epoch_than_another_teller_is_heard_at_once() {
    let mut node = node(TMS[1]);
    node.step(Input::Tick(Time(0)));
    let page = |from, number, first| say::from(from, told(number, of_three(first)));
    assert_eq!(asks_for_more(&node.step(page(TMS[0], 1, 0))), Some((TMS[0], 1, 1)));
    assert_eq!(asks_for_more(&node.step(page(ACCEPTORS[0], 2, 0))), Some((ACCEPTORS[0], 2, 1)));
    for (other, number) in [(TMS[0], 1), (ACCEPTORS[1], 2), (ACCEPTORS[0], 1)] {
        for first in [0, 1] {
            assert_eq!(refuse(&mut node, page(other, number, first), Refusal::OtherPage), []);
        }
    }
    assert_eq!(asks_for_more(&node.step(page(ACCEPTORS[0], 2, 1))), Some((ACCEPTORS[0], 2, 2)));
    node.step(page(ACCEPTORS[0], 2, 2));
    assert_eq!(number(&node), Some(2));
}

#[test]
fn the_farthest_epoch_that_is_believed_is_so_far_from_the_own_one() {
    for (mut node, own) in [(newcomer(), 0), (node(RMS[0]), 0), (in_epoch_1(RMS[0]), 1)] {
        let tells = |number| {
            let former = later().members().into_iter().chain(cluster().membership().members()).collect();
            let membership = later().into();
            say::from(TMS[0], of_epoch(number, EpochMessage::Told { membership, former, page: Page::alone([]) }))
        };
        assert_eq!(refuse(&mut node, tells(own + FARTHEST + 1), Refusal::MalformedMembership), []);
        node.step(tells(own + FARTHEST));
        assert_eq!(number(&node), Some(own + FARTHEST));
    }
}

#[test]
fn two_newcomers_have_nothing_to_tell_each_other_and_neither_is_there_to_be_a_member() {
    let mut newcomer = newcomer();
    for what in [EpochMessage::Newer, EpochMessage::Wanted, EpochMessage::Noted] {
        assert_eq!(newcomer.step(say::from(NEW[1], of_epoch(None, what))), []);
    }
    // Even if the other one is to be a member by the configuration, which it does not know yet itself.
    let wanted = of_epoch(None, EpochMessage::Wanted);
    let invite = || of_epoch(None, EpochMessage::Invite(later().into()));
    let answer = refuse(&mut newcomer, say::from(TMS[0], invite()), Refusal::NewerEpoch);
    assert_eq!(say::sends(&answer), [(TMS[0], &wanted)]);
    let answer = refuse(&mut newcomer, say::from(NEW[1], invite()), Refusal::InvitedByStranger);
    let asked: Vec<_> = cluster().membership().members().into_iter().map(|member| (member, &wanted)).collect();
    assert_eq!(say::sends(&answer), asked);
}

#[test]
fn who_has_noted_a_later_epoch_hears_once_again_what_it_may_have_refused_before() {
    for (mut tm, epoch) in [(in_epoch_1(TMS[0]), 1), (node(TMS[0]), 0)] {
        let begun = tm.step(say::begins(&transaction(1).in_epoch(epoch)));
        let asked: Vec<_> = say::sends(&begun).into_iter().filter(|(to, _)| *to == RMS[0]).collect();
        assert_eq!(asked.len(), 1);
        let noted = || say::from(RMS[0], of_epoch(epoch, EpochMessage::Noted));
        let again = tm.step(noted());
        // Nobody refuses anything for the sake of the first epoch.
        assert_eq!(say::sends(&again), if epoch == 0 { Vec::new() } else { asked });
        assert_eq!(tm.step(noted()), []);
    }
}

#[test]
fn a_newcomer_is_told_whom_to_know_by_nobody_but_a_node_that_knows_others() {
    let wanted = || say::from(NEW[0], of_epoch(None, EpochMessage::Wanted));
    let blank = Node::create(config(&cluster(), TMS[0]).with_birth(Some(7))).0;
    let mut acquainted = blank.clone();
    acquainted.step(Input::Met { node: RMS[0], birth: 5, epoch: None });
    let peers = [(RMS[0], 5), (TMS[0], 7)].map(|(node, birth)| Entry::Peer { node, birth });
    for (mut tm, entries) in [(blank, &[][..]), (acquainted, &peers)] {
        let effects = tm.step(wanted());
        let former = [].into();
        let (membership, page) = (cluster().membership().into(), Page::alone(entries.to_vec()));
        let told = of_epoch(0, EpochMessage::Told { membership, former, page });
        assert_eq!(say::sends(&effects), [(NEW[0], &told)]);
    }
}

#[test]
fn an_epoch_is_told_page_by_page_to_whoever_asks_for_the_next_one_of_just_that() {
    let cluster = spec().with_limits(Limits::default().with_page(4)).build().unwrap();
    let mut tm = Node::create(config(&cluster, TMS[0])).0;
    [1, 3, 5].into_iter().for_each(|seq| drop(tm.step(say::from(TMS[1], say::retired(tx(seq))))));
    let digest = of_three(0).digest;
    let more = |digest, next| say::from(NEW[0], of_epoch(0, EpochMessage::More { digest, next }));
    assert_eq!(refuse(&mut tm, more(digest, 0), Refusal::OtherPage), [], "nothing is being told");
    let (mut newcomer, mut asked) = (newcomer(), Some(of_epoch(None, EpochMessage::Wanted)));
    for first in 0..3 {
        let effects = tm.step(say::from(NEW[0], asked.take().expect("it asks for more")));
        let membership = cluster.membership().into();
        let told = of_epoch(0, EpochMessage::Told { membership, former: [].into(), page: of_three(first) });
        assert_eq!(say::sends(&effects), [(NEW[0], &told)]);
        assert_eq!(number(&newcomer), None, "it takes nothing before it has all");
        let answer = newcomer.step(say::from(TMS[0], told));
        asked = say::sends(&answer).first().map(|(_, message)| Message::clone(message));
        assert_eq!(refuse(&mut tm, more(digest ^ 1, 1), Refusal::OtherPage), []);
    }
    assert_eq!((number(&newcomer), asked), (Some(0), Some(of_epoch(0, EpochMessage::Noted))));
    assert_eq!([1, 2, 3, 4, 5].map(|seq| newcomer.status(tx(seq)).is_retired()), [true, false, true, false, true]);
}

#[test]
fn nodes_that_wait_from_the_same_moment_on_do_not_all_speak_at_once_however_late_it_is() {
    let waits = |seed, now| {
        let mut tm = Node::create(Config::new(cluster(), TMS[0], seed)).0;
        tm.step(Input::Tick(Time(0)));
        tm.step(Input::Tick(Time(now)));
        tm.step(Input::Change(later().into()));
        tm.deadline().expect("it waits for those that it has invited").0 - now
    };
    let many = 0..40;
    let distinct: [BTreeSet<u64>; 3] = [
        many.clone().map(|seed| waits(seed, 0)).collect(),
        many.clone().map(|seed| waits(seed, u64::MAX >> 1)).collect(),
        many.map(|now| waits(7, now)).collect(),
    ];
    for waits in distinct {
        assert!(waits.len() > 10, "{waits:?}");
        assert!(waits.iter().all(|wait| (TIMEOUTS.repeat..=TIMEOUTS.repeat * 3 / 2).contains(wait)), "{waits:?}");
    }
}

#[test]
fn who_left_may_go_once_a_quorum_of_acceptors_and_a_manager_have_noted_the_epoch() {
    for (at, noted) in [
        (ACCEPTORS[0], [(RMS[0], false), (ACCEPTORS[1], false), (TMS[0], true)]),
        (TMS[0], [(TMS[1], false), (ACCEPTORS[0], false), (ACCEPTORS[1], true)]),
        (RMS[0], [(TMS[0], false), (STRANGER, false), (ACCEPTORS[2], false)]),
    ] {
        let mut node = node(at);
        let may_leave = |node: &Node| node.epoch().map(|epoch| epoch.may_leave);
        assert_eq!(may_leave(&node), Some(false));
        for (from, is_enough) in noted {
            node.step(say::from(from, of_epoch(0, EpochMessage::Noted)));
            assert_eq!(may_leave(&node), Some(is_enough), "{at} knows of {from}");
        }
    }
}
