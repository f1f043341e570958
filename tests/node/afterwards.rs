//! What the roles of a transaction do once its epoch is over, and what is said again to who has come into the next one.

use synod::{
    Ballot, Effect, Machine, NodeId, Refusal,
    commit::{
        Cluster, Decision, Entry, EpochMessage, Input, Membership, Message, Node, Outcome, Page, Time, Transaction,
        ViolationReason, Vote, What,
    },
};

use super::{
    prepared,
    support::{ACCEPTORS, Group, RMS, TMS, aborts, cluster, node, refuse, say, transaction, tx},
};

use Outcome::{Aborted, Committed};

/// Nodes that come later.
const NEW: [NodeId; 2] = [NodeId(14), NodeId(24)];

fn of_epoch(number: u64, what: EpochMessage) -> Message {
    Message::Epoch { number: Some(number), what: Box::new(what) }
}

/// What a member tells of epoch 1, in which nothing of what was open has committed.
fn told(membership: Membership) -> Message {
    let former = cluster().membership().members().into_iter().collect();
    let page = Page { digest: 0, total: 0, first: 0, entries: [].into() };
    of_epoch(1, EpochMessage::Told { membership: membership.into(), former, page })
}

/// What `effects` say of the transaction.
fn about(effects: &[synod::commit::Effect]) -> Vec<(NodeId, &Message)> {
    say::sends(effects).into_iter().filter(|(_, message)| message.transaction().is_some()).collect()
}

/// A group in epoch 1, where a newcomer is an acceptor.
fn in_epoch_1() -> Group {
    let mut group = Group::apart(cluster());
    group.tick(1);
    group.join(NEW[0], &cluster());
    group.run();
    let next = cluster().membership().replace(ACCEPTORS[2], NEW[0]);
    group.step(TMS[0], Input::Change(next.into()));
    group.live(40);
    // Whoever takes part comes along.
    group.begin_new(TMS[0], &RMS, *b"meta");
    group.live(40);
    for at in group.nodes().into_iter().filter(|at| *at != ACCEPTORS[2]) {
        assert_eq!(group.node(at).epoch().map(|epoch| epoch.number), Some(1), "{at}");
    }
    group
}

fn noted() -> EpochMessage {
    EpochMessage::Noted
}

#[test]
fn a_vote_comes_once_more_to_an_acceptor_that_has_come_into_the_epoch_and_only_while_it_is_in_doubt() {
    let mut group = in_epoch_1();
    let before = group.sent.len();
    // What the newcomer was told before it was there may be lost, and who takes part has not heard that it is there.
    group.restart(RMS[0]);
    group.blocked.extend(group.nodes().into_iter().map(|at| (at, TMS[0])));
    group.begin_new(TMS[0], &RMS[..2], *b"meta");
    group.run();
    let is_vote =
        |sent: &&super::support::Sent| matches!(&sent.message, Message::About { what: What::Vote { .. }, .. });
    let vote = group.sent[before..].iter().find(|sent| sent.from == RMS[0] && is_vote(sent)).unwrap().message.clone();
    let mut other = group.node(RMS[0]).clone();
    assert_eq!(about(&other.step(say::from(TMS[1], of_epoch(1, noted())))), [], "it is no acceptor");
    let said = group.step(RMS[0], say::from(NEW[0], of_epoch(1, noted())));
    assert_eq!(about(&said), [(NEW[0], &vote)]);
    assert_eq!(about(&group.step(RMS[0], say::from(NEW[0], of_epoch(1, noted())))), [], "once");
    // Of one whose outcome is known it says nothing.
    let mut rm = group.node(RMS[1]).clone();
    let transaction = vote.transaction().unwrap().clone();
    rm.step(say::from(TMS[1], say::outcome(&transaction, Committed)));
    assert_eq!(about(&rm.step(say::from(NEW[0], of_epoch(1, noted())))), []);
}

#[test]
fn a_manager_says_again_what_a_participant_may_have_refused_before_it_came_into_the_epoch() {
    let mut group = in_epoch_1();
    group.restart(TMS[0]);
    let named = group.begin_new(TMS[0], &RMS[..2], *b"meta");
    let asked = about(&named).into_iter().find(|(to, _)| *to == RMS[0]).unwrap().1.clone();
    assert_eq!(about(&group.step(TMS[0], say::from(RMS[0], of_epoch(1, noted())))), [(RMS[0], &asked)]);
    assert_eq!(about(&group.step(TMS[0], say::from(RMS[2], of_epoch(1, noted())))), [], "it takes no part");
}

#[test]
fn a_transaction_that_waits_only_for_who_is_written_off_is_completed_with_the_next_epoch() {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), Aborted)));
    for rm in &RMS[..2] {
        tm.step(say::from(*rm, say::finished(&transaction(1), Aborted)));
    }
    assert!(!tm.status(tx(1)).is_retired());
    let effects = tm.step(say::from(TMS[1], told(cluster().membership().with_departed(RMS[2]))));
    let completed = synod::commit::Decision::Completed { tx: tx(1), outcome: Aborted };
    assert!(effects.contains(&Effect::Decide(completed)), "{effects:?}");
    assert!(tm.status(tx(1)).is_retired());
}

