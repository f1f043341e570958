//! What a role waits for, and for how long.

use super::Timeouts;

/// What a role waits for before it acts by itself. The number counts the repetitions.
///
/// Roles do not know the time: the driver sends a role a time-out when it has waited long enough, and restarts the wait
/// when what the role waits for changes.
///
/// ```
/// # use synod::commit::{Timeouts, roles::Wait};
/// let timeouts = Timeouts::default();
/// assert_eq!(Wait::Repeat(0).duration(&timeouts, 0), timeouts.repeat);
/// assert_eq!(Wait::Repeat(2).duration(&timeouts, 0), 4 * timeouts.repeat);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Wait {
    /// An acceptor waits for the votes that would complete its bundle.
    Flush,
    /// A transaction manager waits for an outcome before it tries a ballot of its own.
    Recover(u32),
    /// A resource manager or an acceptor waits for news before it inquires.
    Inquire(u32),
    /// Any role waits for an acknowledgement before it repeats itself.
    Repeat(u32),
}

impl Wait {
    /// How often this wait was repeated.
    pub(crate) fn repetition(self) -> u32 {
        match self {
            Self::Flush => 0,
            Self::Recover(repetition) | Self::Inquire(repetition) | Self::Repeat(repetition) => repetition,
        }
    }

    /// A number that distinguishes this wait from others.
    pub(crate) fn salt(self) -> u64 {
        let kind = match self {
            Self::Flush => 0,
            Self::Recover(_) => 1,
            Self::Inquire(_) => 2,
            Self::Repeat(_) => 3,
        };
        u64::from(self.repetition()).saturating_mul(4).saturating_add(kind)
    }

    /// The duration: doubled for each repetition up to the ceiling, then stretched by up to half. `jitter`, which
    /// should be random, determines the stretch.
    pub fn duration(self, timeouts: &Timeouts, jitter: u64) -> u64 {
        let base = match self {
            Self::Flush => timeouts.flush,
            Self::Recover(_) => timeouts.recover,
            Self::Inquire(_) => timeouts.inquire,
            Self::Repeat(_) => timeouts.repeat,
        };
        let wait = match self.repetition() {
            // No base is above the ceiling.
            0 => base,
            repetition => {
                let factor = 1_u64.checked_shl(repetition).unwrap_or(u64::MAX);
                base.saturating_mul(factor).min(timeouts.ceiling)
            }
        };
        // The high half of a random number times `n` is evenly spread below `n`.
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
