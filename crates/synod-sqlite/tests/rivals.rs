//! Two SQLite files under the driver for tokio, while other programs spend whatever they can get from the same tables.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "threads, and real time")]

use std::{
    collections::BTreeMap,
    mem,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use synod::{
    NodeId, Packet, Quorums, TxId,
    commit::{Cluster, ClusterId, Config, Message, Meta, Outcome, Record, Transaction},
    perform::{
        Storage, Transport,
        embedded::{Embedded, Step, Store},
        tokio::{Handle, Options, Start, spawn},
    },
};
use synod_sqlite::{Guard, SqliteError, SqliteStore, rusqlite};

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];
const OPENING: i64 = 600;
const PRICE: i64 = 3;

/// An amount, of which each transaction takes as much as it says.
struct Till {
    store: SqliteStore,
    guard: Guard,
}

impl Till {
    fn open(path: &Path) -> Self {
        let store = SqliteStore::open(path).unwrap();
        let table = "CREATE TABLE IF NOT EXISTS till (name TEXT PRIMARY KEY, amount INTEGER NOT NULL)";
        store.connection().execute_batch(table).unwrap();
        store.connection().execute("INSERT OR IGNORE INTO till VALUES ('till', ?1)", [OPENING]).unwrap();
        let guard = Guard::install(&store, "till", "name", "amount").unwrap();
        Self { store, guard }
    }
}

impl Store for Till {
    type Change = i64;
    type Error = SqliteError;

    fn load(&mut self) -> Result<Vec<Record>, SqliteError> {
        self.store.load()
    }

    fn write(&mut self, records: &[Record], steps: &[Step<'_, i64>]) -> Result<(), SqliteError> {
        let guard = &self.guard;
        self.store.persist_with(records, |db| {
            for step in steps {
                match *step {
                    Step::Promise(tx, taken) => guard.promise(db, tx, "till", *taken)?,
                    Step::Release(tx, _) => guard.release(db, tx)?,
                    Step::Commit(tx, taken) => {
                        guard.release(db, tx)?;
                        guard.add(db, "till", -taken)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn change(&self, _: &Transaction, meta: &Meta) -> Option<i64> {
        str::from_utf8(meta.bytes()).ok()?.parse().ok()
    }

    fn check(&mut self, _: TxId, taken: &i64, promised: &BTreeMap<TxId, i64>) -> Result<bool, SqliteError> {
        let held: i64 = promised.values().sum();
        match self.store.hold() {
            Ok(db) => Ok(self.guard.amount(db, "till")?.is_some_and(|there| there - held >= *taken)),
            Err(SqliteError::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn recover(&mut self, promised: &BTreeMap<TxId, i64>) -> Result<(), SqliteError> {
        let guard = &self.guard;
        let promises = promised.iter().map(|(tx, taken)| (*tx, "till", *taken));
        self.store.change(|db| guard.restore(db, promises))
    }
}

#[derive(Clone, Default)]
struct Wires(Arc<Mutex<BTreeMap<NodeId, Handle>>>);

struct Way(NodeId, Wires);

impl Transport for Way {
    fn send(&mut self, packet: Packet<Message>) {
        if let Some(handle) = self.1.0.lock().unwrap().get(&packet.to) {
            handle.deliver(self.0, packet.messages);
        }
    }
}

async fn start(folder: &Path, how: Start) -> Wires {
    let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([NODES[0]]).unwrap(), [NODES[0]]).unwrap();
    let wires = Wires::default();
    for node in NODES {
        let (storage, resource) = Embedded::new(Till::open(&folder.join(node.to_string()))).split();
        let (config, way) = (Config::new(cluster.clone(), node, node.0), Way(node, wires.clone()));
        let (handle, _task) = spawn(config, how, storage, way, resource, Options::default()).await.unwrap();
        wires.0.lock().unwrap().insert(node, handle);
    }
    wires
}

/// Takes one at a time, as long as it gets something, and returns how much it has got.
fn rival(path: &Path, is_over: &Arc<AtomicBool>) -> JoinHandle<i64> {
    let (db, is_over) = (Connection::open(path).unwrap(), Arc::clone(is_over));
    db.busy_timeout(Duration::from_secs(30)).unwrap();
    thread::spawn(move || {
        let mut taken = 0;
        while !is_over.load(Ordering::Relaxed) {
            match db.execute("UPDATE till SET amount = amount - 1 WHERE amount > 0", []) {
                Ok(changed) => taken += changed as i64,
                Err(error) => assert!(error.to_string().contains("promised to a transaction"), "{error}"),
            }
            thread::sleep(Duration::from_millis(1));
        }
        taken
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_while_other_programs_take_all_that_is_free() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), Start::Create).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let paths = NODES.map(|node| folder.path().join(node.to_string()));
    let (mut committed, mut aborted, mut rivals) = (0, 0, Vec::new());
    for how in [Start::Restore, Start::Restore] {
        let wires = start(folder.path(), how).await;
        if rivals.is_empty() {
            rivals = paths.iter().map(|path| rival(path, &is_over)).collect();
        }
        let handle = wires.0.lock().unwrap()[&NODES[0]].clone();
        let mut buyers = Vec::new();
        for _ in 0..8 {
            let handle = handle.clone();
            buyers.push(tokio::spawn(async move {
                let mut committed = 0;
                for _ in 0..20 {
                    let tx = handle.begin(NODES, PRICE.to_string()).await.unwrap();
                    committed += i64::from(handle.outcome(tx).await.unwrap() == Outcome::Committed);
                }
                committed
            }));
        }
        for buyer in buyers {
            let bought = buyer.await.unwrap();
            committed += bought;
            aborted += 20 - bought;
        }
        // Whoever comes to the end of its own life has finished nothing in particular.
        let handles = mem::take(&mut *wires.0.lock().unwrap());
        for handle in handles.into_values() {
            handle.shutdown().await.unwrap();
        }
    }
    // What was committed at the end may be carried out by the next life.
    let wires = start(folder.path(), Start::Restore).await;
    let handles: Vec<Handle> = wires.0.lock().unwrap().values().cloned().collect();
    for handle in &handles {
        while handle.metrics().await.unwrap().open > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let taken: Vec<i64> = rivals.into_iter().map(|rival| rival.join().unwrap()).collect();
    for handle in handles {
        handle.shutdown().await.unwrap();
    }
    for (path, taken) in paths.iter().zip(taken) {
        let left: i64 =
            Connection::open(path).unwrap().query_row("SELECT amount FROM till", [], |row| row.get(0)).unwrap();
        assert_eq!(left + taken + committed * PRICE, OPENING, "{left} left, {taken} taken, {committed} committed");
        assert!(left >= 0 && taken > 0);
    }
    assert!(committed > 0 && aborted > 0, "{committed} {aborted}");
}
