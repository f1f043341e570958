//! The way to all transaction managers: the first that answers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use synod::{
    TxId,
    commit::{self, ClusterId, GivenNames, Outcome},
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Asked, Manager, ManagerError};

/// Transaction managers, and how long to wait for them.
pub(crate) struct Gate {
    pub(crate) cluster: ClusterId,
    pub(crate) managers: Vec<Box<dyn Manager>>,
    /// The one that answered last.
    favourite: AtomicUsize,
    /// How long to wait for one before turning to the next.
    pub(crate) attempt: Duration,
    /// How long to wait for any.
    pub(crate) patience: Duration,
}

impl Gate {
    pub(crate) fn new(manager: Box<dyn Manager>) -> Self {
        Self {
            cluster: manager.cluster(),
            managers: vec![manager],
            favourite: AtomicUsize::new(0),
            attempt: Duration::from_secs(3),
            patience: Duration::from_secs(30),
        }
    }

    /// A block of names.
    pub(crate) async fn names(&self, count: u64) -> Result<GivenNames, ManagerError> {
        self.ask(|manager| manager.names(count)).await
    }

    /// Begins `transaction`, and says how it ended.
    pub(crate) async fn decide(&self, transaction: &commit::Transaction) -> Result<Outcome, ManagerError> {
        self.insist(|manager| manager.decide(transaction)).await
    }

    /// How `tx` ended.
    pub(crate) async fn outcome(&self, tx: TxId) -> Result<Outcome, ManagerError> {
        self.insist(|manager| manager.outcome(tx)).await
    }

    /// Asks all again until somebody knows, or the patience ends.
    async fn insist<'a>(
        &'a self,
        ask: impl Fn(&'a dyn Manager) -> Asked<'a, Outcome>,
    ) -> Result<Outcome, ManagerError> {
        let end = Instant::now() + self.patience;
        let mut last = ManagerError::Silent("there was no time to ask".into());
        while Instant::now() < end {
            match timeout_at(end, self.ask(&ask)).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(error @ (ManagerError::Forgotten | ManagerError::OldEpoch(_)))) => return Err(error),
                Ok(Err(error)) => last = error,
                Err(_) => break,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(last)
    }

    /// The first answer, beginning with who answered last. What a manager refuses, and what it has forgotten, another one may
    /// do or know.
    async fn ask<'a, T>(&'a self, ask: impl Fn(&'a dyn Manager) -> Asked<'a, T>) -> Result<T, ManagerError> {
        let first = self.favourite.load(Ordering::Relaxed);
        let mut worst = None;
        for offset in 0..self.managers.len() {
            let at = (first + offset) % self.managers.len();
            let error = match timeout(self.attempt, ask(&*self.managers[at])).await {
                Ok(Ok(answer)) => {
                    self.favourite.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error @ ManagerError::OldEpoch(_))) => {
                    // This holds for all managers: it knows of a later epoch than the one that gave the name.
                    self.favourite.store(at, Ordering::Relaxed);
                    return Err(error);
                }
                Ok(Err(error)) => error,
                Err(elapsed) => ManagerError::Silent(elapsed.into()),
            };
            if worst.as_ref().is_none_or(|worst| weight(&error) >= weight(worst)) {
                worst = Some(error);
            }
        }
        Err(worst.unwrap_or_else(|| ManagerError::Silent("no transaction manager was named".into())))
    }
}

/// What says the most: it is over; it may have happened; nothing has happened.
fn weight(error: &ManagerError) -> u32 {
    match error {
        ManagerError::Forgotten | ManagerError::OldEpoch(_) => 2,
        ManagerError::Silent(_) => 1,
        ManagerError::Refused(_) => 0,
    }
}
