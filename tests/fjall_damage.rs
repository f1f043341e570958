//! A damaged fjall storage is an error: never a panic, never a node that has forgotten something.

#[path = "support/cores.rs"]
mod cores;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fjall::KeyspaceCreateOptions;
use synod::{
    NodeId, TxId, codec,
    commit::{ClusterId, Key, Meta, Record, ResourceManagerRecord, Transaction, Vote},
    perform::{
        Storage,
        fjall::{Damage, FjallError, FjallStorage, KEYSPACE},
    },
};

const COUNT: &str = "synod.acknowledged";
const JOURNAL: &str = "0.jnl";

fn vote(seq: u64) -> Record {
    let transaction = Transaction::new(TxId { origin: NodeId(1), seq }, [NodeId(1), NodeId(2)], b"it").unwrap();
    let (meta, vote) = (Some(Meta::from(b"it")), Some(Vote::Prepared));
    Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote, finished: None })
}

/// New records, replaced ones and erased ones.
fn batches() -> [Vec<Record>; 4] {
    [
        vec![Record::Identity { cluster: ClusterId([1; 16]), node: NodeId(1) }],
        vec![vote(1), Record::Rounds { reserved: 1 }],
        vec![vote(2), Record::Erased(Key::ResourceManager(TxId { origin: NodeId(1), seq: 1 }))],
        vec![Record::Rounds { reserved: 2 }],
    ]
}

fn records(batches: &[Vec<Record>]) -> Vec<Record> {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = FjallStorage::open(folder.path().join("node")).unwrap();
    batches.iter().for_each(|batch| storage.persist(batch).unwrap());
    storage.load().unwrap()
}

/// A storage on the bench: what it was before it was damaged, and where.
struct Bench {
    folder: tempfile::TempDir,
    /// The count as it was before the first write.
    first_count: Vec<u8>,
    /// The count as it was before the last write.
    count_before: Vec<u8>,
    /// Where the last batch begins in the journal.
    last: usize,
}

impl Bench {
    /// A closed storage, to which [`batches`] were written.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        drop(FjallStorage::open(&whole).unwrap());
        let first_count = fs::read(whole.join(COUNT)).unwrap();
        let (mut last, mut count_before) = (0, Vec::new());
        for batch in batches() {
            // What is opened again has cut off what its journal is too long.
            let mut storage = FjallStorage::open(&whole).unwrap();
            count_before = fs::read(whole.join(COUNT)).unwrap();
            last = fs::metadata(whole.join(JOURNAL)).unwrap().len() as usize;
            storage.persist(&batch).unwrap();
        }
        drop(FjallStorage::open(&whole).unwrap());
        Self { folder, first_count, count_before, last }
    }

    fn whole(&self) -> PathBuf {
        self.folder.path().join("whole")
    }

    fn journal(&self) -> Vec<u8> {
        fs::read(self.whole().join(JOURNAL)).unwrap()
    }

    /// A copy, to be damaged.
    fn copy(&self) -> PathBuf {
        self.copy_to("copy")
    }

    fn copy_to(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        let _ = fs::remove_dir_all(&copy);
        copy_folder(&self.whole(), &copy);
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens and loads a storage. A panic fails the test.
fn load(path: &Path) -> Result<Vec<Record>, FjallError> {
    let load = || FjallStorage::open(path)?.load();
    catch_unwind(AssertUnwindSafe(load)).expect("to open a damaged storage is an error, and no panic")
}

fn damage<T>(result: Result<T, FjallError>) -> Damage {
    match result.err() {
        Some(FjallError::Damaged { source, .. }) => source,
        error => panic!("{error:?}"),
    }
}

/// How a storage with a changed byte opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    Whole,
    WithAnError,
    WithACaughtPanic,
    /// It does not have all records, and does not say so.
    Silently,
}

