//! A node gives a name of its own, and gives it once, even after a restart: two transactions of one name would be taken
//! for each other.

use std::collections::BTreeSet;

use super::{Observation, Property, Violation, require};
use crate::{
    TxId,
    commit::{Decision, TxRange},
};

#[derive(Default)]
pub(super) struct NamesAreGivenOnce {
    given: BTreeSet<TxId>,
}

impl Property for NamesAreGivenOnce {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Decided { at, decision } = observation else { return Ok(()) };
        let range = match decision {
            Decision::Begun(tx) => TxRange::only(*tx),
            Decision::Named(given) => given.names,
            _ => return Ok(()),
        };
        let origin = range.origin();
        require("names are given once", origin == *at, || {
            format!("{at} gives a name of {origin}, which is not its own")
        })?;
        for seq in range.first().seq..=range.last().seq {
            let tx = TxId { origin, seq };
            require("names are given once", self.given.insert(tx), || format!("{at} gives the name {tx} again"))?;
        }
        Ok(())
    }
}
