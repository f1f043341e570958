//! What is promised of a table, out of everybody's reach.

use rusqlite::{Connection, OptionalExtension, params};
use synod::TxId;

use crate::{SqliteError, SqliteStore};

/// Keeps what was promised of the rows of one table: until it is let go of, no statement of whatever connection can remove
/// such a row, rename it, or bring its amount below what is promised of it. Such a statement fails (`SQLITE_CONSTRAINT`),
/// and changes nothing; all else goes on.
///
/// Promises are rows of the table `synod_promised`, and triggers on the guarded table look there. Triggers are in the file,
/// so they bind writers that know nothing of this. They do not bind a writer that drops them, or writes to `synod_promised`
/// itself, and do not see an `UPDATE OR REPLACE` that removes a promised row for a *second* unique column.
///
/// A promise of 0 keeps the row itself. See the [crate](crate) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    table: String,
    add: String,
    amount: String,
}

impl Guard {
    /// Guards the column `amount`, of integers, of `table`, whose rows are told apart by the column `key`. What guards is made
    /// unless it is there.
    pub fn install(store: &SqliteStore, table: &str, key: &str, amount: &str) -> Result<Self, SqliteError> {
        store
            .connection()
            .execute_batch(&triggers(table, key, amount))
            .map_err(|source| SqliteError::at(store.path(), source))?;
        let [name, key, amount] = [table, key, amount].map(quoted);
        Ok(Self {
            table: table.into(),
            add: format!("UPDATE {name} SET {amount} = {amount} + ?2 WHERE {key} = ?1 AND {amount} + ?2 >= 0"),
            amount: format!("SELECT {amount} FROM {name} WHERE {key} = ?1"),
        })
    }

    /// What is there of the row `row`, promised or not; `None` if there is no such row.
    pub fn amount(&self, db: &Connection, row: &str) -> Result<Option<i64>, SqliteError> {
        Ok(db.prepare_cached(&self.amount)?.query_row([row], |row| row.get(0)).optional()?)
    }

    /// Promises `amount` of the row `row` to `tx`, beside what is promised to it already. That it is there, and promised to
    /// nobody else, is for the caller to check. Below 0 it is 0.
    pub fn promise(&self, db: &Connection, tx: TxId, row: &str, amount: i64) -> Result<(), SqliteError> {
        let insert = "INSERT INTO synod_promised (guarded, row, tx, amount) VALUES (?1, ?2, ?3, ?4)
                      ON CONFLICT DO UPDATE SET amount = amount + excluded.amount";
        db.prepare_cached(insert)?.execute(params![self.table, row, tx.to_string(), amount.max(0)])?;
        Ok(())
    }

    /// Lets go of all that is promised to `tx` of this table.
    pub fn release(&self, db: &Connection, tx: TxId) -> Result<(), SqliteError> {
        db.prepare_cached("DELETE FROM synod_promised WHERE tx = ?1 AND guarded = ?2")?
            .execute(params![tx.to_string(), self.table])?;
        Ok(())
    }

    /// After a restart: exactly `promises` are made of this table, of whom, of which row and of how much. Fails with
    /// [`SqliteError::PromiseLost`] if not all of that is there.
    pub fn restore<'a>(
        &self,
        db: &Connection,
        promises: impl IntoIterator<Item = (TxId, &'a str, i64)>,
    ) -> Result<(), SqliteError> {
        db.execute("DELETE FROM synod_promised WHERE guarded = ?1", [&self.table])?;
        for (tx, row, amount) in promises {
            self.promise(db, tx, row, amount)?;
            let promised = "SELECT sum(amount) FROM synod_promised WHERE guarded = ?1 AND row = ?2";
            let promised: i64 = db.prepare_cached(promised)?.query_row([&self.table, row], |row| row.get(0))?;
            if self.amount(db, row)?.is_none_or(|there| there < promised) {
                return Err(SqliteError::PromiseLost { table: self.table.clone(), row: row.into() });
            }
        }
        Ok(())
    }

    /// Adds `delta` to the amount of the row `row`, once it is promised no more. Fails with [`SqliteError::PromiseLost`] if
    /// there is no such row, or not as much in it.
    pub fn add(&self, db: &Connection, row: &str, delta: i64) -> Result<(), SqliteError> {
        match db.prepare_cached(&self.add)?.execute(params![row, delta])? {
            0 => Err(SqliteError::PromiseLost { table: self.table.clone(), row: row.into() }),
            _ => Ok(()),
        }
    }
}

/// The table of promises, and the triggers on the guarded one.
///
/// The triggers run *after* a change, for then they see what it has come to, whatever other triggers and `REPLACE` did. When
/// they fail, the statement is undone. An old SQLite that opens the file has to understand them too.
fn triggers(table: &str, key: &str, amount: &str) -> String {
    let (literal, [name, key, amount]) = (literal(table), [table, key, amount].map(quoted));
    let trigger = |event: &str, broken: &str| {
        let trigger = quoted(&format!("synod_guard_{table}_{event}"));
        format!(
            "CREATE TRIGGER IF NOT EXISTS {trigger} AFTER {event} ON {name} WHEN {broken} BEGIN \
             SELECT RAISE(ABORT, 'promised to a transaction that is not over: try again later'); END;"
        )
    };
    let of = |row: &str| format!("FROM synod_promised WHERE guarded = {literal} AND {row}.{key} = row");
    let too_little = |row: &str| {
        format!("(typeof({row}.{amount}) <> 'integer' OR {row}.{amount} < (SELECT sum(amount) {}))", of(row))
    };
    let (old, new) = (format!("EXISTS (SELECT 1 {})", of("OLD")), format!("EXISTS (SELECT 1 {})", of("NEW")));
    // What `REPLACE` removes fires no trigger of its own.
    let gone = format!(
        "EXISTS (SELECT 1 FROM synod_promised WHERE guarded = {literal} \
         AND NOT EXISTS (SELECT 1 FROM {name} WHERE {name}.{key} = synod_promised.row))"
    );
    [
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS synod_promised (
             guarded TEXT, row, tx TEXT, amount INTEGER NOT NULL, PRIMARY KEY (guarded, row, tx)
         ) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS synod_promised_to ON synod_promised (tx);"
            .to_owned(),
        trigger("DELETE", &old),
        trigger("INSERT", &format!("({new} AND {}) OR {gone}", too_little("NEW"))),
        trigger("UPDATE", &format!("({old} OR {new}) AND (NEW.{key} IS NOT OLD.{key} OR {})", too_little("NEW"))),
        "COMMIT;".to_owned(),
    ]
    .concat()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
