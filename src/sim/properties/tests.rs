//! Every property is shown what it must let pass, and then one thing more that it must not.

use super::{Observation, Property, Violation};
use crate::{
    Ballot, Machine, NodeId, Quorums, Refusal, TxId,
    commit::{
        AcceptorRecord, Cluster, ClusterId, Config, Decision, Effect, Input, Key, Message, Node, Outcome, Part, Record,
        ResourceManagerRecord, Time, Transaction, TxRange, Vote,
    },
    paxos,
};

/// Resource managers.
const R1: NodeId = NodeId(1);
const R2: NodeId = NodeId(2);
/// Acceptors.
const A1: NodeId = NodeId(11);
const A2: NodeId = NodeId(12);
const A3: NodeId = NodeId(13);
/// Transaction managers.
const M1: NodeId = NodeId(21);
const M2: NodeId = NodeId(22);

const TX: TxId = TxId { origin: M1, seq: 1 };
const OTHER: TxId = TxId { origin: M1, seq: 2 };

const PREPARED: Vote = Vote::Prepared;
const ABORTED: Vote = Vote::Aborted;

/// A property, and hand-made things for it to look at.
struct Watch<P>(P);

type Seen = Result<(), Violation>;

impl<P: Property> Watch<P> {
    fn begun(&mut self) -> &mut Self {
        self.takes(M1, Input::Begin(transaction()), &[]).unwrap();
        self
    }

    fn takes(&mut self, at: NodeId, input: Input, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Ok(()), changed: false })
    }

    fn refuses(&mut self, at: NodeId, input: Input, refusal: Refusal, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Err(refusal), changed: false })
    }

    fn votes(&mut self, at: NodeId, vote: Vote) {
        self.takes(at, Input::Vote { tx: TX, vote }, &[]).unwrap();
    }

    fn yields(&mut self, at: NodeId, effect: Effect) -> Seen {
        self.takes(at, Input::Tick(Time(0)), &[effect])
    }

    fn writes(&mut self, at: NodeId, record: Record) -> Seen {
        self.0.observe(&Observation::Durable { at, record: &record })
    }

    fn sends(&mut self, at: NodeId, message: Message) -> Seen {
        self.0.observe(&Observation::Sent { at, to: NodeId(99), message: &message })
    }

    fn decides(&mut self, at: NodeId, decision: Decision) -> Seen {
        self.0.observe(&Observation::Decided { at, decision: &decision })
    }

    fn restarts(&mut self, at: NodeId) {
        self.0.observe(&Observation::Stopped { at }).unwrap();
        self.0.observe(&Observation::Started { at }).unwrap();
    }
}

fn transaction() -> Transaction {
    Transaction::new(TX, [R1, R2], []).unwrap()
}

fn quorums() -> Quorums {
    Quorums::majority([A1, A2, A3]).unwrap()
}

/// What an acceptor knows: of the first instance, `promised` and `accepted`; of the second, nothing.
fn acceptor(promised: Ballot, accepted: Option<(Ballot, Vote)>) -> Record {
    let first = paxos::AcceptorRecord { promised: Some(promised), accepted };
    let second = paxos::AcceptorRecord { promised: Some(Ballot::initial(R2)), accepted: None };
    Record::Acceptor(AcceptorRecord { transaction: transaction(), instances: vec![first, second] })
}

/// What an acceptor knows that has accepted these votes in round 0.
fn accepted(votes: [Option<Vote>; 2]) -> Record {
    let instances = [R1, R2].into_iter().zip(votes).map(|(rm, vote)| paxos::AcceptorRecord {
        promised: Some(Ballot::initial(rm)),
        accepted: vote.map(|vote| (Ballot::initial(rm), vote)),
    });
    Record::Acceptor(AcceptorRecord { transaction: transaction(), instances: instances.collect() })
}

fn rm(vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    Record::ResourceManager(ResourceManagerRecord { transaction: transaction(), vote, finished })
}

/// Something said about the first instance.
fn say(message: paxos::Message<Vote>) -> Message {
    Message::Paxos { transaction: transaction(), parts: vec![Part { rm: R1, message }] }
}

