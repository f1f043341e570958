//! What can be wrong with a fjall storage.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use ::fjall::{Error, LsmError};

use crate::{codec::DecodeError, commit::Record, perform::EarlierLife};

/// Why a fjall storage failed.
///
/// See [`FjallStorage`](super::FjallStorage) for an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FjallError {
    /// The database failed.
    #[error("the database{} failed", in_folder(.path.as_deref()))]
    Database {
        /// The folder of the database, or of the keyspace in it. `From<fjall::Error>` does not know it.
        path: Option<PathBuf>,
        /// What fjall reported.
        source: Error,
    },
    /// The storage is not as it was written. Nothing can tell what the node has promised, so it must not vote: it never
    /// comes back under its id. See [`Start::Create`](crate::perform::Start::Create).
    #[error(
        "the storage in the folder {path} is damaged, and a node must not vote with it: give up this node and its id, and \
         create a new one, with an id that was never used, to take over its work"
    )]
    Damaged {
        /// The folder of the database.
        path: PathBuf,
        /// What is wrong with it.
        source: Damage,
    },
    /// There are records that only a newer version of this program can read. Nothing was changed, and nothing is lost.
    #[error(
        "the storage in the folder {path} was written by a newer version of this program, and this version cannot read it: \
         start the newer one again"
    )]
    Newer {
        /// The folder of the database.
        path: PathBuf,
        /// The first of the records.
        source: DecodeError,
    },
    /// The database is open already. Only one process at a time can open a database, and only once.
    #[error(
        "the folder {path} is in use by another process, or this process has opened it already: stop that process, or \
         give this one a folder of its own"
    )]
    Locked {
        /// The folder of the database.
        path: PathBuf,
    },
    /// The folder of a new database could not be made.
    #[error("the folder {path} could not be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file beside those of the database could not be read or written.
    #[error("the file {path} could not be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The storage was loaded again since.
    #[error(transparent)]
    EarlierLife(#[from] EarlierLife),
}

/// How a storage is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The database cannot be read.
    #[error("the database cannot be read")]
    Unreadable(#[source] Error),
    /// The database cannot be read: it panicked.
    #[error("the database cannot be read: {0}")]
    Panicked(String),
    /// Writes are gone that had been acknowledged.
    #[error("of {acknowledged} writes that were acknowledged only {found} are there")]
    Lost {
        /// At least so many writes were acknowledged.
        acknowledged: u64,
        /// So many are there.
        found: u64,
    },
    /// The records are not those that were written last.
    #[error("records were lost or changed after they had been written")]
    Changed,
    /// What is written with every batch, and tells whether all records are there, is missing or no such thing.
    #[error("the seal of the records is missing or unreadable")]
    NoSeal,
    /// The file that counts the acknowledged writes is missing, unreadable or another storage's.
    #[error("the file {0} is missing, unreadable, or another storage's")]
    NoCount(PathBuf),
    /// The stored bytes are no record.
    #[error("the stored bytes are no record")]
    Undecodable(#[source] DecodeError),
    /// A record is stored under a key that is not its own.
    #[error("a record is stored under a key that is not its own: {0:?}")]
    Misfiled(Box<Record>),
}

impl FjallError {
    /// What an error of the database in the folder `path` is: [`Locked`](Self::Locked) if the folder is in use,
    /// [`Damaged`](Self::Damaged) if what is in it cannot be read, else [`Database`](Self::Database).
    pub fn at(path: impl Into<PathBuf>, source: Error) -> Self {
        match source {
            Error::Locked => Self::Locked { path: path.into() },
            source if is_damage(&source) => Self::Damaged { path: path.into(), source: Damage::Unreadable(source) },
            source => Self::Database { path: Some(path.into()), source },
        }
    }
}

/// The folder is not known: [`FjallError::at`] takes it.
impl From<Error> for FjallError {
    fn from(source: Error) -> Self {
        Self::Database { path: None, source }
    }
}

fn in_folder(path: Option<&Path>) -> String {
    path.map(|path| format!(" in the folder {}", path.display())).unwrap_or_default()
}

/// Whether it is the bytes that are wrong, and not what reads them, or the caller.
fn is_damage(error: &Error) -> bool {
    let is_cut = |error: &io::Error| matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => is_cut(error),
        Error::Poisoned | Error::KeyspaceDeleted | Error::Locked => false,
        _ => true,
    }
}

/// Reads what may be damaged in the folder `path`. fjall panics over some of that.
pub(super) fn caught<T>(path: &Path, read: impl FnOnce() -> Result<T, FjallError>) -> Result<T, FjallError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let source = Damage::Panicked(message(&*panic));
        Err(FjallError::Damaged { path: path.into(), source })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| String::from(*text));
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
