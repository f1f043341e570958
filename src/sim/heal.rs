//! The end of a run: faults stop, and everything must come to its end.

use super::{Actor, Event, Hurt, Violation, World, world::name_in};
use crate::{
    NodeId, TxId,
    commit::{Input, Node, Outcome, Record, Status, Vote},
};

/// How many rounds of deliveries and ticks a healed world has to bring everything to its end.
const ROUNDS: usize = 2_000;

/// How often an operator looks for what is to be ended.
const TURNS_OF_THE_OPERATOR: usize = 3;

/// After how many waits an operator starts a node again that is behind.
const PATIENCE_OF_THE_OPERATOR: usize = 40;

/// More than a node has to do between two messages, in a world of this size.
const AT_ONCE: usize = 10_000;

impl<A: Actor> World<A> {
    /// Ends all faults, and lets everything come to its end: every transaction completes, is retired everywhere, and
    /// leaves nothing open. Then every message of the past comes once more, and one more transaction commits. At last
    /// the properties have their last word.
    ///
    /// Where names are used twice, transactions of such a name may be blocked. Then whoever waits for an outcome lists it as
    /// a violation, and an operator ends it.
    ///
    /// Where the setup says so, some nodes stay dead at first, and what does not need them must come to its end without. Those
    /// whose storages are damaged stay so.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.network.mend_all();
        self.processes.values_mut().for_each(|process| process.hidden.clear());
        if !self.setup.stay_dead.is_empty() {
            self.go_on_without_the_dead()?;
        }
        let lost = self.lost();
        self.come_to_rest(&lost)?;
        self.repeat_the_past()?;
        self.come_to_rest(&lost)?;
        self.commit_one_more(&lost)?;
        if self.setup.hurt.is_some() {
            self.resolve()?;
        }
        self.properties.iter_mut().try_for_each(|property| property.finish())
    }

    /// *No hanging*: with a quorum of acceptors for either phase and one transaction manager, every transaction comes to
    /// its outcome, and every participant that is up carries it out. One that all participants of are up is retired as
    /// well: nobody but them need finish it.
    fn go_on_without_the_dead(&mut self) -> Result<(), Violation> {
        let dead = self.setup.stay_dead.clone();
        for at in &dead {
            self.stop(*at, 0)?;
        }
        let participate = dead.iter().any(|at| self.setup.resource_managers.contains(at));
        self.stats.stayed_dead += dead.len() as u64;
        self.stats.worlds_with_dead += 1;
        self.stats.worlds_with_dead_participants += u64::from(participate);
        self.come_to_rest(&dead)?;
        self.commit_one_more(&dead)
    }

    /// *Liveness*: whatever has happened, it all ends.
    fn come_to_rest(&mut self, dead: &[NodeId]) -> Result<(), Violation> {
        let nodes: Vec<NodeId> = self.nodes().filter(|node| !dead.contains(node)).collect();
        let mut has_swept = false;
        let mut idles = 0_usize;
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
                let mut turns = 0..AT_ONCE;
                while self.asked(at) > 0 && turns.next().is_some() {
                    self.apply(&Event::Vote { at, index: 0, vote: Vote::Prepared })?;
                }
                while self.handed(at) > 0 && turns.next().is_some() {
                    self.apply(&Event::Finish { at, index: 0 })?;
                }
                while (self.writing(at).is_some() || self.has_gathered(at)) && turns.next().is_some() {
                    idle = false;
                    self.apply(&Event::Write { at })?;
                    self.apply(&Event::Sync { at })?;
                }
                if turns.is_empty() {
                    return Err(Violation { property: "liveness", what: format!("{at} never has enough") });
                }
            }
            if idle {
                // What a resource holds may be known to nobody else.
                let swept = core::mem::replace(&mut has_swept, true);
                idles += 1;
                if idles.is_multiple_of(PATIENCE_OF_THE_OPERATOR) {
                    self.wake_laggards()?;
                }
                if swept && self.unrest(dead).is_none() {
                    return Ok(());
                }
                for at in nodes.iter().copied() {
                    (0..self.held(at)).try_for_each(|index| self.apply(&Event::Find { at, index }).map(|_| ()))?;
                }
                self.pass_time(&nodes)?;
            }
        }
        let found = self.unrest(dead).unwrap_or_default();
        let without = if dead.is_empty() { String::new() } else { format!(" without {dead:?}") };
        Err(Violation { property: "liveness", what: format!("a healed world did not come to rest{without}: {found}") })
    }

    /// Who slept through so many changes that all members it knows of are gone, or is invited by nobody whom it knows, is started
    /// again by its operator, who knows the present members. Says whether anybody was. Nobody is before the members can go on:
    /// that takes no operator.
    fn wake_laggards(&mut self) -> Result<bool, Violation> {
        let may_wake = !self.setup.newcomers.is_empty() && self.is_present_known();
        let laggards = if may_wake { self.laggards() } else { Vec::new() };
        for at in laggards.iter().copied() {
            self.stats.woken += 1;
            self.stop(at, 0)?;
            self.restart(at)?;
        }
        Ok(!laggards.is_empty())
    }

    /// Nothing that comes late revives what is over: each message that was ever delivered or lost comes once more, the
    /// last one first.
    fn repeat_the_past(&mut self) -> Result<(), Violation> {
        for (link, count) in self.past() {
            for index in (0..count).rev() {
                if let Some(letter) = self.network.past(link, index).cloned() {
                    self.deliver(link, letter)?;
                }
            }
        }
        Ok(())
    }

    /// *Non-triviality* (Gray and Lamport 2006, section 2): when nothing fails and all vote to commit, it commits.
    fn commit_one_more(&mut self, dead: &[NodeId]) -> Result<(), Violation> {
        // What waits for dead participants takes room.
        if !dead.is_empty() && self.living().any(|(_, node)| node.metrics().open > 0) {
            return Ok(());
        }
        let living = |nodes: &[NodeId]| nodes.iter().copied().filter(|node| !dead.contains(node)).collect::<Vec<_>>();
        let mut participants = living(&self.setup.resource_managers);
        // What a liar is left in doubt about may take all its room.
        participants.retain(|node| !self.setup.liars.contains(node));
        participants.truncate(self.setup.cluster.limits().participants);
        let (false, Some(at)) = (participants.is_empty(), living(&self.managers()).first().copied()) else {
            return Ok(());
        };
        // Who believes nobody who is left would hear of it too late, if patience is short.
        if self.wake_laggards()? {
            self.come_to_rest(dead)?;
        }
        let begin = Event::Begin { at, participants };
        let mut tx = self.apply(&begin)?.iter().find_map(name_in);
        if tx.is_some_and(|tx| self.setup.may_hurt(tx)) {
            // The next one may not be hurt.
            tx = self.apply(&begin)?.iter().find_map(name_in);
        }
        self.come_to_rest(dead)?;
        let outcome = tx.and_then(|tx| self.outcome(tx));
        match outcome {
            Some(Outcome::Committed) => Ok(()),
            other => Err(Violation {
                property: "non-triviality",
                what: format!("with all faults over, a transaction that all vote to commit ends as {other:?}"),
            }),
        }
    }

    /// An operator ends what waits for an outcome that does not come, until nobody is in doubt.
    fn resolve(&mut self) -> Result<(), Violation> {
        for _ in 0..TURNS_OF_THE_OPERATOR {
            let mut waiting = Vec::new();
            for (at, node) in self.living() {
                let open = node.open_transactions().into_iter().filter(|tx| self.setup.may_hurt(*tx));
                waiting.extend(open.filter(|tx| node.lacks_outcome(*tx)).map(|tx| (at, tx)));
            }
            for (at, tx) in waiting {
                self.stats.left_waiting += 1;
                let before = self.resolved(at);
                self.step(at, Input::Resolve { tx, outcome: Outcome::Aborted })?;
                self.stats.resolved += self.resolved(at) - before;
            }
            self.come_to_rest(&[])?;
            if self.living().all(|(_, node)| node.in_doubt().is_empty()) {
                return Ok(());
            }
        }
        Err(Violation { property: "liveness", what: "what an operator ends is in doubt again".to_owned() })
    }

    fn resolved(&self, at: NodeId) -> u64 {
        self.actor(at).map_or(0, |actor| actor.node().metrics().resolved)
    }

    fn living(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.processes.iter().filter_map(|(at, process)| Some((*at, process.actor.as_ref()?.node())))
    }

    /// Advances all clocks to the next deadline of any node.
    fn pass_time(&mut self, nodes: &[NodeId]) -> Result<(), Violation> {
        let waits = self.processes.values().filter_map(|process| {
            let deadline = process.actor.as_ref()?.node().deadline()?;
            Some(deadline.0.saturating_sub(process.clock().0))
        });
        let by = waits.min().unwrap_or(0).max(1);
        for at in nodes {
            self.apply(&Event::Tick { at: *at, by })?;
        }
        Ok(())
    }

    /// What has not come to its end although it could have, without `dead`.
    fn unrest(&self, dead: &[NodeId]) -> Option<String> {
        let (number, members) = self.present();
        let laggards = self.laggards();
        if let Some(at) = laggards.iter().find(|at| members.contains(at)) {
            return Some(format!("{at} is a member of epoch {number}, and has not learned so"));
        }
        let tells = |node: &NodeId| !dead.contains(node) && !laggards.contains(node);
        let is_lost = |at: &&NodeId| {
            !dead.contains(at)
                && !self
                    .actor(**at)
                    .is_some_and(|actor| self.nodes().any(|node| tells(&node) && actor.node().believes(node)))
        };
        if let Some(at) = laggards.iter().find(is_lost) {
            return Some(format!("{at} believes nobody who knows of epoch {number}"));
        }
        for (at, node) in self.living() {
            for tx in node.open_transactions() {
                // Who waits for an outcome that does not come because of a name says so.
                if self.setup.may_use_twice(tx) && dead.is_empty() && node.lacks_outcome(tx) && !is_listed(node, tx) {
                    return Some(format!("{at} waits for the outcome of {tx}, and does not list it"));
                }
                if self.setup.may_hurt(tx) {
                    // What is prepared is voted on in the end.
                    let holds = self.processes.get(&at).is_some_and(|process| process.held.contains(&tx));
                    if dead.is_empty() && holds && node.awaits_vote(tx) {
                        return Some(format!("{at} has not voted in {tx}, which its resource has prepared"));
                    }
                    continue;
                }
                // A liar may be left in doubt by its own lie: the others have believed that it is done.
                if self.has_lied(at, tx) {
                    continue;
                }
                if !self.waits_for(tx, dead) {
                    return Some(format!("{at} has {tx} open ({:?})", node.status(tx)));
                }
                if !self.is_settled(tx) {
                    return Some(format!("nobody knows the outcome of {tx}, which {at} has open"));
                }
            }
            // Of a name that is used twice, who is blocked does not acknowledge the end, nor who has not come to the name.
            let acknowledges = |keeper: &&NodeId| !dead.contains(keeper) && self.setup.hurt != Some(Hurt::Names);
            if node.epoch().is_some_and(|epoch| epoch.is_changing) {
                return Some(format!("{at} waits for the end of a handover"));
            }
            let keepers: Vec<NodeId> = self.nodes().filter(|keeper| acknowledges(&keeper)).collect();
            if let Some(keeper) = keepers.into_iter().find(|keeper| node.unacknowledged_by(*keeper) > 0) {
                return Some(format!("{keeper} has not acknowledged what {at} said is over"));
            }
            if dead.is_empty() {
                continue;
            }
            let unfinished = node.snapshot().into_iter().find_map(|record| match record {
                Record::ResourceManager(record) if record.finished.is_none() => Some(record.transaction.id()),
                _ => None,
            });
            let unfinished = unfinished.filter(|tx| !self.has_lied(at, *tx) && !self.setup.may_hurt(*tx));
            if let Some(tx) = unfinished {
                return Some(format!("{at} has voted in {tx}, and not carried out how it ended"));
            }
        }
        None
    }

    /// Whether a transaction cannot be over as long as these are dead.
    fn waits_for(&self, tx: TxId, dead: &[NodeId]) -> bool {
        self.begun().iter().any(|begun| begun.id() == tx && dead.iter().any(|node| begun.has(*node)))
    }

    /// Whether anyone who is up knows how it ended.
    fn is_settled(&self, tx: TxId) -> bool {
        let mut actors = self.processes.values().filter_map(|process| process.actor.as_ref());
        actors.any(|actor| match actor.node().status(tx) {
            Status::Retired { .. } | Status::Open { outcome: Some(_), .. } => true,
            Status::Open { outcome: None, .. } | Status::Unknown | Status::Fenced(_) => false,
        })
    }
}

/// Whether a node lists a transaction as one that shows a broken assumption.
fn is_listed(node: &Node, tx: TxId) -> bool {
    node.violations().iter().any(|violation| violation.transaction.id() == tx)
}
