//! Notes which rows a branch touches: by triggers that only its connection has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{
    Connection, Result, Row,
    hooks::{AuthAction, AuthContext, Authorization},
};

use super::{
    Error,
    changes::{Cell, Changes, TableChanges, distinct},
    file::{self, quoted},
};

/// The PRAGMAs that only ask.
const QUESTIONS: [&str; 8] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// The PRAGMAs that virtual tables (FTS, R-tree) ask when they are read.
const VIRTUAL: [&str; 2] = ["data_version", "page_size"];

/// A connection for branches.
pub(crate) struct Tracked {
    pub(crate) db: Connection,
    /// What the schema was when the triggers were made.
    version: Option<i64>,
    tables: Vec<Table>,
    /// Which numbers `AUTOINCREMENT` has drawn, if a table has that.
    sequence: Option<Table>,
    /// Whether a foreign key may be broken until the end.
    has_deferred: bool,
    rules: Arc<Rules>,
}

/// The columns of a unique index, and how they compare.
type Unique = Vec<(String, String)>;

/// An ordinary table.
#[derive(Clone, Debug)]
struct Table {
    name: String,
    keys: Vec<String>,
    columns: Vec<String>,
    /// A column of a table whose rows have a number only in passing.
    loose: Option<String>,
    unique: Vec<Unique>,
    is_unique_by_expression: bool,
}

/// What statements may do.
#[derive(Debug, Default)]
struct Rules {
    /// Whether they are the application's.
    are_on: AtomicBool,
    /// The tables that it may write in, and views with triggers.
    writable: Mutex<BTreeSet<String>>,
}

impl Rules {
    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        if !self.are_on.load(Ordering::Relaxed) {
            return Authorization::Allow;
        }
        match context.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
                Authorization::Allow
            }
            AuthAction::Pragma { pragma_name, .. } if QUESTIONS.contains(&pragma_name) => Authorization::Allow,
            AuthAction::Pragma { pragma_name, pragma_value: None } if VIRTUAL.contains(&pragma_name) => {
                Authorization::Allow
            }
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name } => {
                let is_note = context.database_name == Some("temp")
                    && table_name == "synod_touched"
                    && context.accessor.is_some_and(|trigger| trigger.starts_with("synod_saw_"));
                let writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner);
                match is_note || context.database_name == Some("main") && writable.contains(table_name) {
                    true => Authorization::Allow,
                    false => Authorization::Deny,
                }
            }
            _ => Authorization::Deny,
        }
    }
}

