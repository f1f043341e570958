//! Who the members of a cluster are in one epoch: what all its nodes must agree on.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::borrow::Borrow;

use super::{Cluster, ClusterSpec, ConfigError, Learning, Targets, wait::mix};
use crate::{NodeId, QuorumSpec, Quorums, Refusal};

/// The members of a cluster in one epoch, and how they work together. All nodes in one epoch agree on it;
/// [`Input::Change`](super::Input::Change) hands over to another one.
///
/// Time-outs and limits are not part of it: each node has its own, from its configuration.
///
/// ```
/// use synod::{NodeId, Quorums, commit::{Cluster, ClusterId}};
///
/// let ids = [NodeId(1), NodeId(2), NodeId(3)];
/// let cluster = Cluster::new(ClusterId(*b"a cluster of 3.."), Quorums::majority(ids)?, ids)?;
/// // Node 4 takes the place of node 2:
/// let next = cluster.membership().replace(NodeId(2), NodeId(4));
/// assert!(next.is_member(NodeId(4)) && !next.is_member(NodeId(2)));
/// assert_ne!(next.digest(), cluster.membership().digest());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Membership {
    /// The acceptors.
    pub acceptors: Quorums,
    /// The transaction managers.
    pub managers: Vec<NodeId>,
    /// Who learns the chosen votes from the acceptors.
    pub learning: Learning,
    /// Which acceptors a vote is first sent to.
    pub targets: Targets,
    /// How to reach members: bytes that this crate never interprets.
    pub contacts: BTreeMap<NodeId, Vec<u8>>,
    /// Participants that operators have written off for good. It only grows from epoch to epoch.
    pub departed: BTreeSet<NodeId>,
}

/// An epoch, and the digest of its [`Membership`]: what nodes compare when they meet.
///
/// See [`Input::Met`](super::Input::Met).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct EpochTag {
    /// The number of the epoch.
    pub number: u64,
    /// [`Membership::digest`].
    pub digest: u64,
}

impl Membership {
    /// These acceptors and transaction managers, with defaults for everything else.
    pub fn new(acceptors: Quorums, managers: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Self {
        Self {
            acceptors,
            managers: managers.into_iter().map(|node| *node.borrow()).collect(),
            learning: Learning::default(),
            targets: Targets::default(),
            contacts: BTreeMap::new(),
            departed: BTreeSet::new(),
        }
    }

    /// The members: its acceptors and its transaction managers, each once, in order.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.acceptors.nodes().chain(self.managers.iter().copied()).collect()
    }

    /// Whether `node` is an acceptor or a transaction manager.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.acceptors.contains(node) || self.managers.contains(&node)
    }

    /// The same with `new` wherever `old` was.
    #[must_use]
    pub fn replace(&self, old: NodeId, new: NodeId) -> Self {
        let other = |node: NodeId| if node == old { new } else { node };
        let mut next = self.clone();
        let mut spec = QuorumSpec::from(self.acceptors.clone());
        spec.members.iter_mut().for_each(|(node, _)| *node = other(*node));
        // It fails only if the new one is an acceptor already.
        if let Ok(acceptors) = Quorums::try_from(spec) {
            next.acceptors = acceptors;
        }
        next.managers = self.managers.iter().map(|node| other(*node)).collect();
        next.contacts.remove(&old);
        next
    }

    /// The same, with another way to reach `node`.
    #[must_use]
    pub fn with_contact(mut self, node: NodeId, contact: impl Into<Vec<u8>>) -> Self {
        self.contacts.insert(node, contact.into());
        self
    }

    /// The same, with one more participant that is written off for good.
    #[must_use]
    pub fn with_departed(mut self, node: NodeId) -> Self {
        self.departed.insert(node);
        self
    }

    /// A 64-bit digest, by which two nodes notice that they do not agree. It protects from mistakes, not from malice.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        let QuorumSpec { members, prepare, accept } = self.acceptors.clone().into();
        digest.words([members.len() as u64, prepare, accept]);
        members.into_iter().for_each(|(node, weight)| digest.words([node.0, weight]));
        digest.words([self.managers.len() as u64]);
        digest.words(self.managers.iter().map(|node| node.0));
        digest.words([u64::from(self.learning == Learning::Everyone), u64::from(self.targets == Targets::Quorum)]);
        digest.words([self.contacts.len() as u64]);
        for (node, contact) in &self.contacts {
            digest.words([node.0, contact.len() as u64]);
            digest.words(contact.iter().map(|byte| u64::from(*byte)));
        }
        digest.words([self.departed.len() as u64]);
        digest.words(self.departed.iter().map(|node| node.0));
        digest.0
    }

    /// Refuses what cannot follow `self`, where the ids in `former` were members once: an id is a member's only once.
    pub(crate) fn check_next(&self, cluster: &Cluster, former: &BTreeSet<NodeId>, next: &Self) -> Result<(), Refusal> {
        let comes_back = |node: &NodeId| former.contains(node) && !self.is_member(*node);
        if next.members().iter().any(comes_back) {
            return Err(Refusal::FormerMember);
        }
        if !self.departed.is_subset(&next.departed) {
            return Err(Refusal::Departed);
        }
        cluster.with_membership(next.clone()).map(drop).map_err(|_| Refusal::MalformedMembership)
    }
}

/// A digest of a sequence of words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        self.0 = words.into_iter().fold(self.0, |digest, word| mix(digest.rotate_left(1) ^ word));
    }
}

impl Cluster {
    /// Who its members are, and how they work together.
    pub fn membership(&self) -> Membership {
        let ClusterSpec { acceptors, managers, learning, targets, contacts, departed, .. } = self.spec().clone();
        Membership { acceptors, managers, learning, targets, contacts, departed }
    }

    /// The same cluster in another epoch: with other members, and the same time-outs and limits.
    pub fn with_membership(&self, membership: Membership) -> Result<Self, ConfigError> {
        let Membership { acceptors, managers, learning, targets, contacts, departed } = membership;
        let ClusterSpec { id, timeouts, limits, .. } = self.spec().clone();
        ClusterSpec { id, acceptors, managers, learning, targets, timeouts, limits, contacts, departed }.build()
    }
}
