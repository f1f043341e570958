//! The metrics say what the counters say, under the names in the documentation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, atomics::AtomicU64,
    with_local_recorder,
};
use synod::{
    NodeId, Packet, TxId,
    commit::{Message, TxRange},
    perform::Transport,
};
use synod_grpc::{Client, Peers, Security, Server};
use tokio::net::TcpListener;

use super::{
    until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

/// Remembers every counter and gauge by its name and labels.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Memory {
    fn register(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        let counters = self.0.lock().unwrap();
        counters.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed))).collect()
    }
}

/// Has `memory` remember what `make` counts.
pub(crate) fn with_memory<T>(memory: &Memory, make: impl FnOnce() -> T) -> T {
    with_local_recorder(memory, make)
}

impl Recorder for Memory {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_the_counters_say() {
    let world = World::plaintext().await;
    let memory = Memory::default();
    let (node, target) = (BRANCHES[0], MANAGERS[0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, mut peers) = with_local_recorder(&memory, || {
        let server = Server::start(listener, world.handle(target).clone(), Security::Plaintext, options()).unwrap();
        let peers = Peers::new(&world.config(node), Security::Plaintext, options()).unwrap();
        peers.set(target, &server.address().to_string()).unwrap();
        (server, peers)
    });
    let retired = |seq| Message::retired(TxRange::only(TxId { origin: NodeId(9), seq }));
    peers.send(Packet { to: target, messages: vec![retired(1), retired(2)] });
    peers.send(Packet { to: NodeId(99), messages: vec![retired(3)] });
    until("both arrive", || server.stats().messages == 2).await;
    // A caller that asks as a node, and says nothing that makes sense, is counted.
    let address = server.address().to_string();
    let client = Client::new(CLUSTER, target, &address, &Security::Plaintext, &options()).unwrap();
    let mut stub = synod_grpc::v1::peer_client::PeerClient::new(client.channel());
    assert!(stub.retire(synod_grpc::v1::RangeRequest::default()).await.is_err());

    let cluster = "cluster=677270632c206f6e206c6f6f70626163";
    let peer = format!("{cluster},node={},peer={}", node.0, target.0);
    let own = format!("{cluster},node={}", target.0);
    let packets = server.stats().packets;
    let mut expected = BTreeMap::from([
        (format!("synod_grpc_messages_sent_total{{{peer}}}"), 2),
        (format!("synod_grpc_packets_sent_total{{{peer}}}"), packets),
        (format!("synod_grpc_messages_dropped_total{{{peer},reason=queue_full}}"), 0),
        (format!("synod_grpc_messages_dropped_total{{{peer},reason=too_large}}"), 0),
        (format!("synod_grpc_messages_dropped_total{{{cluster},node={},reason=no_address}}", node.0), 1),
        (format!("synod_grpc_connections_total{{{peer}}}"), 1),
        (format!("synod_grpc_connect_failures_total{{{peer}}}"), 0),
        (format!("synod_grpc_disagreements_total{{{peer}}}"), 0),
        (format!("synod_grpc_connected{{{peer}}}"), 1.0_f64.to_bits()),
        (format!("synod_grpc_packets_received_total{{{own}}}"), packets),
        (format!("synod_grpc_messages_received_total{{{own}}}"), 2),
    ]);
    for fault in synod_grpc::Fault::ALL {
        let count = u64::from(*fault == synod_grpc::Fault::Malformed);
        expected.insert(format!("synod_grpc_faults_total{{{own},fault={}}}", fault.label()), count);
    }
    assert_eq!(memory.read(), expected);
    peers.shutdown().await;
}
