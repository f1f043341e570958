//! What a node reports about itself.

use alloc::vec::Vec;

use super::{
    super::{
        EpochTag, Input, Membership, Meta, Metrics, Outcome, ResourceManagerState, Time, Transaction, handover::Wish,
        ranges::RangeSet, shared::Shared,
    },
    Node,
};
use crate::{Fence, NodeId, Phase, Scope, TxId};

/// What a node knows of a transaction.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Status {
    /// Nothing. It may never have begun, or may not have reached this node.
    Unknown,
    /// It is open.
    Open {
        /// The state of the resource manager here, if there is one.
        state: Option<ResourceManagerState>,
        /// The outcome, if it is known here.
        outcome: Option<Outcome>,
    },
    /// It is over: every resource manager has finished it.
    Retired {
        /// How it ended, at a transaction manager that remembers it: see [`Limits::history`](super::super::Limits).
        outcome: Option<Outcome>,
    },
    /// It is open, but an invariant of this node is broken: the node is silent about it, and never lets it be retired.
    Fenced(Fence),
}

/// A transaction in which the resource manager here is prepared, without knowing the outcome.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InDoubt {
    /// The transaction.
    pub transaction: Transaction,
    /// The state of the resource manager here.
    pub state: ResourceManagerState,
    /// How long ago the node opened or restored it, in the caller's unit, without standstills.
    pub age: u64,
}

/// A transaction that is open at a node, and who is waited for, as far as the node knows.
///
/// See [`Node::list_open`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OpenTransaction {
    /// The transaction.
    pub transaction: Transaction,
    /// The state of the resource manager here, if there is one.
    pub state: Option<ResourceManagerState>,
    /// The outcome, if it is known here.
    pub outcome: Option<Outcome>,
    /// How long ago the node opened or restored it, in the caller's unit, without standstills.
    pub age: u64,
    /// At a transaction manager: the participants whose votes are not known to be chosen or, once the outcome is known, those
    /// that have not said that they have carried it out. Empty at any other node.
    pub waits_for: Vec<NodeId>,
    /// The broken invariant because of which the node is silent about it, if there is one.
    pub fence: Option<Fence>,
}

/// A transaction that the resource here has promised to commit, and has not carried out.
///
/// See [`Resource`](crate::perform::Resource) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Promised {
    /// The transaction.
    pub transaction: Transaction,
    /// What it is about.
    pub meta: Meta,
}

impl Promised {
    /// A resource's promise to commit `transaction`, which is about `meta`.
    pub fn new(transaction: Transaction, meta: Meta) -> Self {
        Self { transaction, meta }
    }
}

impl From<Promised> for Input {
    /// The resource finds this promise in itself.
    fn from(Promised { transaction, meta }: Promised) -> Self {
        Self::Prepared { transaction, meta }
    }
}

/// A transaction that shows here that an assumption of the protocol was broken: a storage was restored from an old copy, a
/// name was used twice, or a participant voted twice.
///
/// See [`Node::violations`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Violation {
    /// The transaction.
    pub transaction: Transaction,
    /// The state of the resource manager here, if it has heard of the transaction.
    pub state: Option<ResourceManagerState>,
    /// How it shows.
    pub reason: ViolationReason,
}

/// How it shows that an assumption of the protocol was broken.
///
/// See [`Node::violations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ViolationReason {
    /// The transaction of this name is over elsewhere, or was retired here, and the resource manager here is prepared.
    #[error("the transaction of this name is over, while the resource manager here is prepared")]
    OverElsewhere,
    /// Another transaction has this name, at an acceptor or a transaction manager. It comes to no outcome, unless enough
    /// acceptors know this one by the name.
    #[error("another transaction has this name")]
    OtherTransaction,
    /// A resource manager has voted both ways. The instance of its vote may choose either, and be heard to have chosen both.
    #[error("a resource manager has voted twice, and differently")]
    SecondVote,
}

