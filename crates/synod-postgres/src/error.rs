//! Why a database cannot be used.

use std::time::Duration;

use deadpool_postgres::PoolError;
use synod::{NodeId, commit::ClusterId};
use tokio_postgres::error::SqlState;

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
    /// No answer came in time. What was asked may have been done.
    #[error(
        "database {participant} was to {what}, and has not answered for {waited:?}: it is not known whether it did"
    )]
    Silent {
        /// Whose database.
        participant: NodeId,
        /// What it was to do.
        what: &'static str,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// The wait for a standby was cancelled, by an operator or a time-out of the server. What was asked is done, but a failover may lose
    /// it.
    #[error(
        "database {participant} was to {what}, and something has cancelled the wait until its standby has that, too: \
         see that the standby runs, and that nothing cancels what waits for it"
    )]
    NotAtStandby {
        /// Whose database.
        participant: NodeId,
        /// What it was to do.
        what: &'static str,
    },
    /// The database stands for another participant.
    #[error(
        "the database {database:?} stands for participant {noted}, and was connected to as {participant}: perhaps two URLs are \
         swapped, or a configuration was copied; give it the URL of its own database. If this database is to change its number, \
         end all that it holds prepared, and run \"DELETE FROM synod.identity\" in it"
    )]
    OtherParticipant {
        /// As whose it was connected to.
        participant: NodeId,
        /// What it is called at its server.
        database: String,
        /// Whose it is.
        noted: String,
    },
    /// The database stands in another cluster.
    #[error(
        "the database {database:?} of {participant} stands in cluster {noted}, and not in {cluster}: perhaps it is another one's, \
         or the cluster's folder is a new one; give back the folder, or another URL. If this database is to change its cluster, \
         end all that it holds prepared, and run \"DELETE FROM synod.identity\" in it"
    )]
    InOtherCluster {
        /// Whose database.
        participant: NodeId,
        /// What it is called at its server.
        database: String,
        /// Its cluster.
        noted: String,
        /// The other one.
        cluster: ClusterId,
    },
    /// No agent has ever stood beside the database.
    #[error(
        "no agent has stood beside the database {database:?} of {participant} yet, so nobody votes for it in cluster {cluster}: start \
         its agent, with the same URL"
    )]
    NoAgent {
        /// Whose database.
        participant: NodeId,
        /// What it is called at its server.
        database: String,
        /// The cluster.
        cluster: ClusterId,
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

impl Error {
    /// Whether the database is only away: it does not answer, or does not yet take connections.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Connect { source, .. } => match source.downcast_ref() {
                Some(PoolError::Backend(error)) => is_away(error),
                Some(PoolError::Timeout(_)) => true,
                _ => false,
            },
            Self::Statement { source, .. } => is_away(source),
            Self::Silent { .. } | Self::NotAtStandby { .. } => true,
            _ => false,
        }
    }

    /// The server's code.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        if let Self::Statement { source, .. } = self { source.code() } else { None }
    }
}

/// Whether the server could not be asked. What it answers while it starts, ends or is full counts as no answer.
fn is_away(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| code.code().starts_with("57P0") || *code == SqlState::TOO_MANY_CONNECTIONS)
}

/// What must be changed at a server before its database can take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// It keeps no prepared transactions.
    #[error(
        "max_prepared_transactions is {there}: set it in postgresql.conf to at least {wanted}, the connections of all applications, and restart the server"
    )]
    NoSlots {
        /// What it is.
        there: usize,
        /// What this application alone needs.
        wanted: usize,
    },
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
    /// A table is not there, and the role may not make it.
    #[error(
        "the tables synod.fence, synod.participants and synod.identity are not all there, and this role may not create them: have an \
         owner of the database run \"{0}\""
    )]
    NoTable(String),
    /// The role may not use the tables.
    #[error(
        "the role {0:?} may not read and write synod.fence, synod.participants and synod.identity: \
         GRANT USAGE ON SCHEMA synod TO {0}; GRANT SELECT, INSERT, DELETE ON synod.fence, synod.participants TO {0}; \
         GRANT SELECT, INSERT, UPDATE ON synod.identity TO {0}"
    )]
    NoRights(String),
}
