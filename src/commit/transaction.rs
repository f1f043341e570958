//! A transaction, its votes and its outcome.

use alloc::{string::String, vec::Vec};
use core::{borrow::Borrow, cmp::Ordering};

use super::{Fingerprint, inline::InlineList, membership::Digest};
use crate::{NodeId, TxId};

/// A distributed transaction: its name, its participants, and a digest of its content.
///
/// The content, the caller's own bytes, is its [`Meta`]. It travels only where it is read, so most messages do without.
/// Two transactions with the same name and different content are different transactions.
///
/// ```
/// use synod::{NodeId, TxId, commit::{Meta, Transaction, TransactionSpec}};
///
/// let id = TxId { origin: NodeId(1), seq: 1 };
/// let transaction = Transaction::new(id, [NodeId(3), NodeId(2)], *b"move 10")?;
/// assert_eq!(transaction.participants(), [NodeId(2), NodeId(3)]);
/// assert!(transaction.is_about(&Meta::from(b"move 10")));
/// // As plain data, and back:
/// let spec = TransactionSpec::from(transaction.clone());
/// assert_eq!(Transaction::try_from(spec)?, transaction);
/// # Ok::<(), synod::commit::TransactionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "TransactionSpec", into = "TransactionSpec"))]
pub struct Transaction {
    id: TxId,
    content: u64,
    epoch: u64,
    participants: Participants,
}

/// The resource managers that take part in a transaction: at least one, sorted, without repeats.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<NodeId>", into = "Vec<NodeId>"))]
pub struct Participants(InlineList<NodeId, 3>);

/// What a transaction is about: the caller's own bytes, which this crate never interprets. Cheap to clone.
///
/// See [`Transaction`] for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<u8>", into = "Vec<u8>"))]
pub struct Meta(InlineList<u8, 22>);

/// A transaction as plain data, not yet validated; `try_into` makes it a [`Transaction`], if its participants are
/// sorted.
///
/// See [`Transaction`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct TransactionSpec {
    /// Its name.
    pub id: TxId,
    /// The epoch in which it was named.
    pub epoch: u64,
    /// The resource managers that take part.
    pub participants: Vec<NodeId>,
    /// The digest of its content: [`Meta::digest`].
    pub content: u64,
}

/// Why a [`TransactionSpec`] or a list of participants was rejected.
///
/// ```
/// # use synod::{NodeId, commit::{Participants, TransactionError}};
/// let twice = Participants::new([NodeId(1), NodeId(2), NodeId(1)]);
/// assert_eq!(twice, Err(TransactionError::Repeated(NodeId(1))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum TransactionError {
    /// There is no participant. (An empty set of votes must not commit.)
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
///
/// See [`Outcome`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Vote {
    /// It can commit, and will no longer abort on its own.
    Prepared,
    /// It cannot commit.
    Aborted,
}

/// How a transaction ended.
///
/// ```
/// # use synod::commit::{Outcome, Vote::{Aborted, Prepared}};
/// assert_eq!(Outcome::of([Some(Prepared), Some(Prepared)]), Some(Outcome::Committed));
/// assert_eq!(Outcome::of([Some(Prepared), None]), None);
/// assert_eq!(Outcome::of([Some(Aborted), None]), Some(Outcome::Aborted));
/// ```
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
    /// The outcome that the chosen votes of all participants determine, if any: one vote to abort is enough, a commit
    /// needs all of them. No votes at all determine nothing.
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
    /// The transaction `id` of epoch 0 about `meta`, among `participants` in any order.
    pub fn new(
        id: TxId,
        participants: impl IntoIterator<Item = impl Borrow<NodeId>>,
        meta: impl Into<Meta>,
    ) -> Result<Self, TransactionError> {
        Ok(Self::of(id, Participants::new(participants)?, &meta.into()))
    }

    /// The transaction `id` of epoch 0 about `meta`, among `participants`.
    pub fn of(id: TxId, participants: Participants, meta: &Meta) -> Self {
        Self { id, epoch: 0, content: meta.digest(), participants }
    }

    /// The same, named in another epoch: the one that whoever names it is in. It is another transaction then, but a name is
    /// used once, whatever the epoch.
    #[must_use]
    pub fn in_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// The transaction made of these parts.
    #[cfg(feature = "codec")]
    pub(crate) fn from_parts(id: TxId, epoch: u64, participants: Participants, content: u64) -> Self {
        Self { id, epoch, content, participants }
    }

    /// Its name.
    #[inline]
    pub fn id(&self) -> TxId {
        self.id
    }

    /// The epoch in which it was named: all its instances run among the acceptors of that one.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The digest of its content.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// Its name, with a digest of everything else that makes it this one.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Digest::default();
        digest.words([self.epoch, self.content]);
        digest.words(self.participants().iter().map(|node| node.0));
        Fingerprint { tx: self.id, digest: digest.0 }
    }

    /// Whether it is about `meta`, judged by the digest.
    pub fn is_about(&self, meta: &Meta) -> bool {
        self.content == meta.digest()
    }

    /// The resource managers that take part, in ascending order.
    #[inline]
    pub fn participants(&self) -> &[NodeId] {
        &self.participants.0
    }

    /// Whether `node` takes part.
    #[inline]
    pub fn has(&self, node: NodeId) -> bool {
        self.participants.place(node).is_some()
    }

    /// How many bytes it points to.
    #[inline]
    pub(crate) fn shared_bytes(&self) -> usize {
        self.participants.0.shared_bytes()
    }

    /// The place of `node` among the participants.
    #[inline]
    pub(crate) fn place(&self, node: NodeId) -> Option<usize> {
        self.participants.place(node)
    }
}

