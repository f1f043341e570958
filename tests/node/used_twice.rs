//! What two can do to others: who uses a name first that is another's, and who votes twice. A name blocks, and never
//! splits; both are listed.

use synod::{
    Machine, NodeId, Refusal,
    commit::{
        Decision, Input, Limits, Message, Node, Outcome, ResourceManagerState, Status, Transaction, ViolationReason,
        Vote, What,
    },
};

use super::support::{ACCEPTORS, Group, RMS, STRANGER, TMS, node, refuse, say, spec, spec_of, transaction, tx};

use Outcome::{Aborted, Committed};

/// Who comes in the place of an acceptor.
const NEWCOMER: NodeId = NodeId(14);

/// How often time passes: every wait reaches its ceiling.
const LONG: usize = 60;

fn other() -> Message {
    Message::about(&transaction(1), What::OtherTransaction)
}

/// The transactions that show something, and what.
fn listed(node: &Node) -> Vec<(Transaction, Option<ResourceManagerState>, ViolationReason)> {
    node.violations().into_iter().map(|listed| (listed.transaction, listed.state, listed.reason)).collect()
}

/// Two transactions of one name: the acceptors know the first, whose manager has crashed, and another manager has begun the
/// second one.
fn two_of_one_name() -> (Group, Transaction, Transaction) {
    let mut group = Group::apart(spec().with_limits(Limits::default().with_history(0)).build().unwrap());
    let among = |rms: &[NodeId]| Transaction::new(tx(1), rms, *b"meta").unwrap();
    let (first, second) = (among(&RMS[..2]), among(&RMS[1..]));
    group.begin(TMS[0], &first);
    group.run_until(|sent| matches!(&sent.message, Message::About { what: What::Vote { .. }, .. }));
    group.crash(TMS[0]);
    group.run();
    group.begin(TMS[1], &second);
    group.live(LONG);
    (group, first, second)
}

#[test]
fn a_name_that_is_used_twice_blocks_until_an_operator_ends_it_and_is_listed_at_its_manager_and_who_is_prepared() {
    let (mut group, first, second) = two_of_one_name();
    let reason = ViolationReason::OtherTransaction;
    assert_eq!(listed(group.node(TMS[1])), [(second.clone(), None, reason)]);
    let prepared = Some(ResourceManagerState::Prepared);
    assert_eq!(listed(group.node(RMS[2])), [(second.clone(), prepared, reason)]);
    // Who is prepared in the first one waits for its manager, and has asked the other one, too.
    for rm in &RMS[..2] {
        assert_eq!(listed(group.node(*rm)), [(first.clone(), prepared, reason)]);
    }
    assert!(ACCEPTORS.iter().all(|at| listed(group.node(*at)).is_empty()));
    assert_eq!(group.outcome(first.id()), None);

    let resolve = || Input::Resolve { tx: tx(1), outcome: Committed };
    assert_eq!(
        refuse(group.node_mut(RMS[1]), Input::Resolve { tx: tx(9), outcome: Aborted }, Refusal::UnknownTransaction),
        []
    );
    for at in [RMS[2], TMS[1]] {
        assert!(say::sends(&group.step(at, resolve())).is_empty());
        assert_eq!((listed(group.node(at)), group.node(at).metrics().resolved), (Vec::new(), 1));
    }
    assert_eq!(group.node(TMS[1]).status(tx(1)), Status::Unknown);
    assert_eq!(group.node(TMS[1]).deadline(), None);
    // Now this manager may bring the first one to its end.
    group.live(LONG);
    assert_eq!(group.outcome(tx(1)), Some(Committed));
    group.start(TMS[0]);
    group.live(LONG);
    assert!(group.nodes().iter().filter(|at| **at != RMS[2]).all(|at| group.node(*at).status(tx(1)).is_retired()));
    assert!(RMS[..2].iter().all(|rm| group.done(*rm, tx(1)) == Some(Committed)));
    let carried_out =
        |decision: &Decision| matches!(decision, Decision::Commit { transaction, .. } if *transaction == second);
    assert!(group.decisions(RMS[2]).iter().any(carried_out));
}

