//! What tells whether all records are there, and as they were written: how many there are, and the sum of their hashes. The
//! sum does not depend on their order, so a write changes it by what it changes.

use rusqlite::{Connection, OptionalExtension, Row, params};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The seal of the last write, as it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// A random name of the store, by which its count is told from another's.
    pub(crate) store: [u8; 16],
    /// The last life that was begun.
    pub(crate) life: i64,
    /// How many writes there were.
    pub(crate) writes: i64,
    pub(crate) contents: Contents,
}

/// The records that are there, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    records: i64,
    sum: u128,
}

impl Contents {
    pub(crate) fn add(&mut self, key: &[u8], record: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(key, record));
    }

    pub(crate) fn remove(&mut self, key: &[u8], record: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(key, record));
    }
}

impl Seal {
    /// Makes the tables of the records and of the seal, unless they are there.
    pub(crate) fn create(db: &Connection) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS synod_records (key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS synod_seal (
                 one INTEGER PRIMARY KEY CHECK (one = 1), store BLOB NOT NULL, life INTEGER NOT NULL,
                 writes INTEGER NOT NULL, records INTEGER NOT NULL, sum BLOB NOT NULL
             );",
        )?;
        let is_new = "INSERT INTO synod_seal SELECT 1, randomblob(16), 0, 0, 0, zeroblob(16)
                      WHERE NOT EXISTS (SELECT 1 FROM synod_seal) AND NOT EXISTS (SELECT 1 FROM synod_records)";
        db.execute(is_new, []).map(drop)
    }

    /// The seal in the file; `None` if it is missing or malformed.
    pub(crate) fn read(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let seal = |row: &Row<'_>| {
            let (store, sum): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(4)?);
            let (life, writes, records) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let whole = || Some((store.as_slice().try_into().ok()?, u128::from_be_bytes(sum.try_into().ok()?)));
            Ok(whole().map(|(store, sum)| Self { store, life, writes, contents: Contents { records, sum } }))
        };
        let mut select = db.prepare_cached("SELECT store, life, writes, records, sum FROM synod_seal")?;
        Ok(select.query_row([], seal).optional()?.flatten())
    }

    pub(crate) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let Contents { records, sum } = self.contents;
        db.prepare_cached("UPDATE synod_seal SET life = ?1, writes = ?2, records = ?3, sum = ?4")?
            .execute(params![self.life, self.writes, records, sum.to_be_bytes()])
            .map(drop)
    }
}

/// The key counts: a record that is filed under another one is another record.
fn hash(key: &[u8], record: &[u8]) -> u128 {
    xxh3_128_with_seed(record, xxh3_64(key))
}
