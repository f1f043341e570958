//! How many writes were acknowledged, told outside of the journals.
//!
//! A journal that lost its last batches looks like one that never had them. So each acknowledged write is counted in a
//! small file beside the database, after its batch is durable. The file itself is not synced: it outlives the process, and
//! after a power failure it tells of fewer writes than there were, never of more. What it lacks then is made up for by the
//! journals themselves, before fjall cuts anything off them: where a batch is to be found, the one before it was
//! acknowledged.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{
    super::random,
    error::{Damage, FjallError},
    folder::sync_folder,
    seal::{LENGTH, Nonce, Seal},
};

/// The count is written to two places in turn, which are no disk's one sector: a write that is torn leaves the other.
const PLACES: [u64; 2] = [0, 4_096];
/// A nonce, a count and their checksum.
const PLACE: usize = 32;

/// The count of a storage, open for more.
#[derive(Debug)]
pub(super) struct Count {
    file: File,
    path: PathBuf,
    pub(super) nonce: Nonce,
    /// At least so many writes were acknowledged.
    pub(super) acknowledged: u64,
}

/// Where the count for a keyspace is.
pub(super) fn path(database: &Path, keyspace: &str) -> PathBuf {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let name = if keyspace.len() < 100 && keyspace.bytes().all(is_plain) {
        keyspace.to_owned()
    } else {
        format!("keyspace.{:032x}", xxh3_128(keyspace.as_bytes()))
    };
    database.join(format!("{name}.acknowledged"))
}

impl Count {
    /// The count in the file `path`, if there is one.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FjallError> {
        let failed = |source| FjallError::File { path: path.into(), source };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            // A file in the place of the folder is the database's matter.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            file => file.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let places = PLACES.into_iter().filter_map(|place| decode(bytes.get(place as usize..)?));
        let (acknowledged, nonce) = places.max().ok_or_else(|| damaged(path))?;
        Ok(Some(Self { file, path: path.into(), nonce, acknowledged }))
    }

    /// Makes the file `path` for a storage that was never written to: as a whole or not at all.
    pub(super) fn create(path: &Path) -> Result<Self, FjallError> {
        let make = || {
            let unfinished = path.with_extension("unfinished");
            let mut file = File::create(&unfinished)?;
            let nonce = nonce();
            for place in PLACES {
                file.seek(SeekFrom::Start(place))?;
                file.write_all(&encode(0, &nonce))?;
            }
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            path.parent().map_or(Ok(()), sync_folder)?;
            Ok(Self { file, path: path.into(), nonce, acknowledged: 0 })
        };
        make().map_err(|source| FjallError::File { path: path.into(), source })
    }

    /// So many writes are acknowledged now.
    pub(super) fn raise(&mut self, acknowledged: u64) -> Result<(), FjallError> {
        self.write(acknowledged).map_err(|source| FjallError::File { path: self.path.clone(), source })
    }

    fn write(&mut self, acknowledged: u64) -> io::Result<()> {
        let place = PLACES[usize::from(!acknowledged.is_multiple_of(2))];
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(&encode(acknowledged, &self.nonce))?;
        self.acknowledged = acknowledged;
        Ok(())
    }

    /// Counts what the journals in the folder `database` tell, before anything is cut off them.
    pub(super) fn learn(&mut self, database: &Path) -> Result<(), FjallError> {
        let mut learn = || {
            let highest = highest(database, &self.nonce)?;
            if highest > self.acknowledged.saturating_add(1) {
                self.write(highest - 1)?;
                self.file.sync_data()?;
            }
            Ok(())
        };
        learn().map_err(|source| FjallError::File { path: self.path.clone(), source })
    }
}

pub(super) fn damaged(path: &Path) -> FjallError {
    let folder = path.parent().unwrap_or(path);
    FjallError::Damaged { path: folder.into(), source: Damage::NoCount(path.into()) }
}

fn encode(acknowledged: u64, nonce: &Nonce) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PLACE);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(&acknowledged.to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, Nonce)> {
    let (body, check) = bytes.get(..PLACE)?.split_last_chunk::<8>()?;
    let (nonce, count) = body.split_first_chunk::<16>()?;
    let count = u64::from_le_bytes(count.try_into().ok()?);
    (u64::from_le_bytes(*check) == xxh3_64(body)).then_some((count, *nonce))
}

/// Something that nobody else knows, so that no record can be made to look like a seal.
fn nonce() -> Nonce {
    let [mut one, other] = [(); 2].map(|()| random::draw().to_le_bytes());
    // The search for it is quick where the journals are empty.
    one[0] |= 1;
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&one);
    nonce[8..].copy_from_slice(&other);
    nonce
}

/// The highest number of a batch whose seal is anywhere in the journals, whatever else is there.
fn highest(database: &Path, nonce: &Nonce) -> io::Result<u64> {
    let mut highest = 0;
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            highest = highest.max(highest_in(File::open(path)?, nonce)?);
        }
    }
    Ok(highest)
}

fn highest_in(mut journal: impl Read, nonce: &Nonce) -> io::Result<u64> {
    const BLOCK: usize = 1 << 16;
    let (mut bytes, mut highest) = (Vec::with_capacity(2 * BLOCK), 0);
    loop {
        // What may be the beginning of a seal stays for the next round.
        let kept = bytes.len().min(LENGTH - 1);
        bytes.drain(..bytes.len() - kept);
        if journal.by_ref().take(BLOCK as u64).read_to_end(&mut bytes)? == 0 {
            return Ok(highest);
        }
        // A journal is made longer than it needs to be, and the rest is zero.
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let starts = bytes.windows(LENGTH).filter(|window| window[0] == nonce[0] && window.starts_with(nonce));
        let batches = starts.filter_map(|window| Some(Seal::decode(window, nonce)?.batches));
        highest = batches.fold(highest, u64::max);
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_highest_seal_is_found_wherever_it_is_and_whatever_is_around_it() {
        let nonce = [9; 16];
        let seal = |batches| Seal { batches, ..Seal::default() }.encode(&nonce);
        for before in [0, 1, 65_535 - 30, 65_536 - 55, 65_536, 65_537, 200_000] {
            for filler in [0, 9, 255] {
                let mut journal = vec![filler; before];
                journal.extend(seal(7));
                journal.extend([filler; 70_000]);
                journal.extend(seal(5));
                journal.extend(&seal(9)[..50]);
                assert_eq!(highest_in(&*journal, &nonce).expect("bytes"), 7, "{before} times {filler}");
            }
        }
        assert_eq!(highest_in(&*vec![0; 100_000], &nonce).expect("bytes"), 0);
    }
}
