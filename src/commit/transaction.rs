//! A transaction, its votes and its outcome.

use alloc::{sync::Arc, vec::Vec};
use core::{borrow::Borrow, cmp::Ordering};

use super::short::Short;
use crate::{NodeId, TxId};

/// How many participants are looked at one by one.
const FEW: usize = 8;

/// A distributed transaction: a name, those who take part, and bytes that mean something to them alone.
///
/// The participants are sorted and unique, and there is at least one. A clone shares its memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "TransactionSpec", into = "TransactionSpec"))]
pub struct Transaction(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    id: TxId,
    participants: Short<NodeId, 4>,
    meta: Short<u8, 22>,
}

/// A transaction in plain data, not yet checked. It becomes a [`Transaction`] by `try_into`, if its participants are
/// sorted already.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct TransactionSpec {
    /// Its name.
    pub id: TxId,
    /// The resource managers that take part.
    pub participants: Vec<NodeId>,
    /// The caller's own description of the work.
    pub meta: Vec<u8>,
}

/// Why a transaction is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TransactionError {
    /// Nobody takes part. (No votes at all must not commit.)
    #[error("a transaction needs at least one participant")]
    NoParticipants,
    /// A participant is named twice.
    #[error("participant {0} is named twice")]
    Repeated(NodeId),
    /// The participants of a [`TransactionSpec`] are not in ascending order.
    #[error("participant {0} is out of order")]
    Unsorted(NodeId),
}

/// A resource manager's vote: the value that its consensus instance chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Vote {
    /// It can commit, and will not abort on its own any more.
    Prepared,
    /// It cannot.
    Aborted,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Outcome {
    /// Every participant's instance chose [`Vote::Prepared`].
    Committed,
    /// Some participant's instance chose [`Vote::Aborted`].
    Aborted,
}

impl Outcome {
    /// The outcome that the chosen votes of all participants make, if they settle it: one to abort is enough, and all
    /// must be to commit. No votes at all settle nothing.
    pub fn of(votes: impl IntoIterator<Item = Option<Vote>>) -> Option<Self> {
        let mut commit = None;
        for vote in votes {
            match vote {
                Some(Vote::Aborted) => return Some(Self::Aborted),
                Some(Vote::Prepared) => commit = commit.or(Some(true)),
                None => commit = Some(false),
            }
        }
        commit.filter(|all| *all).map(|_| Self::Committed)
    }
}

impl Transaction {
    /// The transaction `id` among `participants`, in any order. `meta` goes with it everywhere, unread.
    pub fn new(
        id: TxId,
        participants: impl IntoIterator<Item = impl Borrow<NodeId>>,
        meta: impl Into<Vec<u8>>,
    ) -> Result<Self, TransactionError> {
        let mut participants: Short<NodeId, 4> = participants.into_iter().map(|node| *node.borrow()).collect();
        participants.sort_unstable();
        Self::of(Parts { id, participants, meta: meta.into().into() })
    }

    fn of(parts: Parts) -> Result<Self, TransactionError> {
        if parts.participants.is_empty() {
            return Err(TransactionError::NoParticipants);
        }
        for (left, right) in parts.participants.iter().zip(parts.participants.iter().skip(1)) {
            match left.cmp(right) {
                Ordering::Less => {}
                Ordering::Equal => return Err(TransactionError::Repeated(*right)),
                Ordering::Greater => return Err(TransactionError::Unsorted(*right)),
            }
        }
        Ok(Self(Arc::new(parts)))
    }

    /// Its name.
    pub fn id(&self) -> TxId {
        self.0.id
    }

    /// The resource managers that take part, in ascending order.
    pub fn participants(&self) -> &[NodeId] {
        &self.0.participants
    }

    /// The caller's own description of the work.
    pub fn meta(&self) -> &[u8] {
        &self.0.meta
    }

    /// Whether `node` takes part.
    pub fn has(&self, node: NodeId) -> bool {
        self.place(node).is_some()
    }

    /// The place of `node` among the participants.
    #[inline]
    pub(crate) fn place(&self, node: NodeId) -> Option<usize> {
        let participants = self.participants();
        // Of so few, looking at each is quicker.
        let first = participants.iter().take(FEW).position(|rm| *rm == node);
        first.or_else(|| participants.get(FEW..)?.binary_search(&node).ok()?.checked_add(FEW))
    }
}

impl TryFrom<TransactionSpec> for Transaction {
    type Error = TransactionError;

    fn try_from(spec: TransactionSpec) -> Result<Self, TransactionError> {
        let TransactionSpec { id, participants, meta } = spec;
        Self::of(Parts { id, participants: participants.into(), meta: meta.into() })
    }
}

impl From<Transaction> for TransactionSpec {
    fn from(transaction: Transaction) -> Self {
        Self { id: transaction.id(), participants: transaction.participants().into(), meta: transaction.meta().into() }
    }
}
