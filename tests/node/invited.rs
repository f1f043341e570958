//! Who says that it is there when it is invited to be a member: only a node that will believe whoever tells it of the next epoch.

use synod::{
    Machine, NodeId, Refusal,
    commit::{Cluster, EpochMessage, Input, Membership, Message, Node, Page},
};

use super::support::{ACCEPTORS, Group, RMS, STRANGER, TMS, cluster, cluster_of, config, node, refuse, say, verdict};

/// Nodes that come later.
const NEW: [NodeId; 3] = [NodeId(14), NodeId(24), NodeId(15)];

fn of_epoch(number: u64, what: EpochMessage) -> Message {
    Message::Epoch { number: Some(number), what: Box::new(what) }
}

/// An invitation to be a member in the place of an acceptor.
fn invite(number: u64, new: NodeId) -> Message {
    of_epoch(number, EpochMessage::Invite(cluster().membership().replace(ACCEPTORS[2], new).into()))
}

/// What members tell of epoch `number`.
fn told(number: u64, membership: Membership) -> Message {
    let former = if number == 0 { [].into() } else { cluster().membership().members().into_iter().collect() };
    let page = Page { digest: 0, total: 0, first: 0, entries: [].into() };
    of_epoch(number, EpochMessage::Told { membership: membership.into(), former, page })
}

fn ready(number: u64) -> Message {
    of_epoch(number, EpochMessage::Ready)
}

fn wanted(node: &Node) -> Message {
    Message::Epoch { number: node.tag().map(|tag| tag.number), what: Box::new(EpochMessage::Wanted) }
}

fn number(group: &Group, at: NodeId) -> Option<u64> {
    group.node(at).epoch().map(|epoch| epoch.number)
}

fn replace(group: &mut Group, at: NodeId, old: NodeId, new: NodeId) {
    let next = group.node(at).config().cluster.membership().replace(old, new);
    group.step(at, Input::Change(next.into()));
}

#[test]
fn a_newcomer_with_the_present_members_in_its_configuration_is_there_once_it_is_in_their_epoch() {
    let mut newcomer = Node::join(config(&cluster(), NEW[0])).0;
    let asked = wanted(&newcomer);
    let effects = refuse(&mut newcomer, say::from(TMS[0], invite(0, NEW[0])), Refusal::NewerEpoch);
    assert_eq!(say::sends(&effects), [(TMS[0], &asked)]);
    newcomer.step(say::from(TMS[0], told(0, cluster().membership())));
    assert_eq!(say::sends(&newcomer.step(say::from(TMS[0], invite(0, NEW[0])))), [(TMS[0], &ready(0))]);
}

#[test]
fn a_newcomer_is_no_member_before_it_is_in_an_epoch_whatever_its_configuration_says() {
    for at in [ACCEPTORS[0], TMS[0]] {
        let mut newcomer = Node::join(config(&cluster(), at)).0;
        let next = || Input::Change(cluster().membership().replace(ACCEPTORS[2], NEW[0]).into());
        assert_eq!(refuse(&mut newcomer, next(), Refusal::NotAMember), []);
        newcomer.step(say::from(TMS[1], told(0, cluster().membership())));
        assert_eq!(verdict(&newcomer, &next()), Ok(()));
    }
}

#[test]
fn a_newcomer_with_an_old_configuration_is_not_there_for_those_who_have_come_since_and_asks_whom_it_knows() {
    let mut newcomer = Node::join(config(&cluster(), NEW[0])).0;
    let asked = wanted(&newcomer);
    let effects = refuse(&mut newcomer, say::from(NEW[1], invite(7, NEW[0])), Refusal::InvitedByStranger);
    let members: Vec<_> = cluster().membership().members().into_iter().map(|member| (member, &asked)).collect();
    assert_eq!(say::sends(&effects), members);
}

#[test]
fn a_participant_that_is_behind_is_not_there_before_it_has_caught_up() {
    let mut rm = node(RMS[0]);
    let asked = wanted(&rm);
    assert_eq!(
        say::sends(&refuse(&mut rm, say::from(TMS[0], invite(1, RMS[0])), Refusal::NewerEpoch)),
        [(TMS[0], &asked)]
    );
    refuse(&mut rm, say::from(NEW[1], invite(1, RMS[0])), Refusal::InvitedByStranger);
    rm.step(say::from(TMS[0], told(1, cluster().membership().replace(TMS[1], NEW[1]))));
    assert_eq!(say::sends(&rm.step(say::from(NEW[1], invite(1, RMS[0])))), [(NEW[1], &ready(1))]);
}

