//! What a branch is, by what the server and the fence say of it: each row of the table in the crate's documentation.

mod common;

use std::time::Duration;

use common::*;
use mysql_async::prelude::Queryable;
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Outcome, Promised, Status, Transaction, Vote},
    perform::tokio::{Progress, Resource},
};
use synod_client::local::Local;
use synod_mysql::{Kind, Xid, mysql_async};

macro_rules! alone {
    () => {
        match server() {
            Some(server) => Alone::new(server).await,
            None => return,
        }
    };
}

fn kinds(branch: &Alone) -> Vec<Kind> {
    branch.mysql.alarms().iter().map(|alarm| alarm.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_is_voted_for_and_committed_once_however_often_that_is_asked() {
    let branch = alone!();
    branch.prepare_and_leave().await;
    for _ in 0..2 {
        assert_eq!(branch.vote().await, Vote::Prepared);
    }
    for _ in 0..3 {
        assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Finished);
        assert_eq!(balance(&branch.url).await, 70);
    }
    assert_eq!(branch.vote().await, Vote::Prepared, "it was");
    assert_eq!((branch.row().await.as_deref(), kinds(&branch)), (Some("w"), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_is_rolled_back_once_and_its_late_twin_fails() {
    let branch = alone!();
    branch.prepare_and_leave().await;
    for _ in 0..2 {
        assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Finished);
    }
    assert_eq!((branch.row().await.as_deref(), balance(&branch.url).await), (Some("t"), 100));
    branch.prepare().await.unwrap_err();
    assert_eq!(branch.vote().await, Vote::Aborted);
    assert_eq!(kinds(&branch), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_to_abort_leaves_a_tombstone_and_a_late_prepare_fails() {
    let branch = alone!();
    assert_eq!(branch.vote().await, Vote::Aborted);
    assert_eq!(branch.row().await.as_deref(), Some("t"));
    let error = branch.prepare().await.unwrap_err();
    assert!(matches!(&error, mysql_async::Error::Server(error) if error.code == 1062), "{error}");
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_without_a_vote_leaves_a_tombstone_and_a_late_prepare_fails() {
    let branch = alone!();
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Finished);
    branch.prepare().await.unwrap_err();
    assert_eq!(branch.vote().await, Vote::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_living_connection_holds_is_neither_done_nor_lost() {
    let branch = alone!();
    let conn = branch.prepare().await.unwrap();
    assert_eq!(branch.vote().await, Vote::Prepared);
    assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Again);
    assert_eq!(kinds(&branch), []);
    leave(conn, &branch.url, &branch.xid).await;
    assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Finished);
    assert_eq!(balance(&branch.url).await, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_branch_that_is_gone_is_never_taken_for_committed_and_is_carried_out_once_it_is_back() {
    let branch = alone!();
    branch.prepare_and_leave().await;
    assert_eq!(branch.vote().await, Vote::Prepared);
    by_hand(&branch.url).await.query_drop(format!("XA ROLLBACK {}", branch.xid)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Again);
        assert_eq!(kinds(&branch), [Kind::Lost]);
    }
    branch.prepare_and_leave().await;
    assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Finished);
    assert_eq!((kinds(&branch), balance(&branch.url).await), (vec![], 70));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_what_was_rolled_back_here_is_an_alarm() {
    let branch = alone!();
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Finished);
    for _ in 0..2 {
        assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Again);
    }
    assert_eq!(kinds(&branch), [Kind::RolledBack]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_by_hand_is_committed_and_an_abort_of_it_is_an_alarm() {
    let branch = alone!();
    branch.prepare_and_leave().await;
    by_hand(&branch.url).await.query_drop(format!("XA COMMIT {}", branch.xid)).await.unwrap();
    assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Finished);
    assert_eq!(kinds(&branch), []);
    for _ in 0..2 {
        assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Again);
    }
    assert_eq!(kinds(&branch), [Kind::Committed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_row_is_being_written_is_not_ended_before_that_is_over() {
    let branch = alone!();
    let xid = branch.xid;
    let mut conn = by_hand(&branch.url).await;
    let insert = format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 'w')", key(&xid));
    conn.query_drop(format!("XA START {xid}; {TAKE}; {insert}")).await.unwrap();
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Again);
    assert_eq!(branch.vote().await, Vote::Aborted, "nothing else can be said in time");
    conn.query_drop(format!("XA END {xid}; XA PREPARE {xid}")).await.unwrap();
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Again, "a living connection holds it");
    leave(conn, &branch.url, &xid).await;
    assert_eq!(branch.verdict(Outcome::Aborted).await, Progress::Finished);
    assert_eq!((branch.row().await.as_deref(), balance(&branch.url).await), (Some("t"), 100));
    until_free(&branch.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_rolls_back_what_was_promised_to_nobody_and_nothing_that_is_anybody_elses() {
    let branch = alone!();
    let (cluster, tx) = (branch.xid.cluster(), branch.xid.tx());
    let other = TxId { seq: tx.seq + 1, ..tx };
    let xids = [
        branch.xid,
        Xid::new(cluster, ACCOUNTS, other),
        Xid::new(cluster, ORDERS, other),
        Xid::new(ClusterId([200; 16]), ACCOUNTS, other),
        Xid::new(cluster, ACCOUNTS, TxId { origin: NodeId(2), ..tx }),
    ];
    for (at, xid) in xids.iter().enumerate() {
        let mut conn = by_hand(&branch.url).await;
        let insert = format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 'w')", key(xid));
        let account = format!("INSERT INTO account VALUES ({}, 0)", at + 10);
        conn.query_drop(format!("XA START {xid}; {account}; {insert}; XA END {xid}; XA PREPARE {xid}")).await.unwrap();
        leave(conn, &branch.url, xid).await;
    }
    let promised = [Promised::new(branch.transaction.clone(), Meta::default())];
    assert_eq!(branch.resource.recover(&promised).await.unwrap(), []);
    let mut left = Vec::new();
    for xid in &xids {
        left.push(is_listed(&branch.url, xid).await);
    }
    assert_eq!(left, [true, false, true, true, false]);
    assert_eq!(row(&branch.url, &xids[1]).await.as_deref(), Some("t"));
    assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Finished);
    for xid in &xids[2..4] {
        by_hand(&branch.url).await.query_drop(format!("XA ROLLBACK {xid}")).await.unwrap();
    }
}

/// A transaction that has ended and is over everywhere, and of which the accounts' database keeps no row any more.
async fn over(world: &World, outcome: Outcome) -> Xid {
    let manager = world.local.node(NodeId(1)).unwrap();
    let tx = manager.names(1).await.unwrap().names.first();
    let xids = [ACCOUNTS, ORDERS].map(|participant| Xid::new(world.local.cluster(), participant, tx));
    if outcome == Outcome::Committed {
        for (url, xid) in world.urls.iter().zip(&xids) {
            leave(prepare(url, xid).await.unwrap(), url, xid).await;
        }
    }
    let transaction = Transaction::new(tx, [ACCOUNTS, ORDERS], []).unwrap();
    manager.begin_as(transaction, []).await.unwrap();
    assert_eq!(world.synod().outcome(tx).await.unwrap(), outcome);
    until("it is over", async || is_over(&world.local, tx).await).await;
    // A database that has gone back in time has no tombstone either.
    let tombstone = format!("DELETE FROM synod_fence WHERE state = 't' AND branch = {}", key(&xids[0]));
    by_hand(&world.urls[0]).await.query_drop(tombstone).await.unwrap();
    until("its row is gone", async || row(&world.urls[0], &xids[0]).await.is_none()).await;
    xids[0]
}

async fn is_over(local: &Local, tx: TxId) -> bool {
    matches!(local.node(ACCOUNTS).unwrap().status(tx).await, Ok(Status::Retired { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_again_though_it_is_over_ends_again_as_it_did() {
    let Some(server) = server() else { return };
    let world = World::new(server).await;
    let mut expected = 100;
    for (outcome, change) in [(Outcome::Committed, -30), (Outcome::Aborted, 0)] {
        let xid = over(&world, outcome).await;
        expected += change;
        assert_eq!(balance(&world.urls[0]).await, expected);
        // The database goes back to the moment when the branch was prepared.
        leave(prepare(&world.urls[0], &xid).await.unwrap(), &world.urls[0], &xid).await;
        until("the sweep has ended it", async || !is_listed(&world.urls[0], &xid).await).await;
        expected += change;
        assert_eq!(balance(&world.urls[0]).await, expected, "{outcome:?}");
    }
    assert_eq!(world.accounts.alarms(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_again_and_ended_nobody_knows_how_is_left_to_the_operator() {
    let Some(server) = server() else { return };
    let mut world = World::new(server).await;
    let xid = over(&world, Outcome::Committed).await;
    // An agent that starts again still knows that the transaction is over, and no longer how it ended.
    world.local.shutdown().await.unwrap();
    world.local = start(&world.folder, &world.accounts, &world.orders).await;
    assert!(is_over(&world.local, xid.tx()).await);
    leave(prepare(&world.urls[0], &xid).await.unwrap(), &world.urls[0], &xid).await;
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert!(is_listed(&world.urls[0], &xid).await, "the sweep came by many times, and its patience is over");
    by_hand(&world.urls[0]).await.query_drop(format!("XA COMMIT {xid}")).await.unwrap();
    assert_eq!(balance(&world.urls[0]).await, 40);
}
