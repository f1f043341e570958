//! Whether the process is ready. This one rule is behind `/readyz`, `synod status` and the health service of gRPC.

use std::{sync::Arc, time::Duration};

use synod::{NodeId, Phase};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::Process;

/// How often it is looked at for those who watch.
const PACE: Duration = Duration::from_millis(500);

/// How long a node of this process may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl Process {
    /// Why the process is not ready, if it is not: a node has not started, a database is away, or too few members are
    /// connected. The health service says the same from then on.
    pub(crate) async fn not_ready(&self) -> Option<String> {
        let found = self.look().await;
        self.ready.send_if_modified(|ready| {
            // It may have begun to end meanwhile, and has said so.
            let is_ready = found.is_none() && self.has_started();
            std::mem::replace(ready, is_ready) != is_ready
        });
        found
    }

    /// Looks again and again, until the process ends.
    pub(super) async fn watch_readiness(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            self.not_ready().await;
            tokio::select! {
                () = sleep(PACE) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    /// Whether it is ready, as it was when somebody looked last.
    pub(super) fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether a node runs in this process.
    pub(crate) fn is_here(&self, node: NodeId) -> bool {
        self.handles().any(|handle| handle.node() == node)
    }

    async fn look(&self) -> Option<String> {
        if !self.has_started() {
            return Some("it is starting, or ending".into());
        }
        for slot in self.slots() {
            let id = slot.id().0;
            if let Some(why) = slot.away() {
                return Some(format!("the database of node {id} is away: {why}"));
            }
            let Some(handle) = slot.handle() else { return Some(format!("node {id} has not started")) };
            let Ok(Ok(epoch)) = timeout(PATIENCE, handle.epoch()).await else {
                return Some(format!("node {id} does not answer"));
            };
            let Some(epoch) = epoch else { return Some(format!("node {id} has not heard from the members yet")) };
            let peers = slot.peers();
            let is_up = |node: &NodeId| {
                self.is_here(*node)
                    || peers.as_ref().and_then(|peers| peers.stats(*node)).is_some_and(|stats| stats.connected)
            };
            let up: Vec<NodeId> = epoch.membership.acceptors.nodes().filter(is_up).collect();
            let voices = epoch.membership.acceptors.members(up.iter().copied());
            if !epoch.membership.acceptors.is_quorum(Phase::Accept, voices) {
                let members = epoch.membership.acceptors.len();
                let up = up.len();
                return Some(format!("node {id} is connected to {up} of {members} members, which is no majority"));
            }
        }
        None
    }
}
