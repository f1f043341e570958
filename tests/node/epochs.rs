//! Handovers: from one membership to the next, under load, with deaths in between.

use std::collections::BTreeSet;

use synod::{
    Machine, NodeId, Refusal, TxId,
    commit::{
        Decision, Effect, Entry, EpochMessage, GivenNames, Input, Key, Limits, Membership, Message, Node, Outcome,
        Part, Record, Status, Time, Transaction, Vote, What,
    },
};

use super::support::{ACCEPTORS, Group, RMS, Sent, TMS, cluster, cluster_of, refuse, say, spec, spec_of, tx};

/// The nodes that come later.
const NEW: [NodeId; 5] = [NodeId(14), NodeId(15), NodeId(16), NodeId(23), NodeId(24)];

/// As long as managers are asked to begin nothing new, or a little longer.
const WHILE: u64 = 31;

fn number(group: &Group, at: NodeId) -> Option<u64> {
    group.node(at).epoch().map(|epoch| epoch.number)
}

/// The membership of `at`, with `new` in the place of `old`.
fn replaced(group: &Group, at: NodeId, old: NodeId, new: NodeId) -> Membership {
    group.node(at).config().cluster.membership().replace(old, new)
}

fn change(group: &mut Group, at: NodeId, membership: Membership) {
    group.step(at, Input::Change(membership.into()));
}

fn is_of_epoch(what: impl Fn(&EpochMessage) -> bool) -> impl Fn(&Sent) -> bool {
    move |sent: &Sent| matches!(&sent.message, Message::Epoch { what: said, .. } if what(said))
}

/// A group in which all is quiet, and a newcomer that may take the place of an acceptor.
fn group() -> Group {
    let mut group = Group::apart(cluster());
    group.tick(1);
    group.join(NEW[0], &cluster());
    group.run();
    group
}

#[test]
fn a_change_ends_in_the_next_epoch_with_the_new_members_everywhere_they_are() {
    let mut group = group();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next.clone());
    group.live(20);
    for at in [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], NEW[0], TMS[0], TMS[1]] {
        let epoch = group.node(at).epoch().expect("an epoch");
        assert_eq!((epoch.number, &epoch.membership), (1, &next), "{at}");
    }
    let epoch = group.node(TMS[0]).epoch().unwrap();
    assert!(epoch.may_leave && !epoch.is_changing);
    assert_eq!(epoch.left, [ACCEPTORS[0]]);
    let told = group.decisions(TMS[0]);
    assert!(told.contains(&Decision::Epoch { number: 1, membership: next.into() }));
    assert!(told.contains(&Decision::Changed { number: 1, is_mine: true }));
    group.remove(ACCEPTORS[0]);
    group.begin_new(TMS[0], &RMS, *b"meta");
    group.live(40);
    assert!(group.is_at_rest());
    assert_eq!(number(&group, RMS[0]), Some(1), "whoever takes part comes along");
    let committed = |decision: &&Decision| matches!(decision, Decision::Completed { outcome: Outcome::Committed, .. });
    assert_eq!(group.decisions(TMS[0]).iter().filter(committed).count(), 1);
}

#[test]
fn what_every_acceptor_has_is_committed_by_the_handover_and_what_nobody_has_is_aborted() {
    let mut group = group();
    let whole = super::support::transaction(1);
    let none = super::support::transaction(2);
    group.votes.remove(&RMS[2]);
    group.begin(TMS[0], &none);
    group.run();
    group.votes.insert(RMS[2], Vote::Prepared);
    group.begin(TMS[0], &whole);
    // The votes are accepted, and no manager hears of it.
    group.blocked.extend(ACCEPTORS.into_iter().flat_map(|acceptor| TMS.map(|tm| (acceptor, tm))));
    group.run();
    group.blocked.clear();
    let next = replaced(&group, TMS[1], ACCEPTORS[2], NEW[0]);
    change(&mut group, TMS[1], next);
    group.live(3);
    group.crash(TMS[0]);
    group.live(60);
    assert_eq!(number(&group, TMS[1]), Some(1));
    assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed));
    assert_eq!(group.outcome(tx(2)), Some(Outcome::Aborted));
    group.heal();
    group.live(30);
    assert_eq!(number(&group, TMS[0]), Some(1));
}

