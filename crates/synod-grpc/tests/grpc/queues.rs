//! What waits for a node that does not take it.

use std::{future::pending, net::SocketAddr, time::Duration};

use synod::{
    NodeId, Packet, TxId,
    commit::{Config, Limits, Message, Meta, Transaction, TxRange, What},
    perform::Transport,
};
use synod_grpc::{Error, Options, Peers, Security, Server};
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    soon, until,
    world::{BRANCHES, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];

fn retired(seq: u64) -> Message {
    Message::retired(TxRange::only(TxId { origin: NodeId(9), seq }))
}

fn heavy(seq: u64, bytes: usize) -> Message {
    let meta = Meta::from(vec![0; bytes]);
    let transaction = Transaction::new(TxId { origin: NodeId(9), seq }, BRANCHES, meta.clone()).unwrap();
    Message::about(&transaction, What::Begin { meta })
}

async fn transport(options: Options, address: &str) -> Peers {
    let world = World::plaintext().await;
    let peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, options).unwrap();
    peers.set(TARGET, address).unwrap();
    peers
}

/// An address where nobody listens.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// The runtime has one thread, and the test never lets go of it: to wait here would be to wait for ever.
#[tokio::test]
async fn a_dead_nodes_queue_drops_the_oldest_and_counts_and_nobody_waits() {
    let mut peers = transport(options().with_queue(100), &nowhere().await).await;
    for seq in 0..100_000 {
        peers.send(Packet { to: TARGET, messages: vec![retired(seq)] });
    }
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.queued, stats.dropped, stats.messages), (100, 99_900, 0));
    until("it tries several times", || peers.stats(TARGET).unwrap().failures >= 3).await;

    // A packet larger than the queue leaves its end.
    peers.send(Packet { to: TARGET, messages: (0..1_000).map(retired).collect() });
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.queued, stats.dropped, stats.messages), (100, 100_900, 0));

    // What cannot be sent does not hold a shutdown up.
    soon("the shutdown", peers.shutdown()).await;
    peers.send(Packet { to: TARGET, messages: vec![retired(0)] });
    assert_eq!(peers.stats(TARGET).unwrap().dropped, 100_901);
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let options = options().with_queue_bytes(1 << 20);
    let mut peers = transport(options, &nowhere().await).await;
    for seq in 0..100 {
        peers.send(Packet { to: TARGET, messages: vec![heavy(seq, 1 << 18)] });
    }
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.queued, stats.dropped), (3, 97));
}

