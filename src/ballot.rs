//! Ballots: the numbered attempts at choosing one value.

use core::fmt;

use crate::NodeId;

/// A ballot number, ordered by round, then by node.
///
/// No two nodes share a ballot. Round 0 is the *initial* ballot of an instance. It belongs to the instance's owner, who
/// may send phase 2a in it without phase 1, since no ballot is lower (Gray and Lamport 2006, section 4.1). Above round
/// 0, a ballot belongs to the proposer that it names.
///
/// ```
/// # use synod::{Ballot, NodeId};
/// let (one, two) = (NodeId(1), NodeId(2));
/// assert!(Ballot::initial(two) < Ballot::new(1, one) && Ballot::new(1, one) < Ballot::new(1, two));
/// assert_eq!(Ballot::new(1, two).next_above(one), Some(Ballot::new(2, one)));
/// assert_eq!(Ballot::new(2, one).to_string(), "2.n1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ballot {
    /// The round; compared first.
    pub round: u64,
    /// The node that this ballot belongs to.
    pub node: NodeId,
}

impl Ballot {
    /// The ballot of `round` that belongs to `node`.
    pub const fn new(round: u64, node: NodeId) -> Self {
        Self { round, node }
    }

    /// The initial ballot of an instance that `owner` owns.
    pub const fn initial(owner: NodeId) -> Self {
        Self::new(0, owner)
    }

    /// Whether this is an initial ballot.
    pub const fn is_initial(self) -> bool {
        self.round == 0
    }

    /// The ballot of `node` in the next round, or `None` when no round is left: rounds never wrap.
    pub fn next_above(self, node: NodeId) -> Option<Self> {
        Some(Self::new(self.round.checked_add(1)?, node))
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node)
    }
}