#[test]
fn founders_are_replaced_one_after_another_until_none_is_left() {
    let mut group = Group::apart(cluster());
    group.tick(1);
    let pairs =
        [(ACCEPTORS[0], NEW[0]), (ACCEPTORS[1], NEW[1]), (ACCEPTORS[2], NEW[2]), (TMS[0], NEW[3]), (TMS[1], NEW[4])];
    for (epoch, (old, new)) in pairs.into_iter().enumerate() {
        group.crash(old);
        let members: Vec<NodeId> = group.nodes().into_iter().filter(|at| group.is_up(*at)).collect();
        let by =
            *members.iter().rfind(|at| group.node(**at).epoch().is_some_and(|e| e.membership.is_member(**at))).unwrap();
        let known = group.node(by).config().cluster.clone();
        group.join(new, &known);
        let next = replaced(&group, by, old, new);
        change(&mut group, by, next);
        group.live(40);
        assert_eq!(number(&group, by), Some(epoch as u64 + 1));
        assert!(group.node(by).epoch().unwrap().may_leave);
        group.remove(old);
        let manager = group.node(by).config().cluster.managers()[0];
        group.begin_new(manager, &RMS, *b"meta");
        group.live(60);
        assert!(group.is_at_rest(), "after epoch {epoch}");
    }
    let members: BTreeSet<NodeId> = group.node(NEW[0]).epoch().unwrap().membership.members();
    assert_eq!(members, NEW.into());
}

#[test]
fn a_proposer_that_dies_leaves_no_cluster_frozen() {
    for accepts in 0..3 {
        let mut group = group();
        let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
        change(&mut group, TMS[0], next);
        group.run();
        group.tick(WHILE);
        // It dies once it has frozen one acceptor, or once one has accepted its ending, or once two have.
        group.run_until(is_of_epoch(|what| match accepts {
            0 => matches!(what, EpochMessage::Promise { .. }),
            _ => matches!(what, EpochMessage::Accepted { .. }),
        }));
        if accepts == 2 {
            group.deliver();
        }
        group.crash(TMS[0]);
        group.lose(|sent| sent.from == TMS[0]);
        group.live(60);
        assert_eq!(number(&group, TMS[1]), Some(1), "after {accepts}");
        let members = group.node(TMS[1]).epoch().unwrap().membership;
        assert!(accepts == 0 || members.is_member(NEW[0]), "an ending that may be chosen is");
        group.heal();
        group.live(30);
        assert_eq!(number(&group, TMS[0]), Some(1));
    }
}

#[test]
fn two_changes_at_once_end_in_one_membership_and_both_proposers_hear_which() {
    let mut group = group();
    group.join(NEW[1], &cluster());
    group.run();
    let (one, other) = (replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]), replaced(&group, TMS[1], ACCEPTORS[1], NEW[1]));
    change(&mut group, TMS[0], one);
    change(&mut group, TMS[1], other);
    group.live(60);
    let memberships: Vec<_> =
        group.nodes().iter().filter_map(|at| group.node(*at).tag()).filter(|tag| tag.number > 0).collect();
    assert!(memberships.len() > 5 && memberships.iter().all(|tag| *tag == memberships[0]), "{memberships:?}");
    let mine = |at| {
        group.decisions(at).iter().find_map(|decision| match decision {
            Decision::Changed { number: 1, is_mine } => Some(*is_mine),
            _ => None,
        })
    };
    let (one, other) = (mine(TMS[0]).expect("it is told"), mine(TMS[1]).expect("it is told"));
    assert!(one != other, "one of them has won");
}

#[test]
fn a_frozen_acceptor_is_frozen_through_a_restart_and_takes_no_vote() {
    let mut group = group();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.run();
    group.tick(WHILE);
    group.run_until(is_of_epoch(|what| matches!(what, EpochMessage::Promise { .. })));
    let frozen = group.wire.front().expect("a promise").from;
    group.crash(TMS[0]);
    group.wire.clear();
    group.restart(frozen);
    let vote = What::Vote { vote: Vote::Prepared, manager: TMS[1] };
    let message = Message::about(&super::support::transaction(1), vote);
    let said = refuse(group.node_mut(frozen), Input::Receive { from: RMS[0], message }, Refusal::Changing);
    assert!(matches!(&said[..], [synod::Effect::Send { message: Message::Epoch { what, .. }, .. }]
        if matches!(**what, EpochMessage::Frozen { .. })));
}

