//! Whose turn it is to recover at a transaction manager.
//!
//! Were all transactions that wait too long recovered at once, none of them would end in time. So only some are, and each
//! holds its place for one attempt: until its outcome is known, or the attempt's time is over.

use alloc::collections::BTreeSet;

use super::Time;
use crate::TxId;

/// How many transactions are given their turn in one step.
pub(crate) const TURNS_PER_STEP: usize = 64;

/// The places, and who waits for one.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Turns {
    taken: usize,
    waiting: BTreeSet<Turn>,
}

/// A transaction that waits for a place. Next is the one with the fewest attempts, then the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Turn {
    attempts: u32,
    since: Time,
    tx: TxId,
}

/// A transaction's claim to a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Claim {
    #[default]
    None,
    Waits(Turn),
    Holds,
}

impl Turns {
    /// Gives `tx` a place, if one of `most` is free and nobody waits; otherwise it waits.
    pub(crate) fn claim(&mut self, tx: TxId, since: Time, attempts: u32, most: usize) -> Claim {
        if self.waiting.is_empty() && self.taken < most {
            self.taken = self.taken.saturating_add(1);
            return Claim::Holds;
        }
        let turn = Turn { attempts, since, tx };
        self.waiting.insert(turn);
        Claim::Waits(turn)
    }

    /// Gives up a claim.
    pub(crate) fn give_up(&mut self, claim: &mut Claim) {
        match core::mem::take(claim) {
            Claim::None => {}
            Claim::Waits(turn) => drop(self.waiting.remove(&turn)),
            Claim::Holds => self.taken = self.taken.saturating_sub(1),
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether anyone waits.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives a place to the next one that waits, if one of `most` is free.
    pub(crate) fn next(&mut self, most: usize) -> Option<TxId> {
        if self.taken >= most {
            return None;
        }
        let Turn { tx, .. } = self.waiting.pop_first()?;
        self.taken = self.taken.saturating_add(1);
        Some(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn tx(seq: u64) -> TxId {
        TxId { origin: NodeId(1), seq }
    }

    #[test]
    fn a_place_is_given_at_once_while_one_is_free_and_nobody_waits() {
        let mut turns = Turns::default();
        let mut claim = |seq, attempts| turns.claim(tx(seq), Time(0), attempts, 2);
        let [mut first, second] = [claim(1, 0), claim(2, 0)];
        assert_eq!([first, second], [Claim::Holds; 2]);
        assert!(matches!([claim(3, 1), claim(4, 0)], [Claim::Waits(_), Claim::Waits(_)]), "no place is free");
        assert_eq!(turns.next(2), None);
        turns.give_up(&mut first);
        assert!(matches!(turns.claim(tx(5), Time(1), 0, 2), Claim::Waits(_)), "others came before");
        assert_eq!((turns.next(2), turns.next(2), turns.waiting()), (Some(tx(4)), None, 2));
    }
}
