//! Connections: those over which nothing comes, those that are too many, and those over which nothing is read.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use synod::{
    NodeId, TxId,
    commit::{Outcome, Transaction},
};
use synod_grpc::{
    Client, Error, Fault, Identity, Options, Security, Server,
    tonic::{
        Code,
        transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as Papers},
    },
    v1::{self, transactions_client::TransactionsClient},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    authority::Paper,
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];

const ME: Identity = Identity { cluster: CLUSTER, role: synod_grpc::Role::Client(NodeId(9)) };

/// Another server of TARGET, with options of its own.
async fn server(world: &World, options: Options) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let security = world.security(Identity::node(CLUSTER, TARGET));
    Server::start(listener, world.handle(TARGET).clone(), security, options).unwrap()
}

fn client(world: &World, server: &Server, identity: Identity) -> Client {
    let address = server.address().to_string();
    Client::new(CLUSTER, TARGET, &address, &world.security(identity), &options()).unwrap()
}

/// A connection to `server` with a certificate for `name`.
fn endpoint(world: &World, server: &Server, name: &str) -> Endpoint {
    let Paper { certificate, key } = world.authority.issue(&[name]);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&world.authority.certificate))
        .identity(Papers::from_pem(certificate, key))
        .domain_name(Identity::node(CLUSTER, TARGET).to_string());
    Endpoint::from_shared(format!("https://{}", server.address())).unwrap().tls_config(tls).unwrap()
}

