//! Numbers that nobody else has. Handlers may draw them; machines never do.

/// A number from the operating system's source of randomness.
#[cfg(feature = "std")]
#[allow(clippy::disallowed_types, reason = "this is for what must be random")]
#[allow(clippy::unnecessary_wraps, reason = "there is none without `std`")]
pub(super) fn number() -> Option<u64> {
    use std::hash::{BuildHasher, RandomState};

    // The keys of its hashes are random.
    Some(RandomState::new().hash_one(0))
}

/// There is no source of randomness.
#[cfg(not(feature = "std"))]
pub(super) fn number() -> Option<u64> {
    None
}
