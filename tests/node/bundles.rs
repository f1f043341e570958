//! Whatever comes to the acceptor of a transaction, from whomever: what it answers is what it has written.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
    test_runner::FileFailurePersistence,
};
use synod::{
    Ballot, Effect, Machine, NodeId, Refusal,
    commit::{
        AcceptorRecord, Cluster, Effect as Carried, Message, Record, Vote, What,
        roles::{Acceptor, AcceptorInput, Wait},
    },
    paxos::Message::*,
};

use super::support::{RMS, catalogue, cluster_of, say, say::Part, transaction};

/// The first two resource managers are transaction managers too, so that initial ballots may come from those.
const MANAGERS: [NodeId; 2] = [RMS[0], RMS[1]];

fn shared() -> Cluster {
    cluster_of(&RMS, &MANAGERS)
}

fn vote() -> impl Strategy<Value = Vote> {
    select(vec![Vote::Prepared, Vote::Aborted])
}

/// Mostly a request at a ballot of `from`, an initial one now and then.
fn request(from: NodeId) -> impl Strategy<Value = Message> {
    let node = prop_oneof![9 => Just(from), 1 => select(RMS.to_vec())];
    let rms = subsequence((0..RMS.len()).collect::<Vec<_>>(), 1..=RMS.len());
    (select(vec![0, 1, 1, 2, 3]), node, rms, vec(vote(), RMS.len()), any::<bool>()).prop_map(
        |(round, node, places, votes, prepares)| {
            let ballot = Ballot::new(round, node);
            let what = match prepares {
                true => What::Phase1a { ballot, instances: places.into_iter().collect() },
                false => What::Phase2a { ballot, votes: places.into_iter().zip(votes).collect() },
            };
            Message::about(&transaction(1), what)
        },
    )
}

fn input() -> impl Strategy<Value = AcceptorInput> {
    let message = select(RMS.to_vec()).prop_flat_map(|from| {
        let voted = (vote(), select(MANAGERS.to_vec()));
        let message = prop_oneof![
            2 => request(from),
            1 => voted.prop_map(|(vote, manager)| say::vote(&transaction(1), vote, manager)),
        ];
        message.prop_map(move |message| AcceptorInput::Receive { from, message })
    });
    prop_oneof![9 => message, 1 => Just(AcceptorInput::Timeout)]
}

/// Whether `durable` bears an answer out.
fn is_true(durable: &AcceptorRecord, part: &Part) -> bool {
    let place = RMS.iter().position(|rm| *rm == part.rm).unwrap();
    let state = durable.instance(place).unwrap();
    match part.message {
        Promise { ballot, accepted } => (state.promised, state.accepted) == (Some(ballot), accepted),
        Accepted { ballot, value } => state.accepted == Some((ballot, value)),
        Reject { ballot, promised } => state.promised == Some(promised) && ballot < promised,
        Prepare { .. } | Accept { .. } => false,
    }
}

fn answers(effects: &[Carried]) -> impl Iterator<Item = Part> {
    say::sends(effects).into_iter().flat_map(|(_, message)| say::parts_of(message))
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("failures")))]

    #[test]
    fn an_acceptor_says_nothing_that_it_has_not_written_and_what_it_refuses_changes_nothing(
        inputs in vec(input(), 0..20),
    ) {
        let mut acceptor = Acceptor::new(shared(), transaction(1));
        let mut durable = acceptor.record();
        for input in inputs {
            let before = catalogue::memory(&acceptor);
            let is_unfinished = acceptor.wait() == Wait::Flush;
            let mut effects = Vec::new();
            let verdict = acceptor.step_into(input.clone(), &mut effects);
            let earlier = durable.clone();
            for effect in &effects {
                if let Effect::Persist(Record::Acceptor(record)) = effect {
                    durable = record.clone();
                }
            }
            prop_assert!(durable.may_follow(&earlier), "{:?} makes {:?} of {:?}", input, durable, earlier);
            prop_assert_eq!(acceptor.record(), durable.clone(), "{:?}", input);
            for part in answers(&effects) {
                prop_assert!(is_true(&durable, &part), "{:?} answers {:?}", part, input);
            }
            let request = match &input {
                AcceptorInput::Receive { from, message } if say::is_paxos(message) => Some((*from, message)),
                _ => None,
            };
            if let (Ok(()), Some((from, message))) = (verdict, request) {
                // Every instance that was asked about is answered to the one who asked; a second value in a ballot is not.
                // An unfinished bundle goes out first, whatever was asked for.
                let answers = say::sends(&effects).into_iter().skip(usize::from(is_unfinished));
                let told = answers.filter(|(to, _)| *to == from);
                let told: BTreeSet<NodeId> =
                    told.flat_map(|(_, message)| say::parts_of(message)).map(|part| part.rm).collect();
                let is_second = |part: &Part| {
                    let place = RMS.iter().position(|rm| *rm == part.rm).unwrap();
                    let state = durable.instance(place).unwrap();
                    let Accept { ballot, value } = part.message else { return false };
                    let is_other = |(at, known)| at == ballot && known != value;
                    state.promised == Some(ballot) && state.accepted.is_some_and(is_other)
                };
                let parts = say::parts_of(message);
                prop_assert!(parts.iter().all(|part| told.contains(&part.rm) != is_second(part)), "{:?}", effects);
            }
            if let Err(refusal) = verdict {
                prop_assert_eq!(catalogue::memory(&acceptor), before, "{:?} changes what refuses it", input);
                // A vote that comes too late needs no answer: its instance is in other hands.
                let is_answered = request.is_some() && refusal == Refusal::StaleBallot;
                let rejects = answers(&effects).all(|part| matches!(part.message, Reject { .. }));
                prop_assert!(rejects && effects.len() == usize::from(is_answered), "{:?}", effects);
            }
        }
    }
}

