//! The roles of one transaction, each driven alone, without a node around them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
};

use synod::{
    Ballot, Effect, InstanceId, Machine, NodeId, Refusal,
    commit::{
        self, Cluster, Decision, Input, Learning, Message, Meta, Outcome, Record, ResourceManagerState, Vote, What,
        roles::{
            Acceptor, AcceptorInput, ResourceManager, ResourceManagerInput, TransactionManager,
            TransactionManagerInput, Wait,
        },
    },
    paxos::Message::{Accept, Prepare},
};

use super::support::{ACCEPTORS, RMS, STRANGER, TMS, asked, catalogue, cluster, say, spec, transaction, tx, verdict};

/// The roles of a transaction, and what is on its way between them.
struct Roles {
    acceptors: BTreeMap<NodeId, Acceptor>,
    rms: BTreeMap<NodeId, ResourceManager>,
    tm: TransactionManager,
    wire: VecDeque<(NodeId, NodeId, Message)>,
    decided: Vec<(NodeId, Decision)>,
}

impl Roles {
    fn new(cluster: &Cluster) -> Self {
        let rm = |id| (id, ResourceManager::new(cluster.clone(), id, transaction(1)).unwrap());
        let acceptor = |id| (id, Acceptor::new(cluster.clone(), transaction(1)));
        Self {
            acceptors: ACCEPTORS.map(acceptor).into(),
            rms: RMS.map(rm).into(),
            tm: TransactionManager::new(cluster.clone(), TMS[0], transaction(1)),
            wire: VecDeque::new(),
            decided: Vec::new(),
        }
    }

    fn carry_out(&mut self, at: NodeId, effects: Vec<commit::Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => self.wire.push_back((at, to, message)),
                Effect::Decide(decision) => self.decided.push((at, decision)),
            }
        }
    }

    fn rm(&mut self, at: NodeId, input: ResourceManagerInput) {
        let effects = self.rms.get_mut(&at).unwrap().step(input);
        self.carry_out(at, effects);
    }

    fn tm(&mut self, input: TransactionManagerInput) {
        let effects = self.tm.step(input);
        self.carry_out(TMS[0], effects);
    }

    fn deliver(&mut self) {
        for _ in 0..1_000 {
            let Some((from, to, message)) = self.wire.pop_front() else { return };
            if let Some(acceptor) = self.acceptors.get_mut(&to) {
                let effects = acceptor.step(AcceptorInput::Receive { from, message });
                self.carry_out(to, effects);
            } else if to == TMS[0] {
                self.tm(TransactionManagerInput::Receive { from, message });
            } else if self.rms.contains_key(&to) {
                self.rm(to, ResourceManagerInput::Receive { from, message });
            }
        }
        panic!("the roles do not stop talking");
    }
}

