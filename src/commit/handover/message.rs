//! What nodes tell each other about epochs.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::ops::Deref;

use super::{
    super::{Membership, Vote, record::TxRange},
    Fingerprint, Fingerprints,
};
use crate::{Ballot, NodeId};

/// What a message says about an epoch.
///
/// The decree of an epoch, its *handover*, is one more instance of Paxos among the acceptors of that epoch. Its phase 1
/// freezes them, and its value is an [`Ending`].
///
/// See [`Input::Change`](crate::commit::Input::Change).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum EpochMessage {
    /// Proposer to a member of the membership to come: are you there? No safety rests on it.
    Invite(Box<Membership>),
    /// The answer: yes, and the sender is durably in this epoch, so that it believes whoever tells it of the next one.
    Ready,
    /// Proposer to transaction manager: begin nothing new for a moment, so that hardly anything aborts. No safety rests on it.
    Hold,
    /// Proposer to acceptor: phase 1a.
    Prepare {
        /// The sender's own ballot.
        ballot: Ballot,
    },
    /// Acceptor to proposer: phase 1b. The sender is frozen, and reports what it holds, in pages.
    Promise {
        /// The promised ballot.
        ballot: Ballot,
        /// If the acceptor has accepted an ending: its ballot and its membership. The pages are then the rest of that ending.
        accepted: Option<(Ballot, Box<Membership>)>,
        /// A page of the report.
        page: Page,
    },
    /// Proposer to acceptor: phase 2a, in pages.
    Accept {
        /// The sender's own ballot.
        ballot: Ballot,
        /// The membership of the ending.
        membership: Box<Membership>,
        /// A page of the rest of the ending.
        page: Page,
    },
    /// Acceptor to proposer: phase 2b.
    Accepted {
        /// The ballot.
        ballot: Ballot,
    },
    /// Acceptor to proposer: a higher ballot is promised.
    Reject {
        /// The refused ballot.
        ballot: Ballot,
        /// The promised one.
        promised: Ballot,
    },
    /// Acceptor to anyone who asks something of it: it is frozen, so a handover is under way.
    Frozen {
        /// The ballot that it has promised.
        promised: Ballot,
    },
    /// To the sender of a page: the next one, please.
    More {
        /// The digest that the page had.
        digest: u64,
        /// The number of the next entry.
        next: u64,
    },
    /// The sender is in this epoch.
    Newer,
    /// The sender is in this epoch, or in none: tell me what you know of a later one.
    Wanted,
    /// The epoch of the sender, in pages, always whole: what was not finished before it, and what is retired.
    Told {
        /// The members.
        membership: Box<Membership>,
        /// Every id that was a member of an epoch before.
        former: Box<[NodeId]>,
        /// A page of the rest.
        page: Page,
    },
    /// The sender has durably noted this epoch.
    Noted,
    /// Transaction manager to proposer, after [`Hold`](Self::Hold): all that it has begun is decided. No safety rests on it.
    Drained,
}

/// A part of something that may be larger than a message should be. What it is part of does not change while it is sent: the
/// digest says which it is.
///
/// See [`EpochMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Page {
    /// The digest of all entries.
    pub digest: u64,
    /// How many entries there are in all.
    pub total: u64,
    /// The number of the first entry here.
    pub first: u64,
    /// The entries.
    pub entries: Box<[Entry]>,
}

/// An entry of a [`Page`].
///
/// See [`EpochMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Entry {
    /// A transaction in which the acceptor has accepted a vote to commit at the initial ballot of every instance.
    Ready(Fingerprint),
    /// Any other transaction in which the acceptor has accepted something.
    Part(Part),
    /// A transaction that is committed, and may not be finished everywhere.
    Committed(Fingerprint),
    /// Transactions that are retired.
    Retired(TxRange),
    /// A node that was met.
    Peer {
        /// The node.
        node: NodeId,
        /// Its birth.
        birth: u64,
    },
}

/// What an acceptor has accepted in one transaction.
///
/// See [`EpochMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Part {
    /// The transaction.
    pub transaction: Fingerprint,
    /// One for each participant, in their order: the highest accepted ballot and its vote, or nothing.
    pub instances: Box<[Option<(Ballot, Vote)>]>,
}

/// The value of a handover: the next membership, and how everything ends that the epoch has not finished. What is in neither
/// list is aborted.
///
/// See [`Record::Handover`](crate::commit::Record::Handover).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Ending {
    /// The members of the next epoch.
    pub membership: Membership,
    /// Transactions of this epoch that are committed.
    pub committed: Fingerprints,
    /// Transactions that are retired.
    pub retired: Ranges,
}

/// Any number of ranges, cheap to clone.
///
/// ```
/// # use synod::{NodeId, commit::{Ranges, TxRange}};
/// let ranges = Ranges::from(vec![TxRange::new(NodeId(1), 3, 5)?]);
/// assert_eq!(ranges.clone().len(), 1);
/// # Ok::<(), synod::commit::EmptyRange>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<TxRange>", into = "Vec<TxRange>"))]
pub struct Ranges(Arc<[TxRange]>);

impl Deref for Ranges {
    type Target = [TxRange];

    fn deref(&self) -> &[TxRange] {
        &self.0
    }
}

impl From<Vec<TxRange>> for Ranges {
    fn from(ranges: Vec<TxRange>) -> Self {
        Self(ranges.into())
    }
}

impl From<Ranges> for Vec<TxRange> {
    fn from(ranges: Ranges) -> Self {
        ranges.to_vec()
    }
}

impl FromIterator<TxRange> for Ranges {
    fn from_iter<I: IntoIterator<Item = TxRange>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}
