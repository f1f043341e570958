//! Who was met, who may not exist, and how much others may leave unfinished here.

use synod::{
    Ballot, Effect, Machine, NodeId, Refusal, RestoreError,
    commit::{Decision, Input, Limits, Message, Node, Outcome, Record, Status, Time, Transaction, Vote, What},
    paxos::Message::Promise,
};

use super::{
    decisions,
    support::{
        self, ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, cluster, config, founding, node, refuse, say, spec, transaction,
        tx,
    },
};

const GHOST: NodeId = STRANGER;

fn met(node: NodeId) -> Input {
    Input::Met { node, birth: node.0 + 1_000, epoch: None }
}

/// A transaction manager that has met all participants but the ghost.
fn manager_with(limits: Limits) -> Node {
    let mut tm = Node::create(config(&spec().with_limits(limits).build().unwrap(), TMS[0])).0;
    tm.step(Input::Tick(Time(0)));
    RMS.into_iter().for_each(|rm| tm.step_into(met(rm), &mut Vec::new()).unwrap());
    tm
}

fn manager() -> Node {
    manager_with(Limits::default())
}

/// A transaction of two participants, one of which nobody has ever met.
fn haunted(seq: u64) -> Transaction {
    Transaction::new(tx(seq), [RMS[0], GHOST], *b"meta").unwrap()
}

/// A transaction manager that was asked about the transaction, and has heard that it aborted.
fn told_of_the_abort(transaction: &Transaction) -> Node {
    let mut tm = manager();
    tm.step(say::from(RMS[0], say::inquire(transaction)));
    tm.step(say::from(TMS[1], say::outcome(transaction, Outcome::Aborted)));
    tm
}

/// The ballot that a transaction manager tries in these effects.
fn tried(effects: &[synod::commit::Effect]) -> Option<Ballot> {
    say::sends(effects).into_iter().find_map(|(_, message)| match message {
        Message::About { what: What::Phase1a { ballot, .. }, .. } => Some(*ballot),
        _ => None,
    })
}

/// Two acceptors promise `ballot` in the instances of `rms`, and tell of this vote at the initial one.
fn promise(
    tm: &mut Node,
    transaction: &Transaction,
    ballot: Ballot,
    of: &[(NodeId, Option<Vote>)],
) -> Vec<synod::commit::Effect> {
    let part = |(rm, vote): &(NodeId, Option<Vote>)| say::Part {
        rm: *rm,
        message: Promise { ballot, accepted: vote.map(|vote| (Ballot::initial(*rm), vote)) },
    };
    let promises = say::all(transaction, of.iter().map(part));
    ACCEPTORS[..2].iter().flat_map(|acceptor| tm.step(say::from(*acceptor, promises.clone()))).collect()
}

/// Two acceptors accept what the transaction manager proposed.
fn accept(tm: &mut Node, transaction: &Transaction, ballot: Ballot, rms: &[(NodeId, Vote)]) {
    let part = |(rm, value): &(NodeId, Vote)| say::Part {
        rm: *rm,
        message: synod::paxos::Message::Accepted { ballot, value: *value },
    };
    let accepted = say::all(transaction, rms.iter().map(part));
    ACCEPTORS[..2].iter().for_each(|acceptor| drop(tm.step(say::from(*acceptor, accepted.clone()))));
}

#[test]
fn no_transaction_is_begun_that_names_a_node_which_was_never_met() {
    let mut tm = manager();
    refuse(&mut tm, say::begins(&haunted(1)), Refusal::NeverMet);
    tm.step(met(GHOST));
    tm.step_into(say::begins(&haunted(1)), &mut Vec::new()).unwrap();
}

#[test]
fn where_nobody_was_met_nothing_is_known_of_anybody_and_nothing_refused() {
    let mut tm = node(TMS[0]);
    tm.step_into(say::begins(&haunted(1)), &mut Vec::new()).unwrap();
}

#[test]
fn a_begun_transaction_is_begun_again_whoever_was_met() {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&haunted(1)));
    tm.step(met(RMS[0]));
    tm.step_into(say::begins(&haunted(1)), &mut Vec::new()).unwrap();
    refuse(&mut tm, say::begins(&haunted(2)), Refusal::NeverMet);
}

