//! Messages between the roles of one decree, and the inputs of those roles.

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
        /// The ballot to promise.
        ballot: Ballot,
    },
    /// Phase 1b, acceptor to proposer: promises the ballot, and reports what the sender has accepted.
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
    /// Phase 2b, acceptor to proposers and learners: the sender has accepted a value.
    Accepted {
        /// The ballot.
        ballot: Ballot,
        /// The one value of that ballot.
        value: V,
    },
    /// Acceptor to proposer: the ballot is too low. A hint: no safety rests on it.
    Reject {
        /// The refused ballot.
        ballot: Ballot,
        /// The higher ballot that the sender has promised.
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

    /// Whether this goes to an acceptor (phases 1a and 2a) rather than to a proposer or a learner.
    pub fn is_request(&self) -> bool {
        matches!(self, Self::Prepare { .. } | Self::Accept { .. })
    }
}

/// An input of a role of one decree. A role refuses inputs that are for others.
///
/// See [`Proposer`](super::Proposer) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Input<V> {
    /// To a proposer, from its caller: get this value chosen, or learn which other value was.
    Propose(V),
    /// To any role: a message has arrived.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// The message.
        message: Message<V>,
    },
    /// To a proposer, from its caller: the ballot has taken too long; try a higher one.
    Timeout,
}
