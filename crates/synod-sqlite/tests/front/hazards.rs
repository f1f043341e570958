//! What could keep a promised commit from being carried out, or make something else of it.

use std::time::Duration;

use rusqlite::Connection;
use synod::{
    commit::{Meta, Outcome},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database};
use synod_sqlite::{Error, Sqlite, SqliteBranch, SqliteResource, rusqlite};

use crate::{CLUSTER, open, plain, rows, transaction};

struct Scene {
    _folder: tempfile::TempDir,
    sqlite: Sqlite,
    resource: SqliteResource,
    other: Connection,
}

impl Scene {
    async fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let other = plain(&path);
        other.busy_timeout(Duration::from_millis(500)).unwrap();
        other.execute_batch(schema).unwrap();
        let sqlite = open(&path).await;
        let resource = sqlite.resource(CLUSTER).await.unwrap();
        Self { _folder: folder, sqlite, resource, other }
    }

    async fn branch(&self) -> SqliteBranch {
        self.sqlite.open(None).await.unwrap()
    }

    async fn prepare(&self, seq: u64, statement: &str) {
        let mut branch = self.branch().await;
        branch.execute(statement, &[]).await.unwrap();
        branch.prepare(CLUSTER, &transaction(seq)).await.unwrap();
    }

    async fn commit(&self, seq: u64) {
        assert_eq!(self.resource.commit(&transaction(seq), &Meta::default()).await, Progress::Finished);
    }

    fn all(&self, query: &str) -> Vec<String> {
        let rows = rows(&self.other, &[query]).unwrap();
        rows.into_iter().map(|row| row[query.len() + 2..].to_owned()).collect()
    }
}

#[tokio::test]
async fn a_new_table_that_has_the_name_of_one_that_was_renamed_is_held_too() {
    let scene = Scene::new("CREATE TABLE t (x)").await;
    drop(scene.branch().await);
    scene.other.execute_batch("ALTER TABLE t RENAME TO old; CREATE TABLE t (x)").unwrap();
    scene.prepare(1, "INSERT INTO t VALUES (1)").await;
    for table in ["t", "old"] {
        let change = scene.other.execute(&format!("INSERT INTO {table} VALUES (2)"), []);
        assert!(change.unwrap_err().to_string().contains("held"), "{table}");
    }
    scene.commit(1).await;
    assert_eq!(scene.all("SELECT * FROM t"), ["[Integer(1)]"]);
}

