//! Why a database cannot be used.

use synod::{NodeId, commit::ClusterId};

/// Why a database cannot be used, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is malformed.
    #[error("the URL of the database is malformed")]
    Url(#[source] tokio_postgres::Error),
    /// No connection can be had.
    #[error("database {participant} gives no connection")]
    Connect {
        /// Whose database.
        participant: NodeId,
        /// What the driver says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("database {participant} could not {what}")]
    Statement {
        /// Whose database.
        participant: NodeId,
        /// What it was to do.
        what: &'static str,
        /// What it says.
        source: tokio_postgres::Error,
    },
    /// The handle is used with two clusters.
    #[error(
        "database {participant} stands in cluster {bound} by this handle, not in {cluster}: connect once for each cluster"
    )]
    OtherCluster {
        /// Whose database.
        participant: NodeId,
        /// The cluster that it was used with first.
        bound: ClusterId,
        /// The other one.
        cluster: ClusterId,
    },
    /// Something about the server must be changed first.
    #[error("database {participant} cannot take part: {missing}")]
    Missing {
        /// Whose database.
        participant: NodeId,
        /// What must be changed.
        missing: Missing,
    },
}

/// What must be changed at a server before its database can take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// It keeps no prepared transactions.
    #[error(
        "max_prepared_transactions is 0: set it in postgresql.conf to at least {0}, the connections of all applications, and restart the server"
    )]
    NoSlots(usize),
    /// It is a standby, where nothing is written.
    #[error("the server is in recovery, perhaps a standby: give the address of the primary")]
    ReadOnly,
    /// Commits are not waited for.
    #[error(
        "synchronous_commit is {0:?}, so a failover may lose what was promised: set it to on for this role, or for the server"
    )]
    NotSynchronous(String),
    /// The server is older than what this was made for.
    #[error("the server has version {0}: PostgreSQL 13 or newer is needed")]
    TooOld(String),
    /// The table is not there, and the role may not make it.
    #[error(
        "the table synod.fence is not there, and this role may not create it: have an owner of the database run \"{0}\""
    )]
    NoTable(String),
    /// The role may not use the table.
    #[error(
        "the role {0:?} may not read and write synod.fence: GRANT USAGE ON SCHEMA synod TO {0}; GRANT SELECT, INSERT, DELETE ON synod.fence TO {0}"
    )]
    NoRights(String),
}
