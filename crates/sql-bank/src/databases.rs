//! Which databases the bank has, and what it needs of one, whichever kind it is.

use std::{future::Future, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use synod_client::{Agent, Database};
use synod_mysql::Mysql;
use synod_postgres::Postgres;
use tokio::time::sleep;

use crate::{books::Books, cast::participant, plan::Plan};

/// The kinds of the two databases. What is generic over them is chosen by it, in each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(crate) enum Databases {
    /// Two PostgreSQL servers
    Postgres,
    /// Two MariaDB servers
    Mariadb,
    /// A PostgreSQL server and a MariaDB server
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Maria,
}

impl Databases {
    /// The kind of the database of each side.
    pub(crate) fn kinds(self) -> [Kind; 2] {
        match self {
            Self::Postgres => [Kind::Postgres; 2],
            Self::Mariadb => [Kind::Maria; 2],
            Self::Mixed => [Kind::Postgres, Kind::Maria],
        }
    }

    /// Which servers will be started. An error if one of them is not installed.
    pub(crate) fn installed(self) -> anyhow::Result<String> {
        let [left, right] = self.kinds();
        Ok(match left == right {
            true => format!("two {} servers", left.installed()?),
            false => format!("a {} server, a {} server", left.installed()?, right.installed()?),
        })
    }
}

impl Kind {
    fn installed(self) -> anyhow::Result<String> {
        let (name, installed) = match self {
            Self::Postgres => ("PostgreSQL", synod_servers::Postgres::installed()),
            Self::Maria => ("MariaDB", synod_servers::Maria::installed()),
        };
        let installed = installed.with_context(|| format!("no {name} server is installed: install one"))?;
        // What follows is the name of a package.
        Ok(format!("{name} {}", installed.version.split('-').next().unwrap_or_default()))
    }
}

/// A database with books, and its agent.
pub(crate) trait Ledger: Database<Branch: Books> + Agent + Clone + Sync {
    /// The database of this side, with so many connections for branches; nothing, if it is down.
    fn try_connect(
        plan: &Plan,
        side: u64,
        connections: usize,
    ) -> impl Future<Output = anyhow::Result<Option<Self>>> + Send;

    /// How much its agent says an operator must see to.
    fn alarms(&self) -> usize;
}

/// The crates for both kinds give the same things the same names.
macro_rules! ledger {
    ($kind:ty, $of:ident) => {
        impl Ledger for $kind {
            async fn try_connect(plan: &Plan, side: u64, connections: usize) -> anyhow::Result<Option<Self>> {
                let [every, patience] = [plan.sweep.0, plan.sweep.1].map(Duration::from_millis);
                let options = $of::Options::new().sweep(every, patience).wait(Duration::from_secs(10));
                let options = options.connections(connections);
                match Self::connect_with(&plan.urls[side as usize], participant(side), options).await {
                    Ok(database) => Ok(Some(database)),
                    Err($of::Error::Connect { .. } | $of::Error::Statement { .. } | $of::Error::Silent { .. }) => {
                        Ok(None)
                    }
                    Err(error) => Err(error.into()),
                }
            }

            fn alarms(&self) -> usize {
                self.alarms().len()
            }
        }
    };
}

ledger!(Postgres, synod_postgres);
ledger!(Mysql, synod_mysql);

/// The database of this side, with so many connections for branches. It may be down for a while.
pub(crate) async fn connect<D: Ledger>(plan: &Plan, side: u64, connections: usize) -> anyhow::Result<D> {
    loop {
        if let Some(database) = D::try_connect(plan, side, connections).await? {
            return Ok(database);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
