//! The end of a run: faults stop, and everything must come to its end.

use super::{Actor, Event, Violation, World};
use crate::{
    NodeId,
    commit::{Outcome, Transaction, Vote},
};

/// How many rounds of deliveries and ticks a healed world has to bring everything to its end.
const ROUNDS: usize = 2_000;

impl<A: Actor> World<A> {
    /// Ends all faults, and lets everything come to its end: every transaction completes, is retired everywhere, and
    /// leaves nothing open. Then every message of the past comes once more, and one more transaction commits. At last
    /// the properties have their last word.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.network.mend_all();
        self.come_to_rest()?;
        self.repeat_the_past()?;
        self.come_to_rest()?;
        self.commit_one_more()?;
        self.properties.iter_mut().try_for_each(|property| property.finish())
    }

    /// *Liveness*: whatever has happened, it all ends.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        let nodes = self.setup.nodes.clone();
        for _ in 0..ROUNDS {
            let mut idle = true;
            for at in nodes.iter().copied() {
                self.restart(at)?;
            }
            for ((from, to), count) in self.under_way() {
                for _ in 0..count {
                    idle = false;
                    self.apply(&Event::Deliver { from, to, index: 0 })?;
                }
            }
            for at in nodes.iter().copied() {
                while self.asked(at) > 0 {
                    self.apply(&Event::Vote { at, index: 0, vote: Vote::Prepared })?;
                }
                while self.handed(at) > 0 {
                    self.apply(&Event::Finish { at, index: 0 })?;
                }
                while self.writing(at).is_some() || self.has_gathered(at) {
                    idle = false;
                    self.apply(&Event::Write { at })?;
                    self.apply(&Event::Sync { at })?;
                }
            }
            if idle {
                if self.is_at_rest() {
                    return Ok(());
                }
                self.pass_time(&nodes)?;
            }
        }
        Err(Violation { property: "liveness", what: self.unrest() })
    }

    /// Nothing that comes late revives what is over: each message that was ever delivered or lost comes once more, the
    /// last one first.
    fn repeat_the_past(&mut self) -> Result<(), Violation> {
        for (link, count) in self.past() {
            for index in (0..count).rev() {
                if let Some(message) = self.network.past(link, index).cloned() {
                    self.deliver(link, message)?;
                }
            }
        }
        Ok(())
    }

    /// *Non-triviality* (Gray and Lamport 2006, section 2): when nothing fails and all vote to commit, it commits.
    fn commit_one_more(&mut self) -> Result<(), Violation> {
        let most = self.setup.cluster.limits().participants;
        let participants: Vec<NodeId> = self.setup.resource_managers.iter().copied().take(most).collect();
        if participants.is_empty() {
            return Ok(());
        }
        self.apply(&Event::Begin { at: self.setup.cluster.first_manager(), participants })?;
        self.come_to_rest()?;
        let outcome = self.begun().last().map(Transaction::id).and_then(|tx| self.outcome(tx));
        match outcome {
            Some(Outcome::Committed) => Ok(()),
            other => Err(Violation {
                property: "non-triviality",
                what: format!("without any fault, a transaction that all vote to commit ends as {other:?}"),
            }),
        }
    }

    /// Advances all clocks to the next deadline of any node.
    fn pass_time(&mut self, nodes: &[NodeId]) -> Result<(), Violation> {
        let waits = self.processes.values().filter_map(|process| {
            let deadline = process.actor.as_ref()?.node().deadline()?;
            Some(deadline.0.saturating_sub(process.clock.0))
        });
        let by = waits.min().unwrap_or(0).max(1);
        for at in nodes {
            self.apply(&Event::Tick { at: *at, by })?;
        }
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        self.processes.values().filter_map(|process| process.actor.as_ref()).all(|actor| {
            let metrics = actor.node().metrics();
            metrics.open == 0 && metrics.unacknowledged_ranges == 0
        })
    }

    fn unrest(&self) -> String {
        let mut text = String::from("a healed world did not come to rest:");
        for (at, process) in &self.processes {
            let Some(actor) = &process.actor else { continue };
            for tx in actor.node().open_transactions() {
                text += &format!(" {at} has {tx} open ({:?});", actor.node().status(tx));
            }
            let unacknowledged = actor.node().metrics().unacknowledged_ranges;
            if unacknowledged > 0 {
                text += &format!(" {at} has {unacknowledged} unacknowledged ranges;");
            }
        }
        text
    }
}
