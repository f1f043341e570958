//! At every node, whatever committed in an epoch that is over there is known to be committed, or retired; and what aborted is
//! not known to be committed. So whoever comes late hears the truth, however many epochs later, and from whomever.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, outcome_of, require};
use crate::{
    NodeId, TxId,
    commit::{Fingerprints, Key, Outcome, Record, TxRange},
};

#[derive(Default)]
pub(super) struct NothingCommittedIsForgotten {
    /// Durable: by node.
    nodes: BTreeMap<NodeId, Known>,
    /// What anybody was told.
    told: BTreeMap<TxId, Outcome>,
    /// The epoch of each transaction, as acceptors and resource managers write it.
    epochs: BTreeMap<TxId, u64>,
    lied: BTreeSet<(NodeId, TxId)>,
}

#[derive(Default)]
struct Known {
    epoch: u64,
    committed: Fingerprints,
    retired: BTreeSet<TxRange>,
}

const NAME: &str = "nothing that committed is forgotten";

impl Known {
    fn agrees(&self, tx: TxId, outcome: Outcome) -> bool {
        let is_over = self.retired.iter().any(|range| range.contains(tx));
        let is_committed = self.committed.iter().any(|transaction| transaction.tx == tx);
        match outcome {
            Outcome::Committed => is_over || is_committed,
            Outcome::Aborted => is_over || !is_committed,
        }
    }
}

impl NothingCommittedIsForgotten {
    fn check(&self, at: NodeId) -> Result<(), Violation> {
        let Some(known) = self.nodes.get(&at) else { return Ok(()) };
        for (tx, outcome) in &self.told {
            let is_past = self.epochs.get(tx).is_some_and(|epoch| *epoch < known.epoch);
            // Whoever lies about its own end may be left out of it.
            let has_lied = self.lied.contains(&(at, *tx));
            require(NAME, has_lied || !is_past || known.agrees(*tx, *outcome), || {
                format!(
                    "{tx} is {outcome:?}, and {at}, in epoch {}, knows {:?} to be committed",
                    known.epoch, known.committed
                )
            })?;
        }
        Ok(())
    }
}

impl Property for NothingCommittedIsForgotten {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record } => match record {
                Record::Epoch { number, committed, .. } => {
                    let known = self.nodes.entry(*at).or_default();
                    (known.epoch, known.committed) = (*number, committed.clone());
                    self.check(*at)
                }
                Record::Retired(range) => {
                    let known = self.nodes.entry(*at).or_default();
                    known.retired.retain(|before| before.first() != range.first());
                    known.retired.insert(*range);
                    Ok(())
                }
                Record::Erased(Key::Retired(first)) => {
                    self.nodes.entry(*at).or_default().retired.retain(|range| range.first() != *first);
                    Ok(())
                }
                Record::Acceptor(record) => {
                    self.epochs.insert(record.transaction.id(), record.transaction.epoch());
                    Ok(())
                }
                Record::ResourceManager(record) => {
                    self.epochs.insert(record.transaction.id(), record.transaction.epoch());
                    Ok(())
                }
                _ => Ok(()),
            },
            Observation::Lied { at, tx } => {
                self.lied.insert((*at, *tx));
                Ok(())
            }
            Observation::Decided { decision, .. } => {
                let Some((tx, outcome)) = outcome_of(decision) else { return Ok(()) };
                if self.told.insert(tx, outcome).is_none() {
                    return self.nodes.keys().try_for_each(|at| self.check(*at));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
