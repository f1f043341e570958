//! Who is not who it says it is changes nothing.

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Message, Meta, Metrics, Status as CommitStatus, Transaction, What},
    perform::Transport,
};
use synod_grpc::{
    Client, Fault, Identity, Peers, Security, Server,
    tonic::{Code, Status, codegen::tokio_stream, transport::*},
    v1::{self, manager_client::ManagerClient, peer_client::PeerClient},
};
use tokio::net::TcpListener;

use super::{
    authority::Authority,
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: BRANCHES[0], seq }, BRANCHES, []).unwrap()
}

fn begin(seq: u64) -> Message {
    Message::about(&transaction(seq), What::Begin { meta: Meta::default() })
}

fn route(from: NodeId) -> v1::Route {
    v1::Route { cluster: CLUSTER.0.to_vec(), from: from.0, to: TARGET.0 }
}

fn packet(from: NodeId, seq: u64) -> v1::Packet {
    v1::Packet { route: Some(route(from)), messages: vec![(&begin(seq)).into()] }
}

fn request(from: NodeId) -> v1::ContentRequest {
    v1::ContentRequest { route: Some(route(from)), transaction: Some((&transaction(1)).into()), meta: Vec::new() }
}

/// A stream of `packets` over `channel`; how it ends, and whether it was welcomed.
async fn stream(channel: Channel, packets: Vec<v1::Packet>) -> (bool, Result<(), Status>) {
    let mut welcomed = false;
    let ended = async {
        let mut answers = PeerClient::new(channel).exchange(tokio_stream::iter(packets)).await?.into_inner();
        while let Some(welcome) = answers.message().await? {
            assert_eq!((welcome.cluster, welcome.node), (CLUSTER.0.to_vec(), TARGET.0));
            assert_eq!(welcome.versions, Some(v1::Versions { oldest: 1, newest: 1 }));
            welcomed = true;
        }
        Ok(())
    };
    let ended = soon("the end of the stream", ended).await;
    (welcomed, ended)
}

/// One call over `channel`.
async fn call(channel: Channel, from: NodeId) -> Result<(), Status> {
    soon("the call", ManagerClient::new(channel).begin(request(from))).await.map(drop)
}

async fn metrics(world: &World) -> Metrics {
    soon("the metrics", world.handle(TARGET).metrics()).await.unwrap()
}

fn faults(world: &World, fault: Fault) -> u64 {
    world.member(TARGET).server.stats().faults(fault)
}

fn channel(world: &World, identity: Identity) -> Channel {
    world.client(TARGET, identity).channel()
}