fn receive(from: NodeId, message: Message) -> Input {
    Input::Receive { from, message }
}

fn send(to: NodeId, message: Message) -> Effect {
    Effect::Send { to, message }
}

fn decided(outcome: Outcome) -> Decision {
    Decision::Decided { tx: TX, outcome }
}

#[test]
fn two_outcomes_of_one_transaction_break_agreement() {
    let mut watch = Watch(super::agreement::Agreement::default());
    watch.decides(R1, Decision::Commit(TX)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(R1, Decision::Abort(OTHER)).unwrap();
    watch.decides(R2, Decision::Abort(TX)).unwrap_err();
}

#[test]
fn a_vote_that_nobody_gave_breaks_validity() {
    let mut watch = Watch(super::validity::Validity::default());
    let vote = |vote| Message::Vote { transaction: transaction(), vote, manager: M1 };
    watch.votes(R1, PREPARED);
    watch.sends(R1, vote(PREPARED)).unwrap();
    watch.sends(A1, say(paxos::Message::Accepted { ballot: Ballot::initial(R1), value: PREPARED })).unwrap();
    watch.sends(M1, say(paxos::Message::Accept { ballot: Ballot::new(1, M1), value: ABORTED })).unwrap();
    watch.sends(R2, vote(PREPARED)).unwrap_err();

    let mut watch = Watch(super::validity::Validity::default());
    watch.sends(A1, say(paxos::Message::Accepted { ballot: Ballot::initial(R1), value: PREPARED })).unwrap_err();
}

#[test]
fn a_commit_without_the_vote_of_all_is_seen() {
    let mut watch = Watch(super::commit_needs_all::CommitNeedsAll::default());
    watch.begun().votes(R1, PREPARED);
    watch.decides(R1, Decision::Abort(TX)).unwrap();
    watch.decides(R1, Decision::Commit(TX)).unwrap_err();
    watch.votes(R2, PREPARED);
    watch.decides(R1, Decision::Commit(TX)).unwrap();
}

#[test]
fn an_abort_that_nobody_voted_or_proposed_is_seen() {
    let abort = Decision::Abort(TX);
    let mut watch = Watch(super::abort_has_a_reason::AbortHasAReason::default());
    watch.votes(R1, PREPARED);
    watch.decides(R1, abort.clone()).unwrap_err();
    watch.votes(R2, ABORTED);
    watch.decides(R1, abort.clone()).unwrap();

    let mut watch = Watch(super::abort_has_a_reason::AbortHasAReason::default());
    let proposal = paxos::Message::Accept { ballot: Ballot::new(1, M1), value: ABORTED };
    watch.yields(M1, send(A1, say(proposal))).unwrap();
    watch.decides(R1, abort).unwrap();
}

#[test]
fn an_outcome_or_a_vote_that_changes_is_seen() {
    let mut watch = Watch(super::outcome_stable::OutcomeStable::default());
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.decides(R1, Decision::Commit(TX)).unwrap();
    watch.restarts(R1);
    watch.decides(R1, Decision::Commit(TX)).unwrap();
    watch.writes(R1, rm(Some(PREPARED), Some(Outcome::Committed))).unwrap();
    watch.decides(R1, Decision::Abort(TX)).unwrap_err();
    watch.writes(R1, rm(Some(PREPARED), Some(Outcome::Aborted))).unwrap_err();
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap_err();
}

#[test]
fn an_acceptor_that_goes_back_is_seen() {
    let (zero, one, two) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M1));
    let mut watch = Watch(super::promise_monotone::PromiseMonotone::default());
    watch.writes(A1, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A1, acceptor(two, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(one, None)).unwrap();
    watch.writes(A1, acceptor(two, Some((two, PREPARED)))).unwrap();
    let accepted_went_back = acceptor(two, Some((zero, PREPARED)));
    watch.writes(A1, accepted_went_back).unwrap_err();

    let bad = [
        ("the promise goes back", acceptor(one, None), acceptor(zero, None)),
        ("accepted above the promise", acceptor(zero, None), acceptor(zero, Some((one, ABORTED)))),
        ("what was accepted is gone", acceptor(one, Some((one, ABORTED))), acceptor(two, None)),
        ("another value", acceptor(one, Some((one, ABORTED))), acceptor(one, Some((one, PREPARED)))),
    ];
    for (what, before, after) in bad {
        let mut watch = Watch(super::promise_monotone::PromiseMonotone::default());
        watch.writes(A1, before).unwrap();
        assert!(watch.writes(A1, after).is_err(), "{what}");
    }
}

