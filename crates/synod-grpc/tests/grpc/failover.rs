//! A client's deadlines, and what it does when a node does not answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use synod::{
    NodeId, TxId,
    commit::{Outcome, Status, Transaction},
};
use synod_grpc::{CallError, Client, Identity, Options, Security, tonic::Code};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

const ME: NodeId = NodeId(9);

const ATTEMPT: Duration = Duration::from_secs(1);

/// Much longer than a call may take, and much shorter than for ever.
const LATE: Duration = Duration::from_secs(30);

fn hasty() -> Options {
    options().with_attempt(ATTEMPT).with_call(ATTEMPT * 3)
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: ME, seq }, BRANCHES, []).unwrap()
}

fn client(world: &World, ways: &[(NodeId, SocketAddr)]) -> Client {
    let security = world.security(Identity::client(CLUSTER, ME));
    let (node, address) = ways[0];
    let client = Client::new(CLUSTER, node, &address.to_string(), &security, &hasty()).unwrap();
    ways[1..].iter().fold(client, |client, (node, address)| client.with_node(*node, &address.to_string()).unwrap())
}

/// A listener whose process does nothing: the system takes connections in its stead.
async fn stopped() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn nowhere() -> SocketAddr {
    stopped().await.1
}

/// Takes what comes to it to `address`, and answers with nothing but what it takes to connect.
async fn deaf_to(address: SocketAddr, silent_after: Arc<AtomicU64>) -> SocketAddr {
    let (listener, here) = stopped().await;
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(address).await.unwrap();
            let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { copy(&mut near_in, &mut far_out).await });
            let silent_after = Arc::clone(&silent_after);
            tokio::spawn(async move {
                let mut bytes = [0; 1 << 14];
                while let Ok(read @ 1..) = far_in.read(&mut bytes).await {
                    if silent_after.load(Ordering::Relaxed) > 0 {
                        near_out.write_all(&bytes[..read]).await.unwrap();
                    }
                }
            });
        }
    });
    here
}

