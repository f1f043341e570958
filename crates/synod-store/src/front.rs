//! A store as a database of the front door: what a transaction wants of it is staged there under the transaction's name.

use std::{fmt, sync::Arc};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome, Transaction},
};
use synod_client::{Alone, Branch, Cause, Database, Name, Unprepared};

use crate::{
    Error, Store,
    store::{Inner, Staged},
};

/// As many bytes may be staged for one transaction.
pub const MOST_STAGED: usize = 1 << 20;

/// A transaction's part in a store.
///
/// What the transaction wants of the store is [staged](Self::stage) in one content, which is what the store is asked to promise.
/// It is sent when the transaction commits, before that begins. If the transaction aborts, or this is dropped, it is taken back;
/// if the application dies, the agent does that ([`Options::patience`](crate::Options::patience)). The agent also has the store
/// commit, shortly after `commit` has returned.
///
/// ```no_run
/// # async fn example(
/// #     synod: synod_client::Synod, accounts: impl synod_client::Database, security: synod_grpc::Security,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use synod_client::NodeId;
/// use synod_store::{Options, Store};
///
/// let seats = Store::new("127.0.0.1:7513", NodeId(13), security, Options::new())?;
/// let mut tx = synod.transaction();
/// // … tx.on(&accounts).await?.execute(…) …
/// tx.on(&seats).await?.stage("7")?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub struct StoreBranch {
    inner: Arc<Inner>,
    cluster: ClusterId,
    content: Option<Vec<u8>>,
    /// Under which name something may be staged, of which the outcome is not known here.
    staged: Option<TxId>,
}

impl fmt::Debug for StoreBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBranch").field("participant", &self.inner.participant).finish_non_exhaustive()
    }
}

impl StoreBranch {
    /// Says what the transaction wants of the store, once: what belongs to one transaction goes into one content, of up to
    /// [`MOST_STAGED`] bytes. Nothing is sent yet.
    pub fn stage(&mut self, content: impl Into<Vec<u8>>) -> Result<(), Error> {
        let (content, participant) = (content.into(), self.inner.participant);
        if self.content.is_some() {
            return Err(Error::Twice(participant));
        }
        if content.len() > MOST_STAGED {
            return Err(Error::TooLong { participant, bytes: content.len() });
        }
        self.content = Some(content);
        Ok(())
    }

    /// Takes back what is staged, and not promised.
    async fn unstage(&mut self) -> Result<(), Error> {
        if let Some(tx) = self.staged.take() {
            self.inner.unstage(self.cluster, &[tx]).await?;
        }
        Ok(())
    }
}

impl Database for Store {
    type Branch = StoreBranch;

    /// The name says of which cluster the store has to be.
    const IS_NAMED: bool = true;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn open(&self, name: Option<Name>) -> Result<StoreBranch, Cause> {
        let inner = Arc::clone(&self.0);
        let Some(Name { cluster, .. }) = name else {
            return Err("a branch in a store is opened with the name of its transaction".into());
        };
        inner.expect_staging(cluster).await?;
        Ok(StoreBranch { inner, cluster, content: None, staged: None })
    }
}

impl Branch for StoreBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        Ok(self.content.is_some())
    }

    fn commits_alone(&self) -> bool {
        false
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        Err(Alone::RolledBack("the agent of a store promises for it, so it is never committed alone".into()))
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &Transaction) -> Result<(), Unprepared> {
        let (tx, participant) = (transaction.id(), self.inner.participant);
        let content = self.content.clone().unwrap_or_default();
        self.cluster = cluster;
        // Dropped in the middle of this, it may be staged.
        self.staged = Some(tx);
        let cause = match self.inner.stage(cluster, tx, content).await {
            Ok(Staged::Done) => return Ok(()),
            Ok(Staged::Otherwise) => {
                // As long as the other content is there, that could commit.
                let _ = self.unstage().await;
                Error::Otherwise { participant, tx }
            }
            Ok(Staged::Late) => Error::Late { participant, tx },
            Err(error) => error,
        };
        // Never rolled back for certain: an answer that was lost before this one may have staged it, and somebody else may have
        // begun it, such as the agent of another branch. Then it is promised.
        Err(Unprepared::Unknown(cause.into()))
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        match outcome {
            // The agent has the store commit.
            Outcome::Committed => self.staged = None,
            Outcome::Aborted => self.unstage().await?,
        }
        Ok(())
    }

    async fn roll_back(&mut self) {
        // What cannot be taken back is the agent's.
        let _ = self.unstage().await;
    }
}

impl Drop for StoreBranch {
    fn drop(&mut self) {
        if let Some(tx) = self.staged.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // If it is promised by now, that stays.
            let (inner, cluster) = (Arc::clone(&self.inner), self.cluster);
            runtime.spawn(async move { inner.unstage(cluster, &[tx]).await });
        }
    }
}
