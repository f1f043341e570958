//! The file of a process, `node.toml`: read, checked and explained.

mod check;
mod explain;
mod file;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;
use synod::{
    NodeId, QuorumError, Quorums,
    commit::{Cluster, ClusterId, ClusterSpec, ConfigError},
};

pub(crate) use self::{
    check::{address, url},
    explain::explain,
    file::LogFormat,
};
use crate::failure::Failure;

/// What a process is, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that it was read from.
    pub(crate) path: PathBuf,
    pub(crate) cluster: ClusterId,
    /// The acceptors, which are also the transaction managers, and where they are.
    pub(crate) members: BTreeMap<NodeId, String>,
    /// The agents of databases, and where they are.
    pub(crate) agents: BTreeMap<NodeId, String>,
    /// The nodes of this process.
    pub(crate) nodes: Vec<NodeConfig>,
    pub(crate) data: PathBuf,
    pub(crate) certificates: PathBuf,
    pub(crate) http: SocketAddr,
    /// Where the same is answered over TLS, if it is.
    pub(crate) https: Option<SocketAddr>,
    pub(crate) token: PathBuf,
    pub(crate) read_token: PathBuf,
    pub(crate) log: LogConfig,
    pub(crate) connections: usize,
    pub(crate) record: RecordConfig,
    pub(crate) traces: TracesConfig,
}

/// Where traces of transactions go.
#[derive(Clone, Debug)]
pub(crate) struct TracesConfig {
    /// The collector, if there is one.
    pub(crate) endpoint: Option<String>,
    /// Which share of the transactions.
    pub(crate) ratio: f64,
}

/// What is recorded of the nodes of a process.
#[derive(Clone, Debug)]
pub(crate) struct RecordConfig {
    /// Where, if anything is.
    pub(crate) folder: Option<PathBuf>,
    /// How many files are kept of each node, and about how large they are.
    pub(crate) files: usize,
    pub(crate) file_megabytes: u64,
}

/// A node of this process.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) id: NodeId,
    pub(crate) listen: SocketAddr,
    /// It comes to a cluster whose members have changed, or are to change.
    pub(crate) join: bool,
    /// The database that it stands beside.
    pub(crate) database: Option<Url>,
}

/// Where a database is. It has a password in it, perhaps.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The file with the authority of the certificate that its server has.
    pub(crate) ca: Option<PathBuf>,
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Mysql,
    /// A store of one's own, over gRPC.
    Store,
}

#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

impl Config {
    /// Reads and checks the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = file::read(path)?;
        // Whoever reads its name in an answer may be in another folder.
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        check::check(&whole, file)
    }

    /// One that has all settings, to show what there is.
    pub(crate) fn sample() -> Result<Self, Failure> {
        check::check(Path::new("node.toml"), file::sample()?)
    }

    /// The cluster with its members of the beginning. They are reached at their contacts, by all nodes alike.
    pub(crate) fn cluster(&self) -> Result<Cluster, Failure> {
        cluster(self.cluster, &self.members).map_err(|cause| check::no_cluster(&self.path, &cause))
    }

    /// Where the certificate, the key and the authority of `node` are.
    pub(crate) fn papers(&self, node: NodeId) -> [PathBuf; 3] {
        let own = self.certificates.join(format!("node-{}", node.0));
        [self.certificates.join("authority.pem"), own.with_extension("pem"), own.with_extension("key")]
    }

    /// The node with this id, and where it is, as far as the file says.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.members.iter().chain(&self.agents).map(|(node, address)| (*node, &**address))
    }
}

/// Why members make no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCluster {
    #[error(transparent)]
    Quorums(#[from] QuorumError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

fn cluster(id: ClusterId, members: &BTreeMap<NodeId, String>) -> Result<Cluster, NoCluster> {
    let ids: Vec<NodeId> = members.keys().copied().collect();
    let contacts = members.iter().map(|(node, address)| (*node, format!("https://{address}").into_bytes()));
    let spec = ClusterSpec::new(id, Quorums::majority(ids.iter().copied())?, ids);
    Ok(spec.with_contacts(contacts.collect()).build()?)
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.without_password())
    }
}

impl Url {
    /// For people's eyes.
    pub(crate) fn without_password(&self) -> String {
        let Some((scheme, rest)) = self.text.split_once("://") else {
            let words = self.text.split_whitespace().filter(|word| !word.starts_with("password"));
            return words.collect::<Vec<_>>().join(" ");
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = path.split('?').next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:***"));
                format!("{scheme}://{user}@{host}{path}")
            }
            None => format!("{scheme}://{authority}{path}"),
        }
    }
}

impl Url {
    /// Where a store is.
    pub(crate) fn address(&self) -> &str {
        self.text.split_once("://").map_or(&self.text, |(_, address)| address)
    }

    /// What the database is called, for people's eyes; nothing, if the URL does not say.
    pub(crate) fn name(&self) -> Option<String> {
        let name = match self.text.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1.split('?').next()?,
            None => self.text.split_whitespace().find_map(|word| word.strip_prefix("dbname="))?,
        };
        (!name.is_empty()).then(|| percent_decode_str(name).decode_utf8_lossy().into_owned())
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MariaDB or MySQL",
            Self::Store => "store",
        }
    }
}
