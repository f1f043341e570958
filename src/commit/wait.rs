//! What a role waits for, and for how long.

use super::Timeouts;

/// What a role of a transaction waits for before it takes the next step by itself. The number counts the repetitions.
///
/// Roles know no time: their driver gives a role a time-out when it has waited long enough, and starts over whenever what
/// the role waits for has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Wait {
    /// An acceptor, for the votes that would complete its bundle.
    Flush,
    /// A transaction manager, for an outcome, before it tries a ballot of its own.
    Recover(u32),
    /// A resource manager or an acceptor, for news, before it asks.
    Inquire(u32),
    /// Anyone, for an acknowledgement, before it says the same again.
    Repeat(u32),
}

impl Wait {
    /// How often this was waited for in vain.
    pub(crate) fn repetition(self) -> u32 {
        match self {
            Self::Flush => 0,
            Self::Recover(repetition) | Self::Inquire(repetition) | Self::Repeat(repetition) => repetition,
        }
    }

    /// A number that tells this wait from others.
    pub(crate) fn salt(self) -> u64 {
        let kind = match self {
            Self::Flush => 0,
            Self::Recover(_) => 1,
            Self::Inquire(_) => 2,
            Self::Repeat(_) => 3,
        };
        u64::from(self.repetition()) << 2 | kind
    }

    /// How long: doubled for each repetition up to the ceiling, then drawn out by up to a half, as `jitter`, which should
    /// be any number at random, says.
    pub fn duration(self, timeouts: &Timeouts, jitter: u64) -> u64 {
        let base = match self {
            Self::Flush => timeouts.flush,
            Self::Recover(_) => timeouts.recover,
            Self::Inquire(_) => timeouts.inquire,
            Self::Repeat(_) => timeouts.repeat,
        };
        let wait = match self.repetition() {
            // No wait is above the ceiling.
            0 => base,
            repetition => {
                let factor = 1_u64.checked_shl(repetition).unwrap_or(u64::MAX);
                base.saturating_mul(factor).min(timeouts.ceiling)
            }
        };
        // The high half of a product with a random number is below the other factor, and evenly spread.
        let stretch = (u128::from(jitter).wrapping_mul(u128::from(wait / 2).wrapping_add(1)) >> 64) as u64;
        wait.saturating_add(stretch)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
