//! A node: its records, its certificate, its port.

use std::{error::Error as StdError, path::PathBuf, time::Duration};

use synod::{
    NodeId, commit,
    perform::{
        Start, Storage,
        fjall::{FjallError, FjallStorage},
        record::{self, Recorder},
        tokio::{self as driver, Error, Handle, Resource},
    },
};
use synod_grpc::{Identity, Options, Peers, Security, Server, Tls, TlsError};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    certs::{self, Mode},
    config::{Config, NodeConfig, RecordConfig},
    failure::{Exit, Failure, chain},
};

/// How long an end waits for the network, twice, and for writes and the database. All together it is below two seconds.
const NETWORK_GRACE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(1_200);

/// What a node is made of.
pub(super) struct Place {
    pub(super) file: Config,
    pub(super) node: NodeConfig,
    pub(super) config: commit::Config,
    pub(super) tls: Tls,
    pub(super) options: Options,
    /// Whether the process is ready.
    pub(super) ready: watch::Receiver<bool>,
}

/// A node that runs.
pub(super) struct Node {
    pub(super) handle: Handle,
    pub(super) peers: Peers,
    pub(super) server: Server,
    pub(super) task: JoinHandle<Result<(), Error>>,
}

/// Why a node has not started.
pub(super) enum Started {
    Not(Error),
    Failed(Failure),
}

impl From<Failure> for Started {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The options of connections, for a node of one of so many in a process that takes so many connections in all.
pub(super) fn options(nodes: usize, connections: usize) -> Options {
    let share = |all: usize, least| (all / nodes.max(1)).max(least);
    Options::default()
        .with_connections(share(connections, 8))
        .with_node_connections(share(128, 16))
        .with_newcomers(share(64, 8))
        .with_backoff_ceiling(Duration::from_secs(1))
        .with_grace(NETWORK_GRACE)
}

impl Place {
    /// Starts the node: for the first time, or from its records.
    pub(super) async fn start(
        &self,
        config: commit::Config,
        resource: impl Resource,
        listener: &mut Option<TcpListener>,
    ) -> Result<Node, Started> {
        let id = self.node.id;
        let folder = self.file.data.join(format!("node-{}", id.0));
        let mark = self.file.data.join(format!("node-{}.created", id.0));
        certs::create_folder(&self.file.data)?;
        let path = folder.clone();
        let opened = spawn_blocking(move || {
            let mut storage = FjallStorage::open(&path)?;
            let is_blank = storage.load()?.is_empty();
            Ok((storage, is_blank))
        });
        let opened = opened.await.map_err(|error| {
            Failure::new(Exit::Failed, format!("the records in {} cannot be read", folder.display()), "report this")
                .caused_by(&error)
        })?;
        let (storage, is_blank) = opened.map_err(|error| stored(id, &folder, &error))?;
        let start = match (is_blank, mark.exists()) {
            (true, true) => return Err(gone(id, folder).into()),
            (true, false) if self.node.join => Start::Join,
            (true, false) => Start::Create,
            (false, _) => Start::Restore,
        };
        let network = |error: synod_grpc::Error| self.no_network(&error);
        let security = Security::Tls(self.tls.clone());
        let peers = Peers::new(&config, security.clone(), self.options).map_err(network)?;
        for (node, address) in self.file.addresses().filter(|(node, _)| *node != id) {
            peers.set(node, address).map_err(network)?;
        }
        let bounds = driver::Options::default().with_grace(GRACE).with_retry_ceiling(Duration::from_secs(2));
        let spawned = match self.recorder()? {
            None => driver::spawn(config, start, storage, peers.clone(), resource, bounds).await,
            Some(recorder) => {
                driver::spawn_recorded(config, start, storage, peers.clone(), resource, bounds, recorder).await
            }
        };
        let (handle, task) = spawned.map_err(Started::Not)?;
        if !mark.exists() {
            certs::write(&mark, "", Mode::Open)?;
        }
        let Some(listener) = listener.take() else {
            return Err(Failure::new(Exit::Failed, format!("node {} has no port", id.0), "report this").into());
        };
        let (node, ready) = (handle.clone(), self.ready.clone());
        let server = Server::start_with_health(listener, node, ready, security, self.options).map_err(network)?;
        Ok(Node { handle, peers, server, task })
    }

    /// What records the node, if anything is to.
    fn recorder(&self) -> Result<Option<Recorder>, Failure> {
        let RecordConfig { folder, files, file_megabytes } = &self.file.record;
        let Some(folder) = folder else { return Ok(None) };
        let options =
            record::Options::default().with_segments(*files).with_segment_bytes(file_megabytes.saturating_mul(1 << 20));
        let recorder = Recorder::open(folder, options).map_err(|error| {
            let what = format!("node {} cannot be recorded in {}", self.node.id.0, folder.display());
            let remedy = format!(
                "let this user write to that folder, name another one, or leave record.folder out of {}",
                self.file.path.display()
            );
            Failure::new(Exit::Machine, what, remedy).caused_by(&error)
        })?;
        Ok(Some(recorder))
    }

