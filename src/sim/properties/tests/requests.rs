//! What must hold of ballots, requests and refusals.

use super::*;

#[test]
fn two_values_in_one_ballot_are_seen() {
    let one = Ballot::new(1, M1);
    let mut watch = Watch(super::super::one_value_per_ballot::OneValuePerBallot::default());
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
    let mut watch = Watch(super::super::ballots_unique::BallotsUnique::default());
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
fn a_proposal_that_no_quorum_of_promises_calls_for_is_seen() {
    let (zero, one, two, three) = (Ballot::initial(R1), Ballot::new(1, M1), Ballot::new(2, M2), Ballot::new(3, M1));
    let new = || Watch(super::super::proposals_are_safe::ProposalsAreSafe::new(&cluster()));
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
fn a_request_that_is_taken_and_not_granted_is_seen() {
    let mut watch = Watch(super::super::requests_are_granted::RequestsAreGranted);
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
    let mut watch = Watch(super::super::refusals_change_nothing::RefusalsChangeNothing::default());
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
        super::super::refusals_change_nothing::RefusalsChangeNothing::default().observe(&refused)
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
        let mut property = super::super::refusals_change_nothing::RefusalsChangeNothing::default();
        let (refusal, effects) = (Refusal::NewerEpoch, [send(asked, Message::Epoch { number: Some(0), what: what() })]);
        let stepped = Observation::Stepped { at: M1, input: &input, effects: &effects, verdict: Err(refusal) };
        property.observe(&stepped).unwrap();
        let refused = Observation::Refused { at: M1, input: &input, refusal, before: &node, after: &node };
        assert_eq!(property.observe(&refused).is_ok(), is_right);
    }
}
