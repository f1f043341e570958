//! Records in a [fjall] database.
//!
//! Every write is one atomic batch with a durable commit: after a crash, and after SIGKILL at any moment, a batch is
//! there as a whole or not at all, and it is there if [`Storage::persist`] has returned.
//!
//! # Damage
//!
//! A node that forgets what it has promised can vote twice, so a damaged storage must not look like one that was written
//! to less. fjall by itself takes damage in its journal for the end of what was written, and goes on without the rest.
//! Therefore every batch carries a *seal*, which counts the batches and sums up all records that are there after it, and
//! the number of batches that were acknowledged is kept in a file beside the database. When a storage is opened and loaded,
//! both must fit what is there; if they do not, the error is [`FjallError::Damaged`]. This is found:
//!
//! - a record that is missing, changed, misplaced, or there though it was erased, wherever it was kept;
//! - acknowledged batches that are missing, at the end too, after the process ended in any way or was killed;
//! - after a power failure, in which the file may lose its last seconds: those of which a later batch, even a damaged one,
//!   is still in a journal (only by [`FjallStorage::open`]: a database that the caller has opened has cut its journal
//!   already).
//!
//! For that, 32 bytes of each record are kept in memory, and what a map takes beside them.
//!
//! Records of a newer version of this program are no damage: they are as they were written, and [`FjallError::Newer`] says
//! so.
//!
//! Not found is the loss of the last batches after a power failure, if nothing of any batch after them is left: those are
//! what a disk loses that does not keep its word on a sync. Nor is it found if the whole folder is replaced by an older
//! copy of itself. No storage can see that for itself: never restore a backup.

mod count;
mod error;
mod folder;
mod seal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    vec::Vec,
};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use self::{
    count::Count,
    error::caught,
    seal::{Contents, Seal},
};
pub use self::{
    error::{Damage, FjallError},
    folder::create_whole,
};
use super::{Lives, Storage, lives::Shared};
use crate::{
    codec,
    commit::{Key, Record},
};

/// The keyspace that [`FjallStorage::open`] uses.
pub const KEYSPACE: &str = "synod";

/// A storage in one keyspace of a fjall database.
///
/// All storages in one keyspace, clones or not, have one life at a time: once one of them is
/// [loaded](Storage::load), those that were made before can write no more. To look at the records without that, use
/// [`records`](FjallStorage::records).
///
/// ```
/// use synod::{commit::Record, perform::{Storage, fjall::{FjallError, FjallStorage}}};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("node-1");
/// let mut storage = FjallStorage::open(&path)?;
/// storage.persist(&[Record::Sequence { reserved: 64 }])?;
/// assert!(matches!(FjallStorage::open(&path), Err(FjallError::Locked { .. })));
/// drop(storage);
/// assert_eq!(FjallStorage::open(&path)?.load()?, [Record::Sequence { reserved: 64 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FjallStorage {
    database: Database,
    records: Keyspace,
    mode: PersistMode,
    lives: Lives<Written>,
}

/// What all storages in one keyspace know of what was written.
#[derive(Debug)]
struct Written {
    count: Count,
    /// What is there since the last batch. Unknown before the first one, while a batch is being written, and after one has
    /// failed.
    contents: Option<Contents>,
}

