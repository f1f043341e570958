//! What a role waits for, and for how long.

use super::Timeouts;

/// What a role of a transaction waits for before it takes the next step by itself. The number counts the repetitions.
///
/// Roles know no time: whoever drives one gives it a timeout when it has waited long enough, and starts over whenever
/// what it waits for has changed.
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
    /// How long: doubled for each repetition up to the ceiling, then drawn out by up to a half, as `jitter` says.
    pub fn duration(self, timeouts: &Timeouts, jitter: u64) -> u64 {
        let (base, repetition) = match self {
            Self::Flush => (timeouts.flush, 0),
            Self::Recover(repetition) => (timeouts.recover, repetition),
            Self::Inquire(repetition) => (timeouts.inquire, repetition),
            Self::Repeat(repetition) => (timeouts.repeat, repetition),
        };
        let factor = 1u64.checked_shl(repetition).unwrap_or(u64::MAX);
        let wait = base.saturating_mul(factor).min(timeouts.ceiling);
        let stretch = jitter.checked_rem((wait / 2).saturating_add(1)).unwrap_or(0);
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
