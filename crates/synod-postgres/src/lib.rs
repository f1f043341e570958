//! PostgreSQL as a participant of `synod`: its prepared transactions commit together with those of other databases, or not
//! at all.
//!
//! [`Postgres`] is a database, for the application (`synod_client::Database`): a branch is a transaction over a connection of
//! its pool, which the front door prepares and commits. It is an agent, too (`synod_client::Agent`): the resource of the node
//! that stands for the database in the cluster. Both need not be in the same process.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use synod_client::{NodeId, Outcome, local::Local};
//! use synod_postgres::Postgres;
//!
//! let accounts = Postgres::connect("postgres://shop@localhost/accounts", NodeId(11)).await?;
//! let orders = Postgres::connect("postgres://shop@localhost/orders", NodeId(12)).await?;
//! let local = Local::builder("synod-data").agent(accounts.clone()).agent(orders.clone()).start().await?;
//!
//! let mut tx = local.synod().transaction();
//! tx.on(&accounts).await?.execute("UPDATE account SET balance = balance - 30 WHERE id = $1", &[&1_i64]).await?;
//! tx.on(&orders).await?.execute("INSERT INTO purchase (account, price) VALUES ($1, 30)", &[&1_i64]).await?;
//! match tx.commit().await? {
//!     Outcome::Committed => println!("bought"),
//!     Outcome::Aborted => println!("not bought: nothing has changed"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it keeps in the database
//!
//! A table `synod.fence`, with a row for each branch. It is written with the branch's own work, so it is there exactly if the
//! branch has committed; or by what aborts the branch, so that it cannot be prepared any more. So it can always be told what
//! has become of a branch that is not prepared:
//!
//! | prepared | row | it means |
//! |---|---|---|
//! | yes | – | in doubt: the cluster knows |
//! | no | `w` (work) | committed |
//! | no | `t` (tombstone) | aborted |
//! | no | none | nothing is promised here; or, if a promise is on record, the database has lost it: an [`Alarm`] |
//!
//! Rows go when the cluster says that the transaction is over everywhere.
//!
//! A table `synod.participants`, with the participants of those transactions that have more than the name of a branch has room for
//! ([`Gid`]).
//!
//! And a table `synod.identity`, whose one row says which participant the database is, and of which cluster: so URLs that are
//! swapped, or were copied, are refused ([`Error::OtherParticipant`], [`Error::InOtherCluster`], [`Error::NoAgent`]).

/// The guide's code.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/POSTGRES.md")]
pub struct Guide;

mod agent;
mod branch;
mod database;
mod error;
mod fence;
mod forgotten;
mod gid;
mod identity;
mod lent;
mod look;
mod options;
mod participants;
mod resource;
mod session;
mod statements;

pub use branch::PostgresBranch;
pub use database::Postgres;
pub use error::{Error, Missing};
pub use gid::{Gid, GidError};
pub use options::Options;
pub use resource::PostgresResource;
pub use synod_client::{Alarm, Kind};