#[tokio::test]
async fn what_is_for_nobody_known_is_counted() {
    let mut peers = transport(options(), &nowhere().await).await;
    peers.send(Packet { to: NodeId(99), messages: vec![retired(0), retired(1)] });
    assert_eq!(peers.without_address(), 2);
    assert_eq!(peers.stats(NodeId(99)), None);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_dropped_and_counted_and_holds_nothing_up() {
    let world = World::plaintext().await;
    let limits = world.cluster.limits().with_meta(100).with_participants(4);
    let cluster = world.cluster.spec().clone().with_limits(limits).build().unwrap();
    let config = Config::new(cluster, BRANCHES[0], BRANCHES[0].0);
    let small = options().with_message(4_096);
    let mut peers = Peers::new(&config, Security::Plaintext, small).unwrap();
    peers.set(TARGET, &world.address(TARGET).to_string()).unwrap();
    peers.send(Packet { to: TARGET, messages: vec![retired(1), heavy(1, 4_096), retired(2)] });
    until("the others arrive", || peers.stats(TARGET).unwrap().messages == 2).await;
    assert_eq!(peers.stats(TARGET).unwrap().oversized, 1);
    until("the others are delivered", || world.member(TARGET).server.stats().messages >= 2).await;
}

/// Those who take it look at a whole packet: one that is too large would come again and again, and nothing behind it.
#[tokio::test]
async fn what_has_gathered_for_a_node_that_takes_little_at_once_arrives_in_small_packets() {
    let limits = Limits::default().with_meta(100).with_participants(4);
    let small = options().with_message(4_096);
    let world = World::plaintext().await;
    let cluster = world.cluster.spec().clone().with_limits(limits).build().unwrap();
    let config = |node| Config::new(cluster.clone(), node, node.0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peers = Peers::new(&config(BRANCHES[0]), Security::Plaintext, small).unwrap();
    peers.set(TARGET, &listener.local_addr().unwrap().to_string()).unwrap();
    peers.send(Packet { to: TARGET, messages: (0..1_000).map(retired).collect() });
    let server = Server::relay(listener, &config(TARGET), |_, _| true, Security::Plaintext, small).unwrap();
    until("all of them arrive", || server.stats().messages == 1_000).await;
}

#[tokio::test]
async fn messages_too_small_for_the_clusters_limits_are_refused_at_the_start() {
    let world = World::plaintext().await;
    let small = options().with_message(1 << 16);
    let refused = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, small).map(drop);
    assert!(matches!(refused, Err(Error::SmallMessages { needed, allowed: 65_536 }) if needed > 1 << 16));
}

#[tokio::test]
async fn options_of_zero_and_addresses_that_are_none_are_refused() {
    let world = World::plaintext().await;
    let config = world.config(BRANCHES[0]);
    let zero = [
        ("queue", options().with_queue(0)),
        ("calls", options().with_calls(0)),
        ("connect", options().with_connect(Duration::ZERO)),
        ("backoff", options().with_backoff(Duration::ZERO)),
    ];
    for (name, options) in zero {
        let refused = Peers::new(&config, Security::Plaintext, options).map(drop);
        assert!(matches!(refused, Err(Error::ZeroOption(option)) if option == name));
    }
    let peers = Peers::new(&config, Security::Plaintext, options()).unwrap();
    for address in ["", "a b", "http://there:1", "there", "there:port", "there:1/path", "there:70000"] {
        assert!(matches!(peers.set(TARGET, address), Err(Error::Address { node: TARGET, .. })), "{address:?}");
    }
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = runtime.block_on(async { World::plaintext().await.config(BRANCHES[0]) });
    assert!(matches!(Peers::new(&config, Security::Plaintext, options()).map(drop), Err(Error::NoRuntime)));
}

/// It accepts, and says nothing: the patience of the transport that dials it ends.
#[tokio::test]
async fn a_node_that_is_there_and_silent_is_given_up_and_dialled_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap().0);
        }
    });
    let patience = options().with_connect(Duration::from_millis(20)).with_queue(10);
    let mut peers = transport(patience, &address).await;
    peers.send(Packet { to: TARGET, messages: (0..20).map(retired).collect() });
    until("it gives up several times", || peers.stats(TARGET).unwrap().failures >= 3).await;
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.connections, stats.queued, stats.dropped), (0, 10, 10));
    silent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_comes_about_again_after_the_server_was_gone() {
    let world = World::plaintext().await;
    let mut peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, options()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    peers.set(TARGET, &address.to_string()).unwrap();
    let mut listener = Some(listener);
    for round in 1..=3 {
        let bound = match listener.take() {
            Some(listener) => listener,
            // One that was dropped ends soon, and not at once.
            None => loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            },
        };
        let server = Server::start(bound, world.handle(TARGET).clone(), Security::Plaintext, options()).unwrap();
        peers.send(Packet { to: TARGET, messages: (0..10).map(retired).collect() });
        until("all is delivered", || server.stats().messages == 10).await;
        let stats = peers.stats(TARGET).unwrap();
        assert_eq!((stats.messages, stats.connections, stats.connected), (10 * round, round, true));
        // Both ways that a server can end.
        if round == 2 {
            drop(server)
        } else {
            soon("the shutdown", server.shutdown()).await
        }
        until("it notices", || !peers.stats(TARGET).unwrap().connected).await;
    }
}

