//! The conformance suite of resources, over async ones: many calls are under way at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use synod::{
    NodeId, TxId,
    commit::{Meta, Outcome, Promised, ResourceKind, Transaction, TxRange, Vote},
    perform::{
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
        tokio::{Progress, RecoverError, Resource},
    },
};

use super::scene::soon;

/// What no crash takes away.
#[derive(Default)]
struct Tables {
    prepared: BTreeMap<TxId, Promised>,
    ended: BTreeMap<TxId, Outcome>,
    rows: BTreeMap<TxId, usize>,
}

/// A database that works when it is asked to vote, and takes a while for everything.
struct Database {
    tables: Arc<Mutex<Tables>>,
    is_racy: bool,
    says_at_once: Hasty,
}

/// What is said at once, and is not so.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hasty {
    #[default]
    Nothing,
    Vote,
    End(Outcome),
}

impl Database {
    /// Its tables, once other calls have had their turn.
    async fn tables(&self) -> MutexGuard<'_, Tables> {
        tokio::task::yield_now().await;
        self.tables.lock().unwrap()
    }
}

impl Resource for Database {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(self.tables().await.prepared.values().cloned().collect())
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        let mut tables = self.tables().await;
        if tables.ended.contains_key(&transaction.id()) {
            return Vote::Aborted;
        }
        tables.prepared.insert(transaction.id(), Promised::new(transaction.clone(), meta.clone()));
        Vote::Prepared
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        let tx = transaction.id();
        let mut rows = self.tables().await.rows.clone();
        let mut tables = self.tables().await;
        if tables.prepared.remove(&tx).is_none() {
            let is_done = tables.ended.get(&tx) == Some(&Outcome::Committed);
            return if is_done { Progress::Finished } else { Progress::Later };
        }
        if !self.is_racy {
            rows.clone_from(&tables.rows);
        }
        // What others have written meanwhile is lost, if it was read too early.
        *rows.entry(tx).or_default() += 1;
        tables.rows = rows;
        tables.ended.insert(tx, Outcome::Committed);
        Progress::Finished
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        let mut tables = self.tables().await;
        tables.prepared.remove(&transaction.id());
        tables.ended.insert(transaction.id(), Outcome::Aborted);
        Progress::Finished
    }

    fn vote_at_once(&self, _: &Transaction, _: &Meta) -> Option<Vote> {
        (self.says_at_once == Hasty::Vote).then_some(Vote::Prepared)
    }

    fn end_at_once(&self, _: &Transaction, outcome: Outcome) -> Option<Progress> {
        (self.says_at_once == Hasty::End(outcome)).then_some(Progress::Finished)
    }

    fn forget(&self, range: TxRange) {
        self.tables.lock().unwrap().ended.retain(|tx, _| !range.contains(*tx));
    }
}

#[derive(Default)]
struct Scene {
    tables: Arc<Mutex<Tables>>,
    is_racy: bool,
    says_at_once: Hasty,
}

impl Scene {
    fn tx(number: u64) -> TxId {
        TxId { origin: NodeId(1), seq: number }
    }
}

impl ResourceUnderTest for Scene {
    type Resource = Database;

    fn kind(&self) -> ResourceKind {
        ResourceKind::VotesElsewhere
    }

    fn work(&self, number: u64) -> Promised {
        let transaction = Transaction::new(Self::tx(number), [NodeId(1), NodeId(2)], []).unwrap();
        Promised::new(transaction, Meta::default())
    }

    async fn open(&mut self) -> Result<Database, SceneError> {
        Ok(Database { tables: Arc::clone(&self.tables), is_racy: self.is_racy, says_at_once: self.says_at_once })
    }

    async fn shows(&mut self, database: &Database, number: u64) -> Result<usize, SceneError> {
        Ok(database.tables().await.rows.get(&Self::tx(number)).copied().unwrap_or_default())
    }

    async fn holds(&mut self, database: &Database, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(database.tables().await.prepared.contains_key(&Self::tx(number))))
    }

    async fn remembers(&mut self, database: &Database, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(database.tables().await.ended.contains_key(&Self::tx(number))))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        Ok(self.tables.lock().unwrap().prepared.remove(&Self::tx(number)).is_some())
    }
}

#[tokio::test]
async fn an_async_resource_that_prepares_when_it_is_asked_to_vote_passes_every_check() {
    let report = soon(conformance::resource_async(&mut Scene::default())).await;
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn what_goes_wrong_only_among_calls_at_once_is_found_among_many() {
    let report = soon(conformance::resource_async(&mut Scene { is_racy: true, ..Scene::default() })).await;
    let failed: Vec<_> = report.failures().map(|check| check.name).collect();
    assert_eq!(failed, ["many at once are kept apart"], "{report}");
}

#[tokio::test]
async fn what_is_said_at_once_and_is_not_so_is_found() {
    for (says_at_once, check) in [
        (Hasty::Vote, "a vote to commit is for what is held"),
        (Hasty::End(Outcome::Committed), "what is committed shows"),
        (Hasty::End(Outcome::Aborted), "what is aborted does not show"),
    ] {
        let report = soon(conformance::resource_async(&mut Scene { says_at_once, ..Scene::default() })).await;
        assert!(report.failures().any(|failed| failed.name == check), "{report}");
    }
}
