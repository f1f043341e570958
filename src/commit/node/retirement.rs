//! The end of a transaction at a node: when it may be forgotten, and who must hear of it.

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use super::{
    super::{Config, Decision, Effect, Key, Message, Record, Time, TxRange, Wait, open::Open, wait::mix},
    Node,
};
use crate::{NodeId, Refusal, TxId};

/// How many unacknowledged ranges a node is sent again at a time.
const RANGES_AT_ONCE: usize = 64;

/// When unacknowledged ranges are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Announcement {
    repetitions: u32,
    pub(super) due: Option<Time>,
}

impl Node {
    /// All resource managers have finished: writes that, then tells everyone who may still hold the transaction.
    pub(super) fn complete(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        self.retired.persist(TxRange::only(tx), effects);
        let Some(open) = self.drop_transaction(tx, effects) else { return };
        // All that is over around it goes along, or what a dead node never acknowledges would grow with history.
        let range = self.retired.around(tx).unwrap_or(TxRange::only(tx));
        let keepers = other_keepers(&self.config);
        for keeper in keepers.clone() {
            self.announced.entry(keeper).or_default().add(range);
        }
        let others = open.transaction.participants().iter().copied();
        let others = others.filter(|rm| !self.config.cluster.keeps_retired(*rm));
        effects.extend(keepers.chain(others).map(|to| Effect::Send { to, message: Message::Retired { range } }));
    }

    /// Says that `tx`, which is retired here, is over. A transaction manager tells all that is over around it: others
    /// take part in a few transactions each, and the gaps in what they know would grow with history.
    pub(super) fn retired_reply(&self, tx: TxId) -> Message {
        let around = self.retired.around(tx).filter(|_| self.config.cluster.is_manager(self.config.id));
        Message::Retired { range: around.unwrap_or(TxRange::only(tx)) }
    }

    /// Someone says that transactions are over. Those that cannot be stay, and are counted; it is refused if all do.
    pub(super) fn note_retired(
        &mut self,
        from: NodeId,
        range: TxRange,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let mut open = mem::take(&mut self.over);
        self.open_in(range, &mut open);
        let result = self.retire(from, range, &open, effects);
        open.clear();
        self.over = open;
        result
    }

    /// Drops `range`, in which `open` are the open transactions, but for those that stay.
    fn retire(
        &mut self,
        from: NodeId,
        range: TxRange,
        open: &[TxId],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let stay: Vec<TxRange> = self.staying(open).collect();
        let cluster = &self.config.cluster;
        let answers = cluster.is_manager(from) && cluster.keeps_retired(self.config.id);
        let mut verdict = Err(Refusal::RetiredUnfinished);
        for piece in range.without_all(stay.iter().copied()) {
            verdict = Ok(());
            let first = open.partition_point(|tx| *tx < piece.first());
            let end = open.partition_point(|tx| *tx <= piece.last());
            let over = open.get(first..end).unwrap_or_default();
            over.iter().for_each(|tx| self.hear_over(*tx, effects));
            self.retired.persist(piece, effects);
            over.iter().for_each(|tx| drop(self.drop_transaction(*tx, effects)));
            if answers {
                effects.push(Effect::Send { to: from, message: Message::RetiredNoted { range: piece } });
            }
        }
        if verdict.is_ok() && !stay.is_empty() {
            self.common.metrics.refuse(Refusal::RetiredUnfinished);
        }
        verdict
    }

    /// Lets the roles of an open transaction have the news that it is over: every resource manager has finished it.
    fn hear_over(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        let Some(open) = self.open.get_mut(tx) else { return };
        open.rm.iter_mut().for_each(|rm| rm.retire(effects));
        let Some(tm) = &open.tm else { return };
        let finished_here = open.rm.as_ref().filter(|rm| rm.is_finished()).and_then(|rm| rm.outcome());
        match (tm.outcome(), finished_here) {
            (Some(outcome), _) => effects.push(Effect::Decide(Decision::Completed { tx, outcome })),
            (None, Some(outcome)) => {
                effects.push(Effect::Decide(Decision::Decided { tx, outcome }));
                effects.push(Effect::Decide(Decision::Completed { tx, outcome }));
            }
            (None, None) => self.common.metrics.missed_outcomes = self.common.metrics.missed_outcomes.saturating_add(1),
        }
    }

