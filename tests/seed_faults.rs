//! One test for each fault of the Go packages `paxos` and `tcommit` that this library grew out of.

use std::cmp::Ordering;

use synod::{
    Ballot, Effect, Machine, NodeId, QuorumError, Quorums, Refusal,
    paxos::{Acceptor, Input, Learner, Message, Proposer, ProposerConfig, ProposerRecord},
};

const OWNER: NodeId = NodeId(1);
const TM: NodeId = NodeId(2);
const ACCEPTORS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];

fn acceptor() -> Acceptor<char> {
    Acceptor::new(Some(OWNER))
}

/// A proposer of `value` that has asked for promises at round 1.
fn proposer(value: char) -> Proposer<char> {
    let acceptors = Quorums::majority(ACCEPTORS).unwrap();
    let config = ProposerConfig::new(TM, acceptors, [TM]).with_owner(OWNER);
    let mut proposer = Proposer::new(config);
    proposer.step(Input::Propose(value));
    proposer
}

fn tell(ballot: Ballot, message: impl FnOnce(Ballot) -> Message<char>) -> Input<char> {
    Input::Receive { from: ballot.node, message: message(ballot) }
}

fn prepare(ballot: Ballot) -> Input<char> {
    tell(ballot, |ballot| Message::Prepare { ballot })
}

fn accept(ballot: Ballot, value: char) -> Input<char> {
    tell(ballot, |ballot| Message::Accept { ballot, value })
}

fn promise(from: NodeId, ballot: Ballot, accepted: Option<(Ballot, char)>) -> Input<char> {
    Input::Receive { from, message: Message::Promise { ballot, accepted } }
}

fn accepted(from: NodeId, ballot: Ballot, value: char) -> Input<char> {
    Input::Receive { from, message: Message::Accepted { ballot, value } }
}

fn reply<R, D>(effects: &[Effect<R, Message<char>, D>]) -> Option<Message<char>> {
    match effects.last() {
        Some(Effect::Send { message, .. }) => Some(*message),
        _ => None,
    }
}