    /// That the driver does not start, in an operator's words.
    pub(super) fn not_started(&self, error: &Error) -> Failure {
        let (id, folder) = (self.node.id.0, self.file.data.join(format!("node-{}", self.node.id.0)));
        let what = format!("node {id} cannot be started from its records in {}", folder.display());
        let cause = chain(error);
        let remedy = if cause.contains("belongs to") {
            format!("give each node the folder of its own records: `data` in {}", self.file.path.display())
        } else {
            "put back the newest records of this node, never an older copy; if they are lost, replace it: `synod \
             join`, then `synod replace`"
                .into()
        };
        Failure::new(Exit::Machine, what, remedy).because(cause)
    }

    fn no_network(&self, error: &synod_grpc::Error) -> Failure {
        let what = format!("node {} of {} cannot use the network", self.node.id.0, self.file.path.display());
        let remedy = match error {
            synod_grpc::Error::OpenFiles { .. } => {
                "raise `ulimit -n` (LimitNOFILE= of systemd), or lower limits.connections"
            }
            _ => "see the cause; `synod run --explain` lists every setting",
        };
        Failure::new(Exit::Configuration, what, remedy).caused_by(error)
    }
}

fn gone(id: NodeId, folder: PathBuf) -> Failure {
    let what = format!(
        "the records of node {} in {} are gone, and it must not make its promises a second time",
        id.0,
        folder.display()
    );
    let remedy = "put back these very records, never an older copy; if they are lost, replace the node: `synod join`, \
     then `synod replace`";
    Failure::new(Exit::Machine, what, remedy)
}

fn stored(id: NodeId, folder: &std::path::Path, error: &FjallError) -> Failure {
    let what = format!("the records of node {} in {} cannot be opened", id.0, folder.display());
    let remedy = match error {
        FjallError::Locked { .. } => {
            "end the other process that runs this node; each process needs a `data` folder of its own"
        }
        FjallError::Damaged { .. } => {
            "replace the node: `synod join`, then `synod replace`; do not start it on these records"
        }
        FjallError::Newer { .. } => "start the newer version of synod again",
        _ => "let this user read and write that folder, and see that its disk is not full",
    };
    Failure::new(Exit::Machine, what, remedy).caused_by(error)
}

/// The certificates of `node`, which must be for it.
pub(crate) fn read_tls(config: &Config, node: NodeId) -> Result<Tls, Failure> {
    let [authority, certificate, key] = config.papers(node);
    let wanted = Identity::node(config.cluster, node);
    let folder = config.certificates.display();
    let issue = format!(
        "issue it with `synod certs node {} --cluster FOLDER --folder {folder}`, where the authority's key is",
        node.0
    );
    let tls = Tls::from_files(&authority, &certificate, &key)
        .map_err(|error| papers(&format!("node {}", node.0), &certificate, &error, &issue))?;
    if tls.identity() != wanted {
        let what = format!("the certificate in {} is for {}, not for {wanted}", certificate.display(), tls.identity());
        let remedy = if tls.identity().cluster == config.cluster {
            issue
        } else {
            format!(
                "it is of another cluster: take the certificates of this one, or mend cluster.id in {}",
                config.path.display()
            )
        };
        let cause = "a node is who its certificate names";
        return Err(Failure::new(Exit::Configuration, what, remedy).because(cause));
    }
    Ok(tls)
}

/// That certificates are of no use.
pub(crate) fn papers(whose: &str, certificate: &std::path::Path, error: &TlsError, issue: &str) -> Failure {
    let what = format!("the certificate of {whose}, {}, cannot be used", certificate.display());
    let folder = certificate.parent().unwrap_or(certificate).display();
    let remedy = match error {
        TlsError::NotValidNow { .. } => {
            format!(
                "have it issued again (`synod certs renew {folder} --cluster FOLDER`, where the authority's key is), \
                 or set the clock of this machine right"
            )
        }
        TlsError::File { .. } => issue.into(),
        TlsError::Rustls(_) | TlsError::Key(_) => {
            let key = certificate.with_extension("key");
            format!("put the key that belongs to the certificate into {}, or {issue}", key.display())
        }
        _ => issue.into(),
    };
    let error: &(dyn StdError + 'static) = error;
    Failure::new(Exit::Configuration, what, remedy).caused_by(error)
}
