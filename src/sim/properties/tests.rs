//! Every property is shown what it must let pass, and then one thing more that it must not.

mod epochs;
mod hurt;

use super::{Observation, Property, Violation};
use crate::{
    Ballot, Machine, NodeId, Quorums, Refusal, TxId,
    commit::{
        Acceptance, AcceptorRecord, Cluster, ClusterId, Config, Decision, Effect, HigherInstance, Input, Key, Message,
        Meta, Node, Obstacle, Outcome, Participants, Places, Promises, Record, ResourceManagerRecord, Time,
        Transaction, TxRange, Vote, Votes, What,
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
        let participants = Participants::new([R1, R2]).unwrap();
        let begin = Input::Begin { participants, meta: meta() };
        self.takes(M1, begin, &[Effect::Decide(Decision::Begun(TX))]).unwrap();
        self
    }

    fn takes(&mut self, at: NodeId, input: Input, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Ok(()) })
    }

    fn refuses(&mut self, at: NodeId, input: Input, refusal: Refusal, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Err(refusal) })
    }

    fn votes(&mut self, at: NodeId, vote: Vote) {
        let transaction = transaction();
        let record = ResourceManagerRecord {
            transaction: transaction.clone(),
            meta: Some(meta()),
            vote: Some(vote),
            finished: None,
        };
        let written = Effect::Persist(Record::ResourceManager(record));
        self.takes(at, Input::Vote { transaction, vote }, &[written]).unwrap();
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

    fn remembers(&mut self, at: NodeId, outcome: Outcome) -> Seen {
        self.0.observe(&Observation::Remembered { at, tx: TX, outcome })
    }

    fn restarts(&mut self, at: NodeId) {
        self.0.observe(&Observation::Stopped { at }).unwrap();
        self.0.observe(&Observation::Started { at }).unwrap();
    }
}

fn transaction() -> Transaction {
    named(TX)
}

fn named(tx: TxId) -> Transaction {
    Transaction::new(tx, [R1, R2], meta()).unwrap()
}

/// What the transactions are about.
fn meta() -> Meta {
    Meta::from([7])
}

fn commit(tx: TxId) -> Decision {
    Decision::Commit { transaction: named(tx), meta: meta() }
}

fn abort(tx: TxId) -> Decision {
    Decision::Abort { transaction: named(tx), meta: None }
}

fn cluster() -> Cluster {
    Cluster::new(ClusterId([0; 16]), Quorums::majority([A1, A2, A3]).unwrap(), [M1, M2]).unwrap()
}

/// What an acceptor knows: of the first instance, `promised` and `accepted`; of the second, nothing.
fn acceptor(promised: Ballot, accepted: Option<(Ballot, Vote)>) -> Record {
    let initial = Some(Ballot::initial(R1));
    let above = accepted.is_some_and(|(ballot, _)| Some(ballot) != initial);
    let (votes, higher) = if Some(promised) == initial && !above {
        (accepted.map(|(_, vote)| (0, vote)).into_iter().collect(), Vec::new())
    } else {
        let state = paxos::AcceptorRecord { promised: Some(promised), accepted };
        (Votes::default(), vec![HigherInstance { rm: R1, state }])
    };
    Record::Acceptor(AcceptorRecord { transaction: transaction(), votes, higher: higher.into() })
}

/// What an acceptor knows that has accepted these votes in round 0.
fn accepted(votes: [Option<Vote>; 2]) -> Record {
    let votes = votes.into_iter().enumerate().filter_map(|(place, vote)| Some((place, vote?))).collect();
    Record::Acceptor(AcceptorRecord { transaction: transaction(), votes, higher: Box::default() })
}

fn rm(vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    let meta = Some(meta());
    Record::ResourceManager(ResourceManagerRecord { transaction: transaction(), meta, vote, finished })
}

fn about(what: What) -> Message {
    Message::about(&transaction(), what)
}