#[test]
fn they_commit_a_transaction_and_say_on_the_way_what_they_know_and_wait_for() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let mut roles = Roles::new(&spec().with_learning(learning).build().unwrap());
        assert_eq!(roles.tm.transaction(), &transaction(1));
        assert_eq!((roles.tm.outcome(), roles.tm.wait()), (None, Some(Wait::Recover(0))));
        assert_eq!(roles.rms[&RMS[0]].instance(), InstanceId { tx: tx(1), rm: RMS[0] });
        roles.tm(TransactionManagerInput::Begin(say::meta(&transaction(1))));
        roles.deliver();
        for at in RMS {
            let rm = &roles.rms[&at];
            assert_eq!(
                (rm.state(), rm.wait(), rm.has_record()),
                (ResourceManagerState::Working, Wait::Repeat(0), false)
            );
            roles.rm(at, ResourceManagerInput::Vote(Vote::Prepared));
            let rm = &roles.rms[&at];
            assert_eq!((rm.state(), rm.wait()), (ResourceManagerState::Prepared, Wait::Inquire(0)));
            assert!(rm.is_in_doubt() && rm.has_record() && !rm.is_finished());
        }
        assert!(roles.acceptors.values().all(|acceptor| !acceptor.has_record()));
        roles.deliver();
        for acceptor in roles.acceptors.values() {
            assert_eq!((acceptor.transaction(), acceptor.wait()), (&transaction(1), Wait::Inquire(0)));
            assert!(acceptor.has_record());
            let restored = Acceptor::restore(cluster(), acceptor.record()).unwrap();
            assert_eq!(restored.record(), acceptor.record());
        }
        for at in RMS {
            let rm = &roles.rms[&at];
            assert_eq!((rm.state(), rm.wait()), (ResourceManagerState::Committed, Wait::Repeat(0)));
            assert_eq!(rm.outcome(), Some(Outcome::Committed));
            roles.rm(at, ResourceManagerInput::Finished);
            let rm = &roles.rms[&at];
            assert!(rm.is_finished());
            let restored = ResourceManager::restore(cluster(), at, rm.record()).unwrap();
            assert_eq!((restored.record(), restored.state()), (rm.record(), rm.state()));
        }
        roles.deliver();
        assert_eq!((roles.tm.outcome(), roles.tm.wait()), (Some(Outcome::Committed), None));
        assert!(roles.tm.is_completed());
        let completed = Decision::Completed { tx: tx(1), outcome: Outcome::Committed };
        assert_eq!(roles.decided.last(), Some(&(TMS[0], completed)));
    }
}

#[test]
fn a_transaction_manager_asks_for_a_round_and_recovers_at_the_one_that_it_is_given() {
    let mut roles = Roles::new(&cluster());
    assert_eq!(roles.tm.wants_round(), None);
    roles.tm(TransactionManagerInput::Timeout);
    assert_eq!((roles.tm.wants_round(), roles.tm.wait()), (Some(0), Some(Wait::Recover(1))));
    roles.tm(TransactionManagerInput::Recover { round: 7 });
    assert_eq!(roles.tm.wants_round(), None);
    roles.deliver();
    assert_eq!(roles.tm.outcome(), Some(Outcome::Aborted));
    for acceptor in roles.acceptors.values() {
        let ballot = Ballot::new(7, TMS[0]);
        let higher = acceptor.record().higher;
        assert_eq!(higher.iter().map(|instance| instance.rm).collect::<Vec<_>>(), RMS);
        assert!(higher.iter().all(|instance| instance.state.accepted == Some((ballot, Vote::Aborted))));
    }
    assert!(roles.rms.values().all(|rm| rm.state() == ResourceManagerState::Aborted));
    roles.tm(TransactionManagerInput::Inquire);
    assert_eq!(roles.wire.len(), RMS.len(), "now it tells them again");
    // So it does when a resource cannot prepare.
    let mut declined = TransactionManager::new(cluster(), TMS[0], transaction(1));
    let message = Message::about(&transaction(1), What::Decline);
    declined.step(TransactionManagerInput::Receive { from: RMS[0], message });
    assert_eq!(declined.wants_round(), Some(0));
    // One that is in the way names a higher round.
    let mut late = TransactionManager::new(cluster(), TMS[1], transaction(1));
    late.step(TransactionManagerInput::Recover { round: 3 });
    let prepare = say::paxos(&transaction(1), &RMS, Prepare { ballot: Ballot::new(3, TMS[1]) });
    let acceptor = roles.acceptors.get_mut(&ACCEPTORS[0]).unwrap();
    let effects = acceptor.step(AcceptorInput::Receive { from: TMS[1], message: prepare });
    let [(_, rejection)] = say::sends(&effects)[..] else { panic!("{effects:?}") };
    late.step(TransactionManagerInput::Receive { from: ACCEPTORS[0], message: rejection.clone() });
    late.step(TransactionManagerInput::Inquire);
    assert_eq!(late.wants_round(), Some(7));
}

