//! A cluster on loopback, each node with a storage of its own on disk.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use synod::{
    NodeId, Quorums, TxId,
    commit::{Cluster, ClusterId, ClusterSpec, Config, Limits, Meta, Outcome, Promised, Timeouts, Transaction, Vote},
    perform::{
        Transport,
        fjall::FjallStorage,
        tokio::{self as driver, Handle, Progress, RecoverError, Resource, Start},
    },
};
use synod_grpc::{Client, Identity, Options, Peers, Security, Server};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{authority::Authority, soon};

pub(crate) const CLUSTER: ClusterId = ClusterId(*b"grpc, on loopbac");

/// The acceptors, who are the transaction managers too.
pub(crate) const MANAGERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Who has a resource, and nothing else.
pub(crate) const BRANCHES: [NodeId; 2] = [NodeId(4), NodeId(5)];

/// Votes to commit unless told otherwise, and remembers how transactions ended.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<TxId, Outcome>>>);

/// What a transaction is about that no ledger commits.
pub(crate) const IMPOSSIBLE: &[u8] = b"impossible";

impl Ledger {
    pub(crate) fn read(&self, tx: TxId) -> Option<Outcome> {
        self.0.lock().unwrap().get(&tx).copied()
    }

    /// How many transactions have ended here.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn write(&self, tx: TxId, outcome: Outcome) {
        let before = self.0.lock().unwrap().insert(tx, outcome);
        assert!(before.is_none_or(|before| before == outcome), "{tx} ended twice");
    }
}

impl Resource for Ledger {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    async fn vote(&self, _: &Transaction, meta: &Meta) -> Vote {
        if meta.bytes() == IMPOSSIBLE { Vote::Aborted } else { Vote::Prepared }
    }

    async fn commit(&self, transaction: &Transaction, _: &Meta) -> Progress {
        self.write(transaction.id(), Outcome::Committed);
        Progress::Finished
    }

    async fn abort(&self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.write(transaction.id(), Outcome::Aborted);
        Progress::Finished
    }
}

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) cluster: Cluster,
    pub(crate) options: Options,
    plaintext: bool,
    /// Whether nodes find each other by the contacts in the membership, and in no other way.
    by_contacts: bool,
    places: BTreeMap<NodeId, Place>,
    members: BTreeMap<NodeId, Member>,
}

/// What is left of a node when it is down.
struct Place {
    folder: TempDir,
    address: SocketAddr,
    ledger: Ledger,
}

/// A node that is up.
pub(crate) struct Member {
    pub(crate) handle: Handle,
    pub(crate) server: Server,
    pub(crate) peers: Peers,
    task: JoinHandle<Result<(), driver::Error>>,
}

/// How many transactions a node of a narrow world has open.
pub(crate) const NARROW: usize = 200;

/// Options of nodes that find each other quickly.
pub(crate) fn options() -> Options {
    Options::default().with_backoff(Duration::from_millis(5)).with_backoff_ceiling(Duration::from_millis(100))
}

impl World {
    /// All nodes, up. Nobody loses patience with anybody, however busy the machine.
    pub(crate) async fn new() -> Self {
        Self::with(60_000, false, Limits::default(), options()).await
    }

    pub(crate) async fn plaintext() -> Self {
        Self::with(60_000, true, Limits::default(), options()).await
    }

    /// All nodes, up, who forget how a transaction ended as soon as it is over everywhere.
    pub(crate) async fn forgetful() -> Self {
        Self::with(60_000, false, Limits::default().with_history(0), options()).await
    }

    /// All nodes, up, who soon take a vote that does not come for one to abort.
    pub(crate) async fn hasty() -> Self {
        Self::with(200, false, Limits::default(), options()).await
    }

    /// As [`hasty`](Self::hasty), with little room: for few transactions, and for few bytes in a message.
    pub(crate) async fn narrow() -> Self {
        let limits = Limits::default().with_open(NARROW).with_participants(4).with_meta(100);
        Self::with(200, false, limits, options().with_message(4_096)).await
    }

    /// All nodes, up and hasty, who find each other by the contacts in the membership.
    pub(crate) async fn by_contacts() -> Self {
        Self::open(200, false, true, Limits::default(), options()).await
    }

    async fn with(patience: u64, plaintext: bool, limits: Limits, options: Options) -> Self {
        Self::open(patience, plaintext, false, limits, options).await
    }

