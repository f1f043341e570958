//! Nothing is accepted that was not voted or proposed: a resource manager's instance holds `Prepared` only if its own
//! resource voted so. Gray and Lamport 2006, section 2: *Non-Triviality*; *Paxos Made Simple*, section 2.1.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, paxos_of, require, votes};
use crate::{
    InstanceId,
    commit::{Input, Vote},
    paxos::Message,
};

#[derive(Default)]
pub(super) struct Validity {
    prepared: BTreeSet<InstanceId>,
    proposed: BTreeMap<InstanceId, BTreeSet<Vote>>,
}

impl Property for Validity {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stepped { at, input: Input::Vote { transaction, vote: Vote::Prepared }, effects, .. }
                if votes(effects) =>
            {
                self.prepared.insert(InstanceId { tx: transaction.id(), rm: *at });
                Ok(())
            }
            Observation::Voted { at, tx } => {
                self.prepared.insert(InstanceId { tx: *tx, rm: *at });
                Ok(())
            }
            Observation::Sent { at, message, .. } => {
                paxos_of(*at, message).into_iter().try_for_each(|(instance, message)| match message {
                    Message::Accept { value, .. } => {
                        self.proposed.entry(instance).or_default().insert(value);
                        require("validity", value == Vote::Aborted || self.prepared.contains(&instance), || {
                            format!("{at} proposes Prepared for {instance}, whose resource has not voted so")
                        })
                    }
                    Message::Accepted { value, .. } => {
                        // An acceptor beside its proposer is told without a message that could be seen.
                        let proposed = self.proposed.get(&instance).is_some_and(|values| values.contains(&value));
                        let local = value == Vote::Aborted || self.prepared.contains(&instance);
                        require("validity", proposed || local, || {
                            format!("{at} accepted {value:?} for {instance}, which nobody proposed")
                        })
                    }
                    _ => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }
}
