//! What votes for the database, and carries outcomes out in it.

use std::{collections::BTreeSet, sync::Arc};

use synod::{
    TxId,
    commit::{ClusterId, Meta, Outcome, Promised, Transaction, Vote},
    perform::tokio::{Progress, RecoverError, Resource},
};
use tokio::time::timeout;

use crate::{
    Error, Mysql, Xid,
    database::Inner,
    fence::{Key, Row, bar, row},
    look::{Carried, carry_out, is_prepared, prepared},
};

/// How often a vote looks, when a branch's row is being written.
const LOOKS: usize = 4;

/// The resource of the node that stands for a database. Its votes are
/// [recorded by the node](synod::commit::ResourceKind::VotesHere): a prepared XA transaction does not say who takes part, so
/// by itself it is no vote.
#[derive(Debug)]
pub struct MysqlResource {
    mysql: Mysql,
    cluster: ClusterId,
}

impl MysqlResource {
    pub(crate) fn new(mysql: Mysql, cluster: ClusterId) -> Self {
        Self { mysql, cluster }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.mysql.0
    }

    fn xid(&self, tx: TxId) -> Xid {
        Xid::new(self.cluster, self.inner().participant, tx)
    }

    /// What the vote is; nothing, if the branch is being prepared at this moment. A vote to abort leaves a tombstone first, so
    /// that the branch is not prepared later.
    async fn look(&self, xid: &Xid) -> Result<Option<Vote>, Error> {
        let (inner, mut conn) = (self.inner(), self.inner().for_votes().await?);
        let found = async {
            if is_prepared(&mut conn, xid).await? {
                return Ok(Some(Vote::Prepared));
            }
            Ok(match bar(&mut conn, &Key::of(xid)).await? {
                Some(Row::Work) => Some(Vote::Prepared),
                Some(Row::Tombstone) => Some(Vote::Aborted),
                Some(Row::Nothing) | None => None,
            })
        };
        let found = inner.answer("look for a branch", found).await?;
        conn.done();
        Ok(found)
    }

    /// Carries `outcome` out, if the application of this process does not.
    async fn end(&self, tx: TxId, outcome: Outcome) -> Progress {
        let done = timeout(self.inner().options.hand_over, self.inner().desk.done(tx)).await;
        if outcome == Outcome::Committed && done == Ok(Some(Outcome::Committed)) {
            return Progress::Finished;
        }
        match self.carry_out(&self.xid(tx), outcome).await {
            Ok(Carried::Done) => {
                self.inner().clear(tx);
                self.inner().desk.ended(tx);
                Progress::Finished
            }
            Ok(Carried::Held) => Progress::Again,
            Ok(Carried::Wrong(kind)) => {
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

    async fn carry_out(&self, xid: &Xid, outcome: Outcome) -> Result<Carried, Error> {
        let mut conn = self.inner().for_verdicts().await?;
        let carried = carry_out(&mut conn, xid, outcome);
        let carried = self.inner().answer("end a prepared branch", carried).await?;
        conn.done();
        Ok(carried)
    }

    /// Says what was promised, and is gone. Whether it is lost shows when its outcome comes.
    async fn miss(&self, promised: &BTreeSet<TxId>, held: &[TxId]) -> Result<(), Error> {
        let (inner, mut conn) = (self.inner(), self.inner().for_votes().await?);
        for tx in promised.iter().filter(|tx| !held.contains(tx)) {
            let key = Key::of(&self.xid(*tx));
            if inner.answer("look into its fence", row(&mut conn, &key)).await? == Row::Nothing {
                // Most likely it is aborted: an application that rolls back what it has prepared leaves no row.
                tracing::warn!(
                    participant = %inner.participant,
                    %tx,
                    "a promised branch is no longer in the database: rolled back by its application, or lost, which is an alarm if it is to be committed"
                );
            }
        }
        conn.done();
        Ok(())
    }
}

impl Resource for MysqlResource {
    /// Rolls back what was promised to nobody. What a connection of an application still holds is left to the sweep.
    ///
    /// Unlike the sweep, this cannot ask the node whether a transaction is over and committed. So in a database that has gone
    /// back in time it rolls back what is prepared again: the log says which branches those were.
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let inner = self.inner();
        let promised: BTreeSet<TxId> = promised.iter().map(|promised| promised.transaction.id()).collect();
        let _none_given = inner.votes_given.write().await;
        let mut conn = inner.for_votes().await?;
        let held = prepared(&mut conn, self.cluster, inner.participant);
        let held = inner.answer("list prepared branches", held).await?;
        conn.done();
        for tx in held.iter().filter(|tx| !promised.contains(tx) && !inner.desk.has(**tx)) {
            let carried = inner.roll_back(&self.xid(*tx)).await?;
            tracing::warn!(participant = %inner.participant, %tx, ?carried, "a prepared branch was promised to nobody: rolled back");
        }
        self.miss(&promised, &held).await?;
        Ok(Vec::new())
    }

    /// Prepared is what is prepared, or was and is committed by now. Of all else it is made sure that it stays away.
    async fn vote(&self, transaction: &Transaction, _: &Meta) -> Vote {
        let (inner, tx) = (self.inner(), transaction.id());
        let _given = inner.votes_given.read().await;
        if inner.desk.has(tx) {
            return Vote::Prepared;
        }
        for _ in 0..LOOKS {
            match self.look(&self.xid(tx)).await {
                Ok(Some(vote)) => return vote,
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%tx, error, "the database cannot be asked, so the vote is to abort");
                    return Vote::Aborted;
                }
            }
        }
        // Whatever becomes of the branch, it will not be committed: this vote sees to that, and the verdict ends the branch.
        tracing::warn!(%tx, "its branch is prepared for too long, so the vote is to abort");
        Vote::Aborted
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        self.end(transaction.id(), Outcome::Committed).await
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted).await
    }
}
