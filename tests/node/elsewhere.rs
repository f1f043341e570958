//! A resource whose votes are durable in itself: its node may forget them, and learns of them again.

use synod::{
    Effect, Machine, Outbox, Refusal, RestoreError,
    commit::{
        AcceptorRecord, Decision, Input, Meta, Node, Outcome, Record, ResourceKind, ResourceManagerRecord,
        ResourceManagerState, Status, TxRange, Vote, Votes,
    },
};

use super::{
    addressees, decisions,
    support::{
        ACCEPTORS, RMS, STRANGER, TMS, aborts, aborts_unknown, cluster, cluster_of, commits, config, node, refuse, say,
        transaction, tx,
    },
};

/// A new node beside a database.
pub(crate) fn agent() -> Node {
    Node::create(config(&cluster(), RMS[0]).with_resource(ResourceKind::VotesElsewhere)).0
}

/// What such a node is after a crash that left these records beside its identity.
fn crashed(records: impl IntoIterator<Item = Record>) -> Node {
    let records = agent().snapshot().into_iter().chain(records);
    Node::restore(config(&cluster(), RMS[0]).with_resource(ResourceKind::VotesElsewhere), records).unwrap()
}

/// One that was asked for its vote.
pub(crate) fn asked() -> Node {
    let mut rm = agent();
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm
}

pub(crate) fn votes(vote: Vote) -> Input {
    Input::Vote { transaction: transaction(1), vote }
}

pub(crate) fn found() -> Input {
    Input::Prepared { transaction: transaction(1), meta: say::meta(&transaction(1)) }
}

fn record(vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    let meta = Some(say::meta(&transaction(1)));
    Record::ResourceManager(ResourceManagerRecord { transaction: transaction(1), meta, vote, finished })
}

fn told(outcome: Outcome) -> Input {
    say::from(TMS[0], say::outcome(&transaction(1), outcome))
}

fn state(rm: &Node) -> Option<ResourceManagerState> {
    match rm.status(tx(1)) {
        Status::Open { state, .. } => state,
        _ => None,
    }
}

/// Whether `effects` begin with a vote to commit to every acceptor.
fn vote_first(effects: &[synod::commit::Effect], manager: synod::NodeId) {
    let vote = say::vote(&transaction(1), Vote::Prepared, manager);
    let votes = ACCEPTORS.map(|to| Effect::Send { to, message: vote.clone() });
    assert_eq!(effects[..3], votes);
}

#[test]
fn a_vote_that_is_durable_elsewhere_waits_for_no_write_and_its_record_rides_along() {
    let effects = asked().step(votes(Vote::Prepared));
    vote_first(&effects, TMS[0]);
    assert_eq!(effects[3..], [Effect::Persist(record(Some(Vote::Prepared), None))]);

    let (mut rm, mut outbox) = (asked(), Outbox::new());
    outbox.step(&mut rm, votes(Vote::Prepared)).unwrap();
    assert!(outbox.has_records() && !outbox.is_urgent());
    let sent = outbox.take_free().unwrap();
    assert_eq!(sent.packets().iter().map(|packet| packet.to).collect::<Vec<_>>(), ACCEPTORS);
    // The outcome waits for no write either. That it is carried out does.
    outbox.step(&mut rm, told(Outcome::Committed)).unwrap();
    assert_eq!(outbox.take_free().unwrap().decisions(), [commits(&transaction(1))]);
    outbox.step(&mut rm, Input::Finished(tx(1))).unwrap();
    assert!(outbox.take_free().is_none());
    let written = outbox.take().unwrap();
    assert_eq!(written.records().len(), 2);
    assert_eq!(written.persisted().packets().len(), 1);
}

#[test]
fn after_a_crash_before_the_record_what_the_resource_finds_is_voted_again_and_asked_about() {
    let mut rm = crashed([]);
    assert!(rm.promised().is_empty());
    let effects = rm.step(found());
    vote_first(&effects, TMS[0]);
    let inquiry = Effect::Send { to: TMS[0], message: say::inquire(&transaction(1)) };
    assert_eq!(effects[3..], [inquiry, Effect::Persist(record(Some(Vote::Prepared), None))]);
    assert_eq!(state(&rm), Some(ResourceManagerState::Prepared));
    assert_eq!(rm.step(found()), [], "once is enough");
    assert_eq!(decisions(&rm.step(told(Outcome::Committed))), [commits(&transaction(1))]);
}