/// Takes what comes to it to `address`, and back, until `frozen`; from then on it takes nothing anywhere, and hangs up on
/// nobody.
async fn wire_to(address: SocketAddr, frozen: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(address).await.unwrap();
            let mut frozen = frozen.clone();
            held.push(tokio::spawn(async move {
                tokio::select! {
                    () = async { assert!(frozen.wait_for(|frozen| *frozen).await.is_ok()) } => pending().await,
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                }
            }));
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_give_a_connection_up_that_has_fallen_silent() {
    let world = World::plaintext().await;
    let wary = options()
        .with_keep_alive(Duration::from_millis(500))
        .with_keep_alive_timeout(Duration::from_secs(1))
        .with_node_connections(1)
        .with_queue(1_000);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(listener, world.handle(TARGET).clone(), Security::Plaintext, wary).unwrap();
    let mut peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, wary).unwrap();
    let (freeze, frozen) = watch::channel(false);
    peers.set(TARGET, &wire_to(server.address(), frozen).await.to_string()).unwrap();
    peers.send(Packet { to: TARGET, messages: vec![retired(1)] });
    until("it arrives", || server.stats().messages == 1).await;

    freeze.send_replace(true);
    // More than goes into the buffers on the way.
    for seq in 0..3_000 {
        peers.send(Packet { to: TARGET, messages: vec![heavy(seq, 10_000)] });
    }
    until("the sender gives up", || !peers.stats(TARGET).unwrap().connected).await;
    assert!(peers.stats(TARGET).unwrap().dropped > 0);

    // The one place for a connection is free again.
    let mut others = Peers::new(&world.config(BRANCHES[1]), Security::Plaintext, wary).unwrap();
    others.set(TARGET, &server.address().to_string()).unwrap();
    // What is sent while the place is taken is lost, as any message may be: it is said again.
    let again = || others.send(Packet { to: TARGET, messages: vec![retired(2)] });
    until("the server gives up", said_until(again, || server.stats().messages >= 2)).await;
}

/// Whether it is so, having said the same again if not.
fn said_until(mut say: impl FnMut(), is_so: impl Fn() -> bool) -> impl FnMut() -> bool {
    move || {
        let so = is_so();
        if !so {
            say();
        }
        so
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_is_found_at_its_new_address() {
    let world = World::plaintext().await;
    let mut peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, options()).unwrap();
    peers.set(TARGET, &nowhere().await).unwrap();
    peers.send(Packet { to: TARGET, messages: vec![retired(1)] });
    until("it tries", || peers.stats(TARGET).unwrap().failures >= 1).await;
    peers.set(TARGET, &world.address(TARGET).to_string()).unwrap();
    peers.send(Packet { to: TARGET, messages: vec![retired(2)] });
    until("it arrives", || world.member(TARGET).server.stats().messages == 1).await;
    assert_eq!(peers.stats(TARGET).unwrap().messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_sends_what_waits() {
    let world = World::new().await;
    let security = world.security(synod_grpc::Identity::node(super::world::CLUSTER, BRANCHES[0]));
    let mut peers = Peers::new(&world.config(BRANCHES[0]), security, options()).unwrap();
    peers.set(TARGET, &world.address(TARGET).to_string()).unwrap();
    peers.send(Packet { to: TARGET, messages: (0..10_000).map(retired).collect() });
    soon("the shutdown", peers.shutdown()).await;
    let stats = peers.stats(TARGET).unwrap();
    assert_eq!((stats.messages, stats.dropped, stats.queued), (10_000, 0, 0));
    until("all of it arrives", || world.member(TARGET).server.stats().messages == 10_000).await;
    assert!(stats.packets < 100, "{} packets", stats.packets);
}

/// After a shutdown a server holds nothing: no listener, and no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_closes_what_nobody_ends() {
    let world = World::plaintext().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hasty = options().with_grace(Duration::from_millis(50));
    let server = Server::start(listener, world.handle(TARGET).clone(), Security::Plaintext, hasty).unwrap();
    // It says nothing, not even the preface of HTTP/2, and does not hang up.
    let mut idle = TcpStream::connect(address).await.unwrap();
    soon("the shutdown", server.shutdown()).await;
    let mut bytes = Vec::new();
    // What comes is the end, or an error.
    let _ = soon("the end", idle.read_to_end(&mut bytes)).await;
    assert!(TcpStream::connect(address).await.is_err());
    TcpListener::bind(address).await.unwrap();
}