/// The epoch that a node is in, and what operators ask about it.
///
/// ```
/// # use synod::{NodeId, Quorums, commit::{Cluster, ClusterId, Config, Node}};
/// # let ids = [NodeId(1), NodeId(2)];
/// # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority(ids)?, ids)?;
/// let (node, _) = Node::create(Config::new(cluster, NodeId(1), 7));
/// let epoch = node.epoch().expect("a founder is in epoch 0");
/// assert_eq!((epoch.number, epoch.noted, epoch.is_changing), (0, vec![NodeId(1)], false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EpochStatus {
    /// The number of the epoch.
    pub number: u64,
    /// Its members.
    pub membership: Membership,
    /// Every id that was a member of an epoch before, and is none now.
    pub left: Vec<NodeId>,
    /// The nodes that are known here to have noted the epoch, in ascending order. In epoch 0, or after a restart, few may be.
    pub noted: Vec<NodeId>,
    /// Whether the nodes that are no members may be switched off for good: so many members have noted the epoch that its
    /// acceptors can never forget it.
    pub may_leave: bool,
    /// Whether a handover of this epoch is under way, as far as this node knows.
    pub is_changing: bool,
    /// The members to come, of a change that was asked for here, that have not said that they are there, in ascending order.
    /// They do not run, cannot be reached, or know none of the present members: then they refuse the invitation
    /// ([`Refusal::InvitedByStranger`]), and must be started again with the present members in their configuration.
    ///
    /// [`Refusal::InvitedByStranger`]: crate::Refusal::InvitedByStranger
    pub awaited: Vec<NodeId>,
}

impl Status {
    /// Whether the transaction is over, however it ended.
    pub fn is_retired(self) -> bool {
        matches!(self, Self::Retired { .. })
    }

    /// How the transaction ends or ended, if that is known.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Open { outcome, .. } | Self::Retired { outcome } => outcome,
            Self::Unknown | Self::Fenced(_) => None,
        }
    }
}

impl Node {
    /// What this node knows of `tx`.
    pub fn status(&self, tx: TxId) -> Status {
        match self.open.get(tx) {
            None if self.retired.contains(tx) => Status::Retired { outcome: self.history.outcome(tx) },
            None => Status::Unknown,
            Some(open) => {
                if let Some(fence) = open.fence {
                    return Status::Fenced(fence);
                }
                Status::Open { state: open.rm.as_ref().map(|rm| rm.role.state()), outcome: open.outcome() }
            }
        }
    }

    /// Whether nothing may begin here just now, because the members are about to change ([`Refusal::Changing`]). That takes a
    /// moment, so a driver may keep what is to begin, and try again when this has become false.
    ///
    /// [`Refusal::Changing`]: crate::Refusal::Changing
    pub fn holds_begins(&self) -> bool {
        self.handover.is_holding(self.shared.clock.now())
    }

    /// The epoch that this node is in; `None` if it has come to a cluster, and knows of none yet. It may be ahead of what is
    /// durable: nothing may be switched off before [`epoch_scope`](Self::epoch_scope) is.
    pub fn epoch(&self) -> Option<EpochStatus> {
        let (number, membership) = (self.shared.epoch?, self.shared.config.cluster.membership());
        let left = self.shared.former.iter().copied().filter(|node| !membership.is_member(*node)).collect();
        let noted: Vec<NodeId> = self.news.noted.iter().copied().collect();
        let acceptors = membership.acceptors.members(noted.iter().copied());
        let may_leave = membership.acceptors.is_quorum(Phase::Accept, acceptors)
            && membership.managers.iter().any(|manager| noted.contains(manager));
        let is_changing = self.holds_begins() || self.handover.wish.is_some();
        let awaited = self.handover.wish.as_ref().map(Wish::awaited).unwrap_or_default();
        Some(EpochStatus { number, membership, left, noted, may_leave, is_changing, awaited })
    }

