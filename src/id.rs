//! Names of processes, transactions and consensus instances.

use core::fmt;

/// The name of one process (node). Every role that a process plays goes by this one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(pub u64);

/// The name of one transaction: the node that numbered it, and its number there.
///
/// A name is used once, ever. [`Input::Begin`](crate::commit::Input::Begin) keeps that promise across restarts; a caller that
/// numbers transactions on its own ([`Input::BeginAs`](crate::commit::Input::BeginAs)) keeps it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxId {
    /// The node that gave the number.
    pub origin: NodeId,
    /// The number. Dense numbers keep the memory of finished transactions small.
    pub seq: u64,
}

/// The name of one consensus instance: the vote of one resource manager in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct InstanceId {
    /// The transaction.
    pub tx: TxId,
    /// The resource manager whose vote the instance chooses; the owner of its initial ballot.
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
