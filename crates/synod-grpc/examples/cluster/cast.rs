//! Who plays: three processes that are acceptors and transaction managers at once, and four branches; and those that take the
//! places of the three.

use std::{fmt, str::FromStr, time::Duration};

use synod::{
    NodeId, QuorumError, Quorums,
    commit::{Cluster, ClusterId, ClusterSpec, ConfigError, Learning, Targets, Timeouts},
};

use crate::transfer::Account;

/// The cluster's name.
pub(crate) const CLUSTER: ClusterId = ClusterId(*b"the bank's seven");

/// The number of the client who makes the transfers, and the origin of their names. No node has it.
pub(crate) const TELLER: NodeId = NodeId(0);

/// The number of the client who asks how things are. No node has it, however many come.
pub(crate) const OPERATOR: NodeId = NodeId(1 << 32);

/// How many there are of each. Their node ids are 1, 2, 3 and so on: managers, branches, managers that come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) branches: u64,
    /// Acceptors, each of which is a transaction manager too.
    pub(crate) acceptors: u64,
}

/// The cast of this play.
pub(crate) const CAST: Cast = Cast { branches: 4, acceptors: 3 };

/// The name of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// An acceptor and transaction manager.
    Manager(u64),
    /// A resource manager.
    Branch(u64),
}

/// How the nodes go about it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Style {
    /// Faster Paxos Commit: acceptors tell the branches directly, one message delay less
    #[arg(long)]
    pub(crate) faster: bool,

    /// Which acceptors get a first vote: one quorum, as the paper counts, or all, so that a dead one delays nothing
    /// [default: quorum; all where processes are harmed]
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub(crate) votes: Option<Votes>,

    /// How long a transaction manager waits for votes until it tries a ballot of its own, in milliseconds; other waits
    /// are in proportion [default: 2000; 500 where processes are harmed]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) patience: Option<u64>,
}

/// Which acceptors get a first vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Votes {
    Quorum,
    All,
}

impl Style {
    fn recover(&self) -> u64 {
        self.patience.unwrap_or(2_000)
    }

    /// How long a client waits for an outcome before it asks whether the transaction manager is still there. If not, it turns
    /// to the next one, which may have to wait as long as any.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(self.recover() / 2).min(Duration::from_secs(1))
    }

    /// The ceiling is high: on a busy machine everything takes long, and repeating messages sooner makes more work.
    fn timeouts(&self) -> Timeouts {
        let recover = self.recover();
        Timeouts::default()
            .with_flush(recover / 4)
            .with_recover(recover)
            .with_inquire(recover * 3 / 2)
            .with_repeat(recover * 3 / 4)
            .with_ceiling(recover * 20)
    }

    /// The flags that say so.
    pub(crate) fn flags(&self) -> Vec<String> {
        let faster = self.faster.then(|| "--faster".to_owned());
        let votes = (self.votes == Some(Votes::All)).then(|| "--votes=all".to_owned());
        let patience = self.patience.map(|patience| format!("--patience={patience}"));
        [faster, votes, patience].into_iter().flatten().collect()
    }
}

/// Why the options do not make a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CastError {
    #[error("the acceptors have no quorums")]
    Quorums(#[from] QuorumError),
    #[error("the cluster cannot be")]
    Cluster(#[from] ConfigError),
}

impl Cast {
    /// Everyone, in the order of node ids.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + use<> {
        self.managers().chain((0..self.branches).map(Name::Branch))
    }

    pub(crate) fn managers(&self) -> impl Iterator<Item = Name> + use<> {
        (0..self.acceptors).map(Name::Manager)
    }

    /// The managers that come later.
    pub(crate) fn newcomers(&self) -> impl Iterator<Item = Name> + use<> {
        (self.acceptors..).map(Name::Manager)
    }

    pub(crate) fn node(&self, name: Name) -> NodeId {
        match name {
            Name::Manager(number) if number >= self.acceptors => NodeId(1 + self.branches + number),
            Name::Manager(number) => NodeId(1 + number),
            Name::Branch(number) => NodeId(1 + self.acceptors + number),
        }
    }

    /// The branch where `account` is kept.
    pub(crate) fn home(&self, account: Account) -> NodeId {
        self.node(Name::Branch(u64::from(account.0) % self.branches))
    }

    /// The name of the process that is `node`.
    pub(crate) fn name(&self, node: NodeId) -> Option<Name> {
        let number = node.0.checked_sub(1)?;
        let founders = self.acceptors + self.branches;
        Some(match number {
            _ if number < self.acceptors => Name::Manager(number),
            _ if number < founders => Name::Branch(number - self.acceptors),
            _ => Name::Manager(number - self.branches),
        })
    }

    /// How many acceptors make a quorum: the paper's F+1.
    pub(crate) fn quorum(&self) -> u64 {
        self.acceptors / 2 + 1
    }

    /// How many acceptors may be away: the paper's F.
    pub(crate) fn spare(&self) -> u64 {
        self.acceptors - self.quorum()
    }

    /// The configuration that all nodes share. The unit of time is the millisecond.
    pub(crate) fn cluster(&self, style: Style) -> Result<Cluster, CastError> {
        self.cluster_of(style, &self.managers().collect::<Vec<Name>>())
    }

    /// The same, when these are its members.
    pub(crate) fn cluster_of(&self, style: Style, members: &[Name]) -> Result<Cluster, CastError> {
        let managers = || members.iter().map(|name| self.node(*name));
        let cluster = ClusterSpec::new(CLUSTER, Quorums::majority(managers())?, managers())
            .with_learning(if style.faster { Learning::Everyone } else { Learning::Leader })
            .with_targets(if style.votes == Some(Votes::All) { Targets::All } else { Targets::Quorum })
            .with_timeouts(style.timeouts())
            .build()?;
        Ok(cluster)
    }
}

/// What is not the name of a process.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no name of a process; names are like tm-0, rm-2")]
pub(crate) struct NoName(String);

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let number = |kind| text.strip_prefix(kind).and_then(|number| number.parse().ok());
        let branch = number("rm-").filter(|branch| *branch < CAST.branches).map(Name::Branch);
        // As far as nodes have numbers.
        let manager = number("tm-").filter(|manager| *manager < OPERATOR.0 / 2).map(Name::Manager);
        branch.or(manager).ok_or_else(|| NoName(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(number) => write!(f, "tm-{number}"),
            Self::Branch(number) => write!(f, "rm-{number}"),
        }
    }
}
