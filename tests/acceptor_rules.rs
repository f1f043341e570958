//! Every relation of ballots that an acceptor can meet, against a naive restatement of its rules.
//!
//! States are reached through `restore`, so also those are tried that no short run leads to.

use std::{cmp::Ordering, collections::BTreeSet};

use synod::{
    Ballot, Effect, Machine, NodeId, Refusal, RestoreError,
    paxos::{Acceptor, AcceptorRecord, Input, Message},
};

type Record = AcceptorRecord<char>;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const ROUNDS: [u64; 5] = [0, 1, 2, 3, u64::MAX];
const VALUES: [char; 2] = ['x', 'y'];

/// What the rules say about one request in one state.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Nothing happens, for this reason.
    Silence(Refusal),
    /// A rejection that names this ballot, and nothing else.
    Reject(Ballot),
    /// A reply and no write: everything was written before.
    Again(Message<char>),
    /// This is written, then the reply leaves.
    Write(Record, Message<char>),
}

/// The place of a ballot among all ballots, without the library's own order. No ballot is the lowest.
fn rank(ballot: Option<Ballot>) -> u128 {
    ballot.map_or(0, |ballot| 1 + (u128::from(ballot.round) << 64) + u128::from(ballot.node.0))
}

/// The rules, from the papers: one row per case, the first that fits.
fn rules(state: &Record, from: NodeId, message: &Message<char>) -> Verdict {
    let (ballot, asked) = match *message {
        Message::Prepare { ballot } => (ballot, None),
        Message::Accept { ballot, value } => (ballot, Some(value)),
        _ => return Verdict::Silence(Refusal::NotForThisRole),
    };
    let promised_initial = state.promised.filter(|promised| promised.round == 0);
    let knows_no_owner = state.promised.is_none();
    let (mine, theirs) = (rank(state.promised), rank(Some(ballot)));
    let accepted_here = state.accepted.filter(|(at, _)| *at == ballot).map(|(_, value)| value);
    let taken = Record { promised: Some(ballot), accepted: asked.map(|value| (ballot, value)) };
    let promise = Message::Promise { ballot, accepted: state.accepted };
    let promised = Record { promised: Some(ballot), accepted: state.accepted };

    match (ballot.round == 0, asked, accepted_here) {
        _ if ballot.node != from => Verdict::Silence(Refusal::NotYourBallot),
        (true, None, _) => Verdict::Silence(Refusal::NotYourBallot),
        (true, ..) if knows_no_owner || promised_initial.is_some_and(|initial| initial.node != from) => {
            Verdict::Silence(Refusal::NotYourBallot)
        }
        _ if theirs < mine => Verdict::Reject(state.promised.unwrap()),
        (_, None, None) if theirs == mine => Verdict::Again(promise),
        (_, None, None) => Verdict::Write(promised, promise),
        (_, None, Some(value)) => Verdict::Again(Message::Accepted { ballot, value }),
        (_, Some(value), None) => Verdict::Write(taken, Message::Accepted { ballot, value }),
        (_, Some(value), Some(same)) if value == same => Verdict::Again(Message::Accepted { ballot, value }),
        (_, Some(_), Some(_)) => Verdict::Silence(Refusal::SecondValue),
    }
}

/// What the machine makes of it, in the same words.
fn verdict(state: &Record, from: NodeId, message: Message<char>) -> Verdict {
    let mut acceptor = Acceptor::restore(*state).unwrap();
    let input = Input::Receive { from, message };
    let mut effects = Vec::new();
    let refused = acceptor.step_into(input, &mut effects);
    let after = *acceptor.record();
    match effects.as_slice() {
        [] => {
            assert_eq!(after, *state, "a silent refusal changes nothing");
            Verdict::Silence(refused.unwrap_err())
        }
        [Effect::Send { to, message: Message::Reject { ballot, promised } }] => {
            assert_eq!((refused, after), (Err(Refusal::StaleBallot), *state));
            assert_eq!((*to, *ballot), (from, message.ballot()));
            Verdict::Reject(*promised)
        }
        [Effect::Send { to, message }] => {
            assert_eq!((refused, after, *to), (Ok(()), *state, from));
            Verdict::Again(*message)
        }
        [Effect::Persist(record), Effect::Send { to, message }] => {
            assert_eq!((refused, after, *to), (Ok(()), *record, from));
            Verdict::Write(*record, *message)
        }
        other => panic!("no acceptor does this: {other:?}"),
    }
}

fn ballots() -> impl Iterator<Item = Ballot> + Clone {
    ROUNDS.into_iter().flat_map(|round| NODES.map(|node| Ballot::new(round, node)))
}

fn acceptances() -> impl Iterator<Item = (Ballot, char)> + Clone {
    ballots().flat_map(|ballot| VALUES.map(|value| (ballot, value)))
}

fn some_or_none<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = Option<T>> {
    [None].into_iter().chain(items.map(Some))
}

/// Every record that can be spelled with these nodes, rounds and values.
fn records() -> impl Iterator<Item = Record> {
    some_or_none(ballots())
        .flat_map(|promised| some_or_none(acceptances()).map(move |accepted| Record { promised, accepted }))
}

