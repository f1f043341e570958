//! What goes on beside the resource: branches that were left behind are ended, and rows of the fence cleared.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome, ResourceKind, Status},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    Error, Mysql, MysqlResource, Xid,
    fence::{Key, remove},
    look::{Carried, carry_out, is_prepared, prepared},
};

/// How many rows are looked at in one go, and how many times in one turn.
const PAGE: usize = 512;
const PAGES: usize = 64;

/// How many turns pass from one walk through the rows of lone commits to the next.
const WALK: u64 = 64;

/// A prepared branch that the sweep has come across.
#[derive(Clone, Copy)]
struct Seen {
    since: Instant,
    /// The log says already that nobody knows how it ended.
    is_told: bool,
}

/// What the sweep does with a prepared branch that has been left behind for too long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It is somebody's, or the node cannot say.
    Leave,
    /// The node has heard nothing of it, so no vote was given on it.
    RollBack,
    /// Its transaction is over, and ended like this if the node still knows. The database has gone back in time: it was
    /// restored from a backup, say, or did not flush its log before a crash.
    EndAgain(Option<Outcome>),
}

impl Mysql {
    /// Ends what was prepared a while ago and is left behind: its application is gone. If the node has heard nothing of the
    /// transaction, the branch is rolled back; if the transaction is over, the branch ends as the transaction did. The server
    /// does not say since when a branch is prepared, so `seen` remembers since when this agent has seen it.
    async fn sweep(&self, cluster: ClusterId, node: &Handle, seen: &mut BTreeMap<TxId, Seen>) -> Result<(), Error> {
        let Self(inner) = self;
        let mut conn = inner.for_votes().await?;
        let listed = prepared(&mut conn, cluster, inner.participant);
        let listed = inner.answer("list prepared branches", listed).await?;
        conn.done();
        let now = Instant::now();
        let new = Seen { since: now, is_told: false };
        *seen = listed.into_iter().map(|tx| (tx, *seen.get(&tx).unwrap_or(&new))).collect();
        for (tx, seen) in seen.iter_mut().filter(|(_, seen)| now - seen.since >= inner.options.patience) {
            // Votes need not wait for what is somebody's.
            if self.action(node, *tx).await == Action::Leave {
                continue;
            }
            // With this, no vote is under way: the node has heard of all that were asked for, and a later one finds the tombstone.
            let _none_given = inner.votes_given.write().await;
            let xid = Xid::new(cluster, inner.participant, *tx);
            match self.action(node, *tx).await {
                Action::Leave => {}
                Action::RollBack => {
                    if inner.roll_back(&xid).await? == Carried::Done {
                        let age = seen.since.elapsed();
                        tracing::info!(participant = %inner.participant, %tx, ?age, "a prepared branch was left behind: rolled back");
                    }
                }
                Action::EndAgain(outcome) => self.end_again(&xid, outcome, seen).await?,
            }
        }
        Ok(())
    }

    /// What is to be done with the branch of `tx`.
    async fn action(&self, node: &Handle, tx: TxId) -> Action {
        if self.0.desk.has(tx) {
            return Action::Leave;
        }
        match node.status(tx).await {
            Ok(Status::Unknown) => Action::RollBack,
            Ok(Status::Retired { outcome: Some(outcome) }) => Action::EndAgain(Some(outcome)),
            // Only transaction managers keep a history, but every node remembers what it has heard lately.
            Ok(Status::Retired { outcome: None }) => Action::EndAgain(node.outcome(tx).await.ok()),
            Ok(Status::Open { .. } | Status::Fenced(_)) | Err(_) => Action::Leave,
        }
    }

    /// Ends a branch of a transaction that is over as the transaction ended. If nobody knows how, the branch stays: to roll
    /// back here what is committed elsewhere cannot be undone.
    async fn end_again(&self, xid: &Xid, outcome: Option<Outcome>, seen: &mut Seen) -> Result<(), Error> {
        let (Self(inner), tx) = (self, xid.tx());
        let mut conn = inner.for_verdicts().await?;
        // The list is old by now: the branch may have ended, together with its transaction, since it was made.
        if !inner.answer("look for a branch", is_prepared(&mut conn, xid)).await? {
            conn.done();
            return Ok(());
        }
        let Some(outcome) = outcome else {
            conn.done();
            if !std::mem::replace(&mut seen.is_told, true) {
                tracing::error!(
                    participant = %inner.participant,
                    %tx,
                    "nobody knows how a prepared branch ended, though its transaction is over: it stays prepared until an operator ends it as the other databases did"
                );
            }
            return Ok(());
        };
        let carried = inner.answer("end a prepared branch again", carry_out(&mut conn, xid, outcome)).await?;
        conn.done();
        match carried {
            Carried::Done => {
                inner.clear(tx);
                inner.desk.ended(tx);
                tracing::warn!(
                    participant = %inner.participant,
                    %tx,
                    ?outcome,
                    "a branch was prepared though its transaction is over: it has ended again as the transaction did; has the database gone back in time?"
                );
            }
            Carried::Held => {}
            Carried::Wrong(kind) => inner.raise(tx, outcome, kind),
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

    /// Deletes a page of rows of branches that were committed by themselves long ago, from `after` on. Returns where to go on;
    /// at the end, nothing.
    async fn clear_alone(&self, after: &Key) -> Result<Option<Key>, Error> {
        let Self(inner) = self;
        let mut conn = inner.for_verdicts().await?;
        let rows = format!(
            "SELECT branch FROM synod_fence WHERE branch > {} AND branch <= {} AND OCTET_LENGTH(branch) = 41 \
             AND made < CURRENT_TIMESTAMP(6) - INTERVAL {} SECOND ORDER BY branch LIMIT {PAGE}",
            after.literal(),
            Key::prefix(ClusterId([0; 16]), inner.participant).last().literal(),
            inner.keep(),
        );
        let old: Vec<Vec<u8>> = inner.answer("read its fence", conn.query(rows)).await?;
        let mut old: Vec<Key> = old.into_iter().map(Key::from_bytes).collect();
        if !old.is_empty() {
            inner.answer("clear its fence", remove(&mut conn, &old)).await?;
        }
        conn.done();
        let is_full = old.len() == PAGE;
        Ok(old.pop().filter(|_| is_full))
    }
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
        // Where the walk through the rows of lone commits is; nothing, when it is over.
        let mut alone = None;
        for turn in 0_u64.. {
            turns.tick().await;
            if turn % WALK == 0 && alone.is_none() {
                alone = Some(Key::prefix(ClusterId([0; 16]), self.0.participant));
            }
            self.0.alarms.settle(self.0.participant, &node).await;
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
                // What a turn does not get to is the next one's: branches are swept in between.
                for _ in 0..PAGES {
                    let Some(last) = &alone else { break };
                    alone = self.clear_alone(last).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = result.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(participant = %self.0.participant, error, "the database is looked at again later");
            }
        }
    }
}
