//! What is promised of a table stays, no matter who writes to it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real files")]

use rusqlite::Connection;
use synod::{NodeId, TxId};
use synod_sqlite::{Guard, SqliteError, SqliteStore, rusqlite};
use tempfile::TempDir;

struct Scene {
    store: SqliteStore,
    guard: Guard,
    /// A program that knows nothing of any of this.
    other: Connection,
    _folder: TempDir,
}

fn tx(seq: u64) -> TxId {
    TxId { origin: NodeId(1), seq }
}

/// Ann has 100, of which 30 and 20 are promised; Bob has 100; Cat has nothing, and a promise that she stays.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.sqlite");
    let mut store = SqliteStore::open(&path).unwrap();
    let table = r#"CREATE TABLE "the ""accounts""" (row TEXT PRIMARY KEY, amount INTEGER NOT NULL, mail TEXT UNIQUE)"#;
    store.connection().execute_batch(table).unwrap();
    let guard = Guard::install(&store, r#"the "accounts""#, "row", "amount").unwrap();
    let rows = r#"INSERT INTO "the ""accounts""" VALUES ('ann', 100, 'a'), ('bob', 100, 'b'), ('cat', 0, 'c')"#;
    store.connection().execute(rows, []).unwrap();
    store
        .change(|db| {
            guard.promise(db, tx(1), "ann", 30)?;
            guard.promise(db, tx(2), "ann", 20)?;
            guard.promise(db, tx(3), "cat", -10)
        })
        .unwrap();
    Scene { store, guard, other: Connection::open(path).unwrap(), _folder: folder }
}