#[test]
fn an_acceptor_that_freezes_accepts_what_it_has_gathered_first_and_nothing_after_that() {
    let mut acceptor = super::support::node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    let [whole, aborted] = [1, 2].map(super::support::transaction);
    let vote = |of: &Transaction, from, vote| say::from(from, say::vote(of, vote, TMS[0]));
    assert_eq!(acceptor.step(vote(&whole, RMS[0], Vote::Prepared)), [], "it waits for the others");
    acceptor.step(vote(&aborted, RMS[1], Vote::Aborted));
    let ballot = synod::Ballot::new(1, TMS[1]);
    let of_epoch = |what| Message::Epoch { number: Some(0), what: Box::new(what) };
    let effects = acceptor.step(say::from(TMS[1], of_epoch(EpochMessage::Prepare { ballot })));
    let [Effect::Persist(Record::Acceptor(accepted)), bundle, rest @ ..] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((&accepted.transaction, accepted.votes.iter().collect()), (&whole, vec![(0, Vote::Prepared)]));
    assert_eq!(bundle, &Effect::Send { to: TMS[0], message: say::bundle(&whole, &RMS[..1], Vote::Prepared) });
    let [Effect::Persist(Record::Handover { .. }), Effect::Send { to: proposer, message: promise }] = rest else {
        panic!("{rest:?}")
    };
    let Message::Epoch { what, .. } = promise else { panic!("{promise:?}") };
    let EpochMessage::Promise { page, .. } = &**what else { panic!("{what:?}") };
    let part = |of: &Transaction, place: usize, vote| {
        let mut instances = vec![None; 3];
        instances[place] = Some((synod::Ballot::initial(RMS[place]), vote));
        Entry::Part(Part { transaction: of.fingerprint(), instances: instances.into() })
    };
    let parts = [part(&whole, 0, Vote::Prepared), part(&aborted, 1, Vote::Aborted)];
    assert_eq!((*proposer, &page.entries[..]), (TMS[1], &parts[..]));

    // What it has accepted it says again; everything else is up to the handover, whatever time passes.
    for (of, place, kind) in [(&whole, 0, Vote::Prepared), (&aborted, 1, Vote::Aborted)] {
        let again = say::bundle(of, &RMS[place..=place], kind);
        assert_eq!(acceptor.step(vote(of, RMS[place], kind)), [Effect::Send { to: TMS[0], message: again }]);
        let other = if kind == Vote::Prepared { Vote::Aborted } else { Vote::Prepared };
        let phase_1a = say::paxos(of, &RMS, synod::paxos::Message::Prepare { ballot: synod::Ballot::new(1, TMS[0]) });
        let late = [vote(of, RMS[place], other), vote(of, RMS[2], kind), say::from(TMS[0], phase_1a)];
        for late in late {
            let Input::Receive { from, .. } = late else { panic!("{late:?}") };
            let frozen = of_epoch(EpochMessage::Frozen { promised: ballot });
            assert_eq!(refuse(&mut acceptor, late, Refusal::Changing), [Effect::Send { to: from, message: frozen }]);
        }
    }
    for _ in 0..20 {
        let due = acceptor.deadline().expect("it waits");
        let effects = acceptor.step(Input::Tick(due));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Persist(Record::Acceptor(_)))), "{effects:?}");
    }
}

#[test]
fn a_participant_that_sleeps_through_two_changes_hears_how_it_ended() {
    let mut group = group();
    group.join(NEW[1], &cluster());
    let whole = super::support::transaction(1);
    group.begin(TMS[0], &whole);
    // The first participant has voted when it falls asleep.
    group.run_until(|sent| matches!(sent.message, Message::About { what: What::Outcome(_), .. }) && sent.to == RMS[0]);
    group.crash(RMS[0]);
    group.run();
    for (old, new) in [(ACCEPTORS[0], NEW[0]), (ACCEPTORS[1], NEW[1])] {
        let next = replaced(&group, TMS[0], old, new);
        change(&mut group, TMS[0], next);
        group.live(40);
        group.remove(old);
    }
    assert_eq!(number(&group, TMS[0]), Some(2));
    group.restart(TMS[0]);
    group.restart(TMS[1]);
    group.start(RMS[0]);
    group.live(80);
    assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed));
    assert!(group.is_at_rest());
    assert_eq!(number(&group, RMS[0]), Some(2));
}

