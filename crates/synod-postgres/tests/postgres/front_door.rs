//! What an application does, and sees.

use futures_util::future::join_all;
use std::time::Duration;
use synod::commit::ClusterId;
use synod_client::{Agent, CommitError, Outcome};
use synod_postgres::{Options, Postgres};

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, quick, until};

#[tokio::test(flavor = "multi_thread")]
async fn two_databases_commit_together_and_whoever_reads_after_that_sees_both() {
    or_leave_out!();
    let pair = Pair::new().await;
    for turn in 1..=5 {
        assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
        assert_eq!(pair.balances(), [(100 - 10 * turn).to_string(), (100 + 10 * turn).to_string()]);
        assert!(pair.prepared(0).is_empty() && pair.prepared(1).is_empty());
    }
    until("the rows of what is over go", || pair.rows() == ["", ""]).await;
    assert!(pair.databases.iter().all(|database| database.alarms().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_branch_works_while_the_other_one_waits() {
    or_leave_out!();
    let pair = Pair::new().await;
    let lock = "SELECT pg_advisory_xact_lock(7)";
    let mut holder = pair.synod().transaction();
    holder.on(&pair.databases[0]).await.unwrap().query_one(lock, &[]).await.unwrap();
    let mut tx = pair.synod().transaction();
    let (left, right) = tx.on_both(&pair.databases[0], &pair.databases[1]).await.unwrap();
    let waits = async {
        left.query_one(lock, &[]).await.unwrap();
        left.execute("UPDATE account SET balance = balance - 10 WHERE id = 1", &[]).await.unwrap();
    };
    let works = async {
        right.execute("UPDATE account SET balance = balance + 10 WHERE id = 1", &[]).await.unwrap();
        holder.roll_back().await;
    };
    tokio::join!(waits, works);
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(pair.balances(), ["90", "110"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_or_rolled_back_has_never_been() {
    or_leave_out!();
    let pair = Pair::new().await;
    drop(pair.transfer().await);
    pair.transfer().await.roll_back().await;
    // The rows are free again.
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(pair.balances(), ["90", "110"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_cannot_be_prepared_takes_the_other_one_with_it_and_says_why() {
    or_leave_out!();
    let pair = Pair::new().await;
    pair.sql(
        1,
        "CREATE TABLE unique_later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO unique_later VALUES (1)",
    );
    let mut tx = pair.transfer().await;
    tx.on(&pair.databases[1]).await.unwrap().execute("INSERT INTO unique_later VALUES (1)", &[]).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed());
    let CommitError::Database { participant, source } = &error else { panic!("{error:?}") };
    assert_eq!(*participant, crate::scene::RIGHT);
    let source = source.downcast_ref::<tokio_postgres::Error>().unwrap();
    assert_eq!(source.code(), Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION));
    assert_eq!(pair.balances(), ["100", "100"]);
    assert!(pair.prepared(0).is_empty() && pair.prepared(1).is_empty());
}

/// PREPARE of a failed transaction rolls back, and is no error: this must not pass for prepared.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_in_which_a_statement_has_failed_is_never_committed() {
    or_leave_out!();
    let pair = Pair::new().await;
    let mut tx = pair.transfer().await;
    let overdraw = "UPDATE account SET balance = balance - 1000 WHERE id = 1";
    tx.on(&pair.databases[0]).await.unwrap().execute(overdraw, &[]).await.unwrap_err();
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Database { .. }) && !error.may_have_committed(), "{error:?}");
    // Alone, too.
    let mut tx = pair.synod().transaction();
    let branch = tx.on(&pair.databases[0]).await.unwrap();
    branch.execute("UPDATE account SET balance = 1 WHERE id = 1", &[]).await.unwrap();
    branch.execute(overdraw, &[]).await.unwrap_err();
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Database { .. }) && !error.may_have_committed(), "{error:?}");
    assert_eq!(pair.balances(), ["100", "100"]);
    // Its connection serves again.
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}

/// PREPARE outside of a transaction does nothing, and is no error: this must not pass for prepared, either.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_transaction_its_statements_have_ended_is_never_committed() {
    or_leave_out!();
    let pair = Pair::new().await;
    for statements in ["ROLLBACK", "ROLLBACK; SELECT 1", "ROLLBACK; UPDATE account SET balance = balance WHERE id = 1"]
    {
        // Outside of a transaction the server refuses what would write.
        let is_refused = statements.contains("UPDATE");
        let mut tx = pair.transfer().await;
        let ended = tx.on(&pair.databases[0]).await.unwrap().batch_execute(statements).await;
        assert_eq!(ended.is_err(), is_refused, "{ended:?}");
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Database { .. }) && !error.may_have_committed(), "{error:?}");
        // Alone, too.
        let mut tx = pair.synod().transaction();
        let branch = tx.on(&pair.databases[0]).await.unwrap();
        branch.execute("UPDATE account SET balance = 1 WHERE id = 1", &[]).await.unwrap();
        assert_eq!(branch.batch_execute(statements).await.is_err(), is_refused);
        branch.execute("UPDATE account SET balance = 1 WHERE id = 1", &[]).await.unwrap_err();
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Database { .. }) && !error.may_have_committed(), "{error:?}");
        assert_eq!(pair.balances(), ["100", "100"], "{statements}");
    }
    until("nothing is left", || pair.prepared(0).is_empty() && pair.prepared(1).is_empty()).await;
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_may_only_read_commits() {
    or_leave_out!();
    let pair = Pair::new().await;
    for both in [false, true] {
        let mut tx = pair.synod().transaction();
        for database in &pair.databases[..1 + usize::from(both)] {
            let branch = tx.on(database).await.unwrap();
            branch.batch_execute("SET TRANSACTION READ ONLY").await.unwrap();
            branch.query("SELECT * FROM account", &[]).await.unwrap();
        }
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_serves_one_cluster() {
    or_leave_out!();
    let pair = Pair::new().await;
    let error = pair.databases[0].resource(ClusterId([1; 16])).await.unwrap_err();
    assert!(error.to_string().contains("connect once for each cluster"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_written_in_one_database_is_one_plain_commit_without_the_cluster() {
    or_leave_out!();
    let pair = Pair::new().await;
    let synod = pair.synod();
    let [left, right] = &pair.databases;
    // Only one is opened; or the other one has only been read.
    for reads in [false, true] {
        let mut tx = synod.transaction();
        let take = "UPDATE account SET balance = balance - 10 WHERE id = 1";
        tx.on(left).await.unwrap().execute(take, &[]).await.unwrap();
        if reads {
            let row = tx.on(right).await.unwrap().query_one("SELECT balance FROM account", &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), 100);
        }
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
    assert_eq!(pair.balances(), ["80", "100"]);
    assert_eq!(pair.rows(), ["", ""]);
    let alone = "SELECT count(*) FROM synod.fence WHERE octet_length(branch) = 41 AND state = 'w'";
    assert_eq!([0, 1].map(|side| pair.sql(side, alone)), ["2", "0"]);
    // Who has only read leaves nothing at all.
    let mut tx = synod.transaction();
    for database in [left, right] {
        tx.on(database).await.unwrap().query("SELECT * FROM account", &[]).await.unwrap();
    }
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!([0, 1].map(|side| pair.sql(side, alone)), ["2", "0"]);
    let metrics = pair.local().node(synod_client::NodeId(1)).unwrap().metrics().await.unwrap();
    assert_eq!(metrics.decisions, 0, "the cluster has not heard of any of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_what_was_committed_alone_go_when_nobody_can_ask_for_them_any_more() {
    or_leave_out!();
    let pair = Pair::with(Pair::new().await.server, quick().keep(Duration::from_millis(1))).await;
    let alone = || pair.sql(0, "SELECT count(*) FROM synod.fence WHERE octet_length(branch) = 41");
    let mut tx = pair.synod().transaction();
    let update = "UPDATE account SET balance = 7 WHERE id = 1";
    tx.on(&pair.databases[0]).await.unwrap().execute(update, &[]).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    until("the row goes", || alone() == "0").await;
    assert_eq!(pair.sql(0, "SELECT balance FROM account"), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_what_was_committed_alone_go_in_pages_and_one_that_cannot_go_keeps_only_its_own() {
    or_leave_out!();
    let pair = Pair::with(Pair::new().await.server, quick().keep(Duration::from_millis(1))).await;
    let alone =
        || pair.sql(0, "SELECT count(*) FROM synod.fence WHERE octet_length(branch) = 41").parse::<u64>().unwrap();
    let prefix = "'\\x00000000000000000000000000000000000000000000000b'";
    // The last one, which somebody holds.
    let last = format!("{prefix} || decode(repeat('ff', 16) || '00', 'hex')");
    let mut holder = pair.synod().transaction();
    let held = holder.on(&pair.databases[0]).await.unwrap();
    let hold = format!("SELECT FROM synod.fence WHERE branch = {last} FOR UPDATE");
    loop {
        pair.sql(0, &format!("INSERT INTO synod.fence VALUES ({last}, 'w', '-infinity') ON CONFLICT DO NOTHING"));
        if held.query_opt(&hold, &[]).await.unwrap().is_some() {
            break;
        }
    }
    let many = format!(
        "INSERT INTO synod.fence SELECT {prefix} || uuid_send(gen_random_uuid()) || '\\x00', 'w', \
         CASE WHEN n % 5000 = 0 THEN now() + interval '1 hour' ELSE '-infinity' END FROM generate_series(1, 30000) n"
    );
    pair.sql(0, &many);
    until("all pages go but its own", || alone() < 8_192).await;
    assert!(alone() > 6);
    holder.roll_back().await;
    until("all go that may go", || alone() == 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_branch_leaves_in_its_session_is_gone_for_the_next_one() {
    or_leave_out!();
    let server = Pair::new().await.server;
    for (options, left) in [
        (
            quick(),
            &[
                "SET work_mem = '1MB'",
                "SELECT Set_Config('search_path', 'nowhere', false)",
                "SELECT pg_advisory_lock(7)",
            ][..],
        ),
        (quick().reset_always(true), &["SELECT hidden()"]),
    ] {
        let pair = Pair::with(server.clone(), options.connections(1)).await;
        pair.sql(
            0,
            "CREATE FUNCTION hidden() RETURNS text LANGUAGE SQL AS $$ SELECT pg_advisory_lock(7); \
             SELECT set_config('work_mem', '1MB', false) || set_config('search_path', 'nowhere', false) $$",
        );
        for end in 0..4 {
            let mut tx = pair.transfer().await;
            let branch = tx.on(&pair.databases[0]).await.unwrap();
            let shown = "SELECT current_setting('work_mem'), current_setting('search_path')";
            let row = branch.query_one(shown, &[]).await.unwrap();
            assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("4MB", "\"$user\", public"), "after {end}");
            for statement in left {
                branch.execute(statement, &[]).await.unwrap();
            }
            match end {
                0 => assert_eq!(tx.commit().await.unwrap(), Outcome::Committed),
                1 => tx.roll_back().await,
                _ => drop(tx),
            }
            let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
            until("the lock is free", || pair.sql(0, locks) == "0").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_transactions_at_once_share_twelve_connections_and_none_aborts() {
    or_leave_out!();
    let server = Pair::new().await.server;
    let pair = Pair::with(server, Options::new().connections(12).wait(Duration::from_secs(60))).await;
    for side in [0, 1] {
        pair.sql(side, "INSERT INTO account SELECT n, 100 FROM generate_series(2, 501) n");
    }
    let (synod, [left, right]) = (pair.synod(), pair.databases.clone());
    let transfers = (2..=501_i32).map(|id| {
        let (synod, left, right) = (synod.clone(), left.clone(), right.clone());
        tokio::spawn(async move {
            let mut tx = synod.transaction();
            let take = "UPDATE account SET balance = balance - 1 WHERE id = $1";
            tx.on(&left).await.unwrap().execute(take, &[&id]).await.unwrap();
            let put = "UPDATE account SET balance = balance + 1 WHERE id = $1";
            tx.on(&right).await.unwrap().execute(put, &[&id]).await.unwrap();
            tx.commit().await
        })
    });
    for committed in join_all(transfers).await {
        assert_eq!(committed.unwrap().unwrap(), Outcome::Committed);
    }
    let sums = [0, 1].map(|side| pair.sql(side, "SELECT sum(balance) FROM account WHERE id > 1"));
    assert_eq!(sums, ["49500", "50500"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_seen_at_once_though_the_agents_are_elsewhere_and_as_fast() {
    or_leave_out!();
    let pair = Pair::new().await;
    // The agents know nothing of these, as if they were in another process.
    let connect = |side: usize, node| {
        let url = pair.server.url(&pair.names[side]);
        async move { Postgres::connect_with(&url, node, quick()).await.unwrap() }
    };
    let (left, right) = (connect(0, LEFT).await, connect(1, RIGHT).await);
    for turn in 1..=200 {
        let mut tx = pair.synod().transaction();
        for database in [&left, &right] {
            let set = "UPDATE account SET balance = $1 WHERE id = 1";
            tx.on(database).await.unwrap().execute(set, &[&turn]).await.unwrap();
        }
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        for database in [&left, &right] {
            let mut tx = pair.synod().transaction();
            let read = tx.on(database).await.unwrap().query_one("SELECT balance FROM account WHERE id = 1", &[]);
            assert_eq!(read.await.unwrap().get::<_, i32>(0), turn, "it is committed");
            tx.commit().await.unwrap();
        }
    }
}
