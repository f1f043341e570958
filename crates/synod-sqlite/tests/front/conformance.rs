//! The suite for resources, over SQLite files: whatever a node relies on, after crashes of the agent and of the application.
//!
//! A file takes part in one transaction at a time, and the suite has many under way. So each has a file of its own here, and all
//! files together are the resource.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use synod::{
    NodeId, TxId,
    commit::{Meta, Promised, ResourceKind, Transaction, Vote},
    perform::{
        conformance::{self, ResourceUnderTest, SceneError},
        tokio::{Progress, RecoverError, Resource},
    },
};
use synod_client::{Agent, Branch, Database};
use synod_sqlite::{Sqlite, SqliteResource};
use tempfile::TempDir;
use tokio::{sync::Mutex, time::timeout};

use crate::{ACCOUNTS, CLUSTER, ORDERS, open, plain};

/// The files, by the numbers of the transactions that they are for.
struct Files {
    folder: PathBuf,
    open: Mutex<BTreeMap<u64, Sqlite>>,
}

impl Files {
    fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(format!("{seq}.db"))
    }

    async fn file(&self, seq: u64) -> Sqlite {
        let mut files = self.open.lock().await;
        if let Some(file) = files.get(&seq) {
            return file.clone();
        }
        if !self.path(seq).exists() {
            plain(&self.path(seq)).execute_batch("CREATE TABLE work (number)").unwrap();
        }
        files.entry(seq).or_insert(open(&self.path(seq)).await).clone()
    }

    async fn resource(&self, tx: TxId) -> SqliteResource {
        self.file(tx.seq).await.resource(CLUSTER).await.unwrap()
    }
}

impl Resource for Files {
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name().into_string().unwrap();
            let Some(seq) = name.strip_suffix(".db") else { continue };
            let tx = TxId { origin: NodeId(1), seq: seq.parse()? };
            let promised: Vec<Promised> =
                promised.iter().filter(|promised| promised.transaction.id() == tx).cloned().collect();
            found.extend(self.resource(tx).await.recover(&promised).await?);
        }
        Ok(found)
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        self.resource(transaction.id()).await.vote(transaction, meta).await
    }

    async fn commit(&self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.resource(transaction.id()).await.commit(transaction, meta).await
    }

    async fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.resource(transaction.id()).await.abort(transaction, meta).await
    }
}

struct Scene {
    folder: TempDir,
    /// The application is another process.
    application: Files,
    crashes: usize,
}

impl ResourceUnderTest for Scene {
    type Resource = Files;

    fn kind(&self) -> ResourceKind {
        Sqlite::KIND
    }

    fn work(&self, number: u64) -> Promised {
        let id = TxId { origin: NodeId(1), seq: number + 1 };
        Promised::new(Transaction::new(id, [ACCOUNTS, ORDERS], []).expect("two participants"), Meta::default())
    }

    async fn open(&mut self) -> Result<Files, SceneError> {
        Ok(Files::new(self.folder.path().into()))
    }

    async fn crash(&mut self, resource: Files) {
        drop(resource);
        self.crashes += 1;
        self.application = Files::new(self.folder.path().into());
    }

    async fn prepare(&mut self, _: &mut Files, number: u64) -> Result<(), SceneError> {
        let transaction = self.work(number).transaction;
        let file = self.application.file(transaction.id().seq).await;
        // Some agent has stood there.
        file.resource(CLUSTER).await?;
        let mut branch = file.open(None).await?;
        branch.execute("INSERT INTO work VALUES (?1)", &[&i64::try_from(number)?]).await?;
        Ok(branch.prepare(CLUSTER, &transaction).await?)
    }

    async fn shows(&mut self, _: &Files, number: u64) -> Result<usize, SceneError> {
        let seq = self.work(number).transaction.id().seq;
        let _there = self.application.file(seq).await;
        let count = "SELECT count(*) FROM work WHERE number = ?1";
        let shown =
            plain(&self.application.path(seq)).query_row(count, [i64::try_from(number)?], |row| row.get::<_, u32>(0));
        Ok(shown? as usize)
    }

    async fn holds(&mut self, _: &Files, number: u64) -> Result<Option<bool>, SceneError> {
        let tx = self.work(number).transaction.id();
        Ok(Some(self.application.file(tx.seq).await.prepared().await?.contains(&tx)))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        let tx = self.work(number).transaction.id();
        Ok(plain(&self.application.path(tx.seq)).execute("DELETE FROM synod_prepared", [])? == 1)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_for_resources_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene { application: Files::new(folder.path().into()), folder, crashes: 0 };
    let suite = conformance::resource_async(&mut scene);
    let report = timeout(Duration::from_secs(120), suite).await.expect("the suite takes for ever");
    report.assert();
    assert!(scene.crashes > 15, "{}", scene.crashes);
    println!("{report}");
}