#[test]
fn a_ghost_that_a_participant_names_is_neither_asked_nor_waited_for() {
    let mut tm = manager();
    let transaction = haunted(1);
    let effects = tm.step(say::from(RMS[0], say::begin(&transaction)));
    let ballot = tried(&effects).expect("recovered at once");
    assert!(say::sends(&effects).iter().all(|(to, _)| *to != GHOST));
    promise(&mut tm, &transaction, ballot, &[(RMS[0], Some(Vote::Prepared)), (GHOST, None)]);
    accept(&mut tm, &transaction, ballot, &[(RMS[0], Vote::Prepared), (GHOST, Vote::Aborted)]);
    assert_eq!(tm.status(tx(1)), Status::Open { state: None, outcome: Some(Outcome::Aborted) });
    let effects = tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
    assert!(decisions(&effects).contains(&Decision::Completed { tx: tx(1), outcome: Outcome::Aborted }));
    assert_eq!(tm.metrics().open, 0, "nothing is left");
}

#[test]
fn who_has_voted_is_waited_for_even_if_it_was_never_met() {
    let mut tm = manager();
    let transaction = haunted(1);
    let ballot = tried(&tm.step(say::from(RMS[0], say::begin(&transaction)))).unwrap();
    promise(&mut tm, &transaction, ballot, &[(RMS[0], None), (GHOST, Some(Vote::Prepared))]);
    accept(&mut tm, &transaction, ballot, &[(RMS[0], Vote::Aborted), (GHOST, Vote::Prepared)]);
    tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
    assert_eq!(tm.metrics().open, 1);
    let due = tm.deadline().unwrap();
    let effects = tm.step(Input::Tick(due));
    assert_eq!(tried(&effects), None, "there is nothing to find out");
    assert!(say::sends(&effects).iter().any(|(to, _)| *to == GHOST));
}

#[test]
fn who_hears_of_an_abort_finds_out_for_itself_whether_a_ghost_has_voted() {
    let transaction = haunted(1);
    let mut tm = told_of_the_abort(&transaction);
    tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
    assert_eq!(tm.metrics().open, 1);
    let ballot = tried(&tm.step(Input::Tick(Time(2 * TIMEOUTS.recover)))).expect("a ballot to find out");
    promise(&mut tm, &transaction, ballot, &[(GHOST, None)]);
    assert_eq!(tm.metrics().open, 0);
}

#[test]
fn of_an_abort_nothing_is_to_be_found_out_where_all_participants_were_met() {
    let mut tm = manager();
    let transaction = Transaction::new(tx(1), RMS, *b"meta").unwrap();
    tm.step(say::begins(&transaction));
    tm.step(say::from(TMS[1], say::outcome(&transaction, Outcome::Aborted)));
    tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
    for _ in 0..9 {
        let due = tm.deadline().unwrap();
        assert_eq!(tried(&tm.step(Input::Tick(due))), None);
    }
    assert_eq!(tm.metrics().open, 1, "the others have not finished");
}

#[test]
fn who_has_finished_is_no_ghost_even_if_it_was_never_met() {
    let transaction = haunted(1);
    let mut tm = told_of_the_abort(&transaction);
    tm.step(say::from(GHOST, say::finished(&transaction, Outcome::Aborted)));
    for _ in 0..3 {
        let due = tm.deadline().unwrap();
        assert_eq!(tried(&tm.step(Input::Tick(due))), None, "there is nothing to find out");
    }
    assert_eq!(tm.metrics().open, 1, "the other one has not finished");
}

#[test]
fn who_has_voted_to_abort_is_waited_for_even_if_it_was_never_met() {
    for (vote, is_waited_for) in [(None, false), (Some(Vote::Aborted), true)] {
        let transaction = haunted(1);
        let mut tm = told_of_the_abort(&transaction);
        tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
        let ballot = tried(&tm.step(Input::Tick(Time(2 * TIMEOUTS.recover)))).unwrap();
        promise(&mut tm, &transaction, ballot, &[(GHOST, vote)]);
        assert_eq!(tm.metrics().open == 1, is_waited_for, "{vote:?}");
    }
}

#[test]
fn a_transaction_manager_that_takes_part_waits_for_itself() {
    let cluster = support::cluster_of(&ACCEPTORS, &[RMS[0]]);
    let mut node = Node::create(config(&cluster, RMS[0])).0;
    node.step(met(RMS[1]));
    let transaction = Transaction::new(tx(1), &RMS[..2], *b"meta").unwrap();
    node.step(say::begins(&transaction));
    let ballot = tried(&node.step(Input::Inquire(tx(1)))).unwrap();
    promise(&mut node, &transaction, ballot, &[(RMS[0], None), (RMS[1], None)]);
    accept(&mut node, &transaction, ballot, &[(RMS[0], Vote::Aborted), (RMS[1], Vote::Aborted)]);
    node.step(say::from(RMS[1], say::finished(&transaction, Outcome::Aborted)));
    assert_eq!(node.metrics().open, 1, "its own resource has not aborted yet");
    node.step(Input::Finished(tx(1)));
    assert_eq!(node.metrics().open, 0);
}

