//! What a file has of a branch, and how a branch ends.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use synod::{
    TxId, codec,
    commit::{Meta, Outcome, Record, ResourceManagerRecord, Transaction, Vote},
};
use synod_client::Kind;

use super::{
    Error,
    changes::Changes,
    file::{Failure, within},
};

/// What is there of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Prepared,
    /// It has committed.
    Work,
    /// It was aborted, and is never to be prepared.
    Tombstone,
    Nothing,
}

/// Writes the promise of `transaction`: within the caller's SQLite transaction.
pub(crate) fn promise(db: &Connection, transaction: &Transaction, changes: &Changes) -> rusqlite::Result<()> {
    let record = Record::ResourceManager(ResourceManagerRecord {
        transaction: transaction.clone(),
        meta: Some(Meta::default()),
        vote: Some(Vote::Prepared),
        finished: None,
    });
    db.execute(
        "INSERT INTO synod_prepared (tx, promise, changes) VALUES (?1, ?2, ?3)",
        params![transaction.id().to_string(), codec::encode_record(&record), changes.encode()],
    )?;
    Ok(())
}

/// The transactions whose branches are prepared.
pub(crate) fn prepared(db: &Connection, path: &Path) -> Result<Vec<Transaction>, Error> {
    let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
        db.prepare_cached("SELECT promise FROM synod_prepared ORDER BY tx")?.query_map([], |row| row.get(0))?.collect()
    };
    let promises = read().map_err(|source| Error::at(path, "list what is prepared", source))?;
    let transaction = |bytes: &Vec<u8>| match codec::decode_record(bytes) {
        Ok(Record::ResourceManager(ResourceManagerRecord { transaction, .. })) => Ok(transaction),
        Ok(_) => Err(Error::Unreadable { path: path.into(), source: None }),
        Err(source) => Err(Error::Unreadable { path: path.into(), source: Some(source) }),
    };
    promises.iter().map(transaction).collect()
}

/// The transaction whose branch is prepared, if one is.
pub(crate) fn holder(db: &Connection) -> rusqlite::Result<Option<TxId>> {
    let tx = "SELECT tx FROM synod_prepared LIMIT 1";
    let tx: Option<String> = db.prepare_cached(tx)?.query_row([], |row| row.get(0)).optional()?;
    // A name that cannot be read holds the file, too.
    Ok(tx.map(|tx| tx.parse().unwrap_or_default()))
}

pub(crate) fn look(db: &Connection, tx: TxId) -> rusqlite::Result<Found> {
    let look = "SELECT 'p' FROM synod_prepared WHERE tx = ?1 UNION ALL SELECT state FROM synod_fence WHERE tx = ?1";
    let state: Option<String> = db.prepare_cached(look)?.query_row([tx.to_string()], |row| row.get(0)).optional()?;
    Ok(match state.as_deref() {
        Some("p") => Found::Prepared,
        Some("t") => Found::Tombstone,
        Some(_) => Found::Work,
        None => Found::Nothing,
    })
}

/// Carries `outcome` out, durably. What stands in the way for good is returned.
pub(crate) fn carry_out(db: &Connection, path: &Path, tx: TxId, outcome: Outcome) -> Result<Option<Kind>, Error> {
    within(db, path, "carry an outcome out", |db| {
        let found = look(db, tx)?;
        match (outcome, found) {
            (Outcome::Committed, Found::Prepared) => {
                let changes = "SELECT changes FROM synod_prepared WHERE tx = ?1";
                let changes: Vec<u8> = db.query_row(changes, [tx.to_string()], |row| row.get(0))?;
                let unreadable = || Failure::Other(Error::Unreadable { path: path.into(), source: None });
                Changes::decode(&changes).ok_or_else(unreadable)?.make(db)?;
            }
            (Outcome::Aborted, Found::Prepared | Found::Nothing) => {}
            (Outcome::Committed, Found::Work) | (Outcome::Aborted, Found::Tombstone) => return Ok(None),
            (Outcome::Committed, Found::Tombstone) => return Ok(Some(Kind::RolledBack)),
            (Outcome::Committed, Found::Nothing) => return Ok(Some(Kind::Lost)),
            (Outcome::Aborted, Found::Work) => return Ok(Some(Kind::Committed)),
        }
        let state = if outcome == Outcome::Committed { "w" } else { "t" };
        db.execute("DELETE FROM synod_prepared WHERE tx = ?1", [tx.to_string()])?;
        let mark = "INSERT INTO synod_fence (tx, state, made) VALUES (?1, ?2, unixepoch())";
        db.execute(mark, params![tx.to_string(), state])?;
        Ok(None)
    })
}

/// A page of marks after `after`, in order: whose, and whether it may go once its transaction is over.
pub(crate) fn page(db: &Connection, after: &str, keep: u64, rows: u32) -> rusqlite::Result<Vec<(String, bool)>> {
    let page = "SELECT tx, state = 'w' OR made < unixepoch() - ?2 FROM synod_fence WHERE tx > ?1 ORDER BY tx LIMIT ?3";
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    db.prepare_cached(page)?.query_map(params![after, keep, rows], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Deletes marks.
pub(crate) fn remove(db: &Connection, path: &Path, marks: &[String]) -> Result<(), Error> {
    within(db, path, "clear its marks", |db| {
        let mut delete = db.prepare_cached("DELETE FROM synod_fence WHERE tx = ?1")?;
        marks.iter().try_for_each(|tx| delete.execute([tx]).map(|_| ()))?;
        Ok(())
    })
}
