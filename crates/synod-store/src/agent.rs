//! What goes on beside the resource: what the node does not know of is found, and tombstones go.

use std::collections::BTreeMap;

use synod::{
    NodeId, TxId,
    commit::{ClusterId, ResourceKind, Status, TxRange},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause, is_known};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Error, Store, StoreResource};

/// How many pages of tombstones are looked at in one turn.
const PAGES: usize = 16;

/// How much is taken back by one call.
const TOGETHER: usize = 256;

impl Store {
    /// Reports to the node what the store has prepared and the node does not know of: the answer to a vote was lost.
    async fn sweep(&self, cluster: ClusterId, node: &Handle) -> Result<(), Error> {
        let Self(inner) = self;
        if all_known(node, inner.prepared(cluster).await?.iter().map(|held| held.transaction.id())).await {
            return Ok(());
        }
        // That list is old by now: what is reported must still be prepared, and no vote be under way.
        let _none_given = inner.votes_given.write().await;
        for held in inner.prepared(cluster).await? {
            let (tx, participant) = (held.transaction.id(), inner.participant);
            if is_known(node, tx).await {
                continue;
            }
            tracing::info!(%participant, %tx, "something was left prepared: asking how it ended");
            if let Err(error) = node.prepared(held.transaction, held.meta).await {
                tracing::error!(%participant, %tx, %error, "nobody knows how something prepared ended");
            }
        }
        Ok(())
    }

    /// Takes back what an application has staged, and nobody has begun; or what is over, and was staged after that. `seen` remembers
    /// since when. What is begun meanwhile is not promised any more, so it aborts.
    async fn unstage(
        &self,
        cluster: ClusterId,
        node: &Handle,
        seen: &mut BTreeMap<TxId, Instant>,
    ) -> Result<(), Error> {
        let Self(inner) = self;
        let (staged, now) = match inner.staged(cluster).await {
            // It takes part in transactions among stores only.
            Err(Error::NoStaging { .. }) => return Ok(()),
            staged => (staged?, Instant::now()),
        };
        *seen = staged.into_iter().map(|tx| (tx, *seen.get(&tx).unwrap_or(&now))).collect();
        let mut left = Vec::new();
        for (tx, since) in &*seen {
            match node.status(*tx).await {
                Ok(Status::Retired { .. }) => left.push(*tx),
                Ok(Status::Open { .. } | Status::Fenced(_)) | Err(_) => {}
                Ok(_) if since.elapsed() >= inner.options.patience => left.push(*tx),
                Ok(_) => {}
            }
        }
        for some in left.chunks(TOGETHER) {
            tracing::info!(participant = %inner.participant, count = some.len(), "something was staged and left behind: taking it back");
            inner.unstage(cluster, some).await?;
        }
        Ok(())
    }

    /// Lets the store forget what is due.
    pub(crate) async fn clear(&self, cluster: ClusterId) -> Result<(), Error> {
        let Self(inner) = self;
        while let Some(range) = inner.forgotten(|forgotten, keep| forgotten.take(keep)) {
            if let Err(error) = inner.forget(cluster, range).await {
                inner.forgotten(|forgotten, keep| forgotten.put_back(range, keep));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Looks once through what the store remembers, from `after` on: what was due when an agent ended is told by nobody any
    /// more. Returns where to go on; at the end, nothing.
    async fn walk(&self, cluster: ClusterId, node: &Handle, after: Option<TxId>) -> Result<Option<TxId>, Error> {
        let Self(inner) = self;
        let (ids, more) = inner.ended(cluster, after).await?;
        for tx in &ids {
            if matches!(node.status(*tx).await, Ok(Status::Retired { .. })) {
                inner.forgotten(|forgotten, _| forgotten.add(TxRange::only(*tx)));
            }
        }
        Ok(ids.last().copied().filter(|_| more))
    }
}

async fn all_known(node: &Handle, held: impl Iterator<Item = TxId>) -> bool {
    for tx in held {
        if !is_known(node, tx).await {
            return false;
        }
    }
    true
}

impl Agent for Store {
    type Resource = StoreResource;

    const KIND: ResourceKind = ResourceKind::VotesElsewhere;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn resource(&self, cluster: ClusterId) -> Result<StoreResource, Cause> {
        self.check(cluster).await?;
        Ok(StoreResource::new(self.clone(), cluster))
    }

    fn may_come_back(&self, cause: &Cause) -> bool {
        cause.downcast_ref().is_some_and(Error::is_away)
    }

    async fn watch(self, cluster: ClusterId, node: Handle) {
        let mut turns = interval(self.0.options.sweep);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Where the walk is: at its beginning, after some transaction, or at its end.
        let (mut walk, mut seen) = (Some(None), BTreeMap::new());
        loop {
            turns.tick().await;
            self.0.alarms().settle(self.0.participant, &node).await;
            let result = async {
                self.sweep(cluster, &node).await?;
                self.unstage(cluster, &node, &mut seen).await?;
                self.clear(cluster).await?;
                for _ in 0..PAGES {
                    let Some(after) = walk else { break };
                    walk = self.walk(cluster, &node, after).await?.map(Some);
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = result.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(participant = %self.0.participant, error, "the store is looked at again later");
            }
        }
    }
}
