//! A SQLite file as a database of the front door: its rows change together with those of PostgreSQL, MariaDB, or another file,
//! by plain SQL.
//!
//! [`Sqlite`] is a database, for the application (`synod_client::Database`), and the agent beside it
//! (`synod_client::Agent`). Nothing else is needed: no server, and no code for the file.
//!
//! ```
//! use synod_client::{NodeId, Outcome, local::Local};
//! use synod_sqlite::Sqlite;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name);
//! # for (file, table) in [("accounts.db", "account (name PRIMARY KEY, balance)"), ("orders.db", "purchase (who, price)")] {
//! #     synod_sqlite::rusqlite::Connection::open(path(file))?.execute_batch(&format!("CREATE TABLE {table}"))?;
//! # }
//! # synod_sqlite::rusqlite::Connection::open(path("accounts.db"))?.execute_batch("INSERT INTO account VALUES ('ann', 100)")?;
//! let accounts = Sqlite::open(path("accounts.db"), NodeId(11)).await?;
//! let orders = Sqlite::open(path("orders.db"), NodeId(12)).await?;
//! let local = Local::builder(path("synod-data")).agent(accounts.clone()).agent(orders.clone()).start().await?;
//!
//! let mut tx = local.synod().transaction();
//! tx.on(&accounts).await?.execute("UPDATE account SET balance = balance - ?1 WHERE name = ?2", &[&30, &"ann"]).await?;
//! tx.on(&orders).await?.execute("INSERT INTO purchase VALUES (?1, ?2)", &[&"ann", &30]).await?;
//! match tx.commit().await? {
//!     Outcome::Committed => println!("bought"),
//!     Outcome::Aborted => println!("not bought: nothing has changed"),
//! }
//! # let left = synod_sqlite::rusqlite::Connection::open(path("accounts.db"))?
//! #     .query_row("SELECT balance FROM account", [], |row| row.get::<_, i64>(0))?;
//! # assert_eq!(left, 70);
//! # local.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How a file prepares
//!
//! SQLite has no prepared transactions. A branch works in a transaction of SQLite, as any program does, and its statements see
//! what it has done. To prepare, it reads the rows that it has touched as they are now, takes the work back, and writes
//! those rows into the table `synod_prepared` instead: one durable write, which is the vote. The outcome puts them in their places,
//! or drops them. Rows are put there as they were read: no trigger runs twice, and what a default has drawn (the time, a number) stays
//! what it was. The same goes for the numbers that `AUTOINCREMENT` has used up.
//!
//! From the first until the second nobody else may write in the file, or the rows might not fit any more. Branches wait for each
//! other; triggers (`synod_held_…`) refuse the statements of programs that know nothing of this, with "held for a transaction
//! that is not over". That usually takes a few milliseconds. While the cluster is down, or another database, it lasts until they
//! are back. So a file takes part in one transaction at a time. Readers never wait.
//!
//! Nothing can refuse a change of the schema. A table that is dropped, renamed, or given another unique index while a branch is
//! prepared may keep it from being committed, until the table is as it was: look into [`Sqlite::prepared`] before a migration.
//! Nobody may write in the file with `synchronous=OFF`.
//!
//! # What a branch may do
//!
//! Read anything, and change rows of ordinary tables: with triggers, foreign keys, `RETURNING`, `ON CONFLICT`, in tables
//! `WITHOUT ROWID` too. It may not change the schema, virtual tables (such as FTS), settings (`PRAGMA`), or begin and end
//! transactions. Such a statement fails with [`Error::NotAllowed`], and nothing else is lost.
//!
//! Only what statements change is part of a branch: not what is written through `blob_open`. And the agent has no functions or
//! collations of the application: tables whose indexes or generated columns need them are not for branches.
//!
//! Foreign keys are kept, unless [`Options::foreign_keys`] says otherwise. `recursive_triggers` is off, as it is anywhere, but where
//! a table has a unique index of expressions: what `REPLACE` removes there shows in no other way.
//!
//! # What it keeps in the file
//!
//! | table | what |
//! |---|---|
//! | `synod_prepared` | the rows of the branch that is prepared, if one is |
//! | `synod_fence` | how branches ended: `w` (work), or `t` (tombstone: aborted, and never to be prepared), until the transaction is over everywhere; tombstones a day longer ([`Options::keep`]) |
//! | `synod_identity` | which participant the file is, and of which cluster |
//!
//! Tables without a key and without an index get an index of no rows (`synod_pin_…`): with it, `VACUUM` leaves the numbers of
//! their rows as they are.
//!
//! The file is in WAL mode, and what this package writes is synced (`synchronous=FULL`). The database and its `-wal` belong together.
//! A file that is restored from a backup may have forgotten a promise: if that is to be committed, it is an [`Alarm`].

mod agent;
mod branch;
mod changes;
mod database;
mod error;
mod fence;
mod file;
mod options;
mod resource;
mod touched;

pub use synod_client::{Alarm, Kind};

pub use self::{
    branch::{Params, SqliteBranch},
    database::Sqlite,
    error::Error,
    options::Options,
    resource::SqliteResource,
};