impl Scene {
    fn try_other(&self, statement: &str) -> rusqlite::Result<usize> {
        self.other.execute(&statement.replace("TABLE", r#""the ""accounts""""#), [])
    }

    fn is_refused(&self, statement: &str) -> bool {
        match self.try_other(statement) {
            Ok(_) => false,
            Err(error) => {
                assert!(error.to_string().contains("promised to a transaction"), "{statement}: {error}");
                true
            }
        }
    }

    fn rows(&self) -> Vec<(String, i64)> {
        let mut select = self.other.prepare(r#"SELECT row, amount FROM "the ""accounts""" ORDER BY row"#).unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }
}

#[test]
fn no_statement_of_another_program_takes_what_is_promised() {
    let scene = scene();
    let before = scene.rows();
    for statement in [
        "UPDATE TABLE SET amount = 49 WHERE row = 'ann'",
        "UPDATE TABLE SET amount = amount - 60",
        "UPDATE TABLE SET amount = 'much' WHERE row = 'ann'",
        "UPDATE TABLE SET amount = 99.5 WHERE row = 'ann'",
        "UPDATE TABLE SET row = 'anne' WHERE row = 'ann'",
        "UPDATE TABLE SET row = 'kitty' WHERE row = 'cat'",
        "UPDATE OR REPLACE TABLE SET row = 'ann' WHERE row = 'bob'",
        "DELETE FROM TABLE WHERE row = 'ann'",
        "DELETE FROM TABLE WHERE row = 'cat'",
        "DELETE FROM TABLE",
        "INSERT OR REPLACE INTO TABLE VALUES ('ann', 49, 'a')",
        "REPLACE INTO TABLE VALUES ('dan', 1000, 'a')",
        "INSERT INTO TABLE VALUES ('ann', 0, 'a') ON CONFLICT DO UPDATE SET amount = 0",
    ] {
        assert!(scene.is_refused(statement), "{statement}");
        assert_eq!(scene.rows(), before, "{statement}");
    }
}

#[test]
fn everything_else_goes_on() {
    let scene = scene();
    for statement in [
        "UPDATE TABLE SET amount = 50 WHERE row = 'ann'",
        "UPDATE TABLE SET mail = 'ann@example' WHERE row = 'ann'",
        "UPDATE TABLE SET amount = amount + 7",
        "INSERT OR REPLACE INTO TABLE VALUES ('ann', 51, 'a')",
        "UPDATE TABLE SET row = 'rob', amount = 0 WHERE row = 'bob'",
        "DELETE FROM TABLE WHERE row = 'rob'",
        "INSERT INTO TABLE VALUES ('dan', 5, 'd')",
    ] {
        scene.try_other(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    assert_eq!(scene.rows(), [("ann".into(), 51), ("cat".into(), 7), ("dan".into(), 5)]);
}

#[test]
fn what_is_let_go_of_is_free_and_what_is_left_is_not() {
    let Scene { mut store, guard, other, _folder } = scene();
    store
        .change(|db| {
            guard.release(db, tx(1))?;
            guard.add(db, "ann", -30)
        })
        .unwrap();
    assert_eq!(guard.amount(store.connection(), "ann").unwrap(), Some(70));
    let scene = Scene { store, guard, other, _folder };
    assert!(scene.is_refused("UPDATE TABLE SET amount = 19 WHERE row = 'ann'"));
    scene.try_other("UPDATE TABLE SET amount = 20 WHERE row = 'ann'").unwrap();
    let Scene { mut store, guard, .. } = scene;
    store.change(|db| guard.release(db, tx(2))).unwrap();
    assert!(matches!(store.change(|db| guard.add(db, "ann", -21)), Err(SqliteError::PromiseLost { .. })));
    assert!(matches!(store.change(|db| guard.add(db, "eve", 1)), Err(SqliteError::PromiseLost { .. })));
    store.change(|db| guard.add(db, "ann", -20)).unwrap();
    assert_eq!(guard.amount(store.connection(), "ann").unwrap(), Some(0));
}

#[test]
fn two_promises_to_one_transaction_add_up() {
    let Scene { mut store, guard, other, _folder } = scene();
    store.change(|db| guard.promise(db, tx(2), "ann", 45)).unwrap();
    let scene = Scene { store, guard, other, _folder };
    assert!(scene.is_refused("UPDATE TABLE SET amount = 94 WHERE row = 'ann'"));
    scene.try_other("UPDATE TABLE SET amount = 95 WHERE row = 'ann'").unwrap();
}

#[test]
fn a_second_guard_on_the_same_file_keeps_its_own_promises() {
    let Scene { mut store, guard, other, _folder } = scene();
    store.connection().execute_batch("CREATE TABLE stock (what TEXT PRIMARY KEY, pieces INTEGER)").unwrap();
    store.connection().execute("INSERT INTO stock VALUES ('ann', 1)", []).unwrap();
    let stock = Guard::install(&store, "stock", "what", "pieces").unwrap();
    store.change(|db| stock.promise(db, tx(1), "ann", 1)).unwrap();
    store.change(|db| guard.restore(db, [])).unwrap();
    let scene = Scene { store, guard, other, _folder };
    scene.try_other("DELETE FROM TABLE").unwrap();
    assert!(scene.is_refused("DELETE FROM stock"));
}

#[test]
fn what_is_restored_is_all_that_is_promised_and_an_error_if_it_is_not_there() {
    let Scene { mut store, guard, other, _folder } = scene();
    store.change(|db| guard.restore(db, [(tx(4), "ann", 60), (tx(5), "ann", 40), (tx(6), "bob", 0)])).unwrap();
    let scene = Scene { store, guard, other, _folder };
    assert!(scene.is_refused("UPDATE TABLE SET amount = 99 WHERE row = 'ann'"));
    assert!(scene.is_refused("DELETE FROM TABLE WHERE row = 'bob'"));
    scene.try_other("DELETE FROM TABLE WHERE row = 'cat'").unwrap();
    let Scene { mut store, guard, .. } = scene;
    for lost in [vec![(tx(4), "ann", 101)], vec![(tx(4), "ann", 60), (tx(5), "ann", 41)], vec![(tx(4), "eve", 0)]] {
        let error = store.change(|db| guard.restore(db, lost)).unwrap_err();
        assert!(matches!(error, SqliteError::PromiseLost { .. }), "{error}");
    }
    // Nothing has changed by that.
    assert!(store.connection().execute(r#"DELETE FROM "the ""accounts""" WHERE row = 'bob'"#, []).is_err());
}
