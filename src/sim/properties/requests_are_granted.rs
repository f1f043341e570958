//! A request of an acceptor that is not refused is granted. The fault of MyPaxos#19, where a valid `Accept` was refused.

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId,
    commit::{Effect, Input, Message, What},
};

pub(super) struct RequestsAreGranted;

fn is_granted(effect: &Effect, asker: NodeId) -> bool {
    match effect {
        Effect::Send { to, message: Message::About { what: What::Phase1b { .. } | What::Phase2b { .. }, .. } } => {
            *to == asker
        }
        _ => false,
    }
}

impl Property for RequestsAreGranted {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Stepped { at, input, effects, verdict: Ok(()) } = observation else { return Ok(()) };
        let Input::Receive { from, message: Message::About { what, .. } } = input else { return Ok(()) };
        if !matches!(what, What::Phase1a { .. } | What::Phase2a { .. }) {
            return Ok(());
        }
        let granted = effects.iter().any(|effect| is_granted(effect, *from));
        require("requests are granted", granted, || format!("{at} does not grant {input:?}, but {effects:?}"))
    }
}
