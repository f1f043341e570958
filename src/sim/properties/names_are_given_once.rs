//! A node gives a name of its own, and gives it once, even after a restart: two transactions of one name would be taken
//! for each other.

use std::collections::BTreeSet;

use super::{Observation, Property, Violation, require};
use crate::{TxId, commit::Decision};

#[derive(Default)]
pub(super) struct NamesAreGivenOnce {
    given: BTreeSet<TxId>,
}

impl Property for NamesAreGivenOnce {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Decided { at, decision: Decision::Begun(tx) } = observation else { return Ok(()) };
        require("names are given once", tx.origin == *at, || {
            format!("{at} gives the name {tx}, which is not its own")
        })?;
        require("names are given once", self.given.insert(*tx), || format!("{at} gives the name {tx} again"))
    }
}
