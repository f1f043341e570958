//! The transport keeps the contract of transports, with TLS and without.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use synod::{
    NodeId, Packet, Quorums,
    commit::{Cluster, Config, Message},
    perform::{
        Transport,
        conformance::{self, TransportUnderTest},
    },
};
use synod_grpc::{Identity, Peers, Security, Server};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    authority::Authority,
    world::{CLUSTER, MANAGERS, options},
};

/// A packet, and who sent it.
type Delivery = (NodeId, Vec<Message>);

/// Three nodes that send and take packets, and are nothing more.
struct Sockets {
    nodes: BTreeMap<NodeId, (Peers, Server, Receiver<Delivery>)>,
    _runtime: Runtime,
}

impl Sockets {
    fn new(security: impl Fn(Identity) -> Security) -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let cluster = Cluster::new(CLUSTER, Quorums::majority(MANAGERS).unwrap(), MANAGERS).unwrap();
        let mut nodes = BTreeMap::new();
        for node in MANAGERS {
            let (config, security) = (Config::new(cluster.clone(), node, 0), security(Identity::node(CLUSTER, node)));
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let (delivered, inbox) = channel();
            let delivered = Mutex::new(delivered);
            let put = move |from, messages| delivered.lock().unwrap().send((from, messages)).is_ok();
            let server = Server::relay(listener, &config, put, security.clone(), options()).unwrap();
            nodes.insert(node, (Peers::new(&config, security, options()).unwrap(), server, inbox));
        }
        for (peers, ..) in nodes.values() {
            for (other, (_, server, _)) in &nodes {
                peers.set(*other, &server.address().to_string()).unwrap();
            }
        }
        drop(entered);
        Self { nodes, _runtime: runtime }
    }
}

impl TransportUnderTest for Sockets {
    fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn send(&mut self, from: NodeId, packet: Packet<Message>) {
        self.nodes.get_mut(&from).unwrap().0.send(packet);
    }

    fn receive(&mut self, at: NodeId, patience: Duration) -> Option<Delivery> {
        self.nodes[&at].2.recv_timeout(patience).ok()
    }
}

#[test]
fn a_transport_over_mutual_tls_conforms() {
    let authority = Authority::new();
    let report = conformance::transport(&mut Sockets::new(|identity| authority.security(identity)));
    report.assert();
}

#[test]
fn a_transport_in_plain_text_conforms() {
    let report = conformance::transport(&mut Sockets::new(|_| Security::Plaintext));
    report.assert();
}
