//! What the application and the agent of a database tell each other when they are in one process.
//!
//! An agent can do without: it looks into its database. With a desk it need not ask for what the application has just seen
//! there, and it leaves to the application what the application is about to do.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use synod::{TxId, commit::Outcome};
use tokio::{sync::watch, time::Instant};

/// How many finished branches are remembered for an agent that has not asked about them yet.
const FINISHED: usize = 4_096;

/// The branches that the application of this process holds prepared, or has finished just now. A clone is the same desk.
#[derive(Clone, Debug, Default)]
pub struct Desk(Arc<Mutex<Branches>>);

#[derive(Debug, Default)]
struct Branches {
    /// And since when.
    held: BTreeMap<TxId, (Instant, watch::Receiver<Held>)>,
    finished: BTreeMap<TxId, Outcome>,
    /// The finished ones, the oldest first. Some may have been asked about since.
    order: VecDeque<TxId>,
}

/// How far the application is with a prepared branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It has asked for that, and has no answer yet.
    Preparing,
    Prepared,
    Finished,
}

/// The application holds a branch prepared, or is about to. Dropped, it does so no more: what is left to do is left to the
/// agent.
#[derive(Debug)]
pub struct Ticket {
    tx: TxId,
    desk: Desk,
    state: watch::Sender<Held>,
}

impl Desk {
    /// A desk with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The application holds its branch of `tx` prepared: the database has said so.
    pub fn prepared(&self, tx: TxId) -> Ticket {
        let ticket = self.prepares(tx);
        ticket.prepared();
        ticket
    }

    /// The application is about to have its branch of `tx` prepared. So an agent that ends the branch before the application
    /// has heard that it was prepared can [say so](Self::ended).
    pub fn prepares(&self, tx: TxId) -> Ticket {
        let (state, seen) = watch::channel(Held::Preparing);
        self.branches().held.insert(tx, (Instant::now(), seen));
        Ticket { tx, desk: self.clone(), state }
    }

    /// Whether the application holds its branch of `tx` prepared, or has just committed it.
    pub fn has(&self, tx: TxId) -> bool {
        let branches = self.branches();
        branches.held.get(&tx).is_some_and(|(_, state)| *state.borrow() != Held::Preparing)
            || branches.finished.get(&tx) == Some(&Outcome::Committed)
    }

    /// The agent has ended the branch of `tx` by itself: what the application holds is not prepared any more, though its
    /// ticket may still be there.
    pub fn ended(&self, tx: TxId) {
        let mut branches = self.branches();
        branches.held.remove(&tx);
        branches.finished.remove(&tx);
    }

    /// Waits until the application is done with its branch of `tx`: how it carried that out, if it did. This is told once.
    pub async fn done(&self, tx: TxId) -> Option<Outcome> {
        let held = self.branches().held.get(&tx).map(|(_, state)| state.clone());
        if let Some(mut state) = held {
            while *state.borrow_and_update() == Held::Prepared && state.changed().await.is_ok() {}
        }
        self.branches().finished.remove(&tx)
    }

    /// How the application has carried its branch of `tx` out, if it has; this is told once. Or that it is about to: it has
    /// held the branch prepared for less than `patience`.
    pub fn done_at_once(&self, tx: TxId, patience: Duration) -> Poll<Option<Outcome>> {
        let mut branches = self.branches();
        if let Some(outcome) = branches.finished.remove(&tx) {
            return Poll::Ready(Some(outcome));
        }
        match branches.held.get(&tx) {
            Some((since, state)) if *state.borrow() == Held::Prepared && since.elapsed() < patience => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }

    fn branches(&self) -> MutexGuard<'_, Branches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The database has said that the branch is prepared. It does not count if an agent has [ended](Desk::ended) it by now.
    pub fn prepared(&self) {
        if let Some((since, _)) = self.desk.branches().held.get_mut(&self.tx) {
            *since = Instant::now();
        }
        self.state.send_replace(Held::Prepared);
    }

    /// The application has carried the outcome out: the database has said so.
    pub fn finished(self, outcome: Outcome) {
        let mut branches = self.desk.branches();
        branches.held.remove(&self.tx);
        branches.finished.insert(self.tx, outcome);
        branches.order.push_back(self.tx);
        if branches.order.len() > FINISHED
            && let Some(oldest) = branches.order.pop_front()
        {
            branches.finished.remove(&oldest);
        }
        drop(branches);
        self.state.send_replace(Held::Finished);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.desk.branches().held.remove(&self.tx);
    }
}

#[cfg(test)]
mod tests {
    use synod::NodeId;

    use super::*;

    fn tx(seq: u64) -> TxId {
        TxId { origin: NodeId(1), seq }
    }

    #[tokio::test]
    async fn an_agent_hears_once_how_the_application_finished_a_branch_before_or_after_it_asks() {
        let desk = Desk::new();
        let (early, late) = (desk.prepared(tx(1)), desk.prepared(tx(2)));
        assert!(desk.has(tx(1)));
        early.finished(Outcome::Committed);
        assert_eq!(desk.done(tx(1)).await, Some(Outcome::Committed));
        assert_eq!(desk.done(tx(1)).await, None);
        let asks = tokio::spawn({
            let desk = desk.clone();
            async move { desk.done(tx(2)).await }
        });
        tokio::task::yield_now().await;
        late.finished(Outcome::Aborted);
        assert_eq!(asks.await.unwrap(), Some(Outcome::Aborted));
        assert!(!desk.has(tx(1)) && !desk.has(tx(2)));
    }

    #[tokio::test]
    async fn an_agent_hears_that_the_application_is_gone_and_has_not_finished() {
        let desk = Desk::new();
        let ticket = desk.prepared(tx(1));
        let asks = tokio::spawn({
            let desk = desk.clone();
            async move { desk.done(tx(1)).await }
        });
        tokio::task::yield_now().await;
        drop(ticket);
        assert_eq!(asks.await.unwrap(), None);
        assert!(!desk.has(tx(1)));
    }

    #[test]
    fn nothing_is_prepared_once_it_is_rolled_back_whoever_did_that_and_whoever_still_has_the_ticket() {
        let desk = Desk::new();
        let ticket = desk.prepared(tx(1));
        desk.ended(tx(1));
        assert!(!desk.has(tx(1)));
        assert_eq!(desk.done_at_once(tx(1), Duration::MAX), Poll::Ready(None));
        drop(ticket);
        // The answer was on its way when the agent ended the branch.
        let late = desk.prepares(tx(4));
        assert!(!desk.has(tx(4)));
        assert_eq!(desk.done_at_once(tx(4), Duration::MAX), Poll::Ready(None));
        desk.ended(tx(4));
        late.prepared();
        assert!(!desk.has(tx(4)));
        drop(late);
        assert!(desk.branches().held.is_empty(), "nothing is kept for one whose ticket is gone");
        desk.prepared(tx(2)).finished(Outcome::Aborted);
        assert!(!desk.has(tx(2)));
        desk.prepared(tx(3)).finished(Outcome::Committed);
        assert!(desk.has(tx(3)));
    }

    #[test]
    fn what_no_agent_asks_about_is_forgotten_in_the_end() {
        let desk = Desk::new();
        for seq in 0..2 * FINISHED as u64 {
            desk.prepared(tx(seq)).finished(Outcome::Committed);
        }
        assert!(!desk.has(tx(0)) && desk.has(tx(FINISHED as u64)));
        assert_eq!(desk.branches().order.len(), FINISHED);
    }
}
