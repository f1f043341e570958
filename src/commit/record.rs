//! What a node makes durable.

use alloc::boxed::Box;

use super::{ClusterId, Ending, Fingerprints, Membership, Meta, Outcome, OutcomeBlock, Transaction, Vote, Votes};
use crate::{Ballot, NodeId, TxId, paxos};

/// A durable record. Records are complete, never deltas: the last record of a [`Key`] is the truth, so that a key-value
/// store and an append-only log serve equally.
///
/// ```
/// use std::collections::BTreeMap;
/// use synod::{NodeId, TxId, commit::{Key, Record, TxRange}};
///
/// let tx = TxId { origin: NodeId(1), seq: 1 };
/// let log = [
///     Record::Sequence { reserved: 64 },
///     Record::Retired(TxRange::only(tx)),
///     Record::Sequence { reserved: 128 },
///     Record::Erased(Key::Retired(tx)),
/// ];
/// let mut store = BTreeMap::new();
/// for record in log {
///     if record.is_tombstone() {
///         store.remove(&record.key());
///     } else {
///         store.insert(record.key(), record);
///     }
/// }
/// assert_eq!(Vec::from_iter(store.into_values()), [Record::Sequence { reserved: 128 }]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Record {
    /// Whose storage this is. Every node writes it first, and cannot be restored without it.
    Identity {
        /// The cluster that the node belongs to.
        cluster: ClusterId,
        /// The node.
        node: NodeId,
    },
    /// Transaction numbers below this one may have been handed out.
    Sequence {
        /// The first number that is not reserved.
        reserved: u64,
    },
    /// This node may have used rounds below this one in ballots of its own.
    Rounds {
        /// The first round that is not reserved.
        reserved: u64,
    },
    /// All that an acceptor knows of one transaction.
    Acceptor(AcceptorRecord),
    /// Everything that a resource manager must remember of one transaction.
    ResourceManager(ResourceManagerRecord),
    /// These transactions are over. All other records of them are void.
    Retired(TxRange),
    /// The record of this key is deleted.
    Erased(Key),
    /// The random number that this node was given when it was created.
    Birth(u64),
    /// This node has met another.
    Peer {
        /// The other node.
        node: NodeId,
        /// Its birth.
        birth: u64,
    },
    /// A block of a transaction manager's history: how transactions ended.
    History {
        /// How they ended.
        outcomes: OutcomeBlock,
        /// Blocks that were opened later have higher ages; the lowest leaves first.
        age: u64,
    },
    /// Everything that a resource manager must remember of a transaction that an operator settled there. It takes the
    /// place of [`ResourceManager`](Self::ResourceManager).
    Resolved {
        /// What it had voted, and whether the outcome is carried out.
        record: ResourceManagerRecord,
        /// The operator's outcome.
        outcome: Outcome,
    },
    /// How many transactions an operator has settled at this node, ever.
    Resolutions {
        /// How many.
        count: u64,
    },
    /// The epoch that this node is in. A node without it is a newcomer, and takes part in nothing.
    Epoch {
        /// The number of the epoch.
        number: u64,
        /// Its members.
        membership: Box<Membership>,
        /// Every id that was a member of an epoch before, in ascending order.
        former: Box<[NodeId]>,
        /// Transactions of the epochs before that are committed, and were not retired when this was written.
        committed: Fingerprints,
    },
    /// All that this acceptor knows of the handover of its epoch. It is frozen as soon as this is there.
    Handover {
        /// The epoch that ends.
        epoch: u64,
        /// What it has promised and accepted.
        state: Box<paxos::AcceptorRecord<Ending>>,
    },
}

/// All that an acceptor knows of one transaction.
///
/// An instance that is in neither list is at its initial ballot, and has accepted no vote.
///
/// ```
/// # use synod::{Ballot, NodeId, TxId, paxos, commit::{AcceptorRecord, HigherInstance, Transaction, Vote, Votes}};
/// let rms = [NodeId(2), NodeId(3)];
/// let transaction = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, rms, *b"from 2 to 3")?;
/// let before = AcceptorRecord { transaction, votes: Votes::default(), higher: [].into() };
/// // Node 2 has voted, and a recovery has begun in the instance of node 3:
/// let promise = paxos::AcceptorRecord { promised: Some(Ballot::new(1, NodeId(1))), accepted: None };
/// let after = AcceptorRecord {
///     votes: [(0, Vote::Prepared)].into_iter().collect(),
///     higher: [HigherInstance { rm: rms[1], state: promise }].into(),
///     ..before.clone()
/// };
/// assert_eq!(after.instance(1), Some(promise));
/// assert!(after.may_follow(&before) && !before.may_follow(&after));
/// # Ok::<(), synod::commit::TransactionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AcceptorRecord {
    /// The transaction.
    pub transaction: Transaction,
    /// The votes accepted at initial ballots, in instances that have promised no higher ballot.
    pub votes: Votes,
    /// The instances that have promised a higher ballot, in ascending order of resource managers.
    pub higher: Box<[HigherInstance]>,
}

