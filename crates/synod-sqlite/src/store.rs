//! A node's records in a SQLite file.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use synod::{
    codec,
    commit::{Key, Record},
    perform::{EarlierLife, Storage},
};

use crate::{
    count::Count,
    error::{Damage, SqliteError},
    seal::{Contents, Seal},
};

/// How long a lock is waited for, unless the connection is told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A storage in a SQLite file, which has the application's tables as well.
///
/// All stores on one file have one life at a time, in other processes too: once one of them is [loaded](Storage::load), those
/// that were opened before can write no more.
///
/// ```
/// use synod::{commit::Record, perform::Storage};
/// use synod_sqlite::{SqliteError, SqliteStore};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("shop.sqlite");
/// let mut store = SqliteStore::open(&path)?;
/// store.connection().execute_batch("CREATE TABLE sale (what TEXT)")?;
/// store.persist_with(&[Record::Sequence { reserved: 64 }], |db| {
///     db.execute("INSERT INTO sale VALUES ('a book')", [])?; // with the record, or not at all
///     Ok(())
/// })?;
///
/// let mut later = SqliteStore::open(&path)?;
/// assert_eq!(later.load()?, [Record::Sequence { reserved: 64 }]);
/// assert!(matches!(store.persist(&[Record::Rounds { reserved: 1 }]), Err(SqliteError::EarlierLife(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    db: Connection,
    path: PathBuf,
    /// The life that this handle belongs to.
    life: i64,
    count: Count,
    /// Whether a transaction is to be open until the next write.
    held: bool,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, or creates the file if it is missing. In a file of an application, the tables of
    /// the records are created beside its own.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SqliteError> {
        let path = path.as_ref();
        let open = || {
            // Not as a URI: a path may have a question mark.
            let flags =
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(PATIENCE)?;
            let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            if !mode.eq_ignore_ascii_case("wal") {
                return Err(SqliteError::NoWal { path: path.into(), mode });
            }
            // On macOS, nothing is forced to the disk without these. Elsewhere they do nothing.
            db.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")?;
            let (seal, count) = within(&db, path, |db| {
                Seal::create(db)?;
                let seal = seal_of(db, path)?;
                let count = Count::open(path, &seal)?;
                Ok((seal, count))
            })?;
            Ok(Self { db, path: path.into(), life: seal.life, count, held: false })
        };
        open().map_err(|error: SqliteError| error.of(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection, for reads, and for statements of the application that are no part of a distributed transaction. While
    /// something is [held](Self::hold), they are durable with the next write. The tables `synod_…` are not for them, and they
    /// must neither begin nor end a transaction: [`change`](Self::change) makes several of them one.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// Begins a transaction, unless it has begun already, which lasts until the next write: nobody else can write meanwhile, so
    /// what is found now is still there then. Returns the connection, to look.
    ///
    /// Fails with [`SqliteError::Busy`] if somebody else is writing for too long.
    pub fn hold(&mut self) -> Result<&Connection, SqliteError> {
        if self.db.is_autocommit() {
            self.check_held()?;
            self.db.execute_batch("BEGIN IMMEDIATE").map_err(|source| SqliteError::at(&self.path, source))?;
            self.held = true;
        }
        Ok(&self.db)
    }

    /// Makes `records` durable, and in the same transaction whatever `add` does.
    pub fn persist_with(
        &mut self,
        records: &[Record],
        add: impl FnOnce(&Connection) -> Result<(), SqliteError>,
    ) -> Result<(), SqliteError> {
        self.check_held()?;
        let (path, life) = (&self.path, self.life);
        let writes = within(&self.db, path, |db| {
            let mut seal = seal_of(db, path)?;
            if seal.life != life {
                return Err(EarlierLife.into());
            }
            put(db, records, &mut seal.contents)?;
            seal.writes += 1;
            seal.write(db)?;
            add(db)?;
            Ok(seal.writes)
        })?;
        self.held = false;
        self.count.raise(writes)
    }

    /// Writes a record that this version cannot read: as a newer version would, in tests.
    #[doc(hidden)]
    pub fn persist_bytes(&mut self, key: &[u8], record: &[u8]) -> Result<(), SqliteError> {
        let path = &self.path;
        let writes = within(&self.db, path, |db| {
            let mut seal = seal_of(db, path)?;
            replace(db, key, Some(record), &mut seal.contents)?;
            seal.writes += 1;
            seal.write(db)?;
            Ok(seal.writes)
        })?;
        self.count.raise(writes)
    }

    /// Makes a change of the application's own, all of it or none. It is durable when this returns, or, if something is
    /// [held](Self::hold), with the next write.
    pub fn change<T>(&mut self, change: impl FnOnce(&Connection) -> Result<T, SqliteError>) -> Result<T, SqliteError> {
        if self.db.is_autocommit() {
            return within(&self.db, &self.path, change);
        }
        let run = || {
            self.db.execute_batch("SAVEPOINT synod_change")?;
            let changed = change(&self.db);
            let undo = if changed.is_ok() { "" } else { "ROLLBACK TO synod_change; " };
            self.db.execute_batch(&format!("{undo}RELEASE synod_change"))?;
            changed
        };
        run().map_err(|error: SqliteError| error.of(&self.path))
    }

    /// SQLite ends a transaction by itself when a disk is full, and on a statement that says `ROLLBACK`.
    fn check_held(&self) -> Result<(), SqliteError> {
        if self.held && self.db.is_autocommit() {
            return Err(SqliteError::NotHeld { path: self.path.clone() });
        }
        Ok(())
    }
}

impl Storage for SqliteStore {
    type Error = SqliteError;

    fn load(&mut self) -> Result<Vec<Record>, SqliteError> {
        if !self.db.is_autocommit() {
            // What this handle held belongs to an earlier life.
            self.db.execute_batch("ROLLBACK").map_err(|source| SqliteError::at(&self.path, source))?;
        }
        let path = &self.path;
        // This waits for a write that is under way elsewhere.
        let (records, seal, count) = within(&self.db, path, |db| {
            let mut seal = seal_of(db, path)?;
            let (records, count) = (read(db, path, &seal)?, Count::open(path, &seal)?);
            seal.life += 1;
            seal.write(db)?;
            Ok((records, seal, count))
        })?;
        (self.life, self.count, self.held) = (seal.life, count, false);
        Ok(records)
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), SqliteError> {
        self.persist_with(records, |_| Ok(()))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).field("life", &self.life).finish()
    }
}

