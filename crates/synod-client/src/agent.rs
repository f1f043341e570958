//! What stands beside a database in the cluster.

use synod::{
    NodeId, TxId,
    commit::{ClusterId, ResourceKind, Status},
    perform::tokio::{Handle, Resource},
};

use crate::Cause;

/// A database's part in the protocol: the resource of a node, and what goes on beside it.
pub trait Agent: Send + 'static {
    /// What votes for the database, and carries outcomes out in it.
    type Resource: Resource;

    /// Where its votes are durable.
    const KIND: ResourceKind;

    /// Which participant it is.
    fn participant(&self) -> NodeId;

    /// Makes sure that the database can take part, and returns what votes for it. An error says what is missing, and how to
    /// provide it.
    fn resource(&self, cluster: ClusterId) -> impl Future<Output = Result<Self::Resource, Cause>> + Send;

    /// Whether a database that cannot take part for this `cause`, which came from [`resource`](Self::resource), may be able to
    /// later without anybody changing anything here: it does not answer, for example. By default it may not.
    fn may_come_back(&self, cause: &Cause) -> bool {
        let _ = cause;
        false
    }

    /// What goes on as long as the node runs: looks for branches that were left behind, and clears up. `node` is the node of
    /// the resource.
    fn watch(self, cluster: ClusterId, node: Handle) -> impl Future<Output = ()> + Send;
}

/// Whether the node beside a database is about to end a branch of `tx`, or cannot say: then a sweep leaves the branch alone. What
/// is over, and still prepared in the database, the node does not know.
pub async fn is_known(node: &Handle, tx: TxId) -> bool {
    matches!(node.status(tx).await, Ok(Status::Open { .. } | Status::Fenced(_)) | Err(_))
}
