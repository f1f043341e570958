//! Transactions of more participants than the name of a branch has room for.

use std::time::Duration;

use synod::commit::Transaction;
use synod_client::{Branch, Database, NodeId, Outcome, local::Local};
use synod_postgres::{Gid, Options, Postgres};
use synod_servers::Postgres as Server;

use crate::scene::{or_leave_out, own, quick, until};

/// More than have room, by one.
const MANY: u64 = 13;

struct Crowd {
    server: Server,
    databases: Vec<Postgres>,
    local: Local,
    _folder: tempfile::TempDir,
}

impl Crowd {
    async fn new() -> Self {
        let (server, folder) = (own(), tempfile::tempdir().unwrap());
        let timeouts = synod::commit::Timeouts::default().with_recover(500).with_inquire(300).with_repeat(100);
        let (mut local, mut databases) = (Local::builder(folder.path()).timeouts(timeouts), Vec::new());
        for at in 0..MANY {
            let name = format!("db{at}");
            server.create_database(&name).unwrap();
            server.sql(&name, "CREATE TABLE work (number int)").unwrap();
            let options: Options = quick().connections(2).agent_connections(1, 1);
            let database = Postgres::connect_with(&server.url(&name), NodeId(u64::MAX - at), options).await.unwrap();
            local = local.agent(database.clone());
            databases.push(database);
        }
        let local = local.start().await.unwrap();
        Self { server, databases, local, _folder: folder }
    }

    fn sum(&self, count: &str) -> u64 {
        let in_one = |at| self.server.sql(&format!("db{at}"), count).unwrap().parse::<u64>().unwrap();
        (0..MANY).map(in_one).sum()
    }

    async fn transaction(&self) -> Transaction {
        let name = self.local.node(NodeId(1)).unwrap().names(1).await.unwrap().names.first();
        Transaction::new(name, self.databases.iter().map(Database::participant), []).unwrap()
    }
}

const PREPARED: &str = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_more_participants_than_a_name_has_room_for_commits_and_leaves_nothing() {
    or_leave_out!();
    let crowd = Crowd::new().await;
    let mut tx = crowd.local.synod().transaction();
    for database in &crowd.databases {
        tx.on(database).await.unwrap().execute("INSERT INTO work VALUES (1)", &[]).await.unwrap();
    }
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(crowd.sum("SELECT count(*) FROM work"), MANY);
    let rows = "SELECT (SELECT count(*) FROM synod.fence) + (SELECT count(*) FROM synod.participants)";
    until("their rows are gone", || crowd.sum(rows) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_brings_back_keeps_the_list_of_its_participants() {
    or_leave_out!();
    let crowd = Crowd::new().await;
    let (transaction, cluster) = (crowd.transaction().await, crowd.local.cluster());
    let mut branches = Vec::new();
    for database in &crowd.databases {
        let mut branch = database.open(None).await.unwrap();
        branch.execute("INSERT INTO work VALUES (1)", &[]).await.unwrap();
        branch.prepare(cluster, &transaction).await.unwrap();
        branches.push(branch);
    }
    let list = "SELECT branch::text || ',' || participants::text FROM synod.participants";
    let listed = crowd.server.sql("db0", list).unwrap();
    let (key, participants) = listed.split_once(',').unwrap();
    let manager = crowd.local.node(NodeId(1)).unwrap();
    manager.begin_as(transaction.clone(), []).await.unwrap();
    assert_eq!(manager.outcome(transaction.id()).await.unwrap(), Outcome::Committed);
    for branch in &mut branches {
        branch.finish(Outcome::Committed).await.unwrap();
    }
    let count = "SELECT count(*) FROM synod.participants";
    until("it is over", || crowd.sum(count) == 0).await;
    let gid = Gid::new(cluster, crowd.databases[0].participant(), transaction).unwrap();
    let restored = format!(
        "INSERT INTO synod.participants (branch, participants) VALUES ('{key}', '{participants}'); \
         BEGIN; INSERT INTO work VALUES (2); PREPARE TRANSACTION '{gid}'"
    );
    crowd.server.sql("db0", &restored).unwrap();
    // The fence is walked through every 64 turns.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(crowd.sum(count), 1, "nobody could ask about it any more");
    crowd.server.sql("db0", &format!("ROLLBACK PREPARED '{gid}'")).unwrap();
    until("its row goes with it", || crowd.sum(count) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_leaves_prepared_of_such_a_transaction_is_found_and_ended_and_without_its_list_is_left() {
    or_leave_out!();
    let crowd = Crowd::new().await;
    let transaction = crowd.transaction().await;
    for database in &crowd.databases[..2] {
        let mut branch = database.open(None).await.unwrap();
        branch.execute("INSERT INTO work VALUES (1)", &[]).await.unwrap();
        branch.prepare(crowd.local.cluster(), &transaction).await.unwrap();
        // The application dies.
        drop(branch);
    }
    assert!(crowd.sum("SELECT count(*) FROM synod.participants") > 0);
    until("it is rolled back", || crowd.sum(PREPARED) == 0).await;
    assert_eq!(crowd.sum("SELECT count(*) FROM work"), 0);
    // Nobody can ask about one whose list is gone, and nobody guesses.
    let (transaction, participant) = (crowd.transaction().await, crowd.databases[0].participant());
    let gid = Gid::new(crowd.local.cluster(), participant, transaction).unwrap();
    crowd.server.sql("db0", &format!("BEGIN; INSERT INTO work VALUES (2); PREPARE TRANSACTION '{gid}'")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(crowd.sum(PREPARED), 1);
    crowd.server.sql("db0", &format!("ROLLBACK PREPARED '{gid}'")).unwrap();
}