#[test]
fn a_participant_that_is_written_off_holds_nothing_open_and_is_refused() {
    let mut group = group();
    group.begin(TMS[0], &super::support::transaction(1));
    group.run_until(|sent| matches!(sent.message, Message::About { what: What::Outcome(_), .. }) && sent.to == RMS[0]);
    group.crash(RMS[0]);
    group.live(10);
    assert!(!group.is_at_rest(), "its transaction waits for it");
    let next = group.node(TMS[0]).config().cluster.membership().with_departed(RMS[0]);
    change(&mut group, TMS[0], next);
    group.departed.insert(RMS[0]);
    group.live(60);
    assert!(group.is_at_rest());
    let inquiry = Message::about(&super::support::transaction(1), What::Inquire);
    let said = refuse(group.node_mut(TMS[0]), Input::Receive { from: RMS[0], message: inquiry }, Refusal::Departed);
    assert_eq!(said, []);
}

#[test]
fn a_membership_that_cannot_follow_is_refused() {
    let mut group = group();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next.clone());
    group.live(40);
    let back = next.replace(NEW[0], ACCEPTORS[0]);
    let tm = group.node_mut(TMS[0]);
    assert_eq!(refuse(tm, Input::Change(back.into()), Refusal::FormerMember), []);
    let dead = tm.config().cluster.membership().with_departed(TMS[1]);
    assert_eq!(refuse(tm, Input::Change(dead.into()), Refusal::MalformedMembership), []);
    let participant = group.node_mut(RMS[0]);
    assert_eq!(refuse(participant, Input::Change(next.into()), Refusal::NotAMember), []);
}

#[test]
fn nodes_of_one_epoch_that_do_not_agree_on_its_members_refuse_each_other() {
    let other = spec_of(&[ACCEPTORS[0]], &TMS).build().unwrap();
    let wrong = synod::commit::Node::create(super::support::config(&other, RMS[0])).0;
    let mut right = super::support::node(TMS[0]);
    let meet = |node: &synod::commit::Node| Input::Met { node: RMS[0], birth: 1, epoch: node.tag() };
    assert_eq!(refuse(&mut right, meet(&wrong), Refusal::OtherMembership), []);
    let same = super::support::node(RMS[0]);
    assert!(super::support::verdict(&right, &meet(&same)).is_ok());
}

#[test]
fn nothing_new_is_begun_while_the_membership_changes() {
    let mut group = group();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.run_until(is_of_epoch(|what| matches!(what, EpochMessage::Hold)));
    group.run();
    let begin = super::support::say::begins(&super::support::transaction(1));
    assert_eq!(refuse(group.node_mut(TMS[1]), begin.clone(), Refusal::Changing), []);
    group.live(40);
    assert_eq!(refuse(group.node_mut(TMS[1]), begin, Refusal::OldEpoch), [], "it was named in the epoch before");
}

#[test]
fn a_membership_whose_members_have_not_come_is_proposed_by_nobody() {
    let mut group = group();
    let before = group.node(TMS[0]).config().cluster.membership();
    let next = before.replace(TMS[0], NEW[3]).replace(TMS[1], NEW[4]);
    change(&mut group, TMS[0], next);
    group.live(5);
    assert_eq!(number(&group, TMS[0]), Some(0), "it waits for a manager to come");
    // Somebody else has begun to end the epoch, and has died.
    let frozen = EpochMessage::Frozen { promised: synod::Ballot::new(1, TMS[1]) };
    let frozen = Message::Epoch { number: Some(0), what: Box::new(frozen) };
    group.step(TMS[0], Input::Receive { from: ACCEPTORS[0], message: frozen });
    group.live(60);
    let epoch = group.node(TMS[0]).epoch().unwrap();
    assert_eq!((epoch.number, epoch.membership), (1, before), "the epoch is renewed");
}

