//! Who does not answer is asked last, in all transactions.

use synod::{
    Machine, NodeId, Refusal,
    commit::{EpochMessage, Input, Message, Meta, Node, Outcome, Page, Places, Targets, Time, Vote, What},
};

use super::support::{ACCEPTORS, RMS, TIMEOUTS, TMS, cluster, config, node, refuse, say, spec, transaction, tx};

/// A resource manager's node, whose clock runs.
fn started() -> Node {
    let mut rm = node(RMS[0]);
    rm.step(Input::Tick(Time(0)));
    rm
}

/// Whom the node turns to when the transaction of this number begins there, and its resource has voted to commit.
fn turns_to(rm: &mut Node, seq: u64) -> NodeId {
    let transaction = transaction(seq).in_epoch(rm.epoch().unwrap().number);
    rm.step(say::begins(&transaction));
    let effects = rm.step(Input::Vote { transaction, vote: Vote::Prepared });
    let begins = |message: &Message| matches!(message, Message::About { what: What::Begin { .. }, .. });
    let to: Vec<_> =
        say::sends(&effects).into_iter().filter(|(_, message)| begins(message)).map(|(to, _)| to).collect();
    let [to] = to[..] else { panic!("{to:?}") };
    to
}

/// Lets the first time-out end.
fn wait(rm: &mut Node) -> Time {
    let due = rm.deadline().unwrap();
    rm.step(Input::Tick(due));
    due
}

#[test]
fn transactions_take_turns_among_the_transaction_managers() {
    let mut rm = started();
    assert_eq!([1, 2, 3, 4].map(|seq| turns_to(&mut rm, seq)), [TMS[0], TMS[1], TMS[0], TMS[1]]);
}

#[test]
fn who_lets_a_whole_wait_pass_without_a_word_is_turned_to_last() {
    let mut rm = started();
    assert_eq!(turns_to(&mut rm, 1), TMS[0]);
    wait(&mut rm);
    assert_eq!([3, 5].map(|seq| turns_to(&mut rm, seq)), [TMS[1]; 2]);
    // A word is enough.
    rm.step(say::from(TMS[0], say::prepare(&transaction(8))));
    assert_eq!(turns_to(&mut rm, 7), TMS[0]);
}

#[test]
fn who_has_said_anything_meanwhile_is_not_suspected() {
    let mut rm = started();
    assert_eq!(turns_to(&mut rm, 1), TMS[0]);
    rm.step(Input::Tick(Time(1)));
    rm.step(say::from(TMS[0], say::prepare(&transaction(8))));
    wait(&mut rm);
    assert_eq!(turns_to(&mut rm, 3), TMS[0]);
}

#[test]
fn a_message_that_is_refused_leaves_no_trace_of_its_sender_either() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    rm.step(Input::Tick(Time(1)));
    let other = Message::about(&transaction(8), What::prepare(Meta::from(b"other")));
    refuse(&mut rm, say::from(TMS[0], other), Refusal::OtherContent);
}

#[test]
fn who_is_suspected_gets_another_chance_after_the_longest_wait() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    let since = wait(&mut rm).0;
    let mut now = since;
    while now < since + TIMEOUTS.ceiling - 1 {
        now = (since + TIMEOUTS.ceiling - 1).min(rm.deadline().unwrap().0);
        rm.step(Input::Tick(Time(now)));
    }
    let mut sooner = rm.clone();
    assert_eq!(turns_to(&mut sooner, 101), TMS[1]);
    rm.step(Input::Tick(Time(since + TIMEOUTS.ceiling)));
    assert_eq!(turns_to(&mut rm, 103), TMS[0]);
}