/// Of every role and every message: what is refused is answered with a rejection at most.
#[test]
fn what_a_role_refuses_changes_nothing_of_it() {
    let mut roles = Roles::new(&cluster());
    roles.tm(TransactionManagerInput::Recover { round: 2 });
    let abort = say::paxos(&transaction(1), &RMS[..1], Accept { ballot: Ballot::new(2, TMS[0]), value: Vote::Aborted });
    let acceptor = roles.acceptors.get_mut(&ACCEPTORS[0]).unwrap();
    acceptor.step(AcceptorInput::Receive { from: TMS[0], message: abort });
    roles.rm(RMS[0], ResourceManagerInput::Receive { from: TMS[0], message: say::prepare(&transaction(1)) });
    roles.rm(RMS[0], ResourceManagerInput::Vote(Vote::Prepared));
    assert_eq!(roles.rms[&RMS[0]].state(), ResourceManagerState::Prepared);
    let (acceptor, rm, tm) = (&roles.acceptors[&ACCEPTORS[0]], &roles.rms[&RMS[0]], &roles.tm);
    let inputs =
        catalogue::inputs().into_iter().chain(catalogue::messages(&transaction(1)).into_iter().flat_map(|message| {
            [RMS[1], ACCEPTORS[1], TMS[0], TMS[1], STRANGER].map(|from| say::from(from, message.clone()))
        }));
    for input in inputs {
        let Input::Receive { from, message } = input else { continue };
        let acceptor_input = AcceptorInput::Receive { from, message: message.clone() };
        let rm_input = ResourceManagerInput::Receive { from, message: message.clone() };
        unless_refused(acceptor, acceptor_input);
        unless_refused(rm, rm_input);
        unless_refused(tm, TransactionManagerInput::Receive { from, message });
    }
}

fn unless_refused<M>(role: &M, input: M::Input)
where
    M: Machine<Record = Record, Message = Message, Decision = Decision> + Clone + Debug,
{
    let (mut after, mut effects) = (role.clone(), Vec::new());
    let verdict = after.step_into(input, &mut effects);
    let writes = effects.iter().any(|effect| matches!(effect, Effect::Persist(_)));
    let changed = catalogue::memory(role) != catalogue::memory(&after);
    match verdict {
        Ok(()) => assert!(changed || !writes, "what is taken and written changes something"),
        Err(Refusal::StaleBallot) => assert!(!changed && effects.len() <= 1 && !writes),
        Err(refusal) => assert!(!changed && effects.is_empty(), "{refusal:?}: {effects:?}"),
    }
}

#[test]
fn a_resource_manager_begins_waits_and_asks_when_it_is_told_to() {
    let mut roles = Roles::new(&cluster());
    roles.rm(RMS[0], ResourceManagerInput::Begin(say::meta(&transaction(1))));
    assert_eq!(roles.decided, [(RMS[0], asked(&transaction(1)))]);
    roles.rm(RMS[0], ResourceManagerInput::Inquire);
    assert_eq!(roles.wire, [(RMS[0], TMS[0], say::inquire(&transaction(1)))]);
    roles.wire.clear();
    assert!(!roles.rms[&RMS[0]].is_in_doubt() && !roles.tm.is_completed());
    roles.rm(RMS[0], ResourceManagerInput::Vote(Vote::Prepared));
    assert!(roles.rms[&RMS[0]].is_in_doubt());
    roles.wire.clear();
    roles.rm(RMS[0], ResourceManagerInput::Timeout);
    assert_eq!(roles.rms[&RMS[0]].wait(), Wait::Inquire(1));
    assert_eq!(roles.wire.len(), ACCEPTORS.len() + 1);
    let record = Record::ResourceManager(roles.rms[&RMS[0]].record());
    assert_eq!(record.key(), commit::Key::ResourceManager(tx(1)));
}

