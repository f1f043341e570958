//! An embedded store in two halves, for the driver for tokio.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec::Vec,
};

use ::tokio::task::spawn_blocking;

use super::{Embedded, Store};
use crate::{
    commit::{Meta, Promised, Record, Transaction, Vote},
    perform::{Progress, RecoverError, Resource as _, Storage, tokio::Resource},
};

/// The storage of a node whose store is [embedded](Embedded::split).
pub struct StorageHalf<S: Store>(Arc<Mutex<Embedded<S>>>);

/// The resource of a node whose store is [embedded](Embedded::split). Clones are of the same one.
pub struct ResourceHalf<S: Store>(Arc<Mutex<Embedded<S>>>);

impl<S: Store> Embedded<S> {
    /// This participant in two halves, for [`tokio::spawn`](crate::perform::tokio::spawn). They share a mutex, which is held
    /// during a write, so votes wait for the write that is under way, on a blocking thread. Rows are changed a
    /// [moment](crate::perform::tokio::Options::linger) after the outcome is known.
    ///
    /// To start a node again, open its store again.
    ///
    /// ```
    /// # #[cfg(feature = "fjall")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// # use std::collections::BTreeMap;
    /// # use synod::{NodeId, Quorums, TxId, commit::*, perform::embedded::Step};
    /// use synod::perform::{embedded::{Embedded, Store}, fjall::{FjallError, FjallStorage}};
    /// use synod::perform::tokio::{Options, Start, spawn};
    ///
    /// struct Counter { storage: FjallStorage, total: u64 }
    ///
    /// impl Store for Counter {
    ///     // As in the example of the module.
    /// #   type Change = u64;
    /// #   type Error = FjallError;
    /// #   fn load(&mut self) -> Result<Vec<Record>, FjallError> {
    /// #       self.storage.load()
    /// #   }
    /// #   fn write(&mut self, records: &[Record], steps: &[Step<'_, u64>]) -> Result<(), FjallError> {
    /// #       self.storage.persist(records)?;
    /// #       self.total += steps.iter().map(|step| if let Step::Commit(_, more) = step { **more } else { 0 }).sum::<u64>();
    /// #       Ok(())
    /// #   }
    /// #   fn change(&self, _: &Transaction, meta: &Meta) -> Option<u64> {
    /// #       Some(meta.bytes().len() as u64)
    /// #   }
    /// #   fn check(&mut self, _: TxId, _: &u64, _: &BTreeMap<TxId, u64>) -> Result<bool, FjallError> {
    /// #       Ok(true)
    /// #   }
    /// }
    /// # use synod::perform::Storage as _;
    ///
    /// # let (id, folder) = (NodeId(1), tempfile::tempdir()?);
    /// # let cluster = Cluster::new(ClusterId(*b"a cluster of one"), Quorums::majority([id])?, [id])?;
    /// # let (config, path, transport) = (Config::new(cluster, id, 1), folder.path().join("n1"), Vec::new());
    /// let counter = Counter { storage: FjallStorage::open(path)?, total: 0 };
    /// let (storage, resource) = Embedded::new(counter).split();
    /// let (handle, _task) = spawn(config, Start::Create, storage, transport, resource.clone(), Options::default()).await?;
    /// let tx = handle.begin([id], "three more").await?;
    /// assert_eq!(handle.outcome(tx).await?, Outcome::Committed);
    /// handle.shutdown().await?;
    /// assert_eq!(resource.lock().store().total, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # }
    /// # #[cfg(not(feature = "fjall"))]
    /// # fn main() {}
    /// ```
    pub fn split(self) -> (StorageHalf<S>, ResourceHalf<S>) {
        let shared = Arc::new(Mutex::new(self));
        (StorageHalf(Arc::clone(&shared)), ResourceHalf(shared))
    }
}

impl<S: Store> ResourceHalf<S> {
    /// The participant, for reads of its rows and for changes of what is not promised. The node waits meanwhile, and this
    /// waits for a write that is under way: do not call it on a task of the runtime.
    pub fn lock(&self) -> MutexGuard<'_, Embedded<S>> {
        lock(&self.0)
    }
}

impl<S> ResourceHalf<S>
where
    S: Store<Change: Send> + Send + 'static,
{
    /// Asks the participant, on a thread that may wait for a disk.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut Embedded<S>) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.0);
        match spawn_blocking(move || question(&mut lock(&shared))).await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => core::future::pending().await,
            },
        }
    }
}

impl<S: Store> Storage for StorageHalf<S> {
    type Error = S::Error;

    fn load(&mut self) -> Result<Vec<Record>, S::Error> {
        lock(&self.0).load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), S::Error> {
        lock(&self.0).persist(records)
    }
}

impl<S> Resource for ResourceHalf<S>
where
    S: Store<Change: Send> + Send + 'static,
{
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let promised = promised.to_vec();
        self.ask(move |embedded| embedded.recover(&promised)).await
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        let (transaction, meta) = (transaction.clone(), meta.clone());
        self.ask(move |embedded| embedded.vote(&transaction, &meta)).await.unwrap_or(Vote::Aborted)
    }

    /// The change is made with the write of the record that follows from this answer.
    async fn commit(&self, _: &Transaction, _: &Meta) -> Progress {
        Progress::Finished
    }

    async fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        let (transaction, meta) = (transaction.clone(), meta.cloned());
        self.ask(move |embedded| embedded.abort(&transaction, meta.as_ref())).await
    }
}

impl<S: Store> Clone for ResourceHalf<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A thread that panicked while it held the participant left it to those who come next.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
