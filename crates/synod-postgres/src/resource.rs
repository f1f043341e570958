//! What votes for the database, and carries outcomes out in it.

use std::{sync::Arc, task::Poll};

use synod::{
    commit::{ClusterId, Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::tokio::{Progress, RecoverError, Resource},
};
use tokio_postgres::error::SqlState;

use crate::{
    Error, Gid, Kind, Postgres,
    database::Inner,
    fence::Key,
    look::{Found, look, prepared, row},
};

/// The resource of the node that stands for a database. Its votes are
/// [durable elsewhere](synod::commit::ResourceKind::VotesElsewhere): a prepared transaction is the vote.
#[derive(Debug)]
pub struct PostgresResource {
    postgres: Postgres,
    cluster: ClusterId,
}

impl PostgresResource {
    pub(crate) fn new(postgres: Postgres, cluster: ClusterId) -> Self {
        Self { postgres, cluster }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.postgres.0
    }

    fn gid(&self, transaction: &Transaction) -> Option<Gid> {
        match Gid::new(self.cluster, self.inner().participant, transaction.clone()) {
            Ok(gid) => Some(gid),
            Err(error) => {
                tracing::warn!(tx = %transaction.id(), %error, "no branch can be prepared for it");
                None
            }
        }
    }

    async fn look(&self, gid: &Gid) -> Result<Found, Error> {
        let client = self.inner().for_votes().await?;
        let found = client.answer("look for a branch", look(&client, gid)).await?;
        client.done();
        Ok(found)
    }

    /// Carries `outcome` out.
    async fn end(&self, transaction: &Transaction, outcome: Outcome) -> Progress {
        let tx = transaction.id();
        let Some(gid) = self.gid(transaction) else {
            // Nothing can have been prepared under a name that there is not.
            return if outcome == Outcome::Aborted { Progress::Finished } else { Progress::Later };
        };
        match self.carry_out(&gid, outcome).await {
            Ok(None) => {
                self.inner().clear(tx);
                // An application that holds its branch for longer than it is waited for does so in vain.
                self.inner().desk.ended(tx);
                Progress::Finished
            }
            Ok(Some(kind)) => {
                self.inner().raise(tx, outcome, kind);
                Progress::Again
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%tx, ?outcome, error, "not carried out yet, it is tried again");
                Progress::Again
            }
        }
    }

    /// Carries `outcome` out. What stands in the way for good is returned.
    async fn carry_out(&self, gid: &Gid, outcome: Outcome) -> Result<Option<Kind>, Error> {
        let client = self.inner().for_verdicts().await?;
        let verb = match outcome {
            Outcome::Committed => "COMMIT",
            Outcome::Aborted => "ROLLBACK",
        };
        let statement = format!("{verb} PREPARED '{gid}'");
        match (client.answer("end a prepared branch", client.batch_execute(&statement)).await, outcome) {
            (Ok(()), Outcome::Committed) => {
                client.done();
                return Ok(None);
            }
            (Ok(()), Outcome::Aborted) => {}
            (Err(error), _) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {}
            (Err(error), _) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                client.done();
                return Ok(Some(Kind::NotOurs));
            }
            // Somebody else is at it, or it cannot be reached, or may have done it.
            (Err(error), _) => return Err(error),
        }
        // It is not prepared (any more).
        let found = client.answer("look into its fence", row(&client, gid)).await?;
        let in_the_way = match (outcome, found) {
            (Outcome::Committed, Found::Work) | (Outcome::Aborted, Found::Tombstone) => None,
            (Outcome::Committed, Found::Tombstone) => Some(Kind::RolledBack),
            (Outcome::Committed, _) => Some(Kind::Lost),
            (Outcome::Aborted, Found::Work) => Some(Kind::Committed),
            (Outcome::Aborted, _) => {
                // From now on it cannot be prepared any more. If it is being prepared at this moment, this waits, and fails.
                let tombstone = "INSERT INTO synod.fence (branch, state) VALUES ($1, 't')";
                let (key, what) = (Key::of(gid), "make sure that a branch is never prepared");
                client.answer(what, client.execute(tombstone, &[&key.bytes()])).await?;
                None
            }
        };
        client.done();
        Ok(in_the_way)
    }
}

