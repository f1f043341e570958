//! What no agent can mend: somebody, or a crash, has ended a branch behind the cluster's back.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use synod::{
    NodeId, TxId,
    commit::{Outcome, Status},
    perform::tokio::Handle,
};

/// A branch is not as it must be. The agent says so in the log, too, as an error, and never takes it for done: it asks the
/// database again and again, for a branch that was lost in a crash may come back with the next restart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// The transaction.
    pub tx: TxId,
    /// How it ended everywhere else.
    pub outcome: Outcome,
    /// What was found here.
    pub kind: Kind,
}

/// What was found in place of a prepared branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// It is to be committed, and the database has neither the prepared branch nor a trace of it.
    #[error("the database has lost a prepared branch that is to be committed")]
    Lost,
    /// It is to be committed, and was rolled back here.
    #[error("a branch that is to be committed was rolled back here")]
    RolledBack,
    /// It is to be rolled back, and was committed here.
    #[error("a branch that is to be rolled back was committed here")]
    Committed,
    /// It is there, and another role has prepared it, which the agent's may not end.
    #[error(
        "the database does not let its agent end a branch, which another role has prepared: let that role, or a superuser, end it"
    )]
    NotOurs,
}

/// The alarms of one database, for those who write an [`Agent`](crate::Agent).
#[derive(Debug, Default)]
pub struct Alarms(Mutex<BTreeMap<TxId, Alarm>>);

impl Alarms {
    /// All that is not as it must be, in order of name.
    pub fn list(&self) -> Vec<Alarm> {
        self.alarms().values().cloned().collect()
    }

    /// Raises an alarm, and says so in the log, once.
    pub fn raise(&self, participant: NodeId, alarm: Alarm) {
        let Alarm { tx, outcome, kind } = alarm;
        if self.alarms().insert(tx, alarm.clone()) != Some(alarm) {
            tracing::error!(%participant, %tx, ?outcome, "{kind}: an operator is needed");
        }
    }

    /// The branch of `tx` is carried out after all.
    pub fn clear(&self, participant: NodeId, tx: TxId) {
        if self.alarms().remove(&tx).is_some() {
            tracing::warn!(%participant, %tx, "what was missing is back, and is carried out");
        }
    }

    /// Drops the alarms about transactions that are over for `node`, the agent's: an operator has put right what they are about, and
    /// has said so ([`Handle::finished`]). For each turn of an agent's [`watch`](crate::Agent::watch).
    pub async fn settle(&self, participant: NodeId, node: &Handle) {
        for Alarm { tx, .. } in self.list() {
            if matches!(node.status(tx).await, Ok(Status::Retired { .. })) && self.alarms().remove(&tx).is_some() {
                tracing::warn!(%participant, %tx, "what was not as it must be is over");
            }
        }
    }

    fn alarms(&self) -> MutexGuard<'_, BTreeMap<TxId, Alarm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm {
    /// Transaction `tx` ended so, and this was found.
    pub fn new(tx: TxId, outcome: Outcome, kind: Kind) -> Self {
        Self { tx, outcome, kind }
    }
}
