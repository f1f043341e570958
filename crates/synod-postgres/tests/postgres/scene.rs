//! Two databases in one transaction, on a real server.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use synod_client::{NodeId, Synod, Transaction, local::Local};
use synod_postgres::{Options, Postgres};
use synod_servers::{Options as Settings, Postgres as Server};
use tempfile::TempDir;

pub(crate) const LEFT: NodeId = NodeId(11);
pub(crate) const RIGHT: NodeId = NodeId(12);

/// Whatever must happen happens within this time, on a slow machine too.
const BOUND: Duration = Duration::from_secs(60);

/// Whether there is a server to test with; says so if not.
macro_rules! or_leave_out {
    () => {
        if synod_servers::Postgres::installed().is_none() {
            eprintln!("left out: PostgreSQL is not installed");
            return;
        }
    };
}
pub(crate) use or_leave_out;

/// The server that the tests of this process share; it stops with the last of them.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn shared() -> Arc<Server> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(own());
        *shared = Arc::downgrade(&server);
        server
    })
}

/// A server of one's own, to be killed.
pub(crate) fn own() -> Server {
    Server::start(Settings::default().set("max_connections", "300")).expect("a server")
}

/// A pair of databases that nobody else uses, with an account in each, and a cluster.
pub(crate) struct Pair {
    pub(crate) names: [String; 2],
    pub(crate) databases: [Postgres; 2],
    pub(crate) local: Option<Local>,
    pub(crate) folder: TempDir,
    pub(crate) server: Arc<Server>,
    options: Options,
}

/// Options under which nothing takes long.
pub(crate) fn quick() -> Options {
    let ms = Duration::from_millis;
    Options::new().sweep(ms(50), ms(200)).hand_over(ms(500)).wait(ms(10_000))
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(shared(), quick()).await
    }

    pub(crate) async fn with(server: Arc<Server>, options: Options) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["left", "right"].map(|side| format!("{side}{number}"));
        for name in &names {
            server.create_database(name).unwrap();
            server.sql(name, "CREATE TABLE account (id int PRIMARY KEY, balance int CHECK (balance >= 0))").unwrap();
            server.sql(name, "INSERT INTO account VALUES (1, 100)").unwrap();
        }
        let databases = [
            Postgres::connect_with(&server.url(&names[0]), LEFT, options.clone()).await.unwrap(),
            Postgres::connect_with(&server.url(&names[1]), RIGHT, options.clone()).await.unwrap(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Self { names, databases, local: None, folder, server, options };
        pair.start().await;
        pair
    }

    /// Starts the cluster.
    pub(crate) async fn start(&mut self) {
        let timeouts = synod::commit::Timeouts::default().with_recover(500).with_inquire(300).with_repeat(100);
        let mut local = Local::builder(self.folder.path()).timeouts(timeouts);
        for database in &self.databases {
            local = local.agent(database.clone());
        }
        self.local = Some(local.start().await.unwrap());
    }

    /// Shuts the cluster down, and forgets what the process knew of its databases.
    pub(crate) async fn stop(&mut self) {
        self.local.take().unwrap().shutdown().await.unwrap();
        for (at, node) in [LEFT, RIGHT].into_iter().enumerate() {
            let url = self.server.url(&self.names[at]);
            self.databases[at] = Postgres::connect_with(&url, node, self.options.clone()).await.unwrap();
        }
    }

    pub(crate) fn local(&self) -> &Local {
        self.local.as_ref().unwrap()
    }

    pub(crate) fn synod(&self) -> Synod {
        self.local().synod()
    }

    /// A transaction that moves 10 from the left to the right.
    pub(crate) async fn transfer(&self) -> Transaction {
        let mut tx = self.synod().transaction();
        let [left, right] = &self.databases;
        let take = "UPDATE account SET balance = balance - 10 WHERE id = 1";
        tx.on(left).await.unwrap().execute(take, &[]).await.unwrap();
        let put = "UPDATE account SET balance = balance + 10 WHERE id = 1";
        tx.on(right).await.unwrap().execute(put, &[]).await.unwrap();
        tx
    }

    /// What statements on one side answer, over a connection of their own.
    pub(crate) fn sql(&self, side: usize, statements: &str) -> String {
        self.server.sql(&self.names[side], statements).unwrap()
    }

    pub(crate) fn balances(&self) -> [String; 2] {
        [0, 1].map(|side| self.sql(side, "SELECT balance FROM account WHERE id = 1"))
    }

    /// What is prepared on one side.
    pub(crate) fn prepared(&self, side: usize) -> Vec<String> {
        let list = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()";
        self.sql(side, list).lines().map(str::to_owned).collect()
    }

    /// How many rows each fence has of branches of transactions.
    pub(crate) fn rows(&self) -> [String; 2] {
        let count = "SELECT coalesce(string_agg(state::text, '' ORDER BY branch), '') FROM synod.fence WHERE octet_length(branch) = 40";
        [0, 1].map(|side| self.sql(side, count))
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
