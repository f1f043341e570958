//! Records in a [fjall] database.
//!
//! Every write is one atomic batch with a durable commit: after a crash, and after SIGKILL at any moment, a batch is
//! there as a whole or not at all, and it is there if [`Storage::persist`] has returned.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    vec::Vec,
};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::{EarlierLife, Lives, Storage, lives::Shared};
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
#[derive(Clone)]
pub struct FjallStorage {
    database: Database,
    records: Keyspace,
    mode: PersistMode,
    lives: Lives<()>,
}

/// Why a fjall storage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FjallError {
    /// The database failed.
    #[error("the database{} failed", in_folder(.path.as_deref()))]
    Database {
        /// The folder of the database, or of the keyspace in it. `From<fjall::Error>` does not know it.
        path: Option<PathBuf>,
        /// What fjall reported.
        source: ::fjall::Error,
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
    /// The stored bytes are no record.
    #[error("the stored bytes are no record")]
    Undecodable(#[from] codec::DecodeError),
    /// A record is stored under a key that is not its own.
    #[error("a record is stored under a key that is not its own: {0:?}")]
    Misfiled(Box<Record>),
    /// The storage was loaded again since.
    #[error(transparent)]
    EarlierLife(#[from] EarlierLife),
}

impl FjallError {
    /// What an error of the database in the folder `path` is: [`Locked`](Self::Locked) if the folder is in use, else
    /// [`Database`](Self::Database).
    pub fn at(path: impl Into<PathBuf>, source: ::fjall::Error) -> Self {
        match source {
            ::fjall::Error::Locked => Self::Locked { path: path.into() },
            source => Self::Database { path: Some(path.into()), source },
        }
    }
}

/// The folder is not known: [`FjallError::at`] takes it.
impl From<::fjall::Error> for FjallError {
    fn from(source: ::fjall::Error) -> Self {
        Self::Database { path: None, source }
    }
}

fn in_folder(path: Option<&Path>) -> String {
    path.map(|path| format!(" in the folder {}", path.display())).unwrap_or_default()
}

impl FjallStorage {
    /// The storage in the database at `path`. If there is nothing or an empty folder, a database is made there, as a whole
    /// or not at all.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FjallError> {
        let path = path.as_ref();
        let open = |path: &Path| {
            let database = Database::builder(path).worker_threads(1).open();
            database
                .and_then(|database| Self::keyspace(database, KEYSPACE))
                .map_err(|source| FjallError::at(path, source))
        };
        if is_blank(path) {
            create_whole(path, |fresh| open(fresh).map(drop))?;
        }
        open(path)
    }

    /// The storage in one keyspace of the caller's own database, which is made if there is none of that name. Nothing
    /// else may write to that keyspace.
    pub fn within(database: Database, keyspace: &str) -> Result<Self, FjallError> {
        Ok(Self::keyspace(database, keyspace)?)
    }

    fn keyspace(database: Database, keyspace: &str) -> ::fjall::Result<Self> {
        let records = database.keyspace(keyspace, KeyspaceCreateOptions::default)?;
        let lives = lives_of(records.path());
        Ok(Self { database, records, mode: PersistMode::SyncAll, lives })
    }

    /// This storage, with another kind of sync. [`PersistMode::Buffer`] outlives the process, but not the machine.
    #[must_use]
    pub fn with_mode(self, mode: PersistMode) -> Self {
        Self { mode, ..self }
    }

    /// The database, for the caller's own keyspaces.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// All durable records, in the order of their keys, for whoever only looks at them: this begins no new life.
    pub fn records(&self) -> Result<Vec<Record>, FjallError> {
        let _alone = self.lives.inspect();
        self.read()
    }

    fn read(&self) -> Result<Vec<Record>, FjallError> {
        let mut records = Vec::new();
        for entry in self.records.iter() {
            let (key, value) = entry.into_inner().map_err(|source| self.failed(source))?;
            let record = codec::decode_record(&value)?;
            if codec::encode_key(&record.key()) != *key {
                return Err(FjallError::Misfiled(Box::new(record)));
            }
            records.push(record);
        }
        Ok(records)
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
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), sorted.len()).durability(Some(self.mode));
        let (mut bytes_of_key, mut bytes) = (Vec::new(), Vec::new());
        for (key, record) in last {
            bytes_of_key.clear();
            codec::encode_key_into(&mut bytes_of_key, key);
            if record.is_tombstone() {
                batch.remove(&self.records, bytes_of_key.as_slice());
            } else {
                bytes.clear();
                codec::encode_record_into(&mut bytes, record);
                batch.insert(&self.records, bytes_of_key.as_slice(), bytes.as_slice());
            }
        }
        // The batch may have been made before a new life began. It must not land after that.
        let _alone = self.lives.write()?;
        add(&mut batch);
        batch.commit().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: ::fjall::Error) -> FjallError {
        FjallError::at(self.records.path(), source)
    }
}

impl Storage for FjallStorage {
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        // A write that is under way is over before this goes on.
        drop(self.lives.begin());
        self.read()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), FjallError> {
        self.persist_with(records, |_| {})
    }
}

/// What all storages in the keyspace with this folder share. A database can be open only once, so its folder names it.
fn lives_of(keyspace: &Path) -> Lives<()> {
    static ALL: Mutex<BTreeMap<PathBuf, Weak<Mutex<Shared<()>>>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, shared| shared.strong_count() > 0);
    match all.get(keyspace).and_then(Weak::upgrade) {
        Some(shared) => Lives::join(shared),
        None => {
            let lives = Lives::default();
            all.insert(keyspace.into(), Arc::downgrade(lives.shared()));
            lives
        }
    }
}

impl core::fmt::Debug for FjallStorage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FjallStorage").field("path", &self.records.path()).field("mode", &self.mode).finish()
    }
}

/// Makes a folder of databases appear at `path` as a whole or not at all. (fjall cannot open what a kill left half made.)
///
/// `fill` makes them in a folder next to `path`, and closes them; what an earlier kill left there is removed first.
pub fn create_whole<E>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E>
where
    E: From<FjallError>,
{
    let failed = |source| FjallError::Folder { path: path.into(), source };
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut unfinished = name.to_os_string();
    unfinished.push(".unfinished");
    let unfinished = path.with_file_name(unfinished);
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed)?;
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error).into()),
        _ => {}
    }
    fill(&unfinished)?;
    // This removes an empty folder only, and then there is nothing to be lost.
    let _ = fs::remove_dir(path);
    fs::rename(&unfinished, path).map_err(failed)?;
    sync_folder(parent).map_err(failed)?;
    Ok(())
}

fn is_blank(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    // Windows has no such thing.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
