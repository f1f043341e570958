//! What is left when an application, a server or an agent ends in the middle.

mod common;

use std::time::Duration;

use common::*;
use synod::commit::{Meta, Outcome, Participants, Timeouts, Transaction};
use synod_client::{Branch, Database, Name, local::Local};
use synod_mysql::{Mysql, MysqlBranch, Xid};
use synod_servers::Maria;
use tempfile::TempDir;

/// A transaction with a name of the cluster's, and one prepared branch of it in each database.
async fn prepared(local: &Local, accounts: &Mysql, orders: &Mysql) -> (Transaction, [MysqlBranch; 2]) {
    let tx = local.node(synod::NodeId(1)).unwrap().names(1).await.unwrap().names.first();
    let name = Some(Name { cluster: local.cluster(), tx });
    let participants = Participants::new([ACCOUNTS, ORDERS]).unwrap();
    let transaction = Transaction::of(tx, participants, &Meta::default());
    let mut branches = [accounts.open(name).await.unwrap(), orders.open(name).await.unwrap()];
    for (branch, statement) in branches.iter_mut().zip([TAKE, GIVE]) {
        branch.query_drop(statement).await.unwrap();
        branch.prepare(local.cluster(), &transaction).await.unwrap();
    }
    (transaction, branches)
}

async fn outcome(local: &Local, transaction: &Transaction) -> Outcome {
    local.synod().outcome(transaction.id()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_prepared_and_never_began_is_rolled_back_when_it_is_gone() {
    let Some(server) = server() else { return };
    let world = World::new(server).await;
    let (transaction, branches) = prepared(&world.local, &world.accounts, &world.orders).await;
    let xid = Xid::new(world.local.cluster(), ACCOUNTS, transaction.id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_listed(&world.urls[0], &xid).await, "it lives");
    drop(branches);
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [100, 100]);
    // Whoever begins it now is too late.
    world.local.node(synod::NodeId(1)).unwrap().begin_as(transaction.clone(), []).await.unwrap();
    assert_eq!(outcome(&world.local, &transaction).await, Outcome::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_began_and_left_is_committed_by_the_agents() {
    let Some(server) = server() else { return };
    let world = World::new(server).await;
    let (transaction, branches) = prepared(&world.local, &world.accounts, &world.orders).await;
    world.local.node(synod::NodeId(1)).unwrap().begin_as(transaction.clone(), []).await.unwrap();
    drop(branches);
    assert_eq!(outcome(&world.local, &transaction).await, Outcome::Committed);
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [70, 130]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_with_prepared_branches_ends_them_as_decided_when_it_is_back() {
    if Maria::installed().is_none() {
        eprintln!("left out: no MariaDB is installed");
        return;
    }
    let mut server = Maria::start(synod_servers::Options::default()).unwrap();
    let world = World::new(&server).await;
    let manager = world.local.node(synod::NodeId(1)).unwrap();
    let (begun, branches) = prepared(&world.local, &world.accounts, &world.orders).await;
    manager.begin_as(begun.clone(), []).await.unwrap();
    assert_eq!(outcome(&world.local, &begun).await, Outcome::Committed);
    server.kill().unwrap();
    drop(branches);
    server.start_again().unwrap();
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [70, 130]);
    let (never, branches) = prepared(&world.local, &world.accounts, &world.orders).await;
    server.kill().unwrap();
    drop(branches);
    server.start_again().unwrap();
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [70, 130]);
    manager.begin_as(never.clone(), []).await.unwrap();
    assert_eq!(outcome(&world.local, &never).await, Outcome::Aborted);
    assert!(world.accounts.alarms().is_empty() && world.orders.alarms().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_start_again_keep_what_they_promised_and_roll_back_the_rest() {
    let Some(server) = server() else { return };
    let (urls, folder) = ([database(server), database(server)], TempDir::new().unwrap());
    let (accounts, orders) = (connect(&urls[0], ACCOUNTS).await, connect(&urls[1], ORDERS).await);
    let local = start(&folder, &accounts, &orders).await;
    // Prepared and left by an application, and promised to nobody.
    let (never, branches) = prepared(&local, &accounts, &orders).await;
    let xid = Xid::new(local.cluster(), ACCOUNTS, never.id());
    local.shutdown().await.unwrap();
    drop(branches);
    // They are other processes.
    let (accounts, orders) = (connect(&urls[0], ACCOUNTS).await, connect(&urls[1], ORDERS).await);
    let local = start(&folder, &accounts, &orders).await;
    until_free(&urls[0]).await;
    assert_eq!(row(&urls[0], &xid).await.as_deref(), Some("t"));
    let (begun, branches) = prepared(&local, &accounts, &orders).await;
    local.node(synod::NodeId(1)).unwrap().begin_as(begun.clone(), []).await.unwrap();
    assert_eq!(outcome(&local, &begun).await, Outcome::Committed);
    local.shutdown().await.unwrap();
    drop(branches);
    let (accounts, orders) = (connect(&urls[0], ACCOUNTS).await, connect(&urls[1], ORDERS).await);
    let local = start(&folder, &accounts, &orders).await;
    until_free(&urls[0]).await;
    until_free(&urls[1]).await;
    assert_eq!([balance(&urls[0]).await, balance(&urls[1]).await], [70, 130]);
    assert!(accounts.alarms().is_empty() && orders.alarms().is_empty());
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_voted_for_is_held_for_as_long_as_it_is_in_doubt() {
    let Some(server) = server() else { return };
    let mut world = World::new(server).await;
    world.local.shutdown().await.unwrap();
    let builder = Local::builder(world.folder.path()).agent(world.accounts.clone()).agent(world.orders.clone());
    // Nobody gives up waiting for a vote.
    world.local = builder.timeouts(Timeouts::default().with_recover(20_000)).start().await.unwrap();
    let tx = world.local.node(synod::NodeId(1)).unwrap().names(1).await.unwrap().names.first();
    let name = Some(Name { cluster: world.local.cluster(), tx });
    let transaction = Transaction::new(tx, [ACCOUNTS, ORDERS], []).unwrap();
    let mut branch = world.accounts.open(name).await.unwrap();
    branch.query_drop(TAKE).await.unwrap();
    branch.prepare(world.local.cluster(), &transaction).await.unwrap();
    // The other one does not come to an end, so its vote takes some seconds.
    let mut other = world.orders.open(name).await.unwrap();
    let (mine, others) = (Xid::new(world.local.cluster(), ACCOUNTS, tx), Xid::new(world.local.cluster(), ORDERS, tx));
    other.query_drop(format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 'w')", key(&others))).await.unwrap();
    world.local.node(synod::NodeId(1)).unwrap().begin_as(transaction.clone(), []).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(branch);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(is_listed(&world.urls[0], &mine).await, "the sweep came by many times, and its patience is over");
    assert_eq!(outcome(&world.local, &transaction).await, Outcome::Aborted);
    drop(other);
    until_free(&world.urls[0]).await;
    assert_eq!(world.balances().await, [100, 100]);
}