#[test]
fn whoever_meets_many_ballots_waits_longer_before_it_adds_one() {
    let mut acceptor = super::support::node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    let waits: Vec<u64> = (1..6)
        .map(|round| {
            let prepare = EpochMessage::Prepare { ballot: synod::Ballot::new(round, TMS[0]) };
            let message = Message::Epoch { number: Some(0), what: Box::new(prepare) };
            acceptor.step(Input::Receive { from: TMS[0], message });
            acceptor.deadline().expect("it waits").0
        })
        .collect();
    assert!(waits.is_sorted() && waits[4] >= 4 * waits[0], "{waits:?}");
}

#[test]
fn a_node_gives_no_name_that_a_handover_brings_before_and_after_a_restart() {
    let mut group = group();
    let name = |seq| synod::TxId { origin: TMS[0], seq };
    // A name that nobody has given, and the last of all.
    let used = [3, 5_000, u64::MAX].map(name);
    for tx in used {
        let transaction = Transaction::new(tx, RMS, *b"meta").unwrap();
        for acceptor in ACCEPTORS {
            for rm in RMS {
                let vote = What::Vote { vote: Vote::Prepared, manager: TMS[1] };
                let message = Message::about(&transaction, vote);
                group.step(acceptor, Input::Receive { from: rm, message });
            }
        }
    }
    group.wire.clear();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.live(40);
    assert_eq!(number(&group, TMS[0]), Some(1));
    for _ in 0..2 {
        let given = group.step(TMS[0], Input::Names { count: 100 });
        let names = given.iter().find_map(|effect| match effect {
            Effect::Decide(Decision::Named(given)) => Some(given.names),
            _ => None,
        });
        let names = names.expect("there are names");
        assert!(used.iter().all(|tx| !names.contains(*tx)), "{names:?}");
        let is_known = |tx: &TxId| {
            group.log(TMS[0]).iter().any(|record| match record {
                Record::Epoch { number: 1, committed, .. } => committed.iter().any(|one| one.tx == *tx),
                _ => false,
            })
        };
        assert!(used.iter().all(is_known), "they are committed, and it must say so to whoever comes");
        group.restart(TMS[0]);
    }
}

#[test]
fn phase_1_waits_for_no_time_out_where_the_only_manager_is_the_proposer() {
    let mut group = Group::apart(cluster_of(&ACCEPTORS, &TMS[..1]));
    group.tick(1);
    group.join(NEW[0], &cluster_of(&ACCEPTORS, &TMS[..1]));
    group.run();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.run();
    group.tick(1);
    group.run();
    assert_eq!(number(&group, TMS[0]), Some(1));
}

#[test]
fn phase_1_waits_for_what_is_undecided_and_no_longer_than_that() {
    let mut group = group();
    group.votes.remove(&RMS[2]);
    group.begin(TMS[1], &super::support::transaction(1));
    group.run();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.run();
    group.tick(1);
    group.run();
    assert_eq!(number(&group, TMS[0]), Some(0), "a transaction is undecided");
    let vote = Input::Vote { transaction: super::support::transaction(1), vote: Vote::Prepared };
    group.step(RMS[2], vote);
    group.run();
    group.tick(1);
    group.run();
    assert_eq!(number(&group, TMS[0]), Some(1), "it need not wait for a time-out");
    assert_eq!(group.outcome(tx(1)), Some(Outcome::Committed));
}

