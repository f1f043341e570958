//! What a storage cannot beat: the same bytes, written straight to the store and straight to the disk.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use synod::{
    codec,
    commit::Record,
    perform::fjall::{FjallStorage, KEYSPACE},
};

use crate::lane::{Back, Front};

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
    next: Option<OwnedWriteBatch>,
}

impl Store {
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&FjallStorage::open(path)?)
    }

    /// The database below a handler.
    pub fn of(storage: &FjallStorage) -> Result<Self> {
        let database = storage.database().clone();
        let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace, next: None })
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

impl Front for Store {
    type Load = Arc<Batch>;
    type Batch = Option<OwnedWriteBatch>;

    fn prepare(&mut self, batch: Arc<Batch>) {
        let writes = OwnedWriteBatch::with_capacity(self.database.clone(), batch.records());
        let writes = self.next.insert(writes.durability(Some(PersistMode::SyncAll)));
        for (key, value) in &batch.entries {
            match value {
                Some(value) => writes.insert(&self.keyspace, key.as_slice(), value.as_slice()),
                None => writes.remove(&self.keyspace, key.as_slice()),
            }
        }
    }

    fn begin(&mut self) -> Option<OwnedWriteBatch> {
        self.next.take()
    }

    fn finish(&mut self, _: Option<OwnedWriteBatch>) {}
}

/// One durable commit.
pub struct Commit;

impl Back<Option<OwnedWriteBatch>> for Commit {
    fn write(&mut self, batch: Option<OwnedWriteBatch>) -> Result<Option<OwnedWriteBatch>> {
        batch.context("there is nothing to write")?.commit()?;
        Ok(None)
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
}

/// One fdatasync.
impl Back<Option<Arc<Batch>>> for Disk {
    fn write(&mut self, batch: Option<Arc<Batch>>) -> Result<Option<Arc<Batch>>> {
        let bytes = &batch.as_ref().context("there is nothing to write")?.bytes;
        if self.at + bytes.len() as u64 > ROOM {
            self.at = self.file.seek(SeekFrom::Start(0))?;
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        Ok(batch)
    }
}

/// Bytes as they are.
#[derive(Default)]
pub struct Ready(Option<Arc<Batch>>);

impl Front for Ready {
    type Load = Arc<Batch>;
    type Batch = Option<Arc<Batch>>;

    fn prepare(&mut self, batch: Arc<Batch>) {
        self.0 = Some(batch);
    }

    fn begin(&mut self) -> Option<Arc<Batch>> {
        self.0.take()
    }

    fn finish(&mut self, _: Option<Arc<Batch>>) {}
}
