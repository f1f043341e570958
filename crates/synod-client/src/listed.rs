//! What a database itself lists as prepared.

use std::time::Duration;

use synod::{NodeId, TxId, commit::ClusterId};

/// A prepared transaction of a database, as the database lists it: a branch of `synod`'s, or somebody else's. Both hold locks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// What the database calls it.
    pub name: String,
    /// Whose branch it is. `None` if it is not one of `synod`'s.
    pub branch: Option<ListedBranch>,
    /// For how long it has been prepared, if the database tells.
    pub age: Option<Duration>,
}

/// What the name of a branch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedBranch {
    /// The cluster of its transaction.
    pub cluster: ClusterId,
    /// Whose branch it is.
    pub participant: NodeId,
    /// Its transaction.
    pub tx: TxId,
}

impl Listed {
    /// What a database calls `name`, and has had prepared for this long.
    pub fn new(name: String, branch: Option<ListedBranch>, age: Option<Duration>) -> Self {
        Self { name, branch, age }
    }
}
