//! Numbers that are never used twice, even after a crash.

use crate::Scope;

/// How many numbers one write reserves.
const BLOCK: u64 = 1024;

/// Hands out numbers. A block of them is durably reserved before the first is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct BlockAllocator {
    next: u64,
    /// Durable: the first number that is not reserved.
    reserved: u64,
    /// What an effect that reveals a number must wait for.
    pub(crate) scope: Scope,
}

impl BlockAllocator {
    /// No number is used yet; the first is 1.
    pub(crate) const UNUSED: Self = Self { next: 1, reserved: 1, scope: Scope::NOTHING };

    /// Restores an allocator that reserved all numbers below `reserved`. Any of them may have been used.
    pub(crate) fn restore(reserved: u64) -> Self {
        // Numbering starts at 1, whatever a record says.
        let reserved = reserved.max(Self::UNUSED.reserved);
        Self { next: reserved, reserved, scope: Scope::NOTHING }
    }

    /// The first number that is not reserved.
    pub(crate) fn reserved(self) -> u64 {
        self.reserved
    }

    /// Whether a number was ever reserved.
    pub(crate) fn is_used(self) -> bool {
        self.reserved > Self::UNUSED.reserved
    }

    /// The number that [`take`](Self::take) would hand out, if any is left.
    pub(crate) fn peek(self, least: u64) -> u64 {
        self.next.max(least)
    }

    /// Hands out the next number that is at least `least`; see [`reserve`](Self::reserve).
    pub(crate) fn take(&mut self, least: u64, reserve: impl FnOnce(u64) -> Scope) -> Option<u64> {
        let number = self.peek(least);
        self.reserve(number, reserve)?;
        Some(number)
    }

    /// Ensures that neither `number` nor a lower one is handed out from now on. If the reservation must grow, `reserve`
    /// must write its new end and return the scope of that record. Returns `None`, and changes nothing, for the largest
    /// number.
    pub(crate) fn reserve(&mut self, number: u64, reserve: impl FnOnce(u64) -> Scope) -> Option<()> {
        // The largest number stays unused, so that every number has a successor.
        let next = number.checked_add(1)?;
        self.next = self.next.max(next);
        if number >= self.reserved {
            self.reserved = number.saturating_add(BLOCK);
            self.scope = reserve(self.reserved);
        }
        Some(())
    }
}