    /// What [`epoch`](Self::epoch) rests on. An [`Outbox`](crate::Outbox) knows whether a scope is durable.
    pub fn epoch_scope(&self) -> Scope {
        self.shared.ground
    }

    /// The number of the epoch that this node is in. `None` if it is in none.
    #[cfg(feature = "tokio")]
    pub(crate) fn epoch_number(&self) -> Option<u64> {
        self.shared.epoch
    }

    /// What this node tells of its epoch when it meets another: see [`Input::Met`]. `None` if it is in none.
    pub fn tag(&self) -> Option<EpochTag> {
        let number = self.shared.epoch?;
        Some(EpochTag { number, digest: self.shared.config.cluster.membership().digest() })
    }

    /// The number that this node was given when it was created, if any: what it says of itself when it meets another.
    pub fn birth(&self) -> Option<u64> {
        self.birth
    }

    /// The nodes that this one has met, with their births.
    pub fn met(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.shared.peers.contacts.iter()
    }

    /// At a transaction manager: those of `participants` that it has never met. It begins nothing that names one. None, as
    /// long as it has met nobody.
    pub fn strangers(&self, participants: &[NodeId]) -> impl Iterator<Item = NodeId> {
        let contacts = &self.shared.peers.contacts;
        let Shared { config, is_manager, .. } = &self.shared;
        let is_stranger = move |node: &NodeId| *is_manager && *node != config.id && contacts.is_stranger(*node);
        participants.iter().copied().filter(is_stranger)
    }

    /// What an answer about `tx` rests on: what this node says of it may be ahead of what is durable. An
    /// [`Outbox`](crate::Outbox) knows whether a scope is durable.
    pub fn scope(&self, tx: TxId) -> Scope {
        self.open.get(tx).map_or(self.retired_scope, |open| open.scope)
    }

    /// The transactions in which the resource manager here is prepared without knowing the outcome, in order of name.
    /// [`Input::Inquire`](crate::commit::Input::Inquire) drives one to its outcome; never guess it.
    pub fn in_doubt(&self) -> Vec<InDoubt> {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        open.filter_map(|open| {
            let rm = open.rm.as_ref().filter(|_| open.is_in_doubt())?;
            let age = self.shared.clock.now().0.saturating_sub(open.since.0);
            Some(InDoubt { transaction: open.transaction.clone(), state: rm.role.state(), age })
        })
        .collect()
    }

