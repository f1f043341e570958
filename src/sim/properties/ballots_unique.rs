//! A ballot above round 0 is started once, by the node that it names, and never again after a restart. *The Part-Time
//! Parliament*, section 2.2, B1.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, require};
use crate::{
    Ballot, NodeId, TxId,
    commit::{Effect, Message, What},
};

#[derive(Default)]
pub(super) struct BallotsUnique {
    /// In which life of its node a ballot was first seen outside.
    lives: BTreeMap<(TxId, Ballot), u64>,
    /// In which step a ballot was started, in the present lives.
    steps: BTreeMap<(TxId, Ballot), u64>,
    stops: BTreeMap<NodeId, u64>,
    step: u64,
}

const NAME: &str = "ballots unique";

/// The ballot that `message` starts.
fn started(message: &Message) -> Option<(TxId, Ballot)> {
    match message {
        Message::About { transaction, what: What::Phase1a { ballot, .. } } => Some((transaction.id(), *ballot)),
        _ => None,
    }
}

impl Property for BallotsUnique {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stopped { at } => {
                *self.stops.entry(*at).or_default() += 1;
                self.steps.retain(|(_, ballot), _| ballot.node != *at);
            }
            Observation::Stepped { effects, .. } => {
                self.step += 1;
                for effect in *effects {
                    let Effect::Send { message, .. } = effect else { continue };
                    if let Some((tx, ballot)) = started(message) {
                        let step = *self.steps.entry((tx, ballot)).or_insert(self.step);
                        require(NAME, step == self.step, || format!("ballot {ballot} of {tx} is started twice"))?;
                    }
                }
            }
            Observation::Sent { at, message, .. } => {
                if let Some((tx, ballot)) = started(message) {
                    require(NAME, ballot.node == *at && !ballot.is_initial(), || {
                        format!("{at} starts ballot {ballot} of {tx}, which is not its own")
                    })?;
                    let life = self.stops.get(at).copied().unwrap_or_default();
                    let first = *self.lives.entry((tx, ballot)).or_insert(life);
                    require(NAME, first == life, || format!("{at} starts ballot {ballot} of {tx} again"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
