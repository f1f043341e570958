//! What votes for a file, and carries outcomes out in it.

use std::{sync::Arc, task::Poll};

use synod::{
    TxId,
    commit::{Meta, Outcome, Promised, Transaction, Vote},
    perform::tokio::{Progress, RecoverError, Resource},
};

use super::{
    Error, Sqlite,
    database::Inner,
    fence::{self, Found},
};

/// The resource of the node that stands for a file. Its votes are
/// [durable elsewhere](synod::commit::ResourceKind::VotesElsewhere): what is written into `synod_prepared` is the vote.
#[derive(Debug)]
pub struct SqliteResource(pub(crate) Sqlite);

impl SqliteResource {
    fn inner(&self) -> &Arc<Inner> {
        &self.0.0
    }

    async fn found(&self, tx: TxId) -> Result<Found, Error> {
        let look =
            move |db: &_, path: &_| fence::look(db, tx).map_err(|source| Error::at(path, "look for a branch", source));
        self.inner().look(look).await
    }

    async fn end(&self, tx: TxId, outcome: Outcome) -> Progress {
        match self.inner().carry_out(tx, outcome).await {
            Ok(None) => {
                self.inner().clear(tx);
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
}

impl Resource for SqliteResource {
    /// Everything that is prepared is binding. Of what the node has promised, it is said what the file has lost.
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let found = self.inner().look(fence::prepared).await?;
        for Promised { transaction, .. } in promised {
            let tx = transaction.id();
            if self.found(tx).await? == Found::Nothing {
                // Mostly it was rolled back. If it was not, that is an alarm as soon as the outcome is known.
                let participant = self.inner().participant;
                tracing::warn!(
                    %participant,
                    %tx,
                    "a branch that was promised is gone from the file: if it is not aborted, the file has lost it"
                );
            }
        }
        Ok(found.into_iter().map(|transaction| Promised::new(transaction, Meta::default())).collect())
    }

    /// Prepared is what is prepared, or was and is committed by now. All else is no vote: the node declines.
    async fn vote(&self, transaction: &Transaction, _: &Meta) -> Vote {
        let tx = transaction.id();
        let _given = self.inner().votes_given.read().await;
        match self.found(tx).await {
            Ok(Found::Prepared | Found::Work) => Vote::Prepared,
            Ok(Found::Tombstone | Found::Nothing) => Vote::Aborted,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%tx, error, "the file cannot be read, so the node declines");
                Vote::Aborted
            }
        }
    }

    /// What the application of this process has just prepared need not be looked for.
    fn vote_at_once(&self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
        // While the sweep reports something, this waits.
        let _given = self.inner().votes_given.try_read().ok()?;
        self.inner().desk.has(transaction.id()).then_some(Vote::Prepared)
    }

    /// What the application of this process has carried out, or is about to, need not be carried out.
    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress> {
        match self.inner().desk.done_at_once(transaction.id(), self.inner().options.hand_over) {
            Poll::Ready(Some(done)) if done == outcome => Some(Progress::Finished),
            Poll::Ready(_) => None,
            Poll::Pending => Some(Progress::Again),
        }
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        self.end(transaction.id(), Outcome::Committed).await
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted).await
    }
}