#[test]
fn when_the_first_transaction_of_a_name_ends_nobody_but_who_is_prepared_knows_the_second_one() {
    let (mut group, _, second) = two_of_one_name();
    group.start(TMS[0]);
    group.live(LONG);
    assert_eq!(group.outcome(tx(1)), Some(Committed));
    assert!(group.nodes().iter().filter(|at| **at != RMS[2]).all(|at| group.node(*at).status(tx(1)).is_retired()));
    let prepared = Some(ResourceManagerState::Prepared);
    assert_eq!(listed(group.node(RMS[2])), [(second, prepared, ViolationReason::OverElsewhere)]);
}

#[test]
fn a_name_that_only_some_acceptors_know_another_transaction_by_blocks_nobody() {
    let mut group = Group::apart(spec().with_limits(Limits::default().with_history(0)).build().unwrap());
    let first = Transaction::new(tx(1), &RMS[..1], *b"another").unwrap();
    group.step(ACCEPTORS[0], say::from(RMS[0], say::vote(&first, Vote::Prepared, TMS[1])));
    group.lose(|_| true);
    group.begin(TMS[0], &transaction(1));
    group.live(2);
    assert_eq!(group.outcome(tx(1)), Some(Committed));
    assert!(group.nodes().iter().all(|at| listed(group.node(*at)).is_empty()));
}

#[test]
fn who_asks_about_a_transaction_is_told_that_another_one_has_its_name_and_nobody_else_is() {
    let second = Transaction::new(tx(1), &RMS[1..], *b"meta").unwrap();
    let told = Message::about(&second, What::OtherTransaction);
    let ballot = synod::Ballot::new(1, TMS[1]);
    let instances = say::places(&second, &RMS[1..]);
    let phase1a = Message::about(&second, What::Phase1a { ballot, instances });
    let phase2a =
        Message::about(&second, What::Phase2a { ballot, votes: say::votes(&second, &RMS[1..], Vote::Aborted) });
    let decline = Message::about(&second, What::Decline);
    let (inquire, vote) = (say::inquire(&second), say::vote(&second, Vote::Prepared, TMS[0]));

    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(say::from(RMS[0], say::vote(&transaction(1), Vote::Prepared, TMS[0])));
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    for (node, from, message, is_told) in [
        (&acceptor, TMS[1], &phase1a, true),
        (&acceptor, TMS[1], &phase2a, true),
        (&acceptor, RMS[0], &phase2a, false),
        (&acceptor, RMS[0], &vote, false),
        (&acceptor, RMS[0], &inquire, false),
        (&tm, RMS[1], &inquire, true),
        (&tm, RMS[1], &say::begin(&second), true),
        (&tm, RMS[1], &decline, true),
        (&tm, STRANGER, &inquire, false),
        (&tm, ACCEPTORS[0], &inquire, false),
        (&tm, TMS[1], &phase1a, false),
        (&tm, RMS[1], &say::finished(&second, Committed), false),
    ] {
        let answer = refuse(&mut node.clone(), say::from(from, message.clone()), Refusal::OtherTransaction);
        let told: &[_] = if is_told { &[(from, &told)] } else { &[] };
        assert_eq!(say::sends(&answer), told, "{from}: {message:?}");
    }
}

#[test]
fn that_another_transaction_has_the_name_is_an_acceptors_word_to_a_manager_and_a_managers_to_who_is_prepared() {
    let begun = || {
        let mut tm = node(TMS[0]);
        tm.step(say::begins(&transaction(1)));
        tm
    };
    let prepared = || super::prepared(RMS[0]);
    let mut decided = begun();
    decided.step(say::from(TMS[1], say::outcome(&transaction(1), Aborted)));
    let mut asked = node(RMS[0]);
    asked.step(say::from(TMS[0], say::prepare(&transaction(1))));
    for (mut node, from, refusal) in [
        (begun(), RMS[0], Refusal::NotAManager),
        (begun(), TMS[1], Refusal::UnknownTransaction),
        (decided, ACCEPTORS[0], Refusal::NotAManager),
        (prepared(), ACCEPTORS[0], Refusal::NotAManager),
        (asked, TMS[0], Refusal::UnknownTransaction),
    ] {
        assert_eq!(refuse(&mut node, say::from(from, other()), refusal), []);
        assert!(listed(&node).is_empty());
    }
    for (mut node, from) in [(begun(), ACCEPTORS[0]), (prepared(), TMS[1])] {
        node.step(say::from(from, other()));
        assert_eq!(listed(&node).len(), 1);
        // It is no proof: the outcome may come all the same.
        node.step(say::from(TMS[1], say::outcome(&transaction(1), Committed)));
        assert!(listed(&node).is_empty());
    }
}

