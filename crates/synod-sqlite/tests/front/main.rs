//! A SQLite file as a database of the front door.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "files, processes and real time")]

mod conformance;
mod crashes;
#[path = "../example/mod.rs"]
mod example;
mod hazards;
mod others;
mod rows;
mod servers;
mod together;

use std::path::Path;

use rusqlite::{Connection, types::Value};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Transaction},
};
use synod_sqlite::{Options, Sqlite, rusqlite};

const CLUSTER: ClusterId = ClusterId(*b"the tests' own..");
const ACCOUNTS: NodeId = NodeId(11);
const ORDERS: NodeId = NodeId(12);

fn tx(seq: u64) -> TxId {
    TxId { origin: NodeId(1), seq }
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(tx(seq), [ACCOUNTS, ORDERS], []).unwrap()
}

/// As any program opens the file.
fn plain(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

async fn open(path: &Path) -> Sqlite {
    let options = Options::new().wait(std::time::Duration::from_millis(500));
    Sqlite::open_with(path, ACCOUNTS, options).await.unwrap()
}

/// All rows of these queries, as text.
fn rows(db: &Connection, queries: &[&str]) -> rusqlite::Result<Vec<String>> {
    let mut rows = Vec::new();
    for query in queries {
        let mut statement = db.prepare(query)?;
        let columns = statement.column_count();
        let row =
            |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>();
        for row in statement.query_map([], row)? {
            rows.push(format!("{query}: {:?}", row?));
        }
    }
    Ok(rows)
}
