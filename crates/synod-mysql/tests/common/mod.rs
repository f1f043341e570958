//! A server, its databases, and a cluster in this process.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a server takes its time")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::{Conn, prelude::Queryable};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Outcome, Transaction},
    perform::tokio::{Progress, Resource},
};
use synod_client::{Synod, local::Local};
use synod_mysql::{Mysql, MysqlResource, Options, Xid, mysql_async};
use synod_servers::Maria;
use tempfile::TempDir;

pub const ACCOUNTS: NodeId = NodeId(11);
pub const ORDERS: NodeId = NodeId(12);

/// The server that the tests of this program share. Prints a message if no server is installed.
pub fn server() -> Option<&'static Maria> {
    static SERVER: OnceLock<Option<Maria>> = OnceLock::new();
    let start = || Maria::installed().map(|_| Maria::start(synod_servers::Options::default()).expect("it starts"));
    let server = SERVER.get_or_init(start).as_ref();
    if server.is_none() {
        eprintln!("left out: no MariaDB is installed");
    }
    server
}

/// A new database with an account.
pub fn database(server: &Maria) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let name = format!("bank{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.create_database(&name).expect("it is new");
    let account = "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB; \
        INSERT INTO account VALUES (1, 100)";
    server.sql(&name, account).expect("it is new");
    server.url(&name)
}

/// As patient as tests are.
pub fn options() -> Options {
    let brief = Duration::from_millis(300);
    Options::new().sweep(Duration::from_millis(100), brief).hand_over(brief).wait(Duration::from_secs(10))
}

pub async fn connect(url: &str, participant: NodeId) -> Mysql {
    Mysql::connect_with(url, participant, options()).await.expect("it can take part")
}

/// Two databases, the cluster that they belong to, and its folder.
pub struct World {
    pub folder: TempDir,
    pub urls: [String; 2],
    pub accounts: Mysql,
    pub orders: Mysql,
    pub local: Local,
}

impl World {
    pub async fn new(server: &Maria) -> Self {
        Self::of([database(server), database(server)], TempDir::new().expect("a folder")).await
    }

    pub async fn of(urls: [String; 2], folder: TempDir) -> Self {
        let (accounts, orders) = (connect(&urls[0], ACCOUNTS).await, connect(&urls[1], ORDERS).await);
        let local = start(&folder, &accounts, &orders).await;
        Self { folder, urls, accounts, orders, local }
    }

    pub fn synod(&self) -> Synod {
        self.local.synod()
    }

    /// What is in both accounts.
    pub async fn balances(&self) -> [i64; 2] {
        [balance(&self.urls[0]).await, balance(&self.urls[1]).await]
    }
}

pub async fn start(folder: &TempDir, accounts: &Mysql, orders: &Mysql) -> Local {
    let builder = Local::builder(folder.path()).agent(accounts.clone()).agent(orders.clone());
    builder.start().await.expect("the cluster starts")
}

pub const TAKE: &str = "UPDATE account SET balance = balance - 30 WHERE id = 1";
pub const GIVE: &str = "UPDATE account SET balance = balance + 30 WHERE id = 1";

/// A connection beside all others.
pub async fn by_hand(url: &str) -> Conn {
    let mut conn = Conn::from_url(url).await.expect("the server is up");
    conn.query_drop("SET innodb_lock_wait_timeout = 1").await.expect("it is a number");
    conn
}

pub async fn balance(url: &str) -> i64 {
    let mut conn = by_hand(url).await;
    let balance = conn.query_first("SELECT balance FROM account WHERE id = 1").await.expect("the table is there");
    conn.disconnect().await.expect("the server is up");
    balance.expect("the account is there")
}

/// The row of a branch: its state.
pub async fn row(url: &str, xid: &Xid) -> Option<String> {
    let mut conn = by_hand(url).await;
    let state = format!("SELECT state FROM synod_fence WHERE branch = {}", key(xid));
    conn.query_first(state).await.expect("the table is there")
}