/// How TARGET is reached with any TLS at all.
async fn with_tls(world: &World, tls: ClientTlsConfig) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{}", world.address(TARGET))).unwrap();
    let name = Identity::node(CLUSTER, TARGET).to_string();
    endpoint.tls_config(tls.domain_name(name)).unwrap().connect_lazy()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_the_name_of_another_is_refused_and_counted_and_changes_nothing() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let (liar, victim) = (Identity::node(CLUSTER, BRANCHES[1]), BRANCHES[0]);

    let refused = call(channel(&world, liar), victim).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(faults(&world, Fault::Forged), 1);
    assert_eq!(metrics(&world).await, before);

    let (welcomed, ended) = stream(channel(&world, liar), vec![packet(victim, 1)]).await;
    assert!(welcomed && ended.unwrap_err().code() == Code::PermissionDenied);
    assert_eq!(faults(&world, Fault::Forged), 2);
    assert_eq!(metrics(&world).await, before);

    // In its own name it is heard, until it lies.
    let packets = vec![packet(BRANCHES[1], 1), packet(victim, 2), packet(BRANCHES[1], 3)];
    let (_, ended) = stream(channel(&world, liar), packets).await;
    assert_eq!(ended.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(faults(&world, Fault::Forged), 3);
    let status = |seq| world.handle(TARGET).status(TxId { origin: BRANCHES[0], seq });
    while soon("the status", status(1)).await.unwrap() == CommitStatus::Unknown {}
    for unheard in [2, 3] {
        assert_eq!(soon("the status", status(unheard)).await.unwrap(), CommitStatus::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let forger = Authority::new();
    let identity = Identity::node(CLUSTER, BRANCHES[0]);

    // It trusts the right authority, and has a certificate from its own.
    let paper = forger.issue(&[&identity.to_string()]);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&world.authority.certificate))
        .identity(tonic_identity(&paper.certificate, &paper.key));
    assert!(call(with_tls(&world, tls.clone()).await, BRANCHES[0]).await.is_err());
    assert!(!stream(with_tls(&world, tls).await, vec![packet(BRANCHES[0], 1)]).await.0);
    until("the handshakes are counted", || faults(&world, Fault::Handshake) == 2).await;
    assert_eq!(metrics(&world).await, before);
    assert_eq!(world.member(TARGET).server.stats().packets, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_certificate_is_refused() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&world.authority.certificate));
    assert!(call(with_tls(&world, tls.clone()).await, BRANCHES[0]).await.is_err());
    assert!(!stream(with_tls(&world, tls).await, vec![packet(BRANCHES[0], 1)]).await.0);
    until("the handshakes are counted", || faults(&world, Fault::Handshake) == 2).await;
    assert_eq!(metrics(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_cluster_or_of_nobody_is_refused_before_anything_is_read() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let elsewhere = Identity::node(ClusterId([7; 16]), BRANCHES[0]).to_string();
    let both = [elsewhere.as_str(), &Identity::node(CLUSTER, BRANCHES[0]).to_string()].map(String::from);
    let papers: [&[&str]; 3] = [&[&elsewhere], &["localhost"], &[&both[0], &both[1]]];
    for (count, names) in papers.into_iter().enumerate() {
        let paper = world.authority.issue(names);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&world.authority.certificate))
            .identity(tonic_identity(&paper.certificate, &paper.key));
        let channel = with_tls(&world, tls).await;
        let refused = call(channel.clone(), BRANCHES[0]).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let (welcomed, ended) = stream(channel.clone(), vec![packet(BRANCHES[0], 1)]).await;
        assert!(!welcomed && ended.unwrap_err().code() == Code::PermissionDenied);
        let mut client = v1::transactions_client::TransactionsClient::new(channel);
        let refused = client.in_doubt(v1::InDoubtRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(faults(&world, Fault::Stranger), 3 * (count as u64 + 1));
    }
    assert_eq!(metrics(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_use_what_is_for_clients_and_nothing_else() {
    let world = World::new().await;
    let before = metrics(&world).await;
    // The number of a node makes it no node.
    for number in [NodeId(9), BRANCHES[0]] {
        let channel = channel(&world, Identity::client(CLUSTER, number));
        let refused = call(channel.clone(), number).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let (welcomed, ended) = stream(channel, vec![packet(number, 1)]).await;
        assert!(!welcomed && ended.unwrap_err().code() == Code::PermissionDenied);
    }
    assert_eq!(faults(&world, Fault::NotANode), 4);
    assert_eq!(metrics(&world).await, before);
    let client = world.client(TARGET, Identity::client(CLUSTER, NodeId(9)));
    assert!(soon("the list", client.in_doubt()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_another_node_or_another_cluster_is_refused() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let channel = channel(&world, Identity::node(CLUSTER, BRANCHES[0]));
    let wrong = [
        v1::Route { to: MANAGERS[1].0, ..route(BRANCHES[0]) },
        v1::Route { cluster: [7; 16].to_vec(), ..route(BRANCHES[0]) },
    ];
    for (count, route) in wrong.into_iter().enumerate() {
        let asked = v1::ContentRequest { route: Some(route), ..request(BRANCHES[0]) };
        let refused = ManagerClient::new(channel.clone()).begin(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(faults(&world, Fault::Misrouted), count as u64 + 1);
    }
    assert_eq!(metrics(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_refuses_plain_text() {
    let world = World::new().await;
    let before = metrics(&world).await;
    let address = world.address(TARGET).to_string();
    let client = Client::new(CLUSTER, TARGET, &address, &Security::Plaintext, &options()).unwrap();
    assert!(call(client.channel(), BRANCHES[0]).await.is_err());
    assert!(soon("the call", client.in_doubt()).await.is_err());
    until("the handshake is counted", || faults(&world, Fault::Handshake) >= 1).await;
    assert_eq!(metrics(&world).await, before);
}

/// A transport of BRANCHES[0] that takes `address` for that of TARGET: it must never connect, and keep what it has.
async fn refuses(world: &World, address: &str) {
    let security = world.authority.security(Identity::node(CLUSTER, BRANCHES[0]));
    let mut peers = Peers::new(&world.config(BRANCHES[0]), security, options()).unwrap();
    peers.set(TARGET, address).unwrap();
    peers.send(synod::Packet { to: TARGET, messages: vec![begin(1)] });
    until("it tries several times", || peers.stats(TARGET).unwrap().failures >= 3).await;
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.connected, stats.connections, stats.messages, stats.queued), (false, 0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_with_tls_sends_nothing_in_plain_text() {
    let world = World::plaintext().await;
    let before = metrics(&world).await;
    refuses(&world, &world.address(TARGET).to_string()).await;
    assert_eq!(metrics(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_sends_nothing_to_another_node_than_the_one_it_dials() {
    let world = World::new().await;
    let other = world.member(MANAGERS[1]).server.stats();
    refuses(&world, &world.address(MANAGERS[1]).to_string()).await;
    assert_eq!(world.member(MANAGERS[1]).server.stats().packets, other.packets);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_sends_nothing_to_a_node_that_another_authority_vouches_for() {
    let world = World::new().await;
    let forger = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let security = forger.security(Identity::node(CLUSTER, TARGET));
    let server = Server::start(listener, world.handle(TARGET).clone(), security, options()).unwrap();
    refuses(&world, &server.address().to_string()).await;
    // The client knows of a failure a moment before the server.
    until("the server counts them", || server.stats().faults(Fault::Handshake) >= 3).await;
    assert_eq!(server.stats().packets, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_node_at_the_wrong_address_gets_nothing() {
    let world = World::plaintext().await;
    let mut peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, options()).unwrap();
    peers.set(TARGET, &world.address(MANAGERS[1]).to_string()).unwrap();
    peers.send(synod::Packet { to: TARGET, messages: vec![begin(1)] });
    until("it tries several times", || peers.stats(TARGET).unwrap().failures >= 3).await;
    assert_eq!(peers.stats(TARGET).unwrap().queued, 1);
    assert_eq!(world.member(MANAGERS[1]).server.stats().faults(Fault::Misrouted), 0);
}

fn tonic_identity(certificate: &str, key: &str) -> synod_grpc::tonic::transport::Identity {
    synod_grpc::tonic::transport::Identity::from_pem(certificate, key)
}