impl FjallStorage {
    /// The storage in the database at `path`. If there is nothing or an empty folder, a database is made there, as a whole
    /// or not at all.
    ///
    /// For tables of your own beside it, use [`database`](FjallStorage::database). To open the database yourself and use
    /// [`within`](FjallStorage::within) notices less [damage](self), and fjall panics over some.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FjallError> {
        let path = path.as_ref();
        let open = |path: &Path| {
            caught(path, || {
                let database = Database::builder(path).worker_threads(1).open();
                Self::within(database.map_err(|source| FjallError::at(path, source))?, KEYSPACE)
            })
        };
        if folder::is_blank(path) {
            create_whole(path, |fresh| open(fresh).map(drop))?;
        } else if let Some(mut count) = Count::open(&count::path(path, KEYSPACE))? {
            // To open the database is to cut off what it takes for the torn end of its journal.
            count.learn(path)?;
        }
        open(path)
    }

    /// The storage in one keyspace of the caller's own database, which is made if there is none of that name. Nothing
    /// else may write to that keyspace, and nothing may remove the file `.acknowledged` that goes with it.
    pub fn within(database: Database, keyspace: &str) -> Result<Self, FjallError> {
        let records = database.keyspace(keyspace, KeyspaceCreateOptions::default)?;
        let lives = lives(&records)?;
        Ok(Self { database, records, mode: PersistMode::SyncAll, lives })
    }

    /// This storage, with another kind of sync. [`PersistMode::Buffer`] outlives the process, but not the machine: after
    /// that, the storage may be [damaged](FjallError::Damaged).
    #[must_use]
    pub fn with_mode(self, mode: PersistMode) -> Self {
        Self { mode, ..self }
    }

    /// The database, for the caller's own keyspaces.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// All durable records, in the order of their keys, for a caller that only looks at them: this begins no new life.
    pub fn records(&self) -> Result<Vec<Record>, FjallError> {
        let written = self.lives.inspect();
        Ok(read(&self.records, &written.count)?.0)
    }

    /// Makes `records` durable, and in the same atomic batch whatever `add` puts there: a resource's own changes. No
    /// storage in the same keyspace can be loaded or written to before `add` returns.
    pub fn persist_with(
        &mut self,
        records: &[Record],
        add: impl FnOnce(&mut OwnedWriteBatch),
    ) -> Result<(), FjallError> {
        // A batch has one sequence number: of two writes to one key fjall may keep either, so only the last one goes in.
        let mut sorted: Vec<(Key, &Record)> = records.iter().map(|record| (record.key(), record)).collect();
        sorted.sort_by_key(|(key, _)| *key);
        let last = sorted.chunk_by(|one, next| one.0 == next.0).filter_map(<[_]>::last);
        self.write(sorted.len(), |filling| {
            let (mut bytes_of_key, mut bytes) = (Vec::new(), Vec::new());
            for (key, record) in last {
                bytes_of_key.clear();
                codec::encode_key_into(&mut bytes_of_key, key);
                bytes.clear();
                if !record.is_tombstone() {
                    codec::encode_record_into(&mut bytes, record);
                }
                filling.put(&bytes_of_key, (!record.is_tombstone()).then_some(&*bytes));
            }
            add(&mut filling.batch);
        })
    }

    /// Writes a record, or erases one, that this version cannot read: as a newer version would, in tests.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub fn persist_newer(&mut self, key: &[u8], record: Option<&[u8]>) -> Result<(), FjallError> {
        self.write(1, |filling| filling.put(key, record))
    }

    /// Makes what `fill` puts in one batch durable.
    fn write(&mut self, records: usize, fill: impl FnOnce(&mut Filling<'_>)) -> Result<(), FjallError> {
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), records + 1).durability(Some(self.mode));
        // From here until the batch has landed no new life begins.
        let mut written = self.lives.write()?;
        let contents = match written.contents.take() {
            Some(contents) => contents,
            None => scan(&self.records, &written.count, |_, _| Ok(()))?,
        };
        let mut filling = Filling { records: &self.records, batch, contents };
        fill(&mut filling);
        let Filling { mut batch, mut contents, .. } = filling;
        if !batch.is_empty() {
            contents.seal.batches += 1;
            batch.insert(&self.records, seal::KEY, contents.seal.encode(&written.count.nonce));
            batch.commit().map_err(|source| at(&self.records, source))?;
            written.count.raise(contents.seal.batches)?;
        }
        written.contents = Some(contents);
        Ok(())
    }
}

/// A batch, and what is there after it.
struct Filling<'a> {
    records: &'a Keyspace,
    batch: OwnedWriteBatch,
    contents: Contents,
}

impl Filling<'_> {
    /// Writes the bytes of a record, or erases it.
    fn put(&mut self, key: &[u8], record: Option<&[u8]>) {
        self.contents.put(key, record);
        match record {
            Some(record) => self.batch.insert(self.records, key, record),
            None => self.batch.remove(self.records, key),
        }
    }
}

impl Storage for FjallStorage {
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        // A write that is under way is over before this goes on.
        let mut written = self.lives.begin();
        written.contents = None;
        let (records, contents) = read(&self.records, &written.count)?;
        written.contents = Some(contents);
        Ok(records)
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), FjallError> {
        self.persist_with(records, |_| {})
    }
}

impl core::fmt::Debug for FjallStorage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FjallStorage").field("path", &self.records.path()).field("mode", &self.mode).finish()
    }
}