    async fn open(patience: u64, plaintext: bool, by_contacts: bool, limits: Limits, options: Options) -> Self {
        let timeouts = Timeouts::default()
            .with_flush(50)
            .with_recover(patience)
            .with_inquire(patience)
            .with_repeat(100)
            .with_ceiling(patience.max(1_000));
        let (mut places, mut listeners, mut contacts) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        for node in MANAGERS.into_iter().chain(BRANCHES) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (folder, address) = (TempDir::new().unwrap(), listener.local_addr().unwrap());
            places.insert(node, Place { folder, address, ledger: Ledger::default() });
            listeners.push((node, listener));
            if by_contacts {
                contacts.insert(node, format!("https://{address}").into());
            }
        }
        let spec = ClusterSpec::new(CLUSTER, Quorums::majority(MANAGERS).unwrap(), MANAGERS);
        let spec = spec.with_timeouts(timeouts).with_limits(limits).with_contacts(contacts);
        let (cluster, authority, members) = (spec.build().unwrap(), Authority::new(), BTreeMap::new());
        let mut world = Self { authority, cluster, options, plaintext, by_contacts, places, members };
        for (node, listener) in listeners {
            world.start(node, Start::Create, listener).await;
        }
        // Every node connects to every transaction manager by itself.
        for manager in MANAGERS {
            let others = MANAGERS.len() + BRANCHES.len() - 1;
            while soon("the metrics", world.handle(manager).metrics()).await.unwrap().met < others {
                ::tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        world
    }

    pub(crate) fn config(&self, node: NodeId) -> Config {
        Config::new(self.cluster.clone(), node, node.0)
    }

    pub(crate) fn security(&self, identity: Identity) -> Security {
        if self.plaintext { Security::Plaintext } else { self.authority.security(identity) }
    }

    async fn start(&mut self, node: NodeId, start: Start, listener: TcpListener) {
        self.start_with(node, start, listener, |peers| peers).await;
    }

    async fn start_with<T: Transport + Send + 'static>(
        &mut self,
        node: NodeId,
        start: Start,
        listener: TcpListener,
        transport: impl FnOnce(Peers) -> T,
    ) {
        let config = self.config(node);
        let security = self.security(Identity::node(CLUSTER, node));
        let peers = Peers::new(&config, security.clone(), self.options).unwrap();
        for (other, place) in self.places.iter().filter(|(other, _)| **other != node && !self.by_contacts) {
            peers.set(*other, &place.address.to_string()).unwrap();
        }
        self.run(config, start, listener, peers.clone(), transport(peers)).await;
    }

    async fn run<T: Transport + Send + 'static>(
        &mut self,
        config: Config,
        start: Start,
        listener: TcpListener,
        peers: Peers,
        transport: T,
    ) {
        let node = config.id;
        let (storage, ledger) = (self.storage(node), self.ledger(node).clone());
        let (handle, task) =
            driver::spawn(config, start, storage, transport, ledger, Default::default()).await.unwrap();
        let security = self.security(Identity::node(CLUSTER, node));
        let server = Server::start(listener, handle.clone(), security, self.options).unwrap();
        self.members.insert(node, Member { handle, server, peers, task });
    }

    /// Starts a new node, which knows the founders' names, and the address of one other node.
    pub(crate) async fn add(&mut self, node: NodeId, start: Start, cluster: Cluster, known: NodeId) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (folder, address) = (TempDir::new().unwrap(), listener.local_addr().unwrap());
        self.places.insert(node, Place { folder, address, ledger: Ledger::default() });
        let config = Config::new(cluster, node, node.0);
        let peers = Peers::new(&config, self.security(Identity::node(CLUSTER, node)), self.options).unwrap();
        peers.set(known, &self.address(known).to_string()).unwrap();
        self.run(config, start, listener, peers.clone(), peers).await;
    }

    /// Gives a node that is down another address.
    pub(crate) async fn shift(&mut self, node: NodeId) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.places.get_mut(&node).unwrap().address = listener.local_addr().unwrap();
        listener
    }

    /// Starts a node that was stopped, from its storage.
    pub(crate) async fn restart_at(&mut self, node: NodeId, listener: TcpListener) {
        self.start(node, Start::Restore, listener).await;
    }

    /// Shuts `node` down, in order.
    pub(crate) async fn stop(&mut self, node: NodeId) {
        let member = self.members.remove(&node).unwrap();
        soon("the server's shutdown", member.server.shutdown()).await;
        soon("the node's shutdown", member.handle.shutdown()).await.unwrap();
        soon("the transport's shutdown", member.peers.shutdown()).await;
        member.task.await.unwrap().unwrap();
    }

    /// Starts a node that was stopped, from its storage and at its address.
    pub(crate) async fn restart(&mut self, node: NodeId) {
        let listener = TcpListener::bind(self.address(node)).await.unwrap();
        self.start(node, Start::Restore, listener).await;
    }

    /// The same, and `transport` takes what it sends.
    pub(crate) async fn restart_with<T: Transport + Send + 'static>(&mut self, node: NodeId, transport: T) {
        let listener = TcpListener::bind(self.address(node)).await.unwrap();
        self.start_with(node, Start::Restore, listener, |_| transport).await;
    }

    pub(crate) fn member(&self, node: NodeId) -> &Member {
        &self.members[&node]
    }

    pub(crate) fn handle(&self, node: NodeId) -> &Handle {
        &self.member(node).handle
    }

    pub(crate) fn address(&self, node: NodeId) -> SocketAddr {
        self.places[&node].address
    }

    /// The storage of a node that is down.
    pub(crate) fn storage(&self, node: NodeId) -> FjallStorage {
        FjallStorage::open(self.places[&node].folder.path().join("records")).unwrap()
    }

    pub(crate) fn ledger(&self, node: NodeId) -> &Ledger {
        &self.places[&node].ledger
    }

    /// A way to `node` with the certificate of `identity`.
    pub(crate) fn client(&self, node: NodeId, identity: Identity) -> Client {
        let security = self.security(identity);
        Client::new(CLUSTER, node, &self.address(node).to_string(), &security, &self.options).unwrap()
    }
}
