//! Why a database cannot be used.

use synod::NodeId;

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
    /// The table is not there, and the account may not make it.
    #[error("the table synod_fence is not there, and this account may not create it: have another one run \"{0}\"")]
    NoTable(String),
    /// The table is there, but knows no transactions.
    #[error("the table synod_fence has the engine {0}: ALTER TABLE synod_fence ENGINE=InnoDB")]
    NotInnoDb(String),
    /// The account may not use the table.
    #[error(
        "the account {0} may not read and write synod_fence: GRANT SELECT, INSERT, UPDATE, DELETE ON synod_fence TO {0}"
    )]
    NoRights(String),
}