/// The state of one instance that has promised a ballot above the initial one.
///
/// See [`AcceptorRecord`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct HigherInstance {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// What the acceptor has promised and accepted.
    pub state: paxos::AcceptorRecord<Vote>,
}

/// Everything that a resource manager must remember of one transaction.
///
/// ```
/// # use synod::{NodeId, TxId, commit::{Meta, Outcome, ResourceManagerRecord, Transaction, Vote}};
/// let transaction = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [NodeId(2), NodeId(3)], *b"from 2 to 3")?;
/// let meta = Some(Meta::from(b"from 2 to 3"));
/// let voted = ResourceManagerRecord { transaction, meta, vote: Some(Vote::Prepared), finished: None };
/// let finished = ResourceManagerRecord { finished: Some(Outcome::Committed), ..voted.clone() };
/// assert!(finished.may_follow(&voted) && !voted.may_follow(&finished));
/// # Ok::<(), synod::commit::TransactionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ResourceManagerRecord {
    /// The transaction.
    pub transaction: Transaction,
    /// What the transaction is about; `None` only if the resource manager aborted before it was told.
    pub meta: Option<Meta>,
    /// Its vote; `None` if it learned of the abort before it voted.
    pub vote: Option<Vote>,
    /// The outcome, once it is carried out.
    pub finished: Option<Outcome>,
}

impl AcceptorRecord {
    /// The state of the instance of the participant at `place`.
    pub fn instance(&self, place: usize) -> Option<paxos::AcceptorRecord<Vote>> {
        let rm = *self.transaction.participants().get(place)?;
        if let Ok(at) = self.higher.binary_search_by_key(&rm, |higher| higher.rm) {
            return self.higher.get(at).map(|higher| higher.state);
        }
        let initial = Ballot::initial(rm);
        Some(paxos::AcceptorRecord {
            promised: Some(initial),
            accepted: self.votes.get(place).map(|vote| (initial, vote)),
        })
    }

    /// Whether it holds no promise and no acceptance.
    pub(crate) fn is_blank(&self) -> bool {
        self.votes.is_empty() && self.higher.is_empty()
    }

    /// Whether an acceptor whose record was `before` may write this one: in every instance, the promised and the
    /// accepted ballot only grow, and no ballot has two values.
    pub fn may_follow(&self, before: &Self) -> bool {
        let places = 0..self.transaction.participants().len();
        self.transaction == before.transaction
            && places.into_iter().all(|place| match (before.instance(place), self.instance(place)) {
                (Some(before), Some(now)) => now.may_follow(&before),
                _ => false,
            })
    }
}

impl ResourceManagerRecord {
    /// Whether a resource manager whose record was `before` may write this one: its vote and its outcome never change,
    /// and no vote follows an abort.
    pub fn may_follow(&self, before: &Self) -> bool {
        self.transaction == before.transaction
            && self.vote == before.vote
            && (before.finished.is_none() || self.finished == before.finished)
    }
}

/// Consecutive transactions of one origin. Never empty.
///
/// ```
/// # use synod::{NodeId, TxId, commit::{EmptyRange, TxRange}};
/// let range = TxRange::new(NodeId(1), 3, 5)?;
/// assert!(range.contains(TxId { origin: NodeId(1), seq: 4 }));
/// assert_eq!(TxRange::new(NodeId(1), 5, 3), Err(EmptyRange));
/// # Ok::<(), EmptyRange>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "(NodeId, u64, u64)", into = "(NodeId, u64, u64)"))]
pub struct TxRange {
    origin: NodeId,
    first: u64,
    last: u64,
}

/// A range that ends before it begins.
///
/// See [`TxRange`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("a range of transactions ends before it begins")]
pub struct EmptyRange;

