//! A whole cluster in the application's process, with its records in a folder: to begin with, for tests, and for an
//! application of one process.
//!
//! ```no_run
//! # async fn example(accounts: impl synod_client::Agent) -> Result<(), Box<dyn std::error::Error>> {
//! use synod_client::local::Local;
//!
//! let local = Local::builder("synod-data").agent(accounts).start().await?;
//! let mut tx = local.synod().transaction();
//! # Ok(())
//! # }
//! ```
//!
//! The records must outlive the process. If the folder is lost, prepared transactions stay in the databases and wait for an
//! operator. One process and one disk are one failure: a cluster on several machines goes on without any one of
//! them.

mod agents;
mod hall;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use synod::{
    NodeId, QuorumError, Quorums,
    commit::{ClusterId, ClusterSpec, Config, ConfigError, Timeouts},
    perform::{
        NoResource,
        fjall::FjallError,
        tokio::{Error, Handle, Options},
    },
};

pub use self::agents::Away;
use self::{
    agents::{Agents, AnyAgent, Place},
    hall::{Hall, Wires},
};
use crate::{Agent, Cause, Synod};

/// A running cluster in this process. Dropped, its nodes shut down.
#[derive(Debug)]
pub struct Local {
    synod: Synod,
    cluster: ClusterId,
    agents: Agents,
    /// The nodes, and what connects them: they go when nobody else needs them.
    wires: Arc<Wires>,
}

