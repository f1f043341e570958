//! What others may do at the file, and what a branch may not.

use std::{sync::Arc, time::Duration};

use synod::{
    commit::{Meta, Outcome},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database, NodeId, Unprepared};
use synod_sqlite::{
    Error, Sqlite,
    rusqlite::{self, Connection},
};

use crate::{ACCOUNTS, CLUSTER, open, plain, rows, transaction, tx};

fn is_held(change: rusqlite::Result<usize>) -> bool {
    change.is_err_and(|error| error.to_string().contains("held for a transaction that is not over"))
}

async fn prepared(path: &std::path::Path, seq: u64) -> (Sqlite, synod_sqlite::SqliteResource) {
    let sqlite = open(path).await;
    let resource = sqlite.resource(CLUSTER).await.unwrap();
    let mut branch = sqlite.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = balance - 30", &[]).await.unwrap();
    branch.prepare(CLUSTER, &transaction(seq)).await.unwrap();
    (sqlite, resource)
}

fn accounts() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let other = plain(&path);
    other.busy_timeout(Duration::from_millis(50)).unwrap();
    other
        .execute_batch("CREATE TABLE account (name PRIMARY KEY, balance); INSERT INTO account VALUES ('ann', 100)")
        .unwrap();
    (folder, path, other)
}

#[tokio::test]
async fn while_a_branch_is_prepared_nobody_writes_and_everybody_reads() {
    let (_folder, path, other) = accounts();
    let (sqlite, resource) = prepared(&path, 1).await;
    let balance = || other.query_row("SELECT balance FROM account", [], |row| row.get::<_, i64>(0));
    for statement in [
        "UPDATE account SET balance = 0",
        "INSERT INTO account VALUES ('bob', 1)",
        "REPLACE INTO account VALUES ('ann', 1)",
        "DELETE FROM account",
    ] {
        assert!(is_held(other.execute(statement, [])), "{statement}");
    }
    assert_eq!(balance(), Ok(100));
    // Neither does a branch, of this process or of another one.
    for sqlite in [&sqlite, &open(&path).await] {
        let held = sqlite.open(None).await.unwrap_err();
        assert!(matches!(held.downcast_ref(), Some(Error::Held { tx: holder, .. }) if *holder == tx(1)), "{held}");
    }
    assert_eq!(sqlite.prepared().await.unwrap(), [tx(1)]);
    assert_eq!(resource.commit(&transaction(1), &Meta::default()).await, Progress::Finished);
    assert_eq!(balance(), Ok(70));
    assert_eq!(other.execute("UPDATE account SET balance = balance + 1", []), Ok(1));
    assert_eq!(sqlite.prepared().await.unwrap(), []);
    assert_eq!(sqlite.alarms(), []);
}

