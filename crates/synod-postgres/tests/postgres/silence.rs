//! Databases that are away, or hang, and what an application lets go of.

use std::time::{Duration, Instant};

use synod::{
    Refusal, TxId,
    commit::{ClusterId, Meta, Outcome, Transaction, Vote},
    perform::tokio::{Progress, Resource},
};
use synod_client::{
    Agent, Branch, Database, NodeId, OpenError,
    local::{Local, LocalError},
};
use synod_postgres::{Options, Postgres, PostgresResource};
use synod_servers::Relay;
use tokio::time::{sleep, timeout};

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, own, quick, until};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_is_told_and_takes_part_when_it_is_back() {
    or_leave_out!();
    let (mut pair, mut server) = (Pair::new().await, own());
    pair.stop().await;
    server.create_database("third").unwrap();
    server.sql("third", "CREATE TABLE account (id int)").unwrap();
    let third = Postgres::connect_lazy(&server.url("third"), NodeId(13), quick()).unwrap();
    let start = async |third: &Postgres| {
        let [left, right] = pair.databases.clone();
        Local::builder(pair.folder.path()).agent(left).agent(right).agent(third.clone()).start().await
    };
    // One that is not there at all does not come back by itself.
    let nowhere = Postgres::connect_lazy(&server.url("nowhere"), NodeId(13), quick()).unwrap();
    let error = start(&nowhere).await.unwrap_err();
    assert!(matches!(error, LocalError::Database(NodeId(13), _)), "{error:?}");
    server.kill().unwrap();
    let local = start(&third).await.unwrap();
    let [away] = &local.away()[..] else { panic!("{:?}", local.away()) };
    assert_eq!(away.participant, NodeId(13));
    assert!(away.why.contains("database n13 gives no connection: ") && away.why.contains("refused"), "{}", away.why);
    let move_from = async |databases: [&Postgres; 2]| {
        let mut tx = local.synod().transaction();
        for database in databases {
            tx.on(database).await?.execute("INSERT INTO account VALUES (2)", &[]).await.unwrap();
        }
        Ok::<_, OpenError>(tx.commit().await.unwrap())
    };
    let [left, right] = &pair.databases;
    assert_eq!(move_from([left, right]).await.unwrap(), Outcome::Committed);
    pair.sql(0, "DELETE FROM account WHERE id = 2");
    let refused = move_from([left, &third]).await.unwrap_err();
    assert!(refused.to_string().contains("nothing has been committed"), "{refused}");
    server.start_again().unwrap();
    until("it takes part", || local.away().is_empty()).await;
    assert_eq!(move_from([left, &third]).await.unwrap(), Outcome::Committed);
    assert_eq!(server.sql("third", "SELECT count(*) FROM account").unwrap(), "1");
    local.shutdown().await.unwrap();
}

/// The left database of a pair over a relay, in a cluster of its own.
struct Hanging {
    pair: Pair,
    relay: Relay,
    cluster: ClusterId,
    database: Postgres,
    resource: PostgresResource,
}

impl Hanging {
    async fn new(number: u8, options: Options) -> Self {
        let pair = Pair::new().await;
        let relay = Relay::before(pair.server.port()).unwrap();
        let url = relay.url(&pair.server.url(&pair.names[0]));
        pair.sql(0, "UPDATE synod.identity SET cluster = NULL");
        let database = Postgres::connect_with(&url, LEFT, options).await.unwrap();
        let cluster = ClusterId([number; 16]);
        let resource = database.resource(cluster).await.unwrap();
        Self { pair, relay, cluster, database, resource }
    }