/// Changes each of these bytes of the journal in turn, and returns where a storage is opened all the same that does not
/// have all records.
fn silent_losses(
    bench: &Bench,
    places: impl Iterator<Item = usize>,
    flip: u8,
    prepare: impl Fn(&Path) + Sync,
) -> Vec<usize> {
    let (journal, whole, places) = (bench.journal(), records(&batches()), Vec::from_iter(places));
    let opened = cores::each(places.len() as u64, |number| {
        let place = places[number as usize];
        let copy = bench.copy_to(&format!("copy-{place}"));
        prepare(&copy);
        let mut changed = journal.clone();
        changed[place] ^= flip;
        fs::write(copy.join(JOURNAL), changed).unwrap();
        let opens = match load(&copy) {
            Ok(records) if records == whole => Opens::Whole,
            Ok(_) => Opens::Silently,
            Err(error) => {
                assert!(matches!(&error, FjallError::Damaged { path, .. } if *path == copy), "{place}: {error:?}");
                if matches!(damage::<()>(Err(error)), Damage::Panicked(_)) {
                    // Nothing of it stays open.
                    fs::remove_dir_all(&copy).unwrap();
                    copy_folder(&bench.whole(), &copy);
                    assert_eq!(load(&copy).unwrap(), whole, "{place}");
                    Opens::WithACaughtPanic
                } else {
                    Opens::WithAnError
                }
            }
        };
        fs::remove_dir_all(&copy).unwrap();
        (place, opens)
    });
    let count = |how| opened.iter().filter(|(_, opens)| *opens == how).count();
    let (panics, errors) = (count(Opens::WithACaughtPanic), count(Opens::WithAnError));
    let silent: Vec<usize> =
        opened.iter().filter(|(_, opens)| *opens == Opens::Silently).map(|(place, _)| *place).collect();
    println!("{} bytes changed: {errors} errors, {panics} caught panics; silent: {silent:?}", opened.len());
    silent
}

#[test]
fn no_changed_byte_of_the_journal_goes_unnoticed() {
    let bench = Bench::new();
    assert_eq!(silent_losses(&bench, 0..bench.journal().len(), 0x40, |_| {}), []);
}

/// Eight times as long as the one above.
#[test]
#[ignore = "some seconds in release, minutes otherwise"]
fn no_changed_bit_of_the_journal_goes_unnoticed() {
    let bench = Bench::new();
    for bit in 0..8 {
        assert_eq!(silent_losses(&bench, 0..bench.journal().len(), 1 << bit, |_| {}), [], "bit {bit}");
    }
}

#[test]
fn after_a_power_failure_too_a_changed_byte_is_noticed_if_a_batch_comes_after_it() {
    let bench = Bench::new();
    // The count has lost everything.
    let blank = |path: &Path| fs::write(path.join(COUNT), &bench.first_count).unwrap();
    assert_eq!(silent_losses(&bench, (0..bench.last).step_by(3), 0x01, blank), []);

    // What was noticed once is noticed again, though fjall has cut the journal.
    let copy = bench.copy();
    blank(&copy);
    let mut journal = bench.journal();
    journal[0] ^= 0x40;
    fs::write(copy.join(JOURNAL), journal).unwrap();
    for _ in 0..2 {
        assert!(matches!(damage(load(&copy)), Damage::Lost { acknowledged: 3, found: 0 }));
    }
}

#[test]
fn a_torn_write_that_was_not_acknowledged_is_cut_off() {
    let bench = Bench::new();
    let (journal, before, whole) = (bench.journal(), records(&batches()[..3]), records(&batches()));
    let unacknowledged = |copy: &Path| fs::write(copy.join(COUNT), &bench.count_before).unwrap();
    for (length, padding) in (bench.last..journal.len()).step_by(7).flat_map(|length| [(length, 0), (length, 100)]) {
        let copy = bench.copy();
        unacknowledged(&copy);
        let mut torn = journal[..length].to_vec();
        torn.resize(length + padding, 0);
        fs::write(copy.join(JOURNAL), torn).unwrap();
        match load(&copy) {
            // Where the lengths of a value are torn apart, a debug assertion of fjall fails.
            Err(FjallError::Damaged { source: Damage::Panicked(_), .. }) if cfg!(debug_assertions) && padding > 0 => {
                continue;
            }
            there => assert_eq!(there.unwrap(), before, "{length} and {padding}"),
        }
        // And it goes on from there.
        let mut storage = FjallStorage::open(&copy).unwrap();
        storage.persist(&batches()[3]).unwrap();
        drop(storage);
        assert_eq!(load(&copy).unwrap(), whole, "{length} and {padding}");
        // Had it been acknowledged, it would be missing.
        let copy = bench.copy();
        fs::write(copy.join(JOURNAL), &journal[..length]).unwrap();
        assert!(matches!(damage(load(&copy)), Damage::Lost { acknowledged: 4, found: 3 }), "{length}");
    }
}