/// What all storages in a keyspace share. A database can be open only once, so the folder of its keyspace names it.
fn lives(keyspace: &Keyspace) -> Result<Lives<Written>, FjallError> {
    static ALL: Mutex<BTreeMap<PathBuf, Weak<Mutex<Shared<Written>>>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, shared| shared.strong_count() > 0);
    if let Some(shared) = all.get(keyspace.path()).and_then(Weak::upgrade) {
        return Ok(Lives::join(shared));
    }
    let path = count::path(folder_of(keyspace), keyspace.name());
    let count = match Count::open(&path)? {
        Some(count) => count,
        None if keyspace.is_empty().map_err(|source| at(keyspace, source))? => Count::create(&path)?,
        None => return Err(count::damaged(&path)),
    };
    sealed(keyspace, &count)?;
    let lives = Lives::new(Written { count, contents: None });
    all.insert(keyspace.path().into(), Arc::downgrade(lives.shared()));
    Ok(lives)
}

/// The seal of the last batch, if no acknowledged batch is missing.
fn sealed(keyspace: &Keyspace, count: &Count) -> Result<Seal, FjallError> {
    let seal = match keyspace.get(seal::KEY).map_err(|source| at(keyspace, source))? {
        Some(bytes) => Some(Seal::decode(&bytes, &count.nonce).ok_or_else(|| damaged(keyspace, Damage::NoSeal))?),
        None => None,
    };
    checked(keyspace, count, seal)
}

fn checked(keyspace: &Keyspace, count: &Count, seal: Option<Seal>) -> Result<Seal, FjallError> {
    let (found, acknowledged) = (seal.map_or(0, |seal| seal.batches), count.acknowledged);
    if found < acknowledged {
        return Err(damaged(keyspace, Damage::Lost { acknowledged, found }));
    }
    match seal {
        Some(seal) => Ok(seal),
        None if keyspace.is_empty().map_err(|source| at(keyspace, source))? => Ok(Seal::default()),
        None => Err(damaged(keyspace, Damage::NoSeal)),
    }
}

/// What is there, if it is what the last seal is over. `each` looks at every record.
fn scan(
    keyspace: &Keyspace,
    count: &Count,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), FjallError>,
) -> Result<Contents, FjallError> {
    caught(folder_of(keyspace), || {
        let (mut contents, mut last) = (Contents::default(), None);
        for entry in keyspace.iter() {
            let (key, value) = entry.into_inner().map_err(|source| at(keyspace, source))?;
            if *key == *seal::KEY {
                last = Some(Seal::decode(&value, &count.nonce).ok_or_else(|| damaged(keyspace, Damage::NoSeal))?);
                continue;
            }
            contents.put(&key, Some(&value));
            each(&key, &value)?;
        }
        let seal = checked(keyspace, count, last)?;
        if !seal.is_over_the_same(&contents.seal) {
            return Err(damaged(keyspace, Damage::Changed));
        }
        contents.seal = seal;
        Ok(contents)
    })
}

/// All records, and what is there.
fn read(keyspace: &Keyspace, count: &Count) -> Result<(Vec<Record>, Contents), FjallError> {
    let (mut records, mut newer) = (Vec::new(), None);
    let contents = scan(keyspace, count, |key, value| {
        match codec::decode_record(value) {
            Ok(record) if codec::encode_key(&record.key()) == key => records.push(record),
            Ok(record) => return Err(damaged(keyspace, Damage::Misfiled(Box::new(record)))),
            Err(error) if error.is_news() => newer = newer.take().or(Some(error)),
            Err(error) => return Err(damaged(keyspace, Damage::Undecodable(error))),
        }
        Ok(())
    });
    match newer {
        None => Ok((records, contents?)),
        // If a seal says so, it was written like that.
        Some(source) if contents.is_ok() => Err(FjallError::Newer { path: folder_of(keyspace).into(), source }),
        Some(source) => Err(damaged(keyspace, Damage::Undecodable(source))),
    }
}

/// The folder of the database.
fn folder_of(keyspace: &Keyspace) -> &Path {
    let path = keyspace.path();
    path.ancestors().nth(2).unwrap_or(path)
}

fn at(keyspace: &Keyspace, source: ::fjall::Error) -> FjallError {
    FjallError::at(folder_of(keyspace), source)
}

fn damaged(keyspace: &Keyspace, source: Damage) -> FjallError {
    FjallError::Damaged { path: folder_of(keyspace).into(), source }
}