#[test]
fn that_it_is_over_elsewhere_says_more_than_that_another_transaction_has_the_name() {
    let mut rm = super::prepared(RMS[0]);
    refuse(&mut rm, say::from(ACCEPTORS[0], say::retired(tx(1))), Refusal::RetiredUnfinished);
    rm.step(say::from(TMS[1], other()));
    assert_eq!(rm.violations()[0].reason, ViolationReason::OverElsewhere);
}

#[test]
fn a_manager_beside_a_participant_or_an_acceptor_is_not_given_up() {
    let cluster = spec_of(&ACCEPTORS, &[ACCEPTORS[0], RMS[0]]).build().unwrap();
    for at in [ACCEPTORS[0], RMS[0]] {
        let mut node = Node::create(super::support::config(&cluster, at)).0;
        node.step(say::begins(&transaction(1)));
        if at == ACCEPTORS[0] {
            node.step(say::from(RMS[1], say::vote(&transaction(1), Vote::Prepared, at)));
        }
        node.step(say::from(ACCEPTORS[1], other()));
        assert_eq!(listed(&node).len(), 1);
        let refusal = if at == RMS[0] { Refusal::NotInDoubt } else { Refusal::UnknownTransaction };
        refuse(&mut node, Input::Resolve { tx: tx(1), outcome: Aborted }, refusal);
        assert_eq!(listed(&node).len(), 1);
    }
}

#[test]
fn who_uses_a_name_before_its_node_gives_it_is_told_that_another_transaction_has_it() {
    let named = |at| Transaction::new(synod::TxId { origin: at, seq: 1 }, &RMS[..2], *b"meta").unwrap();
    let tell = |node: &mut Node, from, transaction: &Transaction, what| {
        let told = Message::about(transaction, What::OtherTransaction);
        let answer = refuse(node, say::from(from, Message::about(transaction, what)), Refusal::NotNamedHere);
        say::sends(&answer) == [(from, &told)]
    };
    let ballot = synod::Ballot::new(1, TMS[1]);
    let (by_manager, by_acceptor) = (named(TMS[0]), named(ACCEPTORS[0]));
    let instances = say::places(&by_acceptor, &RMS[..2]);
    assert!(tell(&mut node(TMS[0]), RMS[0], &by_manager, What::Inquire));
    assert!(!tell(&mut node(TMS[0]), STRANGER, &by_manager, What::Inquire));
    assert!(tell(&mut node(ACCEPTORS[0]), TMS[1], &by_acceptor, What::Phase1a { ballot, instances }));
    // Then its manager lists it.
    let mut tm = node(TMS[1]);
    tm.step(say::begins(&by_acceptor));
    tm.step(say::from(ACCEPTORS[0], Message::about(&by_acceptor, What::OtherTransaction)));
    assert_eq!(listed(&tm), [(by_acceptor, None, ViolationReason::OtherTransaction)]);
}

