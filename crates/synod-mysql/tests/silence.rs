//! Databases that are another one's, are away or hang, and hosts that die without a word.

mod common;

use std::time::Duration;

use common::*;
use mysql_async::prelude::Queryable;
use synod::{
    NodeId,
    commit::{ClusterId, Meta, Outcome, Vote},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database, Name, OpenError, local::Local};
use synod_mysql::{Error, Mysql, MysqlBranch, mysql_async};
use synod_servers::{Maria, Relay};
use tokio::time::timeout;

macro_rules! server {
    () => {
        match server() {
            Some(server) => server,
            None => return,
        }
    };
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().expect("it has a cause").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_are_swapped_or_another_clusters_are_refused_with_the_remedy() {
    let world = World::new(server!()).await;
    for (url, as_whom) in [(&world.urls[0], ORDERS), (&world.urls[1], ACCOUNTS), (&world.urls[0], NodeId(13))] {
        let error = Mysql::connect(url, as_whom).await.unwrap_err();
        assert!(matches!(error, Error::OtherParticipant { .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("swapped") && told.contains("DELETE FROM synod_identity"), "{told}");
    }
    // A folder that was lost, or somebody else's.
    let again = connect(&world.urls[0], ACCOUNTS).await;
    let folder = tempfile::tempdir().unwrap();
    let error = Local::builder(folder.path()).agent(again).start().await.unwrap_err();
    assert!(source(&error).contains(&format!("stands in cluster {}", world.local.cluster())), "{error:?}");
    let error = world.accounts.resource(ClusterId([1; 16])).await.unwrap_err();
    assert!(error.to_string().contains("connect once for each cluster"), "{error}");
    // The application has another database than the agent of this number.
    let copy = connect(&database(server!()), ACCOUNTS).await;
    let mut tx = world.synod().transaction();
    let error = tx.on(&copy).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { participant: ACCOUNTS, .. }), "{error:?}");
    assert!(source(&error).contains("no agent has stood beside the database"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_is_told_and_takes_part_when_it_is_back() {
    let world = World::new(server!()).await;
    let mut away = Maria::start(synod_servers::Options::default()).unwrap();
    let third = Mysql::connect_lazy(&database(&away), NodeId(13), options()).unwrap();
    away.kill().unwrap();
    world.local.shutdown().await.unwrap();
    let agents = [world.accounts.clone(), world.orders.clone(), third.clone()];
    let local = agents.into_iter().fold(Local::builder(world.folder.path()), |local, agent| local.agent(agent));
    let local = local.start().await.unwrap();
    let told = local.away();
    assert_eq!(told.iter().map(|away| away.participant).collect::<Vec<_>>(), [NodeId(13)]);
    assert!(told[0].why.contains("database n13 gives no connection: "), "{}", told[0].why);
    let transfer = async |databases: [(&Mysql, &str); 2]| {
        let mut tx = local.synod().transaction();
        for (database, statement) in databases {
            tx.on(database).await?.query_drop(statement).await.unwrap();
        }
        Ok::<_, OpenError>(tx.commit().await.unwrap())
    };
    assert_eq!(transfer([(&world.accounts, TAKE), (&world.orders, GIVE)]).await.unwrap(), Outcome::Committed);
    transfer([(&world.accounts, TAKE), (&third, GIVE)]).await.unwrap_err();
    away.start_again().unwrap();
    until("it takes part", async || local.away().is_empty()).await;
    assert_eq!(transfer([(&world.accounts, TAKE), (&third, GIVE)]).await.unwrap(), Outcome::Committed);
    assert_eq!(balance(&world.urls[0]).await, 40);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_up_no_agent_and_what_it_does_not_say_is_not_taken_for_anything() {
    let server = server!();
    let branch = Alone::new(server).await;
    let relay = Relay::before(server.port()).unwrap();
    let agent = Mysql::connect_with(&relay.url(&branch.url), ACCOUNTS, options().answer(ms(300))).await.unwrap();
    let resource = agent.resource(branch.xid.cluster()).await.unwrap();
    let (transaction, meta) = (&branch.transaction, &Meta::default());
    let commit = async || timeout(ms(5_000), resource.commit(transaction, meta)).await.expect("it does not hang");
    let vote = async || timeout(ms(5_000), resource.vote(transaction, meta)).await.expect("it does not hang");
    branch.prepare_and_leave().await;
    assert_eq!(vote().await, Vote::Prepared);
    relay.hang();
    assert_eq!(vote().await, Vote::Aborted);
    assert_eq!(commit().await, Progress::Again);
    relay.go_on();
    assert_eq!(vote().await, Vote::Prepared);
    assert!(is_listed(&branch.url, &branch.xid).await && agent.alarms().is_empty());
    // The server carries it out, and nobody hears of it.
    relay.hang_answers();
    assert_eq!(commit().await, Progress::Again);
    assert!(agent.alarms().is_empty());
    relay.go_on();
    assert_eq!(commit().await, Progress::Finished);
    assert_eq!((balance(&branch.url).await, agent.alarms()), (70, vec![]));
}

/// A branch of an application whose host is about to die.
async fn doomed(branch: &Alone, relay: &Relay) -> MysqlBranch {
    let quick = options().wait(ms(2_000)).idle(ms(3_000));
    let application = Mysql::connect_with(&relay.url(&branch.url), ACCOUNTS, quick).await.unwrap();
    let name = Name { cluster: branch.xid.cluster(), tx: branch.xid.tx() };
    let mut doomed = application.open(Some(name)).await.unwrap();
    doomed.query_drop(TAKE).await.unwrap();
    doomed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_without_a_word_leaves_no_branch_for_good() {
    let server = server!();
    for is_prepared in [false, true] {
        let (branch, relay) = (Alone::new(server).await, Relay::before(server.port()).unwrap());
        let mut doomed = doomed(&branch, &relay).await;
        if is_prepared {
            doomed.prepare(branch.xid.cluster(), &branch.transaction).await.unwrap();
        }
        relay.hang();
        if is_prepared {
            assert_eq!(branch.verdict(Outcome::Committed).await, Progress::Again, "its connection has it");
            until("the server notices", async || branch.verdict(Outcome::Committed).await == Progress::Finished).await;
        }
        until_free(&branch.url).await;
        assert_eq!(balance(&branch.url).await, if is_prepared { 70 } else { 100 });
        // It was the server that ended the connection.
        relay.go_on();
        doomed.query_drop("SELECT 1").await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_server_hangs_leaves_its_branch_to_the_agent() {
    let server = server!();
    let (branch, relay) = (Alone::new(server).await, Relay::before(server.port()).unwrap());
    let mut doomed = doomed(&branch, &relay).await;
    doomed.prepare(branch.xid.cluster(), &branch.transaction).await.unwrap();
    relay.hang();
    let finished = timeout(ms(5_000), doomed.finish(Outcome::Committed)).await.expect("it does not hang");
    finished.unwrap_err();
    until("it is carried out", async || branch.verdict(Outcome::Committed).await == Progress::Finished).await;
    assert_eq!(balance(&branch.url).await, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_lets_branches_begin_and_end_in_time_or_not_at_all() {
    let server = server!();
    let (branch, relay) = (Alone::new(server).await, Relay::before(server.port()).unwrap());
    let mut idle = doomed(&branch, &relay).await;
    let application =
        Mysql::connect_with(&relay.url(&branch.url), ACCOUNTS, options().wait(ms(500)).connections(1)).await.unwrap();
    let name = |seq| Name { cluster: branch.xid.cluster(), tx: synod::TxId { origin: NodeId(7), seq } };
    let mut reader = application.open(Some(name(1))).await.unwrap();
    reader.query_drop("SELECT * FROM account").await.unwrap();
    relay.hang();
    // It asks whether anything was written.
    timeout(ms(5_000), reader.has_written()).await.expect("it does not hang").unwrap_err();
    timeout(ms(5_000), reader.roll_back()).await.expect("it does not hang");
    relay.go_on();
    application.open(Some(name(2))).await.unwrap().roll_back().await;
    relay.hang();
    let begun = timeout(ms(5_000), application.open(Some(name(3)))).await.expect("it does not hang");
    begun.unwrap_err();
    relay.go_on();
    idle.roll_back().await;
    until("one begins again", async || application.open(Some(name(4))).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_lone_commit_stays_for_as_long_as_somebody_may_ask_for_it() {
    let world = World::new(server!()).await;
    let mut tx = world.synod().transaction();
    tx.on(&world.accounts).await.unwrap().query_drop(TAKE).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    world.local.shutdown().await.unwrap();
    // Who says that rows need not be kept at all still waits for lost answers.
    let forgetful = options().keep(Duration::ZERO).wait(ms(60_000));
    let accounts = Mysql::connect_with(&world.urls[0], ACCOUNTS, forgetful).await.unwrap();
    let _local = start(&world.folder, &accounts, &world.orders).await;
    // The first turn clears what is old.
    tokio::time::sleep(ms(1_500)).await;
    let rows = "SELECT COUNT(*) FROM synod_fence WHERE OCTET_LENGTH(branch) = 41";
    assert_eq!(by_hand(&world.urls[0]).await.query_first(rows).await.unwrap(), Some(1_u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_more_lone_commits_than_one_turn_can_clear_are_cleared_by_the_next_turns() {
    let world = World::new(server!()).await;
    world.local.shutdown().await.unwrap();
    let mut conn = by_hand(&world.urls[0]).await;
    // One more page than a turn clears.
    let old = format!(
        "INSERT INTO synod_fence (branch, state, made) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n \
         WHERE n < {}) SELECT CONCAT(X'{:032x}{:016x}', UNHEX(LPAD(HEX(n), 34, '0'))), 'w', \
         CURRENT_TIMESTAMP(6) - INTERVAL 2 DAY FROM n",
        65 * 512,
        0,
        ACCOUNTS.0,
    );
    conn.query_drop(format!("SET max_recursive_iterations = 1000000; {old}")).await.unwrap();
    let rows = "SELECT COUNT(*) FROM synod_fence WHERE OCTET_LENGTH(branch) = 41";
    assert_eq!(conn.query_first(rows).await.unwrap(), Some(65 * 512_u64));
    // To wait for 64 turns would take more than a minute.
    let slow = options().sweep(ms(1_000), ms(300));
    let accounts = Mysql::connect_with(&world.urls[0], ACCOUNTS, slow).await.unwrap();
    let _local = start(&world.folder, &accounts, &world.orders).await;
    until("all are cleared", async || conn.query_first(rows).await.unwrap() == Some(0_u64)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_server_has_started_again_ends_no_connection_of_somebody_elses() {
    if Maria::installed().is_none() {
        return eprintln!("left out: no MariaDB is installed");
    }
    let mut server = Maria::start(synod_servers::Options::default()).unwrap();
    let branch = Alone::new(&server).await;
    let name = Name { cluster: branch.xid.cluster(), tx: branch.xid.tx() };
    // So that the branch's number is not used up while the server starts.
    for _ in 0..40 {
        by_hand(&branch.url).await.disconnect().await.unwrap();
    }
    let mut lost = branch.mysql.open(Some(name)).await.unwrap();
    let number: u32 = lost.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    server.kill().unwrap();
    lost.query_drop("SELECT 1").await.unwrap_err();
    server.start_again().unwrap();
    // The numbers begin again, so one of these has the number of the branch's old connection. To change to the server's socket
    // would take two numbers for each.
    let (url, mut others) = (format!("{}?prefer_socket=false", branch.url), Vec::new());
    while others.last().is_none_or(|other: &mysql_async::Conn| other.id() < number) {
        others.push(by_hand(&url).await);
    }
    let mut other = others.into_iter().find(|other| other.id() == number).expect("nobody else connects");
    drop(lost);
    tokio::time::sleep(ms(1_000)).await;
    other.query_drop("SELECT 1").await.unwrap();
}
