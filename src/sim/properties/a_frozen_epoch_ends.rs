//! Nobody's death leaves a cluster frozen: when everything has come to its end, every node that is up is out of the epoch
//! whose handover it has taken part in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, require};
use crate::{NodeId, commit::Record};

#[derive(Default)]
pub(super) struct AFrozenEpochEnds {
    frozen: BTreeMap<NodeId, u64>,
    down: BTreeSet<NodeId>,
}

impl Property for AFrozenEpochEnds {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record: Record::Handover { epoch, .. } } => {
                self.frozen.insert(*at, *epoch);
            }
            Observation::Durable { at, record: Record::Epoch { number, .. } }
                if self.frozen.get(at).is_some_and(|frozen| frozen < number) =>
            {
                self.frozen.remove(at);
            }
            Observation::Stopped { at } => {
                self.down.insert(*at);
            }
            Observation::Started { at } => {
                self.down.remove(at);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Violation> {
        let left = self.frozen.iter().find(|(at, _)| !self.down.contains(at));
        require("a frozen epoch ends", left.is_none(), || format!("{left:?} is frozen for ever"))
    }
}
