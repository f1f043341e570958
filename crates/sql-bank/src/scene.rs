//! Two database servers, and the cluster's processes.

use std::path::Path;

use tempfile::TempDir;

use crate::{
    books,
    cast::{self, Name},
    databases::Databases,
    fleet::Fleet,
    plan::{Plan, Ports},
    server::Server,
};

pub(crate) struct Scene {
    pub(crate) servers: [Server; 2],
    pub(crate) fleet: Fleet,
    pub(crate) plan: Plan,
    seed: u64,
    folder: TempDir,
    _ports: Ports,
}

impl Scene {
    /// Starts these servers, with so many accounts in each, and all nodes. Agents sweep as is said, in milliseconds.
    pub(crate) async fn start(
        databases: Databases,
        accounts: u64,
        sweep: (u64, u64),
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (folder, ports) = (tempfile::Builder::new().prefix("sql-bank-").tempdir()?, Ports::find()?);
        let [left, right] = databases.kinds();
        let servers = [Server::start(left).await?, Server::start(right).await?];
        for server in &servers {
            server.sql(books::make(server.kind, accounts)).await?;
        }
        let urls = [servers[0].url().await?, servers[1].url().await?];
        let plan = Plan::new(&ports, databases, urls, accounts, sweep)?;
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
