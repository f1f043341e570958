//! Whatever a branch has done to its rows, they come to be as it left them: no more, no less, and nothing twice.

use proptest::prelude::*;
use synod::{
    commit::{Meta, Outcome},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database};

use crate::{CLUSTER, open, plain, rows, transaction};

const SCHEMA: &str = "
    CREATE TABLE plain (a, b TEXT DEFAULT (strftime('%f', 'now') || random()), c REAL UNIQUE);
    CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE UNIQUE, twice AS (id * 2) STORED);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE, note BLOB);
    CREATE TABLE keyed (k TEXT COLLATE NOCASE, n INTEGER, v, PRIMARY KEY (k, n)) WITHOUT ROWID;
    CREATE TABLE chain (id INTEGER PRIMARY KEY, next REFERENCES chain(id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE \"odd 'name\"\"\" (\"_rowid_\", \"a \"\"column\");
    CREATE TABLE log (what, n INTEGER);
    CREATE TRIGGER noted AFTER INSERT ON plain BEGIN
        INSERT INTO log VALUES ('plain', NEW.a);
        UPDATE log SET n = n + 1 WHERE what = 'count';
    END;
    CREATE TRIGGER gone AFTER DELETE ON plain BEGIN INSERT INTO log VALUES ('gone', OLD.a); END;
    CREATE VIEW shown AS SELECT a, c FROM plain;
    CREATE TRIGGER put INSTEAD OF INSERT ON shown BEGIN INSERT INTO plain (a, c) VALUES (NEW.a, NEW.c); END;
    INSERT INTO log VALUES ('count', 0);
    INSERT INTO plain (a, c) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO parent (name) VALUES ('Ann'), ('Bob');
    INSERT INTO child VALUES (1, 1, x'00ff'), (2, 2, NULL);
    INSERT INTO keyed VALUES ('a', 1, 0.1), ('B', 2, 'x');
    INSERT INTO chain VALUES (1, NULL), (2, 1);
    INSERT INTO \"odd 'name\"\"\" VALUES (1, 'it''s');";

const ALL: [&str; 8] = [
    "SELECT rowid, * FROM plain ORDER BY 1",
    "SELECT * FROM parent ORDER BY 1",
    "SELECT * FROM child ORDER BY 1",
    "SELECT * FROM keyed ORDER BY 1, 2",
    "SELECT * FROM chain ORDER BY 1",
    "SELECT rowid, * FROM \"odd 'name\"\"\" ORDER BY 1",
    "SELECT rowid, * FROM log ORDER BY 1",
    "SELECT * FROM sqlite_sequence",
];

/// What a branch may do; `?1` and `?2` are small numbers. Some of it fails, and then it has done nothing.
const STATEMENTS: [&str; 25] = [
    "INSERT INTO plain (a, c) VALUES (?1, ?2)",
    "INSERT OR REPLACE INTO plain (a, c) VALUES (?1, ?2)",
    "INSERT OR IGNORE INTO plain (a, c) VALUES (?1, ?2)",
    "INSERT OR FAIL INTO plain (a, c) SELECT ?1, c + 1 FROM plain WHERE ?2 > 1",
    "UPDATE plain SET c = 10 - c WHERE a >= ?1 AND ?2 > 0",
    "UPDATE OR REPLACE plain SET c = ?1 WHERE a = ?2",
    "UPDATE plain SET rowid = rowid + ?1 + 10 WHERE a = ?2",
    "UPDATE OR ABORT plain SET a = x'01020304', b = NULL WHERE a = ?1 + ?2",
    "DELETE FROM plain WHERE a = ?1 OR c = ?2",
    "DELETE FROM plain",
    "INSERT INTO shown VALUES (?1, ?2) RETURNING a",
    "INSERT INTO parent (name) VALUES (char(96 + ?1) || ?2) RETURNING id, twice",
    "INSERT INTO parent (id, name) VALUES (?1, 'ANN') ON CONFLICT (name) DO UPDATE SET name = excluded.name || ?2",
    "REPLACE INTO parent (id, name) VALUES (?1, char(66 + ?2))",
    "UPDATE parent SET id = id + 10 WHERE id = ?1 AND ?2 > 0",
    "DELETE FROM parent WHERE id = ?1 OR id = ?2",
    "INSERT INTO child VALUES (?1, ?2, zeroblob(?1))",
    "REPLACE INTO keyed VALUES (char(64 + ?1), ?2, 1e300)",
    "UPDATE keyed SET k = upper(k), n = n + ?1 WHERE n <= ?2",
    "UPDATE keyed SET k = lower(k) WHERE n <= ?1 AND ?2 > 0",
    "DELETE FROM keyed WHERE n = ?1 AND ?2 > 0",
    "INSERT INTO chain VALUES (?1, ?2)",
    "UPDATE chain SET next = ?1 WHERE id = ?2",
    "DELETE FROM chain WHERE id = ?1 AND ?2 > 2",
    "INSERT INTO \"odd 'name\"\"\" VALUES (?1, ?2)",
];

/// Runs these statements in a branch, ends it as told, and says what went wrong.
async fn check(statements: &[(usize, i64, i64)], outcome: Outcome, crashes: bool) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a file?.db");
    plain(&path).execute_batch(SCHEMA).unwrap();
    let mut sqlite = open(&path).await;
    let mut resource = sqlite.resource(CLUSTER).await.unwrap();
    let before = rows(&plain(&path), &ALL).unwrap();
    let mut branch = sqlite.open(None).await.unwrap();
    let work: Vec<_> = statements.to_vec();
    let inside = branch.run(move |db| {
        for (number, one, other) in work {
            // A statement may fail, and have done nothing.
            if let Ok(mut statement) = db.prepare(STATEMENTS[number]) {
                let parameters = [one, other];
                let needed = statement.parameter_count();
                if let Ok(mut rows) = statement.query(rusqlite::params_from_iter(&parameters[..needed])) {
                    while let Ok(Some(_)) = rows.next() {}
                }
            }
        }
        rows(db, &ALL)
    });
    let inside = inside.await.unwrap();
    let broken = {
        // What SQLite itself would say at the end.
        let check = branch.run(|db| rows(db, &["SELECT * FROM pragma_foreign_key_check"])).await.unwrap();
        !check.is_empty()
    };
    if !branch.has_written().await.unwrap() {
        prop_assert_eq!(inside, before);
        return Ok(());
    }
    let prepared = branch.prepare(CLUSTER, &transaction(1)).await;
    prop_assert_eq!(prepared.is_err(), broken, "{:?}", prepared);
    prop_assert_eq!(&rows(&plain(&path), &ALL).unwrap(), &before, "nobody sees what is only prepared");
    if prepared.is_err() {
        return Ok(());
    }
    drop(branch);
    if crashes {
        sqlite = open(&path).await;
        resource = sqlite.resource(CLUSTER).await.unwrap();
        prop_assert_eq!(resource.recover(&[]).await.unwrap().len(), 1);
    }
    for _ in 0..2 {
        let progress = match outcome {
            Outcome::Committed => resource.commit(&transaction(1), &Meta::default()).await,
            Outcome::Aborted => resource.abort(&transaction(1), None).await,
        };
        prop_assert_eq!(progress, Progress::Finished);
        let wanted = if outcome == Outcome::Committed { &inside } else { &before };
        prop_assert_eq!(&rows(&plain(&path), &ALL).unwrap(), wanted);
    }
    let sound: Vec<String> = rows(&plain(&path), &["PRAGMA integrity_check"]).unwrap();
    prop_assert!(sound.len() == 1 && sound[0].contains("\"ok\""), "{:?}", sound);
    // The next one can work.
    sqlite.open(None).await.unwrap();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn rows_come_to_be_as_the_branch_left_them_and_stay_as_they_were_if_it_aborts(
        statements in prop::collection::vec((0..STATEMENTS.len(), 0..5_i64, 0..5_i64), 0..8),
        commits in prop::bool::weighted(0.8),
        crashes in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome = if commits { Outcome::Committed } else { Outcome::Aborted };
        runtime.block_on(check(&statements, outcome, crashes))?;
    }
}

#[tokio::test]
async fn each_statement_alone_comes_to_be_what_the_branch_has_seen() {
    for number in 0..STATEMENTS.len() {
        for parameter in [1, 3] {
            check(&[(number, parameter, 2)], Outcome::Committed, false).await.unwrap();
        }
    }
}