#[test]
fn a_ghost_that_is_met_after_all_is_waited_for() {
    let mut tm = manager();
    let transaction = haunted(1);
    let ballot = tried(&tm.step(say::from(RMS[0], say::begin(&transaction)))).unwrap();
    promise(&mut tm, &transaction, ballot, &[(RMS[0], Some(Vote::Prepared)), (GHOST, None)]);
    tm.step(met(GHOST));
    accept(&mut tm, &transaction, ballot, &[(RMS[0], Vote::Prepared), (GHOST, Vote::Aborted)]);
    tm.step(say::from(RMS[0], say::finished(&transaction, Outcome::Aborted)));
    assert_eq!(tm.metrics().open, 1);
    tm.step(say::from(GHOST, say::finished(&transaction, Outcome::Aborted)));
    assert_eq!(tm.metrics().open, 0);
}

#[test]
fn a_participant_that_leaves_too_much_unfinished_gets_no_more_until_it_has_finished_some() {
    let mut tm = manager_with(Limits::default().with_open_per_participant(2));
    for seq in 1..=3 {
        tm.step_into(say::begins(&transaction(seq)), &mut Vec::new()).unwrap();
    }
    // Undecided ones do not count: this one may just be slow to commit.
    tm.step_into(say::begins(&transaction(4)), &mut Vec::new()).unwrap();
    for seq in 1..=3 {
        tm.step(say::from(TMS[1], say::outcome(&transaction(seq), Outcome::Aborted)));
        RMS[..2]
            .iter()
            .for_each(|rm| drop(tm.step(say::from(*rm, say::finished(&transaction(seq), Outcome::Aborted)))));
    }
    refuse(&mut tm, say::begins(&transaction(5)), Refusal::ParticipantBehind);
    let others = Transaction::new(tx(6), &RMS[..2], *b"meta").unwrap();
    tm.step_into(say::begins(&others), &mut Vec::new()).unwrap();
    tm.step(say::from(RMS[2], say::finished(&transaction(1), Outcome::Aborted)));
    tm.step_into(say::begins(&transaction(5)), &mut Vec::new()).unwrap();
    // What is over for other reasons does not count any more, either.
    tm.step(say::from(TMS[1], say::outcome(&transaction(4), Outcome::Aborted)));
    refuse(&mut tm, say::begins(&transaction(7)), Refusal::ParticipantBehind);
    tm.step(say::from(TMS[1], say::retired(tx(2))));
    tm.step_into(say::begins(&transaction(7)), &mut Vec::new()).unwrap();
}

#[test]
fn one_participant_cannot_fill_a_node_with_transactions_that_it_speaks_of() {
    let limits = Limits::default().with_open_per_peer(2);
    let mut acceptor = Node::create(config(&spec().with_limits(limits).build().unwrap(), ACCEPTORS[0])).0;
    RMS.into_iter().for_each(|rm| drop(acceptor.step(met(rm))));
    let votes = |rm, seq| say::from(rm, say::vote(&transaction(seq), Vote::Prepared, TMS[0]));
    acceptor.step(votes(RMS[0], 1));
    acceptor.step(votes(RMS[0], 2));
    refuse(&mut acceptor, votes(RMS[0], 3), Refusal::TooManyOfPeer);
    // What others have spoken of is not charged to it.
    acceptor.step_into(votes(RMS[1], 3), &mut Vec::new()).unwrap();
    acceptor.step_into(votes(RMS[0], 3), &mut Vec::new()).unwrap();
    acceptor.step(say::from(TMS[0], say::retired(tx(1))));
    acceptor.step_into(votes(RMS[0], 4), &mut Vec::new()).unwrap();
    // Acceptors and transaction managers speak for others.
    for seq in 10..20 {
        let prepare = synod::paxos::Message::Prepare { ballot: Ballot::new(1, TMS[0]) };
        let phase1a = say::paxos(&transaction(seq), &RMS, prepare);
        acceptor.step_into(say::from(TMS[0], phase1a), &mut Vec::new()).unwrap();
    }
}

#[test]
fn a_node_that_comes_back_under_another_birth_is_refused_after_a_restart_too() {
    let mut tm = manager();
    let other = Input::Met { node: RMS[0], birth: 1, epoch: None };
    refuse(&mut tm, other.clone(), Refusal::OtherBirth);
    assert_eq!(tm.metrics().violations(), 1);
    let mut restored = Node::restore(config(&cluster(), TMS[0]), tm.snapshot()).unwrap();
    refuse(&mut restored, other, Refusal::OtherBirth);
    let mut effects = Vec::new();
    restored.step_into(met(RMS[0]), &mut effects).unwrap();
    assert_eq!(effects, [], "nothing new");
}