#[test]
fn what_is_found_while_the_resource_is_asked_is_its_vote() {
    let mut rm = asked();
    assert_eq!(rm.step(found()), asked().step(votes(Vote::Prepared)));
    refuse(&mut rm, votes(Vote::Prepared), Refusal::AlreadyVoted);
}

#[test]
fn after_a_crash_behind_the_record_the_node_knows_of_its_promise_by_itself() {
    let mut rm = crashed([record(Some(Vote::Prepared), None)]);
    assert_eq!(rm.promised().len(), 1);
    assert_eq!(rm.step(found()), []);
    assert_eq!(decisions(&rm.step(told(Outcome::Committed))), [commits(&transaction(1))]);
    // It comes again until it is carried out, and a resource that still holds it hears it at once.
    assert_eq!(rm.step(found()), [Effect::Decide(commits(&transaction(1)))]);
}

#[test]
fn a_commit_of_what_is_forgotten_here_is_handed_over_by_its_name_and_finished_for_good() {
    // Its application has ended the branch, so that the resource finds nothing.
    let mut rm = crashed([]);
    let by_name = Decision::Commit { transaction: transaction(1), meta: Meta::default() };
    assert_eq!(rm.step(told(Outcome::Committed)), [Effect::Decide(by_name)]);
    let effects = rm.step(Input::Finished(tx(1)));
    let finished = ResourceManagerRecord {
        transaction: transaction(1),
        meta: None,
        vote: Some(Vote::Prepared),
        finished: Some(Outcome::Committed),
    };
    assert_eq!(effects[0], Effect::Persist(Record::ResourceManager(finished.clone())));
    let mut again = crashed([Record::ResourceManager(finished)]);
    assert!(again.promised().is_empty());
    let finished = say::finished(&transaction(1), Outcome::Committed);
    assert_eq!(again.step(told(Outcome::Committed)), [Effect::Send { to: TMS[0], message: finished }]);
    // Where votes are recorded, nobody can have voted.
    refuse(&mut node(RMS[0]), told(Outcome::Committed), Refusal::ContradictoryOutcome);
}

#[test]
fn what_is_found_of_something_finished_is_answered_with_its_end_and_a_lost_commit_is_a_violation() {
    let mut rm = crashed([record(Some(Vote::Prepared), Some(Outcome::Aborted))]);
    assert_eq!(rm.step(found()), [Effect::Decide(aborts(&transaction(1)))]);
    assert_eq!(rm.metrics().violations(), 0);
    let mut rm = crashed([record(Some(Vote::Prepared), Some(Outcome::Committed))]);
    assert_eq!(rm.step(found()), [Effect::Decide(commits(&transaction(1)))]);
    assert_eq!((rm.metrics().refused(Refusal::CommitLost), rm.metrics().violations()), (1, 1));
}

#[test]
fn what_is_found_of_something_retired_is_a_violation_and_is_never_guessed_at() {
    let mut rm = crashed([Record::Retired(TxRange::only(tx(1)))]);
    refuse(&mut rm, found(), Refusal::RetiredUnfinished);
    assert_eq!(rm.metrics().violations(), 1);
}

#[test]
fn a_late_vote_to_commit_is_not_answered_with_an_abort_that_nobody_knows_of() {
    refuse(&mut crashed([]), votes(Vote::Prepared), Refusal::UnknownTransaction);
    refuse(&mut crashed([Record::Retired(TxRange::only(tx(1)))]), votes(Vote::Prepared), Refusal::Retired);
    // What is aborted, as far as the node knows, is.
    let mut rm = asked();
    rm.step(told(Outcome::Aborted));
    assert_eq!(rm.step(votes(Vote::Prepared)), [Effect::Decide(aborts(&transaction(1)))]);
    assert_eq!(rm.step(found()), [Effect::Decide(aborts(&transaction(1)))]);
}