#[test]
fn an_acceptor_says_why_it_refuses_and_takes_nothing_of_another_transaction() {
    let acceptor = Acceptor::new(cluster(), transaction(1));
    let bundle = |number, ballot| say::paxos(&transaction(number), &RMS, Prepare { ballot });
    let ballot = Ballot::new(1, TMS[0]);
    let vote = |number| say::vote(&transaction(number), Vote::Prepared, TMS[0]);
    for (from, message, expected) in [
        (RMS[0], vote(1), Ok(())),
        (RMS[0], vote(2), Err(Refusal::OtherTransaction)),
        (STRANGER, vote(1), Err(Refusal::NotAParticipant)),
        (TMS[0], bundle(1, ballot), Ok(())),
        (TMS[0], bundle(2, ballot), Err(Refusal::OtherTransaction)),
        (STRANGER, bundle(1, ballot), Err(Refusal::NotAManager)),
        (TMS[1], bundle(1, ballot), Err(Refusal::NotYourBallot)),
        (TMS[0], bundle(1, Ballot::initial(TMS[0])), Err(Refusal::NotYourBallot)),
        (TMS[0], say::begin(&transaction(1)), Err(Refusal::NotForThisRole)),
        (TMS[0], say::retired(tx(1)), Err(Refusal::NotForThisRole)),
    ] {
        let input = AcceptorInput::Receive { from, message };
        let (mut at, mut effects) = (acceptor.clone(), Vec::new());
        assert_eq!(at.step_into(input.clone(), &mut effects), expected, "{input:?}");
        assert_eq!(expected.is_ok(), catalogue::memory(&at) != catalogue::memory(&acceptor), "{effects:?}");
    }
}

#[test]
fn a_resource_manager_says_why_it_refuses() {
    let prepared = |learning, prepared: bool| {
        let mut rm =
            ResourceManager::new(spec().with_learning(learning).build().unwrap(), RMS[0], transaction(1)).unwrap();
        if prepared {
            rm.step(ResourceManagerInput::Receive { from: TMS[0], message: say::prepare(&transaction(1)) });
            rm.step(ResourceManagerInput::Vote(Vote::Prepared));
        }
        rm
    };
    let working = prepared(Learning::Leader, false);
    let mut committed = prepared(Learning::Leader, true);
    let (leader, everyone) = (committed.clone(), prepared(Learning::Everyone, true));
    let outcome = |number, outcome| say::outcome(&transaction(number), outcome);
    committed.step(ResourceManagerInput::Receive { from: TMS[0], message: outcome(1, Outcome::Committed) });
    let bundle = || say::bundle(&transaction(1), &RMS, Vote::Prepared);
    let (commit, abort) = (Outcome::Committed, Outcome::Aborted);
    for (rm, from, message, expected) in [
        (&working, TMS[0], say::prepare(&transaction(1)), Ok(())),
        (&working, TMS[0], say::prepare(&transaction(2)), Err(Refusal::OtherTransaction)),
        (&working, RMS[1], say::prepare(&transaction(1)), Err(Refusal::NotAManager)),
        (&working, TMS[0], other_content(What::prepare(Meta::from(b"other"))), Err(Refusal::OtherContent)),
        (&working, TMS[0], outcome(1, commit), Err(Refusal::ContradictoryOutcome)),
        (&working, TMS[0], outcome(1, abort), Ok(())),
        (&leader, TMS[0], outcome(1, commit), Ok(())),
        (&leader, TMS[0], outcome(2, commit), Err(Refusal::OtherTransaction)),
        (&leader, STRANGER, outcome(1, commit), Err(Refusal::NotAManager)),
        (&leader, ACCEPTORS[0], bundle(), Err(Refusal::NotForThisRole)),
        (&everyone, ACCEPTORS[0], bundle(), Ok(())),
        (&everyone, STRANGER, bundle(), Err(Refusal::NotAnAcceptor)),
        (&committed, TMS[0], outcome(1, commit), Ok(())),
        (&committed, TMS[0], outcome(1, abort), Err(Refusal::ContradictoryOutcome)),
        (&leader, TMS[0], say::inquire(&transaction(1)), Err(Refusal::NotForThisRole)),
    ] {
        let input = ResourceManagerInput::Receive { from, message };
        assert_eq!(verdict(rm, &input), expected, "{input:?}");
    }
    // One that has finished says that, and no vote, to whoever asks for a vote.
    committed.step(ResourceManagerInput::Finished);
    let message = say::prepare(&transaction(1));
    let effects = committed.step(ResourceManagerInput::Receive { from: TMS[1], message });
    assert_eq!(say::sends(&effects), [(TMS[1], &say::finished(&transaction(1), commit))]);
}

