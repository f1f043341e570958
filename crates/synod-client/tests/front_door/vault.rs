//! A database in memory whose prepared branches outlive everybody: the smallest that can take part.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use synod::{
    commit::{self, ClusterId, Meta, Promised, ResourceKind, Vote},
    perform::tokio::{Handle, Progress, RecoverError, Resource},
};
use synod_client::{Agent, Alone, Branch, Cause, Database, Name, NodeId, Outcome, TxId, Unprepared};

/// A clone is the same database.
#[derive(Clone)]
pub(crate) struct Vault(NodeId, Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    sum: i64,
    prepared: BTreeMap<TxId, (commit::Transaction, i64)>,
    ended: BTreeMap<TxId, Outcome>,
    /// From now on nothing can be prepared.
    is_full: bool,
    /// Nobody can reach it.
    is_away: bool,
}

/// Adds to the sum.
pub(crate) struct Adds {
    vault: Vault,
    pub(crate) delta: i64,
    prepared: Option<TxId>,
}

impl Vault {
    pub(crate) fn new(participant: u64) -> Self {
        Self(NodeId(participant), Arc::default())
    }

    pub(crate) fn sum(&self) -> i64 {
        self.inside().sum
    }

    pub(crate) fn prepared(&self) -> usize {
        self.inside().prepared.len()
    }

    pub(crate) fn fill_up(&self) {
        self.inside().is_full = true;
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.inside().is_away = is_away;
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.1.lock().unwrap()
    }

    fn end(&self, tx: TxId, outcome: Outcome) -> Progress {
        let mut inside = self.inside();
        match (inside.prepared.remove(&tx), outcome) {
            (Some((_, delta)), Outcome::Committed) => inside.sum += delta,
            (None, Outcome::Committed) if inside.ended.get(&tx) != Some(&outcome) => return Progress::Again,
            _ => {}
        }
        inside.ended.insert(tx, outcome);
        Progress::Finished
    }
}

impl Database for Vault {
    type Branch = Adds;

    fn participant(&self) -> NodeId {
        self.0
    }

    async fn open(&self, _: Option<Name>) -> Result<Adds, Cause> {
        if self.inside().is_away {
            return Err("the vault is locked".into());
        }
        Ok(Adds { vault: self.clone(), delta: 0, prepared: None })
    }
}

impl Branch for Adds {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        Ok(self.delta != 0)
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        self.vault.inside().sum += self.delta;
        Ok(())
    }

    async fn prepare(&mut self, _: ClusterId, transaction: &commit::Transaction) -> Result<(), Unprepared> {
        let (mut inside, tx) = (self.vault.inside(), transaction.id());
        if inside.is_full || inside.ended.contains_key(&tx) {
            return Err(Unprepared::RolledBack("it is full".into()));
        }
        inside.prepared.insert(tx, (transaction.clone(), self.delta));
        drop(inside);
        self.prepared = Some(tx);
        Ok(())
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        if let Some(tx) = self.prepared {
            let _ = self.vault.end(tx, outcome);
        }
        Ok(())
    }

    async fn roll_back(&mut self) {}
}

impl Resource for Vault {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let inside = self.inside();
        let found = inside.prepared.values();
        Ok(found.map(|(transaction, _)| Promised::new(transaction.clone(), Meta::default())).collect())
    }

    async fn vote(&self, transaction: &commit::Transaction, _: &Meta) -> Vote {
        let is_prepared = self.inside().prepared.contains_key(&transaction.id());
        if is_prepared { Vote::Prepared } else { Vote::Aborted }
    }

    async fn commit(&self, transaction: &commit::Transaction, _: &Meta) -> Progress {
        self.end(transaction.id(), Outcome::Committed)
    }

    async fn abort(&self, transaction: &commit::Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted)
    }
}

impl Agent for Vault {
    type Resource = Self;

    const KIND: ResourceKind = ResourceKind::VotesElsewhere;

    fn participant(&self) -> NodeId {
        self.0
    }

    async fn resource(&self, _: ClusterId) -> Result<Self, Cause> {
        let is_away = self.inside().is_away;
        if is_away { Err("the vault is locked".into()) } else { Ok(self.clone()) }
    }

    fn may_come_back(&self, cause: &Cause) -> bool {
        cause.to_string() == "the vault is locked"
    }

    async fn watch(self, _: ClusterId, _: Handle) {}
}
