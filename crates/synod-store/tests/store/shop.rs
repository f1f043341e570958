//! An account in PostgreSQL, a ledger in Python, and a cluster in this process.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use synod_client::{CommitError, NodeId, Outcome, local::Local};
use synod_grpc::Security;
use synod_postgres::Postgres;
use synod_servers as servers;
use synod_store::{Options, Store};
use tokio::time::{sleep, timeout};

use crate::conformance::PYTHON;

pub(crate) const ACCOUNTS: NodeId = NodeId(11);
pub(crate) const LEDGER: NodeId = NodeId(13);

/// Entries, and what is left that should not be.
const READ: &str = "\
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
count = lambda table: db.execute(f'SELECT count(*) FROM {table}').fetchone()[0]
print(count('entry'), count(\"synod_work WHERE state = 'prepared'\"), count('synod_staged'))";

/// A server for the account of `ann`, who has 100.
pub(crate) fn account() -> servers::Postgres {
    let server = servers::Postgres::start(servers::Options::default()).unwrap();
    server.create_database("accounts").unwrap();
    let tables = "CREATE TABLE account (balance bigint NOT NULL); INSERT INTO account VALUES (100); \
                  CREATE TABLE note (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    server.sql("accounts", tables).unwrap();
    server
}

/// The ledger as a process, which is started again when it dies.
pub(crate) struct Ledger {
    file: PathBuf,
    pub(crate) address: String,
    is_over: Arc<AtomicBool>,
    keeper: Option<thread::JoinHandle<()>>,
}

impl Ledger {
    /// The ledger in `folder`, which dies once at `step`; see `clients/python/tests/dying_ledger.py`.
    pub(crate) fn start(folder: &Path, step: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (file, address) = (folder.join("ledger.db"), format!("127.0.0.1:{port}"));
        let mut serve = Command::new(root.join(PYTHON));
        serve.arg(root.join("../../clients/python/tests/dying_ledger.py")).arg(&file).args([&address, step]);
        serve.stdout(Stdio::null());
        let is_over = Arc::new(AtomicBool::new(false));
        let keeper = thread::spawn({
            let (is_over, mut child) = (Arc::clone(&is_over), serve.spawn().unwrap());
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    if child.try_wait().unwrap().is_some() {
                        child = serve.spawn().unwrap();
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                end(&mut child);
            }
        });
        Self { file, address, is_over, keeper: Some(keeper) }
    }

    pub(crate) fn has_died(&self) -> bool {
        self.file.with_extension("db.died").exists()
    }

    /// Its entries; and what is prepared, and what is staged.
    pub(crate) fn read(&self) -> [i64; 3] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join(PYTHON)).args(["-c", READ]).arg(&self.file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let counts: Vec<i64> =
            String::from_utf8(output.stdout).unwrap().split_whitespace().map(|count| count.parse().unwrap()).collect();
        counts.try_into().unwrap()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The application, and the cluster and the agents in its process.
pub(crate) struct Shop {
    pub(crate) local: Local,
    pub(crate) accounts: Postgres,
    pub(crate) ledger: Store,
}

impl Shop {
    /// With agents that take back after `patience` what was left behind.
    pub(crate) async fn open(folder: &Path, url: &str, ledger: &str, patience: Duration) -> Self {
        let often = Duration::from_millis(50);
        let accounts = synod_postgres::Options::new().sweep(often, patience);
        let accounts = Postgres::connect_with(url, ACCOUNTS, accounts).await.unwrap();
        let options = Options::new().answer(Duration::from_secs(20)).sweep(often).patience(patience);
        let ledger = Store::new(ledger, LEDGER, Security::Plaintext, options).unwrap();
        let local = Local::builder(folder.join("synod-data")).agent(accounts.clone()).agent(ledger.clone());
        let local = local.start().await.unwrap();
        // The ledger may take longer to start than the cluster.
        let is_there = async {
            while !local.away().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), is_there).await.expect("the ledger does not start");
        Self { local, accounts, ledger }
    }

    /// Pays 30, and enters that.
    pub(crate) async fn buy(&self, about: &str) -> Result<Outcome, CommitError> {
        let mut tx = self.local.synod().transaction();
        tx.on(&self.accounts).await.unwrap().execute("UPDATE account SET balance = balance - 30", &[]).await.unwrap();
        tx.on(&self.ledger).await.unwrap().stage(about).unwrap();
        tx.commit().await
    }
}

/// Waits until both agree that `entries` were entered and paid for, and nothing is left behind: neither prepared nor staged.
pub(crate) async fn settles(server: &servers::Postgres, ledger: &Ledger, entries: impl Fn(i64) -> bool) {
    let mut seen = String::new();
    let settled = async {
        loop {
            let balance: i64 = server.sql("accounts", "SELECT balance FROM account").unwrap().trim().parse().unwrap();
            let prepared = server.sql("accounts", "SELECT count(*) FROM pg_prepared_xacts").unwrap();
            let [entered, promised, staged] = ledger.read();
            seen = format!(
                "{balance} left and {} prepared; {entered} entered, {promised} promised, {staged} staged",
                prepared.trim()
            );
            if prepared.trim() == "0"
                && (promised, staged) == (0, 0)
                && balance == 100 - 30 * entered
                && entries(entered)
            {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), settled).await.is_ok(), "{seen}");
}
