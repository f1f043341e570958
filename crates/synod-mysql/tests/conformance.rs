//! The suite for resources, over MariaDB: whatever a node relies on, after crashes of the agent and of the server.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a server takes its time")]

mod common;

use std::time::Duration;

use common::{ACCOUNTS, ORDERS, options};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Promised, ResourceKind, Transaction},
    perform::conformance::{self, ResourceUnderTest, SceneError},
};
use synod_client::{Agent, Branch, Database, Name};
use synod_mysql::{Mysql, MysqlResource, Xid};
use synod_servers::Maria;
use tokio::time::timeout;

const CLUSTER: ClusterId = ClusterId(*b"the suite's own.");

struct Scene {
    server: Maria,
    /// The application is a process of its own.
    application: Mysql,
    /// Every so many crashes the server crashes, too.
    server_crashes: Option<usize>,
    crashes: usize,
}

impl Scene {
    async fn new(server_crashes: Option<usize>) -> Self {
        let server = Maria::start(synod_servers::Options::default()).unwrap();
        server.create_database("suite").unwrap();
        server.sql("suite", "CREATE TABLE work (number BIGINT, KEY (number)) ENGINE=InnoDB").unwrap();
        let application = connect(&server).await.unwrap();
        Self { server, application, server_crashes, crashes: 0 }
    }

    fn xid(&self, number: u64) -> Xid {
        Xid::new(CLUSTER, ACCOUNTS, self.work(number).transaction.id())
    }

    fn is_prepared(&self, number: u64) -> Result<bool, SceneError> {
        let own = self.xid(number).to_string();
        let listed = self.server.sql("suite", "XA RECOVER FORMAT='SQL'")?;
        Ok(listed.lines().any(|line| line.to_uppercase().contains(&own.to_uppercase())))
    }
}

async fn connect(server: &Maria) -> Result<Mysql, synod_mysql::Error> {
    Mysql::connect_with(&server.url("suite"), ACCOUNTS, options().connections(48)).await
}

impl ResourceUnderTest for Scene {
    type Resource = MysqlResource;

    fn kind(&self) -> ResourceKind {
        Mysql::KIND
    }

    fn work(&self, number: u64) -> Promised {
        let id = TxId { origin: NodeId(1), seq: number + 1 };
        Promised::new(Transaction::new(id, [ACCOUNTS, ORDERS], []).expect("two participants"), Meta::default())
    }

    async fn open(&mut self) -> Result<MysqlResource, SceneError> {
        connect(&self.server).await?.resource(CLUSTER).await
    }

    async fn crash(&mut self, resource: MysqlResource) {
        drop(resource);
        self.crashes += 1;
        if self.server_crashes.is_some_and(|every| self.crashes.is_multiple_of(every)) {
            self.server.kill().unwrap();
            self.server.start_again().unwrap();
            self.application = connect(&self.server).await.unwrap();
        }
    }

    async fn prepare(&mut self, _: &mut MysqlResource, number: u64) -> Result<(), SceneError> {
        let transaction = self.work(number).transaction;
        let mut branch = self.application.open(Some(Name { cluster: CLUSTER, tx: transaction.id() })).await?;
        branch.exec_drop("INSERT INTO work VALUES (?)", (number,)).await?;
        Ok(branch.prepare(CLUSTER, &transaction).await?)
    }

    async fn shows(&mut self, _: &MysqlResource, number: u64) -> Result<usize, SceneError> {
        Ok(self.server.sql("suite", &format!("SELECT COUNT(*) FROM work WHERE number = {number}"))?.parse()?)
    }

    async fn holds(&mut self, _: &MysqlResource, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(self.is_prepared(number)?))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        let statement = format!("XA ROLLBACK {}", self.xid(number));
        // Its session may be about to end.
        for _ in 0..100 {
            if self.server.sql("suite", &statement).is_ok() {
                return Ok(true);
            }
            self.pause().await;
        }
        Err("it cannot be rolled back by hand".into())
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn run(server_crashes: Option<usize>) {
    if Maria::installed().is_none() {
        eprintln!("left out: no MariaDB is installed");
        return;
    }
    let mut scene = Scene::new(server_crashes).await;
    let suite = conformance::resource_async(&mut scene);
    let report = timeout(Duration::from_secs(240), suite).await.expect("the suite takes for ever");
    report.assert();
    assert!(scene.crashes > 15, "{}", scene.crashes);
    println!("{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_for_resources_passes() {
    run(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_for_resources_passes_while_the_server_is_killed_again_and_again() {
    run(Some(8)).await;
}
