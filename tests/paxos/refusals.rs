//! In any state, reached by any inputs: a refused input changes nothing, and is answered with a rejection at most.

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Effect, Machine, Quorums, Refusal,
    paxos::{Acceptor, Input, Learner, Message, Proposer, ProposerConfig, ProposerRecord},
};

use super::*;

fn any_ballot() -> impl Strategy<Value = Ballot> {
    let round = prop_oneof![20 => 0..4u64, 1 => Just(u64::MAX - 1), 1 => Just(u64::MAX)];
    let node = prop::sample::select(vec![PROPOSERS[0], PROPOSERS[1], PROPOSERS[2], STRANGER]);
    (round, node).prop_map(|(round, node)| ballot(round, node))
}

fn any_message() -> impl Strategy<Value = Message<Value>> {
    let value = || 1..3u64;
    prop_oneof![
        any_ballot().prop_map(|ballot| Message::Prepare { ballot }),
        (any_ballot(), prop::option::of((any_ballot(), value())))
            .prop_map(|(ballot, accepted)| Message::Promise { ballot, accepted }),
        (any_ballot(), value()).prop_map(|(ballot, value)| Message::Accept { ballot, value }),
        (any_ballot(), value()).prop_map(|(ballot, value)| Message::Accepted { ballot, value }),
        (any_ballot(), any_ballot()).prop_map(|(ballot, promised)| Message::Reject { ballot, promised }),
    ]
}

/// Most requests come from the node of their ballot, and most answers from an acceptor.
fn any_input() -> impl Strategy<Value = Input<Value>> {
    let anyone = prop::sample::select(vec![A, B, C, PROPOSERS[0], PROPOSERS[1], STRANGER]);
    let acceptor = prop::sample::select(ACCEPTORS.to_vec());
    prop_oneof![
        2 => (1..3u64).prop_map(Input::Propose),
        2 => Just(Input::Timeout),
        4 => (anyone, any_message()).prop_map(|(from, message)| receive(from, message)),
        12 => (acceptor, any_message()).prop_map(|(acceptor, message)| {
            receive(if message.is_request() { message.ballot().node } else { acceptor }, message)
        }),
    ]
}

/// A new proposer, or one that has used nearly all rounds.
fn proposer(config: ProposerConfig, late: bool) -> Proposer<Value> {
    let round = if late { u64::MAX - 3 } else { 0 };
    Proposer::restore(config, ProposerRecord { round, initial: None }).unwrap()
}

/// The input, but if it is an answer, it is one to the ballot under way: others are not looked at any further.
fn to_the_point(input: Input<Value>, proposer: &Proposer<Value>, elsewhere: bool) -> Input<Value> {
    let (Input::Receive { from, message }, Some(ballot), false) = (input, proposer.ballot(), elsewhere) else {
        return input;
    };
    receive(
        from,
        match message {
            Message::Promise { accepted, .. } => Message::Promise { ballot, accepted },
            Message::Accepted { value, .. } => Message::Accepted { ballot, value },
            Message::Reject { promised, .. } => Message::Reject { ballot, promised },
            request => request,
        },
    )
}

