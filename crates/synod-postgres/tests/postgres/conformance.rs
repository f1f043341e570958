//! The suite for resources, over PostgreSQL: whatever a node relies on, after crashes of the agent and of the server.

use std::time::Duration;

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Promised, ResourceKind, Transaction},
    perform::conformance::{self, ResourceUnderTest, SceneError},
};
use synod_client::{Agent, Branch, Database};
use synod_postgres::{Gid, Options, Postgres, PostgresResource};
use synod_servers::Postgres as Server;
use tokio::time::timeout;

use crate::scene::{LEFT, RIGHT, or_leave_out, own, quick};

const CLUSTER: ClusterId = ClusterId(*b"the suite's own.");

struct Scene {
    server: Server,
    /// The application is a process of its own.
    application: Postgres,
    /// Every so many crashes the server crashes, too.
    server_crashes: Option<usize>,
    crashes: usize,
}

impl Scene {
    async fn new(server_crashes: Option<usize>) -> Self {
        let server = own();
        server.create_database("suite").unwrap();
        server.sql("suite", "CREATE TABLE work (number bigint)").unwrap();
        let application = connect(&server).await.unwrap();
        Self { server, application, server_crashes, crashes: 0 }
    }

    fn gid(&self, number: u64) -> Gid {
        Gid::new(CLUSTER, LEFT, self.work(number).transaction).unwrap()
    }

    fn count(&self, what: &str) -> Result<usize, SceneError> {
        Ok(self.server.sql("suite", &format!("SELECT count(*) FROM {what}"))?.parse()?)
    }
}

async fn connect(server: &Server) -> Result<Postgres, synod_postgres::Error> {
    let options: Options = quick().connections(48);
    Postgres::connect_with(&server.url("suite"), LEFT, options).await
}

impl ResourceUnderTest for Scene {
    type Resource = PostgresResource;

    fn kind(&self) -> ResourceKind {
        Postgres::KIND
    }

    fn work(&self, number: u64) -> Promised {
        let id = TxId { origin: NodeId(1), seq: number + 1 };
        Promised::new(Transaction::new(id, [LEFT, RIGHT], []).expect("two participants"), Meta::default())
    }

    async fn open(&mut self) -> Result<PostgresResource, SceneError> {
        connect(&self.server).await?.resource(CLUSTER).await
    }

    async fn crash(&mut self, resource: PostgresResource) {
        drop(resource);
        self.crashes += 1;
        if self.server_crashes.is_some_and(|every| self.crashes.is_multiple_of(every)) {
            self.server.kill().unwrap();
            self.server.start_again().unwrap();
            self.application = connect(&self.server).await.unwrap();
        }
    }

    async fn prepare(&mut self, _: &mut PostgresResource, number: u64) -> Result<(), SceneError> {
        let mut branch = self.application.open(None).await?;
        branch.execute("INSERT INTO work VALUES ($1)", &[&(number as i64)]).await?;
        Ok(branch.prepare(CLUSTER, &self.work(number).transaction).await?)
    }

    async fn shows(&mut self, _: &PostgresResource, number: u64) -> Result<usize, SceneError> {
        self.count(&format!("work WHERE number = {number}"))
    }

    async fn holds(&mut self, _: &PostgresResource, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(self.count(&format!("pg_prepared_xacts WHERE gid = '{}'", self.gid(number)))? == 1))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        self.server.sql("suite", &format!("ROLLBACK PREPARED '{}'", self.gid(number)))?;
        Ok(true)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn run(server_crashes: Option<usize>) {
    let mut scene = Scene::new(server_crashes).await;
    let suite = conformance::resource_async(&mut scene);
    let report = timeout(Duration::from_secs(120), suite).await.expect("the suite takes for ever");
    report.assert();
    assert!(scene.crashes > 20, "{}", scene.crashes);
    println!("{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_for_resources_passes() {
    or_leave_out!();
    run(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_for_resources_passes_while_the_server_is_killed_again_and_again() {
    or_leave_out!();
    run(Some(8)).await;
}
