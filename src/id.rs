//! Names of processes, transactions and consensus instances.

use core::fmt;

/// The name of one process (node), and of every role that it plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(pub u64);

/// The name of one transaction: the node that numbered it, and its number there.
///
/// A name is used only once. [`Input::Begin`](crate::commit::Input::Begin) guarantees that across restarts; a caller
/// that numbers transactions itself ([`Input::BeginAs`](crate::commit::Input::BeginAs)) must guarantee it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxId {
    /// The node that gave the number.
    pub origin: NodeId,
    /// The number. Consecutive numbers keep the memory of finished transactions small.
    pub seq: u64,
}

/// The name of one consensus instance: the vote of one resource manager in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct InstanceId {
    /// The transaction.
    pub tx: TxId,
    /// The resource manager whose vote the instance chooses, and which owns its initial ballot.
    pub rm: NodeId,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.seq)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tx, self.rm)
    }
}
