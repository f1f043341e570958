//! The nodes of a process, while they start, run and end.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;
use synod::{
    NodeId, commit,
    perform::{NoResource, tokio::Handle},
};
use synod_grpc::{Client, Options, Peers, Security, Server, ServerStats, Tls};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    agent::{Beside, NotYet},
    node::{self, Node, Place, Started, read_tls},
    silence::Silences,
};
use crate::{
    api::{Https, Kept},
    certs,
    config::{Config, NodeConfig},
    failure::{Exit, Failure, chain},
};

/// How often a database that is away is asked again.
const PACE: Duration = Duration::from_secs(1);

/// How often a database that takes part is asked whether it is there, and how long it may take to answer. Once it has failed to
/// twice in a row, it is away.
const PULSE: Duration = Duration::from_secs(3);
const MISSES: u32 = 2;

/// How long another node may take to answer an operator's question.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// A process with its nodes.
pub(crate) struct Process {
    config: Config,
    cluster: commit::Cluster,
    slots: Vec<Slot>,
    pub(crate) tokens: Tokens,
    /// What is shown over TLS to those who look, if there is a port for them.
    pub(crate) https: Option<Arc<Https>>,
    pub(crate) metrics: PrometheusHandle,
    /// All that could start has.
    started: AtomicBool,
    pub(super) stopping: watch::Sender<bool>,
    /// Whether it was ready when somebody looked last.
    pub(super) ready: watch::Sender<bool>,
    /// Where it is said that a node has ended by itself.
    ended: mpsc::UnboundedSender<Failure>,
    /// Who has not answered an operator's question.
    pub(crate) silences: Silences,
    /// What others have answered last, for the console.
    pub(crate) kept: Kept,
}

/// By which words an operator is known.
pub(crate) struct Tokens {
    /// Of one who may change something.
    pub(crate) operator: String,
    /// Of one who may read.
    pub(crate) reader: String,
}

/// The place of a node.
pub(crate) struct Slot {
    pub(crate) config: NodeConfig,
    pub(crate) tls: Tls,
    pub(crate) database: Option<Beside>,
    /// The node, once it has started.
    running: Mutex<Option<(Handle, Peers)>>,
    server: Mutex<Option<Server>>,
    /// Why its database is away, if it is: since the start, and then the node has not started; or later.
    away: Mutex<Option<Away>>,
}

/// A database that is away.
struct Away {
    why: String,
    since: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    /// The node, if it has started.
    pub(crate) fn handle(&self) -> Option<Handle> {
        lock(&self.running).as_ref().map(|(handle, _)| handle.clone())
    }

    pub(crate) fn peers(&self) -> Option<Peers> {
        lock(&self.running).as_ref().map(|(_, peers)| peers.clone())
    }

    /// What its server has taken and refused.
    pub(crate) fn server_stats(&self) -> Option<ServerStats> {
        lock(&self.server).as_ref().map(Server::stats)
    }

    /// Why its database is away, if it is.
    pub(crate) fn away(&self) -> Option<String> {
        lock(&self.away).as_ref().map(|away| away.why.clone())
    }

    /// For how long its database has been away, if it is.
    pub(crate) fn away_for(&self) -> Option<Duration> {
        lock(&self.away).as_ref().map(|away| away.since.elapsed())
    }

    /// What its database is called.
    pub(crate) fn name(&self) -> Option<String> {
        self.config.database.as_ref()?.name()
    }
}

impl Process {
    pub(super) fn new(
        config: Config,
        tokens: Tokens,
        metrics: PrometheusHandle,
        ended: mpsc::UnboundedSender<Failure>,
    ) -> Result<Self, Failure> {
        let cluster = config.cluster()?;
        let slot = |node: &NodeConfig| {
            let tls = read_tls(&config, node.id)?;
            let database = node.database.as_ref().map(|url| Beside::new(url, node.id, Some(&tls))).transpose()?;
            Ok(Slot {
                config: node.clone(),
                tls,
                database,
                running: Mutex::default(),
                server: Mutex::default(),
                away: Mutex::default(),
            })
        };
        let https = Https::read(&config)?.map(Arc::new);
        let slots = config.nodes.iter().map(slot).collect::<Result<_, Failure>>()?;
        let started = AtomicBool::new(false);
        let (stopping, ready, silences, kept) = Default::default();
        Ok(Self { config, cluster, slots, tokens, https, metrics, started, stopping, ready, ended, silences, kept })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The nodes that have started.
    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.slots.iter().filter_map(Slot::handle)
    }

