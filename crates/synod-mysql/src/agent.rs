//! What goes on beside the resource: branches that were left behind are rolled back, and rows of the fence cleared.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use synod::{
    NodeId, TxId,
    commit::{ClusterId, ResourceKind, Status},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    Error, Mysql, MysqlResource, Xid,
    fence::{Key, remove},
    look::{Carried, prepared},
};

/// How many rows are looked at in one go, and how many times in one turn.
const PAGE: usize = 512;
const PAGES: usize = 64;

impl Mysql {
    /// Rolls back what was prepared a while ago, and what nobody here has heard of: its application is gone. The server does
    /// not say since when it is prepared, so `seen` remembers since when this agent has seen it.
    async fn sweep(&self, cluster: ClusterId, node: &Handle, seen: &mut BTreeMap<TxId, Instant>) -> Result<(), Error> {
        let Self(inner) = self;
        let mut conn = inner.for_votes().await?;
        let listed = prepared(&mut conn, cluster, inner.participant);
        let listed = inner.answer("list prepared branches", listed).await?;
        conn.done();
        let now = Instant::now();
        *seen = listed.into_iter().map(|tx| (tx, *seen.get(&tx).unwrap_or(&now))).collect();
        for (tx, since) in seen.iter().filter(|(_, since)| now - **since >= inner.options.patience) {
            // Votes need not wait for what is somebody's.
            if inner.desk.has(*tx) || !is_unknown(node, *tx).await {
                continue;
            }
            // With this, no vote is under way: the node has heard of all that were asked for, and a later one finds the tombstone.
            let _none_given = inner.votes_given.write().await;
            if inner.desk.has(*tx) || !is_unknown(node, *tx).await {
                continue;
            }
            let xid = Xid::new(cluster, inner.participant, *tx);
            if inner.roll_back(&xid).await? == Carried::Done {
                let age = since.elapsed();
                tracing::info!(participant = %inner.participant, %tx, ?age, "a prepared branch was left behind: rolled back");
            }
        }
        Ok(())
    }

    /// Deletes rows whose transactions are over everywhere, from `after` on. Returns where to go on; at the end, nothing.
    async fn clear(&self, cluster: ClusterId, node: &Handle, after: &Key) -> Result<Option<Key>, Error> {
        let Self(inner) = self;
        let mut conn = inner.for_verdicts().await?;
        let rows = format!(
            "SELECT branch, state = 'w' OR made < CURRENT_TIMESTAMP(6) - INTERVAL {keep} SECOND FROM synod_fence \
             WHERE branch > {} AND branch <= {} ORDER BY branch LIMIT {PAGE}",
            after.literal(),
            Key::prefix(cluster, inner.participant).last().literal(),
            keep = inner.keep(),
        );
        let rows: Vec<(Vec<u8>, bool)> = inner.answer("read its fence", conn.query(rows)).await?;
        let (mut last, mut over, is_full) = (None, Vec::new(), rows.len() == PAGE);
        for (key, may_go) in rows {
            let key = Key::from_bytes(key);
            if may_go
                && let Some(tx) = key.tx()
                && matches!(node.status(tx).await, Ok(Status::Retired { .. }))
            {
                over.push(key.clone());
            }
            last = Some(key);
        }
        if !over.is_empty() {
            inner.answer("clear its fence", remove(&mut conn, &over)).await?;
        }
        conn.done();
        Ok(last.filter(|_| is_full))
    }

    /// Deletes the rows of branches that were committed by themselves long ago.
    async fn clear_alone(&self) -> Result<(), Error> {
        let Self(inner) = self;
        let prefix = Key::prefix(ClusterId([0; 16]), inner.participant);
        let rows = format!(
            "SELECT branch FROM synod_fence WHERE branch BETWEEN {} AND {} AND OCTET_LENGTH(branch) = 41 \
             AND made < CURRENT_TIMESTAMP(6) - INTERVAL {} SECOND LIMIT {PAGE}",
            prefix.literal(),
            prefix.clone().last().literal(),
            inner.keep(),
        );
        let mut conn = inner.for_verdicts().await?;
        for _ in 0..PAGES {
            let old: Vec<Vec<u8>> = inner.answer("read its fence", conn.query(&*rows)).await?;
            let old: Vec<Key> = old.into_iter().map(Key::from_bytes).collect();
            inner.answer("clear its fence", remove(&mut conn, &old)).await?;
            if old.len() < PAGE {
                break;
            }
        }
        conn.done();
        Ok(())
    }
}

/// Whether the node has heard nothing of `tx` that is not over.
async fn is_unknown(node: &Handle, tx: TxId) -> bool {
    matches!(node.status(tx).await, Ok(Status::Unknown | Status::Retired { .. }))
}

impl Agent for Mysql {
    type Resource = MysqlResource;

    const KIND: ResourceKind = ResourceKind::VotesHere;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn resource(&self, cluster: ClusterId) -> Result<MysqlResource, Cause> {
        self.check().await?;
        self.0.bind(cluster, true).await?;
        Ok(MysqlResource::new(self.clone(), cluster))
    }

    fn may_come_back(&self, cause: &Cause) -> bool {
        cause.downcast_ref().is_some_and(Error::is_away)
    }

    async fn watch(self, cluster: ClusterId, node: Handle) {
        let mut turns = interval(self.0.options.sweep);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, first) = (BTreeMap::new(), Key::prefix(cluster, self.0.participant));
        let mut after = first.clone();
        for turn in 0_u64.. {
            turns.tick().await;
            let result = async {
                self.sweep(cluster, &node, &mut seen).await?;
                for _ in 0..PAGES {
                    match self.clear(cluster, &node, &after).await? {
                        Some(last) => after = last,
                        None => {
                            after = first.clone();
                            break;
                        }
                    }
                }
                if turn % 64 == 0 { self.clear_alone().await } else { Ok(()) }
            };
            if let Err(error) = result.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(participant = %self.0.participant, error, "the database is looked at again later");
            }
        }
    }
}
