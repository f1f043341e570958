//! What the databases themselves list as prepared.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use synod::{NodeId, TxId, commit::Status};
use tokio::time::timeout;

use super::{kept::Last, look::PATIENCE, view};
use crate::{
    failure::chain,
    run::{Process, Slot},
};

/// How many prepared transactions of a database are looked at.
const MOST: usize = 1_000;

/// How long a database may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What the databases of this process list, asked a moment ago at most, if they answer in time.
pub(super) async fn databases_lately(process: &Arc<Process>) -> Option<Arc<view::Databases>> {
    let asked = Arc::clone(process);
    Last::get(process, |process| &process.kept.databases, async move { ask(&asked).await }).await
}

/// What the databases of this process list.
pub(crate) async fn databases(process: &Arc<Process>) -> view::Databases {
    databases_lately(process).await.map(|databases| (*databases).clone()).unwrap_or_default()
}

/// Which databases list a transaction, by its name.
pub(super) fn by_transaction(databases: &view::Databases) -> BTreeMap<&str, Vec<u64>> {
    let mut listed: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for database in &databases.databases {
        for tx in database.branches.iter().filter_map(|branch| branch.tx.as_deref()) {
            listed.entry(tx).or_default().push(database.node);
        }
    }
    listed
}

async fn ask(process: &Process) -> view::Databases {
    let mut databases = Vec::new();
    for slot in process.slots() {
        if let Some(database) = database(process, slot).await {
            databases.push(database);
        }
    }
    view::Databases { databases }
}

async fn database(process: &Process, slot: &Slot) -> Option<view::Database> {
    let (beside, url) = (slot.database.as_ref()?, slot.config.database.as_ref()?);
    let mut database = view::Database {
        node: slot.id().0,
        name: slot.name(),
        url: url.without_password(),
        silent: slot.away(),
        prepared: 0,
        branches: Vec::new(),
    };
    if database.silent.is_some() {
        return Some(database);
    }
    match timeout(ANSWER, beside.prepared(process.config().cluster, MOST)).await {
        Ok(Ok((listed, all))) => {
            database.prepared = all;
            for each in listed {
                let own = each
                    .branch
                    .filter(|branch| (branch.cluster, branch.participant) == (process.config().cluster, slot.id()));
                let knows = match (&each.branch, own) {
                    (_, Some(branch)) => knows(process, slot.id(), branch.tx).await,
                    (Some(_), None) => view::Knows::Others,
                    (None, None) => view::Knows::Foreign,
                };
                database.branches.push(view::Branch {
                    name: each.name,
                    tx: own.map(|branch| branch.tx.to_string()),
                    age_seconds: each.age.map(|age| age.as_secs_f64()),
                    knows,
                });
            }
        }
        Ok(Err(error)) => database.silent = Some(chain(&*error)),
        Err(_) => database.silent = Some(format!("it has not answered within {} s", ANSWER.as_secs())),
    }
    Some(database)
}

/// What the nodes here know of a branch at `agent`. What the agent has not heard of may be known to a manager.
async fn knows(process: &Process, agent: NodeId, tx: TxId) -> view::Knows {
    let mut is_open = false;
    for handle in process.handles() {
        match timeout(PATIENCE, handle.status(tx)).await {
            Ok(Ok(Status::Retired { .. })) if handle.node() == agent => return view::Knows::Over,
            Ok(Ok(Status::Open { .. } | Status::Fenced(_))) => is_open = true,
            _ => {}
        }
    }
    if is_open { view::Knows::Open } else { view::Knows::Nobody }
}
