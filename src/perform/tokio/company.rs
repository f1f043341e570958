//! A watch over whom a node hears that is behind: if it believes none of them, it waits for ever, and has no clock to say so.

use core::time::Duration;

use ::tokio::time::Instant;

use super::telemetry::Telemetry;
use crate::{NodeId, commit::Node};

/// Looks from time to time whether a node that is behind hears of a later epoch from somebody whom it believes.
#[derive(Debug)]
pub(super) struct Company {
    /// A node that hears of none for longer is alone.
    limit: Duration,
    wait: Option<Wait>,
}

/// The node waits for somebody whom it believes.
#[derive(Debug)]
struct Wait {
    since: Instant,
    /// After how long something is said next.
    next_warning: Duration,
    /// Who has spoken meanwhile, and is not believed.
    stranger: Option<NodeId>,
}

impl Company {
    /// A node that is in no epoch waits from the start.
    pub(super) fn new(limit: Duration, is_newcomer: bool) -> Self {
        let wait = is_newcomer.then(|| Wait::begin(limit));
        Self { limit, wait }
    }

    /// `from` speaks of a later epoch, or to a node that is in none.
    pub(super) fn heard(&mut self, from: NodeId, node: &Node) {
        if node.believes(from) {
            // It tells, or will be asked. A newcomer waits on.
            self.wait = node.epoch_number().is_none().then(|| Wait::begin(self.limit));
        } else {
            self.wait.get_or_insert_with(|| Wait::begin(self.limit)).stranger = Some(from);
        }
    }

    /// The node is in a later epoch than before.
    pub(super) fn caught_up(&mut self) {
        self.wait = None;
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.wait.as_ref().map(|wait| wait.since + wait.next_warning)
    }

    /// Says what is to be said by now.
    pub(super) fn look(&mut self, node: &Node, telemetry: &Telemetry) {
        let Some(wait) = &mut self.wait else { return };
        let waiting = wait.since.elapsed();
        if waiting >= wait.next_warning {
            telemetry.alone(waiting, &node.config().cluster.membership().members(), wait.stranger);
            wait.next_warning = waiting.saturating_mul(2);
        }
    }
}

impl Wait {
    fn begin(limit: Duration) -> Self {
        Self { since: Instant::now(), next_warning: limit, stranger: None }
    }
}
