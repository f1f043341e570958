//! Numbers that are never used twice, whatever crashes.

/// How many numbers one write reserves.
const BLOCK: u64 = 1024;

/// Numbers of which a block is reserved durably before the first one of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserve {
    next: u64,
    reserved: u64,
}

impl Reserve {
    /// None is used yet. The first one is 1.
    pub(crate) const UNUSED: Self = Self { next: 1, reserved: 1 };

    /// The first number that is not reserved yet.
    pub(crate) fn reserved(self) -> u64 {
        self.reserved
    }

    /// Whether any was ever reserved.
    pub(crate) fn is_used(self) -> bool {
        self != Self::UNUSED
    }

    /// The next number that is at least `least`, and the new end of the reservation if that has to move first.
    pub(crate) fn take(&mut self, least: u64) -> Option<(u64, Option<u64>)> {
        let number = self.next.max(least);
        // The last number of all stays unused, so that there is always one above.
        self.next = number.checked_add(1)?;
        if number < self.reserved {
            return Some((number, None));
        }
        self.reserved = number.saturating_add(BLOCK);
        Some((number, Some(self.reserved)))
    }
}

impl From<u64> for Reserve {
    /// All numbers below `reserved` may have been used.
    fn from(reserved: u64) -> Self {
        Self { next: reserved, reserved }
    }
}
