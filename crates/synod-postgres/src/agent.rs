//! What goes on beside the resource: branches that were left behind are found, and rows of the fence cleared.

use deadpool_postgres::Object;
use synod::{
    NodeId,
    commit::{ClusterId, Meta, ResourceKind, Status},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause, is_known};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Error, Postgres, PostgresResource,
    fence::Key,
    look::{Found, look, names, prepared},
};

/// The rows that may go, of those named. A tombstone, and a list of participants, stays as long as any transaction is open that is older:
/// it may be about to prepare what the tombstone forbids, or the list is about. Where it cannot be seen how old others are, it stays for a day.
macro_rules! clear {
    (fence, $which:literal) => {
        clear!("fence", $which, "state = 'w' OR ")
    };
    (participants, $which:literal) => {
        clear!("participants", $which, "")
    };
    ($table:literal, $which:literal, $or:literal) => {
        concat!(
            "DELETE FROM synod.",
            $table,
            " WHERE ",
            $which,
            " AND (",
            $or,
            "made < (SELECT CASE WHEN bool_or(state IS NULL OR state = 'disabled') THEN now() - interval '1 day' \
             ELSE coalesce(min(xact_start), now()) END \
             FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' \
             AND pid <> pg_backend_pid()))"
        )
    };
}

/// A page of rows, in order.
const ROWS: &str = "(SELECT branch FROM synod.fence WHERE branch > $1 AND branch <= $2 AND octet_length(branch) = 40 \
    ORDER BY branch LIMIT $3) UNION \
    (SELECT branch FROM synod.participants WHERE branch > $1 AND branch <= $2 ORDER BY branch LIMIT $3) \
    ORDER BY branch LIMIT $3";

/// Of a page of rows of branches that were committed by themselves, those that are old go. Its last key, and how many it had.
const CLEAR_ALONE: &str = "WITH page AS MATERIALIZED (\
    SELECT branch, made FROM synod.fence WHERE branch > $1 AND branch <= $2 AND octet_length(branch) = 41 \
    ORDER BY branch LIMIT $3), \
    gone AS (DELETE FROM synod.fence f USING page p \
    WHERE f.branch = p.branch AND p.made < now() - make_interval(secs => $4)) \
    SELECT (SELECT branch FROM page ORDER BY branch DESC LIMIT 1), (SELECT count(*) FROM page)";

/// How many of those there are in a page.
const ALONE: i64 = 8_192;

/// How many rows are looked at in one go, and how many times in one turn.
const PAGE: usize = 512;
const PAGES: usize = 16;

/// How many turns pass from one walk through the fence to the next.
const WALK: u64 = 64;

impl Postgres {
    /// Reports to the node what was left prepared, and is of no concern to anybody here.
    async fn sweep(&self, cluster: ClusterId, node: &Handle) -> Result<(), Error> {
        let Self(inner) = self;
        let client = inner.for_votes().await?;
        let age = inner.options.patience.as_secs_f64();
        let listed = prepared(&client, cluster, inner.participant, age);
        let listed = client.answer("list prepared branches", listed).await?;
        client.done();
        for (gid, transaction) in listed {
            let tx = gid.tx();
            if inner.desk.has(tx) || is_known(node, tx).await {
                continue;
            }
            // The list is old by now: what is reported must still be prepared, and stay so until the node has heard of it.
            // What was voted for before this the node knows of, and nothing is voted for meanwhile.
            let _none_given = inner.votes_given.write().await;
            if is_known(node, tx).await {
                continue;
            }
            // Not before: a vote that is waited for may wait for a connection.
            let client = inner.for_votes().await?;
            let found = client.answer("look for a branch", look(&client, &gid)).await?;
            client.done();
            if !matches!(found, Found::Prepared | Found::NotOurs) {
                continue;
            }
            tracing::info!(participant = %inner.participant, %tx, "a prepared branch was left behind: asking how it ended");
            if let Err(error) = node.prepared(transaction, Meta::default()).await {
                tracing::error!(participant = %inner.participant, %tx, %error, "nobody knows how a prepared branch ended");
            }
        }
        Ok(())
    }

