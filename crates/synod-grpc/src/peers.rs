//! The way to the other nodes: a queue and a task for each.
//!
//! A task dials when there is something to send, and keeps the connection. To a transaction manager of the present epoch it
//! has one at all times, so that every manager has met this node before it is asked to begin something with it. Nothing leaves the queue before the other side
//! has proved who it is and has said so. What was under way when a connection broke is lost: the protocol repeats it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use synod::{
    NodeId, Packet,
    commit::{ClusterId, Config, EpochTag, Membership, Message},
    perform::Transport,
};
use tokio::{
    runtime::Handle as Runtime,
    select,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::{Request, Status, codegen::http::uri::Authority, transport::Endpoint};

use crate::{
    Error, Identity, Options, PeerStats, Role, Security, lives,
    queue::Queue,
    serve::{BIRTH, EPOCH_TAG, LIFE, say_epoch},
    stats::{Counter, PeerCounters, without_address},
    v1, wire,
};

/// The transport of one node. A clone is another handle to the same one; when the last is dropped, its connections are.
///
/// [`send`](Transport::send) never waits: it puts messages into a bounded queue for the node that they are for, from
/// which the oldest are dropped when there are too many. The address of a node may be given, and changed, at any time.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    cluster: ClusterId,
    node: NodeId,
    security: Security,
    options: Options,
    runtime: Runtime,
    birth: Arc<AtomicU64>,
    life: u64,
    /// The epoch that this node is in.
    epoch: Arc<Mutex<Option<EpochTag>>>,
    known: RwLock<Known>,
    tasks: Mutex<JoinSet<()>>,
    without_address: Counter,
}

/// The other nodes.
#[derive(Default)]
struct Known {
    peers: BTreeMap<NodeId, Arc<Peer>>,
    /// The transaction managers of the present epoch.
    managers: BTreeSet<NodeId>,
    /// Who is where the membership says, and goes with it.
    by_contact: BTreeSet<NodeId>,
    /// Of whom it says that.
    contacts: BTreeSet<NodeId>,
}

/// One other node.
struct Peer {
    identity: Identity,
    address: String,
    security: Security,
    route: v1::Route,
    queue: Arc<Queue>,
    counters: Arc<PeerCounters>,
    options: Options,
    /// This node's.
    birth: Arc<AtomicU64>,
    life: u64,
    epoch: Arc<Mutex<Option<EpochTag>>>,
    jitter: u64,
}

impl Peers {
    /// The transport of the node of `config`. Addresses are of the form `host:port`. They are those in the
    /// [contacts](synod::commit::Membership::contacts) of the membership, and others are given by [`set`](Self::set).
    ///
    /// A contact is such an address, or one with `http://` or `https://` before it. As the members change, a transport
    /// [follows](Transport::enter): it takes the address that the membership has for a node, also in the place of one that was
    /// set, and drops that of a node which has left for good, unless it was set or is still in the membership's contacts:
    /// a former member that goes on as a participant keeps its contact there.
    ///
    /// An error if the certificate is not this node's, if messages may be larger than allowed, and outside of a tokio
    /// runtime.
    pub fn new(config: &Config, security: Security, options: Options) -> Result<Self, Error> {
        let options = options.checked()?;
        options.check_room(config.cluster.limits())?;
        let (cluster, node) = (config.cluster.id(), config.id);
        security.check(Identity::node(cluster, node))?;
        let peers = Self(Arc::new(Inner {
            cluster,
            node,
            security,
            options,
            runtime: Runtime::try_current().map_err(|_| Error::NoRuntime)?,
            birth: Arc::default(),
            life: lives::draw(),
            epoch: Arc::default(),
            known: RwLock::default(),
            tasks: Mutex::default(),
            without_address: without_address(cluster, node),
        }));
        peers.0.follow(&config.cluster.membership());
        Ok(peers)
    }

    /// Says where `node` is, for the first time or again. What waits for it at an address that it has left is dropped.
    pub fn set(&self, node: NodeId, address: &str) -> Result<(), Error> {
        let mut known = self.0.known();
        self.0.place(&mut known, node, address)?;
        known.by_contact.remove(&node);
        Ok(())
    }

    /// Says this node's birth over every connection from now on. Those that there are end, and come about again.
    ///
    /// A driver calls this when it knows the node's birth, before anything is sent. A node that does not tell is 0.
    pub fn set_birth(&self, birth: u64) {
        self.0.birth.store(birth, Ordering::SeqCst);
        for peer in self.0.read().peers.values() {
            peer.queue.detach();
        }
    }

    /// How things are with `node`; `None` if it has no address here.
    pub fn stats(&self, node: NodeId) -> Option<PeerStats> {
        self.0.read().peers.get(&node).map(|peer| peer.counters.read(peer.queue.len()))
    }

    /// How many messages were for nodes without an address here. They were dropped.
    pub fn without_address(&self) -> u64 {
        self.0.without_address.get()
    }

