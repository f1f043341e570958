//! Why the driver could not do what it was asked to.

use alloc::sync::Arc;

use crate::{Refusal, TxId, commit::TransactionError};

/// What lies beneath an error, shared by all who hear of it.
pub type Cause = Arc<dyn core::error::Error + Send + Sync>;

/// Why a request to a running node, or the node itself, came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option of zero would leave no room, or no time, for anything.
    #[error("the option {0:?} must not be zero")]
    ZeroOption(&'static str),
    /// The node could not be had from its storage.
    #[error("the node cannot be started from its storage")]
    Start(#[source] Cause),
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
