//! Requests that are begun and never finished.

use std::{
    io::{BufRead, BufReader, Write},
    process::Child,
    time::Duration,
};

use synod_grpc::{
    Client, Fault, Security, Server,
    tonic::{
        Code,
        codegen::{Bytes, http},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    connections::{alone, resident},
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

/// As many as a server takes over a connection.
const STREAMS: usize = 256;

const MIB: u64 = 1 << 10;

const BEGIN: &str = "/synod.v1.Transactions/Begin";

/// The start of a message of nearly 1 MiB, and then as much of it as the server lets in.
async fn half(mut client: h2::client::SendRequest<Bytes>, path: &str) -> Option<http::Response<h2::RecvStream>> {
    let request = http::Request::post(format!("http://node{path}")).header("content-type", "application/grpc");
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).ok()?;
    let send = async {
        let mut left = Bytes::from([&[0_u8][..], &(1_000_000_u32).to_be_bytes(), &vec![0; 999_000]].concat());
        while !left.is_empty() {
            body.reserve_capacity(left.len());
            let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else { return };
            let frame = left.split_to(room.min(left.len()));
            if body.send_data(frame, false).is_err() {
                return;
            }
        }
        std::future::pending().await
    };
    let _ = timeout(Duration::from_secs(5), send).await;
    timeout(Duration::from_secs(2), answer).await.ok()?.ok()
}

/// So many connections, each with as many half-sent requests as it may make. Returns the most memory that the node took
/// meanwhile, in KiB above what it took before, and how many requests it refused by gRPC's code.
async fn siege(node: &Child, address: &str, connections: usize, path: &'static str) -> (u64, usize) {
    let before = resident(node.id());
    let mut halves = JoinSet::new();
    for _ in 0..connections {
        let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
        tokio::spawn(connection);
        // One more than the server is known to take would wait.
        client = client.ready().await.unwrap();
        for _ in 0..STREAMS {
            // A server may close a connection over which so little comes at a time.
            let Ok(ready) = client.ready().await else { break };
            client = ready;
            halves.spawn(half(client.clone(), path));
        }
    }
    let (mut most, mut refused) = (0, 0);
    while !halves.is_empty() {
        most = most.max(resident(node.id()).saturating_sub(before));
        while let Ok(Some(ended)) = timeout(Duration::from_millis(50), halves.join_next()).await {
            let exhausted = (Code::ResourceExhausted as i32).to_string();
            let code = ended.unwrap().and_then(|answer| answer.headers().get("grpc-status").cloned());
            refused += usize::from(code.is_some_and(|code| code.as_bytes() == exhausted.as_bytes()));
        }
    }
    (most, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_take_a_few_mebibytes_over_one_connection_and_over_many() {
    let mut node = alone("half_sent::a_node_that_is_sent_halves");
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().split_once("address ").map(|(_, is)| is.to_owned())).unwrap();
    // What the runtime and the allocator take at first is nobody's fault.
    siege(&node, &address, 1, "/synod.v1.Transactions/Status").await;
    let one = siege(&node, &address, 1, BEGIN).await;
    let stream = siege(&node, &address, 1, "/synod.v1.Peer/Exchange").await;
    let many = siege(&node, &address, 12, BEGIN).await;
    node.kill().unwrap();
    node.wait().unwrap();
    println!("KiB, and refused: {one:?} over one connection, {stream:?} as streams, {many:?} over twelve");
    assert!(one.0 < 8 * MIB && one.1 > 0, "{one:?}");
    assert!(stream.0 < 8 * MIB && stream.1 > 0, "{stream:?}");
    assert!(many.0 < 64 * MIB && many.1 > STREAMS, "{many:?}");
}

#[ignore = "run by another test, in a process of its own"]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_sent_halves() {
    let world = World::plaintext().await;
    println!("address {}", world.address(MANAGERS[0]));
    std::io::stdout().flush().unwrap();
    sleep(Duration::from_secs(600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_refused_and_others_are_served_meanwhile() {
    let world = World::plaintext().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hasty = options().with_read(Duration::from_secs(1));
    let server = Server::start(listener, world.handle(MANAGERS[0]).clone(), Security::Plaintext, hasty).unwrap();
    let (client, connection) =
        h2::client::handshake(TcpStream::connect(server.address()).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let slow = tokio::spawn(half(client, BEGIN));
    let address = server.address().to_string();
    let other = Client::new(CLUSTER, MANAGERS[0], &address, &Security::Plaintext, &options()).unwrap();
    soon("to begin", other.begin(BRANCHES, vec![7; 60_000])).await.unwrap();
    until("it is refused", || server.stats().faults(Fault::HalfSent) == 1).await;
    let answer = soon("the answer", slow).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
}
