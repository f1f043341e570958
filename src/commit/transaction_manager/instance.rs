//! What a transaction manager knows of one resource manager, and of the instance that chooses its vote.

use alloc::boxed::Box;

use super::{Context, Outcome, Peers, Vote};
use crate::{
    NodeId,
    paxos::{Attempt, Lesson},
};

/// The instance of one resource manager.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Instance {
    pub(super) lesson: Lesson<Vote>,
    /// The ballot of its own that it last tried.
    pub(super) attempt: Option<Box<Attempt<Vote>>>,
    /// What the resource manager has said of its end: its word about itself, and about nobody else.
    pub(super) finished: Option<Finish>,
    /// Whether the resource manager's contact is charged with this transaction.
    pub(super) owes: bool,
    /// Whether phase 1 of a ballot of its own has reached a quorum of acceptors.
    pub(super) probed: bool,
    /// Whether any promise told of a vote of the resource manager.
    pub(super) voted: bool,
}

/// That a resource manager is done with the transaction, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Finish {
    /// It has carried out this outcome.
    CarriedOut(Outcome),
    /// To it, the transaction is retired.
    Retired,
}

impl Instance {
    /// Whether its resource manager was never met, and may never have voted.
    pub(super) fn may_be_ghost(&self, cx: &Context<'_>, rm: NodeId) -> bool {
        self.finished.is_none() && !self.voted && !self.probed && cx.is_stranger(rm)
    }

    /// Whether its resource manager was never met, and has not voted. It may not exist, and needs not be waited for: if it
    /// prepares all the same, it will inquire.
    pub(super) fn is_ghost(&self, cx: &Context<'_>, rm: NodeId) -> bool {
        self.probed && !self.voted && cx.is_stranger(rm)
    }

    /// Its resource manager owes the transaction nothing any more.
    pub(super) fn settle(&mut self, peers: &mut Peers, rm: NodeId) {
        if core::mem::take(&mut self.owes) {
            peers.contacts.settle(rm);
        }
    }
}

impl Finish {
    /// Whether the two name different outcomes.
    pub(super) fn contradicts(self, other: Self) -> bool {
        matches!((self, other), (Self::CarriedOut(one), Self::CarriedOut(other)) if one != other)
    }
}