#[test]
fn two_values_in_one_ballot_are_seen() {
    let one = Ballot::new(1, M1);
    let mut watch = Watch(super::one_value_per_ballot::OneValuePerBallot::default());
    watch.sends(M1, say(paxos::Message::Accept { ballot: one, value: ABORTED })).unwrap();
    watch.sends(M2, say(paxos::Message::Accept { ballot: Ballot::new(1, M2), value: PREPARED })).unwrap();
    watch.writes(A1, acceptor(one, Some((one, ABORTED)))).unwrap();
    watch.writes(A2, acceptor(one, Some((one, PREPARED)))).unwrap_err();
    watch.sends(M1, say(paxos::Message::Accept { ballot: one, value: PREPARED })).unwrap_err();
    let promise = paxos::Message::Promise { ballot: Ballot::new(2, M1), accepted: Some((one, PREPARED)) };
    watch.sends(A3, say(promise)).unwrap_err();
}

#[test]
fn a_ballot_that_is_anothers_or_was_used_before_is_seen() {
    let prepare = |round, node| say(paxos::Message::Prepare { ballot: Ballot::new(round, node) });
    let mut watch = Watch(super::ballots_unique::BallotsUnique::default());
    watch.yields(M1, send(A1, prepare(1, M1))).unwrap();
    watch.sends(M1, prepare(1, M1)).unwrap();
    watch.sends(M2, prepare(1, M2)).unwrap();
    watch.yields(M1, send(A1, prepare(1, M1))).unwrap_err();
    watch.sends(M1, prepare(1, M2)).unwrap_err();
    watch.restarts(M1);
    watch.sends(M1, prepare(2, M1)).unwrap();
    watch.sends(M1, prepare(1, M1)).unwrap_err();
}

#[test]
fn a_message_whose_record_is_not_durable_is_seen() {
    let (zero, one) = (Ballot::initial(R1), Ballot::new(1, M1));
    let vote = Message::Vote { transaction: transaction(), vote: PREPARED, manager: M1 };
    let finished = Message::Finished { transaction: transaction(), outcome: Outcome::Committed };
    let retired = TxRange::only(TX);
    let rests_on = [
        (vote.clone(), rm(Some(PREPARED), None)),
        (finished, rm(Some(PREPARED), Some(Outcome::Committed))),
        (say(paxos::Message::Prepare { ballot: Ballot::new(1, R1) }), Record::Rounds { reserved: 2 }),
        (say(paxos::Message::Promise { ballot: one, accepted: None }), acceptor(one, None)),
        (say(paxos::Message::Accepted { ballot: zero, value: PREPARED }), acceptor(zero, Some((zero, PREPARED)))),
        (Message::Retired { range: retired }, Record::Retired(retired)),
        (Message::RetiredNoted { range: retired }, Record::Retired(retired)),
    ];
    for (message, record) in rests_on {
        let mut watch = Watch(super::persist_before_send::PersistBeforeSend::default());
        assert!(watch.sends(R1, message.clone()).is_err(), "{message:?}");
        watch.writes(R2, record.clone()).unwrap();
        assert!(watch.sends(R1, message.clone()).is_err(), "{message:?}");
        watch.writes(R1, record).unwrap();
        watch.sends(R1, message).unwrap();
    }
    let mut watch = Watch(super::persist_before_send::PersistBeforeSend::default());
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap();
    watch.sends(R1, vote).unwrap_err();
}

