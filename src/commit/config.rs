//! The configuration: what all nodes of a cluster share, and what is one node's own.

use alloc::{sync::Arc, vec::Vec};
use core::{borrow::Borrow, fmt, str::FromStr};

use crate::{NodeId, ParseIdError, Quorums};

/// The name of a cluster. Nodes of different clusters do not understand each other.
///
/// Its acceptors and their quorums never change under one name: a quorum of other acceptors could miss what an earlier one
/// has chosen.
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

/// A moment on the caller's own monotonic clock, in the caller's own unit. Durations in [`Timeouts`] are in the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Time(pub u64);

/// Who learns from the acceptors.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Learning {
    /// The transaction manager, which then tells the resource managers: *Paxos Commit*.
    #[default]
    Leader,
    /// Every resource manager: *Faster Paxos Commit*. One delay less, more messages.
    Everyone,
}

/// Which acceptors a resource manager sends its vote to at first. After a timeout it is always all of them.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Targets {
    /// All of them: a dead acceptor delays nothing.
    #[default]
    All,
    /// One phase-2 quorum, as the paper counts its messages.
    Quorum,
}

/// How long to wait, in the caller's unit. Each wait doubles when it is repeated, up to `ceiling`, and is only then
/// drawn out by up to a half, at random (by the node's seed).
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
    /// An acceptor writes and sends an unfinished bundle.
    pub flush: u64,
    /// A transaction manager without an outcome tries a ballot of its own.
    pub recover: u64,
    /// A prepared resource manager, or an acceptor, asks a transaction manager what has become of a transaction.
    pub inquire: u64,
    /// What has not been acknowledged is said again.
    pub repeat: u64,
    /// No wait grows above this, before it is drawn out.
    pub ceiling: u64,
}

/// How much a node takes on. Over a limit new work is refused; old work is never lost.
///
/// ```
/// # use synod::commit::Limits;
/// let limits = Limits::default().with_open(1_000);
/// assert_eq!((limits.open, limits.meta), (1_000, Limits::default().meta));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Limits {
    /// Open transactions for which new work is still taken. What brings old work to its end is taken far beyond that,
    /// up to sixty-four times as many.
    pub open: usize,
    /// Participants of one new transaction.
    pub participants: usize,
    /// Bytes of a new transaction's `meta`.
    pub meta: usize,
}

/// What all nodes of a cluster share; validated on construction. A clone shares its memory.
///
/// See [`ClusterSpec`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "ClusterSpec", into = "ClusterSpec"))]
pub struct Cluster(Arc<Valid>);

/// A specification that was validated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Valid {
    spec: ClusterSpec,
    first_manager: NodeId,
}

/// A cluster in plain data, not yet validated, and the builder of a [`Cluster`]: [`build`](Self::build) validates it.
///
/// ```
/// use synod::{NodeId, Quorums, commit::{ClusterId, ClusterSpec, Learning, Limits}};
///
/// let ids = [NodeId(1), NodeId(2), NodeId(3)];
/// let spec = ClusterSpec::new(ClusterId(*b"a cluster of 3.."), Quorums::majority(ids)?, ids);
/// let cluster = spec.with_learning(Learning::Everyone).with_limits(Limits::default().with_open(1_000)).build()?;
/// // Another one that differs in one thing:
/// let leader = cluster.spec().clone().with_learning(Learning::Leader).build()?;
/// assert_eq!(leader.limits(), cluster.limits());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct ClusterSpec {
    /// The cluster's name.
    pub id: ClusterId,
    /// The acceptors and their quorums: 2F+1 of them outlive F failures; one of them makes this two-phase commit.
    pub acceptors: Quorums,
    /// The transaction managers, in the order in which they are turned to. Any of them can finish any transaction.
    /// They stay for the life of the cluster: acceptors may have promised one a ballot, which nobody goes beyond once
    /// it is no manager any more.
    pub managers: Vec<NodeId>,
    /// Who learns from the acceptors.
    pub learning: Learning,
    /// Which acceptors get a first vote.
    pub targets: Targets,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How much to take on.
    pub limits: Limits,
}

/// Why a configuration was rejected.
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
    /// A limit allows nothing at all.
    #[error("a limit leaves no room for any transaction")]
    NoRoom,
}

/// One node's configuration.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub struct Config {
    /// What it shares with the others.
    pub cluster: Cluster,
    /// Its own name.
    pub id: NodeId,
    /// The seed of its jitter and of its hashing. Best different on every node, and not known to outsiders.
    pub seed: u64,
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
    /// Sensible for a local network when the unit is the millisecond.
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

    /// The shortest of them.
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
        Self { open: 1 << 20, participants: 256, meta: 1 << 16 }
    }

    with_methods! {
        with_open(open: usize);
        with_participants(participants: usize);
        with_meta(meta: usize);
    }
}

impl ClusterSpec {
    /// A specification with defaults for everything that can have one.
    pub fn new(id: ClusterId, acceptors: Quorums, managers: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Self {
        Self {
            id,
            acceptors,
            managers: managers.into_iter().map(|node| *node.borrow()).collect(),
            learning: Learning::default(),
            targets: Targets::default(),
            timeouts: Timeouts::new(),
            limits: Limits::new(),
        }
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

    /// Who learns from the acceptors.
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

    /// Whether `node` must hear of every transaction that is over: acceptors and transaction managers.
    pub(crate) fn keeps_retired(&self, node: NodeId) -> bool {
        self.acceptors().contains(node) || self.is_manager(node)
    }

    /// The transaction manager to turn to first.
    pub fn first_manager(&self) -> NodeId {
        self.0.first_manager
    }

    /// The transaction manager to turn to after `node`: the first one if `node` is the last, or not a manager.
    pub fn manager_after(&self, node: NodeId) -> NodeId {
        let next = self.0.spec.managers.iter().skip_while(|manager| **manager != node).nth(1);
        next.copied().unwrap_or_else(|| self.first_manager())
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
        let Timeouts { flush, recover, inquire, repeat, ceiling } = spec.timeouts;
        let waits = [flush, recover, inquire, repeat];
        if waits.contains(&0) {
            return Err(ConfigError::ZeroTimeout);
        }
        if waits.iter().any(|wait| *wait > ceiling) {
            return Err(ConfigError::LowCeiling);
        }
        if spec.limits.open == 0 || spec.limits.participants == 0 {
            return Err(ConfigError::NoRoom);
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
        Self { cluster, id, seed }
    }
}
