//! What becomes of a branch whose answers are lost or late.

use std::task::Poll;

use synod::NodeId;
use synod_client::Database;
use synod_servers::{Options as Settings, Postgres as Server};

use super::*;

#[tokio::test]
async fn what_an_agent_ends_before_the_answer_to_prepare_is_here_is_not_voted_for() -> Result<(), Cause> {
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let server = Server::start(Settings::default())?;
    server.sql("postgres", "CREATE TABLE work (number int)")?;
    let postgres = Postgres::connect(&server.url("postgres"), NodeId(11)).await?;
    let cluster = ClusterId([9; 16]);
    postgres.0.bind(cluster, true).await?;
    let tx = synod::TxId { origin: NodeId(1), seq: 1 };
    let transaction = commit::Transaction::new(tx, [NodeId(11), NodeId(12)], [])?;
    let (mut branch, mut rival) = (postgres.open(None).await?, postgres.open(None).await?);
    branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
    let key = fence::literal(fence::Key::new(cluster, NodeId(11), tx).bytes());
    rival.batch_execute(&format!("INSERT INTO synod.fence VALUES ({key}, 't')")).await?;
    let (prepared, ()) = futures_util::future::join(branch.prepare(cluster, &transaction), async {
        sleep(Duration::from_millis(300)).await;
        postgres.0.desk.ended(tx);
        rival.roll_back().await;
    })
    .await;
    prepared.map_err(Unprepared::into_cause)?;
    assert!(!postgres.0.desk.has(tx));
    branch.finish(Outcome::Aborted).await
}

#[tokio::test]
async fn asking_twice_whether_a_branch_has_committed_is_not_misled_by_what_the_first_question_left() -> Result<(), Cause>
{
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let server = Server::start(Settings::default())?;
    let postgres = Postgres::connect(&server.url("postgres"), NodeId(11)).await?;
    let mut branch = postgres.open(None).await?;
    let (lost, there) = (fence::Alone::new(NodeId(11), 1), fence::Alone::new(NodeId(11), 2));
    server.sql("postgres", &format!("INSERT INTO synod.fence VALUES ({}, 'w')", fence::literal(there.bytes())))?;
    // The answer to the first question may be lost, as that to the commit was.
    for _ in 0..2 {
        assert_eq!(branch.ask(&lost).await?, Some(false), "it has not committed");
        assert_eq!(branch.ask(&there).await?, Some(true));
    }
    branch.roll_back().await;
    Ok(())
}

#[tokio::test]
async fn a_branch_that_may_not_be_prepared_holds_no_lock_while_its_transaction_ends() -> Result<(), Cause> {
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let server = Server::start(Settings::default())?;
    server.sql("postgres", "CREATE TABLE work (number int)")?;
    let postgres = Postgres::connect(&server.url("postgres"), NodeId(11)).await?;
    let mut branch = postgres.open(None).await?;
    branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
    let tx = synod::TxId { origin: NodeId(1), seq: 1 };
    let transaction = commit::Transaction::new(tx, [NodeId(11), NodeId(12)], [])?;
    let refused = branch.prepare(ClusterId([9; 16]), &transaction).await.unwrap_err();
    assert!(matches!(refused, Unprepared::RolledBack(_)), "{refused:?}");
    assert!(refused.into_cause().to_string().contains("no agent has stood beside"));
    server.sql("postgres", "SET lock_timeout = '5s'; ALTER TABLE work ADD note text")?;
    branch.finish(Outcome::Aborted).await
}

/// A server with a table, and its database with these options in its URL.
async fn one(options: &str, choice: crate::Options) -> Result<(Server, Postgres), Cause> {
    let server = Server::start(Settings::default())?;
    server.sql("postgres", "CREATE TABLE work (number int)")?;
    let url = format!("{}?options={options}", server.url("postgres"));
    let postgres = Postgres::connect_with(&url, NodeId(11), choice).await?;
    postgres.0.bind(CLUSTER, true).await?;
    Ok((server, postgres))
}

const CLUSTER: ClusterId = ClusterId([9; 16]);

fn transaction(seq: u64) -> commit::Transaction {
    let tx = synod::TxId { origin: NodeId(1), seq };
    commit::Transaction::new(tx, [NodeId(11), NodeId(12)], []).expect("two participants")
}