impl Tracked {
    pub(crate) fn open(path: &Path, wait: Duration, foreign_keys: bool) -> std::result::Result<Self, Error> {
        let mut db = file::for_branches(path, wait, foreign_keys)?;
        let rules = Arc::new(Rules::default());
        let judge = Arc::clone(&rules);
        let ends = Arc::clone(&rules);
        db.authorizer(Some(move |context: AuthContext<'_>| judge.judge(&context)))
            // After `ON CONFLICT ROLLBACK` a statement would stand alone, and commit by itself.
            .and_then(|()| db.commit_hook(Some(move || ends.are_on.load(Ordering::Relaxed))))
            .map_err(|source| Error::at(path, "be opened for a branch", source))?;
        Ok(Self { db, version: None, tables: Vec::new(), sequence: None, has_deferred: false, rules })
    }

    /// Makes the triggers for the schema as it is, unless they are there.
    pub(crate) fn follow_schema(&mut self) -> Result<()> {
        if self.version == Some(self.schema()?) {
            return Ok(());
        }
        self.version = None;
        // Meanwhile the schema must stay as it is.
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let followed = self.follow().and_then(|()| {
            let version = self.schema()?;
            self.db.execute_batch("COMMIT")?;
            Ok(version)
        });
        match followed {
            Ok(version) => self.version = Some(version),
            Err(_) => file::roll_back(&self.db),
        }
        followed.map(|_| ())
    }

    fn follow(&mut self) -> Result<()> {
        let db = &self.db;
        let tables = tables(db)?;
        for table in &tables {
            if !file::is_guarded(db, &table.name)? {
                file::guard(db, &table.name)?;
            }
            if let Some(column) = &table.loose {
                file::pin(db, &table.name, column)?;
            }
        }
        let old = "SELECT name FROM temp.sqlite_schema WHERE type = 'trigger' AND name GLOB 'synod_saw_*'";
        let old: Vec<String> = db.prepare(old)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        for trigger in old {
            db.execute_batch(&format!("DROP TRIGGER temp.{}", quoted(&trigger)))?;
        }
        let most = tables.iter().map(|table| table.keys.len()).max().unwrap_or(1);
        let keys: Vec<String> = (0..most).map(key).collect();
        db.execute_batch(&format!(
            "DROP TABLE IF EXISTS temp.synod_touched; CREATE TEMP TABLE synod_touched (tab INTEGER, {})",
            keys.join(", ")
        ))?;
        for (number, table) in tables.iter().enumerate() {
            for (event, seen) in [("INSERT", &["NEW"][..]), ("UPDATE", &["OLD", "NEW"]), ("DELETE", &["OLD"])] {
                db.execute_batch(&table.trigger(number, event, seen))?;
            }
            for event in ["INSERT", "UPDATE"].iter().filter(|_| !table.unique.is_empty()) {
                db.execute_batch(&table.trigger_of_rivals(number, event))?;
            }
        }
        // What `REPLACE` removes for a unique expression shows in no other way.
        let recursive = tables.iter().any(|table| table.is_unique_by_expression);
        db.execute_batch(&format!("PRAGMA recursive_triggers = {recursive}"))?;
        let deferred = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%DEFERR%'";
        self.has_deferred = db.query_row(deferred, [], |row| row.get::<_, i64>(0))? > 0;
        let sequence = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'";
        let has_sequence = db.query_row(sequence, [], |row| row.get::<_, i64>(0))? > 0;
        self.sequence = has_sequence.then(|| Table {
            name: "sqlite_sequence".into(),
            keys: vec!["name".into()],
            columns: vec!["name".into(), "seq".into()],
            loose: None,
            unique: Vec::new(),
            is_unique_by_expression: false,
        });
        let views = "SELECT name FROM sqlite_schema WHERE type = 'view'";
        let views: Vec<String> = db.prepare(views)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        *self.rules.writable.lock().unwrap_or_else(PoisonError::into_inner) =
            tables.iter().map(|table| table.name.clone()).chain(views).collect();
        self.tables = tables;
        Ok(())
    }

    /// Whether the triggers are those for the schema as it is.
    pub(crate) fn is_current(&self) -> Result<bool> {
        Ok(self.version == Some(self.schema()?))
    }

    fn schema(&self) -> Result<i64> {
        self.db.query_row("PRAGMA main.schema_version", [], |row| row.get(0))
    }

    /// Begins the work: nothing is touched yet.
    pub(crate) fn start(&self) -> Result<()> {
        self.db.execute_batch("DELETE FROM temp.synod_touched; SAVEPOINT synod_work")
    }

    /// Runs statements of the application.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.rules.are_on.store(true, Ordering::Relaxed);
        let done = work(&self.db);
        self.rules.are_on.store(false, Ordering::Relaxed);
        done
    }

    /// Whether any row was touched.
    pub(crate) fn has_touched(&self) -> Result<bool> {
        self.db.query_row("SELECT EXISTS (SELECT 1 FROM temp.synod_touched)", [], |row| row.get(0))
    }

    /// What has become of the rows that were touched.
    pub(crate) fn changes(&self) -> Result<Changes> {
        let touched = "SELECT DISTINCT tab FROM temp.synod_touched ORDER BY tab";
        let touched: Vec<u32> = self.db.prepare(touched)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        let tables = touched.into_iter().filter_map(|number| Some((number, self.tables.get(number as usize)?)));
        let mut changes = tables.map(|(number, table)| table.changes(&self.db, number)).collect::<Result<Vec<_>>>()?;
        if let Some(numbers) = &self.sequence {
            // After the rows, which draw numbers themselves.
            changes.push(numbers.read(
                &self.db,
                "SELECT name FROM main.sqlite_sequence",
                "SELECT name, seq FROM main.sqlite_sequence",
            )?);
        }
        Ok(Changes(changes))
    }

    /// The foreign keys that are broken: how often, and the tables that have them and that they refer to. Those that are not deferred
    /// are kept by each statement.
    pub(crate) fn broken(&self) -> Result<Broken> {
        let mut broken = Broken::new();
        if self.has_deferred && self.db.query_row("PRAGMA foreign_keys", [], |row| row.get(0))? {
            let mut check = self.db.prepare("PRAGMA main.foreign_key_check")?;
            let mut rows = check.query([])?;
            while let Some(row) = rows.next()? {
                *broken.entry((row.get(0)?, row.get(2)?, row.get(1)?, row.get(3)?)).or_default() += 1;
            }
        }
        Ok(broken)
    }
}

/// Each is told by its table, the one that it refers to, the number of its row, if that has one, and its own.
pub(crate) type Broken = BTreeMap<(String, String, Option<i64>, i64), u64>;

impl Table {
    /// Notes the keys of the rows that an event concerns.
    fn trigger(&self, number: usize, event: &str, seen: &[&str]) -> String {
        let notes: String = seen
            .iter()
            .map(|row| {
                let (names, keys): (Vec<String>, Vec<String>) =
                    self.keys.iter().enumerate().map(|(at, name)| (key(at), format!("{row}.{}", quoted(name)))).unzip();
                format!(
                    "INSERT INTO synod_touched (tab, {}) VALUES ({number}, {}); ",
                    names.join(", "),
                    keys.join(", ")
                )
            })
            .collect();
        format!(
            "CREATE TEMP TRIGGER synod_saw_{number}_{event} AFTER {event} ON main.{} BEGIN {notes}END",
            quoted(&self.name)
        )
    }

