//! What an acceptor still has of transactions of an epoch that is over. The record of the next epoch makes it void, so it is
//! erased little by little: all at once might be very much.

use super::{
    super::{Fingerprints, Key, Record, Sink, Time, clock::NEVER, open::Open},
    Node,
};

/// An entry of a page takes about 28 bytes, and a record that is gone a third of that.
const BYTES: usize = 8;

/// The transactions that only the acceptor here knows, and that are not erased yet.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Leavings {
    /// In order of name.
    all: Fingerprints,
    /// How many of them are erased.
    erased: usize,
    /// When to go on, on the node's own clock, if there are any.
    due: Time,
}

impl Leavings {
    pub(super) fn due(&self) -> Time {
        if self.all.is_empty() { NEVER } else { self.due }
    }
}

impl Node {
    /// Of how many transactions records are erased at once.
    pub(super) fn erased_at_once(&self) -> usize {
        (self.shared.config.cluster.limits().page / BYTES).max(1)
    }

    /// Erases these later on.
    pub(super) fn leave(&mut self, all: Fingerprints) {
        self.leavings = Leavings { all, erased: 0, due: self.next_leaving() };
        self.set_alarm();
    }

    /// As soon as other things have had their time.
    fn next_leaving(&self) -> Time {
        Time(self.shared.clock.now().0.saturating_add(self.shared.config.cluster.timeouts().flush))
    }

    /// Erases some more.
    pub(super) fn erase_some(&mut self, effects: &mut impl Sink) {
        let (erased, most) = (self.leavings.erased, self.erased_at_once());
        let all = self.leavings.all.clone();
        for tx in all.iter_from(erased).take(most).map(|transaction| transaction.tx) {
            let (_, Some(handle)) = self.look_up(tx) else { continue };
            // It may be another transaction of that name by now, or one that somebody has asked about since.
            let is_left = |open: &&mut Open| !open.is_of_epoch(&self.shared) && open.fence.is_none();
            let Some(open) = self.open.at_mut(handle).filter(is_left) else { continue };
            if open.rm.is_none() && open.tm.is_none() {
                self.drop_open(handle, effects);
            } else if let Some(acceptor) = open.acceptor.take()
                && acceptor.role.has_record()
            {
                self.persist(Record::Erased(Key::Acceptor(tx)), effects);
            }
        }
        let erased = erased.saturating_add(most);
        self.leavings = match erased < all.len() {
            true => Leavings { all, erased, due: self.next_leaving() },
            false => Leavings::default(),
        };
    }
}
