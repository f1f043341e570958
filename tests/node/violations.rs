//! What is left of a broken assumption: a resource manager that stays in doubt about what is over, and an operator's last
//! resort.

use synod::{
    Effect, Machine, Refusal, RestoreError,
    commit::{
        Input, Key, Limits, Message, Node, Outcome, Record, ResourceManagerRecord, ResourceManagerState, Time,
        Transaction, TxRange, ViolationReason, Vote,
    },
};

use super::{
    completed, prepared,
    support::{
        ACCEPTORS, Group, RMS, TMS, cluster, cluster_of, commits, config, founding, refuse, say, spec, transaction, tx,
    },
};

use Outcome::{Aborted, Committed};

fn resolve(outcome: Outcome) -> Input {
    Input::Resolve { tx: tx(1), outcome }
}

/// The record of a vote to commit that an operator resolved.
fn resolved(finished: Option<Outcome>) -> Record {
    let (transaction, meta) = (transaction(1), Some(say::meta(&transaction(1))));
    let record = ResourceManagerRecord { transaction, meta, vote: Some(Vote::Prepared), finished };
    Record::Resolved { record, outcome: Committed }
}

fn over() -> Record {
    Record::Retired(TxRange::only(tx(1)))
}

/// A resource manager that is prepared in what is over elsewhere.
fn violated() -> Node {
    let mut rm = prepared(RMS[0]);
    assert_eq!(refuse(&mut rm, say::from(ACCEPTORS[0], say::retired(tx(1))), Refusal::RetiredUnfinished), []);
    rm
}

fn restored(records: impl IntoIterator<Item = Record>) -> Node {
    let records = founding(&cluster(), RMS[0]).into_iter().chain(records);
    Node::restore(config(&cluster(), RMS[0]), records).unwrap()
}

/// Asserts that one transaction is listed.
fn assert_listed(node: &Node, about: &Transaction) {
    let violations = node.violations();
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!(violation.transaction, *about);
    assert_eq!(violation.state, Some(ResourceManagerState::Prepared));
    assert_eq!(violation.reason, ViolationReason::OverElsewhere);
    assert_eq!(node.in_doubt().len(), 1);
}

#[test]
fn who_is_prepared_in_what_is_over_elsewhere_stays_in_doubt_and_is_listed_after_a_restart_too() {
    assert!(prepared(RMS[0]).violations().is_empty());
    assert_listed(&violated(), &transaction(1));
    // So is it when this node itself has retired it, which no sound storage says.
    let rm = restored(prepared(RMS[0]).snapshot().into_iter().chain([over()]));
    assert_listed(&rm, &transaction(1));
}

#[test]
fn an_operator_resolves_what_is_in_doubt_and_nobody_hears_of_it() {
    let mut rm = violated();
    let effects = rm.step(resolve(Committed));
    let handed = Effect::Decide(commits(&transaction(1)));
    let counted = Record::Resolutions { count: 1 };
    assert_eq!(effects, [Effect::Persist(resolved(None)), handed.clone(), Effect::Persist(counted.clone())]);
    assert_eq!((rm.violations().len(), rm.in_doubt().len(), rm.metrics().resolved), (0, 0, 1));
    assert_eq!(rm.status(tx(1)).outcome(), None, "it proves nothing about the transaction");
    assert_eq!(refuse(&mut rm, resolve(Aborted), Refusal::NotInDoubt), []);

    // It survives a restart, and is handed over until it is carried out.
    let mut rm = restored(rm.snapshot());
    rm.step(Input::Tick(Time(0)));
    assert_eq!(rm.step(Input::Tick(rm.deadline().unwrap())), [handed]);
    for late in [say::outcome(&transaction(1), Aborted), say::prepare(&transaction(1))] {
        assert_eq!(rm.step(say::from(TMS[0], late)), [], "it says nothing more of its vote");
    }
    assert_eq!(rm.step(Input::Finished(tx(1))), [Effect::Persist(resolved(Some(Committed)))]);
    let mut rm = restored(rm.snapshot());
    rm.step(Input::Tick(Time(0)));
    for _ in 0..9 {
        assert_eq!(rm.step(Input::Tick(rm.deadline().unwrap())), [], "it waits in silence");
    }
    for late in [say::outcome(&transaction(1), Aborted), say::prepare(&transaction(1))] {
        assert_eq!(rm.step(say::from(TMS[0], late)), []);
    }
    let effects = rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!(effects, [over(), Record::Erased(Key::ResourceManager(tx(1)))].map(Effect::Persist));
    // It is counted for ever.
    let rm = restored(rm.snapshot().into_iter().skip(1));
    assert_eq!(rm.metrics().resolved, 1);
    assert!(rm.snapshot().contains(&counted));
    for after in [Record::Resolutions { count: 0 }, Record::Erased(Key::Resolutions)] {
        let records = founding(&cluster(), RMS[0]).into_iter().chain([counted.clone(), after]);
        let restored = Node::restore(config(&cluster(), RMS[0]), records);
        assert_eq!(restored.err(), Some(RestoreError::ReservationWentBack));
    }
}

