//! No two nodes ever decide differently about a transaction. Gray and Lamport 2006, section 2: *Stability* and
//! *Consistency*; TLA+: `TCConsistent`.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, outcome_of, require};
use crate::{TxId, commit::Outcome};

#[derive(Default)]
pub(super) struct Agreement {
    decided: BTreeMap<TxId, Outcome>,
}

impl Property for Agreement {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Decided { at, decision } = observation else { return Ok(()) };
        let Some((tx, outcome)) = outcome_of(decision) else { return Ok(()) };
        let known = *self.decided.entry(tx).or_insert(outcome);
        require("agreement", known == outcome, || format!("{tx} is {known:?}, but {outcome:?} at {at}"))
    }
}
