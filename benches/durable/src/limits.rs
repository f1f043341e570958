//! What a storage cannot beat: the same bytes, written straight to the store and straight to the disk.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use synod::{
    codec,
    commit::Record,
    perform::fjall::{FjallStorage, KEYSPACE},
};

/// A key, and its value unless it is removed.
type Entry = (Vec<u8>, Option<Vec<u8>>);

/// The bytes that the fjall handler makes of a batch of records: the last record of each key, in the order of keys.
pub struct Batch {
    entries: Vec<Entry>,
    /// All of them, one behind the other.
    bytes: Vec<u8>,
}

impl Batch {
    pub fn of(records: &[Record]) -> Self {
        let last: BTreeMap<_, _> = records.iter().map(|record| (record.key(), record)).collect();
        let encoded = |record: &Record| (!record.is_tombstone()).then(|| codec::encode_record(record));
        let entries: Vec<Entry> =
            last.into_iter().map(|(key, record)| (codec::encode_key(&key), encoded(record))).collect();
        let bytes = entries.iter().flat_map(|(key, value)| key.iter().chain(value.iter().flatten())).copied().collect();
        Self { entries, bytes }
    }

    pub fn records(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A database that is opened as the handler opens its own.
pub struct Store {
    database: Database,
    keyspace: Keyspace,
}

impl Store {
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&FjallStorage::open(path)?)
    }

    /// The database below a handler.
    pub fn of(storage: &FjallStorage) -> Result<Self> {
        let database = storage.database().clone();
        let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace })
    }

    /// One durable commit.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut writes = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in &batch.entries {
            match value {
                Some(value) => writes.insert(&self.keyspace, key.as_slice(), value.as_slice()),
                None => writes.remove(&self.keyspace, key.as_slice()),
            }
        }
        Ok(writes.commit()?)
    }

    /// All that it holds.
    pub fn content(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entry = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            Ok((key.to_vec(), value.to_vec()))
        };
        self.keyspace.iter().map(entry).collect()
    }
}

/// A file that has its blocks on the disk before it is written to.
pub struct Disk {
    file: File,
    at: u64,
}

/// Room for many batches; behind the last one the file is written to from its beginning again.
const ROOM: u64 = 64 << 20;

impl Disk {
    pub fn create(path: &Path) -> Result<Self> {
        let mut file = File::create_new(path).with_context(|| format!("making {}", path.display()))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..ROOM / zeros.len() as u64 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        file.rewind()?;
        Ok(Self { file, at: 0 })
    }

    /// One fdatasync.
    pub fn append(&mut self, batch: &Batch) -> Result<()> {
        if self.at + batch.bytes() as u64 > ROOM {
            self.at = self.file.seek(SeekFrom::Start(0))?;
        }
        self.file.write_all(&batch.bytes)?;
        self.file.sync_data()?;
        self.at += batch.bytes() as u64;
        Ok(())
    }
}
