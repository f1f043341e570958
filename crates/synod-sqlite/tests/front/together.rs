//! Two files and a cluster in this process.

use std::{path::Path, time::Duration};

use synod_client::{CommitError, NodeId, Outcome, local::Local};
use synod_sqlite::{Options, Sqlite};

use crate::{ACCOUNTS, ORDERS, plain, rows};

async fn shop(folder: &Path) -> (Sqlite, Sqlite, Local) {
    let options = Options::new().sweep(Duration::from_millis(20), Duration::from_millis(100));
    let open = |name: &str, node: NodeId| Sqlite::open_with(folder.join(name), node, options.clone());
    let (accounts, orders) = (open("accounts.db", ACCOUNTS).await.unwrap(), open("orders.db", ORDERS).await.unwrap());
    let local = Local::builder(folder.join("synod-data")).agent(accounts.clone()).agent(orders.clone());
    (accounts, orders, local.start().await.unwrap())
}

fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    plain(&folder.path().join("accounts.db"))
        .execute_batch("CREATE TABLE account (name PRIMARY KEY, balance CHECK (balance >= 0)); INSERT INTO account VALUES ('ann', 100)")
        .unwrap();
    plain(&folder.path().join("orders.db")).execute_batch("CREATE TABLE purchase (who, price)").unwrap();
    folder
}

fn balance_and_orders(folder: &Path) -> (i64, i64) {
    let number = |file: &str, query: &str| plain(&folder.join(file)).query_row(query, [], |row| row.get(0)).unwrap();
    (number("accounts.db", "SELECT balance FROM account"), number("orders.db", "SELECT count(*) FROM purchase"))
}

/// Waits for what comes about by itself.
async fn until(is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.expect("it does not come about");
}

async fn buy(accounts: &Sqlite, orders: &Sqlite, local: &Local) -> Result<Outcome, CommitError> {
    let mut tx = local.synod().transaction();
    let pay = "UPDATE account SET balance = balance - ?1 WHERE name = ?2";
    tx.on(accounts).await.unwrap().execute(pay, &[&30, &"ann"]).await.unwrap();
    tx.on(orders).await.unwrap().execute("INSERT INTO purchase VALUES (?1, ?2)", &[&"ann", &30]).await.unwrap();
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_change_together_and_their_marks_go_when_all_is_over() {
    let folder = files();
    let (accounts, orders, local) = shop(folder.path()).await;
    for turn in 1..=3 {
        assert_eq!(buy(&accounts, &orders, &local).await.unwrap(), Outcome::Committed);
        assert_eq!(balance_and_orders(folder.path()), (100 - 30 * turn, turn));
    }
    // Dropped, nothing changes; and who has only read takes no part.
    let mut tx = local.synod().transaction();
    tx.on(&accounts).await.unwrap().execute("UPDATE account SET balance = 0", &[]).await.unwrap();
    tx.roll_back().await;
    let mut tx = local.synod().transaction();
    let read = tx.on(&accounts).await.unwrap().query("SELECT balance FROM account", &[], |row| row.get::<_, i64>(0));
    assert_eq!(read.await.unwrap(), [10]);
    tx.on(&orders).await.unwrap().execute("DELETE FROM purchase WHERE price > ?1", &[&30]).await.unwrap();
    tx.on(&orders).await.unwrap().execute("INSERT INTO purchase VALUES ('bob', ?1)", &[&1.5]).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!(balance_and_orders(folder.path()), (10, 4));
    for file in ["accounts.db", "orders.db"] {
        let db = plain(&folder.path().join(file));
        until(async || rows(&db, &["SELECT * FROM synod_fence"]).unwrap().is_empty()).await;
    }
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_and_left_behind_ends_by_itself() {
    let folder = files();
    let (accounts, _orders, local) = shop(folder.path()).await;
    let node = local.node(NodeId(1)).unwrap();
    let name = node.names(1).await.unwrap().names.first();
    let transaction = synod::commit::Transaction::new(name, [ACCOUNTS, ORDERS], []).unwrap();
    {
        use synod_client::{Branch, Database};
        let mut branch = accounts.open(None).await.unwrap();
        branch.execute("UPDATE account SET balance = 0", &[]).await.unwrap();
        branch.prepare(local.cluster(), &transaction).await.unwrap();
        // The application forgets it.
    }
    until(async || accounts.prepared().await.unwrap().is_empty()).await;
    assert_eq!(balance_and_orders(folder.path()), (100, 0));
    assert_eq!(accounts.alarms(), []);
    local.shutdown().await.unwrap();
}
