//! What is counted, for the program and for the [`metrics`] facade. The module's documentation lists the names.

use alloc::string::ToString;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{NodeId, commit::ClusterId};

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
    /// A connection over the limit was closed.
    TooManyConnections = "too_many_connections",
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
    /// A packet is larger than allowed.
    TooLarge = "too_large",
    /// The node had no room for a packet.
    InboxFull = "inbox_full",
}

/// A counter, to be read here and to be seen by metrics.
pub(super) struct Counter {
    count: AtomicU64,
    metric: metrics::Counter,
}

impl Counter {
    fn new(metric: metrics::Counter) -> Self {
        Self { count: AtomicU64::new(0), metric }
    }

    pub(super) fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.metric.increment(count);
    }

    pub(super) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Whether there is a connection.
pub(super) struct Flag {
    set: AtomicBool,
    metric: metrics::Gauge,
}

impl Flag {
    pub(super) fn set(&self, to: bool) {
        self.set.store(to, Ordering::Relaxed);
        self.metric.set(if to { 1.0 } else { 0.0 });
    }

    pub(super) fn get(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }
}

/// The counters of one other node.
pub(super) struct PeerCounters {
    pub(super) connected: Flag,
    pub(super) messages: Counter,
    pub(super) packets: Counter,
    pub(super) dropped: Counter,
    pub(super) oversized: Counter,
    pub(super) connections: Counter,
    pub(super) failures: Counter,
}

impl PeerCounters {
    pub(super) fn new(cluster: ClusterId, node: NodeId, peer: NodeId) -> Self {
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
            failures: Counter::new(metrics::counter!("synod_grpc_connect_failures_total", labels)),
        }
    }

    pub(super) fn read(&self, queued: usize) -> PeerStats {
        PeerStats {
            connected: self.connected.get(),
            queued,
            messages: self.messages.get(),
            packets: self.packets.get(),
            dropped: self.dropped.get(),
            oversized: self.oversized.get(),
            connections: self.connections.get(),
            failures: self.failures.get(),
        }
    }
}

/// The counter of messages to nodes whose address is not known.
pub(super) fn without_address(cluster: ClusterId, node: NodeId) -> Counter {
    let mut labels = labels(cluster, node);
    labels.push(metrics::Label::new("reason", "no_address"));
    Counter::new(metrics::counter!("synod_grpc_messages_dropped_total", labels))
}

/// The counters of a server.
pub(super) struct ServerCounters {
    pub(super) packets: Counter,
    pub(super) messages: Counter,
    faults: [Counter; Fault::ALL.len()],
}

impl ServerCounters {
    pub(super) fn new(cluster: ClusterId, node: NodeId) -> Self {
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
            faults: core::array::from_fn(fault),
        }
    }

    pub(super) fn fault(&self, fault: Fault) {
        if let Some(counter) = self.faults.get(fault as usize) {
            counter.add(1);
        }
    }

    pub(super) fn read(&self) -> ServerStats {
        ServerStats {
            packets: self.packets.get(),
            messages: self.messages.get(),
            faults: core::array::from_fn(|place| self.faults.get(place).map_or(0, Counter::get)),
        }
    }
}

fn labels(cluster: ClusterId, node: NodeId) -> alloc::vec::Vec<metrics::Label> {
    let cluster = alloc::format!("{:032x}", u128::from_be_bytes(cluster.0));
    alloc::vec![metrics::Label::new("cluster", cluster), metrics::Label::new("node", node.0.to_string())]
}
