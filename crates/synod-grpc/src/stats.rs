//! What is counted, for the program and for the [`metrics`] facade. The module's documentation lists the names.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use synod::{NodeId, commit::ClusterId};
use tokio::time::Instant;

/// What a transport has done about one other node since it was given the node's address, and how things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Whether there is a connection now, over which the node has said who it is.
    pub connected: bool,
    /// How many messages are waiting now.
    pub queued: usize,
    /// Messages handed to a connection.
    pub messages: u64,
    /// Packets handed to a connection.
    pub packets: u64,
    /// Messages that a full queue pushed out.
    pub dropped: u64,
    /// Messages that are larger than allowed, which were dropped.
    pub oversized: u64,
    /// Connections that came about.
    pub connections: u64,
    /// Attempts to connect that came to nothing.
    pub failures: u64,
    /// The version of the protocol that was spoken over the last connection that came about. 0 before the first.
    pub version: u32,
    /// The birth that the node has said over the last connection that came about. 0 if it said none.
    pub birth: u64,
    /// How often the node was in the same epoch as this one, of other members: one of the two was created with another
    /// configuration. Nothing is sent to it.
    pub disagreements: u64,
    /// For how long it has not answered: since the last connection ended, or since the first attempt to connect that failed.
    /// Nothing while there is a connection, and as long as no attempt has failed.
    pub silent: Option<Duration>,
}

/// What a server has taken and refused since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Packets, and calls that carry a message.
    pub packets: u64,
    /// Messages in them that were delivered.
    pub messages: u64,
    faults: [u64; Fault::ALL.len()],
}

impl ServerStats {
    /// How often this happened.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or(0)
    }
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Why a server refused a connection, a call or a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every fault, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name as a label of metrics.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

faults! {
    /// A connection was closed, or got no answer: all places for nodes, or for clients, are taken.
    TooManyConnections = "too_many_connections",
    /// A connection was closed: its other end has as many as one may have.
    TooManyOfOne = "too_many_of_one",
    /// A connection that was not yet anybody's gave way to a newer one.
    Crowded = "crowded",
    /// A connection was closed over which nothing was asked for in time: no call came, or none that it may make.
    Idle = "idle",
    /// A handshake failed or took too long: no certificate, or one of another authority, or plain text.
    Handshake = "handshake",
    /// The certificate is nobody's, or another cluster's.
    Stranger = "stranger",
    /// A client called what is for nodes alone.
    NotANode = "not_a_node",
    /// A message is not from whom the certificate names; or a client names a transaction by a number not its own.
    Forged = "forged",
    /// A message is for another cluster, or another node.
    Misrouted = "misrouted",
    /// A message makes no sense.
    Malformed = "malformed",
    /// A message of a packet is of a kind that is not known here, and was skipped: a newer node's.
    UnknownKind = "unknown_kind",
    /// A packet is larger than allowed.
    TooLarge = "too_large",
    /// A connection was closed over which an answer was not read in time.
    SlowReader = "slow_reader",
    /// The node had no room for a packet.
    InboxFull = "inbox_full",
    /// A request was refused of which not all had come: too many are half sent, or it took too long.
    HalfSent = "half_sent",
    /// A node was refused: it has been met under another birth. It has lost its storage, or it runs twice.
    OtherBirth = "other_birth",
    /// A node was refused: operators have written it off. Its process is still running, or was started again.
    Departed = "departed",
    /// A node was refused: it has been met in another process since. It runs twice.
    RunsTwice = "runs_twice",
    /// A node was refused: it is in the same epoch, of other members. One of the two was created with another configuration.
    OtherMembership = "other_membership",
}

/// A counter, to be read here and to be seen by metrics.
pub(crate) struct Counter {
    count: AtomicU64,
    metric: metrics::Counter,
}

impl Counter {
    fn new(metric: metrics::Counter) -> Self {
        Self { count: AtomicU64::new(0), metric }
    }

    pub(crate) fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.metric.increment(count);
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Whether there is a connection.
pub(crate) struct Flag {
    set: AtomicBool,
    metric: metrics::Gauge,
}

impl Flag {
    pub(crate) fn set(&self, to: bool) {
        self.set.store(to, Ordering::Relaxed);
        self.metric.set(if to { 1.0 } else { 0.0 });
    }

    pub(crate) fn get(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }
}

/// Since when there is no connection.
#[derive(Default)]
pub(crate) struct Silence(Mutex<Since>);

#[derive(Clone, Copy, Default)]
struct Since {
    /// When the last connection ended. `None` while there is one, and before the first.
    ended: Option<Instant>,
    /// Since when attempts fail.
    silent: Option<Instant>,
}

impl Silence {
    /// There is a connection.
    pub(crate) fn broken(&self) {
        *self.since() = Since::default();
    }

    /// The connection has ended.
    pub(crate) fn ended(&self) {
        self.since().ended.get_or_insert_with(Instant::now);
    }

