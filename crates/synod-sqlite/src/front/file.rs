//! The file: its connections, the tables and triggers in it, and what it says of itself.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig, params};
use synod::{NodeId, commit::ClusterId};

use super::Error;

/// The tables that are there for good.
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS synod_prepared (tx TEXT PRIMARY KEY, promise BLOB NOT NULL, changes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS synod_fence (tx TEXT PRIMARY KEY, state TEXT NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS synod_identity (one INTEGER PRIMARY KEY CHECK (one = 1), participant TEXT NOT NULL, cluster TEXT);";

/// A connection to the file.
pub(crate) fn connect(path: &Path, wait: Duration) -> Result<Connection, Error> {
    let open = || {
        // Not as a URI: a path may have a question mark.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(wait)?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        // On macOS, nothing is forced to the disk without these. Elsewhere they do nothing.
        db.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")?;
        Ok((db, mode))
    };
    let (db, mode) = open().map_err(|source| Error::at(path, "be opened", source))?;
    match mode.eq_ignore_ascii_case("wal") {
        true => Ok(db),
        false => Err(Error::NoWal { path: path.into(), mode }),
    }
}

/// A connection for branches.
pub(crate) fn for_branches(path: &Path, wait: Duration, foreign_keys: bool) -> Result<Connection, Error> {
    let db = connect(path, wait)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, foreign_keys)
        .map_err(|source| Error::at(path, "be opened for a branch", source))?;
    Ok(db)
}

/// A connection that puts rows in their places, as they are: no trigger, check or foreign key sees it. The tables are there.
pub(crate) fn for_verdicts(path: &Path, wait: Duration) -> Result<Connection, Error> {
    let db = connect(path, wait)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)
        .and_then(|_| db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false))
        // An update passes the checks of what it does not change: a row may be there that fails them.
        .and_then(|_| db.execute_batch("PRAGMA ignore_check_constraints = ON"))
        .map_err(|source| Error::at(path, "be opened for outcomes", source))?;
    within(&db, path, "make the tables of synod", |db| Ok(db.execute_batch(CREATE)?))?;
    Ok(db)
}

/// What fails within a transaction.
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Other(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    pub(crate) fn at(self, path: &Path, what: &'static str) -> Error {
        match self {
            Self::Sqlite(source) => Error::at(path, what, source),
            Self::Other(error) => error,
        }
    }
}

/// Does `work` in a transaction of its own, durably, or not at all.
pub(crate) fn within<T>(
    db: &Connection,
    path: &Path,
    what: &'static str,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Error> {
    let run = || {
        db.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(db)?;
        db.execute_batch("COMMIT")?;
        Ok(done)
    };
    run().map_err(|failure: Failure| {
        roll_back(db);
        failure.at(path, what)
    })
}

/// Ends a transaction, if one is open. If this fails, it ends with the connection.
pub(crate) fn roll_back(db: &Connection) {
    if !db.is_autocommit() {
        let _ = db.execute_batch("ROLLBACK");
    }
}

/// Makes sure that the file is that of `participant`; notes it, if it is nobody's yet.
pub(crate) fn check(db: &Connection, path: &Path, participant: NodeId) -> Result<(), Error> {
    within(db, path, "say which participant it is", |db| {
        db.execute(
            "INSERT INTO synod_identity (one, participant) VALUES (1, ?1) ON CONFLICT DO NOTHING",
            [participant.0.to_string()],
        )?;
        is_of(db, path, participant)
    })
}

fn is_of(db: &Connection, path: &Path, participant: NodeId) -> Result<(), Failure> {
    let noted: Option<String> =
        db.query_row("SELECT participant FROM synod_identity", [], |row| row.get(0)).optional()?;
    match noted {
        Some(noted) if noted != participant.0.to_string() => {
            Err(Error::OtherParticipant { path: path.into(), participant, noted }.into())
        }
        _ => Ok(()),
    }
}

/// Notes that the file stands in `cluster`, if it stands in none yet. For its agent.
pub(crate) fn join(db: &Connection, path: &Path, participant: NodeId, cluster: ClusterId) -> Result<(), Error> {
    check(db, path, participant)?;
    within(db, path, "say in which cluster it stands", |db| {
        let join = "UPDATE synod_identity SET cluster = ?1 WHERE cluster IS NULL";
        db.execute(join, [cluster.to_string()])?;
        // This writes in any case: what a crash has left in the log is synced with it, before anybody votes for that. (What is
        // updated to what it was, SQLite does not write.)
        db.execute_batch("INSERT INTO synod_fence VALUES ('', 't', 0); DELETE FROM synod_fence WHERE tx = ''")?;
        stands_in(db, path, participant, cluster)
    })
}

/// Makes sure that the file stands in `cluster`.
pub(crate) fn stands_in(db: &Connection, path: &Path, participant: NodeId, cluster: ClusterId) -> Result<(), Failure> {
    is_of(db, path, participant)?;
    let noted: Option<String> =
        db.query_row("SELECT cluster FROM synod_identity", [], |row| row.get(0)).optional()?.flatten();
    match noted {
        Some(noted) if noted == cluster.to_string() => Ok(()),
        Some(noted) => Err(Error::InOtherCluster { path: path.into(), participant, noted, cluster }.into()),
        None => Err(Error::NoAgent { path: path.into(), participant, cluster }.into()),
    }
}

/// Keeps other programs from writing in `table` while a branch is prepared.
pub(crate) fn guard(db: &Connection, table: &str) -> rusqlite::Result<()> {
    for event in ["insert", "update", "delete"] {
        let trigger = quoted(&format!("synod_held_{table}_{event}"));
        // One of this name may stand at a table that had this name before.
        db.execute_batch(&format!(
            "DROP TRIGGER IF EXISTS main.{trigger}; \
             CREATE TRIGGER main.{trigger} BEFORE {event} ON {} WHEN EXISTS (SELECT 1 FROM synod_prepared) BEGIN \
             SELECT RAISE(ABORT, 'held for a transaction that is not over: try again later'); END",
            quoted(table)
        ))?;
    }
    Ok(())
}

/// Whether the guards of `table` are there.
pub(crate) fn is_guarded(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    let triggers = "SELECT count(*) FROM main.sqlite_schema \
                    WHERE type = 'trigger' AND tbl_name = ?4 COLLATE NOCASE AND name IN (?1, ?2, ?3)";
    let name = |event: &str| format!("synod_held_{table}_{event}");
    db.query_row(triggers, params![name("insert"), name("update"), name("delete"), table], |row| row.get(0))
        .map(|there: i64| there == 3)
}

/// Has `VACUUM` leave the numbers of a table's rows as they are: by `column` in an index of nothing. Without any index, and with no
/// number among its columns, it gives them new ones.
pub(crate) fn pin(db: &Connection, table: &str, column: &str) -> rusqlite::Result<()> {
    let index = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1, 'main'))";
    if db.query_row(index, [table], |row| row.get(0))? {
        return Ok(());
    }
    let index = quoted(&format!("synod_pin_{table}"));
    db.execute_batch(&format!(
        "DROP INDEX IF EXISTS main.{index}; CREATE INDEX main.{index} ON {} ({}) WHERE 0",
        quoted(table),
        quoted(column)
    ))
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