/// What a record is about. A later record of a key replaces an earlier one.
///
/// See [`Record`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Key {
    /// The node itself.
    Identity,
    /// Reserved transaction numbers.
    Sequence,
    /// Reserved rounds.
    Rounds,
    /// The acceptor's part in a transaction.
    Acceptor(TxId),
    /// The resource manager's part in a transaction.
    ResourceManager(TxId),
    /// The range of retired transactions that begins with this one.
    Retired(TxId),
    /// The block of a history that begins with this transaction.
    History(TxId),
    /// The birth of the node itself.
    Birth,
    /// A node that was met.
    Peer(NodeId),
    /// What an operator has settled.
    Resolutions,
    /// The epoch of this node.
    Epoch,
    /// The handover of its epoch.
    Handover,
}

impl Record {
    /// What this record is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Identity { .. } => Key::Identity,
            Self::Sequence { .. } => Key::Sequence,
            Self::Rounds { .. } => Key::Rounds,
            Self::Acceptor(record) => Key::Acceptor(record.transaction.id()),
            Self::ResourceManager(record) | Self::Resolved { record, .. } => {
                Key::ResourceManager(record.transaction.id())
            }
            Self::Retired(range) => Key::Retired(range.first()),
            Self::Erased(key) => *key,
            Self::Birth(_) => Key::Birth,
            Self::Peer { node, .. } => Key::Peer(*node),
            Self::History { outcomes, .. } => Key::History(outcomes.first()),
            Self::Resolutions { .. } => Key::Resolutions,
            Self::Epoch { .. } => Key::Epoch,
            Self::Handover { .. } => Key::Handover,
        }
    }

    /// Whether this record only deletes that of its key.
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::Erased(_))
    }
}

impl TxRange {
    /// The transactions of `origin` numbered `first` to `last`, both included.
    #[inline]
    pub fn new(origin: NodeId, first: u64, last: u64) -> Result<Self, EmptyRange> {
        if first > last { Err(EmptyRange) } else { Ok(Self { origin, first, last }) }
    }

    /// The range of just one transaction.
    #[inline]
    pub fn only(tx: TxId) -> Self {
        Self { origin: tx.origin, first: tx.seq, last: tx.seq }
    }

    /// The node that numbered them.
    #[inline]
    pub fn origin(&self) -> NodeId {
        self.origin
    }

    /// The first transaction.
    #[inline]
    pub fn first(&self) -> TxId {
        TxId { origin: self.origin, seq: self.first }
    }

    /// The last transaction.
    #[inline]
    pub fn last(&self) -> TxId {
        TxId { origin: self.origin, seq: self.last }
    }

    /// Whether `tx` is in it.
    #[inline]
    pub fn contains(&self, tx: TxId) -> bool {
        tx.origin == self.origin && self.first <= tx.seq && tx.seq <= self.last
    }

    /// The parts of this range on either side of `other`, which must overlap it.
    #[inline]
    pub(crate) fn without(self, other: Self) -> [Option<Self>; 2] {
        let left = other.first.checked_sub(1).and_then(|last| Self::new(self.origin, self.first, last).ok());
        let right = other.last.checked_add(1).and_then(|first| Self::new(self.origin, first, self.last).ok());
        [left, right]
    }

    /// The parts of this range outside `others`, which must be in order and each overlap it.
    #[inline]
    pub(crate) fn without_all(self, others: impl IntoIterator<Item = Self>) -> impl Iterator<Item = Self> {
        let (mut rest, mut others) = (Some(self), others.into_iter());
        core::iter::from_fn(move || {
            loop {
                let whole = rest.take()?;
                let Some(other) = others.next() else { return Some(whole) };
                match whole.without(other) {
                    [left, None] => rest = left,
                    [left, right] => {
                        rest = right;
                        if left.is_some() {
                            return left;
                        }
                    }
                }
            }
        })
    }

    /// Whether it is just one transaction.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }
}

impl TryFrom<(NodeId, u64, u64)> for TxRange {
    type Error = EmptyRange;

    fn try_from((origin, first, last): (NodeId, u64, u64)) -> Result<Self, EmptyRange> {
        Self::new(origin, first, last)
    }
}

impl From<TxRange> for (NodeId, u64, u64) {
    #[inline]
    fn from(range: TxRange) -> Self {
        (range.origin, range.first, range.last)
    }
}
