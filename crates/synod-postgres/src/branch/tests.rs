//! What becomes of a branch whose answers are lost or late.

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
    let key = fence::Key::new(cluster, NodeId(11), tx).literal();
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
    server.sql("postgres", &format!("INSERT INTO synod.fence VALUES ({}, 'w')", there.literal()))?;
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
