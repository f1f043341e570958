//! Every row of the truth table, provoked on a real server: what the agent says and does about a branch that was prepared,
//! ended by hand, forgotten, or prepared too late.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Agent, Branch, Database, Unprepared};
use synod_postgres::{Alarm, Gid, Kind, Postgres, PostgresResource};
use tokio::time::timeout;

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, own, quick, until};

/// A cluster that nobody else uses: names of prepared transactions are a server's, and the tests share one.
fn cluster() -> ClusterId {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    ClusterId([COUNT.fetch_add(1, Ordering::Relaxed); 16])
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: NodeId(1), seq }, [LEFT, RIGHT], []).unwrap()
}

fn gid(cluster: ClusterId, transaction: &Transaction) -> Gid {
    Gid::new(cluster, LEFT, transaction.clone()).unwrap()
}

/// The row of the fence that a branch writes.
fn fence(cluster: ClusterId, participant: NodeId, tx: TxId) -> String {
    let number = |number: u64| format!("{number:016x}");
    let cluster: String = cluster.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = [cluster, number(participant.0), number(tx.origin.0), number(tx.seq)].concat();
    format!("INSERT INTO synod.fence (branch, state) VALUES ('\\x{key}', 'w')")
}

/// A left database, its resource, and branches that are prepared by hand.
struct Left {
    cluster: ClusterId,
    pair: Pair,
    /// In another cluster than the pair's, so not by the same handle.
    database: Postgres,
    resource: PostgresResource,
}

impl Left {
    async fn new() -> Self {
        Self::of(Pair::new().await).await
    }

    async fn of(pair: Pair) -> Self {
        let cluster = cluster();
        let url = pair.server.url(&pair.names[0]);
        let database = Postgres::connect_with(&url, LEFT, quick()).await.unwrap();
        // The pair's cluster has seen to it already that this is its database.
        pair.sql(0, "UPDATE synod.identity SET cluster = NULL");
        let resource = database.resource(cluster).await.unwrap();
        Self { cluster, pair, database, resource }
    }

    fn try_prepare(&self, transaction: &Transaction) -> Result<String, synod_servers::Error> {
        let work = format!("INSERT INTO account VALUES ({}, 5)", 1_000 + transaction.id().seq);
        let (fence, gid) = (fence(self.cluster, LEFT, transaction.id()), gid(self.cluster, transaction));
        let statements = format!("BEGIN; {work}; {fence}; PREPARE TRANSACTION '{gid}'");
        self.pair.server.sql(&self.pair.names[0], &statements)
    }

    fn prepare(&self, transaction: &Transaction) {
        self.try_prepare(transaction).unwrap();
    }

    fn by_hand(&self, verb: &str, transaction: &Transaction) {
        self.pair.sql(0, &format!("{verb} PREPARED '{}'", gid(self.cluster, transaction)));
    }

    fn is_done(&self, transaction: &Transaction) -> bool {
        self.pair.sql(0, &format!("SELECT count(*) FROM account WHERE id = {}", 1_000 + transaction.id().seq)) == "1"
    }

    async fn vote(&self, transaction: &Transaction) -> Vote {
        self.resource.vote(transaction, &Meta::default()).await
    }

    async fn end(&self, transaction: &Transaction, outcome: Outcome) -> Progress {
        match outcome {
            Outcome::Committed => self.resource.commit(transaction, &Meta::default()).await,
            Outcome::Aborted => self.resource.abort(transaction, None).await,
        }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.database.alarms()
    }