/// Until the other side hangs up.
async fn end_of(mut stream: TcpStream) {
    // What comes is the end, or an error.
    let _ = soon("the end", stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_which_nothing_comes_is_closed() {
    let world = World::plaintext().await;
    let server = server(&world, options().with_connect(Duration::from_millis(300))).await;
    let called = client(&world, &server, ME);
    soon("the list", called.in_doubt()).await.unwrap();
    let mut silent = JoinSet::new();
    for _ in 0..4 {
        silent.spawn(end_of(TcpStream::connect(server.address()).await.unwrap()));
    }
    while let Some(ended) = silent.join_next().await {
        ended.unwrap();
    }
    assert_eq!(server.stats().faults(Fault::Idle), 4);
    // One over which a call came is kept.
    soon("the list", called.in_doubt()).await.unwrap();
    assert_eq!(server.stats().faults(Fault::Idle), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_behind_tls_whoever_it_is_from() {
    let world = World::new().await;
    let server = server(&world, options().with_connect(Duration::from_secs(1))).await;
    let mut held = Vec::new();
    for name in ["something.else", &ME.to_string(), &Identity::node(CLUSTER, BRANCHES[0]).to_string()] {
        held.push(endpoint(&world, &server, name).connect().await.unwrap());
    }
    // What somebody may not ask for is no reason to keep a connection.
    let refused = TransactionsClient::new(held[0].clone()).in_doubt(v1::InDoubtRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    until("all are closed", || server.stats().faults(Fault::Idle) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_connection_that_is_nobodys_gives_way() {
    let world = World::new().await;
    let server = server(&world, options().with_newcomers(2).with_connect(Duration::from_secs(600))).await;
    let connect = || async { TcpStream::connect(server.address()).await.unwrap() };
    let (first, _second, _third) = (connect().await, connect().await, connect().await);
    end_of(first).await;
    assert_eq!(server.stats().faults(Fault::Crowded), 1);
    // Whoever means well comes in.
    soon("the list", client(&world, &server, ME).in_doubt()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_no_place_that_a_node_needs() {
    for mut world in [World::new().await, World::plaintext().await] {
        let [first, second, third] = MANAGERS;
        world.options = options().with_connections(4);
        world.stop(first).await;
        world.restart(first).await;
        for node in [second, third] {
            world.stop(node).await;
        }
        let mut leaked = Vec::new();
        let mut refused = 0;
        while refused < 4 {
            let client = world.client(first, ME);
            refused += u32::from(soon("the list", client.in_doubt()).await.is_err());
            leaked.push(client);
        }
        assert!(world.member(first).server.stats().faults(Fault::TooManyConnections) >= 4);
        for node in [second, third] {
            world.restart(node).await;
        }
        let tx = world.handle(first).begin(BRANCHES, []).await.unwrap();
        assert_eq!(soon("the outcome", world.handle(first).outcome(tx)).await.unwrap(), Outcome::Committed);
        // A place is free again when a client goes.
        drop(leaked);
        let late = world.client(first, ME);
        let mut tries = 0;
        while late.in_doubt().await.is_err() {
            tries += 1;
            assert!(tries < 10_000);
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_all_places() {
    let world = World::new().await;
    let server = server(&world, options().with_connections(10).with_connections_each(2)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let client = client(&world, &server, ME);
        soon("the list", client.in_doubt()).await.unwrap();
        held.push(client);
    }
    assert!(soon("one more", client(&world, &server, ME).in_doubt()).await.is_err());
    assert_eq!(server.stats().faults(Fault::TooManyOfOne), 1);
    let other = Identity::client(CLUSTER, NodeId(10));
    soon("somebody else", client(&world, &server, other).in_doubt()).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_the_process_may_have_open_files_are_refused_at_the_start() {
    let world = World::plaintext().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let many = options().with_connections(usize::MAX);
    let error = Server::start(listener, world.handle(TARGET).clone(), Security::Plaintext, many).map(drop).unwrap_err();
    let said = error.to_string();
    let Error::OpenFiles { allowed, others, .. } = error else { panic!("{said}") };
    for part in [allowed.to_string(), others.to_string(), "ulimit -n".into(), "LimitNOFILE".into()] {
        assert!(said.contains(&part), "{part:?} is missing: {said}");
    }
}

/// Runs a test of this file that is ignored, in a process of its own that may open 1,024 files. Returns what it says.
pub(crate) fn alone(test: &str) -> std::process::Child {
    let run = format!(
        "ulimit -Sn 1024; exec \"{}\" --ignored --exact --nocapture {test}",
        env::current_exe().unwrap().display()
    );
    Command::new("sh").args(["-c", &run]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Strangers, who have no certificate, open connections to it all the time, as many as they can.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_files_for_the_storage() {
    let mut node = alone("connections::a_node_that_may_open_1024_files");
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().split_once("address ").map(|(_, is)| is.to_owned())).unwrap();
    let (places, mut strangers) = (Arc::new(Semaphore::new(3_000)), JoinSet::<()>::new());
    for _ in 0..4 {
        let (places, address) = (Arc::clone(&places), address.clone());
        strangers.spawn(async move {
            loop {
                let place = Arc::clone(&places).acquire_owned().await;
                match timeout(Duration::from_secs(1), TcpStream::connect(&address)).await {
                    Ok(Ok(mut stream)) => drop(tokio::spawn(async move {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                        drop(place);
                    })),
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        });
    }
    let rest = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let said = soon("the node", rest).await.unwrap();
    assert!(node.wait().unwrap().success(), "{said}");
    println!("{said}");
}

/// How many files this process has open.
fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[ignore = "run by another test, in a process of its own"]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_open_1024_files() {
    let world = World::new().await;
    let before = files();
    println!("address {}", world.address(TARGET));
    std::io::stdout().flush().unwrap();
    let stats = || world.member(TARGET).server.stats();
    until("strangers come", || stats().faults(Fault::Crowded) > 1_000).await;
    let (began, mut most, mut committed) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(3) || committed < 20 {
        most = most.max(files());
        let tx = soon("to begin", world.handle(TARGET).begin(BRANCHES, vec![7; 60_000])).await.unwrap();
        assert_eq!(soon("the outcome", world.handle(TARGET).outcome(tx)).await.unwrap(), Outcome::Committed);
        committed += 1;
    }
    println!("{committed} committed; files: {before}, and {most} with {} strangers", stats().faults(Fault::Crowded));
    assert!(most < before + 200, "{before}, and then {most}");
}

/// Kibibytes of memory of a process.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_little_and_is_hung_up_on() {
    let mut node = alone("connections::a_node_with_long_answers");
    let lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let rest = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let said = soon("the node", rest).await.unwrap();
    assert!(node.wait().unwrap().success(), "{said}");
    println!("{said}");
}

#[ignore = "run by another test, in a process of its own"]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_long_answers() {
    const CALLS: usize = 250;
    let mut world = World::plaintext().await;
    let branch = BRANCHES[0];
    // Without a transaction manager nothing of this ends.
    for manager in MANAGERS {
        world.stop(manager).await;
    }
    let participants: Vec<NodeId> = [branch].into_iter().chain((0..250).map(|less| NodeId(u64::MAX - less))).collect();
    for seq in 1..=500 {
        let transaction = Transaction::new(TxId { origin: branch, seq: seq << 20 }, &participants, []).unwrap();
        soon("to begin", world.handle(branch).begin_as(transaction, [])).await.unwrap();
    }
    let patience = Duration::from_secs(10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hasty = options().with_read(patience);
    let server = Server::start(listener, world.handle(branch).clone(), Security::Plaintext, hasty).unwrap();
    let address = format!("http://{}", server.address());
    let list = |channel: Channel| async move {
        let mut stub = TransactionsClient::new(channel);
        stub.in_doubt(v1::InDoubtRequest::default()).await.map(|list| list.into_inner().in_doubt.len())
    };
    let reads = Endpoint::from_shared(address.clone()).unwrap().connect_lazy();
    while soon("a list", list(reads.clone())).await.unwrap() < 300 {}

    let before = resident(std::process::id());
    let silent = Endpoint::from_shared(address).unwrap().initial_stream_window_size(0).connect_lazy();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(list(silent.clone()));
    }
    sleep(patience / 2).await;
    let cost = resident(std::process::id()).saturating_sub(before);
    println!("{CALLS} calls that are not read cost {cost} KiB");
    assert!(cost < 32 << 10, "{cost} KiB");
    // Others are served, and this one soon has no connection.
    soon("a list", list(reads)).await.unwrap();
    while let Some(ended) = soon("the end", calls.join_next()).await {
        assert!(ended.unwrap().is_err());
    }
    assert_eq!(server.stats().faults(Fault::SlowReader), 1);
}
