//! How many writes were acknowledged, told beside the database.
//!
//! SQLite takes damage in its WAL for the end of what was written, and goes on without the rest. So each acknowledged write
//! is counted in a small file, after it is durable. The file is not synced: it outlives the process, and after a power failure
//! it tells of fewer writes than there were, never of more.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    error::{Damage, SqliteError},
    seal::Seal,
};

/// The count is written to two places in turn, which are no disk's one sector: a write that is torn leaves the other.
const PLACES: [u64; 2] = [0, 4_096];
/// The name of the store, the count and their checksum.
const PLACE: usize = 32;

#[derive(Debug)]
pub(crate) struct Count {
    file: File,
    path: PathBuf,
    store: [u8; 16],
}

impl Count {
    /// The count of the database at `database`, whose seal is `seal`. Fails if an acknowledged write is not there.
    pub(crate) fn open(database: &Path, seal: &Seal) -> Result<Self, SqliteError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".acknowledged");
        let path = PathBuf::from(path);
        let failed = |source| SqliteError::File { path: path.clone(), source };
        let damaged = |source| SqliteError::Damaged { path: database.into(), source };
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && seal.writes == 0 => {
                create(&path, &seal.store).map_err(failed)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(Damage::NoCount(path))),
            Err(error) => return Err(failed(error)),
        };
        let count = Self { file, path: path.clone(), store: seal.store };
        match count.read().map_err(failed)? {
            Some((store, acknowledged)) if store == seal.store && acknowledged <= seal.writes => Ok(count),
            Some((store, acknowledged)) if store == seal.store || seal.writes == 0 && acknowledged > 0 => {
                Err(damaged(Damage::Lost { acknowledged, found: seal.writes }))
            }
            // A store that was never written to was removed, and its file was left.
            Some((_, 0)) if seal.writes == 0 => {
                let file = create(&path, &seal.store).map_err(failed)?;
                Ok(Self { file, ..count })
            }
            _ => Err(damaged(Damage::NoCount(path))),
        }
    }

    fn read(&self) -> io::Result<Option<([u8; 16], i64)>> {
        let (mut file, mut bytes) = (&self.file, Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        let places = PLACES.into_iter().filter_map(|place| decode(bytes.get(place as usize..)?));
        Ok(places.max_by_key(|(_, count)| *count))
    }

    /// So many writes are acknowledged now.
    pub(crate) fn raise(&self, acknowledged: i64) -> Result<(), SqliteError> {
        let write = || {
            let (mut file, place) = (&self.file, PLACES[usize::from(acknowledged % 2 != 0)]);
            file.seek(SeekFrom::Start(place))?;
            file.write_all(&encode(&self.store, acknowledged))
        };
        write().map_err(|source| SqliteError::File { path: self.path.clone(), source })
    }
}

/// Makes the file for a store that was never written to: as a whole or not at all.
fn create(path: &Path, store: &[u8; 16]) -> io::Result<File> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
    for place in PLACES {
        file.seek(SeekFrom::Start(place))?;
        file.write_all(&encode(store, 0))?;
    }
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

fn encode(store: &[u8; 16], count: i64) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..16].copy_from_slice(store);
    bytes[16..24].copy_from_slice(&count.to_le_bytes());
    let check = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<([u8; 16], i64)> {
    let (body, check) = bytes.get(..PLACE)?.split_last_chunk::<8>()?;
    let (store, count) = body.split_first_chunk::<16>()?;
    let count = i64::from_le_bytes(count.try_into().ok()?);
    (u64::from_le_bytes(*check) == xxh3_64(body)).then_some((*store, count))
}