/// Ballots were subtracted in 16 unsigned bits, so that no ballot was ever found to be lower.
#[test]
fn a_lower_ballot_compares_as_lower_however_far_apart_they_are() {
    let rounds = [0, 1, 2, 0x7fff, 0x8000, 0xffff, 0x1_0000, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    let ids = [0, 1, 0xffff, 0x1_0000, u64::MAX].map(NodeId);
    let ascending: Vec<Ballot> = rounds.iter().flat_map(|round| ids.map(|id| Ballot::new(*round, id))).collect();
    for (place, low) in ascending.iter().enumerate() {
        assert_eq!(low.cmp(low), Ordering::Equal);
        for high in &ascending[place + 1..] {
            assert_eq!((low.cmp(high), high.cmp(low)), (Ordering::Less, Ordering::Greater), "{low} {high}");
        }
    }
}

#[test]
fn a_ballot_is_followed_by_a_higher_one_or_by_none_and_never_wraps() {
    for round in [0, 0xfffe, 0xffff, u64::MAX - 1] {
        let ballot = Ballot::new(round, NodeId(u64::MAX));
        let next = ballot.next_above(NodeId(0)).unwrap();
        assert_eq!(next, Ballot::new(round + 1, NodeId(0)));
        assert!(next > ballot);
    }
    assert_eq!(Ballot::new(u64::MAX, NodeId(0)).next_above(NodeId(1)), None);
}

/// The test of the promised ballot was the wrong way round.
#[test]
fn a_higher_prepare_is_promised_and_a_lower_one_rejected() {
    let mut acceptor = acceptor();
    let (low, high) = (Ballot::new(1, TM), Ballot::new(2, TM));
    assert_eq!(reply(&acceptor.step(prepare(high))), Some(Message::Promise { ballot: high, accepted: None }));
    assert_eq!(reply(&acceptor.step(prepare(low))), Some(Message::Reject { ballot: low, promised: high }));
}

#[test]
fn an_accept_below_the_promise_is_rejected() {
    let mut acceptor = acceptor();
    let (low, high) = (Ballot::new(1, TM), Ballot::new(2, TM));
    acceptor.step(prepare(high));
    for low in [low, Ballot::initial(OWNER)] {
        assert_eq!(acceptor.step(accept(low, 'x')).len(), 1);
        assert_eq!(reply(&acceptor.step(accept(low, 'x'))), Some(Message::Reject { ballot: low, promised: high }));
    }
    assert_eq!(acceptor.accepted(), None);
}

/// Neither the promise nor the accepted ballot was ever written.
#[test]
fn promise_and_acceptance_are_written_before_they_are_told_and_outlive_a_restart() {
    let mut acceptor = acceptor();
    let ballot = Ballot::new(1, TM);
    for request in [prepare(ballot), accept(ballot, 'x')] {
        let effects = acceptor.step(request);
        let [Effect::Persist(record), Effect::Send { .. }] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(record, acceptor.record());
        assert_eq!(Acceptor::restore(*record).unwrap(), acceptor);
    }
    let mut restored = Acceptor::restore(*acceptor.record()).unwrap();
    let low = Ballot::new(0, OWNER);
    assert_eq!(reply(&restored.step(accept(low, 'y'))), Some(Message::Reject { ballot: low, promised: ballot }));
    let high = Ballot::new(2, TM);
    let told = Message::Promise { ballot: high, accepted: Some((ballot, 'x')) };
    assert_eq!(reply(&restored.step(prepare(high))), Some(told));
}

#[test]
fn an_accept_raises_the_promise() {
    let mut acceptor = acceptor();
    let (low, high) = (Ballot::new(1, TM), Ballot::new(2, TM));
    acceptor.step(accept(high, 'x'));
    assert_eq!(acceptor.promised(), Some(high));
    assert_eq!(reply(&acceptor.step(prepare(low))), Some(Message::Reject { ballot: low, promised: high }));
    assert_eq!(reply(&acceptor.step(accept(low, 'y'))), Some(Message::Reject { ballot: low, promised: high }));
}

/// An accepted ballot of zero meant that nothing was accepted.
#[test]
fn a_value_accepted_at_round_0_is_told_from_none_and_proposed_again() {
    let mut acceptor = acceptor();
    acceptor.step(accept(Ballot::initial(OWNER), 'x'));
    let ballot = Ballot::new(1, TM);
    let told = Some((Ballot::initial(OWNER), 'x'));
    assert_eq!(reply(&acceptor.step(prepare(ballot))), Some(Message::Promise { ballot, accepted: told }));

    let mut proposer = proposer('y');
    proposer.step(promise(ACCEPTORS[0], ballot, told));
    let effects = proposer.step(promise(ACCEPTORS[1], ballot, None));
    assert_eq!(reply(&effects), Some(Message::Accept { ballot, value: 'x' }));
}

#[test]
fn nodes_with_the_number_zero_are_nodes_like_others() {
    let zero = NodeId(0);
    let mut acceptor = Acceptor::new(Some(zero));
    assert_eq!(acceptor.promised(), Some(Ballot::new(0, zero)));
    acceptor.step(accept(Ballot::initial(zero), 'x'));
    assert_eq!(acceptor.accepted(), Some(&(Ballot::new(0, zero), 'x')));
    assert_ne!(acceptor.promised(), Acceptor::<char>::new(None).promised());
}

/// `Px2B` and `Reject` did not say which acceptor they came from, so that one acceptor could make a quorum.
#[test]
fn an_acceptor_that_repeats_itself_counts_once() {
    let ballot = Ballot::new(1, TM);
    let mut proposer = proposer('x');
    let mut learner = Learner::new(Quorums::majority(ACCEPTORS).unwrap());
    for _ in 0..3 {
        assert_eq!(proposer.step(promise(ACCEPTORS[0], ballot, None)), []);
        assert_eq!(learner.step(accepted(ACCEPTORS[0], ballot, 'x')), []);
    }
    assert!(!proposer.step(promise(ACCEPTORS[1], ballot, None)).is_empty());
    for _ in 0..3 {
        assert_eq!(proposer.step(accepted(ACCEPTORS[2], ballot, 'x')), []);
    }
    assert_eq!(proposer.step(accepted(ACCEPTORS[0], ballot, 'x')), [Effect::Decide('x')]);
}

/// A begin failed when any one of its acceptors did.
#[test]
fn one_acceptor_that_refuses_and_is_then_silent_stops_nothing() {
    let ballot = Ballot::new(1, TM);
    let mut proposer = proposer('x');
    let reject = Message::Reject { ballot, promised: Ballot::new(9, TM) };
    proposer.step(Input::Receive { from: ACCEPTORS[0], message: reject });
    proposer.step(promise(ACCEPTORS[1], ballot, None));
    proposer.step(promise(ACCEPTORS[2], ballot, None));
    proposer.step(accepted(ACCEPTORS[1], ballot, 'x'));
    assert_eq!(proposer.step(accepted(ACCEPTORS[2], ballot, 'x')), [Effect::Decide('x')]);
}

/// Names were narrowed by a CRC32, and two nodes could share one. Here the configuration gives 64 bits, all of which
/// count, and a name that is given twice is refused.
#[test]
fn names_that_differ_in_any_bit_never_share_a_ballot() {
    for bit in 0..64 {
        let (one, other) = (NodeId(0x1234_5678), NodeId(0x1234_5678 ^ 1 << bit));
        let (mine, theirs) = (Ballot::new(1, one), Ballot::new(1, other));
        assert_ne!(mine, theirs);
        let mut acceptor = Acceptor::<char>::new(None);
        acceptor.step(prepare(mine.max(theirs)));
        assert_eq!(acceptor.step_into(prepare(mine.min(theirs)), &mut Vec::new()), Err(Refusal::StaleBallot));
        assert!(Quorums::majority([one, other]).is_ok());
        assert_eq!(Quorums::majority([one, other, one]), Err(QuorumError::Repeated(one)));
    }
}

/// Rounds had 16 bits, and a restart began at the first one again.
#[test]
fn a_restart_goes_on_above_the_highest_round_that_was_used() {
    let config = ProposerConfig::new(TM, Quorums::majority(ACCEPTORS).unwrap(), [TM]);
    for round in [0xffff, 0x1_0000, 1 << 40] {
        let mut restored = Proposer::restore(config.clone(), ProposerRecord { round, initial: None }).unwrap();
        restored.step(Input::Propose('x'));
        assert_eq!(restored.ballot(), Some(Ballot::new(round + 1, TM)));
    }
}