    /// The open transactions, at most `limit`, the oldest first.
    ///
    /// ```
    /// # use synod::{Machine, NodeId, Quorums, commit::*};
    /// # let ids = [NodeId(1), NodeId(2)];
    /// # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([ids[0]])?, [ids[0]])?;
    /// let (mut node, _) = Node::create(Config::new(cluster, ids[0], 7));
    /// let participants = Participants::new(ids)?;
    /// node.step(Input::Begin { participants, meta: Meta::default() });
    /// let open = node.list_open(10);
    /// assert_eq!((open.len(), open[0].outcome, &open[0].waits_for[..]), (1, None, &ids[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list_open(&self, limit: usize) -> Vec<OpenTransaction> {
        let mut names: Vec<(Time, TxId)> =
            self.open.names().filter_map(|tx| Some((self.open.get(tx)?.since, tx))).collect();
        names.sort_unstable();
        let oldest = names.into_iter().take(limit).filter_map(|(_, tx)| self.open.get(tx));
        oldest
            .map(|open| OpenTransaction {
                transaction: open.transaction.clone(),
                state: open.rm.as_ref().map(|rm| rm.role.state()),
                outcome: open.outcome(),
                age: self.shared.clock.now().0.saturating_sub(open.since.0),
                waits_for: open.tm.as_ref().map_or(Vec::new(), |tm| tm.role.waits_for(&open.transaction).collect()),
                fence: open.fence,
            })
            .collect()
    }

    /// The open transactions that show that an assumption of the protocol was broken, in order of name. What is in doubt
    /// because of that, or has no outcome here, is ended by what a transaction manager still remembers, or else by
    /// [`Input::Resolve`](crate::commit::Input::Resolve).
    pub fn violations(&self) -> Vec<Violation> {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        open.filter_map(|open| {
            let reason = open.violation?;
            let hurts = match reason {
                ViolationReason::OverElsewhere => open.is_in_doubt(),
                ViolationReason::OtherTransaction => open.is_undecided(),
                ViolationReason::SecondVote => true,
            };
            let state = open.rm.as_ref().map(|rm| rm.role.state());
            hurts.then(|| Violation { transaction: open.transaction.clone(), state, reason })
        })
        .collect()
    }

    /// Whether the resource manager here is prepared, or the transaction manager at work, without knowing the outcome.
    #[cfg(feature = "sim")]
    pub(crate) fn lacks_outcome(&self, tx: TxId) -> bool {
        self.open.get(tx).is_some_and(super::Open::is_undecided)
    }

    /// Whether the name `tx` may have been given: only the node that it is named after can tell that it was not.
    pub fn may_have_given(&self, tx: TxId) -> bool {
        tx.origin != self.shared.config.id || tx.seq < self.sequence.reserved()
    }

    /// Whether the resource here is asked for its vote on `tx`, and has not given it: only then may a driver hand a
    /// [`Decision::Vote`](crate::commit::Decision::Vote) over that it has kept back.
    pub fn awaits_vote(&self, tx: TxId) -> bool {
        let open = self.open.get(tx).filter(|open| open.fence.is_none());
        open.and_then(|open| open.rm.as_ref()).is_some_and(|rm| rm.role.awaits_vote())
    }

    /// What this node has voted to commit, durably, and what the resource here has not carried out, in order of name. A
    /// restored resource must hold what it holds for these, and for no others.
    pub fn promised(&self) -> Vec<Promised> {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        open.filter_map(|open| {
            let rm = open.rm.as_ref().filter(|rm| rm.role.owes())?;
            Some(Promised { transaction: open.transaction.clone(), meta: rm.role.meta()?.clone() })
        })
        .collect()
    }

    /// The open transactions, in order of name.
    pub fn open_transactions(&self) -> Vec<TxId> {
        let mut open: Vec<TxId> = self.open.names().collect();
        open.sort_unstable();
        open
    }

    /// How many ranges of retired transactions the acceptor or transaction manager `keeper` has not acknowledged to
    /// this node, which keeps them until it does.
    pub fn unacknowledged_by(&self, keeper: NodeId) -> usize {
        self.announced.get(&keeper).map_or(0, RangeSet::len)
    }

    /// The counters and gauges.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.shared.metrics;
        metrics.open = self.open.len();
        metrics.met = self.shared.peers.contacts.len();
        metrics.waiting_to_recover = self.shared.turns.waiting();
        metrics.retired_ranges = self.retired.len();
        metrics.unacknowledged_ranges = self.announced.values().map(RangeSet::len).sum();
        metrics
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use crate::{
        NodeId, Quorums,
        commit::{Cluster, ClusterId, Config, Fingerprints, Node, Record},
    };

    #[test]
    fn the_number_of_an_epoch_is_that_of_its_record_and_a_newcomer_has_none() {
        let me = NodeId(1);
        let quorums = Quorums::majority([me]).expect("one is a majority");
        let cluster = Cluster::new(ClusterId(*b"one that counts."), quorums, [me]).expect("it is a cluster");
        let config = || Config::new(cluster.clone(), me, 7);
        assert_eq!(Node::join(config()).0.epoch_number(), None);
        assert_eq!(Node::create(config()).0.epoch_number(), Some(0));
        let (membership, committed) = (cluster.membership().into(), Fingerprints::default());
        let records = [
            Record::Identity { cluster: cluster.id(), node: me },
            Record::Epoch { number: 5, membership, former: [].into(), committed },
        ];
        assert_eq!(Node::restore(config(), records).expect("it wrote these").epoch_number(), Some(5));
    }
}