    /// Deletes the rows that the node says are not needed any more.
    async fn clear(&self, cluster: ClusterId) -> Result<(), Error> {
        let Self(inner) = self;
        let due = inner.forgotten(|forgotten| forgotten.take());
        for (at, range) in due.iter().enumerate() {
            let (first, last) = Key::range(cluster, inner.participant, *range);
            let cleared = async {
                let client = inner.for_verdicts().await?;
                let left = client.answer("clear its fence", clear_range(&client, &first, &last)).await?;
                client.done();
                Ok(left)
            };
            match cleared.await {
                Ok(false) => {}
                Ok(true) => inner.forgotten(|forgotten| forgotten.put_back(*range)),
                Err(error) => {
                    inner.forgotten(|forgotten| due[at..].iter().for_each(|range| forgotten.put_back(*range)));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Deletes rows whose transactions are over, from `after` on, a page of them: what was due when an agent ended is told by
    /// nobody any more. Returns where to go on; at the end, nothing.
    async fn walk(&self, cluster: ClusterId, node: &Handle, after: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Self(inner) = self;
        let client = inner.for_verdicts().await?;
        let (_, end) = Key::all(cluster, inner.participant);
        let rows = async {
            let rows = client.prepare_cached(ROWS).await?;
            client.query(&rows, &[&after, &&end[..], &(PAGE as i64)]).await
        };
        let rows = client.answer("read its fence", rows).await?;
        let keys: Vec<Vec<u8>> = rows.iter().map(|row| row.get(0)).collect();
        let mut over = Vec::new();
        for key in &keys {
            if let Some(tx) = Key::tx(key)
                && matches!(node.status(tx).await, Ok(Status::Retired { .. }))
            {
                over.push(&key[..]);
            }
        }
        if !over.is_empty() {
            // What a restore has brought back prepared needs its rows, though it is over.
            let prepared = names(&client, cluster, inner.participant, 0.0);
            let prepared = client.answer("list prepared branches", prepared).await?;
            over.retain(|key| !prepared.iter().any(|gid| Key::of(gid).bytes() == *key));
            let clear = async {
                client.execute(clear!(fence, "branch = ANY($1)"), &[&over]).await?;
                client.execute(clear!(participants, "branch = ANY($1)"), &[&over]).await
            };
            client.answer("clear its fence", clear).await?;
        }
        client.done();
        Ok(keys.last().filter(|_| keys.len() == PAGE).cloned())
    }

    /// Deletes the rows of branches that were committed by themselves long ago, from `after` on, a page of rows: all at once they may
    /// be more than can be deleted in time. Returns where to go on; at the end, nothing.
    async fn clear_alone(&self, after: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Self(inner) = self;
        let client = inner.for_verdicts().await?;
        // Whoever has lost the answer asks for as long as that.
        let keep = inner.options.keep.max(inner.options.wait).as_secs_f64();
        let end = [&self.alone()[..], &[0xff; 17]].concat();
        let cleared = async {
            let clear = client.prepare_cached(CLEAR_ALONE).await?;
            client.query_one(&clear, &[&after, &end, &ALONE, &keep]).await
        };
        let row = client.answer("clear its fence", cleared).await?;
        client.done();
        let (last, rows): (Option<Vec<u8>>, i64) = (row.get(0), row.get(1));
        Ok(last.filter(|_| rows == ALONE))
    }

    /// What is before all keys of branches that were committed by themselves.
    fn alone(&self) -> Vec<u8> {
        [&[0; 16][..], &self.0.participant.0.to_be_bytes()].concat()
    }
}

/// Deletes the rows of a range. (Lists of participants are few, and wait for the next walk.) Returns whether some could not go yet.
async fn clear_range(client: &Object, first: &Key, last: &Key) -> Result<bool, tokio_postgres::Error> {
    let clear = client.prepare_cached(clear!(fence, "branch BETWEEN $1 AND $2")).await?;
    client.execute(&clear, &[&first.bytes(), &last.bytes()]).await?;
    let left = "SELECT EXISTS (SELECT FROM synod.fence WHERE branch BETWEEN $1 AND $2)";
    let left = client.prepare_cached(left).await?;
    Ok(client.query_one(&left, &[&first.bytes(), &last.bytes()]).await?.get(0))
}

impl Agent for Postgres {
    type Resource = PostgresResource;

    const KIND: ResourceKind = ResourceKind::VotesElsewhere;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn resource(&self, cluster: ClusterId) -> Result<PostgresResource, Cause> {
        // Branches may hold all other connections, and wait for what this agent is to end.
        self.0.check(self.0.for_votes().await?).await?;
        self.0.bind(cluster, true).await?;
        Ok(PostgresResource::new(self.clone(), cluster))
    }

    fn may_come_back(&self, cause: &Cause) -> bool {
        cause.downcast_ref().is_some_and(Error::is_away)
    }

    async fn watch(self, cluster: ClusterId, node: Handle) {
        let mut turns = interval(self.0.options.sweep);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Where the walks through the fence are; nothing, when they are over.
        let (start, _) = Key::all(cluster, self.0.participant);
        let (mut after, mut alone) = (None, None);
        for turn in 0_u64.. {
            turns.tick().await;
            if turn % WALK == 0 {
                after.get_or_insert_with(|| start.clone());
                alone.get_or_insert_with(|| self.alone());
            }
            self.0.alarms.settle(self.0.participant, &node).await;
            let result = async {
                self.sweep(cluster, &node).await?;
                self.clear(cluster).await?;
                for _ in 0..PAGES {
                    let Some(last) = &after else { break };
                    after = self.walk(cluster, &node, last).await?;
                }
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