#[test]
fn a_member_is_there_for_the_others_of_its_epoch_and_for_nobody_else() {
    let mut member = node(ACCEPTORS[0]);
    assert_eq!(say::sends(&member.step(say::from(TMS[1], invite(0, NEW[0])))), [(TMS[1], &ready(0))]);
    for stranger in [RMS[0], STRANGER] {
        assert_eq!(refuse(&mut member, say::from(stranger, invite(0, NEW[0])), Refusal::NotAMember), []);
    }
}

#[test]
fn whoever_has_caught_up_is_invited_again_at_once() {
    let mut tm = node(TMS[0]);
    let next = cluster().membership().replace(ACCEPTORS[2], NEW[0]);
    tm.step(Input::Change(next.into()));
    let noted = || say::from(NEW[0], of_epoch(0, EpochMessage::Noted));
    assert_eq!(say::sends(&tm.step(noted())), [(NEW[0], &invite(0, NEW[0]))]);
    assert!(tm.epoch().unwrap().awaited.contains(&NEW[0]));
    tm.step(say::from(NEW[0], ready(0)));
    assert_eq!(say::sends(&tm.step(noted())), [], "it has answered");
    assert!(!tm.epoch().unwrap().awaited.contains(&NEW[0]));
}

/// A cluster of one acceptor and one manager, whose founders have been replaced and are gone. One participant slept meanwhile.
fn without_its_founders() -> (Group, Cluster) {
    let mut group = Group::apart(cluster_of(&ACCEPTORS[..1], &TMS[..1]));
    group.tick(1);
    group.crash(RMS[1]);
    for (by, old, new) in [(TMS[0], ACCEPTORS[0], NEW[0]), (NEW[0], TMS[0], NEW[1])] {
        let known = group.node(by).config().cluster.clone();
        group.join(new, &known);
        replace(&mut group, by, old, new);
        group.live(40);
        // Whoever takes part comes along.
        let manager = group.node(new).config().cluster.managers()[0];
        group.begin_new(manager, &RMS[..1], *b"meta");
        group.live(40);
        group.remove(old);
    }
    assert_eq!(
        NEW.map(|new| group.nodes().contains(&new).then(|| number(&group, new))),
        [Some(Some(2)), Some(Some(2)), None]
    );
    let present = group.node(NEW[1]).config().cluster.clone();
    (group, present)
}

/// `new` believes nobody who is left, and is to be the only acceptor. It must not come about before an operator starts it again.
fn holds_the_change_up_until_it_is_started_again(mut group: Group, present: &Cluster, new: NodeId) {
    replace(&mut group, NEW[1], NEW[0], new);
    group.live(60);
    let epoch = group.node(NEW[1]).epoch().unwrap();
    assert_eq!((epoch.number, epoch.is_changing, epoch.awaited), (2, true, vec![new]));
    assert!(group.node(new).metrics().refused(Refusal::InvitedByStranger) > 0);
    group.begin_new(NEW[1], &RMS[..1], *b"meta");
    group.live(40);
    let open = |group: &Group| group.node(NEW[1]).metrics().open;
    assert_eq!(open(&group), 0, "the present members go on meanwhile");
    group.restart_with(new, present);
    group.live(60);
    for at in [NEW[0], NEW[1], new] {
        assert_eq!(number(&group, at), Some(3), "{at}");
    }
    group.begin_new(NEW[1], &RMS[..1], *b"meta");
    group.live(40);
    assert_eq!(open(&group), 0);
}

#[test]
fn a_newcomer_with_a_list_of_members_who_have_all_left_holds_the_change_up_until_it_is_given_the_present_ones() {
    let (mut group, present) = without_its_founders();
    group.join(NEW[2], &cluster_of(&ACCEPTORS[..1], &TMS[..1]));
    holds_the_change_up_until_it_is_started_again(group, &present, NEW[2]);
}

#[test]
fn a_participant_that_slept_until_all_members_had_left_holds_the_change_up_until_it_is_given_the_present_ones() {
    let (mut group, present) = without_its_founders();
    group.start(RMS[1]);
    holds_the_change_up_until_it_is_started_again(group, &present, RMS[1]);
}
