//! Who is believed when it tells of a later epoch, and how it is told in pages.

use synod::{
    Effect, Machine, NodeId, Refusal,
    commit::{self, Entry, EpochMessage, Input, Membership, Message, Node, Page, Time},
};

use super::support::{ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, cluster, config, node, refuse, say, tx, verdict};

/// Nothing was open or over.
const NOTHING: [Entry; 0] = [];

fn page(first: u64, total: u64, entries: impl Into<Box<[Entry]>>) -> Page {
    // Two pages are of the same thing if this is the same, and it is compared with the content when that is whole.
    let digest = if total == 0 { 0 } else { 7 };
    Page { digest, total, first, entries: entries.into() }
}

fn told(number: u64, membership: Membership, former: &[NodeId], page: Page) -> Message {
    let what = EpochMessage::Told { membership: membership.into(), former: former.into(), page };
    Message::Epoch { number: Some(number), what: Box::new(what) }
}

fn founders() -> Vec<NodeId> {
    cluster().membership().members().into_iter().collect()
}

/// The next membership, made up by whoever would like to be a member.
fn with(new: NodeId) -> Membership {
    cluster().membership().replace(ACCEPTORS[2], new)
}

fn number(node: &Node) -> Option<u64> {
    node.tag().map(|tag| tag.number)
}

fn asks_for_more(effects: &[commit::Effect]) -> Option<(NodeId, u64)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send { to, message: Message::Epoch { what, .. } } => match **what {
            EpochMessage::More { next, .. } => Some((*to, next)),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn what_is_told_of_an_epoch_by_nobody_who_was_a_member_is_not_believed_though_it_calls_him_one() {
    for (liar, at) in [(RMS[0], TMS[1]), (RMS[0], ACCEPTORS[0]), (STRANGER, TMS[1]), (RMS[0], RMS[1])] {
        let mut node = node(at);
        let mut former = founders();
        former.push(liar);
        let lie = told(1, with(liar), &former, page(0, 0, NOTHING));
        assert_eq!(refuse(&mut node, say::from(liar, lie), Refusal::NotAMember), []);
        assert_eq!(number(&node), Some(0));
        node.step(say::from(TMS[0], told(1, with(STRANGER), &founders(), page(0, 0, NOTHING))));
        assert_eq!(number(&node), Some(1), "a member is believed");
    }
}

#[test]
fn an_invitation_makes_nobody_believed() {
    let newcomer = NodeId(14);
    let mut node = Node::join(config(&cluster(), newcomer)).0;
    let invite = EpochMessage::Invite(with(newcomer).into());
    node.step(say::from(RMS[0], Message::Epoch { number: Some(5), what: Box::new(invite) }));
    let lie = told(5, with(newcomer), &founders(), page(0, 0, NOTHING));
    assert_eq!(refuse(&mut node, say::from(RMS[0], lie), Refusal::NotAMember), []);
    assert_eq!(number(&node), None);
}

#[test]
fn an_epoch_that_cannot_follow_is_not_taken_up_from_anyone() {
    let mut node = node(TMS[1]);
    let nothing = || page(0, 0, NOTHING);
    let far = |number| say::from(TMS[0], told(number, with(STRANGER), &founders(), nothing()));
    assert_eq!(refuse(&mut node, far((1 << 32) + 1), Refusal::MalformedMembership), []);
    assert_eq!(verdict(&node, &far(1 << 32)), Ok(()), "it may have slept as long as that");
    let forgotten = told(1, with(STRANGER), &founders()[1..], nothing());
    assert_eq!(refuse(&mut node, say::from(TMS[0], forgotten), Refusal::MalformedMembership), []);
    let written_off = with(STRANGER).with_departed(RMS[2]);
    node.step(say::from(TMS[0], told(1, written_off, &founders(), nothing())));
    let mut former = founders();
    former.push(STRANGER);
    let back = told(2, with(STRANGER), &former, nothing());
    assert_eq!(refuse(&mut node, say::from(TMS[0], back), Refusal::Departed), []);
    assert_eq!(number(&node), Some(1));
}

#[test]
fn whoever_is_behind_asks_the_members_whatever_a_stranger_says() {
    let mut node = node(RMS[0]);
    let newer = Message::Epoch { number: Some(9), what: Box::new(EpochMessage::Newer) };
    let effects = node.step(say::from(STRANGER, newer));
    let wanted = Message::Epoch { number: Some(0), what: Box::new(EpochMessage::Wanted) };
    let asked: Vec<_> = founders().into_iter().map(|member| (member, &wanted)).collect();
    assert_eq!(say::sends(&effects), asked);
}

#[test]
fn one_node_tells_at_a_time_and_a_first_page_that_comes_again_loses_nothing() {
    let mut node = node(TMS[1]);
    node.step(Input::Tick(Time(0)));
    let entry = |seq| [Entry::Retired(commit::TxRange::only(tx(seq)))];
    let first = || told(1, with(STRANGER), &founders(), page(0, 3, entry(1)));
    let second = || told(1, with(STRANGER), &founders(), page(1, 3, entry(3)));
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], first()))), Some((TMS[0], 1)));
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], second()))), Some((TMS[0], 2)));
    assert_eq!(refuse(&mut node, say::from(ACCEPTORS[0], first()), Refusal::OtherPage), []);
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], first()))), Some((TMS[0], 2)), "it goes on");
    // Who stops is not waited for.
    node.step(Input::Tick(Time(TIMEOUTS.repeat - 1)));
    assert_eq!(refuse(&mut node, say::from(ACCEPTORS[0], first()), Refusal::OtherPage), []);
    node.step(Input::Tick(Time(TIMEOUTS.repeat)));
    assert_eq!(asks_for_more(&node.step(say::from(ACCEPTORS[0], first()))), Some((ACCEPTORS[0], 1)));
}

#[test]
fn whoever_knows_of_a_later_epoch_may_interrupt_one_that_tells_of_an_earlier_one_and_not_the_other_way_round() {
    let mut node = node(TMS[1]);
    node.step(Input::Tick(Time(0)));
    let entry = |seq| [Entry::Retired(commit::TxRange::only(tx(seq)))];
    let half = |number, first| told(number, with(STRANGER), &founders(), page(first, 3, entry(first + 1)));
    assert_eq!(asks_for_more(&node.step(say::from(TMS[0], half(2, 0)))), Some((TMS[0], 1)));
    assert_eq!(refuse(&mut node, say::from(ACCEPTORS[0], half(1, 0)), Refusal::OtherPage), []);
    assert_eq!(asks_for_more(&node.step(say::from(ACCEPTORS[0], half(3, 0)))), Some((ACCEPTORS[0], 1)));
    for (from, number) in [(TMS[0], 2), (ACCEPTORS[0], 2), (TMS[0], 3)] {
        assert_eq!(refuse(&mut node, say::from(from, half(number, 1)), Refusal::OtherPage), [], "{from} {number}");
    }
    assert_eq!(asks_for_more(&node.step(say::from(ACCEPTORS[0], half(3, 1)))), Some((ACCEPTORS[0], 2)));
}
