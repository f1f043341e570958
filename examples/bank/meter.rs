//! What the transfers cost, counted as the paper counts.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use synod::{
    Packet, TxId,
    commit::{Message, Record, What},
};

use crate::cast::Cast;

/// Counts of one node, or of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Counts", into = "Counts")]
pub(crate) struct Meter {
    costs: HashMap<TxId, Cost>,
    /// Transactions that a transaction manager tried a ballot above 0 for.
    recovered: HashSet<TxId>,
    /// Batches that were made durable.
    pub(crate) syncs: u64,
    /// Packets: all messages of one flush to one node.
    pub(crate) packets: u64,
}

/// What one transaction cost until all of its branches knew the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) messages: u64,
    pub(crate) writes: u64,
}

/// A meter as lists, to be sent.
#[derive(Serialize, Deserialize)]
struct Counts {
    costs: Vec<(TxId, Cost)>,
    recovered: Vec<TxId>,
    syncs: u64,
    packets: u64,
}

impl Meter {
    /// Counts the records of votes and of bundles, as the paper does.
    pub(crate) fn written(&mut self, records: &[Record]) {
        self.syncs += 1;
        for record in records {
            match record {
                Record::ResourceManager(record) if record.finished.is_none() => {
                    self.cost(record.transaction.id()).writes += 1;
                }
                Record::Acceptor(record) => self.cost(record.transaction.id()).writes += 1,
                _ => {}
            }
        }
    }

    /// Counts the messages up to the outcome; what finishes and retires comes after.
    pub(crate) fn sent(&mut self, packet: &Packet<Message>) {
        self.packets += 1;
        for message in &packet.messages {
            match message {
                Message::About { what: What::Finished(_), .. }
                | Message::Retired { .. }
                | Message::RetiredNoted { .. }
                | Message::Epoch { .. } => {}
                Message::About { transaction, what } => {
                    self.cost(transaction.id()).messages += 1;
                    if matches!(what, What::Phase1a { .. } | What::Phase2a { .. }) {
                        self.recovered.insert(transaction.id());
                    }
                }
            }
        }
    }

    /// Adds the counts of another meter, and clears it.
    pub(crate) fn take(&mut self, other: &mut Self) {
        let other = std::mem::take(other);
        self.syncs += other.syncs;
        self.packets += other.packets;
        self.recovered.extend(other.recovered);
        for (tx, cost) in other.costs {
            let total = self.cost(tx);
            total.messages += cost.messages;
            total.writes += cost.writes;
        }
    }

    /// Forgets what transactions cost, and keeps the rest.
    pub(crate) fn forget_costs(&mut self) {
        self.costs.clear();
    }

    pub(crate) fn of(&self, tx: TxId) -> Cost {
        self.costs.get(&tx).copied().unwrap_or_default()
    }

    /// How many transactions a transaction manager tried a ballot above 0 for.
    pub(crate) fn recovered(&self) -> usize {
        self.recovered.len()
    }

    fn cost(&mut self, tx: TxId) -> &mut Cost {
        self.costs.entry(tx).or_default()
    }
}

impl From<Meter> for Counts {
    fn from(Meter { costs, recovered, syncs, packets }: Meter) -> Self {
        Self { costs: costs.into_iter().collect(), recovered: recovered.into_iter().collect(), syncs, packets }
    }
}

impl From<Counts> for Meter {
    fn from(Counts { costs, recovered, syncs, packets }: Counts) -> Self {
        Self { costs: costs.into_iter().collect(), recovered: recovered.into_iter().collect(), syncs, packets }
    }
}

/// What a commit among `branches` costs in the paper's own layout (Gray and Lamport 2006, section 5).
pub(crate) fn paper(cast: &Cast, branches: u64, faster: bool) -> Cost {
    let (n, f) = (branches, cast.quorum() - 1);
    let messages = if faster { 2 * n * f + 3 * n - 1 } else { n * f + f + 3 * n - 1 };
    Cost { messages, writes: n + f + 1 }
}