    fn kinds(&self) -> Vec<Kind> {
        self.alarms().iter().map(|alarm| alarm.kind).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_is_voted_for_and_ends_as_it_is_told_however_often() {
    or_leave_out!();
    let left = Left::new().await;
    for (seq, outcome) in [(1, Outcome::Committed), (2, Outcome::Aborted)] {
        let transaction = transaction(seq);
        left.prepare(&transaction);
        for _ in 0..2 {
            assert_eq!(left.vote(&transaction).await, Vote::Prepared);
        }
        for _ in 0..3 {
            assert_eq!(left.end(&transaction, outcome).await, Progress::Finished);
            assert_eq!(left.is_done(&transaction), outcome == Outcome::Committed);
        }
    }
    assert!(left.pair.prepared(0).is_empty() && left.alarms().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_was_never_prepared_it_declines_and_after_an_abort_it_cannot_be_prepared_any_more() {
    or_leave_out!();
    let left = Left::new().await;
    let transaction = transaction(1);
    assert_eq!(left.vote(&transaction).await, Vote::Aborted);
    assert_eq!(left.end(&transaction, Outcome::Aborted).await, Progress::Finished);
    let late = left.try_prepare(&transaction).unwrap_err().to_string();
    assert!(late.contains("fence_pkey"), "{late}");
    assert_eq!(left.vote(&transaction).await, Vote::Aborted);
    assert_eq!(left.end(&transaction, Outcome::Aborted).await, Progress::Finished);
    assert!(left.pair.prepared(0).is_empty() && !left.is_done(&transaction));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_after_it_declined_ends_all_the_same() {
    or_leave_out!();
    let left = Left::new().await;
    let transaction = transaction(1);
    assert_eq!(left.vote(&transaction).await, Vote::Aborted);
    left.prepare(&transaction);
    let found = left.resource.recover(&[]).await.unwrap();
    assert_eq!(found, [Promised::new(transaction.clone(), Meta::default())]);
    assert_eq!(left.end(&transaction, Outcome::Aborted).await, Progress::Finished);
    assert!(left.pair.prepared(0).is_empty() && left.try_prepare(&transaction).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_what_was_rolled_back_by_hand_is_an_alarm_and_never_finished() {
    or_leave_out!();
    let left = Left::new().await;
    // Nobody was asked before it was removed; or the vote was given before that.
    for seq in [1, 2] {
        let transaction = transaction(seq);
        left.prepare(&transaction);
        if seq == 2 {
            assert_eq!(left.vote(&transaction).await, Vote::Prepared);
        }
        left.by_hand("ROLLBACK", &transaction);
        if seq == 1 {
            assert_eq!(left.vote(&transaction).await, Vote::Aborted);
        }
        for _ in 0..2 {
            assert_eq!(left.end(&transaction, Outcome::Committed).await, Progress::Again);
        }
    }
    assert_eq!(left.kinds(), [Kind::Lost, Kind::Lost]);
    // A late PREPARE brings it back: it is carried out, and the alarm is over.
    left.prepare(&transaction(1));
    assert_eq!(left.end(&transaction(1), Outcome::Committed).await, Progress::Finished);
    assert_eq!(left.alarms().iter().map(|alarm| alarm.tx.seq).collect::<Vec<_>>(), [2]);
    // An abort is what it has become anyway.
    left.prepare(&transaction(3));
    left.by_hand("ROLLBACK", &transaction(3));
    assert_eq!(left.end(&transaction(3), Outcome::Aborted).await, Progress::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_what_has_a_tombstone_is_an_alarm_and_never_finished() {
    or_leave_out!();
    let left = Left::new().await;
    assert_eq!(left.end(&transaction(1), Outcome::Aborted).await, Progress::Finished);
    assert_eq!(left.end(&transaction(1), Outcome::Committed).await, Progress::Again);
    assert_eq!(left.kinds(), [Kind::RolledBack]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_of_what_was_committed_by_hand_is_an_alarm_and_never_finished() {
    or_leave_out!();
    let left = Left::new().await;
    left.prepare(&transaction(1));
    left.by_hand("COMMIT", &transaction(1));
    // It may still be that the outcome is to commit: then all is well.
    assert_eq!(left.vote(&transaction(1)).await, Vote::Prepared);
    assert_eq!(left.end(&transaction(1), Outcome::Committed).await, Progress::Finished);
    assert_eq!(left.end(&transaction(1), Outcome::Aborted).await, Progress::Again);
    assert_eq!(left.kinds(), [Kind::Committed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_waits_for_a_branch_that_is_being_prepared_and_ends_it_once_it_is() {
    or_leave_out!();
    let left = Left::new().await;
    let transaction = transaction(1);
    let url = left.pair.server.url(&left.pair.names[0]);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {}", fence(left.cluster, LEFT, transaction.id()))).await.unwrap();
    assert_eq!(left.end(&transaction, Outcome::Aborted).await, Progress::Again, "the branch may yet be prepared");
    client.batch_execute(&format!("PREPARE TRANSACTION '{}'", gid(left.cluster, &transaction))).await.unwrap();
    assert_eq!(left.end(&transaction, Outcome::Aborted).await, Progress::Finished);
    assert!(left.pair.prepared(0).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_ones_is_left_alone() {
    or_leave_out!();
    let left = Left::new().await;
    let transaction = transaction(1);
    let others = [
        gid(ClusterId([7; 16]), &transaction).to_string(),
        Gid::new(left.cluster, RIGHT, transaction.clone()).unwrap().to_string(),
        "synod_and_somebodys".to_owned(),
        "an application's own".to_owned(),
    ];
    for (id, gid) in others.iter().enumerate() {
        let gid = gid.replace('\'', "''");
        left.pair
            .sql(0, &format!("BEGIN; INSERT INTO account VALUES ({}, 1); PREPARE TRANSACTION '{gid}'", 2_000 + id));
    }
    // The same branch in another database of the same server.
    let elsewhere = Transaction::new(TxId { origin: NodeId(1), seq: 9 }, [LEFT, RIGHT], []).unwrap();
    left.pair.sql(
        1,
        &format!("BEGIN; INSERT INTO account VALUES (2, 2); PREPARE TRANSACTION '{}'", gid(left.cluster, &elsewhere)),
    );
    assert_eq!(left.resource.recover(&[]).await.unwrap(), []);
    assert_eq!(
        left.end(&elsewhere, Outcome::Aborted).await,
        Progress::Again,
        "it is not here, and is not taken for gone"
    );
    assert_eq!(left.pair.prepared(0).len(), others.len());
    assert_eq!(left.pair.prepared(1).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_prepared_is_recovered_and_nothing_is_let_go_of() {
    or_leave_out!();
    let left = Left::new().await;
    for seq in 1..=3 {
        left.prepare(&transaction(seq));
    }
    assert_eq!(left.end(&transaction(2), Outcome::Committed).await, Progress::Finished);
    let lost = Promised::new(transaction(7), Meta::default());
    for promised in [vec![], vec![lost]] {
        let mut found = left.resource.recover(&promised).await.unwrap();
        found.sort_by_key(|promised| promised.transaction.id());
        let seqs: Vec<u64> = found.iter().map(|promised| promised.transaction.id().seq).collect();
        assert_eq!(seqs, [1, 3]);
    }
    assert_eq!(left.pair.prepared(0).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_what_is_over_go_and_a_tombstone_only_when_nobody_can_prepare_any_more() {
    or_leave_out!();
    let pair = Pair::new().await;
    let cluster = pair.local().cluster();
    let resource = pair.databases[0].resource(cluster).await.unwrap();
    let url = pair.server.url(&pair.names[0]);
    let (slow, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // An application is slow: it will prepare when all is over.
    slow.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let origin = NodeId(77);
    let named = |seq| Transaction::new(TxId { origin, seq }, [LEFT, RIGHT], []).unwrap();
    assert_eq!(resource.abort(&named(1), None).await, Progress::Finished);
    pair.sql(0, &fence(cluster, LEFT, named(2).id()));
    assert_eq!(pair.rows()[0], "tw");
    resource.forget(TxRange::new(origin, 1, 2).unwrap());
    until("the row goes", || pair.rows()[0] == "t").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pair.rows()[0], "t");
    let late = slow.batch_execute(&fence(cluster, LEFT, named(1).id())).await.unwrap_err();
    assert_eq!(late.code(), Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION));
    slow.batch_execute("ROLLBACK").await.unwrap();
    until("the tombstone goes", || pair.rows()[0].is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_does_not_have_yet_is_no_vote() {
    or_leave_out!();
    let left = Left::of(Pair::with(std::sync::Arc::new(own()), quick()).await).await;
    left.pair.sql(0, "ALTER SYSTEM SET synchronous_standby_names = 'missing'");
    left.pair.sql(0, "SELECT pg_reload_conf()");
    until("it waits for standbys", || left.pair.sql(0, "SHOW synchronous_standby_names") == "missing").await;
    let transaction = transaction(1);
    let (fence, gid) = (fence(left.cluster, LEFT, transaction.id()), gid(left.cluster, &transaction));
    left.pair.sql(0, &format!("SET synchronous_commit = local; BEGIN; {fence}; PREPARE TRANSACTION '{gid}'"));
    let early = timeout(Duration::from_millis(500), left.vote(&transaction)).await;
    assert!(early.is_err(), "{early:?}: a failover now would lose it");
    left.pair.sql(0, "ALTER SYSTEM RESET synchronous_standby_names");
    left.pair.sql(0, "SELECT pg_reload_conf()");
    assert_eq!(left.vote(&transaction).await, Vote::Prepared);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_seems_to_write_and_does_not_is_prepared_with_its_row_or_not_at_all() {
    or_leave_out!();
    let left = Left::new().await;
    left.pair.sql(
        0,
        "CREATE VIEW seems AS SELECT 1 AS id; \
         CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER nothing INSTEAD OF INSERT ON seems FOR EACH ROW EXECUTE FUNCTION nothing()",
    );
    let mut branch = left.database.open(None).await.unwrap();
    assert_eq!(branch.execute("INSERT INTO seems VALUES (1)", &[]).await.unwrap(), 1);
    branch.prepare(left.cluster, &transaction(1)).await.unwrap();
    branch.finish(Outcome::Committed).await.unwrap();
    // Without its row it would be taken for lost.
    assert_eq!(left.resource.commit(&transaction(1), &Meta::default()).await, Progress::Finished);
    assert_eq!(left.database.alarms(), []);
    // One whose transaction its own statements have ended is not.
    let mut branch = left.database.open(None).await.unwrap();
    branch.batch_execute("UPDATE account SET balance = 7; COMMIT").await.unwrap();
    let error = branch.prepare(left.cluster, &transaction(2)).await.unwrap_err();
    assert!(matches!(error, Unprepared::RolledBack(_)), "{error:?}");
    assert!(error.into_cause().to_string().contains("leave both to `commit`"));
    assert_eq!(left.pair.prepared(0), [""; 0]);
}
