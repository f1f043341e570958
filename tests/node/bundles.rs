//! Whatever comes to the acceptor of a transaction, from whomever: what it answers is what it has written.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
    test_runner::FileFailurePersistence,
};
use synod::{
    Ballot, Effect, Machine, NodeId, Refusal,
    commit::{Acceptor, AcceptorInput, AcceptorRecord, Cluster, Effect as Carried, Message, Part, Record, Vote},
    paxos::{self, Message::*},
};

use super::support::{RMS, cluster_of, say, transaction};

/// The first two resource managers are transaction managers too, so that initial ballots may come from those.
const MANAGERS: [NodeId; 2] = [RMS[0], RMS[1]];

fn shared() -> Cluster {
    cluster_of(&RMS, &MANAGERS)
}

fn vote() -> impl Strategy<Value = Vote> {
    select(vec![Vote::Prepared, Vote::Aborted])
}

/// Mostly a request at a ballot of `from`, an initial one now and then.
fn request(from: NodeId) -> impl Strategy<Value = paxos::Message<Vote>> {
    let node = prop_oneof![9 => Just(from), 1 => select(RMS.to_vec())];
    (select(vec![0, 0, 1, 3]), node, prop::option::of(vote())).prop_map(|(round, node, value)| {
        let ballot = Ballot::new(round, node);
        value.map_or(Prepare { ballot }, |value| Accept { ballot, value })
    })
}

fn bundle(from: NodeId) -> impl Strategy<Value = Message> {
    let parts = subsequence(RMS.to_vec(), 1..=RMS.len()).prop_flat_map(move |rms| {
        let parts = rms.into_iter().map(|rm| request(from).prop_map(move |message| Part { rm, message }));
        parts.collect::<Vec<_>>()
    });
    parts.prop_map(|parts| Message::Paxos { transaction: transaction(1), parts })
}

fn input() -> impl Strategy<Value = AcceptorInput> {
    let message = select(RMS.to_vec()).prop_flat_map(|from| {
        let voted = (vote(), select(MANAGERS.to_vec()));
        let message = prop_oneof![
            2 => bundle(from),
            1 => voted.prop_map(|(vote, manager)| say::vote(&transaction(1), vote, manager)),
        ];
        message.prop_map(move |message| AcceptorInput::Receive { from, message })
    });
    prop_oneof![9 => message, 1 => Just(AcceptorInput::Timeout)]
}

/// Whether `durable` bears an answer out.
fn is_true(durable: &AcceptorRecord, part: &Part) -> bool {
    let place = RMS.iter().position(|rm| *rm == part.rm).unwrap();
    let state = &durable.instances[place];
    match part.message {
        Promise { ballot, accepted } => (state.promised, state.accepted) == (Some(ballot), accepted),
        Accepted { ballot, value } => state.accepted == Some((ballot, value)),
        Reject { ballot, promised } => state.promised == Some(promised) && ballot < promised,
        Prepare { .. } | Accept { .. } => false,
    }
}

fn answers(effects: &[Carried]) -> impl Iterator<Item = &Part> {
    effects.iter().flat_map(|effect| match effect {
        Effect::Send { message: Message::Paxos { parts, .. }, .. } => parts.as_slice(),
        _ => &[],
    })
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
            let (before, mut effects) = (format!("{acceptor:?}"), Vec::new());
            let verdict = acceptor.step_into(input.clone(), &mut effects);
            for effect in &effects {
                if let Effect::Persist(Record::Acceptor(record)) = effect {
                    durable = record.clone();
                }
            }
            prop_assert_eq!(acceptor.record(), durable.clone(), "{:?}", input);
            for part in answers(&effects) {
                prop_assert!(is_true(&durable, part), "{:?} answers {:?}", part, input);
            }
            if let Err(refusal) = verdict {
                prop_assert_eq!(format!("{acceptor:?}"), before, "{:?} changes what refuses it", input);
                // A vote that comes too late needs no answer: its instance is in other hands.
                let is_bundle = matches!(&input, AcceptorInput::Receive { message: Message::Paxos { .. }, .. });
                let is_answered = is_bundle && refusal == Refusal::StaleBallot;
                let rejects = answers(&effects).all(|part| matches!(part.message, Reject { .. }));
                prop_assert!(rejects && effects.len() == usize::from(is_answered), "{:?}", effects);
            }
        }
    }
}

/// The answer to a ballot that is too low is no way around the rule that initial ballots come as votes.
#[test]
fn a_vote_of_an_initial_ballot_beside_a_stale_ballot_is_not_taken() {
    let mut acceptor = Acceptor::new(shared(), transaction(1));
    let [me, other, _] = RMS;
    let mut receive = |parts: &[Part]| {
        let message = Message::Paxos { transaction: transaction(1), parts: parts.to_vec() };
        let effects = acceptor.step(AcceptorInput::Receive { from: me, message });
        (effects, acceptor.record())
    };
    let prepare = |round| Part { rm: other, message: Prepare { ballot: Ballot::new(round, me) } };
    let vote = Part { rm: me, message: Accept { ballot: Ballot::initial(me), value: Vote::Prepared } };
    let (_, promised) = receive(&[prepare(5)]);
    let (effects, after) = receive(&[vote, prepare(1)]);
    let reject = Reject { ballot: Ballot::new(1, me), promised: Ballot::new(5, me) };
    let message = Message::Paxos { transaction: transaction(1), parts: vec![Part { rm: other, message: reject }] };
    assert_eq!((effects, after), (vec![Effect::Send { to: me, message }], promised));
}