impl Participants {
    /// These nodes, in any order. Fails if there are none, or if one is named twice.
    pub fn new(nodes: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Result<Self, TransactionError> {
        let mut nodes: Vec<NodeId> = nodes.into_iter().map(|node| *node.borrow()).collect();
        nodes.sort_unstable();
        Self::sorted(nodes.as_slice().into())
    }

    /// These nodes, which must be in ascending order.
    #[cfg(feature = "codec")]
    pub(crate) fn from_sorted(nodes: &[NodeId]) -> Result<Self, TransactionError> {
        Self::sorted(nodes.into())
    }

    fn sorted(nodes: InlineList<NodeId, 3>) -> Result<Self, TransactionError> {
        if nodes.is_empty() {
            return Err(TransactionError::NoParticipants);
        }
        for (left, right) in nodes.iter().zip(nodes.iter().skip(1)) {
            match left.cmp(right) {
                Ordering::Less => {}
                Ordering::Equal => return Err(TransactionError::Repeated(*right)),
                Ordering::Greater => return Err(TransactionError::Unsorted(*right)),
            }
        }
        Ok(Self(nodes))
    }

    /// The nodes, in ascending order.
    pub fn nodes(&self) -> &[NodeId] {
        &self.0
    }

    #[inline]
    fn place(&self, node: NodeId) -> Option<usize> {
        match &self.0 {
            list @ InlineList::InPlace(..) => list.position_in_place(&node),
            InlineList::Shared(nodes) => nodes.binary_search(&node).ok(),
        }
    }
}

impl Meta {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it points to.
    #[inline]
    pub(crate) fn shared_bytes(&self) -> usize {
        self.0.shared_bytes()
    }

    /// The 64-bit FNV-1a digest of the bytes (Fowler, Noll and Vo).
    #[inline]
    pub fn digest(&self) -> u64 {
        self.0.iter().fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self(InlineList::from_iter([]))
    }
}

impl From<&[u8]> for Meta {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Meta {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<Vec<u8>> for Meta {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl From<String> for Meta {
    fn from(text: String) -> Self {
        Self(text.as_bytes().into())
    }
}

impl<const N: usize> From<[u8; N]> for Meta {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl<const N: usize> From<&[u8; N]> for Meta {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl From<Meta> for Vec<u8> {
    fn from(meta: Meta) -> Self {
        meta.bytes().into()
    }
}

impl AsRef<[u8]> for Meta {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl TryFrom<Vec<NodeId>> for Participants {
    type Error = TransactionError;

    fn try_from(nodes: Vec<NodeId>) -> Result<Self, TransactionError> {
        Self::sorted(nodes.as_slice().into())
    }
}

impl From<Participants> for Vec<NodeId> {
    fn from(participants: Participants) -> Self {
        participants.nodes().into()
    }
}

impl TryFrom<TransactionSpec> for Transaction {
    type Error = TransactionError;

    fn try_from(spec: TransactionSpec) -> Result<Self, TransactionError> {
        let TransactionSpec { id, epoch, participants, content } = spec;
        Ok(Self { id, epoch, content, participants: participants.try_into()? })
    }
}

impl From<Transaction> for TransactionSpec {
    fn from(transaction: Transaction) -> Self {
        let Transaction { id, epoch, content, participants } = transaction;
        Self { id, epoch, participants: participants.into(), content }
    }
}