#[tokio::test]
async fn a_check_that_does_not_hold_any_more_does_not_keep_rows_from_their_places() {
    let scene = Scene::new(
        "CREATE TABLE t (name, size CHECK (size > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES ('old', 0);",
    )
    .await;
    // SQLite does not ask about what does not change.
    scene.prepare(1, "UPDATE t SET name = 'renamed'").await;
    scene.commit(1).await;
    assert_eq!(scene.all("SELECT name FROM t"), [r#"[Text("renamed")]"#]);
}

#[tokio::test]
async fn rows_are_put_in_their_places_after_a_vacuum_too() {
    let scene =
        Scene::new("CREATE TABLE t (x); INSERT INTO t VALUES ('a'), ('b'), ('c'); DELETE FROM t WHERE x = 'a'").await;
    scene.prepare(1, "UPDATE t SET x = 'B' WHERE x = 'b'").await;
    scene.other.execute_batch("VACUUM").unwrap();
    scene.commit(1).await;
    assert_eq!(scene.all("SELECT x FROM t ORDER BY x"), [r#"[Text("B")]"#, r#"[Text("c")]"#]);
    assert_eq!(scene.all("PRAGMA integrity_check"), [r#"[Text("ok")]"#]);
}

#[tokio::test]
async fn what_runs_on_after_a_branch_was_rolled_back_changes_nothing() {
    let scene = Scene::new("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1)").await;
    let mut branch = scene.branch().await;
    let run = branch.run(|db| {
        db.execute("INSERT OR ROLLBACK INTO t VALUES (1)", []).unwrap_err();
        db.execute("INSERT INTO t VALUES (2)", [])
    });
    run.await.unwrap_err();
    drop(branch);
    assert_eq!(scene.all("SELECT * FROM t"), ["[Integer(1)]"]);
    scene.prepare(1, "INSERT INTO t VALUES (3)").await;
    scene.commit(1).await;
}

#[tokio::test]
async fn virtual_tables_can_be_read() {
    let scene = Scene::new(
        "CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES ('a word');
         CREATE VIRTUAL TABLE more USING fts4(word); INSERT INTO more VALUES ('a word');
         CREATE VIRTUAL TABLE boxes USING rtree(id, a, b); INSERT INTO boxes VALUES (1, 2, 3);
         CREATE TABLE t (x);",
    )
    .await;
    let mut branch = scene.branch().await;
    for query in [
        "SELECT word FROM words WHERE words MATCH 'word'",
        "SELECT snippet(words) FROM words WHERE words MATCH 'word' ORDER BY rank",
        "SELECT word FROM more WHERE more MATCH 'word'",
        "SELECT value FROM json_each('[1]')",
        "SELECT value ->> '$.a' FROM json_tree('{\"a\": 1}') WHERE 0 OR type = 'object'",
        "SELECT id FROM boxes WHERE a < 3",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) OVER () FROM n LIMIT 1",
    ] {
        let found = branch.query(query, &[], |_| Ok(())).await;
        if query.contains("snippet") {
            continue;
        }
        assert_eq!(found.unwrap_or_else(|error| panic!("{query}: {error:?}")).len(), 1, "{query}");
    }
    for write in ["INSERT INTO words VALUES ('no')", "INSERT INTO more VALUES ('no')", "DELETE FROM boxes"] {
        let refused = branch.execute(write, &[]).await.unwrap_err();
        assert!(matches!(refused, Error::NotAllowed { .. }), "{write}: {refused:?}");
    }
}

#[tokio::test]
async fn no_statement_is_left_out_without_a_word() {
    let scene = Scene::new("CREATE TABLE t (x)").await;
    let mut branch = scene.branch().await;
    let two = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)";
    branch.execute(two, &[]).await.unwrap_err();
    branch.query(two, &[], |_| Ok(())).await.unwrap_err();
    branch.query_first(two, &[], |_| Ok(())).await.unwrap_err();
    assert_eq!(branch.execute("INSERT INTO t VALUES (3); -- that is all", &[]).await.unwrap(), 1);
}

#[tokio::test]
async fn what_others_have_broken_keeps_no_branch_from_its_end() {
    let scene = Scene::new(
        "PRAGMA foreign_keys = OFF;
         CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);
         CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (7);",
    )
    .await;
    scene.prepare(1, "INSERT INTO c VALUES (1)").await;
    scene.commit(1).await;
    let mut branch = scene.branch().await;
    branch.execute("INSERT INTO c VALUES (8)", &[]).await.unwrap();
    let broken = branch.prepare(CLUSTER, &transaction(2)).await.unwrap_err().into_cause();
    assert!(matches!(broken.downcast_ref(), Some(Error::ForeignKey { .. })), "{broken}");
    assert_eq!(scene.all("SELECT p FROM c"), ["[Integer(7)]", "[Integer(1)]"]);
}

#[tokio::test]
async fn an_agent_that_starts_has_what_it_finds_synced() {
    let scene = Scene::new("CREATE TABLE t (x)").await;
    scene.prepare(1, "INSERT INTO t VALUES (1)").await;
    let version = || scene.other.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    let sqlite = open(scene.sqlite.path()).await;
    sqlite.resource(CLUSTER).await.unwrap();
    assert!(version() > before, "only what is committed is synced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_comes_while_branches_begin_is_never_forgotten() {
    let scene = Scene::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let path = scene.sqlite.path().to_owned();
    let adds = std::thread::spawn(move || {
        let db = plain(&path);
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        for column in 0..150 {
            let add = format!("ALTER TABLE t ADD COLUMN c{column}");
            while db.execute_batch(&add).is_err() {}
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    for seq in 1.. {
        if adds.is_finished() {
            break;
        }
        let Ok(mut branch) = scene.sqlite.open(None).await else { continue };
        let columns =
            branch.query("SELECT name FROM pragma_table_info('t') WHERE pk = 0", &[], |row| row.get::<_, String>(0));
        let columns = columns.await.unwrap();
        let Some(last) = columns.last() else { continue };
        branch.execute(format!("INSERT INTO t (id, {last}) VALUES ({seq}, 'x')"), &[]).await.unwrap();
        branch.prepare(CLUSTER, &transaction(seq)).await.unwrap();
        branch.finish(Outcome::Committed).await.unwrap();
        assert_eq!(scene.all(&format!("SELECT {last} FROM t WHERE id = {seq}")), [r#"[Text("x")]"#]);
    }
    adds.join().unwrap();
}

#[tokio::test]
async fn a_trigger_may_update_the_row_that_it_is_about() {
    let scene = Scene::new(
        "CREATE TABLE t (x, changes DEFAULT 0);
         CREATE TRIGGER noted AFTER UPDATE ON t BEGIN UPDATE t SET changes = changes + 1 WHERE rowid = NEW.rowid; END;
         INSERT INTO t (x) VALUES (1)",
    );
    let scene = scene.await;
    scene.prepare(1, "UPDATE t SET x = 2").await;
    scene.commit(1).await;
    assert_eq!(scene.all("SELECT * FROM t"), ["[Integer(2), Integer(1)]"]);
}

#[tokio::test]
async fn what_replace_removes_is_gone_whatever_makes_it_unique() {
    for (schema, left) in [
        ("x UNIQUE, y", 1),
        ("x COLLATE NOCASE UNIQUE, y", 1),
        ("x, y, UNIQUE (y, x)", 2),
        ("x, y, z AS (lower(x)) VIRTUAL UNIQUE", 1),
        ("x, y, z AS (lower(x)) STORED UNIQUE", 1),
        ("x PRIMARY KEY ON CONFLICT REPLACE, y) WITHOUT ROWID; CREATE TABLE other (x", 1),
        ("x, y); CREATE UNIQUE INDEX i ON t (x COLLATE NOCASE", 1),
        ("x, y); CREATE UNIQUE INDEX i ON t (x) WHERE (y > 0", 1),
        ("x, y); CREATE UNIQUE INDEX i ON t (x) WHERE (y > 5", 2),
        ("x, y); CREATE UNIQUE INDEX i ON t (lower(x)", 1),
    ] {
        for replaces in ["REPLACE INTO t (x, y) VALUES ('a', 2)", "UPDATE OR REPLACE t SET x = 'a', y = 2 WHERE y = 3"]
        {
            let scene = Scene::new(&format!("CREATE TABLE t ({schema}); INSERT INTO t (x, y) VALUES ('a', 1)")).await;
            if replaces.starts_with("UPDATE") {
                scene.other.execute("INSERT INTO t (x, y) VALUES ('b', 3)", []).unwrap();
            }
            scene.prepare(1, replaces).await;
            assert_eq!(
                scene.all("SELECT y FROM t"),
                if replaces.starts_with("UPDATE") {
                    vec!["[Integer(1)]", "[Integer(3)]"]
                } else {
                    vec!["[Integer(1)]"]
                }
            );
            scene.commit(1).await;
            assert_eq!(scene.all("SELECT x, y FROM t").len(), left, "{schema}: {replaces}");
        }
    }
}
