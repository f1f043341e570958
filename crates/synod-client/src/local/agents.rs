//! The agents of a cluster in one process: those whose databases are there, and those that wait for theirs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use synod::{
    NodeId,
    commit::{ClusterId, Config},
    perform::tokio::Handle,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{LocalError, hall::Hall};
use crate::Agent;

/// How often a database that is away is asked again.
const PACE: Duration = Duration::from_secs(1);

/// A database that is away: its participant has not started, and what is prepared there waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Away {
    /// Whose database.
    pub participant: NodeId,
    /// What was said when it was last asked for.
    pub why: String,
}

/// Any agent.
pub(super) trait AnyAgent: Send {
    /// Starts its node. Returns `None` if the start is cancelled before it has begun.
    fn start<'a>(
        &'a self,
        hall: &'a Hall,
        config: Config,
        stopped: watch::Receiver<bool>,
    ) -> BoxFuture<'a, Result<Option<Handle>, LocalError>>;
    /// Whether its database is only away.
    fn may_come_back(&self, error: &LocalError) -> bool;
    fn watch(self: Box<Self>, cluster: ClusterId, node: Handle) -> BoxFuture<'static, ()>;
}

impl<A: Agent> AnyAgent for A {
    fn start<'a>(
        &'a self,
        hall: &'a Hall,
        config: Config,
        mut stopped: watch::Receiver<bool>,
    ) -> BoxFuture<'a, Result<Option<Handle>, LocalError>> {
        // Futures of a trait are not known to be `Sync`, so the resource is had first.
        let resource = self.resource(config.cluster.id());
        async move {
            let resource = tokio::select! {
                resource = resource => resource.map_err(|cause| LocalError::Database(config.id, cause))?,
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(None),
            };
            // From here on it is not broken off: its records are open.
            hall.start(config.with_resource(A::KIND), resource).await.map(Some)
        }
        .boxed()
    }

    fn may_come_back(&self, error: &LocalError) -> bool {
        matches!(error, LocalError::Database(_, cause) if Agent::may_come_back(self, cause))
    }

    fn watch(self: Box<Self>, cluster: ClusterId, node: Handle) -> BoxFuture<'static, ()> {
        Agent::watch(*self, cluster, node).boxed()
    }
}

/// The agents at work. Dropped, they end.
#[derive(Debug)]
pub(super) struct Agents {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    away: Missing,
}

/// Which databases are away, and why.
#[derive(Clone, Debug, Default)]
struct Missing(Arc<Mutex<BTreeMap<NodeId, String>>>);

/// An agent, and what its node is made of.
pub(super) struct Place {
    pub(super) agent: Box<dyn AnyAgent>,
    pub(super) config: Config,
    /// Its node, if its database was there.
    pub(super) node: Result<Handle, LocalError>,
}

impl Agents {
    /// Nobody is at work yet.
    pub(super) fn new() -> Self {
        Self { stop: watch::Sender::new(false), tasks: Vec::new(), away: Missing::default() }
    }

    /// Tells when all is to end.
    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Sets an agent to work: beside its node, or to wait for its database.
    pub(super) fn add(&mut self, place: Place, hall: &Hall) {
        let Place { agent, config, node } = place;
        let (mut stopped, hall, away) = (self.stopped(), hall.clone(), self.away.clone());
        if let Err(error) = &node {
            away.insert(config.id, error);
        }
        self.tasks.push(tokio::spawn(async move {
            let cluster = config.cluster.id();
            let (agent, node) = match node {
                Ok(node) => (agent, Some(node)),
                Err(_) => wait(agent, &hall, config, &away, stopped.clone()).await,
            };
            // The wires are not this task's to keep.
            drop(hall);
            let Some(node) = node else { return };
            tokio::select! {
                () = agent.watch(cluster, node) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }));
    }

    pub(super) fn away(&self) -> Vec<Away> {
        let away = self.away.lock();
        away.iter().map(|(participant, why)| Away { participant: *participant, why: why.clone() }).collect()
    }

    /// Waits until all have ended, and none of them starts a node any more.
    pub(super) async fn end(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            // One that has panicked has ended, too.
            let _ = task.await;
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Waits for a database, and starts its node.
async fn wait(
    agent: Box<dyn AnyAgent>,
    hall: &Hall,
    config: Config,
    away: &Missing,
    mut stopped: watch::Receiver<bool>,
) -> (Box<dyn AnyAgent>, Option<Handle>) {
    loop {
        tokio::select! {
            () = sleep(PACE) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return (agent, None),
        }
        match agent.start(hall, config.clone(), stopped.clone()).await {
            Ok(Some(node)) => {
                away.remove(config.id);
                return (agent, Some(node));
            }
            Ok(None) => return (agent, None),
            Err(error) => away.insert(config.id, &error),
        }
    }
}

impl Missing {
    /// Notes what is said of a database, and says so in the log when it is news.
    fn insert(&self, participant: NodeId, error: &LocalError) {
        let why = chain(error);
        if self.lock().insert(participant, why.clone()).as_ref() != Some(&why) {
            tracing::error!(%participant, why, "a database is away: it is asked again and again, and what is prepared there waits");
        }
    }

    fn remove(&self, participant: NodeId) {
        self.lock().remove(&participant);
        tracing::warn!(%participant, "a database that was away takes part");
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and all that is behind it.
fn chain(error: &LocalError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