#[test]
fn what_is_resolved_enters_no_history() {
    let config = config(&super::support::cluster_of(&ACCEPTORS, &RMS), RMS[0]);
    let mut both = Node::create(config).0;
    both.step(say::from(RMS[1], say::prepare(&transaction(1))));
    both.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    both.step(resolve(Committed));
    both.step(Input::Finished(tx(1)));
    both.step(say::from(RMS[1], say::retired(tx(1))));
    assert!(both.status(tx(1)).is_retired());
    assert_eq!(both.status(tx(1)).outcome(), None);
}

#[test]
fn an_outcome_that_a_transaction_manager_remembers_ends_a_violation() {
    let (mut tm, _) = completed(Committed);
    let mut rm = violated();
    let asked = rm.step(Input::Inquire(tx(1)));
    let inquiry = say::sends(&asked).into_iter().map(|(_, message)| message.clone()).next_back().unwrap();
    assert_eq!(inquiry, say::inquire(&transaction(1)));
    let answer = refuse(&mut tm, say::from(RMS[0], inquiry), Refusal::Retired);
    let [Effect::Send { message, .. }] = answer.as_slice() else { panic!("{answer:?}") };
    assert_eq!(rm.step(say::from(TMS[0], message.clone())), [Effect::Decide(commits(&transaction(1)))]);
    assert!(rm.violations().is_empty());
    rm.step(Input::Finished(tx(1)));
    rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert!(rm.status(tx(1)).is_retired());
}

#[test]
fn what_was_retired_here_while_prepared_ends_by_an_outcome_and_touches_no_other_role() {
    let mut rm = restored(prepared(RMS[0]).snapshot().into_iter().chain([over()]));
    for late in [say::prepare(&transaction(1)), say::inquire(&transaction(1))] {
        assert_eq!(refuse(&mut rm, say::from(TMS[0], late), Refusal::Retired).len(), 1);
    }
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Committed)));
    let effects = rm.step(Input::Finished(tx(1)));
    assert_eq!(effects.last(), Some(&Effect::Persist(Record::Erased(Key::ResourceManager(tx(1))))));
    assert!(rm.status(tx(1)).is_retired());
}

/// The fault of seata#1851 and citus_docs#417.
#[test]
fn a_name_that_is_used_twice_leaves_a_participant_that_is_listed_and_resolved_and_nothing_else() {
    let cluster = spec().with_limits(Limits::default().with_history(0)).build().unwrap();
    let mut group = Group::apart(cluster);
    let among = |rms: &[_]| Transaction::new(tx(1), rms, *b"meta").unwrap();
    assert_eq!(group.complete(TMS[0], &among(&RMS[..2])), Some(Committed));
    let again = among(&RMS[1..]);
    group.begin(RMS[2], &again);
    group.run();
    assert_listed(group.node(RMS[2]), &again);
    let others = group.nodes().into_iter().filter(|at| *at != RMS[2]);
    assert!(others.clone().all(|at| group.node(at).open_transactions().is_empty()));
    let effects = group.step(RMS[2], resolve(Committed));
    assert!(say::sends(&effects).is_empty());
    group.run();
    assert!(group.node(RMS[2]).violations().is_empty() && group.node(RMS[2]).in_doubt().is_empty());
    // The next transaction commits, and that it is over ends the other one here, too.
    assert_eq!(group.complete(TMS[0], &transaction(2)), Some(Committed));
    assert!(group.nodes().iter().all(|at| group.node(*at).open_transactions().is_empty()));
}

