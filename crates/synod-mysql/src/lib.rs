//! MariaDB and MySQL as participants of `synod`: their XA transactions commit together with those of other databases, or not
//! at all.
//!
//! [`Mysql`] is a database, for the application (`synod_client::Database`): a branch is an XA transaction over a connection
//! of its pool, which the front door prepares and commits. It is an agent, too (`synod_client::Agent`): the resource of the
//! node that stands for the database in the cluster. Both need not be in the same process.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use synod_client::{NodeId, Outcome, local::Local};
//! use synod_mysql::Mysql;
//!
//! let accounts = Mysql::connect("mysql://shop@localhost/accounts", NodeId(11)).await?;
//! let orders = Mysql::connect("mysql://shop@localhost/orders", NodeId(12)).await?;
//! let local = Local::builder("synod-data").agent(accounts.clone()).agent(orders.clone()).start().await?;
//!
//! let mut tx = local.synod().transaction();
//! tx.on(&accounts).await?.exec_drop("UPDATE account SET balance = balance - 30 WHERE id = ?", (1,)).await?;
//! tx.on(&orders).await?.exec_drop("INSERT INTO purchase (account, price) VALUES (?, 30)", (1,)).await?;
//! match tx.commit().await? {
//!     Outcome::Committed => println!("bought"),
//!     Outcome::Aborted => println!("not bought: nothing has changed"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Servers
//!
//! MariaDB 10.5 or newer; tested with 10.11. MySQL 8.0.30 or newer should work by its documents, and is *not tested*. Older
//! ones lose prepared transactions when a connection ends, and are refused.
//!
//! - All tables that a branch writes must be of InnoDB. A change in a table of an engine without XA stays when the branch is
//!   rolled back; the check at the start warns of such tables.
//! - `innodb_flush_log_at_trx_commit` must be 1.
//! - **Replicas:** prepared branches do not reach a replica reliably. One that is promoted may lack a branch that was promised:
//!   then its commit is an [`Alarm`]. Before a planned switch-over wait until `XA RECOVER` lists nothing.
//! - Isolation is each database's own. A reader may see one database before the commit and another after it, at every level.
//!
//! # What it keeps in the database
//!
//! A table `synod_fence`, with a row for each branch. It is written with the branch's own work, so it is there exactly if the
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
//! "Not prepared" needs a second look: as long as the connection lives that has prepared a branch, MariaDB tells all others
//! that it does not know it (1397, XAER_NOTA), though it lists it. Only the fence says that a branch has ended.
//!
//! An XA transaction is named when it begins, before it is known who takes part, so a prepared branch alone is no vote: the
//! node records each vote before it sends it ([`VotesHere`](synod::commit::ResourceKind::VotesHere)). A prepared branch that
//! the node has heard nothing of, and whose application is gone, is rolled back after a
//! [patience](Options::sweep). What was voted for never is.
//!
//! A branch can be prepared although its transaction is over: the database was restored from a backup, or has lost the end of
//! its log. The running agent ends it as the transaction ended. If its node does not remember that, the branch stays prepared,
//! and the log has an error. An agent that starts cannot tell such a branch from one that was promised to nobody, and rolls it
//! back with a warning in the log: so after a restore, compare `XA RECOVER` with the other databases before you start the agent.
//!
//! Rows go when the node says that their transaction is over everywhere; tombstones a day later ([`Options::keep`]).
//!
//! And a table `synod_identity`, whose one row says which participant the database is, and of which cluster: so URLs that are
//! swapped, or were copied, are refused ([`Error::OtherParticipant`], [`Error::InOtherCluster`], [`Error::NoAgent`]).
//!
//! # What ends by itself
//!
//! As long as the server takes a connection for alive, nobody else can end the branch that it holds. So the server ends those
//! that are silent: with an open branch after [`Options::idle`], with a prepared one after [`Options::wait`]. A host that dies
//! without a word keeps its locks for no longer than that. A statement that is still running when its branch is dropped is
//! killed.
//!
//! # What has only read
//!
//! A branch counts as one that has written if the server has reported a changed row, or if the connection's counters
//! `Handler_write`, `Handler_update` or `Handler_delete` have moved since it was reset, as they do for what triggers and
//! functions write. In doubt it counts as one that has written.

mod agent;
mod branch;
mod check;
mod codes;
mod database;
mod error;
mod fence;
mod identity;
mod lent;
mod look;
mod options;
mod resource;
mod xid;

pub use branch::MysqlBranch;
pub use database::Mysql;
pub use error::{Error, Missing};
pub use mysql_async;
pub use options::Options;
pub use resource::MysqlResource;
pub use synod_client::{Alarm, Kind};
pub use xid::Xid;