#[test]
fn who_takes_part_is_told_once_an_attempt_or_two_managers_would_tell_each_other_for_ever() {
    let [one, two, three] = ACCEPTORS;
    let transaction = Transaction::new(tx(1), [one, two], *b"meta").unwrap();
    let mut node = Node::create(super::support::config(&spec_of(&ACCEPTORS, &[one, two]).build().unwrap(), one)).0;
    let told = |effects: &[_]| {
        let sends = say::sends(effects).into_iter();
        let told = sends.filter(|(_, message)| matches!(message, Message::About { what: What::OtherTransaction, .. }));
        told.map(|(to, _)| to).collect::<Vec<_>>()
    };
    let other = Message::about(&transaction, What::OtherTransaction);
    node.step(Input::Tick(synod::commit::Time(1)));
    node.step(say::begins(&transaction));
    for _ in 0..2 {
        let attempts = node.metrics().recoveries;
        while node.metrics().recoveries == attempts {
            let due = node.deadline().unwrap();
            node.step(Input::Tick(due));
        }
        assert_eq!(told(&node.step(say::from(three, other.clone()))), [two]);
        assert_eq!(told(&node.step(say::from(two, other.clone()))), []);
    }
}

#[test]
fn a_second_and_different_vote_is_listed_at_the_acceptor_that_has_the_first() {
    let mut acceptor = node(ACCEPTORS[0]);
    let vote = |vote| say::from(RMS[0], say::vote(&transaction(1), vote, TMS[0]));
    acceptor.step(vote(Vote::Prepared));
    acceptor.step(vote(Vote::Prepared));
    assert!(listed(&acceptor).is_empty());
    refuse(&mut acceptor, vote(Vote::Aborted), Refusal::SecondValue);
    assert_eq!(listed(&acceptor), [(transaction(1), None, ViolationReason::SecondVote)]);
    acceptor.step(say::from(TMS[0], say::retired(tx(1))));
    assert!(listed(&acceptor).is_empty());
}

#[test]
fn a_name_that_is_used_twice_while_the_members_change_blocks_and_splits_nobody() {
    let cluster = spec().with_limits(Limits::default().with_history(0)).build().unwrap();
    let mut group = Group::apart(cluster.clone());
    group.tick(1);
    group.join(NEWCOMER, &cluster);
    group.run();
    let among = |rms: &[NodeId]| Transaction::new(tx(1), rms, *b"meta").unwrap();
    let (first, second) = (among(&RMS[..1]), among(&RMS[1..]));
    let is_vote = |sent: &super::support::Sent| matches!(&sent.message, Message::About { what: What::Vote { .. }, .. });
    // Two acceptors know the first, which commits, and nobody but its manager hears of it.
    group.blocked.insert((RMS[0], ACCEPTORS[2]));
    group.begin(TMS[0], &first);
    group.run_until(is_vote);
    group.blocked.extend(TMS.map(|tm| (tm, RMS[0])));
    group.run();
    group.crash(TMS[0]);
    // The third one knows the second, in which one is prepared, and one has not voted.
    group.votes.remove(&RMS[2]);
    group.blocked.extend([(RMS[1], ACCEPTORS[0]), (RMS[1], ACCEPTORS[1])]);
    group.begin(TMS[1], &second);
    group.run();
    group.crash(ACCEPTORS[0]);
    group.blocked.clear();
    let next = cluster.membership().replace(ACCEPTORS[0], NEWCOMER);
    group.step(TMS[1], Input::Change(next.into()));
    group.live(LONG);
    assert_eq!(group.node(TMS[1]).epoch().map(|epoch| epoch.number), Some(1));
    assert_eq!(group.done(RMS[0], tx(1)), Some(Committed));
    let (prepared, reason) = (Some(ResourceManagerState::Prepared), ViolationReason::OtherTransaction);
    assert_eq!(listed(group.node(RMS[1])), [(second.clone(), prepared, reason)]);
    assert_eq!(listed(group.node(TMS[1])), [(second.clone(), None, reason)]);
    let ends = |decision: &Decision| {
        matches!(decision, Decision::Commit { transaction, .. } | Decision::Abort { transaction, .. }
            if *transaction == second)
    };
    assert!(!group.decisions(RMS[1]).iter().any(ends));

    // An operator ends it. Now the first one can end, too.
    for at in [RMS[1], TMS[1]] {
        group.step(at, Input::Resolve { tx: tx(1), outcome: Committed });
        assert_eq!(listed(group.node(at)), []);
    }
    group.live(LONG);
    assert!(group.node(TMS[1]).status(tx(1)).is_retired());
    assert_eq!(group.done(RMS[0], tx(1)), Some(Committed));
}
