//! The configuration: of a cluster, which all its nodes share, and of one node.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::{borrow::Borrow, fmt, str::FromStr};

use super::Meta;
use crate::{NodeId, ParseIdError, Quorums, Refusal, TxId};

/// The most outcomes of a history.
const LONGEST_HISTORY: usize = 1 << 30;

/// A membership is told in one message, so it has bounds: on the managers, on those that were written off, and on the bytes of
/// all contacts, each of which counts for some more.
const MOST_MANAGERS: usize = 1 << 10;
const MOST_DEPARTED: usize = 1 << 12;
const MOST_CONTACT_BYTES: usize = 1 << 16;
const CONTACT: usize = 16;

/// The name of a cluster. Nodes of different clusters do not understand each other.
///
/// Who its members are changes from epoch to epoch, by [`Input::Change`](super::Input::Change) and in no other way: a quorum
/// of new acceptors could miss what the old ones have chosen.
///
/// ```
/// # use synod::commit::ClusterId;
/// let id = ClusterId(*b"a cluster of 3..");
/// assert_eq!(id.to_string(), "6120636c7573746572206f6620332e2e");
/// assert_eq!("6120636c7573746572206f6620332e2e".parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ClusterId(pub [u8; 16]);

/// A time on the caller's monotonic clock, in the caller's unit. Durations in [`Timeouts`] use the same unit.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Time(pub u64);

/// Who learns the chosen votes from the acceptors.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Learning {
    /// The transaction manager, which then tells the resource managers: *Paxos Commit*.
    #[default]
    Leader,
    /// Every resource manager: *Faster Paxos Commit*. One message delay less, but more messages.
    Everyone,
}

/// Which acceptors a resource manager first sends its vote to. A repeated vote goes to all of them.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Targets {
    /// All of them, so that a dead acceptor delays nothing.
    #[default]
    All,
    /// One phase-2 quorum, as in the paper's message counts.
    Quorum,
}

/// How long to wait, in the caller's unit. Each repetition doubles the wait, up to `ceiling`. A random stretch of up to
/// half, derived from the node's seed, is added last.
///
/// ```
/// # use synod::commit::Timeouts;
/// let timeouts = Timeouts::default().with_inquire(200).with_recover(100);
/// assert_eq!((timeouts.inquire, timeouts.flush), (200, Timeouts::default().flush));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Timeouts {
    /// How long an acceptor gathers votes before it writes and sends an incomplete bundle.
    pub flush: u64,
    /// How long a transaction manager waits for an outcome before it tries a ballot of its own.
    pub recover: u64,
    /// How long an acceptor, or a resource manager that is prepared or was never asked to vote, waits before it
    /// inquires.
    pub inquire: u64,
    /// How long to wait for an acknowledgement, or for the local resource, before repeating a message.
    pub repeat: u64,
    /// The longest wait, before the random stretch.
    pub ceiling: u64,
}

/// How much work a node accepts. Above a limit it refuses new work; it never drops old work.
///
/// ```
/// # use synod::commit::Limits;
/// let limits = Limits::default().with_open(1_000);
/// assert_eq!((limits.open, limits.meta), (1_000, Limits::default().meta));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Limits {
    /// The number of open transactions at which new work is refused. Messages that bring other nodes' transactions to
    /// their end are accepted up to sixty-four times that number.
    pub open: usize,
    /// The most participants of a transaction. No message about a larger one is taken, so lower this only when no larger
    /// one is open.
    pub participants: usize,
    /// The most bytes in a new transaction's `meta`.
    pub meta: usize,
    /// The most transactions that may wait at a transaction manager, past their outcome, for one participant to finish
    /// them. While more do, it begins none that names that participant.
    pub open_per_participant: usize,
    /// The most transactions that may be open at a node because one participant was the first to speak of them.
    pub open_per_peer: usize,
    /// The most nodes that a node meets.
    pub nodes: usize,
    /// The most transactions that a transaction manager recovers at a time. While others wait for their turn, it begins
    /// no new one.
    pub recoveries: usize,
    /// How many ended transactions a transaction manager remembers the outcomes of: the newest. They are kept in blocks
    /// of 64 consecutive numbers, so it is that many only if transactions are numbered in a row, and fewer otherwise.
    /// With 0 it remembers none.
    pub history: usize,
    /// About how many bytes of a report, of an ending, or of what is known of an epoch a node tells in one message, at most
    /// 32 KiB; and how many transactions, one for eight bytes, it ends at once when their epoch is over, of those in which it
    /// takes no part itself.
    pub page: usize,
}

/// The configuration that all nodes of a cluster share, validated on construction. Clones share memory.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "ClusterSpec", into = "ClusterSpec"))]
pub struct Cluster(Arc<Valid>);

