//! Numbers that nobody else has. Handlers may draw them; machines never do.

/// A number from the operating system's source of randomness.
#[cfg(feature = "std")]
#[allow(clippy::disallowed_types, reason = "this is for what must be random")]
pub(super) fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    // The keys of its hashes are random.
    RandomState::new().hash_one(0)
}

/// The same, where there is such a source.
#[cfg(feature = "std")]
pub(super) fn birth() -> Option<u64> {
    Some(draw())
}

/// There is none.
#[cfg(not(feature = "std"))]
pub(super) fn birth() -> Option<u64> {
    None
}