/// Of what is known there, another transaction of the name has committed.
#[test]
fn where_another_of_its_name_has_committed_what_nobody_was_promised_aborts_and_what_is_prepared_stays_in_doubt() {
    let other = Transaction::new(tx(1), &RMS[..2], *b"another").unwrap();
    let told = || {
        let former = cluster().membership().members().into_iter().collect();
        let page = Page::alone([Entry::Committed(other.fingerprint())]);
        let membership = cluster().membership().replace(ACCEPTORS[2], NEW[0]).into();
        say::from(TMS[1], of_epoch(1, EpochMessage::Told { membership, former, page }))
    };
    let mut asked = node(RMS[0]);
    asked.step(say::from(TMS[0], say::prepare(&transaction(1))));
    assert!(asked.step(told()).contains(&Effect::Decide(aborts(&transaction(1)))));
    let mut rm = prepared(RMS[0]);
    let ends = |effect: &synod::commit::Effect| {
        matches!(effect, Effect::Decide(Decision::Commit { .. } | Decision::Abort { .. }))
    };
    assert!(!rm.step(told()).iter().any(ends));
    let reasons: Vec<_> = rm.violations().into_iter().map(|listed| listed.reason).collect();
    assert_eq!(reasons, [ViolationReason::OtherTransaction]);
}

/// A node of epoch 1 that knows of `transaction` that it committed in epoch 0.
fn that_knows(transaction: &Transaction, cluster: &Cluster, at: NodeId) -> Node {
    let mut group = Group::apart(cluster.clone());
    group.tick(1);
    group.join(NEW[0], cluster);
    group.run();
    group.begin(TMS[0], transaction);
    // All have voted, and nobody has carried it out.
    group.run_until(|sent| matches!(&sent.message, Message::About { what: What::Outcome(_), .. }));
    for rm in RMS {
        group.crash(rm);
    }
    let next = cluster.membership().replace(ACCEPTORS[2], NEW[0]);
    group.step(TMS[1], Input::Change(next.into()));
    group.live(40);
    assert_eq!(group.node(at).epoch().map(|epoch| epoch.number), Some(1));
    group.node(at).clone()
}

#[test]
fn of_what_has_committed_in_an_epoch_before_the_same_content_is_known_and_another_of_its_name_is_refused() {
    let (cluster, first) = (cluster(), transaction(1));
    let tm = that_knows(&first, &cluster, TMS[1]);
    let other = Transaction::new(tx(1), &RMS[..2], *b"another").unwrap().in_epoch(1);
    let inquire = |transaction: &Transaction| say::from(RMS[0], say::inquire(transaction));
    let told = Message::about(&other, What::OtherTransaction);
    let said = refuse(&mut tm.clone(), inquire(&other), Refusal::OtherTransaction);
    assert_eq!(about(&said), [(RMS[0], &told)]);
    // Of the same, and of a name that nobody had, it does not say so.
    for transaction in [first, transaction(7).in_epoch(1)] {
        let mut effects = Vec::new();
        let verdict = tm.clone().step_into(inquire(&transaction), &mut effects);
        assert_ne!(verdict, Err(Refusal::OtherTransaction));
        let other = Message::about(&transaction, What::OtherTransaction);
        assert!(about(&effects).iter().all(|(_, message)| **message != other));
    }
}

#[test]
fn a_frozen_acceptor_asks_nobody_about_what_is_open_however_long_that_lasts() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(1)));
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    let mut sound = acceptor.clone();
    acceptor.step(say::from(TMS[1], of_epoch(0, EpochMessage::Prepare { ballot: Ballot::new(2, TMS[1]) })));
    let asks = |node: &mut Node| {
        (0..9).any(|_| match node.deadline() {
            Some(due) => about(&node.step(Input::Tick(due)))
                .iter()
                .any(|(_, message)| **message == say::inquire(&transaction(1))),
            None => false,
        })
    };
    assert!(asks(&mut sound));
    assert!(!asks(&mut acceptor));
}

#[test]
fn a_frozen_acceptor_answers_a_vote_that_it_has_accepted_and_takes_no_other() {
    let mut acceptor = node(ACCEPTORS[0]);
    let vote = |rm, vote| say::from(rm, say::vote(&transaction(1), vote, TMS[0]));
    acceptor.step(vote(RMS[0], Vote::Prepared));
    acceptor.step(vote(RMS[1], Vote::Aborted));
    let freeze = EpochMessage::Prepare { ballot: Ballot::new(2, TMS[1]) };
    acceptor.step(say::from(TMS[1], of_epoch(0, freeze)));
    for (rm, had, other) in [(RMS[0], Vote::Prepared, Vote::Aborted), (RMS[1], Vote::Aborted, Vote::Prepared)] {
        let effects = acceptor.step(vote(rm, had));
        let said = about(&effects);
        assert!(said.iter().any(|(to, message)| *to == TMS[0] && say::is_paxos(message)), "{said:?}");
        refuse(&mut acceptor, vote(rm, other), Refusal::Changing);
    }
    refuse(&mut acceptor, vote(RMS[2], Vote::Prepared), Refusal::Changing);
}