/// A validated specification.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Valid {
    spec: ClusterSpec,
    first_manager: NodeId,
}

/// A cluster as plain data, not yet validated: the builder of a [`Cluster`]. [`build`](Self::build) validates it.
///
/// ```
/// use synod::{NodeId, Quorums, commit::{ClusterId, ClusterSpec, Learning, Limits, Targets}};
///
/// let ids = [NodeId(1), NodeId(2), NodeId(3)];
/// let spec = ClusterSpec::new(ClusterId(*b"a cluster of 3.."), Quorums::majority(ids)?, ids);
/// let cluster = spec.with_learning(Learning::Everyone).with_limits(Limits::default().with_open(1_000)).build()?;
/// // Another one that differs in one thing:
/// let leader = cluster.spec().clone().with_learning(Learning::Leader).build()?;
/// assert_eq!((leader.limits(), leader.targets()), (cluster.limits(), Targets::All));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct ClusterSpec {
    /// The cluster's name.
    pub id: ClusterId,
    /// The acceptors and their quorums: 2F+1 acceptors survive F failures; a single one makes this two-phase commit.
    pub acceptors: Quorums,
    /// The transaction managers, in the order in which nodes turn to them, each transaction to another one first. Any of
    /// them can finish any transaction.
    pub managers: Vec<NodeId>,
    /// Who learns the chosen votes from the acceptors.
    pub learning: Learning,
    /// Which acceptors a vote is first sent to.
    pub targets: Targets,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How much work to accept.
    pub limits: Limits,
    /// How to reach members: bytes that this crate never interprets. They go to whoever joins.
    #[cfg_attr(feature = "serde", serde(default))]
    pub contacts: BTreeMap<NodeId, Vec<u8>>,
    /// Participants that operators have written off for good. A transaction manager takes it that they have finished, once
    /// it knows the outcome; and nobody under such an id is heard again.
    #[cfg_attr(feature = "serde", serde(default))]
    pub departed: BTreeSet<NodeId>,
}

/// Why a configuration was rejected.
///
/// ```
/// # use synod::{NodeId, Quorums, commit::{ClusterId, ClusterSpec, ConfigError, Timeouts}};
/// let me = NodeId(1);
/// let mut spec = ClusterSpec::new(ClusterId(*b"a cluster of one"), Quorums::majority([me])?, [me]);
/// let impatient = spec.clone().with_timeouts(Timeouts::default().with_flush(0));
/// assert_eq!(impatient.build(), Err(ConfigError::ZeroTimeout));
/// spec.managers.push(me);
/// assert_eq!(spec.clone().build(), Err(ConfigError::Repeated(me)));
/// spec.managers.clear();
/// assert_eq!(spec.build(), Err(ConfigError::NoManagers));
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no transaction manager.
    #[error("a cluster needs at least one transaction manager")]
    NoManagers,
    /// A transaction manager is named twice.
    #[error("transaction manager {0} is named twice")]
    Repeated(NodeId),
    /// A timeout is zero.
    #[error("timeouts must be positive")]
    ZeroTimeout,
    /// The ceiling is below some timeout.
    #[error("the ceiling of timeouts is below one of them")]
    LowCeiling,
    /// A limit is zero, which allows no transaction at all.
    #[error("a limit leaves no room for any transaction")]
    NoRoom,
    /// A member is among the departed.
    #[error("member {0} is among the departed")]
    DepartedMember(NodeId),
    /// There are too many managers, or departed, or the contacts take too many bytes: a membership is told in one message.
    #[error("a membership has at most 1,024 managers, 4,096 departed, and contacts of 64 KiB in all")]
    LargeMembership,
    /// The history is longer than 2^30 outcomes.
    #[error("a history has at most 2^30 outcomes")]
    LongHistory,
}

/// One node's configuration.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Config {
    /// The configuration that all nodes of its cluster share. Of a node that was in a later epoch, only the time-outs and
    /// the limits count, and its members are asked for news.
    pub cluster: Cluster,
    /// The node's own name.
    pub id: NodeId,
    /// The seed of its jitter and its hashing. It should differ from node to node, and be unknown to outsiders.
    pub seed: u64,
    /// The random number that a new node is given when it is created, and that it keeps: by it, others notice a node that
    /// has lost its storage. Drivers draw it from the operating system. A node that is restored has the one that its
    /// storage holds, whatever is said here.
    pub birth: Option<u64>,
    /// Where the votes of the local resource are durable. It never changes in the life of a node.
    #[cfg_attr(feature = "serde", serde(default))]
    pub resource: ResourceKind,
}

