//! Several databases, one transaction: the front door of `synod`.
//!
//! An application opens a [`Transaction`], works in one database after the other over connections as it knows them, and
//! commits them together, or not at all, whatever crashes. The databases are participants of a `synod` cluster
//! (`synod-postgres`, `synod-mysql`, `synod-sqlite`, `synod-store`); beside each of them runs an *agent*, a node that votes for
//! the database and carries out what an application leaves behind.
//!
//! ```ignore
//! let mut tx = synod.transaction();
//! tx.on(&accounts).await?.execute("UPDATE account SET balance = balance - $1 WHERE id = $2", &[&10_i64, &1_i64]).await?;
//! tx.on(&orders).await?.execute("INSERT INTO purchase (account, price) VALUES ($1, $2)", &[&1_i64, &10_i64]).await?;
//! match tx.commit().await? {
//!     Outcome::Committed => println!("bought"),
//!     Outcome::Aborted => println!("not bought: nothing has changed"),
//! }
//! ```
//!
//! # What `commit` costs
//!
//! | the transaction has written in | then |
//! |---|---|
//! | no database | nothing is coordinated |
//! | one | one plain `COMMIT`, which also inserts a row by which a lost answer is found out |
//! | several | all branches are prepared at once, then the acceptors write once, then it is committed |
//!
//! A branch that has only read is not part of the transaction. A store of one's own (`synod-store`) is promised for by its agent, so
//! a transaction in such a store alone costs as much as one in several databases.
//!
//! # When an answer is lost
//!
//! [`CommitError::may_have_committed`] says whether that is possible. If so, the error carries the transaction's name, and
//! [`Synod::outcome`] answers by it later.

mod agent;
mod alarm;
mod branch;
mod desk;
mod error;
mod gate;
mod listed;
#[cfg(feature = "local")]
pub mod local;
mod manager;
mod names;
mod transaction;

pub use agent::{Agent, is_known};
pub use alarm::{Alarm, Alarms, Kind};
pub use branch::{Alone, Branch, Cause, Database, Name, Unprepared};
pub use desk::{Desk, Ticket};
pub use error::{CommitError, OpenError, OutcomeError};
pub use listed::{Listed, ListedBranch};
pub use manager::{Asked, Manager, ManagerError};
pub use synod::{NodeId, TxId, commit::Outcome};
pub use transaction::{Builder, OtherCluster, Synod, Transaction};