/// Makes every call, each of which must end in an error, and soon.
async fn all_calls_end(client: &Client) {
    let tx = transaction(1).id();
    let began = Instant::now();
    let errors = tokio::join!(
        async { client.begin(BRANCHES, []).await.unwrap_err() },
        async { client.begin_as(&transaction(1), []).await.unwrap_err() },
        async { client.outcome(tx).await.unwrap_err() },
        async { client.status(tx).await.unwrap_err() },
        async { client.in_doubt().await.unwrap_err() },
        async { client.inquire(tx).await.unwrap_err() },
    );
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    let codes = [&errors.1, &errors.2, &errors.3, &errors.4, &errors.5].map(CallError::code);
    assert!(codes.iter().all(|code| matches!(code, Code::DeadlineExceeded | Code::Unavailable)), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_deadline_where_a_process_is_stopped() {
    for world in [World::plaintext().await, World::new().await] {
        let (_held, silent) = stopped().await;
        soon("all calls", all_calls_end(&client(&world, &[(MANAGERS[0], silent)]))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_deadline_where_a_connection_falls_silent() {
    let world = World::new().await;
    let talks = Arc::new(AtomicU64::new(1));
    let client = client(&world, &[(MANAGERS[0], deaf_to(world.address(MANAGERS[0]), Arc::clone(&talks)).await)]);
    soon("the list", client.in_doubt()).await.unwrap();
    talks.store(0, Ordering::Relaxed);
    soon("all calls", all_calls_end(&client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_turn_to_the_next_node_and_stay_there() {
    let world = World::new().await;
    let (_held, silent) = stopped().await;
    let ways = [(MANAGERS[0], silent), (MANAGERS[1], nowhere().await), (MANAGERS[2], world.address(MANAGERS[2]))];
    let client = client(&world, &ways);
    let tx = transaction(1).id();
    soon("to begin", client.begin_as(&transaction(1), [])).await.unwrap();
    assert_eq!(soon("the outcome", client.outcome(tx)).await.unwrap(), Outcome::Committed);
    assert!(matches!(
        soon("the status", client.status(tx)).await.unwrap(),
        Status::Open { .. } | Status::Retired { .. }
    ));
    let began = Instant::now();
    for seq in 2..32 {
        soon("to begin", client.begin_as(&transaction(seq), [])).await.unwrap();
    }
    // Had each turned to the stopped one first, it would have taken twice as long.
    assert!(began.elapsed() < ATTEMPT * 6, "{:?}", began.elapsed());
    // Nothing was sent to anybody who said who it is: nothing can have begun.
    let fresh = self::client(&world, &ways);
    let tx = soon("to begin", fresh.begin(BRANCHES, [])).await.unwrap();
    assert_eq!(tx.origin, MANAGERS[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_asked_for_where_it_is_known() {
    let mut world = World::new().await;
    let [first, second, _] = MANAGERS;
    let here = world.client(second, Identity::client(CLUSTER, ME));
    soon("to begin", here.begin_as(&transaction(1), [])).await.unwrap();
    assert_eq!(soon("the outcome", here.outcome(transaction(1).id())).await.unwrap(), Outcome::Committed);
    while !soon("the status", here.status(transaction(1).id())).await.unwrap().is_retired() {}
    let elsewhere = world.client(first, Identity::client(CLUSTER, ME));
    while !soon("the status", elsewhere.status(transaction(1).id())).await.unwrap().is_retired() {}
    // The first one has forgotten how it ended.
    world.stop(first).await;
    world.restart(first).await;
    let client = client(&world, &[(first, world.address(first)), (second, world.address(second))]);
    assert_eq!(soon("the outcome", client.outcome(transaction(1).id())).await.unwrap(), Outcome::Committed);
    // One that nobody has heard of is waited for, as long as a call may take.
    let never = soon("the outcome", client.outcome(transaction(77).id())).await.unwrap_err();
    assert!(matches!(never, CallError::Deadline), "{never:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_a_name_whose_answer_is_lost_may_have_begun_and_begins_once() {
    let world = World::new().await;
    let talks = Arc::new(AtomicU64::new(1));
    let deaf = deaf_to(world.address(MANAGERS[0]), Arc::clone(&talks)).await;
    let client = client(&world, &[(MANAGERS[0], deaf), (MANAGERS[1], world.address(MANAGERS[1]))]);
    soon("the list", client.in_doubt()).await.unwrap();
    talks.store(0, Ordering::Relaxed);
    let lost = soon("to begin", client.begin(BRANCHES, [])).await.unwrap_err();
    assert!(matches!(lost, CallError::MayHaveBegun(_)), "{lost:?}");
    until("it ends", || world.ledger(BRANCHES[0]).len() == 1).await;
    // With a name there is no such doubt.
    soon("to begin", client.begin_as(&transaction(1), [])).await.unwrap();
    for branch in BRANCHES {
        until("it commits", || world.ledger(branch).read(transaction(1).id()) == Some(Outcome::Committed)).await;
    }
    assert_eq!(world.ledger(BRANCHES[0]).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_manager_is_passed_over() {
    let world = World::new().await;
    let [branch, other] = BRANCHES;
    let client = client(&world, &[(branch, world.address(branch)), (MANAGERS[0], world.address(MANAGERS[0]))]);
    let tx = soon("to begin", client.begin([other], [])).await.unwrap();
    assert_eq!(tx.origin, MANAGERS[0]);
    let refused = soon("to begin", client.begin([other; 2], [])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let plain = Client::new(CLUSTER, branch, "nowhere", &Security::Plaintext, &options()).unwrap_err();
    assert!(plain.to_string().contains("host:port"));
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_that_no_clock_can_count_do_no_harm() {
    let mut world = World::plaintext().await;
    world.stop(MANAGERS[0]).await;
    world.options = options()
        .with_connect(Duration::MAX)
        .with_keep_alive(Duration::MAX)
        .with_keep_alive_timeout(Duration::MAX)
        .with_backoff(Duration::MAX)
        .with_backoff_ceiling(Duration::MAX)
        .with_read(Duration::MAX)
        .with_call(Duration::MAX)
        .with_attempt(Duration::MAX)
        .with_grace(Duration::MAX);
    world.restart(MANAGERS[0]).await;
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    assert_eq!(soon("the status", client.status(transaction(1).id())).await.unwrap(), Status::Unknown);
    assert_eq!(soon("the list", client.in_doubt()).await.unwrap(), []);
    drop(client);
    world.stop(MANAGERS[0]).await;
}
