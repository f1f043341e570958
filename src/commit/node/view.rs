//! What a node shows of itself.

use alloc::vec::Vec;
use core::hint::black_box;

use super::{
    super::{Message, Metrics, Outcome, ResourceManagerState, Transaction, retired::Retired},
    Node,
};
use crate::{NodeId, TxId};

/// What a node knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Status {
    /// Nothing. It may have never begun, or not reached this node.
    Unknown,
    /// It is open.
    Open {
        /// The state of the resource manager here, if there is one.
        state: Option<ResourceManagerState>,
        /// The outcome, if it is known here.
        outcome: Option<Outcome>,
    },
    /// It is over: every resource manager has finished it.
    Retired,
}

/// A transaction that the resource manager here is prepared in, without knowing the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InDoubt {
    /// The transaction.
    pub transaction: Transaction,
    /// The state of the resource manager here.
    pub state: ResourceManagerState,
    /// For how long the node has had it open, in the caller's unit, as ticks have told.
    pub age: u64,
}

impl Node {
    /// What this node knows of `tx`.
    pub fn status(&self, tx: TxId) -> Status {
        if self.retired.contains(tx) {
            return Status::Retired;
        }
        match self.open.get(tx) {
            None => Status::Unknown,
            Some(open) => {
                let outcome = open.tm.as_ref().and_then(|tm| tm.outcome());
                Status::Open {
                    state: open.rm.as_ref().map(|rm| rm.state()),
                    outcome: outcome.or(open.rm.as_ref().and_then(|rm| rm.outcome())),
                }
            }
        }
    }

    /// How many of `messages` are waited for: their transaction is open here, and a role of it waits for something, with
    /// the time that a tick has given it.
    ///
    /// What counts is the looking. A step looks at memory in several places, one after the other, and with a great many
    /// transactions open it waits for each. To look at the next few messages before the first of them is received has all
    /// of that fetched at once: with a hundred thousand open transactions and more, for about eight messages at a time,
    /// this takes far less than it saves. A [`Driver`](crate::perform::Driver) does so with packets by itself.
    pub fn look_ahead<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> usize {
        let waits = |message: &&Message| {
            let open = message.transaction().and_then(|transaction| self.open.get(transaction.id()));
            // The name is asked for where the content is, so that this is fetched, too.
            open.is_some_and(|open| open.transaction.id() == open.id && open.is_waiting())
        };
        // A number that nobody reads would not be counted at all.
        black_box(messages.into_iter().filter(waits).count())
    }

    /// The transactions that the resource manager here is prepared in without knowing the outcome, in order of name.
    /// [`Input::Inquire`](crate::commit::Input::Inquire) drives one to its outcome; there is no guessing.
    pub fn in_doubt(&self) -> Vec<InDoubt> {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        open.filter_map(|open| {
            let rm = open.rm.as_ref().filter(|rm| rm.is_in_doubt())?;
            let (since, now) = (open.since.unwrap_or_default(), self.now.unwrap_or_default());
            let age = open.since.map_or(0, |_| now.0.saturating_sub(since.0));
            Some(InDoubt { transaction: open.transaction.clone(), state: rm.state(), age })
        })
        .collect()
    }

    /// The open transactions, in order of name.
    pub fn open_transactions(&self) -> Vec<TxId> {
        let mut open: Vec<TxId> = self.open.names().collect();
        open.sort_unstable();
        open
    }

    /// How many ranges of retired transactions the acceptor or transaction manager `keeper` has not acknowledged to this
    /// node: while it is dead, that is what this node keeps for it.
    pub fn unacknowledged_by(&self, keeper: NodeId) -> usize {
        self.announced.get(&keeper).map_or(0, Retired::len)
    }

    /// Whether the memory of `other` holds the same, but for counters and for effects that it owed.
    #[cfg(feature = "sim")]
    pub(crate) fn knows_the_same_as(&self, other: &Self) -> bool {
        // What is kept for its room holds nothing between steps.
        let Self { config, open, retired, announced, announcement, sequence, common, local, now, .. } = self;
        *config == other.config
            && *open == other.open
            && *retired == other.retired
            && *announced == other.announced
            && *announcement == other.announcement
            && *sequence == other.sequence
            && common.rounds == other.common.rounds
            && common.timers == other.common.timers
            && *now == other.now
            && *local == other.local
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.common.metrics;
        metrics.open = self.open.len();
        metrics.retired_ranges = self.retired.len();
        metrics.unacknowledged_ranges = self.announced.values().map(Retired::len).sum();
        metrics
    }
}