/// Something said about the first instance.
fn say(message: paxos::Message<Vote>) -> Message {
    let first = || Places::from_iter([0]);
    let told = |accepted: Option<(Ballot, Vote)>| match accepted {
        None => (Votes::default(), Box::default()),
        Some((ballot, vote)) if ballot == Ballot::initial(R1) => (Votes::from_iter([(0, vote)]), Box::default()),
        Some((ballot, vote)) => (Votes::default(), Box::from([Acceptance { rm: R1, ballot, vote }])),
    };
    about(match message {
        paxos::Message::Prepare { ballot } => What::Phase1a { ballot, instances: first() },
        paxos::Message::Promise { ballot, accepted } => {
            let (votes, higher) = told(accepted);
            What::Phase1b { ballot, promises: Box::new(Promises { instances: first(), votes, higher }) }
        }
        paxos::Message::Accept { ballot, value } => What::Phase2a { ballot, votes: Votes::from_iter([(0, value)]) },
        paxos::Message::Accepted { ballot, value } => {
            let (votes, higher) = told(Some((ballot, value)));
            What::Phase2b { votes, higher }
        }
        paxos::Message::Reject { ballot, promised } => {
            What::Reject { ballot, promised: Box::from([Obstacle { rm: R1, promised }]) }
        }
    })
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
    watch.decides(R1, commit(TX)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(R1, abort(OTHER)).unwrap();
    watch.decides(R2, abort(TX)).unwrap_err();
}

#[test]
fn a_vote_that_nobody_gave_breaks_validity() {
    let mut watch = Watch(super::validity::Validity::default());
    let vote = |vote| about(What::Vote { vote, manager: M1 });
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
    watch.decides(R1, abort(TX)).unwrap();
    watch.decides(R1, commit(TX)).unwrap_err();
    watch.votes(R2, PREPARED);
    watch.decides(R1, commit(TX)).unwrap();
}

#[test]
fn an_abort_that_nobody_voted_or_proposed_is_seen() {
    let abort = abort(TX);
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
    watch.decides(R1, commit(TX)).unwrap();
    watch.restarts(R1);
    watch.decides(R1, commit(TX)).unwrap();
    watch.writes(R1, rm(Some(PREPARED), Some(Outcome::Committed))).unwrap();
    watch.decides(R1, abort(TX)).unwrap_err();
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
fn a_record_that_goes_back_is_seen() {
    let (zero, one, two) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M1));
    let range = |first, last| Record::Retired(TxRange::new(M1, first, last).unwrap());
    let identity = |node| Record::Identity { cluster: ClusterId([1; 16]), node };
    let new = || Watch(super::records_never_go_back::RecordsNeverGoBack::default());
    // Each of these may follow the one before, and none may come before it.
    let growing = [
        vec![identity(A1)],
        vec![Record::Sequence { reserved: 1 }, Record::Sequence { reserved: 2 }],
        vec![Record::Rounds { reserved: 1 }, Record::Rounds { reserved: 2 }],
        vec![acceptor(zero, None), acceptor(zero, Some((zero, PREPARED))), acceptor(one, Some((zero, PREPARED)))],
        vec![acceptor(one, None), acceptor(two, None), acceptor(two, Some((two, ABORTED)))],
        vec![accepted([Some(PREPARED), None]), accepted([Some(PREPARED), Some(ABORTED)])],
        vec![rm(Some(PREPARED), None), rm(Some(PREPARED), Some(Outcome::Committed))],
        vec![range(2, 3), range(2, 5)],
    ];
    for records in growing {
        let mut watch = new();
        for record in &records {
            // A torn write may leave a record that the next one repeats.
            watch.writes(A1, record.clone()).unwrap();
            watch.writes(A1, record.clone()).unwrap();
        }
        for pair in records.windows(2) {
            let mut watch = new();
            watch.writes(A1, pair[1].clone()).unwrap();
            watch.writes(A2, pair[0].clone()).unwrap();
            assert!(watch.writes(A1, pair[0].clone()).is_err(), "{pair:?}");
        }
    }
    let contradictions = [
        [identity(A1), identity(A2)],
        [rm(Some(PREPARED), None), rm(Some(ABORTED), None)],
        [rm(None, Some(Outcome::Aborted)), rm(Some(PREPARED), None)],
        [rm(Some(PREPARED), Some(Outcome::Aborted)), rm(Some(PREPARED), Some(Outcome::Committed))],
        [accepted([Some(PREPARED), None]), accepted([Some(ABORTED), None])],
        [acceptor(one, Some((one, ABORTED))), acceptor(two, None)],
    ];
    for [before, after] in contradictions {
        let mut watch = new();
        watch.writes(A1, before.clone()).unwrap();
        assert!(watch.writes(A1, after.clone()).is_err(), "{before:?}, then {after:?}");
    }
}