#[tokio::test]
async fn a_table_that_another_program_makes_is_seen_by_the_next_branch() {
    let (_folder, path, other) = accounts();
    let sqlite = open(&path).await;
    let resource = sqlite.resource(CLUSTER).await.unwrap();
    for (seq, table) in [(1, "one"), (2, "two")] {
        other.execute_batch(&format!("CREATE TABLE {table} (x UNIQUE)")).unwrap();
        let mut branch = sqlite.open(None).await.unwrap();
        branch.execute(format!("INSERT INTO {table} VALUES (1)"), &[]).await.unwrap();
        assert!(branch.has_written().await.unwrap());
        branch.prepare(CLUSTER, &transaction(seq)).await.unwrap();
        assert!(is_held(other.execute(&format!("INSERT INTO {table} VALUES (1)"), [])));
        assert_eq!(resource.commit(&transaction(seq), &Meta::default()).await, Progress::Finished);
        assert_eq!(rows(&other, &[&format!("SELECT * FROM {table}")]).unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_a_branch_may_not_do_is_refused_and_the_rest_goes_on() {
    let (_folder, path, other) = accounts();
    other.execute_batch("CREATE VIRTUAL TABLE words USING fts5(word)").ok();
    let sqlite = open(&path).await;
    let mut branch = sqlite.open(None).await.unwrap();
    for statement in [
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "DROP TABLE account",
        "ALTER TABLE account ADD COLUMN more",
        "CREATE TRIGGER t AFTER INSERT ON account BEGIN SELECT 1; END",
        "DROP TRIGGER synod_held_account_insert",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT mine",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA schema_version",
        "ATTACH ':memory:' AS more",
        "DELETE FROM synod_prepared",
        "INSERT INTO synod_touched VALUES (1, 1)",
        "UPDATE sqlite_sequence SET seq = 1",
        "REINDEX",
        "ANALYZE",
    ] {
        let refused = branch.execute(statement, &[]).await.unwrap_err();
        // Some of it SQLite does not even look at.
        assert!(matches!(refused, Error::NotAllowed { .. } | Error::Database { .. }), "{statement}: {refused:?}");
    }
    assert!(matches!(branch.execute("PRAGMA foreign_keys = OFF", &[]).await, Err(Error::NotAllowed { .. })));
    let refused = branch.execute("INSERT INTO account VALUES ('ann', 1)", &[]).await.unwrap_err();
    assert!(matches!(refused, Error::Database { .. }), "{refused:?}");
    assert_eq!(branch.execute("UPDATE account SET balance = 7", &[]).await.unwrap(), 1);
    branch.commit_alone().await.unwrap();
    assert_eq!(other.query_row("SELECT balance FROM account", [], |row| row.get::<_, i64>(0)), Ok(7));
}

#[tokio::test]
async fn what_is_dropped_or_interrupted_is_rolled_back_and_keeps_nobody_waiting() {
    let (_folder, path, other) = accounts();
    let sqlite = open(&path).await;
    let mut branch = sqlite.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 0", &[]).await.unwrap();
    assert!(other.execute("UPDATE account SET balance = 1", []).is_err(), "a branch has the file's lock");
    drop(branch);
    assert_eq!(other.execute("UPDATE account SET balance = 2", []), Ok(1));

    let mut branch = sqlite.open(None).await.unwrap();
    let slow = branch.run(|db| {
        std::thread::sleep(Duration::from_millis(100));
        db.execute("UPDATE account SET balance = 3", [])
    });
    tokio::time::timeout(Duration::from_millis(10), slow).await.unwrap_err();
    let late = branch.execute("UPDATE account SET balance = 4", &[]).await.unwrap_err();
    assert!(matches!(late, Error::RolledBack(_)), "{late:?}");
    drop(branch);

    let mut branch = sqlite.open(None).await.unwrap();
    let ended = branch.execute("INSERT OR ROLLBACK INTO account VALUES ('ann', 5)", &[]).await.unwrap_err();
    assert!(matches!(ended, Error::Database { .. }), "{ended:?}");
    let late = branch.prepare(CLUSTER, &transaction(1)).await.unwrap_err();
    assert!(matches!(late, Unprepared::RolledBack(_)), "{late:?}");
    assert_eq!(other.query_row("SELECT balance FROM account", [], |row| row.get::<_, i64>(0)), Ok(2));
}

#[tokio::test]
async fn a_branch_that_comes_after_its_transaction_was_aborted_is_never_prepared() {
    let (_folder, path, _) = accounts();
    let sqlite = open(&path).await;
    let resource = sqlite.resource(CLUSTER).await.unwrap();
    assert_eq!(resource.abort(&transaction(1), None).await, Progress::Finished);
    let mut branch = sqlite.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 0", &[]).await.unwrap();
    let late = branch.prepare(CLUSTER, &transaction(1)).await.unwrap_err();
    assert!(late.into_cause().to_string().contains("was aborted before"));
}

#[tokio::test]
async fn a_file_knows_whose_it_is() {
    let (folder, path, _) = accounts();
    let sqlite = open(&path).await;
    let mut branch = sqlite.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 0", &[]).await.unwrap();
    let nobodys = branch.prepare(CLUSTER, &transaction(1)).await.unwrap_err().into_cause();
    assert!(matches!(nobodys.downcast_ref(), Some(Error::NoAgent { .. })), "{nobodys}");
    sqlite.resource(CLUSTER).await.unwrap();
    let elsewhere = sqlite.resource(synod::commit::ClusterId([7; 16])).await.unwrap_err();
    assert!(matches!(elsewhere.downcast_ref(), Some(Error::InOtherCluster { .. })), "{elsewhere}");
    let swapped = Sqlite::open(&path, NodeId(99)).await.unwrap_err();
    assert!(matches!(swapped, Error::OtherParticipant { participant: NodeId(99), .. }), "{swapped}");
    let text = folder.path().join("letter.txt");
    std::fs::write(&text, "Dear reader, this is no database. ".repeat(99)).unwrap();
    let no_database = Sqlite::open(&text, ACCOUNTS).await.unwrap_err();
    assert!(matches!(no_database, Error::Database { .. }), "{no_database}");
    let no_folder = Sqlite::open(folder.path().join("none/such.db"), ACCOUNTS).await.unwrap_err();
    assert!(no_folder.to_string().contains("such.db"), "{no_folder}");
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_of_one_process_take_turns() {
    let (_folder, path, other) = accounts();
    let sqlite = Arc::new(Sqlite::open(&path, ACCOUNTS).await.unwrap());
    sqlite.resource(CLUSTER).await.unwrap();
    let branches: Vec<_> = (1..=40)
        .map(|seq| {
            let sqlite = Arc::clone(&sqlite);
            tokio::spawn(async move {
                let mut branch = sqlite.open(None).await.unwrap();
                branch.execute("UPDATE account SET balance = balance - 1", &[]).await.unwrap();
                branch.prepare(CLUSTER, &transaction(seq)).await.unwrap();
                branch.finish(if seq % 2 == 0 { Outcome::Committed } else { Outcome::Aborted }).await.unwrap();
            })
        })
        .collect();
    for branch in branches {
        branch.await.unwrap();
    }
    assert_eq!(other.query_row("SELECT balance FROM account", [], |row| row.get::<_, i64>(0)), Ok(80));
}
