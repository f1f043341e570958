//! A node's records in a SQLite file: the contract of a storage, one life at a time, and damage.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real files")]

use std::{
    error::Error as _,
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use synod::{
    NodeId, TxId,
    commit::{Key, Record, TxRange},
    perform::{
        Storage,
        conformance::{self, StorageUnderTest, Verdict},
    },
};
use synod_sqlite::{Damage, SqliteError, SqliteStore, rusqlite};
use tempfile::TempDir;

/// Stores by name, in a folder.
struct Shelf(TempDir);

impl StorageUnderTest for Shelf {
    type Storage = SqliteStore;

    fn open(&mut self, name: &str) -> Result<SqliteStore, SqliteError> {
        SqliteStore::open(self.0.path().join(name))
    }

    fn fail_next_write(&mut self, store: &mut SqliteStore) -> bool {
        // The seal comes last, when the records are written.
        let trigger = "CREATE TEMP TRIGGER refuse BEFORE UPDATE ON main.synod_seal
                       BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
        store.connection().execute_batch(trigger).is_ok()
    }
}

#[test]
fn a_sqlite_file_keeps_the_contract_of_a_storage() {
    let report = conformance::storage(&mut Shelf(tempfile::tempdir().unwrap()));
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

fn retired(first: u64) -> Record {
    Record::Retired(TxRange::only(TxId { origin: NodeId(1), seq: first }))
}

fn store() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    for seq in 0..20 {
        store.persist(&[Record::Rounds { reserved: seq }, retired(10 * seq)]).unwrap();
    }
    (folder, path)
}

fn plain(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn load(path: &Path) -> Result<Vec<Record>, SqliteError> {
    SqliteStore::open(path)?.load()
}

/// How a store is damaged in which `statement` was carried out by somebody else.
fn damage(statement: &str) -> Damage {
    let (_folder, path) = store();
    assert_eq!(load(&path).unwrap().len(), 21);
    assert_eq!(plain(&path).execute(statement, []).unwrap(), 1);
    match load(&path) {
        Err(SqliteError::Damaged { source, .. }) => source,
        other => panic!("{statement}: {other:?}"),
    }
}

#[test]
fn records_that_somebody_else_has_touched_are_damage() {
    let one = "WHERE key = (SELECT max(key) FROM synod_records)";
    assert!(matches!(damage(&format!("DELETE FROM synod_records {one}")), Damage::Changed));
    assert!(matches!(damage(&format!("UPDATE synod_records SET record = x'00' {one}")), Damage::Changed));
    assert!(matches!(damage(&format!("UPDATE synod_records SET key = x'00' {one}")), Damage::Changed));
    assert!(matches!(damage("INSERT INTO synod_records VALUES (x'00', x'00')"), Damage::Changed));
    assert!(matches!(damage("UPDATE synod_seal SET sum = zeroblob(16)"), Damage::Changed));
    assert!(matches!(damage("UPDATE synod_seal SET sum = zeroblob(3)"), Damage::NoSeal));
    assert!(matches!(damage("DELETE FROM synod_seal"), Damage::NoSeal));
}

#[test]
fn a_wal_that_has_lost_its_end_is_damage_although_sqlite_finds_nothing_wrong() {
    let (folder, path) = store();
    let mut keeper = SqliteStore::open(&path).unwrap(); // the last connection to close empties the WAL
    for seq in 0..20 {
        keeper.persist(&[retired(1_000 + 10 * seq)]).unwrap();
    }
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["node.sqlite", "node.sqlite-wal", "node.sqlite.acknowledged"] {
        fs::copy(folder.path().join(name), copy.join(name)).unwrap();
    }
    drop(keeper);
    let path = copy.join("node.sqlite");
    let mut wal = OpenOptions::new().write(true).open(copy.join("node.sqlite-wal")).unwrap();
    // A byte in the middle, as a bad block has it: all that follows is lost with it.
    let middle = wal.metadata().unwrap().len() / 2;
    wal.seek(SeekFrom::Start(middle)).unwrap();
    wal.write_all(&[0x55; 64]).unwrap();
    drop(wal);
    let error = load(&path).unwrap_err();
    assert!(matches!(error, SqliteError::Damaged { source: Damage::Lost { acknowledged: 40, .. }, .. }), "{error:?}");
    assert!(error.to_string().contains("create a new one"), "{error}");
    assert!(error.source().unwrap().to_string().contains("of 40 writes"), "{error:?}");
}

#[test]
fn a_database_without_its_count_or_with_that_of_another_is_damage() {
    let ((_folder, path), (_other_folder, other)) = (store(), store());
    let count = |path: &Path| path.with_extension("sqlite.acknowledged");
    fs::copy(count(&other), count(&path)).unwrap();
    assert!(matches!(load(&path), Err(SqliteError::Damaged { source: Damage::NoCount(_), .. })));
    fs::remove_file(count(&path)).unwrap();
    assert!(matches!(load(&path), Err(SqliteError::Damaged { source: Damage::NoCount(_), .. })));
    // A database that has gone leaves a count that tells of it.
    fs::remove_file(&other).unwrap();
    assert!(matches!(load(&other), Err(SqliteError::Damaged { source: Damage::Lost { .. }, .. })));
}

#[test]
fn what_a_newer_version_has_written_is_no_damage() {
    let (_folder, path) = store();
    let mut store = SqliteStore::open(&path).unwrap();
    store.load().unwrap();
    // As a newer version would write it: under the seal.
    let record = retired(0);
    let mut bytes = synod::codec::encode_record(&record);
    bytes[0] = u8::MAX;
    store.persist_bytes(&synod::codec::encode_key(&record.key()), &bytes).unwrap();
    let error = load(&path).unwrap_err();
    assert!(matches!(error, SqliteError::Newer { .. }), "{error:?}");
    store.persist(&[Record::Erased(Key::Retired(TxId { origin: NodeId(1), seq: 0 }))]).unwrap();
    assert_eq!(load(&path).unwrap().len(), 20);
}

#[test]
fn a_lock_that_another_connection_keeps_is_an_error_that_names_the_file_and_writes_nothing() {
    let (_folder, path) = store();
    let mut store = SqliteStore::open(&path).unwrap();
    let before = store.load().unwrap();
    store.connection().busy_timeout(Duration::from_millis(50)).unwrap();
    let other = plain(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.persist(&[retired(777)]).unwrap_err();
    assert!(matches!(error, SqliteError::Busy { .. }) && error.to_string().contains("node.sqlite"), "{error}");
    assert!(matches!(store.hold(), Err(SqliteError::Busy { .. })));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.load().unwrap(), before);
}

#[test]
fn what_is_held_stays_until_the_next_write() {
    let (_folder, path) = store();
    let mut store = SqliteStore::open(&path).unwrap();
    store.load().unwrap();
    store.change(|db| Ok(db.execute_batch("CREATE TABLE row (x); INSERT INTO row VALUES (1)")?)).unwrap();
    let other = plain(&path);
    other.busy_timeout(Duration::ZERO).unwrap();
    let change = || other.execute("UPDATE row SET x = 2", []);
    store.hold().unwrap();
    assert!(change().is_err());
    // Neither a change of the application nor one that fails lets go of it.
    store.change(|db| Ok(db.execute("UPDATE row SET x = 3", [])?)).unwrap();
    store.change(|db| Ok(db.execute("UPDATE row SET nonsense = 3", [])?)).unwrap_err();
    assert!(change().is_err());
    store.persist(&[retired(777)]).unwrap();
    assert_eq!(other.query_row("SELECT x FROM row", [], |row| row.get(0)), Ok(3));
    assert_eq!(change(), Ok(1));
    // What has ended too early is no hold.
    store.hold().unwrap();
    store.connection().execute_batch("ROLLBACK").unwrap();
    assert!(matches!(store.persist(&[retired(778)]), Err(SqliteError::NotHeld { .. })));
    assert!(matches!(store.hold(), Err(SqliteError::NotHeld { .. })));
}

#[test]
fn what_is_no_file_on_a_disk_is_refused() {
    assert!(matches!(SqliteStore::open(":memory:"), Err(SqliteError::NoWal { .. })));
}
