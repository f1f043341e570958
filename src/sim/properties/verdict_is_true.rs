//! A step that refuses its input changes nothing and sends no more than an answer, and a request that it does not
//! refuse is granted. The fault of MyPaxos#19, where a valid `Accept` was refused.

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId, Refusal,
    commit::{Effect, Input, Message, Record},
    paxos,
};

pub(super) struct VerdictIsTrue;

const NAME: &str = "verdict is true";

/// What a step may do although it refused its input: it writes what it owes its disk since before, and it answers.
fn is_allowed(effect: &Effect, input: &Input, refusal: Refusal) -> bool {
    match (effect, input, refusal) {
        (Effect::Persist(Record::Sequence { .. } | Record::Retired(_) | Record::Erased(_)), ..) => true,
        (Effect::Send { to, message }, Input::Receive { from, .. }, refusal) if to == from => match refusal {
            Refusal::StaleBallot => matches!(message, Message::Paxos { .. }),
            Refusal::Retired => matches!(message, Message::Retired { .. }),
            _ => false,
        },
        _ => false,
    }
}

fn is_granted(effect: &Effect, asker: NodeId) -> bool {
    let granted = |message: &paxos::Message<_>| {
        matches!(message, paxos::Message::Promise { .. } | paxos::Message::Accepted { .. })
    };
    match effect {
        Effect::Send { to, message: Message::Paxos { parts, .. } } => {
            *to == asker && parts.iter().any(|part| granted(&part.message))
        }
        _ => false,
    }
}

impl Property for VerdictIsTrue {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Stepped { at, input, effects, verdict, changed } = observation else { return Ok(()) };
        match (verdict, input) {
            (Err(refusal), _) => {
                require(NAME, !changed, || format!("{at} refuses {input:?}: {refusal}. And yet it changes"))?;
                let wrong = effects.iter().find(|effect| !is_allowed(effect, input, *refusal));
                require(NAME, wrong.is_none(), || format!("{at} refuses {input:?}: {refusal}. And yet: {wrong:?}"))
            }
            (Ok(()), Input::Receive { from, message: Message::Paxos { parts, .. } })
                if parts.iter().all(|part| part.message.is_request()) =>
            {
                let granted = effects.iter().any(|effect| is_granted(effect, *from));
                require(NAME, granted, || format!("{at} does not grant {input:?}, but {effects:?}"))
            }
            _ => Ok(()),
        }
    }
}
