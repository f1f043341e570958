//! Who plays: three acceptors that are transaction managers too, an agent for each of two databases, and applications.

use std::{fmt, str::FromStr};

use synod::{
    NodeId, Quorums,
    commit::{Cluster, ClusterId, ClusterSpec, Timeouts},
};

/// The cluster's name.
pub(crate) const CLUSTER: ClusterId = ClusterId(*b"the bank's money");

/// How many acceptors there are.
pub(crate) const MANAGERS: u64 = 3;

/// The name of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// An acceptor and transaction manager.
    Manager(u64),
    /// The agent of the database of this side, 0 or 1.
    Agent(u64),
    /// An application.
    Application(u64),
}

/// Everyone but the applications.
pub(crate) fn nodes() -> impl Iterator<Item = Name> {
    (0..MANAGERS).map(Name::Manager).chain([Name::Agent(0), Name::Agent(1)])
}

impl Name {
    /// The number of its node. An application has none.
    pub(crate) fn node(self) -> Option<NodeId> {
        match self {
            Self::Manager(number) => Some(NodeId(1 + number)),
            Self::Agent(side) => Some(participant(side)),
            Self::Application(_) => None,
        }
    }
}

/// The participant that stands for the database of this side.
pub(crate) fn participant(side: u64) -> NodeId {
    NodeId(11 + side)
}

/// The configuration that all nodes share. The unit of time is the millisecond.
pub(crate) fn cluster() -> anyhow::Result<Cluster> {
    let managers = || (0..MANAGERS).filter_map(|number| Name::Manager(number).node());
    let timeouts = Timeouts::default().with_inquire(1_000).with_ceiling(5_000);
    Ok(ClusterSpec::new(CLUSTER, Quorums::majority(managers())?, managers()).with_timeouts(timeouts).build()?)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(number) => write!(f, "manager-{number}"),
            Self::Agent(side) => write!(f, "agent-{side}"),
            Self::Application(number) => write!(f, "application-{number}"),
        }
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let known = || anyhow::anyhow!("{text:?} is no name of a process; names are like manager-0 and agent-1");
        let (kind, number) = text.rsplit_once('-').ok_or_else(known)?;
        let number = number.parse().map_err(|_| known())?;
        match kind {
            "manager" if number < MANAGERS => Ok(Self::Manager(number)),
            "agent" if number < 2 => Ok(Self::Agent(number)),
            "application" => Ok(Self::Application(number)),
            _ => Err(known()),
        }
    }
}
