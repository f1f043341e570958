//! Any inputs into an acceptor of one decree: its invariants hold after each, and what it has written is all of it.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use synod::{
    Ballot, Effect, EffectOf, Machine, NodeId, Refusal,
    paxos::{Acceptor, AcceptorRecord, Input, Message},
};

/// Two values are enough to contradict each other.
type Value = bool;

#[derive(Arbitrary, Debug)]
struct Run {
    owner: Option<NodeId>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Step {
    input: Input<Value>,
    /// Whether a message comes from the node of its ballot, as it should.
    honest: bool,
}

impl Step {
    fn input(&self) -> Input<Value> {
        match self.input {
            Input::Receive { message, .. } if self.honest => Input::Receive { from: message.ballot().node, message },
            input => input,
        }
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let Ok(run) = Run::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let mut acceptor = Acceptor::new(run.owner);
    let mut durable = *acceptor.record();
    let mut values = BTreeMap::new();
    for step in &run.steps {
        let (before, input) = (acceptor.clone(), step.input());
        let mut effects = Vec::new();
        let verdict = acceptor.step_into(input, &mut effects);

        if let Some(Effect::Persist(record)) = effects.first() {
            durable = *record;
        }
        assert_eq!(acceptor.record(), &durable, "what it knows is what it wrote");
        assert_eq!(Acceptor::restore(durable).as_ref(), Ok(&acceptor), "a restored acceptor is the same one");
        assert_eq!(before.clone().step(input), effects, "the same state and input give the same effects");
        obeys_invariants(before.record(), acceptor.record(), &mut values);
        does_as_it_says(&before, verdict, &acceptor, &effects);
        answers_truly(&durable, &effects);
    }
}

fn obeys_invariants(
    before: &AcceptorRecord<Value>,
    after: &AcceptorRecord<Value>,
    values: &mut BTreeMap<Ballot, Value>,
) {
    let ballot = |record: &AcceptorRecord<Value>| record.accepted.map(|(ballot, _)| ballot);
    assert!(ballot(after) <= after.promised);
    assert!(before.promised <= after.promised && ballot(before) <= ballot(after));
    if let Some((ballot, value)) = after.accepted {
        assert_eq!(*values.entry(ballot).or_insert(value), value, "one value per ballot");
    }
}

fn does_as_it_says(
    before: &Acceptor<Value>,
    verdict: Result<(), Refusal>,
    after: &Acceptor<Value>,
    effects: &[EffectOf<Acceptor<Value>>],
) {
    match (verdict, effects) {
        (Ok(()), [Effect::Persist(_), Effect::Send { .. }]) => assert_ne!(before, after, "no write without a change"),
        (Ok(()), [Effect::Send { .. }]) => assert_eq!(before, after),
        (Err(Refusal::StaleBallot), [Effect::Send { message: Message::Reject { .. }, .. }]) => {
            assert_eq!(before, after);
        }
        (Err(refusal), []) if refusal != Refusal::StaleBallot => assert_eq!(before, after),
        (verdict, effects) => panic!("{verdict:?}, but {effects:?}"),
    }
}

fn answers_truly(durable: &AcceptorRecord<Value>, effects: &[EffectOf<Acceptor<Value>>]) {
    let Some(Effect::Send { to, message }) = effects.last() else { return };
    assert_eq!(message.ballot().node, *to);
    match *message {
        Message::Promise { ballot, accepted } => {
            assert_eq!((Some(ballot), accepted), (durable.promised, durable.accepted));
            assert!(accepted.is_none_or(|(accepted, _)| accepted < ballot));
        }
        Message::Accepted { ballot, value } => assert_eq!(Some((ballot, value)), durable.accepted),
        Message::Reject { ballot, promised } => {
            assert!(Some(promised) == durable.promised && ballot < promised);
        }
        Message::Prepare { .. } | Message::Accept { .. } => panic!("an acceptor asks for nothing: {message:?}"),
    }
}