    fn transaction(&self) -> Transaction {
        Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [LEFT, RIGHT], []).unwrap()
    }

    /// Prepared by an application elsewhere.
    async fn prepare(&self) {
        let url = self.pair.server.url(&self.pair.names[0]);
        let elsewhere = Postgres::connect_with(&url, LEFT, quick()).await.unwrap();
        let mut branch = elsewhere.open(None).await.unwrap();
        branch.execute("UPDATE account SET balance = 7", &[]).await.unwrap();
        branch.prepare(self.cluster, &self.transaction()).await.unwrap();
    }

    async fn vote(&self) -> Vote {
        let (transaction, meta) = (self.transaction(), Meta::default());
        timeout(ms(5_000), self.resource.vote(&transaction, &meta)).await.expect("it does not hang")
    }

    async fn commit(&self) -> Progress {
        let (transaction, meta) = (self.transaction(), Meta::default());
        timeout(ms(5_000), self.resource.commit(&transaction, &meta)).await.expect("it does not hang")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_up_no_agent_and_what_it_does_not_say_is_not_taken_for_anything() {
    or_leave_out!();
    let hanging = Hanging::new(211, quick().answer(ms(300))).await;
    hanging.prepare().await;
    assert_eq!(hanging.vote().await, Vote::Prepared);
    hanging.relay.hang();
    // It declines, which is no vote.
    assert_eq!(hanging.vote().await, Vote::Aborted);
    assert_eq!(hanging.commit().await, Progress::Again);
    let node = hanging.pair.local().node(LEFT).unwrap().clone();
    let watch = tokio::spawn(hanging.database.clone().watch(hanging.cluster, node));
    sleep(ms(500)).await;
    hanging.relay.go_on();
    assert_eq!(hanging.vote().await, Vote::Prepared);
    assert_eq!((hanging.pair.prepared(0).len(), hanging.database.alarms()), (1, vec![]));
    // The server carries it out, and nobody hears of it.
    hanging.relay.hang_answers();
    assert_eq!(hanging.commit().await, Progress::Again);
    assert!(hanging.database.alarms().is_empty());
    hanging.relay.go_on();
    assert_eq!(hanging.commit().await, Progress::Finished);
    assert_eq!((hanging.pair.balances()[0].as_str(), hanging.database.alarms()), ("7", vec![]));
    watch.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_server_hangs_leaves_its_branches_to_the_agent() {
    or_leave_out!();
    let hanging = Hanging::new(212, quick().wait(ms(300))).await;
    let mut branch = hanging.database.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 7", &[]).await.unwrap();
    branch.prepare(hanging.cluster, &hanging.transaction()).await.unwrap();
    hanging.relay.hang();
    let finished = timeout(ms(5_000), branch.finish(Outcome::Committed)).await.expect("it does not hang");
    finished.unwrap_err();
    hanging.relay.go_on();
    until("it is committed", || hanging.pair.prepared(0).is_empty() || hanging.pair.balances()[0] == "100").await;
    assert_eq!(hanging.commit().await, Progress::Finished);
    assert_eq!(hanging.pair.balances()[0], "7");
    // One that is committed by itself: it is found out, or it is not known.
    let mut branch = hanging.database.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 8", &[]).await.unwrap();
    hanging.relay.hang();
    let alone = timeout(ms(5_000), branch.commit_alone()).await.expect("it does not hang");
    assert!(matches!(alone, Err(synod_client::Alone::Unknown(_))), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_begin_is_never_answered_leaves_no_transaction_to_the_next_one() {
    or_leave_out!();
    let hanging = Hanging::new(213, quick().wait(ms(300)).connections(1)).await;
    for _ in 0..2 {
        let branch = hanging.database.open(None).await.unwrap();
        hanging.relay.hang();
        timeout(ms(200), branch.query("SELECT 1", &[])).await.unwrap_err();
        drop(branch);
        hanging.relay.go_on();
    }
    hanging.database.check().await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'";
    until("none is left open", || hanging.pair.sql(0, open) == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_begin_nobody_waits_for_is_not_taken_for_one_that_has_done_nothing() {
    or_leave_out!();
    let hanging = Hanging::new(214, quick().connections(1)).await;
    let update = "UPDATE account SET balance = 7";
    // Once it is kept prepared, it goes out at once.
    let mut branch = hanging.database.open(None).await.unwrap();
    branch.execute(update, &[]).await.unwrap();
    branch.roll_back().await;
    let mut branch = hanging.database.open(None).await.unwrap();
    hanging.relay.hang();
    timeout(ms(200), branch.execute(update, &[])).await.unwrap_err();
    hanging.relay.go_on();
    branch.commit_alone().await.unwrap();
    assert_eq!(hanging.pair.balances()[0], "7");
    // Nor is anything of it left for the next one on its connection.
    let mut next = hanging.database.open(None).await.unwrap();
    next.execute("UPDATE account SET balance = 8", &[]).await.unwrap();
    next.roll_back().await;
    assert_eq!(hanging.pair.balances()[0], "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_statement_that_nobody_waits_for_commits_with_its_own_transaction_and_with_no_other() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database =
        Postgres::connect_with(&pair.server.url(&pair.names[0]), LEFT, quick().connections(1)).await.unwrap();
    for (balance, is_committed) in [(7, true), (8, false)] {
        let mut tx = pair.synod().transaction();
        let branch = tx.on(&database).await.unwrap();
        let slow = format!("UPDATE account SET balance = {balance} FROM pg_sleep(0.5)");
        timeout(ms(100), branch.execute(&slow, &[])).await.unwrap_err();
        match is_committed {
            true => assert_eq!(tx.commit().await.unwrap(), Outcome::Committed),
            false => tx.roll_back().await,
        }
        let mut next = pair.synod().transaction();
        let insert = format!("INSERT INTO account VALUES ({balance}, 1)");
        next.on(&database).await.unwrap().execute(&insert, &[]).await.unwrap();
        assert_eq!(next.commit().await.unwrap(), Outcome::Committed);
        assert_eq!(pair.sql(0, "SELECT balance FROM account WHERE id = 1"), "7");
    }
}

/// What is kept prepared of the branch's own is prepared again, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_kept_statements_somebody_has_dropped_serves_again() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database =
        Postgres::connect_with(&pair.server.url(&pair.names[0]), LEFT, quick().connections(1)).await.unwrap();
    let adds = async |amount: &str, also: &str| -> Result<Outcome, String> {
        let mut tx = pair.synod().transaction();
        let branch = tx.on(&database).await.unwrap();
        let update = format!("UPDATE account SET balance = balance + {amount}");
        branch.execute(&update, &[]).await.map_err(|error| error.to_string())?;
        if !also.is_empty() {
            branch.batch_execute(also).await.unwrap();
        }
        tx.commit().await.map_err(|error| error.to_string())
    };
    assert_eq!(adds("1", "").await, Ok(Outcome::Committed));
    assert_eq!(adds("1", "DEALLOCATE ALL").await, Ok(Outcome::Committed));
    // Its statement is new, and only the branch's own is of no use any more.
    assert!(adds("2 * 1", "").await.unwrap_err().contains("everything is rolled back"));
    assert_eq!(adds("3 - 2", "").await, Ok(Outcome::Committed));
    // And the application's, found out by itself.
    assert_eq!(adds("1", "DEALLOCATE ALL").await, Ok(Outcome::Committed));
    adds("1", "").await.unwrap_err();
    assert_eq!(adds("1", "").await, Ok(Outcome::Committed));
    assert_eq!(pair.sql(0, "SELECT balance FROM account"), "105");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_runs_when_a_transaction_is_dropped_or_rolled_back_is_cancelled() {
    or_leave_out!();
    let pair = Pair::new().await;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
    for is_dropped in [true, false] {
        let mut tx = pair.transfer().await;
        let branch = tx.on(&pair.databases[0]).await.unwrap();
        timeout(ms(200), branch.query("SELECT pg_sleep(300)", &[])).await.unwrap_err();
        assert_eq!(pair.sql(0, running), "1");
        let start = Instant::now();
        if is_dropped {
            drop(tx)
        } else {
            tx.roll_back().await
        }
        until("it is cancelled", || pair.sql(0, running) == "0").await;
        pair.sql(0, "SET lock_timeout = '10s'; SELECT * FROM account WHERE id = 1 FOR UPDATE");
        assert!(start.elapsed() < ms(20_000), "it has not run to its end");
    }
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_due_when_the_agent_ended_go_after_it_has_started_again() {
    or_leave_out!();
    let mut pair = Pair::new().await;
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
    until("it is over everywhere", || pair.rows() == ["", ""]).await;
    let over = TxId { origin: NodeId(1), seq: 1 };
    let open = TxId { seq: 1 << 40, ..over };
    let cluster = pair.local().cluster();
    pair.stop().await;
    let cluster: String = cluster.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = |tx: TxId| format!("'\\x{cluster}{:016x}{:016x}{:016x}'::bytea", LEFT.0, tx.origin.0, tx.seq);
    // More than a page of rows, of which nobody knows either, is before it.
    let first = format!("'\\x{cluster}{:016x}{:016x}'::bytea", LEFT.0, 0);
    pair.sql(0, &format!("INSERT INTO synod.fence SELECT {first} || int8send(n), 'w' FROM generate_series(1, 600) n"));
    pair.sql(0, &format!("INSERT INTO synod.fence VALUES ({}, 'w'), ({}, 't')", key(over), key(open)));
    pair.start().await;
    let has =
        |pair: &Pair, tx| pair.sql(0, &format!("SELECT count(*) FROM synod.fence WHERE branch = {}", key(tx))) == "1";
    until("the row goes", || !has(&pair, over)).await;
    assert!(has(&pair, open), "nobody knows of it");
    assert_eq!(pair.rows()[0].len(), 601);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_the_sweep_looks_is_no_lost_commit() {
    or_leave_out!();
    // The sweep finds everything that is prepared at once, and the application is in another process.
    // The agent has one connection for votes and for the sweep.
    let options = quick().sweep(ms(1), Duration::ZERO).agent_connections(1, 2);
    let pair = Pair::with(Pair::new().await.server, options).await;
    pair.sql(0, "INSERT INTO account SELECT n, 100 FROM generate_series(2, 400) n");
    pair.sql(1, "INSERT INTO account SELECT n, 100 FROM generate_series(2, 400) n");
    let connect = |side: usize, node| {
        let url = pair.server.url(&pair.names[side]);
        async move { Postgres::connect_with(&url, node, quick()).await.unwrap() }
    };
    let databases = [connect(0, LEFT).await, connect(1, RIGHT).await];
    let mut tasks = tokio::task::JoinSet::new();
    for id in 2..=400_i32 {
        let (synod, databases) = (pair.synod(), databases.clone());
        tasks.spawn(async move {
            let mut tx = synod.transaction();
            for database in &databases {
                let update = "UPDATE account SET balance = 7 WHERE id = $1";
                tx.on(database).await.unwrap().execute(update, &[&id]).await.unwrap();
            }
            // The sweep has no patience at all, so it ends some that are about to begin.
            tx.commit().await.is_err_and(|error| error.may_have_committed())
        });
    }
    assert!(!tasks.join_all().await.contains(&true));
    until("all is carried out", || pair.prepared(0).is_empty() && pair.prepared(1).is_empty()).await;
    for node in [LEFT, RIGHT] {
        let metrics = pair.local().node(node).unwrap().metrics().await.unwrap();
        for refusal in [Refusal::CommitLost, Refusal::RetiredUnfinished] {
            assert_eq!(metrics.refused(refusal), 0, "{node}: {refusal:?}");
        }
    }
    assert!(pair.databases.iter().all(|database| database.alarms().is_empty()));
}
