//! An acceptor's durable ballots never go down, and never disagree with each other. *Paxos Made Simple*, section 2.2,
//! P1a; TLA+: `mbal` and `bal` only grow.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, instances_of, require};
use crate::{
    InstanceId, NodeId,
    commit::{Record, Vote},
    paxos::AcceptorRecord,
};

#[derive(Default)]
pub(super) struct PromiseMonotone {
    /// By the epoch of the transaction, too: in the next one, another transaction may have its name.
    written: BTreeMap<(NodeId, InstanceId, u64), AcceptorRecord<Vote>>,
}

impl Property for PromiseMonotone {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Durable { at, record: Record::Acceptor(record) } = observation else { return Ok(()) };
        for (instance, state) in instances_of(record) {
            let before = self.written.insert((*at, instance, record.transaction.epoch()), state);
            let accepted = |state: &AcceptorRecord<Vote>| state.accepted.map(|(ballot, _)| ballot);
            require("promise monotone", accepted(&state) <= state.promised, || {
                format!("{at} accepted above its promise in {instance}: {state:?}")
            })?;
            if let Some(before) = before {
                let grows = before.promised <= state.promised && accepted(&before) <= accepted(&state);
                let same_value = accepted(&before) != accepted(&state) || before.accepted == state.accepted;
                require("promise monotone", grows && same_value, || {
                    format!("{at} went back in {instance}: from {before:?} to {state:?}")
                })?;
            }
        }
        Ok(())
    }
}