#[test]
fn a_transaction_manager_says_why_it_refuses() {
    let new = TransactionManager::new(cluster(), TMS[0], transaction(1));
    let finished = |number, outcome| say::finished(&transaction(number), outcome);
    let outcome = |number, outcome| say::outcome(&transaction(number), outcome);
    let decline = || Message::about(&transaction(1), What::Decline);
    let mut committed = new.clone();
    committed.step(TransactionManagerInput::Receive { from: TMS[1], message: outcome(1, Outcome::Committed) });
    for (tm, from, message, expected) in [
        (&new, RMS[0], say::begin(&transaction(1)), Ok(())),
        (&new, RMS[0], say::begin(&transaction(2)), Err(Refusal::OtherTransaction)),
        (&new, STRANGER, say::begin(&transaction(1)), Err(Refusal::NotAParticipant)),
        (&new, RMS[0], other_content(What::Begin { meta: Meta::from(b"other") }), Err(Refusal::OtherContent)),
        (&new, RMS[0], say::inquire(&transaction(1)), Ok(())),
        (&new, ACCEPTORS[0], say::inquire(&transaction(1)), Ok(())),
        (&new, STRANGER, say::inquire(&transaction(1)), Err(Refusal::NotAParticipant)),
        (&new, RMS[0], decline(), Ok(())),
        (&new, ACCEPTORS[0], decline(), Err(Refusal::NotAParticipant)),
        (&new, RMS[0], finished(1, Outcome::Aborted), Ok(())),
        (&new, ACCEPTORS[0], finished(1, Outcome::Aborted), Err(Refusal::NotAParticipant)),
        (&new, TMS[1], outcome(1, Outcome::Aborted), Ok(())),
        (&new, RMS[0], outcome(1, Outcome::Aborted), Err(Refusal::NotAManager)),
        (&committed, RMS[1], finished(1, Outcome::Committed), Ok(())),
        (&committed, RMS[1], finished(1, Outcome::Aborted), Ok(())),
        (&committed, TMS[1], outcome(1, Outcome::Aborted), Err(Refusal::ContradictoryOutcome)),
        (&new, ACCEPTORS[0], say::bundle(&transaction(1), &RMS, Vote::Prepared), Ok(())),
        (&new, STRANGER, say::bundle(&transaction(1), &RMS, Vote::Prepared), Err(Refusal::NotAnAcceptor)),
        (&new, TMS[1], say::prepare(&transaction(1)), Err(Refusal::NotForThisRole)),
    ] {
        let input = TransactionManagerInput::Receive { from, message };
        assert_eq!(verdict(tm, &input), expected, "{input:?}");
    }
}

/// `what`, about the first transaction.
fn other_content(what: What) -> Message {
    Message::about(&transaction(1), what)
}

#[test]
fn a_role_that_begins_with_other_content_than_its_transaction_has_refuses() {
    let other = Meta::from(b"other");
    let mut rm = ResourceManager::new(cluster(), RMS[0], transaction(1)).unwrap();
    let refused = Err(Refusal::OtherContent);
    assert_eq!(rm.step_into(ResourceManagerInput::Begin(other.clone()), &mut Vec::new()), refused);
    assert_eq!(rm.step_into(ResourceManagerInput::Vote(Vote::Prepared), &mut Vec::new()), Err(Refusal::NotAsked));
    let mut tm = TransactionManager::new(cluster(), TMS[0], transaction(1));
    let mut effects = Vec::new();
    assert_eq!(tm.step_into(TransactionManagerInput::Begin(other), &mut effects), refused);
    assert_eq!(effects, []);
}