    pub(super) fn set_started(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    /// Whether all nodes have had their start.
    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst) && !*self.stopping.borrow()
    }

    fn options(&self) -> Options {
        node::options(self.slots.len(), self.config.connections)
    }

    /// Starts the node at a place. If its database is away, the rest of that is done later.
    pub(super) async fn start(self: &Arc<Self>, at: usize, listener: TcpListener) -> Result<(), Failure> {
        let slot = &self.slots[at];
        // It hashes and jitters by it, and outsiders must not know it.
        let seed = u64::from_ne_bytes(certs::random()?);
        let place = Place {
            file: self.config.clone(),
            node: slot.config.clone(),
            config: commit::Config::new(self.cluster.clone(), slot.id(), seed),
            tls: slot.tls.clone(),
            options: self.options(),
            ready: self.readiness(),
        };
        let mut listener = Some(listener);
        let Some(database) = slot.database.clone() else {
            return match place.start(place.config.clone(), NoResource, &mut listener).await {
                Ok(node) => {
                    self.take(at, node);
                    Ok(())
                }
                Err(Started::Not(error)) => Err(place.not_started(&error)),
                Err(Started::Failed(failure)) => Err(failure),
            };
        };
        match database.start(&place, &mut listener).await {
            Ok(node) => {
                self.take(at, node);
                self.watch(at, database);
                Ok(())
            }
            Err(NotYet::Failed(failure)) => Err(failure),
            Err(NotYet::Away(why)) => {
                tracing::error!(node = %slot.id(), why, "a database is away: it is asked again and again, and what is \
                 prepared there waits");
                *lock(&slot.away) = Some(Away { why, since: Instant::now() });
                let process = Arc::clone(self);
                tokio::spawn(async move { process.wait(at, database, place, listener).await });
                Ok(())
            }
        }
    }

    /// Waits for a database that is away, and starts its node.
    async fn wait(self: Arc<Self>, at: usize, database: Beside, place: Place, mut listener: Option<TcpListener>) {
        let mut stopping = self.stopping.subscribe();
        let slot = &self.slots[at];
        loop {
            tokio::select! {
                () = sleep(PACE) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            let why = match database.start(&place, &mut listener).await {
                Ok(node) => {
                    tracing::warn!(node = %slot.id(), "a database that was away takes part");
                    *lock(&slot.away) = None;
                    self.take(at, node);
                    return self.watch(at, database);
                }
                Err(NotYet::Away(why)) => why,
                // It was away, and is back with something that only an operator can mend: that, too, is waited for.
                Err(NotYet::Failed(failure)) => failure.to_string(),
            };
            if let Some(away) = &mut *lock(&slot.away)
                && away.why != why
            {
                tracing::error!(node = %slot.id(), why, "a database is away still");
                away.why = why;
            }
        }
    }

    /// The node at a place runs.
    fn take(&self, at: usize, node: Node) {
        let slot = &self.slots[at];
        let (id, ended, mut stopping) = (slot.id(), self.ended.clone(), self.stopping.subscribe());
        *lock(&slot.running) = Some((node.handle, node.peers));
        *lock(&slot.server) = Some(node.server);
        tokio::spawn(async move {
            let end = node.task.await;
            if *stopping.borrow_and_update() {
                return;
            }
            let cause = match end {
                Ok(Ok(())) => "it was told to".to_owned(),
                Ok(Err(error)) => chain(&error),
                Err(error) => chain(&error),
            };
            let remedy = "look at the disk of its `data` folder (full? failing?), and start this again: it goes on \
             from its records";
            let failure = Failure::new(Exit::Failed, format!("node {} has stopped", id.0), remedy).because(cause);
            let _ = ended.send(failure);
        });
    }

    fn watch(self: &Arc<Self>, at: usize, database: Beside) {
        let Some(handle) = self.slots[at].handle() else { return };
        let (process, mut stopping) = (Arc::clone(self), self.stopping.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = process.feel(at, &database) => {}
                () = database.clone().watch(process.config.cluster, handle) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }

    /// Notes whether a database that takes part is there. Its node goes on meanwhile: what is prepared waits.
    async fn feel(&self, at: usize, database: &Beside) {
        let (slot, mut missed) = (&self.slots[at], 0);
        loop {
            sleep(PULSE).await;
            let why = match timeout(PULSE, database.prepared(self.config.cluster, 1)).await {
                Ok(Ok(_)) => {
                    missed = 0;
                    if lock(&slot.away).take().is_some() {
                        tracing::warn!(node = %slot.id(), "a database that was away is back");
                    }
                    continue;
                }
                Ok(Err(cause)) => chain(&*cause),
                Err(_) => format!("it has not answered for {PULSE:?}"),
            };
            missed += 1;
            let mut away = lock(&slot.away);
            match &mut *away {
                Some(away) => away.why = why,
                None if missed >= MISSES => {
                    tracing::error!(node = %slot.id(), why, "a database is away: what is prepared there waits for it");
                    *away = Some(Away { why, since: Instant::now() });
                }
                None => {}
            }
        }
    }

    /// Reads the certificates again, and where other nodes are. What cannot be used changes nothing.
    pub(super) fn reload(&self) {
        for slot in &self.slots {
            match slot.tls.reload() {
                Ok(()) => {
                    tracing::info!(node = %slot.id(), days_left = slot.tls.days_left(), "certificates were read again")
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(node = %slot.id(), error, "the certificates are of no use: the earlier ones stay \
                     in force");
                }
            }
        }
        if let Some(Err(failure)) = self.https.as_ref().map(|https| https.reload(&self.config)) {
            tracing::error!(%failure, "the console's certificate is of no use: the earlier one stays in force");
        }
        let file = match Config::read(&self.config.path) {
            Ok(file) => file,
            Err(failure) => return tracing::error!(%failure, "the file is of no use: what held before holds"),
        };
        let earlier: Vec<_> = self.config.addresses().collect();
        for (node, address) in file.addresses().filter(|each| !earlier.contains(each)) {
            for slot in self.slots.iter().filter(|slot| slot.id() != node) {
                let set = slot.peers().map(|peers| peers.set(node, address));
                match set {
                    Some(Ok(())) => tracing::info!(here = %slot.id(), %node, address, "an address is new"),
                    Some(Err(error)) => tracing::error!(%node, address, %error, "an address is of no use"),
                    None => {}
                }
            }
        }
    }

    /// Ends all nodes, all at once.
    pub(super) async fn shutdown(&self) {
        self.stopping.send_replace(true);
        self.ready.send_replace(false);
        let mut ends = JoinSet::new();
        for slot in &self.slots {
            let server = lock(&slot.server).take();
            let Some((handle, peers)) = lock(&slot.running).clone() else { continue };
            ends.spawn(async move {
                if let Some(server) = server {
                    server.shutdown().await;
                }
                let ended = handle.shutdown().await;
                peers.shutdown().await;
                ended
            });
        }
        while let Some(ended) = ends.join_next().await {
            if let Ok(Err(error)) = ended {
                let error = chain(&error);
                tracing::warn!(error, "a node has not ended in order: it goes on from its records at the next start");
            }
        }
    }

    /// The addresses of all other nodes that are known here: those of the members as they are now, and those in the
    /// file.
    pub(crate) async fn others(&self) -> Vec<(NodeId, String)> {
        let mut others: std::collections::BTreeMap<NodeId, String> =
            self.config.addresses().map(|(node, address)| (node, address.to_owned())).collect();
        if let Some(epoch) = self.epoch().await {
            let is_former =
                |node: &NodeId| self.config.members.contains_key(node) && !epoch.membership.is_member(*node);
            others.retain(|node, _| !is_former(node));
            for (node, contact) in &epoch.membership.contacts {
                let contact = String::from_utf8_lossy(contact);
                let address = contact.split_once("://").map_or(&*contact, |(_, address)| address);
                others.insert(*node, address.to_owned());
            }
        }
        others.retain(|node, _| !self.slots.iter().any(|slot| slot.id() == *node));
        others.into_iter().collect()
    }

    /// The latest epoch that a node of this process knows, with what any of them knows of a change of it.
    pub(crate) async fn epoch(&self) -> Option<commit::EpochStatus> {
        let mut latest: Option<commit::EpochStatus> = None;
        for handle in self.handles() {
            let Ok(Some(mut epoch)) = handle.epoch().await else { continue };
            match &mut latest {
                Some(latest) if latest.number == epoch.number => {
                    latest.is_changing |= epoch.is_changing;
                    latest.awaited.append(&mut epoch.awaited);
                    latest.awaited.sort_unstable();
                    latest.awaited.dedup();
                }
                Some(latest) if latest.number > epoch.number => {}
                _ => latest = Some(epoch),
            }
        }
        latest
    }

    /// For how long another node has not answered; nothing, if it does, or was never asked.
    pub(crate) fn silence(&self, node: NodeId) -> Option<Duration> {
        let stats: Vec<_> = self.slots.iter().filter_map(|slot| slot.peers()?.stats(node)).collect();
        if stats.iter().any(|stats| stats.connected) {
            return None;
        }
        stats.iter().filter_map(|stats| stats.silent).chain(self.silences.of(node)).max()
    }

    /// A client of another node, in the name of a node of this process.
    pub(crate) fn client(&self, node: NodeId, address: &str) -> Result<Client, synod_grpc::Error> {
        let security = Security::Tls(self.slots[0].tls.clone());
        let options = self.options().with_attempt(ATTEMPT).with_call(ATTEMPT).with_connect(ATTEMPT);
        Client::new(self.config.cluster, node, address, &security, &options)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.config.path
    }
}