#[test]
fn whom_a_node_has_met_is_written_at_once_and_what_comes_of_its_messages_waits_for_that() {
    let mut tm = node(TMS[0]);
    assert_eq!(tm.step(met(RMS[0])), [Effect::Persist(Record::Peer { node: RMS[0], birth: RMS[0].0 + 1_000 })]);
    assert_eq!((tm.met().collect::<Vec<_>>(), tm.metrics().met), (vec![(RMS[0], RMS[0].0 + 1_000)], 1));
    tm.step(met(RMS[1]));
    assert_eq!(tm.metrics().met, 2);
    let alone = Transaction::new(tx(1), &RMS[..1], *b"meta").unwrap();
    // In a transaction that is open, in a new one, and at the end of one.
    for (at, begun, from, message) in [
        (TMS[0], Some(transaction(1)), TMS[1], say::outcome(&transaction(1), Outcome::Aborted)),
        (RMS[0], None, TMS[0], say::prepare(&transaction(1))),
        (TMS[0], Some(alone), RMS[0], say::retired(tx(1))),
    ] {
        let (mut node, mut outbox) = (node(at), synod::Outbox::new());
        begun.iter().for_each(|begun| outbox.step(&mut node, say::begins(begun)).unwrap());
        drop(outbox.take_free());
        outbox.step(&mut node, met(from)).unwrap();
        assert!(outbox.is_urgent());
        outbox.step(&mut node, say::from(from, message)).unwrap();
        assert!(outbox.take_free().is_none());
        let (packets, decisions) = outbox.take().unwrap().persisted().into_parts();
        assert!(packets.len() + decisions.len() > 0);
    }
}

#[test]
fn a_node_meets_as_many_as_it_may_and_never_itself() {
    let mut tm = manager_with(Limits::default().with_nodes(3));
    refuse(&mut tm, met(GHOST), Refusal::TooManyNodes);
    tm.step_into(met(RMS[0]), &mut Vec::new()).unwrap();
    refuse(&mut tm, met(TMS[0]), Refusal::FromSelf);
}

#[test]
fn a_birth_is_given_once() {
    let config = config(&cluster(), TMS[0]);
    let (node, effects) = Node::create(config.clone().with_birth(Some(7)));
    let [identity, epoch] = founding(&cluster(), TMS[0]);
    assert_eq!(effects, [identity, epoch, Record::Birth(7)].map(Effect::Persist));
    assert_eq!(node.birth(), Some(7));
    let restored = Node::restore(config.clone().with_birth(Some(8)), node.snapshot()).unwrap();
    assert_eq!(restored.birth(), Some(7), "whatever the configuration says");
    for changed in [
        vec![Record::Birth(7), Record::Birth(8)],
        vec![Record::Peer { node: RMS[0], birth: 1 }, Record::Peer { node: RMS[0], birth: 2 }],
        vec![Record::Birth(7), Record::Erased(synod::commit::Key::Birth)],
    ] {
        let records = founding(&cluster(), TMS[0]).into_iter().chain(changed);
        assert_eq!(Node::restore(config.clone(), records).err(), Some(RestoreError::BirthChanged));
    }
}

#[test]
fn a_restored_participant_in_doubt_asks_at_once() {
    let rm = super::prepared(RMS[0]);
    let mut restored = Node::restore(config(&cluster(), RMS[0]), rm.snapshot()).unwrap();
    assert_eq!(restored.deadline(), Some(Time(0)));
    let effects = restored.step(Input::Tick(Time(0)));
    // This does not abort what others may be about to vote on.
    let asks = |message: &Message| matches!(message, Message::About { what: What::Begin { .. }, .. });
    assert!(say::sends(&effects).iter().any(|(to, message)| TMS.contains(to) && asks(message)));
}

#[test]
fn however_many_transactions_name_a_ghost_nothing_of_them_is_left() {
    let mut tm = manager_with(Limits::default().with_open(1_000));
    for seq in 1..=1_100 {
        let refused = tm.step_into(say::begins(&haunted(seq)), &mut Vec::new());
        assert_eq!(refused, Err(Refusal::NeverMet));
    }
    assert_eq!(tm.metrics().open, 0);
    tm.step_into(say::begins(&transaction(1)), &mut Vec::new()).unwrap();
}