    /// An attempt that `began` then has failed.
    pub(crate) fn failed(&self, began: Instant) {
        let mut since = self.since();
        let from = since.ended.unwrap_or(began);
        since.silent.get_or_insert(from);
    }

    fn lasts(&self) -> Option<Duration> {
        self.since().silent.map(|since| since.elapsed())
    }

    fn since(&self) -> MutexGuard<'_, Since> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counters of one other node.
pub(crate) struct PeerCounters {
    pub(crate) connected: Flag,
    pub(crate) messages: Counter,
    pub(crate) packets: Counter,
    pub(crate) dropped: Counter,
    pub(crate) oversized: Counter,
    pub(crate) connections: Counter,
    pub(crate) failures: Counter,
    pub(crate) version: AtomicU32,
    pub(crate) birth: AtomicU64,
    pub(crate) disagreements: Counter,
    pub(crate) silence: Silence,
}

impl PeerCounters {
    pub(crate) fn new(cluster: ClusterId, node: NodeId, peer: NodeId) -> Self {
        let mut labels = labels(cluster, node);
        labels.push(metrics::Label::new("peer", peer.0.to_string()));
        let dropped = |reason| {
            let mut labels = labels.clone();
            labels.push(metrics::Label::new("reason", reason));
            Counter::new(metrics::counter!("synod_grpc_messages_dropped_total", labels))
        };
        Self {
            dropped: dropped("queue_full"),
            oversized: dropped("too_large"),
            connected: Flag {
                set: AtomicBool::new(false),
                metric: metrics::gauge!("synod_grpc_connected", labels.clone()),
            },
            messages: Counter::new(metrics::counter!("synod_grpc_messages_sent_total", labels.clone())),
            packets: Counter::new(metrics::counter!("synod_grpc_packets_sent_total", labels.clone())),
            connections: Counter::new(metrics::counter!("synod_grpc_connections_total", labels.clone())),
            failures: Counter::new(metrics::counter!("synod_grpc_connect_failures_total", labels.clone())),
            version: AtomicU32::new(0),
            birth: AtomicU64::new(0),
            disagreements: Counter::new(metrics::counter!("synod_grpc_disagreements_total", labels)),
            silence: Silence::default(),
        }
    }

    pub(crate) fn read(&self, queued: usize) -> PeerStats {
        PeerStats {
            connected: self.connected.get(),
            queued,
            messages: self.messages.get(),
            packets: self.packets.get(),
            dropped: self.dropped.get(),
            oversized: self.oversized.get(),
            connections: self.connections.get(),
            failures: self.failures.get(),
            version: self.version.load(Ordering::Relaxed),
            birth: self.birth.load(Ordering::Relaxed),
            disagreements: self.disagreements.get(),
            silent: self.silence.lasts(),
        }
    }
}

/// The counter of messages to nodes whose address is not known.
pub(crate) fn without_address(cluster: ClusterId, node: NodeId) -> Counter {
    let mut labels = labels(cluster, node);
    labels.push(metrics::Label::new("reason", "no_address"));
    Counter::new(metrics::counter!("synod_grpc_messages_dropped_total", labels))
}

/// The counters of a server.
pub(crate) struct ServerCounters {
    pub(crate) packets: Counter,
    pub(crate) messages: Counter,
    faults: [Counter; Fault::ALL.len()],
}

impl ServerCounters {
    pub(crate) fn new(cluster: ClusterId, node: NodeId) -> Self {
        let labels = labels(cluster, node);
        let fault = |place: usize| {
            let mut labels = labels.clone();
            let name = Fault::ALL.get(place).map_or("", |fault| fault.label());
            labels.push(metrics::Label::new("fault", name));
            Counter::new(metrics::counter!("synod_grpc_faults_total", labels))
        };
        Self {
            packets: Counter::new(metrics::counter!("synod_grpc_packets_received_total", labels.clone())),
            messages: Counter::new(metrics::counter!("synod_grpc_messages_received_total", labels.clone())),
            faults: std::array::from_fn(fault),
        }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        if let Some(counter) = self.faults.get(fault as usize) {
            counter.add(1);
        }
    }

    pub(crate) fn read(&self) -> ServerStats {
        ServerStats {
            packets: self.packets.get(),
            messages: self.messages.get(),
            faults: std::array::from_fn(|place| self.faults.get(place).map_or(0, Counter::get)),
        }
    }
}

/// The gauge of days until a certificate expires.
pub(crate) fn days_left(cluster: ClusterId, node: NodeId) -> metrics::Gauge {
    metrics::gauge!("synod_grpc_certificate_days_left", labels(cluster, node))
}

fn labels(cluster: ClusterId, node: NodeId) -> Vec<metrics::Label> {
    vec![metrics::Label::new("cluster", cluster.to_string()), metrics::Label::new("node", node.0.to_string())]
}
