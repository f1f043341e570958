//! A SQLite file as a participant of `synod`, in two ways.
//!
//! [`Sqlite`] (the feature `client`, which is on) is a database of the front door: plain SQL in it commits together with what an
//! application does in PostgreSQL, MariaDB, or another file. See [`front`].
//!
//! The rest is for those who write a participant of their own, whose rows, what is promised of them, and the node's records are in
//! one file, and are written together; many transactions may be promised at once:
//!
//! - [`SqliteStore`] keeps the records of a node in a file that has the application's tables as well.
//! - [`Guard`] keeps what was promised of a table out of everybody's reach: also out of that of other processes, which know
//!   nothing of it.
//!
//! Both go into an [`embedded::Store`](synod::perform::embedded::Store), which is the participant. `examples/shop.rs` is
//! one:
//!
//! ```
//! use std::collections::BTreeMap;
//! use synod::{TxId, commit::{Meta, Record, Transaction}};
//! use synod::perform::{Storage, embedded::{Step, Store}};
//! use synod_sqlite::{Guard, SqliteError, SqliteStore};
//!
//! struct Accounts {
//!     store: SqliteStore,
//!     guard: Guard,
//! }
//!
//! impl Store for Accounts {
//!     /// Whose account it is, and how much is taken.
//!     type Change = (String, i64);
//!     type Error = SqliteError;
//!
//!     fn load(&mut self) -> Result<Vec<Record>, SqliteError> {
//!         self.store.load()
//!     }
//!
//!     fn write(&mut self, records: &[Record], steps: &[Step<'_, Self::Change>]) -> Result<(), SqliteError> {
//!         let guard = &self.guard;
//!         self.store.persist_with(records, |db| {
//!             for step in steps {
//!                 match step {
//!                     Step::Promise(tx, (who, taken)) => guard.promise(db, *tx, who, *taken)?,
//!                     Step::Release(tx, _) => guard.release(db, *tx)?,
//!                     Step::Commit(tx, (who, taken)) => {
//!                         guard.release(db, *tx)?;
//!                         guard.add(db, who, -taken)?;
//!                     }
//!                 }
//!             }
//!             Ok(())
//!         })
//!     }
//!
//!     fn change(&self, _: &Transaction, meta: &Meta) -> Option<Self::Change> {
//!         let (who, taken) = std::str::from_utf8(meta.bytes()).ok()?.split_once(' ')?;
//!         Some((who.to_owned(), taken.parse().ok().filter(|taken| *taken >= 0)?))
//!     }
//!
//!     fn check(
//!         &mut self,
//!         _: TxId,
//!         (who, taken): &Self::Change,
//!         promised: &BTreeMap<TxId, Self::Change>,
//!     ) -> Result<bool, SqliteError> {
//!         let held: i64 = promised.values().filter(|(other, _)| other == who).map(|(_, taken)| taken).sum();
//!         // From here to the write of the promise nobody else can write.
//!         match self.store.hold() {
//!             Ok(db) => Ok(self.guard.amount(db, who)?.is_some_and(|there| there - held >= *taken)),
//!             Err(SqliteError::Busy { .. }) => Ok(false),
//!             Err(error) => Err(error),
//!         }
//!     }
//!
//!     fn recover(&mut self, promised: &BTreeMap<TxId, Self::Change>) -> Result<(), SqliteError> {
//!         let guard = &self.guard;
//!         let promises = promised.iter().map(|(tx, (who, taken))| (*tx, who.as_str(), *taken));
//!         self.store.change(|db| guard.restore(db, promises))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("accounts.sqlite");
//! let store = SqliteStore::open(&path)?;
//! store.connection().execute_batch("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, balance INTEGER)")?;
//! let guard = Guard::install(&store, "account", "name", "balance")?;
//! let accounts = synod::perform::embedded::Embedded::new(Accounts { store, guard });
//! # let mut accounts = accounts;
//! # use synod::{NodeId, commit::Vote, perform::Resource};
//! # accounts.store().store.connection().execute("INSERT INTO account VALUES ('ann', 100)", [])?;
//! # let mut vote = |seq, meta: &str| {
//! #     let meta = Meta::from(meta);
//! #     let transaction = Transaction::new(TxId { origin: NodeId(1), seq }, [NodeId(1)], meta.clone()).unwrap();
//! #     accounts.vote(&transaction, &meta)
//! # };
//! # assert_eq!((vote(1, "ann 70"), vote(2, "ann 70")), (Some(Vote::Prepared), Some(Vote::Aborted)));
//! # Ok(())
//! # }
//! ```
//!
//! # The file
//!
//! It is in WAL mode, and every write of this package is synced (`synchronous=FULL`). Its own tables are called
//! `synod_…`; nothing else may write to those. The file is the database, its `-wal`, and a small `….acknowledged`, which
//! counts the writes that were acknowledged: they belong together. Never restore a copy of them: a node that has forgotten
//! what it promised can vote twice.
//!
//! Other connections may read and write the application's tables, from other processes too, with any SQLite that is
//! not older than 3.8.2. They must not write with `synchronous=OFF`, nor switch WAL mode off.
//!
//! # Damage
//!
//! A node that forgets what it has promised must not vote, so a damaged file must not look like one that was written to
//! less. A write therefore seals all records, and loading compares: records that are missing or changed, acknowledged writes
//! that are gone, and a file that is no database are [`SqliteError::Damaged`]. Not found is the loss of the last
//! writes in a power failure, if the disk does not keep its word on a sync, and an older copy of all the files.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "files, and a database that waits for locks")]

mod count;
mod error;
#[cfg(feature = "client")]
pub mod front;
mod guard;
mod seal;
mod store;

pub use error::{Damage, SqliteError};
#[cfg(feature = "client")]
pub use front::{Error, Options, Sqlite, SqliteBranch, SqliteResource};
pub use guard::Guard;
pub use rusqlite;
pub use store::SqliteStore;

/// The code of the README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