    /// Sends what waits, to nodes that can be reached and for as long as the options grant, and then closes all
    /// connections. What is sent after that is dropped.
    pub async fn shutdown(&self) {
        let inner = &*self.0;
        for peer in inner.read().peers.values() {
            peer.queue.close();
        }
        let mut tasks = mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = timeout(inner.options.grace, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

impl Transport for Peers {
    fn send(&mut self, packet: Packet<Message>) {
        match self.0.read().peers.get(&packet.to) {
            Some(peer) => peer.queue.push(packet.messages),
            None => self.0.without_address.add(packet.messages.len() as u64),
        }
    }

    fn introduce(&mut self, birth: u64) {
        self.set_birth(birth);
    }

    fn enter(&mut self, number: u64, membership: &Membership) {
        let epoch = EpochTag { number, digest: membership.digest() };
        *self.0.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
        self.0.follow(membership);
    }

    fn learn(&mut self, membership: &Membership) {
        let mut known = self.0.known();
        for (node, contact) in &membership.contacts {
            if !known.peers.contains_key(node) {
                self.0.place_by_contact(&mut known, *node, contact);
            }
        }
    }

    fn let_go(&mut self, left: &[NodeId]) {
        let mut known = self.0.known();
        for node in left {
            if !known.contacts.contains(node)
                && known.by_contact.remove(node)
                && let Some(peer) = known.peers.remove(node)
            {
                tracing::info!(peer = %peer.identity, "it has left for good");
                peer.queue.clear();
            }
        }
    }
}

impl Inner {
    /// Takes up who the transaction managers are, and where everybody is.
    fn follow(&self, membership: &Membership) {
        let mut known = self.known();
        known.managers = membership.managers.iter().copied().collect();
        known.contacts = membership.contacts.keys().copied().collect();
        for (node, contact) in &membership.contacts {
            self.place_by_contact(&mut known, *node, contact);
        }
        for (node, peer) in &known.peers {
            peer.queue.want(known.managers.contains(node));
        }
    }

    /// A contact that is no address is no reason to stop: the members have agreed on it.
    fn place_by_contact(&self, known: &mut Known, node: NodeId, contact: &[u8]) {
        if node == self.node {
            return;
        }
        match address_of(contact).map(|address| self.place(known, node, address)) {
            Some(Ok(())) => drop(known.by_contact.insert(node)),
            Some(Err(error)) => tracing::warn!(%node, %error, "its contact is of no use"),
            None => tracing::warn!(%node, "its contact is no address"),
        }
    }

    /// Says where `node` is.
    fn place(&self, known: &mut Known, node: NodeId, address: &str) -> Result<(), Error> {
        if known.peers.get(&node).is_some_and(|peer| peer.address == address) {
            return Ok(());
        }
        let identity = Identity::node(self.cluster, node);
        endpoint(node, address, identity, &self.security, &self.options)?;
        let counters = Arc::new(PeerCounters::new(self.cluster, self.node, node));
        let peer = Arc::new(Peer {
            identity,
            address: address.to_owned(),
            security: self.security.clone(),
            route: v1::Route { cluster: self.cluster.0.to_vec(), from: self.node.0, to: node.0 },
            queue: Arc::new(Queue::new(&self.options, Arc::clone(&counters))),
            counters,
            options: self.options,
            birth: Arc::clone(&self.birth),
            life: self.life,
            epoch: Arc::clone(&self.epoch),
            jitter: self.node.0.rotate_left(32) ^ node.0,
        });
        peer.queue.want(known.managers.contains(&node));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(Arc::clone(&peer).run(), &self.runtime);
        if let Some(left) = known.peers.insert(node, peer) {
            left.queue.clear();
        }
        Ok(())
    }

    fn known(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address in a contact.
pub(crate) fn address_of(contact: &[u8]) -> Option<&str> {
    let text = str::from_utf8(contact).ok()?.trim();
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    Some(text.strip_suffix('/').unwrap_or(text))
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.0.read();
        let addresses: Vec<_> = known.peers.iter().map(|(node, peer)| (node, &peer.address)).collect();
        f.debug_struct("Peers").field("node", &self.0.node).field("addresses", &addresses).finish_non_exhaustive()
    }
}

impl Peer {
    /// Connects whenever there is something to send, and to a manager always, until the queue is closed and empty, or closed
    /// and out of reach.
    async fn run(self: Arc<Self>) {
        let mut attempt = 0;
        // Why the last one failed. It is tried again and again, and says each reason once.
        let mut said = None;
        while self.queue.wait().await {
            let began = Instant::now();
            let end = self.talk().await;
            self.queue.detach();
            self.counters.connected.set(false);
            match &end {
                Ok(()) => tracing::debug!(peer = %self.identity, "the connection has ended"),
                Err(status) if said.as_deref() == Some(status.message()) => {
                    tracing::debug!(peer = %self.identity, %status, "still no connection");
                }
                Err(status) => {
                    tracing::warn!(peer = %self.identity, address = self.address, %status, "no connection");
                    said = Some(status.message().to_owned());
                }
            }
            if self.queue.is_closed() {
                return;
            }
            if began.elapsed() > self.options.backoff_ceiling {
                (attempt, said) = (0, None);
            }
            select! {
                () = sleep(self.backoff(attempt)) => attempt = attempt.saturating_add(1),
                () = self.queue.closed() => {}
            }
        }
    }

    /// One connection, from dialling to its end.
    async fn talk(&self) -> Result<(), Status> {
        let began = Instant::now();
        let welcomed = timeout(self.options.connect, self.dial()).await;
        let mut answers = match welcomed.unwrap_or_else(|_| Err(Status::deadline_exceeded("connecting took too long")))
        {
            Ok(answers) => answers,
            Err(status) => {
                self.counters.failures.add(1);
                self.counters.silence.failed(began);
                return Err(status);
            }
        };
        self.counters.connections.add(1);
        self.counters.connected.set(true);
        self.counters.silence.broken();
        tracing::info!(peer = %self.identity, address = self.address, "connected");
        self.queue.open();
        // Nothing more comes but the end.
        let end = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        self.counters.silence.ended();
        end
    }

    /// A stream to the other node, and its word that it is the one that was dialled.
    async fn dial(&self) -> Result<tonic::Streaming<v1::Welcome>, Status> {
        // Made for each connection: certificates may have been renewed.
        let node = NodeId(self.route.to);
        let endpoint = endpoint(node, &self.address, self.identity, &self.security, &self.options);
        let endpoint = endpoint.map_err(|error| Status::internal(chain(&error)))?;
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(chain(&error)))?;
        let mut client = v1::peer_client::PeerClient::new(channel).max_decoding_message_size(WELCOME);
        let mut stream = Request::new(self.queue.attach(self.route.clone()));
        // Read after that: a birth that is set later ends this stream.
        stream.metadata_mut().insert(BIRTH, self.birth.load(Ordering::SeqCst).into());
        stream.metadata_mut().insert(LIFE, self.life.into());
        let own = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = own.and_then(say_epoch) {
            stream.metadata_mut().insert(EPOCH_TAG, said);
        }
        let mut answers = client.exchange(stream).await?.into_inner();
        let welcome = answers.message().await?.ok_or_else(|| Status::unavailable("the node said nothing"))?;
        if welcome.cluster != self.route.cluster || welcome.node != self.route.to {
            let other = format!("node {} of another cluster, or another node", welcome.node);
            return Err(Status::failed_precondition(other));
        }
        let version = wire::common_version(welcome.versions).map_err(Status::failed_precondition)?;
        self.counters.version.store(version, Ordering::Relaxed);
        self.counters.birth.store(welcome.birth, Ordering::Relaxed);
        let theirs = welcome.epoch.map(EpochTag::from);
        if let (Some(own), Some(theirs)) = (own, theirs)
            && own.number == theirs.number
            && own != theirs
        {
            self.counters.disagreements.add(1);
            tracing::error!(peer = %self.identity, number = own.number, "a node in the same epoch has other members");
            // It must hear of this, too: it refuses the greeting.
            self.queue.greet();
            let _ = answers.message().await;
            return Err(Status::failed_precondition("the node is in the same epoch, of other members"));
        }
        Ok(answers)
    }

    /// How long to wait before the next attempt: each time twice as long, and up to a half less, at random.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.options.backoff.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let most = doubled.min(self.options.backoff_ceiling);
        // By who calls whom for which time.
        let random = mix(self.jitter ^ u64::from(attempt));
        most.mul_f64(1.0 - (random >> 11) as f64 / (1_u64 << 54) as f64)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// An error with all that is beneath it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        said += &format!(": {source}");
        next = source.source();
    }
    said
}

/// A connection to the node or client of this identity, at an address of the form `host:port`: for your own services beside a node. It
/// comes about with the first call, and again when it breaks, with the certificates that were in force when this was called.
pub fn channel(
    identity: Identity,
    address: &str,
    security: &Security,
    options: &Options,
) -> Result<tonic::transport::Channel, Error> {
    let (Role::Node(id) | Role::Client(id)) = identity.role;
    Ok(endpoint(id, address, identity, security, options)?.connect_lazy())
}

/// More than a `Welcome` takes.
const WELCOME: usize = 1 << 10;

/// How `node` is connected to.
pub(crate) fn endpoint(
    node: NodeId,
    address: &str,
    identity: Identity,
    security: &Security,
    options: &Options,
) -> Result<Endpoint, Error> {
    let authority = address.parse::<Authority>().ok().filter(|authority| authority.port_u16().is_some());
    let authority = authority.ok_or_else(|| Error::Address { node, address: address.to_owned() })?;
    let scheme = if let Security::Tls(_) = security { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))?
        .connect_timeout(options.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keep_alive)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true);
    match security {
        Security::Tls(tls) => Ok(endpoint.tls_config(tls.client(identity).timeout(options.connect))?),
        Security::Plaintext => Ok(endpoint),
    }
}