#[test]
fn a_storage_without_its_count_or_with_anothers_is_damaged() {
    let bench = Bench::new();
    let copy = bench.copy();
    fs::remove_file(copy.join(COUNT)).unwrap();
    let error = load(&copy).unwrap_err();
    assert!(error.to_string().contains(&format!("the storage in the folder {} is damaged", copy.display())), "{error}");
    assert!(error.to_string().contains("create a new one, with an id that was never used"), "{error}");
    assert!(matches!(damage::<()>(Err(error)), Damage::NoCount(path) if path == copy.join(COUNT)));

    fs::write(copy.join(COUNT), [0; 5_000]).unwrap();
    assert!(matches!(damage(load(&copy)), Damage::NoCount(_)));
    let other = Bench::new();
    fs::copy(other.whole().join(COUNT), copy.join(COUNT)).unwrap();
    assert!(matches!(damage(load(&copy)), Damage::NoSeal));
    // One of its two places is enough.
    let mut count = fs::read(bench.whole().join(COUNT)).unwrap();
    count[3] ^= 1;
    fs::write(copy.join(COUNT), count).unwrap();
    assert_eq!(load(&copy).unwrap(), records(&batches()));
}

#[test]
fn an_older_journal_and_a_missing_one_are_noticed() {
    let bench = Bench::new();
    let copy = bench.copy();
    fs::write(copy.join(JOURNAL), &bench.journal()[..bench.last]).unwrap();
    assert!(matches!(damage(load(&copy)), Damage::Lost { acknowledged: 4, found: 3 }));
    let copy = bench.copy();
    fs::remove_file(copy.join(JOURNAL)).unwrap();
    assert!(matches!(damage(load(&copy)), Damage::Lost { acknowledged: 4, found: 0 }));
}

#[test]
fn a_record_that_is_lost_changed_or_back_is_noticed() {
    let changes: [fn(&fjall::Keyspace); 5] = [
        |keyspace| keyspace.remove(codec::encode_key(&vote(2).key())).unwrap(),
        |keyspace| keyspace.insert(codec::encode_key(&vote(1).key()), codec::encode_record(&vote(1))).unwrap(),
        |keyspace| {
            let old = Record::Rounds { reserved: 1 };
            keyspace.insert(codec::encode_key(&old.key()), codec::encode_record(&old)).unwrap();
        },
        |keyspace| keyspace.iter().for_each(|entry| keyspace.remove(entry.key().unwrap()).unwrap()),
        |keyspace| keyspace.remove(keyspace.iter().last().unwrap().key().unwrap()).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let bench = Bench::new();
        let mut storage = FjallStorage::open(bench.whole()).unwrap();
        change(&storage.database().keyspace(KEYSPACE, KeyspaceCreateOptions::default).unwrap());
        let found = damage(storage.load());
        let is_right = match number {
            0..3 => matches!(found, Damage::Changed),
            _ => matches!(found, Damage::Lost { acknowledged: 4, found: 0 }),
        };
        assert!(is_right, "{number}: {found:?}");
        assert!(storage.records().is_err());
    }
}

#[test]
fn a_changed_byte_of_a_table_is_noticed() {
    let bench = Bench::new();
    let storage = FjallStorage::open(bench.whole()).unwrap();
    storage.database().keyspace(KEYSPACE, KeyspaceCreateOptions::default).unwrap().rotate_memtable_and_wait().unwrap();
    drop(storage);
    let (whole, mut files) = (records(&batches()), Vec::new());
    list(&bench.whole().join("keyspaces/1"), &mut files);
    let (mut tried, mut errors) = (0, 0);
    for file in &files {
        let bytes = fs::read(file).unwrap();
        let step = bytes.len().div_ceil(60).max(1);
        for place in (0..bytes.len()).step_by(step) {
            let copy = bench.copy();
            let mut changed = bytes.clone();
            changed[place] ^= 0x04;
            fs::write(copy.join(file.strip_prefix(bench.whole()).unwrap()), changed).unwrap();
            tried += 1;
            match load(&copy) {
                Ok(records) => assert_eq!(records, whole, "{file:?} {place}"),
                Err(_) => errors += 1,
            }
        }
    }
    println!("{tried} bytes of {} files changed: {errors} errors", files.len());
    assert!(errors > 0);
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}
