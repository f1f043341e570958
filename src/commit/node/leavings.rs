//! What is left of an epoch that is over: transactions in which the resource here has no part. The record of the next epoch has
//! ended them, so what an acceptor has of them is erased, and participants are told, little by little: all at once might be very
//! much.

use alloc::vec::Vec;

use super::{
    super::{Fingerprints, Sink, Time, clock::NEVER},
    Node,
};
use crate::TxId;

/// An entry of a page takes about 28 bytes, and a record that is gone a third of that.
const BYTES: usize = 8;

/// The transactions that are not ended yet.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Leavings {
    /// In order of name.
    all: Fingerprints,
    /// How many of them are ended.
    ended: usize,
    /// When to go on, on the node's own clock, if there are any.
    due: Time,
}

impl Leavings {
    pub(super) fn due(&self) -> Time {
        if self.all.is_empty() { NEVER } else { self.due }
    }
}

impl Node {
    /// How many are ended at once.
    pub(super) fn ended_at_once(&self) -> usize {
        (self.shared.config.cluster.limits().page / BYTES).max(1)
    }

    /// Ends these later on.
    pub(super) fn leave(&mut self, all: Fingerprints) {
        self.leavings = Leavings { all, ended: 0, due: self.next_leaving() };
        self.set_alarm();
    }

    /// As soon as other things have had their time.
    fn next_leaving(&self) -> Time {
        Time(self.shared.clock.now().0.saturating_add(self.shared.config.cluster.timeouts().flush))
    }

    /// Ends some more. Another transaction of such a name may be open by now, or none.
    pub(super) fn end_some(&mut self, effects: &mut Sink<'_>) {
        let Leavings { all, ended, .. } = core::mem::take(&mut self.leavings);
        let most = self.ended_at_once();
        let some: Vec<TxId> = all.iter_from(ended).take(most).map(|transaction| transaction.tx).collect();
        self.hand_over_these(some.iter().copied(), effects);
        let ended = ended.saturating_add(most);
        if ended < all.len() {
            self.leavings = Leavings { all, ended, due: self.next_leaving() };
        }
    }
}
