//! Who has not answered an operator's question.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synod::NodeId;
use tokio::time::Instant;

/// Since when the last questions to other nodes have had no answer.
#[derive(Default)]
pub(crate) struct Silences(Mutex<BTreeMap<NodeId, Instant>>);

impl Silences {
    /// `node` has answered.
    pub(crate) fn heard(&self, node: NodeId) {
        self.since().remove(&node);
    }

    /// `node` has not answered a question that was asked at `asked`.
    pub(crate) fn missed(&self, node: NodeId, asked: Instant) {
        self.since().entry(node).or_insert(asked);
    }

    /// For how long `node` has not answered.
    pub(super) fn of(&self, node: NodeId) -> Option<Duration> {
        self.since().get(&node).map(Instant::elapsed)
    }

    fn since(&self) -> MutexGuard<'_, BTreeMap<NodeId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