    /// Which of `open` cannot be over, whatever anyone says: those that are prepared and unfinished here.
    pub(super) fn staying(&self, open: &[TxId]) -> impl Iterator<Item = TxRange> {
        let rms = open.iter().filter_map(|tx| Some((*tx, self.open.get(*tx)?.rm.as_ref()?)));
        rms.filter(|(_, rm)| rm.check_retire().is_err()).map(|(tx, _)| TxRange::only(tx))
    }

    /// Drops a transaction that is retired: range first, tombstones after.
    fn drop_transaction(&mut self, tx: TxId, effects: &mut Vec<Effect>) -> Option<Box<Open>> {
        let mut open = self.open.remove(tx)?;
        open.stop(&mut self.common.timers);
        if open.acceptor.as_ref().is_some_and(|acceptor| acceptor.has_record()) {
            effects.push(Effect::Persist(Record::Erased(Key::Acceptor(tx))));
        }
        if open.rm.as_ref().is_some_and(|rm| rm.has_record()) {
            effects.push(Effect::Persist(Record::Erased(Key::ResourceManager(tx))));
        }
        self.common.timers.prune(self.open.len(), |tx| self.open.contains(tx));
        Some(open)
    }

    /// Puts the open transactions in `range` into `found`, in order; by the shorter of two ways.
    pub(super) fn open_in(&self, range: TxRange, found: &mut Vec<TxId>) {
        // What is known to be over is not open.
        let mut numbers = self
            .retired
            .missing(range)
            .flat_map(|piece| (piece.first().seq..=piece.last().seq).map(move |seq| TxId { seq, ..piece.first() }));
        found.extend(numbers.by_ref().take(self.open.len()).filter(|tx| self.open.contains(*tx)));
        if numbers.next().is_some() {
            found.clear();
            found.extend(self.open.names().filter(|tx| range.contains(*tx)));
            found.sort_unstable();
        }
    }

    pub(super) fn acknowledged(&mut self, from: NodeId, range: TxRange) {
        // Who owes nothing has no news.
        if let Some(unacknowledged) = self.announced.get_mut(&from).filter(|ranges| !ranges.is_empty()) {
            unacknowledged.remove(range);
            self.announcement.repetitions = 0;
        }
    }

    /// Whether anything is not acknowledged yet.
    pub(super) fn is_announcing(&self) -> bool {
        self.announced.values().any(|ranges| !ranges.is_empty())
    }

    /// Sends again what was not acknowledged, when it is time.
    pub(super) fn announce(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if !self.is_announcing() {
            self.announcement = Announcement::default();
            return;
        }
        match self.announcement.due {
            Some(due) if due > now => return,
            Some(_) => {
                for (keeper, ranges) in &self.announced {
                    effects.extend(
                        ranges
                            .iter()
                            .take(RANGES_AT_ONCE)
                            .map(|range| Effect::Send { to: *keeper, message: Message::Retired { range } }),
                    );
                }
                self.announcement.repetitions = self.announcement.repetitions.saturating_add(1);
            }
            None => {}
        }
        let wait = Wait::Repeat(self.announcement.repetitions);
        let wait = wait.duration(&self.config.cluster.timeouts(), mix(self.config.seed ^ now.0));
        self.announcement.due = Some(Time(now.0.saturating_add(wait)));
    }
}

/// The other nodes that hear of every transaction that is over: acceptors and transaction managers.
pub(super) fn other_keepers(config: &Config) -> impl Iterator<Item = NodeId> + Clone {
    let cluster = &config.cluster;
    let managers = cluster.managers().iter().copied().filter(|manager| !cluster.acceptors().contains(*manager));
    cluster.acceptors().nodes().chain(managers).filter(|node| *node != config.id)
}