#[test]
fn what_no_resource_can_find_is_refused() {
    refuse(&mut node(RMS[0]), found(), Refusal::VotesAreHere);
    let meta = Meta::from(b"something else");
    refuse(&mut agent(), Input::Prepared { transaction: transaction(1), meta }, Refusal::OtherContent);
    let stranger = config(&cluster(), STRANGER).with_resource(ResourceKind::VotesElsewhere);
    refuse(&mut Node::create(stranger).0, found(), Refusal::NotAParticipant);
    let other = synod::commit::Transaction::new(tx(1), &RMS[..2], *b"meta").unwrap();
    let meta = say::meta(&other);
    refuse(&mut asked(), Input::Prepared { transaction: other, meta }, Refusal::OtherTransaction);
    let id = synod::TxId { origin: RMS[0], seq: 1 };
    let unnamed = synod::commit::Transaction::new(id, RMS, *b"meta").unwrap();
    let meta = say::meta(&unnamed);
    refuse(&mut agent(), Input::Prepared { transaction: unnamed, meta }, Refusal::NotNamedHere);
}

#[test]
fn such_a_resource_hears_what_it_may_forget_once_it_is_written_that_it_is_over() {
    let over = say::from(TMS[0], say::retired_to(tx(3), 5));
    let range = TxRange::new(tx(1).origin, 3, 5).unwrap();
    let mut rm = agent();
    let (retired, forget) = (Effect::Persist(Record::Retired(range)), Effect::Decide(Decision::Forget(range)));
    assert_eq!(rm.step(over.clone()), [retired.clone(), forget]);
    assert_eq!(rm.step(over.clone()), [], "it is known");
    // What a crash may have lost comes again with what lies beside it.
    let all = TxRange::new(tx(1).origin, 2, 5).unwrap();
    assert_eq!(decisions(&rm.step(say::from(TMS[0], say::retired(tx(2))))), [Decision::Forget(all)]);
    assert_eq!(node(RMS[0]).step(over.clone()), [retired], "nobody else asks its node how it ended");

    let mut outbox = Outbox::new();
    outbox.step(&mut agent(), over).unwrap();
    assert!(outbox.take_free().is_none());
    assert_eq!(outbox.take().unwrap().persisted().decisions(), [Decision::Forget(range)]);
}

#[test]
fn a_restored_acceptor_may_know_of_a_vote_that_its_node_has_forgotten() {
    let cluster = cluster_of(&[RMS[0]], &TMS);
    let restore = |kind, vote| {
        let votes: Votes = [(0, vote)].into_iter().collect();
        let acceptor = Record::Acceptor(AcceptorRecord { transaction: transaction(1), votes, higher: [].into() });
        let config = config(&cluster, RMS[0]).with_resource(kind);
        let records = Node::create(config.clone()).0.snapshot().into_iter().chain([acceptor]);
        Node::restore(config, records).err()
    };
    assert_eq!(restore(ResourceKind::VotesElsewhere, Vote::Prepared), None);
    let changed = Some(RestoreError::VoteChanged(tx(1)));
    assert_eq!(restore(ResourceKind::VotesElsewhere, Vote::Aborted), changed);
    assert_eq!(restore(ResourceKind::VotesHere, Vote::Prepared), changed);
}

#[test]
fn a_recorded_vote_to_abort_is_not_that_of_a_node_whose_votes_are_durable_elsewhere() {
    let config = || config(&cluster(), RMS[0]);
    let records = || agent().snapshot().into_iter().chain([record(Some(Vote::Aborted), None)]);
    let restored = Node::restore(config().with_resource(ResourceKind::VotesElsewhere), records());
    assert_eq!(restored.err(), Some(RestoreError::VotedToAbort(tx(1))));
    assert!(Node::restore(config(), records()).is_ok());
}

#[test]
fn a_participant_that_was_never_asked_is_told_to_abort_as_any_other() {
    let mut rm = crashed([]);
    assert_eq!(rm.step(told(Outcome::Aborted)), [Effect::Decide(aborts_unknown(&transaction(1)))]);
    let effects = rm.step(Input::Finished(tx(1)));
    assert_eq!(addressees(&effects), [TMS[0]]);
}