#[test]
fn a_record_that_is_erased_before_its_time_or_comes_back_is_seen() {
    let range = |first, last| Record::Retired(TxRange::new(M1, first, last).unwrap());
    let first = |seq| Key::Retired(TxId { origin: M1, seq });
    let new = || Watch(super::records_never_go_back::RecordsNeverGoBack::default());
    let records = [acceptor(Ballot::initial(R1), Some((Ballot::initial(R1), PREPARED))), rm(Some(PREPARED), None)];
    for record in records {
        let erased = Record::Erased(record.key());
        let mut watch = new();
        watch.writes(R1, record.clone()).unwrap();
        watch.writes(R2, range(1, 1)).unwrap();
        assert!(watch.writes(R1, erased.clone()).is_err(), "{record:?}");

        let mut watch = new();
        watch.writes(R1, record.clone()).unwrap();
        watch.writes(R1, range(1, 1)).unwrap();
        watch.writes(R1, erased.clone()).unwrap();
        watch.writes(R1, erased).unwrap();
        watch.writes(R2, record.clone()).unwrap();
        assert!(watch.writes(R1, record.clone()).is_err(), "{record:?}");
    }

    // A range goes when a wider one has swallowed it.
    let mut watch = new();
    watch.writes(A1, range(3, 4)).unwrap();
    watch.writes(A1, range(1, 4)).unwrap();
    watch.writes(A1, Record::Erased(first(3))).unwrap();
    watch.writes(A1, Record::Erased(first(1))).unwrap_err();
    let mut watch = new();
    watch.writes(A1, range(3, 4)).unwrap();
    watch.writes(A1, range(1, 3)).unwrap();
    watch.writes(A1, Record::Erased(first(3))).unwrap_err();
    for (key, record) in
        [(Key::Sequence, Record::Sequence { reserved: 1 }), (Key::Rounds, Record::Rounds { reserved: 1 })]
    {
        let mut watch = new();
        watch.writes(A1, record).unwrap();
        watch.writes(A1, Record::Erased(key)).unwrap_err();
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
    let vote = about(What::Vote { vote: PREPARED, manager: M1 });
    let finished = about(What::Finished(Outcome::Committed));
    let retired = TxRange::only(TX);
    let rests_on = [
        (vote.clone(), rm(Some(PREPARED), None)),
        (finished, rm(Some(PREPARED), Some(Outcome::Committed))),
        (say(paxos::Message::Prepare { ballot: Ballot::new(1, R1) }), Record::Rounds { reserved: 2 }),
        (say(paxos::Message::Promise { ballot: one, accepted: None }), acceptor(one, None)),
        (say(paxos::Message::Accepted { ballot: zero, value: PREPARED }), acceptor(zero, Some((zero, PREPARED)))),
        (Message::retired(retired), Record::Retired(retired)),
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
fn every_instance_of_a_message_must_be_durable() {
    let (one, two) = (Ballot::new(1, M1), Ballot::new(2, M2));
    let both = || Places::first(2);
    let higher = |rm| Acceptance { rm, ballot: one, vote: ABORTED };
    let votes = |places: &[usize]| Votes::from_iter(places.iter().map(|place| (*place, PREPARED)));
    let promise = |instances, votes, higher: &[Acceptance]| {
        let promises = Promises { instances, votes, higher: higher.into() };
        about(What::Phase1b { ballot: two, promises: Box::new(promises) })
    };
    let bundle = |votes, higher: &[Acceptance]| about(What::Phase2b { votes, higher: higher.into() });
    // The first instance is at ballot 2, and has accepted in ballot 1; the second has accepted its own vote.
    let record = || {
        let state = paxos::AcceptorRecord { promised: Some(two), accepted: Some((one, ABORTED)) };
        let higher = Box::from([HigherInstance { rm: R1, state }]);
        Record::Acceptor(AcceptorRecord { transaction: transaction(), votes: votes(&[1]), higher })
    };
    let good = [
        promise(Places::first(1), votes(&[]), &[higher(R1)]),
        bundle(votes(&[1]), &[higher(R1)]),
        bundle(votes(&[1]), &[]),
    ];
    let bad = [
        promise(both(), votes(&[]), &[]),
        promise(Places::first(1), votes(&[1]), &[higher(R1)]),
        promise(Places::from_iter([0, 2]), votes(&[]), &[higher(R1)]),
        bundle(votes(&[1]), &[higher(R1), higher(R2)]),
        bundle(votes(&[1, 2]), &[higher(R1)]),
        bundle(votes(&[1]), &[Acceptance { vote: PREPARED, ..higher(R1) }]),
        bundle(Votes::from_iter([(1, ABORTED)]), &[]),
    ];
    for (messages, holds) in [(good.as_slice(), true), (bad.as_slice(), false)] {
        for message in messages {
            let mut watch = Watch(super::persist_before_send::PersistBeforeSend::default());
            watch.writes(A1, record()).unwrap();
            assert_eq!(watch.sends(A1, message.clone()).is_ok(), holds, "{message:?}");
        }
    }
}

#[test]
fn a_name_that_is_not_reserved_is_seen() {
    let new = || Watch(super::persist_before_send::PersistBeforeSend::default());
    let prepare = || about(What::prepare(meta()));

    let mut watch = new();
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.sends(M1, prepare()).unwrap_err();
    watch.writes(M1, Record::Sequence { reserved: TX.seq }).unwrap();
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.writes(M1, Record::Sequence { reserved: TX.seq + 1 }).unwrap();
    watch.decides(M1, Decision::Begun(TX)).unwrap();
    watch.sends(M1, prepare()).unwrap();
    // The name is another node's matter.
    new().sends(M2, prepare()).unwrap();

    let tellings = [
        Decision::Vote { transaction: transaction(), meta: meta() },
        commit(TX),
        abort(TX),
        decided(Outcome::Committed),
        Decision::Completed { tx: TX, outcome: Outcome::Committed },
    ];
    for telling in tellings {
        assert!(new().decides(M1, telling.clone()).is_err(), "{telling:?}");
        new().decides(M2, telling.clone()).unwrap();
        let mut watch = new();
        watch.writes(M1, Record::Sequence { reserved: TX.seq + 1 }).unwrap();
        watch.decides(M1, telling).unwrap();
    }
}

#[test]
fn a_name_that_is_given_twice_is_seen() {
    let mut watch = Watch(super::names_are_given_once::NamesAreGivenOnce::default());
    watch.decides(M1, Decision::Begun(TX)).unwrap();
    watch.decides(M1, Decision::Begun(OTHER)).unwrap();
    watch.restarts(M1);
    watch.decides(M1, Decision::Begun(TX)).unwrap_err();
    watch.decides(M2, Decision::Begun(TxId { seq: 3, ..TX })).unwrap_err();
}

#[test]
fn content_that_no_client_gave_is_seen() {
    let new = || Watch(super::content_is_the_clients::ContentIsTheClients::default());
    let other = || Transaction::new(TX, [R1, R2], [8]).unwrap();
    let tellings = |transaction: Transaction, meta: Meta| {
        [
            Decision::Vote { transaction: transaction.clone(), meta: meta.clone() },
            Decision::Commit { transaction: transaction.clone(), meta: meta.clone() },
            Decision::Abort { transaction, meta: Some(meta) },
        ]
    };
    for (good, bad) in tellings(transaction(), meta()).into_iter().zip(tellings(other(), Meta::from([8]))) {
        new().decides(R1, good.clone()).unwrap_err();
        new().begun().decides(R1, good).unwrap();
        assert!(new().begun().decides(R1, bad.clone()).is_err(), "{bad:?}");
    }
    for bad in tellings(transaction(), Meta::from([8])) {
        assert!(new().begun().decides(R1, bad.clone()).is_err(), "{bad:?}");
    }
    new().begun().decides(R1, abort(TX)).unwrap();
    // A client that names its transaction says as much.
    let mut watch = new();
    let begin = || Input::BeginAs { transaction: named(OTHER), meta: meta() };
    watch.refuses(M1, begin(), Refusal::TooManyOpen, &[]).unwrap();
    watch.decides(R1, commit(OTHER)).unwrap_err();
    watch.takes(M1, begin(), &[]).unwrap();
    watch.decides(R1, commit(OTHER)).unwrap();
}

#[test]
fn a_proposal_that_no_quorum_of_promises_calls_for_is_seen() {
    let (zero, one, two, three) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M2), Ballot::new(3, M1));
    let new = || Watch(super::proposals_are_safe::ProposalsAreSafe::new(&cluster()));
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
    let new = || Watch(super::decided_is_chosen::DecidedIsChosen::new(&cluster()));
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
    watch.decides(R1, abort(TX)).unwrap_err();
    watch.remembers(M1, Outcome::Committed).unwrap();
    watch.remembers(M1, Outcome::Aborted).unwrap_err();

    let mut watch = new();
    watch.begun().decides(R1, abort(TX)).unwrap_err();
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap();
    watch.decides(R1, abort(TX)).unwrap();

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
    let told = || send(M1, Message::retired(TxRange::only(TX)));
    let revivals = [
        Effect::Persist(acceptor(Ballot::new(1, M1), None)),
        Effect::Persist(rm(Some(PREPARED), None)),
        Effect::Decide(Decision::Vote { transaction: transaction(), meta: meta() }),
        Effect::Decide(commit(TX)),
        Effect::Decide(decided(Outcome::Committed)),
        Effect::Decide(Decision::Begun(TX)),
        send(M1, about(What::Inquire)),
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
    // Who takes a step exists, and is waited for.
    [R1, R2].iter().for_each(|rm| watch.yields(*rm, send(M1, about(What::Inquire))).unwrap());
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
fn a_request_that_is_taken_and_not_granted_is_seen() {
    let mut watch = Watch(super::requests_are_granted::RequestsAreGranted);
    let (one, two) = (Ballot::new(1, M1), Ballot::new(2, M2));
    let prepare = || receive(M1, say(paxos::Message::Prepare { ballot: one }));
    let accept = || receive(M1, say(paxos::Message::Accept { ballot: one, value: ABORTED }));
    let promise = |to| send(to, say(paxos::Message::Promise { ballot: one, accepted: None }));
    let accepted = send(M1, say(paxos::Message::Accepted { ballot: one, value: ABORTED }));
    let reject = send(M1, say(paxos::Message::Reject { ballot: one, promised: two }));
    let write = Effect::Persist(acceptor(one, None));

    watch.takes(A1, prepare(), &[write.clone(), promise(M1)]).unwrap();
    watch.takes(A1, accept(), &[write.clone(), accepted]).unwrap();
    for input in [prepare(), accept()] {
        watch.takes(A1, input.clone(), &[]).unwrap_err();
        watch.takes(A1, input.clone(), &[write.clone(), promise(M2)]).unwrap_err();
        watch.takes(A1, input.clone(), core::slice::from_ref(&reject)).unwrap_err();
        watch.refuses(A1, input, Refusal::StaleBallot, core::slice::from_ref(&reject)).unwrap();
    }
}

#[test]
fn a_refusal_with_effects_is_seen() {
    let mut watch = Watch(super::refusals_change_nothing::RefusalsChangeNothing::default());
    let (one, two) = (Ballot::new(1, M1), Ballot::new(2, M2));
    let input = || receive(M1, say(paxos::Message::Prepare { ballot: one }));
    let promise = send(M1, say(paxos::Message::Promise { ballot: one, accepted: None }));
    let reject = |to| send(to, say(paxos::Message::Reject { ballot: one, promised: two }));
    let write = Effect::Persist(acceptor(one, None));
    let told = send(M1, Message::retired(TxRange::only(TX)));
    let owed = Effect::Persist(Record::Erased(Key::Acceptor(OTHER)));

    watch.takes(A1, input(), &[write.clone(), promise.clone()]).unwrap();
    watch.refuses(A1, input(), Refusal::StaleBallot, &[owed, reject(M1)]).unwrap();
    watch.refuses(A1, input(), Refusal::StaleBallot, &[reject(M2)]).unwrap_err();
    for effect in [write, promise.clone(), told.clone(), Effect::Decide(abort(TX))] {
        assert!(
            watch.refuses(A1, input(), Refusal::StaleBallot, core::slice::from_ref(&effect)).is_err(),
            "{effect:?}"
        );
    }
    watch.refuses(A1, input(), Refusal::Retired, core::slice::from_ref(&told)).unwrap();
    watch.refuses(A1, input(), Refusal::Retired, &[promise]).unwrap_err();
    watch.refuses(A1, input(), Refusal::NotAManager, &[]).unwrap();
    watch.refuses(A1, input(), Refusal::NotAManager, &[told]).unwrap_err();
}

#[test]
fn a_refusal_that_changes_anything_is_seen() {
    let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority([M1]).unwrap(), [M1, M2]).unwrap();
    let mut before = Node::create(Config::new(cluster, M1, 0)).0;
    let unknown = || Input::Inquire(TxId { origin: NodeId(98), seq: 1 });
    let seen = |before: &Node, after: &Node| {
        let refusal = Refusal::UnknownTransaction;
        let refused = Observation::Refused { at: M1, input: &unknown(), refusal, before, after };
        super::refusals_change_nothing::RefusalsChangeNothing::default().observe(&refused)
    };
    let participants = |nodes: &[NodeId]| Participants::new(nodes).unwrap();
    let client = Transaction::new(TxId { origin: NodeId(99), seq: 1 }, [R1], meta()).unwrap();
    let steps = [
        // A number is reserved, and a transaction opened; then it is only opened.
        Input::Begin { participants: participants(&[M1]), meta: meta() },
        Input::Begin { participants: participants(&[R1]), meta: meta() },
        // A role appears, which is seen in its state or in when it next acts.
        receive(R1, Message::about(&client, What::Inquire)),
        receive(M2, Message::about(&client, What::Phase1a { ballot: Ballot::new(9, M2), instances: Places::first(1) })),
        // The one participant votes, which decides; then it finishes, and all is over.
        Input::Vote {
            transaction: Transaction::of(TxId { origin: M1, seq: 1 }, participants(&[M1]), &meta()),
            vote: PREPARED,
        },
        Input::Finished(TxId { origin: M1, seq: 1 }),
    ];
    for input in steps {
        let mut after = before.clone();
        after.step_into(unknown(), &mut Vec::new()).unwrap_err();
        seen(&before, &after).unwrap();
        after.step_into(input.clone(), &mut Vec::new()).unwrap();
        assert!(seen(&before, &after).is_err(), "{input:?}");
        before = after;
    }
    // A clock that advances shows in how long things are open.
    let mut after = before.clone();
    after.step_into(Input::Tick(Time(1)), &mut Vec::new()).unwrap();
    seen(&before, &after).unwrap_err();
}

#[test]
fn a_stranger_that_is_asked_for_an_epoch_is_seen() {
    let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority([M1]).unwrap(), [M1, M2]).unwrap();
    let node = Node::create(Config::new(cluster, M1, 0)).0;
    let what = || Box::new(crate::commit::EpochMessage::Wanted);
    let input = receive(R1, Message::Epoch { number: Some(1), what: what() });
    for (asked, is_right) in [(M2, true), (R1, false)] {
        let mut property = super::refusals_change_nothing::RefusalsChangeNothing::default();
        let (refusal, effects) = (Refusal::NewerEpoch, [send(asked, Message::Epoch { number: Some(0), what: what() })]);
        let stepped = Observation::Stepped { at: M1, input: &input, effects: &effects, verdict: Err(refusal) };
        property.observe(&stepped).unwrap();
        let refused = Observation::Refused { at: M1, input: &input, refusal, before: &node, after: &node };
        assert_eq!(property.observe(&refused).is_ok(), is_right);
    }
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

#[test]
fn a_resource_that_commits_what_it_does_not_hold_or_holds_what_is_over_is_seen() {
    let watch = || Watch(super::resources_keep_promises::ResourcesKeepPromises::default());
    let held = Observation::Held { at: R1, tx: TX };
    let let_go = Observation::LetGo { at: R1, tx: TX };
    let decision = Decision::Commit { transaction: transaction(), meta: meta() };
    let commits = Observation::Decided { at: R1, decision: &decision };

    let mut sound = watch();
    for seen in [&held, &commits, &commits, &let_go, &commits] {
        sound.0.observe(seen).unwrap();
    }
    sound.0.finish().unwrap();
    watch().0.observe(&commits).unwrap_err();
    let mut dropped = watch();
    dropped.0.observe(&held).unwrap();
    dropped.0.observe(&let_go).unwrap();
    dropped.0.observe(&commits).unwrap_err();
    let mut orphan = watch();
    orphan.0.observe(&held).unwrap();
    orphan.0.finish().unwrap_err();
    // A liar may be left with it.
    orphan.0.observe(&Observation::Lied { at: R1, tx: TX }).unwrap();
    orphan.0.finish().unwrap();
}