/// What makes a [`Local`].
pub struct Builder {
    folder: PathBuf,
    acceptors: u64,
    timeouts: Timeouts,
    options: Options,
    agents: Vec<(NodeId, Box<dyn AnyAgent>)>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agents: Vec<_> = self.agents.iter().map(|(node, _)| node).collect();
        f.debug_struct("Builder").field("folder", &self.folder).field("agents", &agents).finish_non_exhaustive()
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The folder cannot be read or written.
    #[error("the cluster's folder {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The file that names the cluster holds something else.
    #[error("{} names no cluster: put the file back, or begin with an empty folder once no database holds prepared transactions", .0.display())]
    NotACluster(PathBuf),
    /// Two nodes have one number.
    #[error("node {0} is there twice: acceptors have the numbers from 1 on, and each database needs one of its own")]
    Twice(NodeId),
    /// The records of a node are gone.
    #[error(
        "the records of node {node} in {} are gone: put back these very ones, never an older copy; if they are lost, end what \
         the databases hold prepared by hand, and begin with an empty folder",
        folder.display()
    )]
    Gone {
        /// Whose.
        node: NodeId,
        /// Where they were.
        folder: PathBuf,
    },
    /// The records of a node cannot be opened.
    #[error("the records of node {0}")]
    Storage(NodeId, #[source] FjallError),
    /// A database cannot take part.
    #[error("the database of participant {0} cannot take part")]
    Database(NodeId, #[source] Cause),
    /// A node does not start.
    #[error("node {0} does not start")]
    Node(NodeId, #[source] Error),
    /// No quorums can be made of so many acceptors.
    #[error(transparent)]
    Quorums(#[from] QuorumError),
    /// These nodes and time-outs make no cluster.
    #[error(transparent)]
    Cluster(#[from] ConfigError),
}

impl Local {
    /// A cluster whose records are in `folder`, which is made if it is not there.
    pub fn builder(folder: impl AsRef<Path>) -> Builder {
        Builder {
            folder: folder.as_ref().to_owned(),
            acceptors: 1,
            timeouts: Timeouts::default(),
            // What only rides along need not make a disk work of its own.
            options: Options::default().with_linger(Duration::from_millis(50)),
            agents: Vec::new(),
        }
    }

    /// The front door to it.
    pub fn synod(&self) -> Synod {
        self.synod.clone()
    }

    /// Its name, which is in its folder.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// A node of it, to ask how things are. Nothing, if it has not started: its database is [away](Self::away).
    pub fn node(&self, node: NodeId) -> Option<&Handle> {
        self.wires.get(node)
    }

    /// The databases that were away at the start and are still: raise an alarm. Each is asked again every second, and takes part
    /// from then on. Until then nothing commits in it, and what was prepared there before waits.
    pub fn away(&self) -> Vec<Away> {
        self.agents.away()
    }

    /// Shuts all nodes down, and waits until their records are written.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.agents.end().await;
        let mut result = Ok(());
        for handle in self.wires.started() {
            result = result.and(handle.clone().shutdown().await);
        }
        result
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Front doors that are left hold transaction managers, but nothing connects those any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            for handle in self.wires.started() {
                runtime.spawn(handle.clone().shutdown());
            }
        }
    }
}

impl Builder {
    /// Lets a database take part.
    pub fn agent(mut self, agent: impl Agent) -> Self {
        self.agents.push((agent.participant(), Box::new(agent)));
        self
    }

    /// How many acceptors there are, which are also the transaction managers: 1, unless it is set. More of them do not make
    /// a process on one disk safer; they make it what a cluster of that size is, for tests.
    pub fn acceptors(mut self, acceptors: u64) -> Self {
        self.acceptors = acceptors;
        self
    }

    /// The time-outs of the protocol, in milliseconds.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The options of all nodes: the defaults, but for a [linger](Options::linger) of 50 milliseconds, unless they are set.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Starts all nodes, on the runtime of the caller: for the first time, or from what the folder holds.
    ///
    /// A database that is only away (its server does not answer, or is starting) does not keep the others from starting: see
    /// [`Local::away`]. One that cannot take part for another reason does.
    pub async fn start(self) -> Result<Local, LocalError> {
        let acceptors: Vec<NodeId> = (1..=self.acceptors).map(NodeId).collect();
        let mut all = acceptors.clone();
        for (node, _) in &self.agents {
            if all.contains(node) {
                return Err(LocalError::Twice(*node));
            }
            all.push(*node);
        }
        let id = identity(&self.folder)?;
        let spec = ClusterSpec::new(id, Quorums::majority(acceptors.iter().copied())?, acceptors.iter().copied());
        let cluster = spec.with_timeouts(self.timeouts).build()?;
        let wires = Arc::new(Wires::new(all));
        let hall = Hall { folder: self.folder.clone(), wires: Arc::clone(&wires), options: self.options };
        for node in acceptors {
            let config = Config::new(cluster.clone(), node, node.0);
            hall.start(config, NoResource).await?;
        }
        let (mut agents, mut places) = (Agents::new(), Vec::new());
        let configs = self.agents.iter().map(|(node, _)| Config::new(cluster.clone(), *node, node.0));
        let configs: Vec<Config> = configs.collect();
        // All at once, for one that is away may take its time to say so.
        let starts = self.agents.iter().zip(&configs);
        let starts = starts.map(|((_, agent), config)| agent.start(&hall, config.clone(), agents.stopped()));
        let started = join_all(starts).await;
        for (((_, agent), config), started) in self.agents.into_iter().zip(configs).zip(started) {
            let node = match started {
                Ok(Some(node)) => Ok(node),
                // Nobody calls this off.
                Ok(None) => continue,
                Err(error) if agent.may_come_back(&error) => Err(error),
                Err(error) => return Err(error),
            };
            places.push(Place { agent, config, node });
        }
        places.into_iter().for_each(|place| agents.add(place, &hall));
        let mut managers = (1..=self.acceptors).filter_map(|node| wires.get(NodeId(node)).cloned());
        let first = managers.next().ok_or(QuorumError::Empty)?;
        let builder = managers.fold(Synod::builder(first), crate::Builder::manager);
        // They are of one cluster.
        let synod = builder.build().map_err(|_| LocalError::NotACluster(self.folder.clone()))?;
        Ok(Local { synod, cluster: id, agents, wires })
    }
}

/// The cluster that the folder is of; a new one, if it is new.
fn identity(folder: &Path) -> Result<ClusterId, LocalError> {
    let path = folder.join("cluster");
    fs::create_dir_all(folder).map_err(|error| LocalError::Folder(folder.to_owned(), error))?;
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| LocalError::NotACluster(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Two processes may begin at once: the name that is there first is the cluster's.
            let id = ClusterId(random());
            let own = folder.join(format!("cluster-{id}"));
            write(&own, &id.to_string())?;
            let published = fs::hard_link(&own, &path);
            let removed = fs::remove_file(&own);
            match published {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => identity(folder),
                published => {
                    published.and(removed).map_err(|error| LocalError::Folder(path, error))?;
                    sync(folder)?;
                    Ok(id)
                }
            }
        }
        Err(error) => Err(LocalError::Folder(path, error)),
    }
}

/// Writes a small file so that it is there whole, or not at all.
fn write(path: &Path, text: &str) -> Result<(), LocalError> {
    let unfinished = path.with_extension("unfinished");
    let written = (|| {
        fs::write(&unfinished, text)?;
        fs::File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    })();
    written.map_err(|error| LocalError::Folder(path.to_owned(), error))
}

fn sync(folder: &Path) -> Result<(), LocalError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| LocalError::Folder(folder.to_owned(), error))
}

/// Sixteen bytes that no other cluster has.
#[allow(clippy::disallowed_types, reason = "a name that is drawn once is no part of the protocol")]
fn random() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish().to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}
