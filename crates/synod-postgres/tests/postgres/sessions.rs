//! What a branch's statements do to its session, and connections that come back to their pool.

use std::time::Duration;

use synod::{
    NodeId, TxId,
    commit::{Meta, Outcome, Transaction, Vote},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database};
use synod_postgres::{Kind, Options, Postgres};
use tokio::time::timeout;

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, own, quick, until};

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: NodeId(1), seq }, [LEFT, RIGHT], []).unwrap()
}

/// The left one's database, by another handle with one connection.
async fn narrow(pair: &Pair) -> Postgres {
    let options = Options::new().connections(1).wait(Duration::from_secs(5));
    Postgres::connect_with(&pair.server.url(&pair.names[0]), LEFT, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_where_there_is_no_runtime_is_rolled_back_all_the_same() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database = narrow(&pair).await;
    let mut tx = pair.synod().transaction();
    let update = "UPDATE account SET balance = 7 WHERE id = 1";
    tx.on(&database).await.unwrap().execute(update, &[]).await.unwrap();
    std::thread::spawn(move || drop(tx)).join().unwrap();
    let mut tx = pair.synod().transaction();
    let insert = "INSERT INTO account VALUES (2, 1)";
    tx.on(&database).await.unwrap().execute(insert, &[]).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(pair.sql(0, "SELECT balance FROM account ORDER BY id"), "100\n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_role_has_done_is_prepared_as_the_one_that_can_end_it() {
    or_leave_out!();
    let pair = Pair::with(std::sync::Arc::new(own()), quick()).await;
    pair.sql(
        0,
        "CREATE ROLE tenant; GRANT USAGE ON SCHEMA synod TO tenant; \
         GRANT SELECT, INSERT ON synod.fence TO tenant; GRANT SELECT, UPDATE ON account TO tenant",
    );
    let database = &pair.databases[0];
    for (seq, role) in [(1, "SET LOCAL ROLE tenant"), (2, "SET ROLE tenant")] {
        let mut branch = database.open(None).await.unwrap();
        branch.batch_execute(role).await.unwrap();
        branch.execute("UPDATE account SET balance = balance + 1 WHERE id = 1", &[]).await.unwrap();
        branch.prepare(pair.local().cluster(), &transaction(seq)).await.unwrap();
        assert_eq!(pair.sql(0, "SELECT owner FROM pg_prepared_xacts"), "synod");
        branch.finish(Outcome::Committed).await.unwrap();
        assert_eq!(pair.prepared(0), [""; 0]);
    }
    assert_eq!(pair.sql(0, "SELECT balance FROM account"), "102");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_the_server_is_set_to_read_only() {
    or_leave_out!();
    let pair = Pair::with(std::sync::Arc::new(own()), quick()).await;
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
    let writes = async || {
        let mut tx = pair.synod().transaction();
        let update = "UPDATE account SET balance = balance WHERE id = 1";
        tx.on(&pair.databases[0]).await.unwrap().execute(update, &[]).await.is_ok()
    };
    let database = format!("DATABASE {}", pair.names[0]);
    for what in ["SYSTEM", &database, "ROLE synod"] {
        for is_set in [true, false] {
            let set =
                if is_set { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
            // A role that is set to read only can put that right, if it says so.
            pair.sql(1, &format!("SET default_transaction_read_only = off; ALTER {what} {set}"));
            pair.sql(1, "SELECT pg_reload_conf()");
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while writes().await == is_set {
                assert!(std::time::Instant::now() < end, "it still is as before: {what}, {is_set}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agents_role_could_not_end_it_does_not_promise_and_an_alarm_says_so() {
    or_leave_out!();
    let pair = Pair::with(std::sync::Arc::new(own()), quick()).await;
    let grants = "USAGE ON SCHEMA synod TO PUBLIC; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA synod TO PUBLIC; \
                  GRANT SELECT, UPDATE ON account TO PUBLIC";
    pair.sql(0, &format!("CREATE ROLE shop LOGIN; CREATE ROLE watch LOGIN; GRANT {grants}"));
    let of = async |role: &str| {
        let url = pair.server.url(&pair.names[0]).replace("synod@", &format!("{role}@"));
        Postgres::connect_with(&url, LEFT, quick()).await.unwrap()
    };
    let (shop, watch, cluster) = (of("shop").await, of("watch").await, pair.local().cluster());
    let agent = watch.resource(cluster).await.unwrap();
    let mut branch = shop.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 7 WHERE id = 1", &[]).await.unwrap();
    branch.prepare(cluster, &transaction(1)).await.unwrap();
    assert_eq!(agent.vote(&transaction(1), &Meta::default()).await, Vote::Aborted);
    for outcome in [agent.abort(&transaction(1), None).await, agent.commit(&transaction(1), &Meta::default()).await] {
        assert_eq!(outcome, Progress::Again);
        assert!(matches!(&watch.alarms()[..], [alarm] if alarm.kind == Kind::NotOurs), "{:?}", watch.alarms());
    }
    // Its own role ends it.
    branch.finish(Outcome::Aborted).await.unwrap();
    assert_eq!(agent.abort(&transaction(1), None).await, Progress::Finished);
    assert_eq!((pair.balances()[0].as_str(), watch.alarms()), ("100", vec![]));
    // A role may be dropped that has prepared something.
    let mut branch = shop.open(None).await.unwrap();
    branch.execute("UPDATE account SET balance = 8 WHERE id = 1", &[]).await.unwrap();
    branch.prepare(cluster, &transaction(2)).await.unwrap();
    pair.sql(0, "DROP ROLE shop");
    assert_eq!(agent.vote(&transaction(2), &Meta::default()).await, Vote::Aborted);
    let [gid] = &pair.prepared(0)[..] else { panic!("one is prepared") };
    pair.sql(0, &format!("ROLLBACK PREPARED '{gid}'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_sessions_take_another_one_prepares_as_that() {
    or_leave_out!();
    let pair = Pair::with(std::sync::Arc::new(own()), quick()).await;
    pair.sql(
        0,
        "CREATE ROLE owner; CREATE ROLE member LOGIN IN ROLE owner; ALTER ROLE member SET role = owner; \
         GRANT USAGE ON SCHEMA synod TO owner; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA synod TO owner; \
         GRANT SELECT, UPDATE ON account TO owner",
    );
    let of_member = async || {
        let url = pair.server.url(&pair.names[0]).replace("synod@", "member@");
        Postgres::connect_with(&url, LEFT, quick().connections(1)).await.unwrap()
    };
    let (database, cluster) = (of_member().await, pair.local().cluster());
    let agent = of_member().await.resource(cluster).await.unwrap();
    // The second one's session was given back by the first.
    for seq in [1, 2] {
        let mut branch = database.open(None).await.unwrap();
        let role: String = branch.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
        assert_eq!(role, "owner");
        branch.batch_execute("SET LOCAL work_mem = '8MB'").await.unwrap();
        branch.execute("UPDATE account SET balance = 7 WHERE id = 1", &[]).await.unwrap();
        branch.prepare(cluster, &transaction(seq)).await.unwrap();
        assert_eq!(agent.vote(&transaction(seq), &Meta::default()).await, Vote::Prepared);
        branch.finish(Outcome::Aborted).await.unwrap();
        drop(branch);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_at_the_same_time_go_out_in_the_order_in_which_they_were_given() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database = narrow(&pair).await;
    for _ in 0..20 {
        let branch = database.open(None).await.unwrap();
        let (set, read) = tokio::join!(
            biased;
            branch.batch_execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            branch.query("SELECT balance FROM account", &[]),
        );
        set.unwrap();
        read.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_waits_for_the_standby_whatever_its_statements_have_set() {
    or_leave_out!();
    let pair = Pair::with(std::sync::Arc::new(own()), quick()).await;
    let mut branch = pair.databases[0].open(None).await.unwrap();
    branch.batch_execute("SET LOCAL synchronous_commit = local").await.unwrap();
    branch.execute("UPDATE account SET balance = 7 WHERE id = 1", &[]).await.unwrap();
    pair.sql(0, "ALTER SYSTEM SET synchronous_standby_names = 'missing'");
    pair.sql(0, "SELECT pg_reload_conf()");
    until("it waits for standbys", || pair.sql(0, "SHOW synchronous_standby_names") == "missing").await;
    let transaction = transaction(1);
    let mut prepared = Box::pin(branch.prepare(pair.local().cluster(), &transaction));
    let early = timeout(Duration::from_millis(500), &mut prepared).await;
    assert!(early.is_err(), "{early:?}: a failover now would lose it");
    pair.sql(0, "ALTER SYSTEM RESET synchronous_standby_names");
    pair.sql(0, "SELECT pg_reload_conf()");
    prepared.await.unwrap();
    branch.finish(Outcome::Aborted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_kept_prepared_is_prepared_again_after_its_table_has_changed() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database = narrow(&pair).await;
    let columns = async || {
        let branch = database.open(None).await.unwrap();
        branch.query("SELECT * FROM account", &[]).await.map(|rows| rows[0].len())
    };
    assert_eq!(columns().await.unwrap(), 2);
    pair.sql(0, "ALTER TABLE account ADD COLUMN since date");
    columns().await.unwrap_err();
    assert_eq!(columns().await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_starts_though_branches_hold_all_connections() {
    or_leave_out!();
    let pair = Pair::new().await;
    let database = narrow(&pair).await;
    let branch = database.open(None).await.unwrap();
    timeout(Duration::from_secs(4), database.resource(pair.local().cluster())).await.unwrap().unwrap();
    drop(branch);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_into_foreign_tables_only_is_not_committed_as_if_it_had_only_read() {
    or_leave_out!();
    let pair = Pair::new().await;
    pair.sql(1, "CREATE TABLE elsewhere (id int)");
    pair.sql(
        0,
        &format!(
            "CREATE EXTENSION postgres_fdw; \
             CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{}', dbname '{}'); \
             CREATE USER MAPPING FOR synod SERVER other OPTIONS (user 'synod'); \
             CREATE FOREIGN TABLE elsewhere (id int) SERVER other",
            pair.server.port(),
            pair.names[1]
        ),
    );
    let mut tx = pair.synod().transaction();
    let (left, right) = tx.on_both(&pair.databases[0], &pair.databases[1]).await.unwrap();
    left.batch_execute("INSERT INTO elsewhere VALUES (1)").await.unwrap();
    right.execute("UPDATE account SET balance = 7 WHERE id = 1", &[]).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed(), "{error:?}");
    assert_eq!(pair.sql(1, "SELECT count(*) FROM elsewhere"), "0");
    assert_eq!(pair.balances(), ["100", "100"]);
    // What only reads there takes no part, as before.
    let mut tx = pair.synod().transaction();
    let (left, right) = tx.on_both(&pair.databases[0], &pair.databases[1]).await.unwrap();
    left.query("SELECT * FROM elsewhere", &[]).await.unwrap();
    right.execute("UPDATE account SET balance = 7 WHERE id = 1", &[]).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(pair.balances(), ["100", "7"]);
}
