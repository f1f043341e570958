//! What goes on beside the resource: branches that were left behind are found, and rows of the fence cleared.

use synod::{
    NodeId,
    commit::{ClusterId, Meta, ResourceKind, Status},
    perform::tokio::Handle,
};
use synod_client::{Agent, Cause};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Error, Postgres, PostgresResource,
    fence::Key,
    look::{Found, look, prepared},
};

/// The rows of a range that may go. A tombstone stays as long as any transaction is open that is older: it may be about to
/// prepare what the tombstone forbids. Where it cannot be seen how old others are, it stays for a day.
const CLEAR: &str = "DELETE FROM synod.fence WHERE branch BETWEEN $1 AND $2 AND (state = 'w' \
    OR made < (SELECT CASE WHEN bool_or(state IS NULL OR state = 'disabled') THEN now() - interval '1 day' \
    ELSE coalesce(min(xact_start), now()) END \
    FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' \
    AND pid <> pg_backend_pid()))";

impl Postgres {
    /// Reports to the node what was left prepared, and is of no concern to anybody here.
    async fn sweep(&self, cluster: ClusterId, node: &Handle) -> Result<(), Error> {
        let Self(inner) = self;
        let failed =
            |source| Error::Statement { participant: inner.participant, what: "list prepared branches", source };
        let client = inner.for_votes().await?;
        let age = inner.options.patience.as_secs_f64();
        for gid in prepared(&client, cluster, inner.participant, age).await.map_err(failed)? {
            let tx = gid.transaction().id();
            let is_known = matches!(node.status(tx).await, Ok(Status::Open { .. } | Status::Fenced(_)) | Err(_));
            // The list is old by now: what is reported must still be prepared.
            if is_known || inner.desk.has(tx) || look(&client, &gid).await.map_err(failed)? != Found::Prepared {
                continue;
            }
            tracing::info!(participant = %inner.participant, %tx, "a prepared branch was left behind: asking how it ended");
            if let Err(error) = node.prepared(gid.transaction().clone(), Meta::default()).await {
                tracing::error!(participant = %inner.participant, %tx, %error, "nobody knows how a prepared branch ended");
            }
        }
        Ok(())
    }

    /// Deletes rows that nobody needs any more.
    async fn clear(&self, cluster: ClusterId) -> Result<(), Error> {
        let Self(inner) = self;
        let failed = |source| Error::Statement { participant: inner.participant, what: "clear its fence", source };
        let due = inner.forgotten(|forgotten| forgotten.take());
        for (at, range) in due.iter().enumerate() {
            let cleared = async {
                let client = inner.for_verdicts().await?;
                let (first, last) = Key::range(cluster, inner.participant, *range);
                let clear = client.prepare_cached(CLEAR).await.map_err(failed)?;
                client.execute(&clear, &[&first.bytes(), &last.bytes()]).await.map_err(failed)?;
                let left = "SELECT EXISTS (SELECT FROM synod.fence WHERE branch BETWEEN $1 AND $2)";
                let left = client.prepare_cached(left).await.map_err(failed)?;
                Ok(client.query_one(&left, &[&first.bytes(), &last.bytes()]).await.map_err(failed)?.get(0))
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

    /// Deletes the rows of branches that were committed by themselves long ago.
    async fn clear_alone(&self) -> Result<(), Error> {
        let Self(inner) = self;
        let failed = |source| Error::Statement { participant: inner.participant, what: "clear its fence", source };
        let client = inner.for_verdicts().await?;
        // Whoever has lost the answer asks for as long as that.
        let keep = inner.options.keep.max(inner.options.wait);
        let prefix = [&[0; 16][..], &inner.participant.0.to_be_bytes()].concat();
        let clear = "DELETE FROM synod.fence WHERE branch BETWEEN $1 AND $1 || '\\xffffffffffffffffffffffffffffffffff' \
            AND octet_length(branch) = 41 AND made < now() - make_interval(secs => $2)";
        client.execute(clear, &[&prefix, &keep.as_secs_f64()]).await.map_err(failed)?;
        Ok(())
    }
}

impl Agent for Postgres {
    type Resource = PostgresResource;

    const KIND: ResourceKind = ResourceKind::VotesElsewhere;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn resource(&self, cluster: ClusterId) -> Result<PostgresResource, Cause> {
        self.0.bind(cluster)?;
        self.check().await?;
        Ok(PostgresResource::new(self.clone(), cluster))
    }

    async fn watch(self, cluster: ClusterId, node: Handle) {
        let mut turns = interval(self.0.options.sweep);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0_u64.. {
            turns.tick().await;
            let result = async {
                self.sweep(cluster, &node).await?;
                self.clear(cluster).await?;
                if turn % 64 == 0 { self.clear_alone().await } else { Ok(()) }
            };
            if let Err(error) = result.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(participant = %self.0.participant, error, "the database is looked at again later");
            }
        }
    }
}
