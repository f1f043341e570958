//! A file together with a PostgreSQL and a MariaDB server.

use synod_client::{NodeId, Outcome, local::Local};
use synod_mysql::Mysql;
use synod_postgres::Postgres;
use synod_servers::{Maria, Options, Postgres as PostgresServer};
use synod_sqlite::Sqlite;

use crate::plain;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_commits_together_with_postgresql_and_mariadb_or_nothing_does() {
    if PostgresServer::installed().is_none() || Maria::installed().is_none() {
        eprintln!("left out: PostgreSQL and MariaDB are not both installed");
        return;
    }
    let (one, other) = (PostgresServer::start(Options::default()).unwrap(), Maria::start(Options::default()).unwrap());
    one.create_database("accounts").unwrap();
    one.sql("accounts", "CREATE TABLE account (balance bigint); INSERT INTO account VALUES (100)").unwrap();
    other.create_database("orders").unwrap();
    other.sql("orders", "CREATE TABLE purchase (price BIGINT) ENGINE=InnoDB").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cart.db");
    plain(&path).execute_batch("CREATE TABLE item (price CHECK (price < 50)); INSERT INTO item VALUES (30)").unwrap();

    let accounts = Postgres::connect(&one.url("accounts"), NodeId(11)).await.unwrap();
    let orders = Mysql::connect(&other.url("orders"), NodeId(12)).await.unwrap();
    let cart = Sqlite::open(&path, NodeId(13)).await.unwrap();
    let local = Local::builder(folder.path().join("synod-data"));
    let local = local.agent(accounts.clone()).agent(orders.clone()).agent(cart.clone()).start().await.unwrap();
    for commits in [false, true] {
        let mut tx = local.synod().transaction();
        let pay = "UPDATE account SET balance = balance - 30";
        tx.on(&accounts).await.unwrap().execute(pay, &[]).await.unwrap();
        tx.on(&orders).await.unwrap().query_drop("INSERT INTO purchase VALUES (30)").await.unwrap();
        tx.on(&cart).await.unwrap().execute("DELETE FROM item", &[]).await.unwrap();
        match commits {
            true => assert_eq!(tx.commit().await.unwrap(), Outcome::Committed),
            false => tx.roll_back().await,
        }
        let left = plain(&path).query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0)).unwrap();
        let found = [
            one.sql("accounts", "SELECT balance FROM account").unwrap(),
            other.sql("orders", "SELECT COUNT(*) FROM purchase").unwrap(),
            left.to_string(),
        ];
        assert_eq!(found, if commits { ["70", "1", "0"] } else { ["100", "0", "1"] });
    }
    local.shutdown().await.unwrap();
}