/// Where the votes of a node's resource are durable.
///
/// ```
/// # use synod::{NodeId, Quorums, commit::{Cluster, ClusterId, Config, ResourceKind}};
/// # let ids = [NodeId(1), NodeId(2)];
/// # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([ids[0]])?, [ids[0]])?;
/// // Beside a database whose prepared transaction is the vote:
/// let config = Config::new(cluster, ids[1], 7).with_resource(ResourceKind::VotesElsewhere);
/// # assert_ne!(config.resource, ResourceKind::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ResourceKind {
    /// In the node's records: what the resource has prepared without such a record was promised to nobody.
    #[default]
    VotesHere,
    /// In the resource itself, such as a database whose prepared transaction is the vote. The node may forget a vote, so
    /// it votes [`Prepared`](super::Vote::Prepared) at its initial ballot or says nothing there, ever: to refuse, it
    /// sends [`Decline`](super::What::Decline) to a transaction manager.
    VotesElsewhere,
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

impl FromStr for ClusterId {
    type Err = ParseIdError;

    /// Takes 32 hexadecimal digits, in either case.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseIdError::NotHexadecimal);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| ParseIdError::NotHexadecimal)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Default for Timeouts {
    /// Suits a local network, in milliseconds.
    fn default() -> Self {
        Self::new()
    }
}

impl Timeouts {
    /// The defaults, as a constant: sensible for a local network when the unit is the millisecond.
    pub const fn new() -> Self {
        Self { flush: 200, recover: 1_000, inquire: 2_000, repeat: 500, ceiling: 30_000 }
    }

    with_methods! {
        with_flush(flush: u64);
        with_recover(recover: u64);
        with_inquire(inquire: u64);
        with_repeat(repeat: u64);
        with_ceiling(ceiling: u64);
    }

    /// The shortest time-out; `ceiling` is not one.
    pub(crate) fn shortest(&self) -> u64 {
        self.flush.min(self.recover).min(self.inquire).min(self.repeat)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// The defaults, as a constant.
    pub const fn new() -> Self {
        Self {
            open: 1 << 20,
            participants: 256,
            meta: 1 << 16,
            open_per_participant: 1 << 12,
            open_per_peer: 1 << 18,
            nodes: 1 << 16,
            recoveries: 1 << 10,
            history: 1 << 20,
            page: 1 << 15,
        }
    }

    with_methods! {
        with_open(open: usize);
        with_participants(participants: usize);
        with_meta(meta: usize);
        with_open_per_participant(open_per_participant: usize);
        with_open_per_peer(open_per_peer: usize);
        with_nodes(nodes: usize);
        with_recoveries(recoveries: usize);
        with_history(history: usize);
        with_page(page: usize);
    }

    /// Refuses content that is too long.
    pub(crate) fn check_meta(&self, meta: &Meta) -> Result<(), Refusal> {
        if meta.bytes().len() > self.meta { Err(Refusal::MetaTooLong) } else { Ok(()) }
    }
}

impl ClusterSpec {
    /// A cluster with defaults for everything else.
    pub fn new(id: ClusterId, acceptors: Quorums, managers: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Self {
        Self {
            id,
            acceptors,
            managers: managers.into_iter().map(|node| *node.borrow()).collect(),
            learning: Learning::default(),
            targets: Targets::default(),
            timeouts: Timeouts::new(),
            limits: Limits::new(),
            contacts: BTreeMap::new(),
            departed: BTreeSet::new(),
        }
    }

    /// Sets [`contacts`](field@Self::contacts).
    #[must_use]
    pub fn with_contacts(self, contacts: BTreeMap<NodeId, Vec<u8>>) -> Self {
        Self { contacts, ..self }
    }

    /// Sets [`departed`](field@Self::departed).
    #[must_use]
    pub fn with_departed(self, departed: BTreeSet<NodeId>) -> Self {
        Self { departed, ..self }
    }

    with_methods! {
        with_learning(learning: Learning);
        with_targets(targets: Targets);
        with_timeouts(timeouts: Timeouts);
        with_limits(limits: Limits);
    }

    /// Validates the specification.
    pub fn build(self) -> Result<Cluster, ConfigError> {
        self.try_into()
    }
}

impl Cluster {
    /// A cluster with defaults for all that can have one. [`ClusterSpec`] chooses otherwise.
    pub fn new(
        id: ClusterId,
        acceptors: Quorums,
        managers: impl IntoIterator<Item = impl Borrow<NodeId>>,
    ) -> Result<Self, ConfigError> {
        ClusterSpec::new(id, acceptors, managers).build()
    }

    /// What the cluster was built from. A clone of it builds a cluster that differs in one thing.
    pub fn spec(&self) -> &ClusterSpec {
        &self.0.spec
    }

