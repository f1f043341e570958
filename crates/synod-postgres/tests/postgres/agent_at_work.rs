//! The suite for resources, over an agent at work: with the application beside it, and with its own watch, which clears the
//! fence.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Outcome, Promised, ResourceKind, Transaction, TxRange, Vote},
    perform::{
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
        tokio::{Progress, RecoverError, Resource},
    },
};
use synod_client::{Agent, Branch, Database};
use synod_postgres::{Gid, Options, Postgres, PostgresBranch, PostgresResource};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{Client, NoTls};

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, quick};

/// Where the application is, and what it does once it has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Application {
    /// Beside the agent. It holds its branches until both crash, and carries nothing out.
    Holds,
    /// Beside the agent. It carries the outcome out when its agent hears of it.
    Finishes,
}

/// The process of the agent, with the branches of an application that is in it.
struct Process {
    postgres: Postgres,
    resource: PostgresResource,
    application: Application,
    branches: Mutex<BTreeMap<TxId, PostgresBranch>>,
    watch: JoinHandle<()>,
}

impl Process {
    fn branches(&self) -> std::sync::MutexGuard<'_, BTreeMap<TxId, PostgresBranch>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent's resource. The application hears of an outcome when its agent does.
impl Resource for Process {
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        self.resource.recover(promised).await
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        self.resource.vote(transaction, meta).await
    }

    fn vote_at_once(&self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        self.resource.vote_at_once(transaction, meta)
    }

    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress> {
        if self.application == Application::Finishes
            && let Some(mut branch) = self.branches().remove(&transaction.id())
        {
            tokio::spawn(async move { branch.finish(outcome).await });
        }
        self.resource.end_at_once(transaction, outcome)
    }

    async fn commit(&self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.resource.commit(transaction, meta).await
    }

    async fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.resource.abort(transaction, meta).await
    }

    fn forget(&self, range: TxRange) {
        self.resource.forget(range);
    }
}

/// The left database of a pair, whose own cluster only lends a node's handle.
struct Scene {
    cluster: ClusterId,
    pair: Pair,
    url: String,
    application: Application,
    onlooker: Client,
}

impl Scene {
    async fn new(application: Application) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(200);
        let pair = Pair::new().await;
        // Without a key, so that a work that is done twice shows twice.
        pair.sql(0, "CREATE TABLE work (number bigint NOT NULL); UPDATE synod.identity SET cluster = NULL");
        let url = pair.server.url(&pair.names[0]);
        let (onlooker, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let cluster = ClusterId([COUNT.fetch_add(1, Ordering::Relaxed); 16]);
        Self { cluster, pair, url, application, onlooker }
    }

    fn options(application: Application) -> Options {
        let ms = Duration::from_millis;
        // An application that carries nothing out is not waited for.
        let hand_over = if application == Application::Finishes { ms(10_000) } else { ms(50) };
        // The suite tells what is prepared, not the sweep: that is there to clear the fence.
        quick().connections(48).sweep(ms(20), Duration::from_secs(3_600)).hand_over(hand_over)
    }

    fn gid(&self, number: u64) -> Gid {
        Gid::new(self.cluster, LEFT, self.work(number).transaction).unwrap()
    }

    /// The key of its row in the fence.
    fn key(&self, number: u64) -> Vec<u8> {
        let TxId { origin, seq } = self.work(number).transaction.id();
        let numbers = [LEFT.0, origin.0, seq].map(u64::to_be_bytes);
        [&self.cluster.0[..], &numbers.concat()].concat()
    }

    async fn exists(&self, what: &str, key: &(dyn tokio_postgres::types::ToSql + Sync)) -> Result<bool, SceneError> {
        Ok(self.onlooker.query_one(&format!("SELECT EXISTS (SELECT FROM {what} = $1)"), &[key]).await?.get(0))
    }
}

impl ResourceUnderTest for Scene {
    type Resource = Process;

    fn kind(&self) -> ResourceKind {
        Postgres::KIND
    }

    fn work(&self, number: u64) -> Promised {
        let tx = TxId { origin: NodeId(1), seq: number };
        Promised::new(Transaction::new(tx, [LEFT, RIGHT], []).unwrap(), Meta::default())
    }

    async fn open(&mut self) -> Result<Process, SceneError> {
        let postgres = Postgres::connect_with(&self.url, LEFT, Self::options(self.application)).await?;
        let resource = postgres.resource(self.cluster).await?;
        let node = self.pair.local().node(NodeId(1)).ok_or("no manager")?.clone();
        let watch = tokio::spawn(postgres.clone().watch(self.cluster, node));
        Ok(Process { postgres, resource, application: self.application, branches: Mutex::default(), watch })
    }

    async fn crash(&mut self, process: Process) {
        process.watch.abort();
    }

    async fn prepare(&mut self, process: &mut Process, number: u64) -> Result<(), SceneError> {
        let transaction = self.work(number).transaction;
        let mut branch = process.postgres.open(None).await?;
        branch.execute("INSERT INTO work VALUES ($1)", &[&i64::try_from(number)?]).await?;
        branch.prepare(self.cluster, &transaction).await?;
        process.branches().insert(transaction.id(), branch);
        Ok(())
    }

    async fn shows(&mut self, _: &Process, number: u64) -> Result<usize, SceneError> {
        let count = "SELECT count(*) FROM work WHERE number = $1";
        let row = self.onlooker.query_one(count, &[&i64::try_from(number)?]).await?;
        Ok(usize::try_from(row.get::<_, i64>(0))?)
    }

    async fn holds(&mut self, _: &Process, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(self.exists("pg_prepared_xacts WHERE gid", &self.gid(number).as_str()).await?))
    }

    async fn remembers(&mut self, _: &Process, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(self.exists("synod.fence WHERE branch", &self.key(number)).await?))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        self.onlooker.batch_execute(&format!("ROLLBACK PREPARED '{}'", self.gid(number))).await?;
        Ok(true)
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn passes(application: Application) {
    let mut scene = Scene::new(application).await;
    let report = timeout(Duration::from_secs(120), conformance::resource_async(&mut scene)).await;
    let report = report.expect("the suite takes for ever");
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_application_only_holds_its_branches_passes_every_check() {
    or_leave_out!();
    passes(Application::Holds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_application_carries_outcomes_out_passes_every_check() {
    or_leave_out!();
    passes(Application::Finishes).await;
}
