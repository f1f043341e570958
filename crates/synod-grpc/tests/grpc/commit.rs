//! Transactions among nodes on sockets.

use synod::{NodeId, commit::Outcome};
use synod_grpc::Identity;

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, IMPOSSIBLE, MANAGERS, World},
};

/// Begins a transaction at `manager`, and sees to it that it ends as it should, everywhere.
async fn run(world: &World, manager: NodeId, meta: &[u8], outcome: Outcome) {
    let handle = world.handle(manager);
    let tx = soon("to begin", handle.begin(BRANCHES, meta)).await.unwrap();
    assert_eq!(soon("the outcome", handle.outcome(tx)).await.unwrap(), outcome);
    for branch in BRANCHES {
        until("every branch learns the outcome", || world.ledger(branch).read(tx) == Some(outcome)).await;
    }
    while !soon("the status", handle.status(tx)).await.unwrap().is_retired() {
        tokio::task::yield_now().await;
    }
    assert!(handle.in_doubt().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_commit_and_abort_alike_at_all_nodes_over_mutual_tls() {
    let world = World::new().await;
    for manager in MANAGERS {
        run(&world, manager, b"", Outcome::Committed).await;
        run(&world, manager, IMPOSSIBLE, Outcome::Aborted).await;
    }
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        assert_eq!(world.handle(node).metrics().await.unwrap().violations(), 0);
        assert_eq!(world.member(node).peers.without_address(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_serves_as_well_when_it_is_chosen_by_name() {
    let world = World::plaintext().await;
    run(&world, MANAGERS[0], b"", Outcome::Committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_down_takes_part_again_and_is_not_missed_meanwhile() {
    let mut world = World::new().await;
    run(&world, MANAGERS[0], b"", Outcome::Committed).await;
    let way = |world: &World| world.member(MANAGERS[0]).peers.stats(MANAGERS[2]).unwrap();
    // It is told what is over, too.
    until("there is a connection to it", || way(&world).connected).await;

    world.stop(MANAGERS[2]).await;
    until("the connection has ended", || !way(&world).connected).await;
    let handle = world.handle(MANAGERS[0]).clone();
    let tx = soon("to begin", handle.begin(BRANCHES, b"")).await.unwrap();
    assert_eq!(soon("the outcome without a node", handle.outcome(tx)).await.unwrap(), Outcome::Committed);

    world.restart(MANAGERS[2]).await;
    // What retires waits for every acceptor, so for the one that was down.
    while !soon("the status", world.handle(MANAGERS[2]).status(tx)).await.unwrap().is_retired() {
        tokio::task::yield_now().await;
    }
    until("there is a connection again", || way(&world).connected && way(&world).connections >= 2).await;
    run(&world, MANAGERS[2], b"", Outcome::Committed).await;
    run(&world, MANAGERS[0], b"", Outcome::Committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_down_too_long_aborts_and_learns_of_it_later() {
    let mut world = World::hasty().await;
    let handle = world.handle(MANAGERS[0]).clone();
    world.stop(BRANCHES[1]).await;
    let tx = soon("to begin", handle.begin(BRANCHES, b"")).await.unwrap();
    // Nobody hears of its vote, so in the end it is taken for one to abort.
    assert_eq!(soon("the outcome without a vote", handle.outcome(tx)).await.unwrap(), Outcome::Aborted);
    world.restart(BRANCHES[1]).await;
    for branch in BRANCHES {
        until("both branches abort", || world.ledger(branch).read(tx) == Some(Outcome::Aborted)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transactions_at_once_all_commit() {
    let world = World::new().await;
    let clients = MANAGERS.map(|manager| world.client(manager, Identity::client(CLUSTER, NodeId(9))));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let client = clients[number % clients.len()].clone();
        running.spawn(async move {
            let tx = client.begin(BRANCHES, format!("number {number}")).await.unwrap();
            (tx, client.outcome(tx).await.unwrap())
        });
    }
    while let Some(ended) = soon("every transaction", running.join_next()).await {
        let (tx, outcome) = ended.unwrap();
        assert_eq!(outcome, Outcome::Committed);
        for branch in BRANCHES {
            until("every branch commits", || world.ledger(branch).read(tx) == Some(Outcome::Committed)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_transaction_ended_is_answered_after_all_nodes_were_restarted() {
    let mut world = World::new().await;
    let handle = world.handle(MANAGERS[0]).clone();
    let ends = [(&b""[..], Outcome::Committed), (IMPOSSIBLE, Outcome::Aborted)];
    let mut ended = Vec::new();
    for (meta, outcome) in ends {
        let tx = soon("to begin", handle.begin(BRANCHES, meta)).await.unwrap();
        assert_eq!(soon("the end", handle.completed(tx)).await.unwrap(), outcome);
        ended.push((tx, outcome));
    }
    drop(handle);
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        world.stop(node).await;
        world.restart(node).await;
    }
    for (tx, outcome) in ended {
        let answer = soon("the outcome", world.handle(MANAGERS[0]).outcome(tx)).await;
        assert_eq!(answer.unwrap(), outcome);
    }
}
