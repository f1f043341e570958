//! What all processes must know: who listens where, and where the databases are.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
    process,
    time::Duration,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use synod_client::Synod;
use synod_grpc::{Client, Options, Security};

use crate::{
    cast::{self, CLUSTER, MANAGERS, Name},
    databases::Databases,
};

/// Written once, by the process that starts the others, and read by each of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where each node listens, by its name.
    nodes: BTreeMap<String, String>,
    /// Of which kinds the two databases are.
    pub(crate) databases: Databases,
    /// Their URLs.
    pub(crate) urls: [String; 2],
    /// How many accounts each of them has.
    pub(crate) accounts: u64,
    /// How often agents look for branches that were left behind, and how old these must be, in milliseconds.
    pub(crate) sweep: (u64, u64),
}

/// The ports of the nodes, which are nobody else's for as long as this lives, whether their processes run or not. They are
/// below the ports that systems give to connections.
pub(crate) struct Ports {
    claims: Vec<UdpSocket>,
}

impl Ports {
    fn claim(first: u16) -> Option<Self> {
        let claims = (first..).take(cast::nodes().count()).map(|port| {
            drop(TcpListener::bind(("127.0.0.1", port)).ok()?);
            UdpSocket::bind(("127.0.0.1", port)).ok()
        });
        Some(Self { claims: claims.collect::<Option<_>>()? })
    }

    pub(crate) fn find() -> anyhow::Result<Self> {
        let rows = (0..250).map(|row| 30_000 + (process::id().wrapping_add(row) % 250) as u16 * 8);
        rows.into_iter().find_map(Self::claim).context("no free ports from 30000 to 32000: end what listens there")
    }
}

impl Plan {
    pub(crate) fn new(
        ports: &Ports,
        databases: Databases,
        urls: [String; 2],
        accounts: u64,
        sweep: (u64, u64),
    ) -> anyhow::Result<Self> {
        let mut nodes = BTreeMap::new();
        for (name, claim) in cast::nodes().zip(&ports.claims) {
            nodes.insert(name.to_string(), claim.local_addr()?.to_string());
        }
        Ok(Self { nodes, databases, urls, accounts, sweep })
    }

    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("plan.json");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no plan", path.display()))
    }

    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = data.join("plan.json");
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn address(&self, name: Name) -> anyhow::Result<&str> {
        self.nodes.get(&name.to_string()).map(String::as_str).with_context(|| format!("{name} has no address"))
    }

    /// The way to all transaction managers.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let address = |number| self.address(Name::Manager(number));
        let node = |number| Name::Manager(number).node().context("a manager is a node");
        let mut client = Client::new(CLUSTER, node(0)?, address(0)?, &Security::Plaintext, &options())?;
        for number in 1..MANAGERS {
            client = client.with_node(node(number)?, address(number)?)?;
        }
        Ok(client)
    }

    /// The front door, through `manager`. The client below turns from one manager to the next by itself, so one attempt of
    /// the front door lasts as long as a call of the client may.
    pub(crate) fn door(&self, manager: impl synod_client::Manager) -> anyhow::Result<Synod> {
        Ok(Synod::builder(manager).attempt(options().call).build()?)
    }
}

/// A process that is back is soon found, and one that stands still is not waited for long.
pub(crate) fn options() -> Options {
    Options::default()
        .with_backoff(Duration::from_millis(20))
        .with_backoff_ceiling(Duration::from_millis(200))
        .with_call(Duration::from_secs(10))
        .with_attempt(Duration::from_secs(1))
        .with_grace(Duration::from_secs(1))
}
