//! Numbers that are never used twice, whatever crashes.

use crate::Scope;

/// How many numbers one write reserves.
const BLOCK: u64 = 1024;

/// Hands out numbers, of which a block is reserved durably before its first number is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockAllocator {
    next: u64,
    /// Durable: the first number that is not reserved.
    reserved: u64,
    /// What an effect that shows a number to the world has to wait for.
    pub(crate) scope: Scope,
}

impl BlockAllocator {
    /// No number is used yet. The first one is 1.
    pub(crate) const UNUSED: Self = Self { next: 1, reserved: 1, scope: Scope::NOTHING };

    /// The allocator that reserved all numbers below `reserved`: any of them may have been used.
    pub(crate) fn restore(reserved: u64) -> Self {
        // No number is below the first one, whatever a record says.
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

    /// The number that [`take`](Self::take) would hand out. `None` when the numbers are used up.
    pub(crate) fn peek(self, least: u64) -> Option<u64> {
        let number = self.next.max(least);
        // The last number of all stays unused, so that there is always one above.
        (number < u64::MAX).then_some(number)
    }

    /// Hands out the next number that is at least `least`; see [`reserve`](Self::reserve).
    pub(crate) fn take(&mut self, least: u64, reserve: impl FnOnce(u64) -> Scope) -> Option<u64> {
        let number = self.peek(least)?;
        self.reserve(number, reserve)?;
        Some(number)
    }

    /// Sees to it that neither `number` nor a lower one is handed out from now on. `reserve` must write down the new end of
    /// the reservation, if that has to move, and return the scope of that record. `None`, and nothing changes, for the last
    /// number of all.
    pub(crate) fn reserve(&mut self, number: u64, reserve: impl FnOnce(u64) -> Scope) -> Option<()> {
        let next = number.checked_add(1)?;
        self.next = self.next.max(next);
        if number >= self.reserved {
            self.reserved = number.saturating_add(BLOCK);
            self.scope = reserve(self.reserved);
        }
        Some(())
    }
}