#[test]
fn a_proposal_that_no_quorum_of_promises_calls_for_is_seen() {
    let (zero, one, two, three) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M2), Ballot::new(3, M1));
    let new = || Watch(super::proposals_are_safe::ProposalsAreSafe::new(quorums()));
    let proposal = |ballot, value| say(paxos::Message::Accept { ballot, value });

    let mut watch = new();
    watch.writes(A1, acceptor(one, Some((zero, PREPARED)))).unwrap();
    // One promise is no quorum.
    watch.sends(M1, proposal(one, PREPARED)).unwrap_err();
    watch.writes(A2, acceptor(one, None)).unwrap();
    watch.sends(M1, proposal(one, ABORTED)).unwrap_err();
    watch.sends(M1, proposal(one, PREPARED)).unwrap();
    // Two that had accepted nothing are a quorum, too.
    watch.writes(A3, acceptor(one, None)).unwrap();
    watch.sends(M1, proposal(one, ABORTED)).unwrap();
    // Their promises are of another ballot.
    watch.sends(M2, proposal(two, ABORTED)).unwrap_err();

    let mut watch = new();
    for (at, highest) in [(A1, (zero, PREPARED)), (A2, (one, ABORTED))] {
        watch.writes(at, acceptor(three, Some(highest))).unwrap();
    }
    watch.sends(M1, proposal(three, PREPARED)).unwrap_err();
    watch.sends(M1, proposal(three, ABORTED)).unwrap();
    watch.writes(A3, acceptor(two, Some((two, ABORTED)))).unwrap_err();
}

#[test]
fn a_decision_of_what_is_not_chosen_is_seen_and_a_second_choice_too() {
    let new = || Watch(super::decided_is_chosen::DecidedIsChosen::new(quorums()));
    let both = [Some(PREPARED); 2];

    let mut watch = new();
    watch.begun().writes(A1, accepted(both)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A1, accepted(both)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A2, accepted([Some(PREPARED), None])).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A3, accepted([None, Some(PREPARED)])).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(R1, Decision::Abort(TX)).unwrap_err();

    let mut watch = new();
    watch.begun().decides(R1, Decision::Abort(TX)).unwrap_err();
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap();
    watch.decides(R1, Decision::Abort(TX)).unwrap();

    // Two quorums of two ballots, with two values.
    let (zero, one) = (Ballot::initial(R1), Ballot::new(1, M1));
    let mut watch = new();
    watch.writes(A1, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(one, Some((one, ABORTED)))).unwrap();
    watch.writes(A3, acceptor(one, Some((one, ABORTED)))).unwrap_err();
}

#[test]
fn a_retired_transaction_that_is_revived_is_seen() {
    let retired = Effect::Persist(Record::Retired(TxRange::only(TX)));
    let told = || send(M1, Message::Retired { range: TxRange::only(TX) });
    let revivals = [
        Effect::Persist(acceptor(Ballot::new(1, M1), None)),
        Effect::Persist(rm(Some(PREPARED), None)),
        Effect::Decide(Decision::Vote(transaction())),
        Effect::Decide(Decision::Commit(TX)),
        send(M1, Message::Inquire { transaction: transaction() }),
    ];
    for revival in revivals {
        let mut watch = Watch(super::retired_is_final::RetiredIsFinal::default());
        watch.yields(A1, revival.clone()).unwrap();
        watch.yields(A1, retired.clone()).unwrap();
        watch.yields(A1, told()).unwrap();
        assert!(watch.yields(A1, revival.clone()).is_err(), "{revival:?}");
        // What was not written before a crash may be forgotten; what was, may not.
        watch.restarts(A1);
        watch.yields(A1, revival.clone()).unwrap();
        watch.writes(A1, Record::Retired(TxRange::only(TX))).unwrap();
        watch.restarts(A1);
        assert!(watch.yields(A1, revival.clone()).is_err(), "{revival:?}");
    }
}

#[test]
fn a_client_that_was_told_what_is_not_so_is_seen() {
    let finished = |outcome| rm(Some(PREPARED), Some(outcome));
    let completed = Decision::Completed { tx: TX, outcome: Outcome::Committed };
    let new = || Watch(super::clients_view::ClientsView::default());

    let mut watch = new();
    watch.begun().decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(M2, decided(Outcome::Aborted)).unwrap_err();
    watch.writes(R1, finished(Outcome::Committed)).unwrap();
    watch.decides(M1, completed.clone()).unwrap_err();
    watch.0.finish().unwrap_err();
    watch.writes(R2, finished(Outcome::Committed)).unwrap();
    watch.decides(M1, completed).unwrap();
    watch.0.finish().unwrap();
    watch.writes(R2, finished(Outcome::Aborted)).unwrap_err();

    let mut watch = new();
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.0.finish().unwrap_err();
}

