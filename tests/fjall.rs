//! The fjall storage: what it says is durable is there, whatever kills the process.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "runs processes against the clock")]

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fjall::{Database, KeyspaceCreateOptions};
use synod::{
    NodeId, TxId,
    codec::DecodeError,
    commit::{ClusterId, Key, Meta, Outcome, Record, ResourceManagerRecord, Transaction, TxRange, Vote},
    perform::{
        Storage,
        fjall::{Damage, FjallError, FjallStorage, KEYSPACE, create_whole},
    },
};

/// Set in the process that is to be killed: the folder to write to.
const FOLDER: &str = "SYNOD_FJALL_TEST_FOLDER";
const KILLS: u64 = 12;

fn tx(seq: u64) -> TxId {
    TxId { origin: NodeId(1), seq }
}

fn vote(seq: u64, finished: Option<Outcome>) -> Record {
    let meta = Meta::from(vec![0; 200]);
    let transaction = Transaction::new(tx(seq), [NodeId(1), NodeId(2)], meta.clone()).unwrap();
    Record::ResourceManager(ResourceManagerRecord {
        transaction,
        meta: Some(meta),
        vote: Some(Vote::Prepared),
        finished,
    })
}

fn rounds(reserved: u64) -> Record {
    Record::Rounds { reserved }
}

/// The batch of this number: it is counted in two keys, brings a new transaction, finishes the one before, and erases
/// the one before that.
fn batch(number: u64) -> Vec<Record> {
    vec![
        Record::Sequence { reserved: number },
        vote(number, None),
        vote(number - 1, Some(Outcome::Committed)),
        Record::Erased(Key::ResourceManager(tx(number - 2))),
        rounds(number),
    ]
}

/// What is stored after the batches up to this number.
fn stored(number: u64) -> Vec<Record> {
    let counted = [Record::Sequence { reserved: number }, rounds(number)];
    counted.into_iter().chain([vote(number - 1, Some(Outcome::Committed)), vote(number, None)]).collect()
}

fn load(storage: &mut FjallStorage) -> Vec<Record> {
    let mut records = storage.load().unwrap();
    records.sort_by_key(Record::key);
    records
}

#[test]
fn what_was_persisted_is_there_when_the_database_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Record::Identity { cluster: ClusterId([1; 16]), node: NodeId(1) };
    let retired = Record::Retired(TxRange::only(tx(7)));
    let mut storage = FjallStorage::open(folder.path().join("node")).unwrap();
    assert!(storage.load().unwrap().is_empty());
    storage.persist(&[identity.clone(), vote(8, None)]).unwrap();
    storage.persist(std::slice::from_ref(&retired)).unwrap();
    drop(storage);
    let mut storage = FjallStorage::open(folder.path().join("node")).unwrap();
    assert_eq!(load(&mut storage), [identity, vote(8, None), retired]);
}

#[test]
fn a_tombstone_leaves_no_key_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    let keyspace = storage.database().keyspace(KEYSPACE, KeyspaceCreateOptions::default).unwrap();
    storage.persist(&(1..=100).map(|seq| vote(seq, None)).collect::<Vec<_>>()).unwrap();
    // And the seal.
    assert_eq!(keyspace.iter().count(), 100 + 1);
    let erased: Vec<_> = (1..=100).map(|seq| Record::Erased(Key::ResourceManager(tx(seq)))).collect();
    storage.persist(&erased).unwrap();
    assert_eq!(keyspace.iter().count(), 1);
}

#[test]
fn of_several_records_of_one_key_in_one_batch_the_last_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    let gone = Record::Erased(Key::ResourceManager(tx(1)));
    storage.persist(&[vote(1, None), gone.clone(), rounds(5), rounds(6)]).unwrap();
    assert_eq!(load(&mut storage), [rounds(6)]);
    storage.persist(&[gone, vote(1, None), vote(1, Some(Outcome::Aborted))]).unwrap();
    drop(storage);
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    assert_eq!(load(&mut storage), [rounds(6), vote(1, Some(Outcome::Aborted))]);
}

#[test]
fn a_callers_own_changes_go_into_the_batch_of_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).open().unwrap();
    let balances = database.keyspace("balances", KeyspaceCreateOptions::default).unwrap();
    let mut storage = FjallStorage::within(database, "machine").unwrap();
    storage.persist_with(&[vote(1, None)], |batch| batch.insert(&balances, "17", "12.50")).unwrap();
    assert_eq!(balances.get("17").unwrap().as_deref(), Some(b"12.50".as_slice()));
    assert_eq!(load(&mut storage), [vote(1, None)]);
}

/// How the storage is damaged.
fn damage<T>(result: Result<T, FjallError>) -> Damage {
    match result.err() {
        Some(FjallError::Damaged { source, .. }) => source,
        error => panic!("{error:?}"),
    }
}

#[test]
fn bytes_that_are_no_record_and_records_in_a_wrong_place_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    let keyspace = storage.database().keyspace(KEYSPACE, KeyspaceCreateOptions::default).unwrap();
    keyspace.insert("key", "value").unwrap();
    assert!(matches!(damage(storage.load()), Damage::Undecodable(_)));
    keyspace.insert("key", synod::codec::encode_record(&rounds(1))).unwrap();
    assert!(matches!(damage(storage.load()), Damage::Misfiled(record) if *record == rounds(1)));
    assert!(matches!(damage(storage.persist(&[rounds(1)])), Damage::NoSeal), "nothing is written beside them, either");
}

