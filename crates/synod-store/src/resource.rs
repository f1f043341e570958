//! What votes for the store, and has it carry outcomes out.

use synod::{
    TxId,
    commit::{ClusterId, Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::tokio::{Progress, RecoverError, Resource},
};
use synod_client::{Alarm, Kind};

use crate::{
    Store,
    store::{End, Inner},
};

/// The resource of the node that stands for a store. Its votes are
/// [durable in the store](synod::commit::ResourceKind::VotesElsewhere).
#[derive(Clone, Debug)]
pub struct StoreResource {
    store: Store,
    cluster: ClusterId,
}

impl StoreResource {
    pub(crate) fn new(store: Store, cluster: ClusterId) -> Self {
        Self { store, cluster }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.store.0
    }

    async fn end(&self, tx: TxId, outcome: Outcome) -> Progress {
        let inner = self.inner();
        let ended = match outcome {
            Outcome::Committed => inner.commit(self.cluster, tx).await,
            Outcome::Aborted => inner.abort(self.cluster, tx).await,
        };
        let kind = match ended {
            Ok(End::Done) => {
                inner.alarms().clear(inner.participant, tx);
                return Progress::Finished;
            }
            Ok(End::Lost) => Kind::Lost,
            Ok(End::Otherwise) if outcome == Outcome::Committed => Kind::RolledBack,
            Ok(End::Otherwise) => Kind::Committed,
            Err(error) => {
                let (participant, error) = (inner.participant, &error as &dyn std::error::Error);
                tracing::warn!(%participant, %tx, ?outcome, error, "not carried out yet, it is tried again");
                return Progress::Again;
            }
        };
        inner.alarms().raise(inner.participant, Alarm::new(tx, outcome, kind));
        Progress::Again
    }
}

impl Resource for StoreResource {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let _none_given = self.inner().votes_given.write().await;
        Ok(self.inner().prepared(self.cluster).await?)
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        let inner = self.inner();
        let _given = inner.votes_given.read().await;
        match inner.prepare(self.cluster, transaction, meta).await {
            Ok(vote) => vote,
            Err(error) => {
                let (participant, tx) = (inner.participant, transaction.id());
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%participant, %tx, error, "the store has not promised anything, so it declines");
                Vote::Aborted
            }
        }
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        self.end(transaction.id(), Outcome::Committed).await
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted).await
    }

    fn forget(&self, range: TxRange) {
        self.inner().forgotten(|forgotten, _| forgotten.add(range));
    }
}
