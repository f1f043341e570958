//! Two database servers, and the cluster's processes.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use synod_servers::{Options, Postgres};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    books,
    cast::{self, Name},
    fleet::Fleet,
    plan::{Plan, Ports},
};

/// The database on each of the servers.
const DATABASE: &str = "bank";

/// A server, for several tasks.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<Postgres>>);

pub(crate) struct Scene {
    pub(crate) servers: [Server; 2],
    pub(crate) fleet: Fleet,
    pub(crate) plan: Plan,
    seed: u64,
    folder: TempDir,
    _ports: Ports,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let started = spawn_blocking(|| {
            let server = Postgres::start(Options::default())?;
            server.create_database(DATABASE)?;
            Ok::<_, synod_servers::Error>(server)
        });
        Ok(Self(Arc::new(Mutex::new(started.await??))))
    }

    /// Lets the server do something that takes a while.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Postgres) -> Result<T, synod_servers::Error> + Send + 'static,
    ) -> anyhow::Result<T> {
        let server = Arc::clone(&self.0);
        let asked = spawn_blocking(move || ask(&mut server.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(asked.await??)
    }

    async fn url(&self) -> anyhow::Result<String> {
        self.ask(|server| Ok(server.url(DATABASE))).await
    }

    /// What `statements` answer.
    pub(crate) async fn sql(&self, statements: String) -> anyhow::Result<String> {
        self.ask(move |server| server.sql(DATABASE, &statements)).await
    }

    /// Kills the server, with all its processes.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        self.ask(Postgres::kill).await
    }

    /// Starts the server again, if it was killed, and waits until it answers.
    pub(crate) async fn start_again(&self) -> anyhow::Result<()> {
        self.ask(Postgres::start_again).await
    }
}

/// Which server is installed, and whether one is.
pub(crate) fn installed() -> anyhow::Result<String> {
    let installed = Postgres::installed().context("no PostgreSQL server is installed: install one")?;
    Ok(format!("PostgreSQL {}", installed.version))
}

impl Scene {
    /// Starts the servers, with so many accounts in each, and all nodes. Agents sweep as is said, in milliseconds.
    pub(crate) async fn start(accounts: u64, sweep: (u64, u64), seed: u64) -> anyhow::Result<Self> {
        let (folder, ports) = (tempfile::Builder::new().prefix("sql-bank-").tempdir()?, Ports::find()?);
        let servers = [Server::start().await?, Server::start().await?];
        for server in &servers {
            server.sql(books::make(accounts)).await?;
        }
        let urls = [servers[0].url().await?, servers[1].url().await?];
        let plan = Plan::new(&ports, urls, accounts, sweep)?;
        plan.write(folder.path())?;
        let fleet = Fleet::new(folder.path().to_owned());
        let mut scene = Self { servers, fleet, plan, seed, folder, _ports: ports };
        for name in cast::nodes() {
            scene.start_node(name)?;
        }
        for name in cast::nodes() {
            scene.fleet.ready(name).await?;
        }
        Ok(scene)
    }

    /// Starts a node that does not run.
    pub(crate) fn start_node(&mut self, name: Name) -> anyhow::Result<()> {
        let seed = self.seed ^ self.fleet.starts() << 32;
        self.fleet.start(name, "node", &["--name".into(), name.to_string(), "--seed".into(), seed.to_string()])
    }

    /// Starts an application with so many tellers. No other has had its number.
    pub(crate) fn start_application(&mut self, number: u64, tellers: u64) -> anyhow::Result<()> {
        let seed = self.seed ^ self.fleet.starts() << 32;
        let flags = [("--number", number), ("--tellers", tellers), ("--seed", seed)];
        let flags = flags.map(|(flag, value)| format!("{flag}={value}"));
        self.fleet.start(Name::Application(number), "application", &flags)
    }

    /// Ends all processes in order, and the servers. Applications first, for they need the others.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        let mut names: Vec<Name> = self.fleet.names().collect();
        names.reverse();
        for name in names {
            self.fleet.close(name).await?;
        }
        Ok(())
    }

    /// Keeps the folder with what was logged, and says where it is.
    pub(crate) fn keep(self) -> std::path::PathBuf {
        self.folder.keep()
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }
}