/// However high the ballots are that an acceptor has promised: its answer to one that is too low is no way around this.
#[test]
fn a_vote_of_an_initial_ballot_comes_as_a_vote_and_in_no_other_message() {
    for promised in [None, Some(5)] {
        let mut acceptor = Acceptor::new(shared(), transaction(1));
        let [me, other, _] = RMS;
        if let Some(round) = promised {
            let message = say::paxos(&transaction(1), &[other], Prepare { ballot: Ballot::new(round, me) });
            acceptor.step(AcceptorInput::Receive { from: me, message });
        }
        let before = acceptor.record();
        for (from, owner) in MANAGERS.into_iter().flat_map(|from| RMS.map(|owner| (from, owner))) {
            let ballot = Ballot::initial(owner);
            for (rms, body) in [&RMS[..], &[me], &[other]]
                .into_iter()
                .flat_map(|rms| [(rms, Prepare { ballot }), (rms, Accept { ballot, value: Vote::Prepared })])
            {
                let message = say::paxos(&transaction(1), rms, body);
                let mut effects = Vec::new();
                let verdict = acceptor.step_into(AcceptorInput::Receive { from, message }, &mut effects);
                assert_eq!((verdict, effects), (Err(Refusal::NotYourBallot), vec![]));
                assert_eq!(acceptor.record(), before);
            }
        }
    }
}

/// Promised, accepted and too low: each kind of answer is a message of its own.
#[test]
fn one_request_in_three_instances_may_have_three_answers() {
    let mut acceptor = Acceptor::new(shared(), transaction(1));
    let [me, other, _] = RMS;
    let mut receive = |from, message| acceptor.step(AcceptorInput::Receive { from, message });
    let (ballot, higher) = (Ballot::new(2, me), Ballot::new(3, other));
    let one = transaction(1);
    receive(me, say::paxos(&one, &RMS[1..2], Accept { ballot, value: Vote::Aborted }));
    receive(other, say::paxos(&one, &RMS[2..], Prepare { ballot: higher }));
    let effects = receive(me, say::paxos(&one, &RMS, Prepare { ballot }));
    assert!(matches!(effects[0], Effect::Persist(Record::Acceptor(_))));
    let promise = say::paxos(&one, &RMS[..1], Promise { ballot, accepted: None });
    let accepted = say::paxos(&one, &RMS[1..2], Accepted { ballot, value: Vote::Aborted });
    let reject = say::paxos(&one, &RMS[2..], Reject { ballot, promised: higher });
    assert_eq!(say::sends(&effects), [(me, &promise), (me, &accepted), (me, &reject)]);
}

#[test]
fn a_promise_tells_what_was_accepted_at_an_initial_ballot_as_a_vote() {
    let mut acceptor = Acceptor::new(shared(), transaction(1));
    let mut receive = |from, message| acceptor.step(AcceptorInput::Receive { from, message });
    let one = transaction(1);
    receive(RMS[2], say::vote(&one, Vote::Prepared, RMS[0]));
    let effects = receive(RMS[0], say::paxos(&one, &RMS[2..], Prepare { ballot: Ballot::new(2, RMS[0]) }));
    let promises = effects.iter().find_map(|effect| match effect {
        Effect::Send { message: Message::About { what: What::Phase1b { promises, .. }, .. }, .. } => Some(promises),
        _ => None,
    });
    let promises = promises.unwrap();
    assert_eq!(promises.votes.iter().collect::<Vec<_>>(), [(2, Vote::Prepared)]);
    assert!(promises.higher.is_empty());
}
