//! Why the driver could not do what it was asked to.

use alloc::sync::Arc;

use crate::{Refusal, TxId, commit::TransactionError};

/// What lies beneath an error, shared by all who hear of it.
///
/// See [`Error`] for an example.
pub type Cause = Arc<dyn core::error::Error + Send + Sync>;

/// Why a request to a running node, or the node itself, came to nothing.
///
/// ```
/// # use std::error::Error as _;
/// # use synod::{NodeId, Quorums, commit::{Cluster, ClusterId, Config}, perform::{NoResource, memory::MemoryStorage}};
/// use synod::perform::tokio::{Error, Options, Start, spawn};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// # let me = NodeId(1);
/// # let cluster = Cluster::new(ClusterId(*b"a cluster of one"), Quorums::majority([me])?, [me])?;
/// # let (config, blank, transport) = (Config::new(cluster, me, 7), MemoryStorage::new(), Vec::new());
/// let lost = spawn(config, Start::Restore, blank, transport, NoResource, Options::default()).await;
/// let Err(Error::Start(cause)) = lost else { panic!("a node that was a member starts on a blank disk") };
/// assert!(cause.to_string().contains("blank"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option of zero would leave no room, or no time, for anything.
    #[error("the option {0:?} must not be zero")]
    ZeroOption(&'static str),
    /// The node could not be had from its storage.
    #[error("the node cannot be started from its storage")]
    Start(#[source] Cause),
    /// The resource could not recover. Nothing has happened: start the node again.
    #[error("the resource could not recover")]
    Recover(#[source] Cause),
    /// These participants make no transaction.
    #[error("this makes no transaction")]
    NoTransaction(#[from] TransactionError),
    /// The node refuses.
    #[error("the node refuses")]
    Refused(#[from] Refusal),
    /// More are waiting for outcomes than the options allow.
    #[error("too many are waiting for outcomes already")]
    TooManyWaiting,
    /// The transaction is over, and this node does not know, or does not remember, how it ended. The participants do.
    #[error("transaction {0} is over, and how it ended is not known here")]
    Forgotten(TxId),
    /// A write failed. What the node has in memory is ahead of its storage, and the node has stopped: start it again
    /// from its storage.
    #[error("a write failed, and the node has stopped")]
    Write(#[source] Cause),
    /// A write hangs, and until it ends this node can make nothing durable, and promise nothing: ask another node. What was
    /// asked before may still be done, so whoever began a transaction asks again by the same name
    /// ([`begin_as`](super::Handle::begin_as)). Of a shutdown: the node has stopped, and left the write behind, which may
    /// still land.
    #[error("a write hangs, and this node can promise nothing until it ends: ask another node")]
    Stalled,
    /// The node's task has panicked, or was aborted: nothing untrue was said, but what was not written is lost. Start the
    /// node again from its storage.
    #[error("the node's task has panicked or was aborted")]
    Crashed,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}
