//! What goes on beside the resource: a branch that was left behind is found, and marks are cleared.

use std::{collections::BTreeMap, time::Duration};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, ResourceKind, Status},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause, is_known};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Error, Sqlite, SqliteResource,
    fence::{self, Found},
};

/// How many marks are looked at in one go.
const PAGE: u32 = 512;

impl Sqlite {
    /// Reports to the node what was left prepared, and is of no concern to anybody here. `seen` remembers since when.
    async fn sweep(&self, node: &Handle, seen: &mut BTreeMap<TxId, Instant>) -> Result<(), Error> {
        let Self(inner) = self;
        let (listed, now) = (inner.look(fence::prepared).await?, Instant::now());
        *seen = listed.iter().map(|listed| (listed.id(), *seen.get(&listed.id()).unwrap_or(&now))).collect();
        for transaction in listed {
            let tx = transaction.id();
            let is_old = seen.get(&tx).is_some_and(|since| since.elapsed() >= inner.options.patience);
            if !is_old || inner.desk.has(tx) || is_known(node, tx).await {
                continue;
            }
            // What is reported must still be prepared, and stay so until the node has heard of it. What was voted for before this
            // the node knows of, and nothing is voted for meanwhile.
            let _none_given = inner.votes_given.write().await;
            let look = move |db: &_, path: &_| {
                fence::look(db, tx).map_err(|source| Error::at(path, "look for a branch", source))
            };
            if is_known(node, tx).await || inner.look(look).await? != Found::Prepared {
                continue;
            }
            tracing::info!(participant = %inner.participant, %tx, "a prepared branch was left behind: asking how it ended");
            if let Err(error) = node.prepared(transaction, Meta::default()).await {
                tracing::error!(participant = %inner.participant, %tx, %error, "nobody knows how a prepared branch ended");
            }
        }
        Ok(())
    }

    /// Deletes marks whose transactions are over everywhere, from `after` on. Returns where to go on; at the end, at the beginning.
    async fn clear(&self, node: &Handle, after: String) -> Result<String, Error> {
        let Self(inner) = self;
        let keep = inner.options.keep.as_secs();
        let page = move |db: &_, path: &_| {
            fence::page(db, &after, keep, PAGE).map_err(|source| Error::at(path, "read its marks", source))
        };
        let (page, mut over) = (inner.look(page).await?, Vec::new());
        for (name, may_go) in &page {
            if *may_go
                && let Ok(tx) = name.parse()
                && matches!(node.status(tx).await, Ok(Status::Retired { .. }))
            {
                over.push(name.clone());
            }
        }
        if !over.is_empty() {
            inner.write(move |db, path| fence::remove(db, path, &over)).await?;
        }
        Ok(page.into_iter().nth(PAGE as usize - 1).map(|(name, _)| name).unwrap_or_default())
    }
}

impl Agent for Sqlite {
    type Resource = SqliteResource;

    const KIND: ResourceKind = ResourceKind::VotesElsewhere;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn resource(&self, cluster: ClusterId) -> Result<SqliteResource, Cause> {
        self.0.join(cluster).await?;
        Ok(SqliteResource(self.clone()))
    }

    fn may_come_back(&self, cause: &Cause) -> bool {
        cause.downcast_ref().is_some_and(Error::is_away)
    }

    async fn watch(self, _: ClusterId, node: Handle) {
        let mut turns = interval(self.0.options.sweep.max(Duration::from_millis(10)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut after) = (BTreeMap::new(), String::new());
        loop {
            turns.tick().await;
            self.0.alarms.settle(self.0.participant, &node).await;
            let result = async {
                self.sweep(&node, &mut seen).await?;
                after = self.clear(&node, std::mem::take(&mut after)).await?;
                Ok::<_, Error>(())
            };
            if let Err(error) = result.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(participant = %self.0.participant, error, "the file is looked at again later");
            }
        }
    }
}
