//! Who plays in the bank: branches, acceptors and transaction managers, by name and by node id.

use std::{fmt, str::FromStr};

use synod::{
    NodeId, QuorumError, Quorums,
    commit::{Cluster, ClusterId, ClusterSpec, ConfigError, Learning, Targets, Timeouts},
};

use crate::transfer::Account;

/// How many transaction managers there are: one to do the work, and one that can finish it.
pub(crate) const MANAGERS: u64 = 2;

/// The name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Branch(u64),
    Acceptor(u64),
    Manager(u64),
}

/// How many there are of each. Their node ids are 1, 2, 3 and so on: branches, acceptors, transaction managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) branches: u64,
    pub(crate) acceptors: u64,
}

/// Why a cluster was rejected.
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
        let branches = (0..self.branches).map(Name::Branch);
        let acceptors = (0..self.acceptors).map(Name::Acceptor);
        branches.chain(acceptors).chain((0..MANAGERS).map(Name::Manager))
    }

    pub(crate) fn node(&self, name: Name) -> NodeId {
        match name {
            Name::Branch(number) => NodeId(1 + number),
            Name::Acceptor(number) => NodeId(1 + self.branches + number),
            Name::Manager(number) => NodeId(1 + self.branches + self.acceptors + number),
        }
    }

    pub(crate) fn has(&self, name: Name) -> bool {
        match name {
            Name::Branch(number) => number < self.branches,
            Name::Acceptor(number) => number < self.acceptors,
            Name::Manager(number) => number < MANAGERS,
        }
    }

    /// The branch where `account` is kept.
    pub(crate) fn home(&self, account: Account) -> NodeId {
        self.node(Name::Branch(u64::from(account.0) % self.branches))
    }

    /// How many acceptors make a quorum: the paper's F+1.
    pub(crate) fn quorum(&self) -> u64 {
        self.acceptors / 2 + 1
    }

    /// The configuration that all nodes share. The unit of time is the millisecond.
    pub(crate) fn cluster(&self, faster: bool) -> Result<Cluster, CastError> {
        let acceptors = (0..self.acceptors).map(|number| self.node(Name::Acceptor(number)));
        let managers = (0..MANAGERS).map(|number| self.node(Name::Manager(number)));
        // First votes go to one quorum only, as the paper counts; when that is slow, to all.
        let cluster = ClusterSpec::new(ClusterId(*b"the synod's bank"), Quorums::majority(acceptors)?, managers)
            .with_learning(if faster { Learning::Everyone } else { Learning::Leader })
            .with_targets(Targets::Quorum)
            .with_timeouts(
                Timeouts::default()
                    .with_flush(100)
                    .with_recover(500)
                    .with_inquire(700)
                    .with_repeat(300)
                    .with_ceiling(5_000),
            )
            .build()?;
        Ok(cluster)
    }
}

/// What is not the name of a node.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no name of a node; names are like branch-2, acceptor-1, tm-0")]
pub(crate) struct NoName(String);

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let no_name = || NoName(text.to_owned());
        let (kind, number) = text.rsplit_once('-').ok_or_else(no_name)?;
        let number = number.parse().map_err(|_| no_name())?;
        match kind {
            "branch" => Ok(Self::Branch(number)),
            "acceptor" => Ok(Self::Acceptor(number)),
            "tm" => Ok(Self::Manager(number)),
            _ => Err(no_name()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(number) => write!(f, "branch-{number}"),
            Self::Acceptor(number) => write!(f, "acceptor-{number}"),
            Self::Manager(number) => write!(f, "tm-{number}"),
        }
    }
}
