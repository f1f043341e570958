//! Two databases, seen by an application.

mod common;

use common::*;
use mysql_async::prelude::Queryable;
use synod_client::{OpenError, Outcome};
use synod_mysql::{Error, Missing, Mysql, mysql_async};

macro_rules! world {
    () => {
        match server() {
            Some(server) => World::new(server).await,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_branches_have_done_is_committed_together_and_seen_at_once() {
    let world = world!();
    for turn in 1..=20 {
        let mut tx = world.synod().transaction();
        tx.on(&world.accounts).await.unwrap().exec_drop(TAKE, ()).await.unwrap();
        tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        assert_eq!(world.balances().await, [100 - 30 * turn, 100 + 30 * turn]);
    }
    assert!(world.accounts.alarms().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_is_rolled_back_everywhere_and_its_locks_go() {
    let world = world!();
    let mut tx = world.synod().transaction();
    tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
    tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
    drop(tx);
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_fails_aborts_the_other_one_too() {
    let world = world!();
    let mut tx = world.synod().transaction();
    tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
    let branch = tx.on(&world.orders).await.unwrap();
    branch.query_drop(GIVE).await.unwrap();
    let number: u64 = branch.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    by_hand(&world.urls[1]).await.query_drop(format!("KILL {number}")).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed(), "{error:?}");
    until_free(&world.urls[0]).await;
    assert_eq!(world.balances().await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_has_only_read_is_no_participant_even_over_a_connection_that_wrote_before() {
    let world = world!();
    let read = "SELECT balance FROM account WHERE id = 1 FOR UPDATE";
    for turn in 1..=5 {
        let mut tx = world.synod().transaction();
        tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
        let found: Option<i64> = tx.on(&world.orders).await.unwrap().query_first(read).await.unwrap();
        assert_eq!(found, Some(100 + 30 * (turn - 1)));
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        // The same, the other way round, leaves connections behind that have written.
        let mut tx = world.synod().transaction();
        tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
    assert_eq!(world.balances().await, [100 - 5 * 30, 100 + 5 * 30]);
    for url in &world.urls {
        let lengths = "SELECT OCTET_LENGTH(branch) FROM synod_fence WHERE OCTET_LENGTH(branch) >= 40";
        let lengths: Vec<u64> = by_hand(url).await.query(lengths).await.unwrap();
        assert_eq!(lengths, [41; 5], "each was committed by itself, and nothing was prepared");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_writes_in_a_select_counts_as_written() {
    let world = world!();
    for url in &world.urls {
        let function = "CREATE FUNCTION take() RETURNS INT MODIFIES SQL DATA BEGIN \
            UPDATE account SET balance = balance - 30 WHERE id = 1; RETURN 1; END";
        by_hand(url).await.query_drop(function).await.unwrap();
    }
    let mut tx = world.synod().transaction();
    tx.on(&world.accounts).await.unwrap().query_drop("SELECT take()").await.unwrap();
    tx.on(&world.orders).await.unwrap().exec_drop("SELECT take()", ()).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(world.balances().await, [70, 70]);
    for url in &world.urls {
        let rows = "SELECT COUNT(*) FROM synod_fence WHERE OCTET_LENGTH(branch) = 41";
        assert_eq!(by_hand(url).await.query_first(rows).await.unwrap(), Some(0_u64), "both were prepared");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_dropped_call_a_branch_can_only_be_rolled_back() {
    let world = world!();
    let mut tx = world.synod().transaction();
    tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
    let branch = tx.on(&world.accounts).await.unwrap();
    branch.query_drop(TAKE).await.unwrap();
    let slow = branch.query_drop("SELECT SLEEP(60)");
    tokio::time::timeout(std::time::Duration::from_millis(100), slow).await.unwrap_err();
    branch.query_drop("SELECT 1").await.unwrap_err();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed(), "{error:?}");
    until_free(&world.urls[0]).await;
    until_free(&world.urls[1]).await;
    assert_eq!(world.balances().await, [100, 100]);
    // The name is used again, and so are the connections.
    for _ in 0..4 {
        let mut tx = world.synod().transaction();
        tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
        tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
    assert_eq!(world.balances().await, [100 - 120, 100 + 120]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_rolls_everything_back_and_leaves_the_connection_usable() {
    let world = world!();
    by_hand(&world.urls[0]).await.query_drop("INSERT INTO account VALUES (2, 100)").await.unwrap();
    let of = |id| format!("UPDATE account SET balance = balance + 1 WHERE id = {id}");
    let (mut first, mut second) = (world.synod().transaction(), world.synod().transaction());
    first.on(&world.accounts).await.unwrap().query_drop(of(1)).await.unwrap();
    second.on(&world.accounts).await.unwrap().query_drop(of(2)).await.unwrap();
    let one = async { first.on(&world.accounts).await.unwrap().query_drop(of(2)).await };
    let other = async { second.on(&world.accounts).await.unwrap().query_drop(of(1)).await };
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "one of them is the victim");
    let (survivor, victim) = if one.is_ok() { (first, second) } else { (second, first) };
    victim.roll_back().await;
    assert_eq!(survivor.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(world.balances().await, [101, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_loses_the_answer_to_a_lone_commit_finds_out() {
    let world = world!();
    let mut tx = world.synod().transaction();
    let branch = tx.on(&world.accounts).await.unwrap();
    branch.query_drop(TAKE).await.unwrap();
    let number: u64 = branch.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    by_hand(&world.urls[0]).await.query_drop(format!("KILL {number}")).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed(), "{error:?}");
    assert_eq!(world.balances().await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_transactions_that_are_over_everywhere_go() {
    let world = world!();
    for _ in 0..3 {
        let mut tx = world.synod().transaction();
        tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
        tx.on(&world.orders).await.unwrap().query_drop(GIVE).await.unwrap();
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
    for url in &world.urls {
        let mut conn = by_hand(url).await;
        let rows = "SELECT COUNT(*) FROM synod_fence WHERE OCTET_LENGTH(branch) = 40";
        until("the rows are gone", async || conn.query_first(rows).await.unwrap() == Some(0_u64)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_few_connections_and_all_money_is_still_there() {
    let world = world!();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (synod, accounts, orders) = (world.synod(), world.accounts.clone(), world.orders.clone());
        tasks.spawn(async move {
            let mut tx = synod.transaction();
            tx.on(&accounts).await.unwrap().query_drop(TAKE).await.unwrap();
            tx.on(&orders).await.unwrap().query_drop(GIVE).await.unwrap();
            tx.commit().await.unwrap() == Outcome::Committed
        });
    }
    let committed = tasks.join_all().await.into_iter().filter(|committed| *committed).count() as i64;
    assert_eq!(world.balances().await, [100 - 30 * committed, 100 + 30 * committed]);
    assert_eq!(committed, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_lacks_is_said_with_its_remedy() {
    let Some(server) = server() else { return };
    let url = database(server);
    let missing = async |url: &str| match Mysql::connect(url, ACCOUNTS).await {
        Err(Error::Missing { missing, .. }) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&server.url("")).await, Missing::NoDatabase);
    let name = url.rsplit_once('/').unwrap().1;
    let mut conn = by_hand(&url).await;
    let low = url.replace("synod@", &format!("low_{name}@"));
    conn.query_drop(format!("CREATE USER 'low_{name}'@'127.0.0.1'")).await.unwrap();
    conn.query_drop(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.account TO 'low_{name}'@'127.0.0.1'"))
        .await
        .unwrap();
    assert!(matches!(missing(&low).await, Missing::NoTable(_)));
    conn.query_drop("CREATE TABLE synod_fence (branch INT) ENGINE=Aria").await.unwrap();
    assert_eq!(missing(&url).await, Missing::NotInnoDb("Aria".into()));
    conn.query_drop("DROP TABLE synod_fence").await.unwrap();
    Mysql::connect(&url, ACCOUNTS).await.unwrap();
    for table in ["synod_fence", "synod_identity"] {
        conn.query_drop(format!("GRANT SELECT ON `{name}`.{table} TO 'low_{name}'@'127.0.0.1'")).await.unwrap();
    }
    assert!(matches!(missing(&low).await, Missing::NoRights(account) if account.starts_with("low_")));
    let account = format!("'low_{name}'@'127.0.0.1'");
    let rights = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON synod_fence TO {account}; GRANT SELECT, INSERT, UPDATE ON synod_identity TO {account}"
    );
    conn.query_drop(rights).await.unwrap();
    Mysql::connect(&low, ACCOUNTS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_an_error_when_its_branch_is_opened() {
    let world = world!();
    let mut server = synod_servers::Maria::start(synod_servers::Options::default()).unwrap();
    let url = database(&server);
    let third = connect(&url, synod::NodeId(13)).await;
    server.kill().unwrap();
    let mut tx = world.synod().transaction();
    assert!(matches!(tx.on(&third).await, Err(OpenError::Database { .. })));
}
