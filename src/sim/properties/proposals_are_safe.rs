//! Above round 0 a value is proposed only after a phase-1 quorum promised the ballot, and it is the one that was
//! accepted in the highest ballot among that quorum; where nobody accepted any, it is `Aborted`. *Paxos Made Simple*,
//! section 2.2, P2c; TLA+: `Phase2a`.

use std::collections::BTreeMap;

use super::{Acceptors, Observation, Property, Violation, instances_of, paxos_of, require};
use crate::{
    Ballot, InstanceId, NodeId, Phase, TxId,
    commit::{Cluster, Record, Vote},
    paxos::Message,
};

pub(super) struct ProposalsAreSafe {
    acceptors: Acceptors,
    epochs: BTreeMap<TxId, u64>,
    promises: BTreeMap<(InstanceId, Ballot), Promises>,
}

/// What each acceptor had accepted when it promised a ballot, as its disk tells: an acceptor beside its proposer
/// promises without a message that could be seen.
type Promises = BTreeMap<NodeId, Option<(Ballot, Vote)>>;

impl ProposalsAreSafe {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self { acceptors: Acceptors::new(cluster), epochs: BTreeMap::new(), promises: BTreeMap::new() }
    }

    fn proposed(&self, instance: InstanceId, ballot: Ballot, value: Vote) -> Result<(), Violation> {
        if ballot.is_initial() {
            return Ok(());
        }
        let promises = self.promises.get(&(instance, ballot));
        require("proposals are safe", promises.is_some_and(|promises| self.is_safe(instance, promises, value)), || {
            format!("{value:?} is proposed in ballot {ballot} of {instance}, which was promised by {promises:?}")
        })
    }

    /// Whether some quorum of these promises calls for `value`: of those that tell of no higher acceptance than one of
    /// them does.
    fn is_safe(&self, instance: InstanceId, promises: &Promises, value: Vote) -> bool {
        let Some(acceptors) = self.acceptors.of(self.epochs.get(&instance.tx).copied().unwrap_or_default()) else {
            return false;
        };
        let ballot = |accepted: Option<(Ballot, Vote)>| accepted.map(|(ballot, _)| ballot);
        promises.values().filter(|highest| highest.map_or(Vote::Aborted, |(_, value)| value) == value).any(|highest| {
            let told = promises.iter().filter(|(_, accepted)| ballot(**accepted) <= ballot(*highest));
            acceptors.is_quorum(Phase::Prepare, acceptors.members(told.map(|(node, _)| *node)))
        })
    }
}

impl Property for ProposalsAreSafe {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Observation::Durable { record, .. } = observation {
            self.acceptors.note(record);
        }
        match observation {
            Observation::Durable { at, record: Record::Acceptor(record) } => {
                self.epochs.insert(record.transaction.id(), record.transaction.epoch());
                for (instance, state) in instances_of(record) {
                    match (state.promised, state.accepted) {
                        (_, Some((ballot, value))) if Some(ballot) >= state.promised => {
                            self.proposed(instance, ballot, value)?;
                        }
                        (Some(promised), accepted) => {
                            self.promises.entry((instance, promised)).or_default().entry(*at).or_insert(accepted);
                        }
                        (None, _) => {}
                    }
                }
                Ok(())
            }
            Observation::Sent { at, message, .. } => {
                paxos_of(*at, message).into_iter().try_for_each(|(instance, message)| match message {
                    Message::Accept { ballot, value } => self.proposed(instance, ballot, value),
                    _ => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }
}