#[test]
fn a_record_that_was_damaged_is_whole_again_when_the_next_one_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    storage.persist(&[rounds(1)]).unwrap();
    let keyspace = storage.database().keyspace(KEYSPACE, KeyspaceCreateOptions::default).unwrap();
    keyspace.insert(synod::codec::encode_key(&rounds(1).key()), synod::codec::encode_record(&rounds(9))).unwrap();
    assert!(matches!(damage(storage.records()), Damage::Changed));
    storage.persist(&[rounds(2)]).unwrap();
    assert_eq!(load(&mut storage), [rounds(2)]);
}

#[test]
fn records_of_a_newer_version_are_no_damage_and_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path()).unwrap();
    storage.persist(&[rounds(1)]).unwrap();
    for (record, source) in [
        (&[4, 8, 1][..], DecodeError::UnknownVersion(4)),
        (&[3, 200, 1][..], DecodeError::UnknownTag { kind: "record", tag: 200 }),
    ] {
        storage.persist_newer(b"\x09a newer key", Some(record)).unwrap();
        let error = storage.load().unwrap_err();
        assert!(matches!(&error, FjallError::Newer { source: found, .. } if *found == source), "{error:?}");
        assert!(error.to_string().contains("newer version"), "{error}");
    }
    storage.persist_newer(b"\x09a newer key", None).unwrap();
    assert_eq!(load(&mut storage), [rounds(1)]);
}

#[test]
fn a_database_that_was_left_half_made_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("node.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    // As fjall leaves it when it is killed before its version marker: it could not be opened again.
    std::fs::write(unfinished.join("0.jnl"), "").unwrap();
    let mut storage = FjallStorage::open(folder.path().join("node")).unwrap();
    storage.persist(&[rounds(1)]).unwrap();
    assert!(!unfinished.exists());
}

#[test]
fn an_error_of_a_database_names_its_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = FjallStorage::open(file.path()).unwrap_err();
    assert!(matches!(&error, FjallError::Database { path: Some(path), .. } if path == file.path()), "{error:?}");
    assert_eq!(error.to_string(), format!("the database in the folder {} failed", file.path().display()));
}

#[test]
fn a_folder_that_is_in_use_can_be_opened_again_only_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("node");
    let is_in_use = || {
        let error = FjallStorage::open(&folder).unwrap_err();
        assert!(matches!(&error, FjallError::Locked { path } if *path == folder), "{error:?}");
        let told = format!("the folder {} is in use by another process", folder.display());
        assert!(error.to_string().starts_with(&told), "{error}");
    };
    let mut writer = writer(&folder);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.by_ref().find(|line| line.contains("persisted")).expect("the writer has the database open");
    is_in_use();
    writer.kill().unwrap();
    writer.wait().unwrap();

    let storage = FjallStorage::open(&folder).unwrap();
    is_in_use();
    drop(storage);
    FjallStorage::open(&folder).unwrap();
}

/// A storage with a memory so small that it is written out, and compacted, while the process is being killed.
fn open_small(path: &Path) -> FjallStorage {
    let small = || KeyspaceCreateOptions::default().max_memtable_size(16 * 1024);
    let make = |path: &Path| Database::builder(path).open()?.keyspace(KEYSPACE, small).map(drop);
    if !path.exists() {
        create_whole(path, |fresh| make(fresh).map_err(FjallError::from)).unwrap();
    }
    FjallStorage::within(Database::builder(path).open().unwrap(), KEYSPACE).unwrap()
}

/// Not a test by itself: the process that [`whatever_was_reported_as_persisted_outlives_sigkill`] kills.
#[test]
fn writes_until_it_is_killed() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let mut storage = open_small(Path::new(&folder));
    let reserved = |record: &Record| match record {
        Record::Sequence { reserved } => Some(*reserved),
        _ => None,
    };
    let last = storage.load().unwrap().iter().find_map(reserved).unwrap_or(1);
    for number in last + 1.. {
        storage.persist(&batch(number)).unwrap();
        println!("persisted {number}");
    }
}

/// Another process that writes to `folder` until it is killed.
fn writer(folder: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets another process write to `folder`, kills it after `patience`, and returns the last batch that it reported.
fn write_and_kill(folder: &Path, patience: Duration) -> Option<u64> {
    let mut child = writer(folder);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reports = thread::spawn(move || {
        let number = |line: String| line.split_once("persisted ")?.1.parse().ok();
        output.lines().map_while(Result::ok).filter_map(number).last()
    });
    let start = Instant::now();
    while start.elapsed() < patience {
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        thread::sleep(Duration::from_millis(1));
    }
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    reports.join().unwrap()
}

#[test]
fn whatever_was_reported_as_persisted_outlives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("node");
    let mut last = 1;
    for kill in 0..KILLS {
        // The first ones come while the database is being made or opened.
        let patience = Duration::from_millis(if kill < 4 { kill * 7 } else { 40 + kill * 37 % 150 });
        let reported = write_and_kill(&folder, patience);
        let mut storage = FjallStorage::open(&folder).unwrap();
        let records = load(&mut storage);
        let Some(Record::Sequence { reserved }) = records.first() else {
            assert_eq!((reported, last), (None, 1), "batches are lost");
            continue;
        };
        assert!(*reserved >= reported.unwrap_or(last).max(last), "{reported:?} was reported, {reserved} is there");
        // A batch is there as a whole: nothing of the next one, nothing missing.
        assert_eq!(records, stored(*reserved));
        last = *reserved;
    }
    assert!(last > KILLS, "only {last} batches in all");
}
