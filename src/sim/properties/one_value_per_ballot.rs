//! No two values are ever proposed or accepted in one ballot of an instance. *Paxos Made Simple*, section 2.2, P2;
//! TLA+: the guard of `Phase2a`.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, instances_of, paxos_of, require};
use crate::{
    Ballot, InstanceId,
    commit::{Record, Vote},
    paxos::Message,
};

#[derive(Default)]
pub(super) struct OneValuePerBallot {
    values: BTreeMap<(InstanceId, Ballot), Vote>,
}

impl OneValuePerBallot {
    fn value(&mut self, instance: InstanceId, ballot: Ballot, value: Vote) -> Result<(), Violation> {
        let known = *self.values.entry((instance, ballot)).or_insert(value);
        require("one value per ballot", known == value, || {
            format!("ballot {ballot} of {instance} has both {known:?} and {value:?}")
        })
    }
}

impl Property for OneValuePerBallot {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Sent { at, message, .. } => {
                paxos_of(*at, message).into_iter().try_for_each(|(instance, message)| match message {
                    Message::Accept { ballot, value }
                    | Message::Accepted { ballot, value }
                    | Message::Promise { accepted: Some((ballot, value)), .. } => self.value(instance, ballot, value),
                    _ => Ok(()),
                })
            }
            Observation::Durable { record: Record::Acceptor(record), .. } => instances_of(record)
                .filter_map(|(instance, state)| Some((instance, state.accepted?)))
                .try_for_each(|(instance, (ballot, value))| self.value(instance, ballot, value)),
            _ => Ok(()),
        }
    }
}