pub fn key(xid: &Xid) -> String {
    let numbers = [xid.participant().0, xid.tx().origin.0, xid.tx().seq];
    let cluster: String = xid.cluster().0.iter().map(|byte| format!("{byte:02x}")).collect();
    numbers.iter().fold(format!("X'{cluster}"), |key, number| format!("{key}{number:016x}")) + "'"
}

/// Waits until `is_true`, for half a minute.
pub async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_true().await {
        assert!(start.elapsed() < Duration::from_secs(30), "it takes too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nobody holds a lock on the account.
pub async fn until_free(url: &str) {
    let mut conn = by_hand(url).await;
    let lock = "SELECT balance FROM account WHERE id = 1 FOR UPDATE";
    until("the account is free", async || conn.query_drop(lock).await.is_ok()).await;
}

/// A participant's resource without a node, and a transaction that is its own.
pub struct Alone {
    pub url: String,
    pub mysql: Mysql,
    pub resource: MysqlResource,
    pub transaction: Transaction,
    pub xid: Xid,
}

impl Alone {
    pub async fn new(server: &Maria) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let url = database(server);
        let mysql = connect(&url, ACCOUNTS).await;
        let mut cluster = ClusterId(*b"of the test no.0");
        cluster.0[15] = NEXT.fetch_add(1, Ordering::Relaxed) as u8;
        let resource = synod_client::Agent::resource(&mysql, cluster).await.expect("it can take part");
        let tx = TxId { origin: NodeId(1), seq: 7 };
        let transaction = Transaction::new(tx, [ACCOUNTS, ORDERS], []).expect("two participants");
        Self { url, mysql, resource, transaction, xid: Xid::new(cluster, ACCOUNTS, tx) }
    }

    /// Prepares a branch as the application does, over a connection that stays open.
    pub async fn prepare(&self) -> mysql_async::Result<Conn> {
        prepare(&self.url, &self.xid).await
    }

    pub async fn prepare_and_leave(&self) {
        leave(self.prepare().await.expect("nothing is in its way"), &self.url, &self.xid).await;
    }

    pub async fn vote(&self) -> synod::commit::Vote {
        self.resource.vote(&self.transaction, &Meta::default()).await
    }

    pub async fn verdict(&self, outcome: Outcome) -> Progress {
        let meta = Meta::default();
        match outcome {
            Outcome::Committed => self.resource.commit(&self.transaction, &meta).await,
            Outcome::Aborted => self.resource.abort(&self.transaction, Some(&meta)).await,
        }
    }

    pub async fn row(&self) -> Option<String> {
        row(&self.url, &self.xid).await
    }
}

pub async fn prepare(url: &str, xid: &Xid) -> mysql_async::Result<Conn> {
    let mut conn = by_hand(url).await;
    conn.query_drop(format!("XA START {xid}; {TAKE}")).await?;
    let fence = format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 'w')", key(xid));
    match conn.query_drop(format!("{fence}; XA END {xid}; XA PREPARE {xid}")).await {
        Ok(()) => Ok(conn),
        Err(error) => {
            conn.disconnect().await?;
            Err(error)
        }
    }
}

/// Ends the connection, and waits until the branch is nobody's.
pub async fn leave(conn: Conn, url: &str, xid: &Xid) {
    let number = conn.id();
    conn.disconnect().await.expect("the server is up");
    let mut conn = by_hand(url).await;
    let gone = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {number}");
    until("the connection is gone", async || conn.query_first(&*gone).await.expect("it is asked") == Some(0_u64)).await;
    assert!(is_listed(url, xid).await);
}

pub async fn is_listed(url: &str, xid: &Xid) -> bool {
    let mut conn = by_hand(url).await;
    let rows: Vec<(i64, i64, i64, Vec<u8>)> = conn.query("XA RECOVER").await.expect("it is shown");
    let tx = xid.tx();
    let data = [
        &xid.cluster().0[..],
        &tx.origin.0.to_be_bytes(),
        &tx.seq.to_be_bytes(),
        b"synod",
        &xid.participant().0.to_be_bytes(),
    ];
    rows.iter().any(|(_, _, _, found)| *found == data.concat())
}