impl Resource for PostgresResource {
    /// Everything that is prepared is binding. Of what the node has promised, it is said what the database has lost.
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let (inner, client) = (self.inner(), self.inner().for_votes().await?);
        let found = prepared(&client, self.cluster, inner.participant, 0.0);
        let found = client.answer("list prepared branches", found).await?;
        for Promised { transaction, .. } in promised {
            if let Some(gid) = self.gid(transaction)
                && !found.iter().any(|(found, _)| *found == gid)
                && client.answer("look into its fence", row(&client, &gid)).await? == Found::Nothing
            {
                // Mostly it was rolled back, by its application or by an agent that died then. If it was not, that is an
                // alarm as soon as the outcome is known.
                tracing::warn!(
                    participant = %inner.participant,
                    tx = %transaction.id(),
                    "a branch that was promised is gone from the database: if it is not aborted, the database has lost it"
                );
            }
        }
        client.done();
        Ok(found.into_iter().map(|(_, transaction)| Promised::new(transaction, Meta::default())).collect())
    }

    /// Prepared is what is prepared, or was and is committed by now. All else is no vote: the node declines.
    async fn vote(&self, transaction: &Transaction, _: &Meta) -> Vote {
        let Some(gid) = self.gid(transaction) else { return Vote::Aborted };
        let _given = self.inner().votes_given.read().await;
        match self.look(&gid).await {
            Ok(Found::Prepared | Found::Work) => Vote::Prepared,
            Ok(Found::Tombstone | Found::Nothing) => Vote::Aborted,
            Ok(Found::NotOurs) => {
                tracing::error!(
                    participant = %self.inner().participant,
                    tx = %transaction.id(),
                    "declined: another role has prepared its branch, which the agent's could not end; give application and agent one \
                     role, or the agent a superuser's"
                );
                Vote::Aborted
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(tx = %transaction.id(), error, "the database cannot be asked, so the node declines");
                Vote::Aborted
            }
        }
    }

    /// What the application of this process has just seen prepared need not be looked for.
    fn vote_at_once(&self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
        // While the sweep reports something, this waits.
        let _given = self.inner().votes_given.try_read().ok()?;
        self.inner().desk.has(transaction.id()).then_some(Vote::Prepared)
    }

    /// What the application of this process has carried out, or is about to, need not be carried out.
    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress> {
        match self.inner().desk.done_at_once(transaction.id(), self.inner().options.hand_over) {
            Poll::Ready(Some(Outcome::Committed)) if outcome == Outcome::Committed => Some(Progress::Finished),
            Poll::Ready(_) => None,
            Poll::Pending => Some(Progress::Again),
        }
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        self.end(transaction, Outcome::Committed).await
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction, Outcome::Aborted).await
    }

    fn forget(&self, range: TxRange) {
        self.inner().forget(range);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synod::{NodeId, TxId};
    use synod_client::{Agent, Branch, Database};
    use synod_servers::{Options, Postgres as Server};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn nothing_is_voted_for_while_the_sweep_looks_and_reports()
    -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if Server::installed().is_none() {
            eprintln!("left out: PostgreSQL is not installed");
            return Ok(());
        }
        let server = Server::start(Options::default())?;
        server.sql("postgres", "CREATE TABLE work (number int)")?;
        let (cluster, left) = (ClusterId([9; 16]), NodeId(11));
        let postgres = Postgres::connect(&server.url("postgres"), left).await?;
        let resource = postgres.resource(cluster).await?;
        let transaction = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [left, NodeId(12)], [])?;
        let mut branch = postgres.open(None).await?;
        branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
        branch.prepare(cluster, &transaction).await?;
        let meta = Meta::default();
        let sweeping = postgres.0.votes_given.write().await;
        assert_eq!(resource.vote_at_once(&transaction, &meta), None);
        let early = timeout(Duration::from_millis(300), resource.vote(&transaction, &meta)).await;
        assert!(early.is_err(), "{early:?}: it could be committed before the node has heard the report");
        drop(sweeping);
        assert_eq!(resource.vote_at_once(&transaction, &meta), Some(Vote::Prepared));
        assert_eq!(resource.vote(&transaction, &meta).await, Vote::Prepared);
        branch.finish(Outcome::Aborted).await
    }
}