    /// The cluster's name.
    pub fn id(&self) -> ClusterId {
        self.0.spec.id
    }

    /// The acceptors.
    #[inline]
    pub fn acceptors(&self) -> &Quorums {
        &self.0.spec.acceptors
    }

    /// The transaction managers.
    pub fn managers(&self) -> &[NodeId] {
        &self.0.spec.managers
    }

    /// Who learns the chosen votes from the acceptors.
    pub fn learning(&self) -> Learning {
        self.0.spec.learning
    }

    /// Which acceptors get a first vote.
    pub fn targets(&self) -> Targets {
        self.0.spec.targets
    }

    /// How long to wait.
    pub fn timeouts(&self) -> &Timeouts {
        &self.0.spec.timeouts
    }

    /// How much to take on.
    pub fn limits(&self) -> &Limits {
        &self.0.spec.limits
    }

    /// Whether `node` is a transaction manager.
    #[inline]
    pub fn is_manager(&self, node: NodeId) -> bool {
        self.0.spec.managers.contains(&node)
    }

    /// Whether `node` is a participant that was written off.
    #[inline]
    pub(crate) fn is_departed(&self, node: NodeId) -> bool {
        !self.0.spec.departed.is_empty() && self.0.spec.departed.contains(&node)
    }

    /// Whether `node` must learn of every retirement: acceptors and transaction managers must.
    pub(crate) fn keeps_retired(&self, node: NodeId) -> bool {
        self.acceptors().contains(node) || self.is_manager(node)
    }

    /// The transaction manager to turn to first in the transaction `tx`: they take turns, by the number in its name.
    pub fn manager_of(&self, tx: TxId) -> NodeId {
        let managers = self.managers();
        // Nodes number their transactions from 1.
        let turn = tx.seq.wrapping_sub(1).checked_rem(managers.len() as u64).unwrap_or(0);
        managers.get(turn as usize).copied().unwrap_or(self.0.first_manager)
    }

    /// The transaction manager to turn to after `node`: the first one if `node` is the last, or is not a manager.
    pub(crate) fn manager_after(&self, node: NodeId) -> NodeId {
        let next = self.managers().iter().skip_while(|manager| **manager != node).nth(1);
        next.copied().unwrap_or(self.0.first_manager)
    }
}

impl TryFrom<ClusterSpec> for Cluster {
    type Error = ConfigError;

    fn try_from(spec: ClusterSpec) -> Result<Self, ConfigError> {
        let first_manager = *spec.managers.first().ok_or(ConfigError::NoManagers)?;
        for (place, manager) in spec.managers.iter().enumerate() {
            if spec.managers.iter().take(place).any(|other| other == manager) {
                return Err(ConfigError::Repeated(*manager));
            }
        }
        let is_member = |node: &&NodeId| spec.acceptors.contains(**node) || spec.managers.contains(node);
        if let Some(member) = spec.departed.iter().find(is_member) {
            return Err(ConfigError::DepartedMember(*member));
        }
        let contacts = spec.contacts.values().map(|contact| contact.len().saturating_add(CONTACT));
        let too_long = contacts.fold(0, usize::saturating_add) > MOST_CONTACT_BYTES;
        if too_long || spec.managers.len() > MOST_MANAGERS || spec.departed.len() > MOST_DEPARTED {
            return Err(ConfigError::LargeMembership);
        }
        let Timeouts { flush, recover, inquire, repeat, ceiling } = spec.timeouts;
        let waits = [flush, recover, inquire, repeat];
        if waits.contains(&0) {
            return Err(ConfigError::ZeroTimeout);
        }
        if waits.iter().any(|wait| *wait > ceiling) {
            return Err(ConfigError::LowCeiling);
        }
        let Limits { open, participants, open_per_participant, open_per_peer, nodes, recoveries, history, .. } =
            spec.limits;
        if [open, participants, open_per_participant, open_per_peer, nodes, recoveries].contains(&0) {
            return Err(ConfigError::NoRoom);
        }
        if history > LONGEST_HISTORY {
            return Err(ConfigError::LongHistory);
        }
        Ok(Self(Arc::new(Valid { spec, first_manager })))
    }
}

impl From<Cluster> for ClusterSpec {
    fn from(cluster: Cluster) -> Self {
        Arc::unwrap_or_clone(cluster.0).spec
    }
}

impl Config {
    /// The configuration of node `id` in `cluster`.
    pub fn new(cluster: Cluster, id: NodeId, seed: u64) -> Self {
        Self { cluster, id, seed, birth: None, resource: ResourceKind::default() }
    }

    with_methods! {
        with_birth(birth: Option<u64>);
        with_resource(resource: ResourceKind);
    }
}