#[test]
fn an_acceptor_erases_what_is_left_of_an_epoch_that_is_over_little_by_little_and_opens_no_other_by_such_a_name() {
    let mut group = Group::apart(spec().with_limits(Limits::default().with_page(8)).build().unwrap());
    let cluster = group.cluster().clone();
    group.tick(1);
    group.join(NEW[0], &cluster);
    group.run();
    for seq in 1..=40 {
        let message = |rm: NodeId| {
            let vote = What::Vote { vote: Vote::Prepared, manager: TMS[0] };
            Input::Receive { from: rm, message: Message::about(&super::support::transaction(seq), vote) }
        };
        for (acceptor, rm) in ACCEPTORS.into_iter().flat_map(|acceptor| RMS.map(|rm| (acceptor, rm))) {
            group.step(acceptor, message(rm));
        }
    }
    group.wire.clear();
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    let at = ACCEPTORS[1];
    let mut waits = 0..200;
    while number(&group, at) == Some(0) {
        waits.next().expect("the change ends");
        group.live(1);
    }
    let left = group.node(at).metrics().open;
    assert!((1..40).contains(&left), "{left} are left");
    let (last, rms) = (super::support::transaction(40), [RMS[0]]);
    assert!(group.node(at).open_transactions().contains(&last.id()), "they go in order");
    let other = Transaction::new(last.id(), rms, *b"other").unwrap().in_epoch(1);
    let vote = Message::about(&other, What::Vote { vote: Vote::Prepared, manager: TMS[0] });
    let input = Input::Receive { from: RMS[0], message: vote };
    assert_eq!(refuse(group.node_mut(at), input, Refusal::OtherTransaction), []);
    // A restart erases what is left.
    group.live(5);
    group.restart(at);
    group.live(60);
    assert_eq!(group.node(at).metrics().open, 0);
    for seq in 1..=40 {
        let erased = Record::Erased(Key::Acceptor(tx(seq)));
        assert!(group.log(at).contains(&erased), "{seq}");
    }
}

#[test]
fn names_are_of_the_epoch_in_which_they_are_given_and_begin_nothing_once_that_is_over() {
    let mut group = group();
    let named = |group: &mut Group| {
        let effects = group.step(TMS[0], Input::Names { count: 2 });
        let [given] = effects.iter().filter_map(given).collect::<Vec<_>>()[..] else { panic!("{effects:?}") };
        let name = |seq| TxId { seq, ..given.names.first() };
        let named = |seq| Transaction::new(name(seq), RMS, []).unwrap().in_epoch(given.epoch);
        (given.epoch, [given.names.first().seq, given.names.last().seq].map(named))
    };
    let (epoch, old) = named(&mut group);
    assert_eq!(epoch, 0);
    group.begin(TMS[1], &old[0]);
    group.live(20);
    let next = replaced(&group, TMS[0], ACCEPTORS[0], NEW[0]);
    change(&mut group, TMS[0], next);
    group.live(40);
    let (epoch, new) = named(&mut group);
    assert_eq!(epoch, 1);
    for tm in TMS {
        assert_eq!(refuse(group.node_mut(tm), say::begins(&old[1]), Refusal::OldEpoch), []);
        assert_eq!(group.node(tm).status(old[1].id()), Status::Unknown);
    }
    for transaction in &new {
        group.begin(TMS[1], transaction);
    }
    group.live(40);
    assert!(group.is_at_rest());
    let outcomes = [&old[0], &old[1], &new[0], &new[1]].map(|transaction| group.outcome(transaction.id()));
    let committed = Some(Outcome::Committed);
    assert_eq!(outcomes, [committed, None, committed, committed]);
}

fn given(effect: &Effect) -> Option<GivenNames> {
    if let Effect::Decide(Decision::Named(given)) = effect { Some(*given) } else { None }
}

/// Whoever hears of an old epoch does what he wanted again, under another name.
#[test]
fn what_an_epoch_before_has_committed_is_nowhere_refused_for_its_age() {
    let (whole, cluster) = (super::support::transaction(1), cluster());
    let records = |at| {
        let [identity, _] = super::support::founding(&cluster, at);
        let committed = vec![whole.fingerprint()].into();
        let membership = cluster.membership().into();
        [
            identity,
            Record::Epoch { number: 1, membership, former: ACCEPTORS.into_iter().chain(TMS).collect(), committed },
        ]
    };
    let restored = |at| Node::restore(super::support::config(&cluster, at), records(at)).unwrap();
    // A participant that has forgotten it, as it may where votes are durable elsewhere.
    assert_eq!(refuse(&mut restored(RMS[0]), say::begins(&whole), Refusal::NotAManager), []);
    let decided = Decision::Decided { tx: whole.id(), outcome: Outcome::Committed };
    assert!(restored(TMS[0]).step(say::begins(&whole)).contains(&Effect::Decide(decided)));
}
