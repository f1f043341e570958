//! Why a file cannot be used.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use synod::{NodeId, TxId, codec::DecodeError, commit::ClusterId};

/// Why a SQLite file cannot be used, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite failed.
    #[error("the database {} could not {what}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it was to do.
        what: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Other programs, or other branches, were writing for too long.
    #[error("the database {} is being written to by others for too long: end their transactions, or wait longer (`Options::wait`)", .0.display())]
    Busy(PathBuf),
    /// A branch is prepared, and its transaction is not over.
    #[error(
        "the database {} is held for transaction {tx}, which is not over: it goes on when the cluster and the other databases of that \
         transaction answer",
        path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
        /// The transaction.
        tx: TxId,
    },
    /// A statement that no branch may run.
    #[error(
        "a branch in {} reads, and changes rows of ordinary tables; this statement does something else: run it outside of a \
         transaction of synod (schema, PRAGMA, virtual tables), or leave it out (BEGIN, COMMIT, SAVEPOINT)",
        path.display()
    )]
    NotAllowed {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite has rolled the branch back, or a call was dropped before its answer came.
    #[error("the branch in {} was rolled back before its end: begin the transaction again", .0.display())]
    RolledBack(PathBuf),
    /// The file cannot be written to by several connections, as it is in no WAL mode.
    #[error("the database {} is in journal mode {mode} and not WAL: it must be a file, and on a local disk", path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The mode that it is in.
        mode: String,
    },
    /// A row refers to one that is not there.
    #[error("a row of the table {table:?} in {} refers to one of {parent:?} that is not there", path.display())]
    ForeignKey {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// What it refers to.
        parent: String,
    },
    /// Its transaction is over already.
    #[error("the branch of {tx} in {} was aborted before it came to be prepared", path.display())]
    Late {
        /// The file.
        path: PathBuf,
        /// The transaction.
        tx: TxId,
    },
    /// The file stands for another participant.
    #[error(
        "the database {} stands for participant {noted}, and was opened as {participant}: perhaps two paths are swapped, or the file \
         was copied. If it is to change its number, end what it holds prepared, and run \"DELETE FROM synod_identity\" in it",
        path.display()
    )]
    OtherParticipant {
        /// The file.
        path: PathBuf,
        /// As whose it was opened.
        participant: NodeId,
        /// Whose it is.
        noted: String,
    },
    /// The file stands in another cluster.
    #[error(
        "the database {} of {participant} stands in cluster {noted}, and not in {cluster}: perhaps it is another one's, or the \
         cluster's folder is a new one. If it is to change its cluster, end what it holds prepared, and run \
         \"DELETE FROM synod_identity\" in it",
        path.display()
    )]
    InOtherCluster {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        participant: NodeId,
        /// Its cluster.
        noted: String,
        /// The other one.
        cluster: ClusterId,
    },
    /// No agent has ever stood beside the file.
    #[error(
        "no agent has stood beside the database {} of {participant} yet, so nobody votes for it in cluster {cluster}: start its agent",
        path.display()
    )]
    NoAgent {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        participant: NodeId,
        /// The cluster.
        cluster: ClusterId,
    },
    /// A newer version of this package has written what is prepared.
    #[error(
        "what is prepared in {} cannot be read: it was written by a newer version of this program, so start that one again; or it is \
         damaged, and somebody has to look",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not, if it is what names the transaction.
        source: Option<DecodeError>,
    },
}

impl Error {
    /// What SQLite's error is, of the file `path` that was to do `what`.
    pub(crate) fn at(path: &Path, what: &'static str, source: rusqlite::Error) -> Self {
        let path = path.into();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(path),
            Some(ErrorCode::AuthorizationForStatementDenied) => Self::NotAllowed { path, source },
            _ => Self::Database { path, what, source },
        }
    }

    /// Whether it may be over by itself in a while.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}
