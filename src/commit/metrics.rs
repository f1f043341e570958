//! The counters of a node.

use crate::Refusal;

/// Counters since the node was created or restored, and gauges of its present state.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Metrics {
    /// Inputs handled, including refused ones. Ticks do not count: their number is up to the driver.
    pub steps: u64,
    /// Messages sent to other nodes.
    pub sends: u64,
    /// Records to write, including tombstones.
    pub writes: u64,
    /// Decisions handed to the caller.
    pub decisions: u64,
    /// Ballots above round 0 that this node started, to recover a transaction.
    pub recoveries: u64,
    /// Transactions that were retired while the transaction manager here still did not know their outcome.
    pub missed_outcomes: u64,
    /// Transactions that an operator ever settled here, before restarts too: see
    /// [`Input::Resolve`](crate::commit::Input::Resolve).
    pub resolved: u64,
    /// Open transactions (gauge).
    pub open: usize,
    /// Nodes that were met (gauge).
    pub met: usize,
    /// Transactions that wait for their turn to be recovered (gauge).
    pub waiting_to_recover: usize,
    /// Open transactions that the node is silent about, because an invariant broke (gauge).
    pub fenced: usize,
    /// Ranges of retired transactions (gauge).
    pub retired_ranges: usize,
    /// Ranges of retired transactions that other acceptors and transaction managers have not acknowledged, summed over
    /// those nodes (gauge).
    pub unacknowledged_ranges: usize,
    #[cfg_attr(feature = "serde", serde(with = "counts"))]
    refused: [u64; Refusal::ALL.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            steps: 0,
            sends: 0,
            writes: 0,
            decisions: 0,
            recoveries: 0,
            missed_outcomes: 0,
            resolved: 0,
            open: 0,
            met: 0,
            waiting_to_recover: 0,
            fenced: 0,
            retired_ranges: 0,
            unacknowledged_ranges: 0,
            refused: [0; Refusal::ALL.len()],
        }
    }
}

impl Metrics {
    /// How many inputs were refused for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get(refusal as usize).copied().unwrap_or(0)
    }

    /// Every reason for which inputs were refused, with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().map(|refusal| (*refusal, self.refused(*refusal))).filter(|(_, count)| *count > 0)
    }

    /// How many refused inputs show that a node broke the protocol or lost its storage.
    pub fn violations(&self) -> u64 {
        self.refusals().filter(|(refusal, _)| refusal.is_violation()).map(|(_, count)| count).sum()
    }

    #[inline]
    pub(crate) fn count_step(&mut self) {
        self.steps = self.steps.wrapping_add(1);
    }

    #[inline]
    pub(crate) fn count_send(&mut self) {
        self.sends = self.sends.wrapping_add(1);
    }

    #[inline]
    pub(crate) fn count_write(&mut self) {
        self.writes = self.writes.wrapping_add(1);
    }

    #[inline]
    pub(crate) fn count_decision(&mut self) {
        self.decisions = self.decisions.wrapping_add(1);
    }

    pub(crate) fn count_recovery(&mut self) {
        self.recoveries = self.recoveries.saturating_add(1);
    }

    pub(crate) fn count_missed_outcome(&mut self) {
        self.missed_outcomes = self.missed_outcomes.saturating_add(1);
    }

    pub(crate) fn count_resolved(&mut self) {
        self.resolved = self.resolved.saturating_add(1);
    }

    /// The number of effects: sends, writes and decisions.
    pub(crate) fn effects(&self) -> u64 {
        self.sends.saturating_add(self.writes).saturating_add(self.decisions)
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        if let Some(count) = self.refused.get_mut(refusal as usize) {
            *count = count.saturating_add(1);
        }
    }
}

/// Serializes the counts of refusals as pairs of a reason and a number.
#[cfg(feature = "serde")]
mod counts {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Refusal;

    type Counts = [u64; Refusal::ALL.len()];

    pub(super) fn serialize<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
        // Some formats want to know how many there are.
        let counted: Vec<_> = Refusal::ALL.iter().zip(counts).filter(|(_, count)| **count > 0).collect();
        serializer.collect_seq(counted)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Counts, D::Error> {
        let mut counts = [0; Refusal::ALL.len()];
        for (refusal, count) in Vec::<(Refusal, u64)>::deserialize(deserializer)? {
            if let Some(place) = counts.get_mut(refusal as usize) {
                *place = count;
            }
        }
        Ok(counts)
    }
}