fn messages() -> Vec<Message<char>> {
    let mut messages: Vec<_> = ballots().map(|ballot| Message::Prepare { ballot }).collect();
    messages.extend(acceptances().map(|(ballot, value)| Message::Accept { ballot, value }));
    messages.extend(acceptances().map(|(ballot, value)| Message::Accepted { ballot, value }));
    for ballot in ballots() {
        messages.extend(some_or_none(acceptances()).map(|accepted| Message::Promise { ballot, accepted }));
        messages.extend(ballots().map(|promised| Message::Reject { ballot, promised }));
    }
    messages
}

/// How one ballot stands to another: their order, and whether one node owns both.
fn relation(ballot: Ballot, other: Option<Ballot>) -> (Option<Ordering>, bool) {
    let order = other.map(|other| rank(Some(ballot)).cmp(&rank(Some(other))));
    (order, other.is_some_and(|other| other.node == ballot.node))
}

#[test]
fn in_every_state_every_message_is_answered_by_the_rules() {
    let messages = messages();
    let (mut relations, mut answers) = (BTreeSet::new(), [0; 4]);
    for state in records().filter(|record| Acceptor::restore(*record).is_ok()) {
        for message in &messages {
            for from in NODES {
                let expected = rules(&state, from, message);
                let found = verdict(&state, from, *message);
                assert_eq!(found, expected, "{state:?}\n took {message:?}\n from {from}");
                answers[match found {
                    Verdict::Silence(_) => 0,
                    Verdict::Reject(_) => 1,
                    Verdict::Again(_) => 2,
                    Verdict::Write(..) => 3,
                }] += 1;
                let same =
                    matches!((message, state.accepted), (Message::Accept { value, .. }, Some((_, v))) if *value == v);
                relations.insert((
                    matches!(message, Message::Prepare { .. }),
                    message.is_request().then(|| relation(message.ballot(), state.promised)),
                    message.is_request().then(|| relation(message.ballot(), state.accepted.map(|(at, _)| at))),
                    message.ballot().is_initial(),
                    message.ballot().node == from,
                    same,
                ));
            }
        }
    }
    println!("{} relations, {answers:?} silent, rejected, answered again, written", relations.len());
    assert!(answers.iter().all(|count| *count > 0));
    assert_eq!(relations.len(), RELATIONS, "the enumeration no longer meets what it used to meet");
}

/// The distinct cases of request, sender, promise, acceptance and value that occur.
const RELATIONS: usize = 210;

#[test]
fn what_is_not_a_message_is_not_for_an_acceptor() {
    for state in records() {
        let Ok(mut acceptor) = Acceptor::restore(state) else { continue };
        for input in [Input::Propose('x'), Input::Timeout] {
            let mut effects = Vec::new();
            assert_eq!(acceptor.step_into(input, &mut effects), Err(Refusal::NotForThisRole));
            assert_eq!(effects, []);
            assert_eq!(*acceptor.record(), state);
        }
    }
}

#[test]
fn only_what_an_acceptor_can_have_written_is_restored() {
    for record in records() {
        let expected = match (record.promised, record.accepted) {
            (promised, Some((at, _))) if rank(promised) < rank(Some(at)) => Err(RestoreError::AcceptedAbovePromise),
            // Nobody but the owner of the initial ballot can have got a value accepted in it.
            (Some(promised), Some((at, _))) if promised.round == 0 && at != promised => Err(RestoreError::NotTheOwner),
            _ => Ok(record),
        };
        assert_eq!(Acceptor::restore(record).map(|acceptor| *acceptor.record()), expected, "{record:?}");
    }
}

#[test]
fn a_new_acceptor_has_promised_its_owner_the_initial_ballot_and_nothing_else() {
    for owner in some_or_none(NODES.into_iter()) {
        let acceptor = Acceptor::<char>::new(owner);
        assert_eq!(acceptor.promised(), owner.map(Ballot::initial));
        assert_eq!(acceptor.accepted(), None);
        let restored = Acceptor::restore(*acceptor.record()).unwrap();
        assert_eq!(restored, acceptor);
    }
}

#[test]
fn no_step_lowers_a_ballot_or_changes_the_value_of_one() {
    let messages: Vec<_> = messages().into_iter().filter(Message::is_request).collect();
    for before in records() {
        for message in &messages {
            let Ok(mut acceptor) = Acceptor::restore(before) else { continue };
            acceptor.step(Input::Receive { from: message.ballot().node, message: *message });
            let after = acceptor.record();
            assert!(rank(after.promised) >= rank(before.promised));
            let at = |record: &Record| record.accepted.map(|(at, _)| at);
            assert!(rank(at(after)) >= rank(at(&before)));
            assert!(rank(at(after)) <= rank(after.promised));
            if at(after) == at(&before) {
                assert_eq!(after.accepted, before.accepted);
            }
            assert_eq!(acceptor.accepted().copied(), after.accepted);
            assert_eq!(acceptor.promised(), after.promised);
        }
    }
}
