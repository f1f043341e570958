//! A node as a task of a [tokio](::tokio) runtime.

mod error;
mod handle;
mod options;
mod resource;
mod telemetry;

use ::tokio::task::JoinHandle;

pub use self::{
    error::{Cause, Error},
    handle::Handle,
    options::Options,
    resource::Resource,
};
use super::{Storage, Transport};
use crate::commit::Config;

/// What a node is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: its id was never used, and the storage is blank. An error if it is not.
    Create,
    /// What its storage holds. An error if that is blank, or another node's.
    Restore,
}

/// Starts a node.
pub async fn spawn<S, T, R>(
    config: Config,
    start: Start,
    storage: S,
    transport: T,
    resource: R,
    options: Options,
) -> Result<(Handle, JoinHandle<Result<(), Error>>), Error>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
    T: Transport + Send + 'static,
    R: Resource,
{
    options.check()?;
    let (handle, mut mailbox) = Handle::new(config.id, config.cluster.id(), &options);
    let _ = (start, storage, transport, resource);
    let task = async move {
        while mailbox.requests.recv().await.is_some() && mailbox.inbox.recv().await.is_some() {}
        let _ = mailbox.end.send(None);
        Ok(())
    };
    Ok((handle, ::tokio::spawn(task)))
}