#[tokio::test]
async fn nothing_is_written_by_a_transaction_that_was_refused_and_nothing_after_it_is_committed() -> Result<(), Cause> {
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let (server, postgres) = one("-c%20timezone%3DUTC", crate::Options::new()).await?;
    // Whatever goes out behind a BEGIN that is refused meets this.
    let outside = postgres.0.for_branch().await?;
    let refused = outside.batch_execute("INSERT INTO work VALUES (1)").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    outside.done();
    for is_alone in [true, false] {
        let mut branch = postgres.open(None).await?;
        // In a failed transaction BEGIN is refused.
        branch.connection().batch_execute("BEGIN; SELECT 1 / 0").await.unwrap_err();
        branch.execute("INSERT INTO work VALUES (1)", &[]).await.unwrap_err();
        branch.connection().batch_execute("ROLLBACK").await?;
        branch.execute("INSERT INTO work VALUES (2)", &[]).await?;
        let ended = match is_alone {
            true => branch.commit_alone().await.map_err(|alone| matches!(alone, Alone::RolledBack(_))),
            false => {
                branch.prepare(CLUSTER, &transaction(1)).await.map_err(|why| matches!(why, Unprepared::RolledBack(_)))
            }
        };
        assert_eq!(ended, Err(true));
    }
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM work")?, "0");
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM pg_prepared_xacts")?, "0");
    Ok(())
}

#[tokio::test]
async fn where_something_in_between_leaves_the_guard_out_begin_is_waited_for() -> Result<(), Cause> {
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let (_server, postgres) =
        one("-c%20default_transaction_read_only%3Doff", crate::Options::new().connections(1)).await?;
    let branch = postgres.open(None).await?;
    assert!(!branch.begun.initialized() && !postgres.0.heard.is_unguarded(), "the guard is set last");
    branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
    drop(branch);
    postgres.0.heard.unguarded();
    let session = postgres.0.for_branch().await?;
    session.batch_execute("SET default_transaction_read_only = off").await?;
    session.done();
    let mut branch = postgres.open(None).await?;
    assert!(branch.begun.initialized());
    branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
    branch.prepare(CLUSTER, &transaction(1)).await.map_err(Unprepared::into_cause)?;
    branch.finish(Outcome::Committed).await
}

/// From now on commits wait for a standby that there is not, or do not.
async fn standby(server: &Server, is_awaited: bool) -> Result<(), Cause> {
    let (set, shown) = if is_awaited { ("SET", "missing") } else { ("RESET", "") };
    let to = if is_awaited { " = 'missing'" } else { "" };
    server.sql("postgres", &format!("ALTER SYSTEM {set} synchronous_standby_names{to}"))?;
    server.sql("postgres", "SELECT pg_reload_conf()")?;
    while server.sql("postgres", "SHOW synchronous_standby_names")? != shown {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The same, while an operator cancels whatever waits for a standby.
async fn cancelled<T>(server: &Server, waits: impl Future<Output = T>) -> T {
    let operator = async {
        loop {
            let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            server.sql("postgres", cancel).expect("it answers");
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = waits => answer,
        () = operator => unreachable!("it goes on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_standby_that_was_cancelled_is_no_answer() -> Result<(), Cause> {
    if Server::installed().is_none() {
        eprintln!("left out: PostgreSQL is not installed");
        return Ok(());
    }
    let choice = crate::Options::new().wait(Duration::from_secs(1)).answer(Duration::from_secs(2));
    let (server, postgres) = one("-c%20statement_timeout%3D300%20-c%20client_min_messages%3Derror", choice).await?;
    // Nor if somebody does not want to hear of it.
    let work = async || -> Result<PostgresBranch, Cause> {
        let branch = postgres.open(None).await?;
        branch.execute("INSERT INTO work VALUES (1)", &[]).await?;
        Ok(branch)
    };
    let (mut alone, mut early, mut late) = (work().await?, work().await?, work().await?);
    late.batch_execute("SET LOCAL client_min_messages = error").await?;
    early.prepare(CLUSTER, &transaction(1)).await.map_err(Unprepared::into_cause)?;
    assert!(postgres.0.desk.has(transaction(1).id()));
    standby(&server, true).await?;
    // The server answers as if it had waited.
    let lost = cancelled(&server, alone.commit_alone()).await;
    assert!(matches!(lost, Err(Alone::Unknown(_))), "{lost:?}: a failover would lose it");
    cancelled(&server, late.prepare(CLUSTER, &transaction(2))).await.map_err(Unprepared::into_cause)?;
    assert!(!postgres.0.desk.has(transaction(2).id()), "nobody votes for what a failover would lose");
    // This wait is ended by the time-out of the application's role.
    early.finish(Outcome::Committed).await?;
    let told = postgres.0.desk.done_at_once(transaction(1).id(), Duration::ZERO);
    assert_eq!(told, Poll::Ready(None), "the agent takes it for carried out");
    let client = postgres.0.for_verdicts().await?;
    let write = client.query_one("SELECT pg_logical_emit_message(true, 'test', '')", &[]);
    let answer = cancelled(&server, client.answer("write", write)).await;
    assert!(matches!(answer, Err(Error::NotAtStandby { .. })), "{answer:?}");
    client.done();
    standby(&server, false).await?;
    let mut alone = work().await?;
    alone.commit_alone().await.map_err(|alone| alone.to_string())?;
    Ok(())
}
