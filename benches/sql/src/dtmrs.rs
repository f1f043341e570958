//! dtmrs, with its coordinator in this process and its storage in SQLite.
//!
//! It is set up as its own server program does it: what is submitted is driven at once, and its workers look for what was
//! left. SQLite is as dtmrs opens it, with `synchronous=NORMAL`: a power failure may take its last transactions. Its own
//! first phase (`Xa::begin`, `XaBranch::prepare`) does not compile inside `tokio::spawn`; here the same statements run over
//! the client's connections, under the names that it gives (`xid_for`), and so does its second phase.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::dtmrs::{
    BranchCtx, BranchOp, BranchResult, Store,
    server::{
        api::{Api, RegisterBranch},
        driver::{Driver, branch_id},
        registry::Registry,
    },
    xa::{Flavor, xid_for},
};
use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, try_join};

use crate::{
    bank::{Bank, Branch},
    contestant::{Call, Contestant, Teller, Transfer},
};

pub struct Dtmrs {
    api: Api,
    desk: Arc<Desk>,
    workers: JoinHandle<()>,
    _folder: TempDir,
}

/// The transactions under way, by their gids: where dtmrs' handlers find a transaction's connections.
#[derive(Default)]
struct Desk(Mutex<BTreeMap<String, UnderWay>>);

struct UnderWay {
    branches: Arc<[Branch; 2]>,
    /// Told when the last branch is committed. dtmrs commits them in order.
    committed: oneshot::Sender<()>,
}

impl Dtmrs {
    /// Starts a coordinator that keeps its records in a new folder in `parent`.
    pub async fn start(parent: Option<&Path>) -> Result<Self> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("dtmrs-");
        let folder = parent.map_or_else(|| folder.tempdir(), |parent| folder.tempdir_in(parent))?;
        let store = Store::open(&format!("sqlite:{}", folder.path().join("dtmrs.db").display())).await?;
        let desk = Arc::new(Desk::default());
        let mut registry = Registry::new();
        let resolver = Arc::clone(&desk);
        registry.register("resolve", move |branch| {
            let desk = Arc::clone(&resolver);
            async move { desk.resolve(&branch).await }
        });
        let driver = Driver::from_env(store.clone(), "sql-bench".into()).with_registry(Arc::new(registry));
        let workers = tokio::spawn(driver.clone().run_forever(Duration::from_secs(1)));
        Ok(Self { api: Api::new(store).with_inline_driver(driver), desk, workers, _folder: folder })
    }
}

impl Drop for Dtmrs {
    fn drop(&mut self) {
        self.workers.abort();
    }
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, BTreeMap<String, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second phase of one branch. What is not under way any more is committed already.
    async fn resolve(&self, branch: &BranchCtx) -> BranchResult {
        let Some(branches) = self.open().get(&branch.gid).map(|under_way| Arc::clone(&under_way.branches)) else {
            return BranchResult::Success;
        };
        let (BranchOp::Commit, Some(side)) = (branch.op, (0..2).find(|&side| branch_id(side) == branch.branch_id))
        else {
            return BranchResult::Unknown;
        };
        if branches[side].commit_prepared(&xid(&branch.gid, side)).await.is_err() {
            return BranchResult::Unknown;
        }
        if side == 1
            && let Some(under_way) = self.open().remove(&branch.gid)
        {
            // A client that has gone away does not wait.
            _ = under_way.committed.send(());
        }
        BranchResult::Success
    }
}

fn xid(gid: &str, side: usize) -> String {
    xid_for(Flavor::Postgres, gid, &branch_id(side))
}

impl Contestant for Dtmrs {
    fn name(&self) -> &'static str {
        "dtmrs"
    }

    fn teller<'a>(&'a self, bank: &'a Bank) -> Call<'a, Box<dyn Teller>> {
        Box::pin(async {
            let (giver, taker) = try_join!(bank.connect(0), bank.connect(1))?;
            let (api, desk, branches) = (self.api.clone(), Arc::clone(&self.desk), Arc::new([giver, taker]));
            Ok(Box::new(Client { api, desk, branches }) as Box<dyn Teller>)
        })
    }
}

struct Client {
    api: Api,
    desk: Arc<Desk>,
    branches: Arc<[Branch; 2]>,
}

impl Client {
    async fn register(&self, gid: &str, side: usize) -> Result<()> {
        let resolve = String::from("local://resolve");
        let branch = RegisterBranch {
            gid: gid.into(),
            branch_id: branch_id(side),
            commit: resolve.clone(),
            rollback: resolve,
            ..Default::default()
        };
        self.api.register_branch(&branch).await.map_err(refused)
    }

    async fn first_phase(&self, gid: &str, side: usize, account: i64, change: i64) -> Result<()> {
        self.branches[side].work(account, change).await?;
        self.branches[side].prepare(&xid(gid, side)).await
    }
}

impl Teller for Client {
    fn transfer(&mut self, transfer: Transfer) -> Call<'_, ()> {
        Box::pin(async move {
            let gid = transfer.number.to_string();
            self.api.prepare(&gid, "xa", &[], "", None).await.map_err(refused)?;
            self.register(&gid, 0).await?;
            self.register(&gid, 1).await?;
            try_join!(self.first_phase(&gid, 0, transfer.from, -1), self.first_phase(&gid, 1, transfer.to, 1))?;
            let (committed, wait) = oneshot::channel();
            self.desk.open().insert(gid.clone(), UnderWay { branches: Arc::clone(&self.branches), committed });
            self.api.submit(&gid, "xa", &[]).await.map_err(refused)?;
            wait.await.context("dtmrs has dropped a transaction")
        })
    }
}

fn refused(error: ::dtmrs::server::api::ApiError) -> anyhow::Error {
    anyhow!("dtmrs: {}", error.message())
}
