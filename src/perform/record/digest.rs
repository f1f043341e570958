//! What a step has led to, in 32 bits.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

use foldhash::fast::{FixedState, FoldHasher};

use crate::{
    NodeId, Refusal, Scope, Urgency,
    commit::{Decision, Message, Record},
};

/// The effects of a step, in order, with what they rest on.
#[derive(Clone)]
pub(in crate::perform) struct Digest {
    hasher: FoldHasher<'static>,
    effects: u64,
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").field("effects", &self.effects).finish_non_exhaustive()
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self { hasher: FixedState::with_seed(0).build_hasher(), effects: 0 }
    }
}

impl Digest {
    #[inline]
    pub(in crate::perform) fn persist(&mut self, record: &Record, urgency: Urgency) {
        self.add(0, record, u64::from(urgency == Urgency::Urgent));
    }

    #[inline]
    pub(in crate::perform) fn send(&mut self, to: NodeId, message: &Message, after: Scope) {
        self.add(1, &(to, message), after.0);
    }

    #[inline]
    pub(in crate::perform) fn decide(&mut self, decision: &Decision, after: Scope) {
        self.add(2, decision, after.0);
    }

    #[inline]
    fn add(&mut self, kind: u8, what: &impl Hash, after: u64) {
        self.effects += 1;
        self.hasher.write_u8(kind);
        self.hasher.write_u64(after);
        what.hash(&mut self.hasher);
    }

    /// How many effects there were, twice, and one more if the input was refused; and the digest.
    pub(super) fn finish(mut self, verdict: Result<(), Refusal>) -> (u64, u32) {
        if let Err(refusal) = verdict {
            refusal.hash(&mut self.hasher);
        }
        let digest = self.hasher.finish();
        (self.effects * 2 + u64::from(verdict.is_err()), (digest ^ digest >> 32) as u32)
    }

    /// The digest of something that is always the same. Where it is another, digests cannot be compared: the hash function, or
    /// the platform, is another one.
    pub(super) fn of_a_sample() -> u32 {
        let mut digest = Self::default();
        digest.persist(&Record::Rounds { reserved: 64 }, Urgency::RidesAlong);
        digest.finish(Err(Refusal::FromSelf)).1
    }
}