    /// Notes the keys of the rows that have something unique which a row is about to have: `REPLACE` removes them, and tells no
    /// trigger. What is noted and stays does no harm.
    fn trigger_of_rivals(&self, number: usize, event: &str) -> String {
        let names: Vec<String> = (0..self.keys.len()).map(key).collect();
        let keys: Vec<String> = self.keys.iter().map(|name| format!("here.{}", quoted(name))).collect();
        let (names, keys, table) = (names.join(", "), keys.join(", "), quoted(&self.name));
        let notes: String = self
            .unique
            .iter()
            .map(|columns| {
                let same = |(name, collation): &(String, String)| {
                    let (name, collation) = (quoted(name), quoted(collation));
                    format!("here.{name} = NEW.{name} COLLATE {collation}")
                };
                let same: Vec<String> = columns.iter().map(same).collect();
                format!(
                    "INSERT INTO synod_touched (tab, {names}) SELECT {number}, {keys} FROM main.{table} AS here WHERE {}; ",
                    same.join(" AND ")
                )
            })
            .collect();
        format!("CREATE TEMP TRIGGER synod_saw_{number}_rivals_{event} BEFORE {event} ON main.{table} BEGIN {notes}END")
    }

    fn changes(&self, db: &Connection, number: u32) -> Result<TableChanges> {
        let keys: Vec<String> = (0..self.keys.len()).map(key).collect();
        let touched = format!("SELECT DISTINCT {} FROM temp.synod_touched WHERE tab = {number}", keys.join(", "));
        let same: Vec<String> =
            self.keys.iter().zip(&keys).map(|(name, key)| format!("here.{} = noted.{key}", quoted(name))).collect();
        let columns: Vec<String> = self.columns.iter().map(|name| format!("here.{}", quoted(name))).collect();
        // In this order, so that the index of the keys is used.
        let rows = format!(
            "SELECT {} FROM ({touched}) AS noted CROSS JOIN main.{} AS here ON {}",
            columns.join(", "),
            quoted(&self.name),
            same.join(" AND ")
        );
        self.read(db, &touched, &rows)
    }

    /// The keys that `touched` finds, and the rows that `rows` finds.
    fn read(&self, db: &Connection, touched: &str, rows: &str) -> Result<TableChanges> {
        let read = |sql: &str, width: usize| -> Result<Vec<Vec<Cell>>> {
            let cells = |row: &Row<'_>| (0..width).map(|at| row.get_ref(at).map(Cell::from)).collect();
            db.prepare_cached(sql)?.query_map([], cells)?.collect()
        };
        Ok(TableChanges {
            table: self.name.clone(),
            keys: self.keys.clone(),
            columns: self.columns.clone(),
            touched: read(touched, self.keys.len())?,
            // Two keys may be one to a collation.
            rows: distinct(read(rows, self.columns.len())?),
        })
    }
}

/// The name of a column of keys.
fn key(at: usize) -> String {
    format!("k{at}")
}

/// All tables whose rows can be told apart, but for those of this package.
fn tables(db: &Connection) -> Result<Vec<Table>> {
    let list = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
                AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'synod_*' ORDER BY name";
    let mut list = db.prepare(list)?;
    let list: Vec<(String, bool)> = list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    let mut tables = Vec::new();
    for (name, is_without_rowid) in list {
        let mut columns = db.prepare("SELECT name, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?;
        let columns: Vec<(String, i64, i64)> =
            columns.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_>>()?;
        let mut stored: Vec<String> =
            columns.iter().filter(|(_, _, hidden)| *hidden == 0).map(|(name, ..)| name.clone()).collect();
        let has_key = columns.iter().any(|(_, pk, _)| *pk > 0);
        // With a key it has an index, or the key is the number.
        let loose = stored.first().filter(|_| !has_key).cloned();
        let keys = if is_without_rowid {
            let mut keys: Vec<_> = columns.iter().filter(|(_, pk, _)| *pk > 0).collect();
            keys.sort_by_key(|(_, pk, _)| *pk);
            keys.into_iter().map(|(name, ..)| name.clone()).collect()
        } else {
            let is_free = |alias: &&str| !columns.iter().any(|(name, ..)| name.eq_ignore_ascii_case(alias));
            // A table that hides the numbers of its rows can be read, not written.
            let Some(alias) = ["_rowid_", "rowid", "oid"].into_iter().find(is_free) else { continue };
            stored.insert(0, alias.to_owned());
            vec![alias.to_owned()]
        };
        let indexes = unique(db, &name)?;
        let is_unique_by_expression = indexes.iter().any(Option::is_none);
        let unique = indexes.into_iter().flatten().collect();
        tables.push(Table { name, keys, columns: stored, loose, unique, is_unique_by_expression });
    }
    Ok(tables)
}

/// The columns of each unique index of a table, and how they compare; nothing for an index of expressions.
fn unique(db: &Connection, table: &str) -> Result<Vec<Option<Unique>>> {
    let mut list = db.prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 ORDER BY seq")?;
    let indexes: Vec<String> = list.query_map([table], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut columns = db.prepare("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno")?;
    let columns_of = |index: String| {
        let column = |row: &Row<'_>| Ok(row.get::<_, Option<String>>(0)?.zip(row.get(1)?));
        columns.query_map([index], column)?.collect()
    };
    indexes.into_iter().map(columns_of).collect()
}
