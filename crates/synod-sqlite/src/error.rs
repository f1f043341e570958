//! What can be wrong with a SQLite store.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;
use synod::{codec::DecodeError, perform::EarlierLife};

/// Why a SQLite store failed.
///
/// ```
/// use synod_sqlite::{SqliteError, SqliteStore};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("letter.txt");
/// std::fs::write(&path, "Dear reader, this is no database. ".repeat(99))?;
/// assert!(matches!(SqliteStore::open(&path), Err(SqliteError::Damaged { .. })));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// SQLite failed.
    #[error("the database{} failed", at(.path.as_deref()))]
    Database {
        /// The file. `From<rusqlite::Error>` does not know it.
        path: Option<PathBuf>,
        /// What SQLite reported.
        source: rusqlite::Error,
    },
    /// Another connection has held the lock for too long. Nothing was written.
    #[error(
        "another connection keeps the database {path} locked: end its transaction, or wait longer for it \
         (`SqliteStore::connection`, `busy_timeout`)"
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// What SQLite reported.
        source: rusqlite::Error,
    },
    /// The file is not as it was written. Nothing can tell what the node has promised, so it must not vote: it never comes
    /// back under its id. See [`Start::Create`](synod::perform::Start::Create).
    #[error(
        "the database {path} is damaged, and a node must not vote with it: give up this node and its id, and create a \
         new one, with an id that was never used, to take over its work"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Damage,
    },
    /// There are records that only a newer version of this program can read. Nothing was changed, and nothing is lost.
    #[error(
        "the records in {path} were written by a newer version of this program, and this version cannot read them: start \
         the newer one again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first of the records.
        source: DecodeError,
    },
    /// The file cannot be written to by several connections, as it is in no WAL mode.
    #[error("the database {path} is in journal mode {mode} and not WAL: it must be a file, and on a local disk")]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The mode that it is in.
        mode: String,
    },
    /// The file beside the database could not be read or written.
    #[error("the file {path} could not be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The transaction that was to last until the next write has ended, so others may have changed what was looked at in it.
    /// Nothing was written.
    #[error(
        "a transaction on {path} has ended before its time, by a statement of the application or for want of space on the \
         disk: drop the node, and restore it"
    )]
    NotHeld {
        /// The file.
        path: PathBuf,
    },
    /// What was promised is not there any more: another writer has got past the guard. Nothing was written.
    #[error(
        "what was promised of the row {row} of the table {table} is not there: find who has taken it (a writer that has \
         dropped the triggers `synod_guard_…`), put it back, and start the node again"
    )]
    PromiseLost {
        /// The table.
        table: String,
        /// The key of the row.
        row: String,
    },
    /// The store was loaded again since, here or in another process.
    #[error(transparent)]
    EarlierLife(#[from] EarlierLife),
}

/// How a store is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] rusqlite::Error),
    /// Writes are gone that had been acknowledged.
    #[error("of {acknowledged} writes that were acknowledged only {found} are there")]
    Lost {
        /// At least so many writes were acknowledged.
        acknowledged: i64,
        /// So many are there.
        found: i64,
    },
    /// The records are not those that were written last.
    #[error("records were lost or changed after they had been written")]
    Changed,
    /// What tells whether all records are there is missing.
    #[error("the seal of the records (in `synod_seal`) is missing or unreadable")]
    NoSeal,
    /// The file that counts the acknowledged writes is missing, unreadable or another store's.
    #[error("the file {0} is missing, unreadable, or another store's")]
    NoCount(PathBuf),
    /// The stored bytes are no record.
    #[error("the stored bytes are no record")]
    Undecodable(#[source] DecodeError),
}

impl SqliteError {
    /// What an error of the file `path` is.
    pub(crate) fn at(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.into();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path, source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, source: Damage::Unreadable(source) }
            }
            _ => Self::Database { path: Some(path), source },
        }
    }

    /// This error, now that the file is known.
    pub(crate) fn of(self, path: &Path) -> Self {
        match self {
            Self::Database { path: None, source } => Self::at(path, source),
            other => other,
        }
    }
}

/// The file is not known yet: [`SqliteStore`](crate::SqliteStore) adds it.
impl From<rusqlite::Error> for SqliteError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database { path: None, source }
    }
}

fn at(path: Option<&Path>) -> String {
    path.map(|path| format!(" {}", path.display())).unwrap_or_default()
}