/// Does `work` in the transaction that is open, or in one that is begun for it, and commits; on an error everything is
/// rolled back.
fn within<T>(
    db: &Connection,
    path: &Path,
    work: impl FnOnce(&Connection) -> Result<T, SqliteError>,
) -> Result<T, SqliteError> {
    let run = || {
        if db.is_autocommit() {
            db.execute_batch("BEGIN IMMEDIATE")?;
        }
        let done = work(db)?;
        db.execute_batch("COMMIT")?;
        Ok(done)
    };
    run().map_err(|error: SqliteError| {
        if !db.is_autocommit() {
            // If this fails as well, the transaction ends with the connection.
            let _ = db.execute_batch("ROLLBACK");
        }
        error.of(path)
    })
}

fn seal_of(db: &Connection, path: &Path) -> Result<Seal, SqliteError> {
    Seal::read(db)?.ok_or_else(|| damaged(path, Damage::NoSeal))
}

/// Writes the last record of each key.
fn put(db: &Connection, records: &[Record], contents: &mut Contents) -> Result<(), SqliteError> {
    let last: BTreeMap<Key, &Record> = records.iter().map(|record| (record.key(), record)).collect();
    last.into_iter().try_for_each(|(key, record)| {
        let bytes = (!record.is_tombstone()).then(|| codec::encode_record(record));
        replace(db, &codec::encode_key(&key), bytes.as_deref(), contents)
    })
}

/// Writes the bytes of a record in the place of those that are there, or erases those.
fn replace(db: &Connection, key: &[u8], record: Option<&[u8]>, contents: &mut Contents) -> Result<(), SqliteError> {
    let mut select = db.prepare_cached("SELECT record FROM synod_records WHERE key = ?1")?;
    let before: Option<Vec<u8>> = select.query_row([key], |row| row.get(0)).optional()?;
    if let Some(before) = &before {
        contents.remove(key, before);
    }
    if let Some(record) = record {
        contents.add(key, record);
        db.prepare_cached("INSERT OR REPLACE INTO synod_records VALUES (?1, ?2)")?.execute([key, record])?;
    } else if before.is_some() {
        db.prepare_cached("DELETE FROM synod_records WHERE key = ?1")?.execute([key])?;
    }
    Ok(())
}

/// All records, if they are what `seal` is over.
fn read(db: &Connection, path: &Path, seal: &Seal) -> Result<Vec<Record>, SqliteError> {
    let (mut found, mut records, mut strange) = (Contents::default(), Vec::new(), None);
    let mut select = db.prepare_cached("SELECT key, record FROM synod_records")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (key, bytes): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        found.add(&key, &bytes);
        match codec::decode_record(&bytes) {
            Ok(record) => records.push(record),
            Err(error) => strange = strange.or(Some(error)),
        }
    }
    match strange {
        _ if found != seal.contents => Err(damaged(path, Damage::Changed)),
        // The seal says that it was written like that.
        Some(source) if source.is_news() => Err(SqliteError::Newer { path: path.into(), source }),
        Some(source) => Err(damaged(path, Damage::Undecodable(source))),
        None => Ok(records),
    }
}

fn damaged(path: &Path, source: Damage) -> SqliteError {
    SqliteError::Damaged { path: path.into(), source }
}
