//! An account in a SQLite file keeps the contract of a resource. A crash leaves what is in the files while they are open.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real files")]

use std::{collections::BTreeMap, fs, path::PathBuf, slice};

use rusqlite::Connection;
use synod::{
    NodeId, TxId,
    commit::{Meta, Promised, Record, Transaction},
    perform::{
        Storage,
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
        embedded::{Embedded, Step, Store},
    },
};
use synod_sqlite::{Guard, SqliteError, SqliteStore, rusqlite};
use tempfile::TempDir;

const OPENING: i64 = 10;
const PRICE: i64 = 7;

/// Accounts, from each of which one transaction takes something.
struct Accounts {
    store: SqliteStore,
    guard: Guard,
}

impl Store for Accounts {
    /// Whose money it is.
    type Change = String;
    type Error = SqliteError;

    fn load(&mut self) -> Result<Vec<Record>, SqliteError> {
        self.store.load()
    }

    fn write(&mut self, records: &[Record], steps: &[Step<'_, String>]) -> Result<(), SqliteError> {
        let guard = &self.guard;
        self.store.persist_with(records, |db| {
            for step in steps {
                match *step {
                    Step::Promise(tx, who) => guard.promise(db, tx, who, PRICE)?,
                    Step::Release(tx, _) => guard.release(db, tx)?,
                    Step::Commit(tx, who) => {
                        guard.release(db, tx)?;
                        guard.add(db, who, -PRICE)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn change(&self, _: &Transaction, meta: &Meta) -> Option<String> {
        Some(str::from_utf8(meta.bytes()).ok()?.to_owned())
    }

    fn check(&mut self, _: TxId, who: &String, promised: &BTreeMap<TxId, String>) -> Result<bool, SqliteError> {
        let held = PRICE * promised.values().filter(|other| *other == who).count() as i64;
        let there = self.guard.amount(self.store.hold()?, who)?;
        Ok(there.is_some_and(|there| there - held >= PRICE))
    }

    fn recover(&mut self, promised: &BTreeMap<TxId, String>) -> Result<(), SqliteError> {
        let promises = promised.iter().map(|(tx, who)| (*tx, who.as_str(), PRICE));
        let guard = &self.guard;
        self.store.change(|db| guard.restore(db, promises))
    }
}

struct Scene {
    folder: TempDir,
    crashes: u32,
}

impl Scene {
    /// The database, in a new folder after each crash.
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.crashes.to_string()).join("accounts.sqlite")
    }

    fn who(number: u64) -> String {
        format!("customer {number}")
    }
}

impl ResourceUnderTest for Scene {
    type Resource = Embedded<Accounts>;

    fn work(&self, number: u64) -> Promised {
        let (id, meta) = (TxId { origin: NodeId(1), seq: number }, Meta::from(Self::who(number)));
        Promised::new(Transaction::new(id, [NodeId(1), NodeId(2)], meta.clone()).unwrap(), meta)
    }

    async fn open(&mut self) -> Result<Embedded<Accounts>, SceneError> {
        fs::create_dir_all(self.path().parent().unwrap())?;
        let mut store = SqliteStore::open(self.path())?;
        store.change(|db| {
            db.execute_batch("CREATE TABLE IF NOT EXISTS account (who TEXT PRIMARY KEY, balance INTEGER NOT NULL)")?;
            let mut insert = db.prepare("INSERT OR IGNORE INTO account VALUES (?1, ?2)")?;
            (0..200).try_for_each(|number| insert.execute((Self::who(number), OPENING)).map(drop))?;
            Ok(())
        })?;
        let guard = Guard::install(&store, "account", "who", "balance")?;
        let mut accounts = Embedded::new(Accounts { store, guard });
        accounts.load()?;
        Ok(accounts)
    }

    async fn crash(&mut self, accounts: Embedded<Accounts>) {
        let before = self.path();
        self.crashes += 1;
        fs::create_dir(self.path().parent().unwrap()).unwrap();
        for suffix in ["", "-wal", ".acknowledged"] {
            let [from, to] = [&before, &self.path()].map(|path| format!("{}{suffix}", path.display()));
            fs::copy(from, to).unwrap();
        }
        drop(accounts);
        fs::remove_dir_all(before.parent().unwrap()).unwrap();
    }

    async fn shows(&mut self, _: &Embedded<Accounts>, number: u64) -> Result<usize, SceneError> {
        // As any other program sees it.
        let db = Connection::open(self.path())?;
        let select = "SELECT balance FROM account WHERE who = ?1";
        let spent = OPENING - db.query_row(select, [Self::who(number)], |row| row.get::<_, i64>(0))?;
        if spent % PRICE == 0 { Ok(usize::try_from(spent / PRICE)?) } else { Err(format!("{spent} were spent").into()) }
    }

    async fn holds(&mut self, accounts: &Embedded<Accounts>, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(accounts.promised().contains_key(&self.work(number).transaction.id())))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        let db = Connection::open(self.path())?;
        db.execute_batch("DROP TRIGGER synod_guard_account_UPDATE")?;
        Ok(db.execute("UPDATE account SET balance = 0 WHERE who = ?1", [Self::who(number)])? == 1)
    }

    async fn write(&mut self, accounts: &mut Embedded<Accounts>, record: &Record) -> Result<(), SceneError> {
        Ok(accounts.persist(slice::from_ref(record))?)
    }
}

#[test]
fn an_account_in_a_sqlite_file_keeps_the_contract_of_a_resource_through_crashes() {
    let report = conformance::resource(&mut Scene { folder: tempfile::tempdir().unwrap(), crashes: 0 });
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}
