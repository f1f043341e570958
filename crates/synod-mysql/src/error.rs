//! Why a database cannot be used.

use std::time::Duration;

use synod::{NodeId, commit::ClusterId};

use crate::codes;

/// Why a database cannot be used, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is malformed.
    #[error("the URL of the database is malformed")]
    Url(#[source] mysql_async::UrlError),
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
        source: mysql_async::Error,
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
    /// The database stands for another participant.
    #[error(
        "the database {database:?} stands for participant {noted}, and was connected to as {participant}: perhaps two URLs are \
         swapped, or a configuration was copied; give it the URL of its own database. If this database is to change its number, \
         end all that it holds prepared, and run \"DELETE FROM synod_identity\" in it"
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
         end all that it holds prepared, and run \"DELETE FROM synod_identity\" in it"
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
            // Whatever is no error of the driver's is a time that is over.
            Self::Connect { source, .. } => source.downcast_ref().is_none_or(codes::is_away),
            Self::Statement { source, .. } => codes::is_away(source),
            Self::Silent { .. } => true,
            _ => false,
        }
    }
}

/// What must be changed at a server before its database can take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The URL names no database.
    #[error("the URL names no database: append one, as in mysql://user@host/database")]
    NoDatabase,
    /// The server is older than what this was made for.
    #[error(
        "the server has version {0}, which loses prepared transactions: upgrade to MariaDB 10.5 or MySQL 8.0.30, or newer"
    )]
    TooOld(String),
    /// It is a replica, or otherwise read only.
    #[error("the server is read_only, perhaps a replica: give the address of the primary")]
    ReadOnly,
    /// Commits are not waited for.
    #[error(
        "innodb_flush_log_at_trx_commit is {0}, so a crash may lose what was promised: set it to 1 in the server's configuration"
    )]
    NotDurable(u64),
    /// Prepared branches are not shown to the account.
    #[error("the account {0} may not see prepared transactions: GRANT XA_RECOVER_ADMIN ON *.* TO {0}")]
    NoRecover(String),
    /// A table is not there, and the account may not make it.
    #[error(
        "the tables synod_fence and synod_identity are not there, and this account may not create them: have another one run \"{0}\""
    )]
    NoTable(String),
    /// A table is there, but knows no transactions.
    #[error(
        "a table has the engine {0}: ALTER TABLE synod_fence ENGINE=InnoDB; ALTER TABLE synod_identity ENGINE=InnoDB"
    )]
    NotInnoDb(String),
    /// The account may not use the tables.
    #[error(
        "the account {0} may not read and write synod_fence and synod_identity: \
         GRANT SELECT, INSERT, UPDATE, DELETE ON synod_fence TO {0}; GRANT SELECT, INSERT, UPDATE ON synod_identity TO {0}"
    )]
    NoRights(String),
}