#[test]
fn an_opinion_of_who_stays_outlives_a_change_of_members_and_of_who_comes_there_will_be_one() {
    let mut rm = started();
    assert_eq!(turns_to(&mut rm, 1), TMS[0]);
    wait(&mut rm);
    // It is over, so that nothing of it is waited for.
    rm.step(say::from(TMS[1], say::outcome(&transaction(1), Outcome::Aborted)));
    rm.step(Input::Finished(tx(1)));
    rm.step(say::from(TMS[1], say::retired(tx(1))));
    assert_eq!(rm.metrics().open, 0);

    let newcomer = NodeId(24);
    let (membership, former) = (cluster().membership().replace(TMS[1], newcomer), cluster().membership().members());
    let page = Page { digest: 0, total: 0, first: 0, entries: [].into() };
    let told = EpochMessage::Told { membership: membership.into(), former: former.into_iter().collect(), page };
    rm.step(say::from(ACCEPTORS[0], Message::Epoch { number: Some(1), what: told.into() }));
    assert_eq!([3, 2].map(|seq| turns_to(&mut rm, seq)), [newcomer; 2]);
    let since = rm.deadline().unwrap();
    while rm.deadline().unwrap().0 <= since.0 + 2 * TIMEOUTS.inquire {
        wait(&mut rm);
    }
    rm.step(say::from(TMS[0], say::prepare(&transaction(8).in_epoch(1))));
    assert_eq!([5, 4].map(|seq| turns_to(&mut rm, seq)), [TMS[0]; 2]);
}

#[test]
fn where_all_are_suspected_somebody_is_asked_all_the_same() {
    let mut rm = started();
    turns_to(&mut rm, 1);
    wait(&mut rm);
    turns_to(&mut rm, 2);
    wait(&mut rm);
    wait(&mut rm);
    assert!(TMS.contains(&turns_to(&mut rm, 3)));
}

/// The acceptors that a transaction manager names in its question for a vote.
fn named(effects: &[synod::commit::Effect], to: NodeId) -> Option<Places> {
    say::sends(effects).into_iter().find_map(|(at, message)| match message {
        Message::About { what: What::Prepare { acceptors, .. }, .. } if at == to => Some(acceptors.clone()),
        _ => None,
    })
}

#[test]
fn votes_go_round_an_acceptor_that_does_not_answer() {
    let cluster = spec().with_targets(Targets::Quorum).build().unwrap();
    let mut tm = Node::create(config(&cluster, TMS[0])).0;
    tm.step(Input::Tick(Time(0)));
    let effects = tm.step(say::begins(&transaction(1)));
    assert_eq!(named(&effects, RMS[0]), Some(Places::default()), "at first, all are trusted");
    // The first of the two acceptors of the quorum says something, the second one does not.
    tm.step(Input::Tick(Time(1)));
    let bundle = Message::about(
        &transaction(1),
        What::Phase2b { votes: [(0, Vote::Prepared)].into_iter().collect(), higher: [].into() },
    );
    tm.step(say::from(ACCEPTORS[0], bundle));
    wait(&mut tm);
    let effects = tm.step(say::begins(&transaction(3)));
    let detour: Places = [0, 2].into_iter().collect();
    assert_eq!(named(&effects, RMS[1]), Some(detour.clone()));
    // Who began has voted at the silent one, and is asked again.
    let effects = tm.step(say::from(RMS[0], say::begin(&transaction(5))));
    assert_eq!(named(&effects, RMS[0]), Some(detour.clone()));
    // The resource manager votes where it was told to.
    let mut rm = Node::create(config(&cluster, RMS[0])).0;
    let what = What::Prepare { meta: say::meta(&transaction(3)), acceptors: detour };
    rm.step(say::from(TMS[0], Message::about(&transaction(3), what)));
    let effects = rm.step(Input::Vote { transaction: transaction(3), vote: Vote::Prepared });
    let to: Vec<NodeId> = say::sends(&effects).into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [ACCEPTORS[0], ACCEPTORS[2]]);
    // A word is enough, and nothing is named any more.
    let inquiry = say::from(ACCEPTORS[1], say::inquire(&transaction(3)));
    tm.step_into(inquiry, &mut Vec::new()).unwrap();
    assert_eq!(named(&tm.step(say::begins(&transaction(7))), RMS[1]), Some(Places::default()));
}

#[test]
fn acceptors_that_the_cluster_does_not_have_are_no_place_to_vote_at() {
    let mut rm = started();
    let what = What::Prepare { meta: say::meta(&transaction(1)), acceptors: [3].into_iter().collect() };
    refuse(&mut rm, say::from(TMS[0], Message::about(&transaction(1), what)), Refusal::MalformedBundle);
}

#[test]
fn where_votes_go_to_all_acceptors_none_is_named() {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(0)));
    tm.step(say::begins(&transaction(1)));
    wait(&mut tm);
    assert_eq!(named(&tm.step(say::begins(&transaction(3))), RMS[1]), Some(Places::default()));
}