/// Lets `machine` take `input`. If it refuses it, it is what it was, and no effect is left but what `is_answer` says.
fn refuses_without_a_trace<T>(
    machine: &mut T,
    input: T::Input,
    is_answer: impl Fn(Refusal, &[EffectOf<T>]) -> bool,
) -> Result<Option<Refusal>, TestCaseError>
where
    T: Machine<Input: Copy + core::fmt::Debug> + Clone + PartialEq + core::fmt::Debug,
    EffectOf<T>: core::fmt::Debug,
{
    let before = machine.clone();
    let (verdict, effects) = take(machine, input);
    let Err(refusal) = verdict else { return Ok(None) };
    prop_assert_eq!(&*machine, &before, "{:?} changes what refuses it: {:?}", input, refusal);
    prop_assert!(is_answer(refusal, &effects), "{:?} is refused, {:?}, and yet: {:?}", input, refusal, effects);
    Ok(Some(refusal))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        cases: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_an_acceptor_refuses_leaves_no_trace_but_a_rejection(
        inputs in prop::collection::vec(any_input(), 0..40),
        owner in prop::option::of(prop::sample::select(PROPOSERS.to_vec())),
    ) {
        let mut acceptor = Acceptor::new(owner);
        for input in inputs {
            let (promised, accepted) = (acceptor.promised(), acceptor.accepted().copied());
            refuses_without_a_trace(&mut acceptor, input, |refusal, effects| match (input, effects) {
                (Input::Receive { from, message }, [Effect::Send { to, message: Message::Reject { ballot, promised: by } }]) => {
                    refusal == Refusal::StaleBallot && *to == from && *ballot == message.ballot() && promised == Some(*by)
                }
                (_, effects) => refusal != Refusal::StaleBallot && effects.is_empty(),
            })?;
            prop_assert!(acceptor.promised() >= promised);
            prop_assert!(acceptor.accepted().map(|(at, _)| *at) >= accepted.map(|(at, _)| at));
        }
    }

    #[test]
    fn what_a_proposer_refuses_leaves_no_trace(
        inputs in prop::collection::vec((any_input(), prop::bool::weighted(0.2)), 0..40),
        owner in prop::option::of(prop::sample::select(PROPOSERS.to_vec())),
        eager in any::<bool>(),
        late in any::<bool>(),
    ) {
        let mut proposer = proposer(config(PROPOSERS[1]).with_owner(owner).with_eager(eager), late);
        for (input, elsewhere) in inputs {
            let input = to_the_point(input, &proposer, elsewhere);
            refuses_without_a_trace(&mut proposer, input, |_, effects| effects.is_empty())?;
        }
    }

    #[test]
    fn what_a_learner_refuses_leaves_no_trace(inputs in prop::collection::vec(any_input(), 0..40)) {
        let mut learner = Learner::new(Quorums::majority(ACCEPTORS).unwrap());
        for input in inputs {
            refuses_without_a_trace(&mut learner, input, |_, effects| effects.is_empty())?;
        }
    }
}

/// The inputs above would be of little worth if they met few of the rules.
#[test]
fn any_inputs_meet_every_refusal_of_a_decree() {
    use std::collections::BTreeSet;

    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let inputs = prop::collection::vec((any_input(), prop::bool::weighted(0.2)), 40);
    let mut met = BTreeSet::new();
    for case in 0..2000u64 {
        let owner = [None, Some(PROPOSERS[1])][case as usize % 2];
        let config = config(PROPOSERS[1]).with_owner(owner).with_eager(case % 3 == 0);
        let mut proposer = proposer(config, case % 5 == 0);
        let mut acceptor = Acceptor::new(owner);
        let mut learner = Learner::new(Quorums::majority(ACCEPTORS).unwrap());
        for (input, elsewhere) in inputs.new_tree(&mut runner).unwrap().current() {
            met.extend(take(&mut acceptor, input).0.err());
            met.extend(take(&mut learner, input).0.err());
            let input = to_the_point(input, &proposer, elsewhere);
            met.extend(take(&mut proposer, input).0.err());
        }
    }
    let all = [
        Refusal::NotForThisRole,
        Refusal::NotYourBallot,
        Refusal::StaleBallot,
        Refusal::SecondValue,
        Refusal::OtherBallot,
        Refusal::ImpossiblePromise,
        Refusal::IdleRejection,
        Refusal::NotAProposer,
        Refusal::FarBallot,
        Refusal::PhaseIsOver,
        Refusal::NotAnAcceptor,
        Refusal::NothingProposed,
        Refusal::AlreadyProposed,
        Refusal::AlreadyDecided,
        Refusal::RoundsUsedUp,
    ];
    assert_eq!(met, BTreeSet::from(all));
}