#[test]
fn a_step_that_does_not_do_what_it_says_is_seen() {
    let mut watch = Watch(super::verdict_is_true::VerdictIsTrue);
    let prepare = paxos::Message::Prepare { ballot: Ballot::new(1, M1) };
    let input = || receive(M1, say(prepare));
    let promise = send(M1, say(paxos::Message::Promise { ballot: Ballot::new(1, M1), accepted: None }));
    let reject = paxos::Message::Reject { ballot: Ballot::new(1, M1), promised: Ballot::new(2, M2) };
    let reject = send(M1, say(reject));
    let write = Effect::Persist(acceptor(Ballot::new(1, M1), None));
    let told = send(M1, Message::Retired { range: TxRange::only(TX) });
    let owed = Effect::Persist(Record::Erased(Key::Acceptor(OTHER)));

    watch.takes(A1, input(), &[write.clone(), promise.clone()]).unwrap();
    watch.takes(A1, input(), &[]).unwrap_err();
    watch.takes(A1, input(), core::slice::from_ref(&reject)).unwrap_err();

    watch.refuses(A1, input(), Refusal::StaleBallot, &[owed, reject.clone()]).unwrap();
    watch.refuses(A1, input(), Refusal::StaleBallot, &[write, promise]).unwrap_err();
    watch.refuses(A1, input(), Refusal::Retired, core::slice::from_ref(&told)).unwrap();
    watch.refuses(A1, input(), Refusal::NotAManager, &[]).unwrap();
    watch.refuses(A1, input(), Refusal::NotAManager, &[told]).unwrap_err();

    let (input, verdict) = (input(), Err(Refusal::NotAManager));
    watch.0.observe(&Observation::Stepped { at: A1, input: &input, effects: &[], verdict, changed: true }).unwrap_err();
}

#[test]
fn a_record_that_is_left_on_a_disk_is_seen() {
    let mut watch = Watch(super::nothing_is_left::NothingIsLeft::default());
    watch.writes(A1, acceptor(Ballot::new(1, M1), None)).unwrap();
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.0.finish().unwrap_err();
    watch.writes(A1, Record::Erased(Key::Acceptor(TX))).unwrap();
    watch.writes(A1, Record::Erased(Key::ResourceManager(TX))).unwrap();
    watch.0.finish().unwrap_err();
    watch.writes(R1, Record::Erased(Key::ResourceManager(TX))).unwrap();
    watch.writes(R1, Record::Retired(TxRange::only(TX))).unwrap();
    watch.0.finish().unwrap();
}

/// What [`Observation::Stepped`] says of a refused step rests on this.
#[test]
fn a_node_knows_the_same_as_before_until_it_takes_something() {
    let acceptors = Quorums::majority([A1, A2, A3]).unwrap();
    let cluster = Cluster::new(ClusterId::default(), acceptors, [M1, M2]).unwrap();
    let prepare = paxos::Message::Prepare { ballot: Ballot::new(1, M1) };
    let vote = |from, manager| receive(from, Message::Vote { transaction: transaction(), vote: PREPARED, manager });
    let (mut node, _) = Node::create(Config::new(cluster, A1, 0));
    // Votes are gathered in memory, and the second one changes no more than whom to tell.
    for input in [vote(R1, M1), vote(R1, M2), Input::Tick(Time(7)), receive(M1, say(prepare)), Input::Tick(Time(8))] {
        let before = node.clone();
        node.step_into(vote(M1, M1), &mut Vec::new()).unwrap_err();
        assert!(node.knows_the_same_as(&before), "a refusal is counted, and no more");
        node.step_into(input.clone(), &mut Vec::new()).unwrap();
        assert!(!node.knows_the_same_as(&before), "{input:?}");
    }
}