#[test]
fn a_manager_goes_on_with_what_an_operator_has_resolved_at_the_participant_beside_it() {
    let mut node = Node::create(config(&cluster_of(&ACCEPTORS, &[RMS[0]]), RMS[0])).0;
    node.step(say::begins(&transaction(1)));
    node.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    let bundle = |from| say::from(from, say::bundle(&transaction(1), &RMS, Vote::Prepared));
    node.step(bundle(ACCEPTORS[0]));
    node.step_into(resolve(Committed), &mut Vec::new()).unwrap();
    let effects = node.step(bundle(ACCEPTORS[1]));
    assert!(say::sends(&effects).contains(&(RMS[1], &say::outcome(&transaction(1), Committed))));
}

#[test]
fn only_what_is_in_doubt_is_resolved() {
    let mut asked = super::node(RMS[0]);
    asked.step(say::from(TMS[0], say::prepare(&transaction(1))));
    let mut told = prepared(RMS[0]);
    told.step(say::from(TMS[0], say::outcome(&transaction(1), Committed)));
    for mut rm in [asked, told] {
        assert_eq!(refuse(&mut rm, resolve(Committed), Refusal::NotInDoubt), []);
    }
    assert_eq!(refuse(&mut super::node(RMS[0]), resolve(Committed), Refusal::UnknownTransaction), []);
    let mut tm = super::node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    assert_eq!(refuse(&mut tm, resolve(Aborted), Refusal::UnknownTransaction), [], "nothing is wrong with it");
    let is_about = |message: &Message| message.transaction().is_some();
    let mut rm = prepared(RMS[0]);
    assert!(!say::sends(&rm.step(resolve(Aborted))).into_iter().any(|(_, message)| is_about(message)));
    assert!(matches!(rm.snapshot().last(), Some(Record::Resolved { outcome: Aborted, .. })));
}

#[test]
fn what_a_handover_says_is_over_is_noted_by_who_is_prepared_in_another_of_its_name_and_stays_listed() {
    let newcomer = synod::NodeId(14);
    let cluster = spec().with_limits(Limits::default().with_history(0)).build().unwrap();
    let mut group = Group::apart(cluster.clone());
    group.tick(1);
    group.join(newcomer, &cluster);
    group.run();
    let among = |rms: &[_]| Transaction::new(tx(1), rms, *b"meta").unwrap();
    assert_eq!(group.complete(TMS[0], &among(&RMS[..2])), Some(Committed));
    let again = among(&RMS[1..]);
    group.begin(RMS[2], &again);
    group.run();
    let is_noted = |group: &Group| {
        let covers = |record: &Record| matches!(record, Record::Retired(range) if range.contains(tx(1)));
        group.log(RMS[2]).iter().any(covers)
    };
    assert!(!is_noted(&group), "it is prepared");
    let next = cluster.membership().replace(ACCEPTORS[2], newcomer);
    group.step(TMS[0], Input::Change(next.into()));
    group.live(40);
    // Whoever takes part comes along.
    group.begin_new(TMS[0], &RMS, *b"meta");
    group.live(60);
    assert_eq!(group.node(RMS[2]).epoch().map(|epoch| epoch.number), Some(1));
    assert!(is_noted(&group));
    assert_listed(group.node(RMS[2]), &again);
    group.restart(RMS[2]);
    assert_listed(group.node(RMS[2]), &again);
    group.step(RMS[2], resolve(Committed));
    group.run();
    assert!(group.node(RMS[2]).violations().is_empty() && group.node(RMS[2]).open_transactions().is_empty());
}

#[test]
fn what_is_over_though_it_is_prepared_here_is_not_begun_again_and_what_is_resolved_here_is_still_brought_to_its_outcome()
 {
    let all = super::support::cluster_of(&RMS, &RMS);
    let restored = |records: Vec<Record>| {
        let records = founding(&all, RMS[0]).into_iter().chain(records);
        Node::restore(config(&all, RMS[0]), records).unwrap()
    };
    let Record::Resolved { record, .. } = resolved(None) else { unreachable!() };
    let mut over = restored(vec![Record::ResourceManager(record), over()]);
    refuse(&mut over, say::begins(&transaction(1)), Refusal::Retired);

    // Its own transaction manager goes on with what an operator has settled for the resource alone.
    let mut both = Node::create(config(&all, RMS[0])).0;
    both.step(Input::Tick(Time(0)));
    both.step(say::begins(&transaction(1)));
    both.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    both.step(resolve(Committed));
    let is_tried = (0..9).any(|_| {
        let due = both.deadline().unwrap();
        let effects = both.step(Input::Tick(due));
        let sent = say::sends(&effects);
        sent.iter().any(|(_, message)| say::is_paxos(message))
    });
    assert!(is_tried);
}
