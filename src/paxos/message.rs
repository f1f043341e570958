//! What the roles of one decree say to each other, and what goes into them.

use crate::{Ballot, NodeId};

/// A message of the Synod protocol (Lamport, *The Part-Time Parliament*; *Paxos Made Simple*, section 2.2).
///
/// See [`Proposer`](super::Proposer) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Message<V> {
    /// Phase 1a, proposer to acceptor: asks for a promise to take no lower ballot.
    Prepare {
        /// The ballot to be promised.
        ballot: Ballot,
    },
    /// Phase 1b, acceptor to proposer: promises, and tells what it has accepted.
    Promise {
        /// The promised ballot.
        ballot: Ballot,
        /// The highest ballot that the sender has accepted, with its value.
        accepted: Option<(Ballot, V)>,
    },
    /// Phase 2a, proposer to acceptor: asks to accept a value.
    Accept {
        /// The ballot.
        ballot: Ballot,
        /// The one value of that ballot.
        value: V,
    },
    /// Phase 2b, acceptor to proposers and learners: has accepted a value.
    Accepted {
        /// The ballot.
        ballot: Ballot,
        /// The one value of that ballot.
        value: V,
    },
    /// Acceptor to proposer: a ballot came too late. A hint, on which no safety rests.
    Reject {
        /// The refused ballot.
        ballot: Ballot,
        /// The promised ballot that stands in its way.
        promised: Ballot,
    },
}

impl<V> Message<V> {
    /// The ballot that this message is about; for a `Reject`, the refused one.
    pub fn ballot(&self) -> Ballot {
        match *self {
            Self::Prepare { ballot }
            | Self::Promise { ballot, .. }
            | Self::Accept { ballot, .. }
            | Self::Accepted { ballot, .. }
            | Self::Reject { ballot, .. } => ballot,
        }
    }

    /// Whether this goes to an acceptor (phases 1a and 2a), and not to a proposer or learner.
    pub fn is_request(&self) -> bool {
        matches!(self, Self::Prepare { .. } | Self::Accept { .. })
    }
}

/// What goes into a role of one decree. A role refuses what is not for it.
///
/// See [`Proposer`](super::Proposer) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Input<V> {
    /// To a proposer, from its caller: get this value chosen, or learn which other one was.
    Propose(V),
    /// To any role: a message has come.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// What it says.
        message: Message<V>,
    },
    /// To a proposer, from its caller: it has taken long enough; try a higher ballot.
    Timeout,
}
