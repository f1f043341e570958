//! The end of a transaction at a node: when it may be forgotten, and who must hear of it.

use alloc::vec::Vec;

use super::{
    super::{
        Config, Effect, Key, Message, Record, Time, TxRange, Wait,
        open::{Open, mix},
    },
    Node,
};
use crate::{NodeId, Refusal, TxId};

/// How many unacknowledged ranges an acceptor is sent again at a time.
const RANGES_AT_ONCE: usize = 64;

/// When unacknowledged ranges are sent again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announcement {
    repetitions: u32,
    pub(super) due: Option<Time>,
}

impl Node {
    /// All resource managers have finished: writes that, then tells everyone who may still hold the transaction.
    pub(super) fn complete(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        let range = TxRange::only(tx);
        let Some(open) = self.drop_transactions(range, [tx].into(), effects).pop() else { return };
        let acceptors = other_acceptors(&self.config);
        for acceptor in acceptors.clone() {
            self.announced.entry(acceptor).or_default().add(range);
        }
        let others = open.transaction.participants().iter().copied();
        let others = others.filter(|rm| *rm != self.config.id && !self.config.cluster.acceptors().contains(*rm));
        effects.extend(acceptors.chain(others).map(|to| Effect::Send { to, message: Message::Retired { range } }));
    }

    /// Someone says that transactions are over.
    pub(super) fn note_retired(
        &mut self,
        from: NodeId,
        range: TxRange,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let mut result = Ok(());
        let mut pieces = alloc::vec![range];
        let mut dropped = Vec::new();
        for tx in self.open_in(range) {
            let Some(open) = self.open.get_mut(&tx) else { continue };
            let retired = open.rm.as_mut().map_or(Ok(()), |rm| rm.retire(&mut self.scratch));
            match retired {
                Ok(()) => {
                    if open.tm.as_ref().is_some_and(|tm| tm.outcome().is_none()) {
                        self.metrics.missed_outcomes = self.metrics.missed_outcomes.saturating_add(1);
                    }
                    dropped.push(tx);
                }
                // What is prepared here stays, whatever anyone says.
                Err(refusal) => {
                    result = Err(refusal);
                    pieces = pieces.into_iter().flat_map(|piece| piece.without(TxRange::only(tx))).flatten().collect();
                }
            }
        }
        effects.append(&mut self.scratch);
        for piece in pieces {
            let inside = dropped.iter().copied().filter(|tx| piece.contains(*tx)).collect();
            self.drop_transactions(piece, inside, effects);
        }
        let acceptors = self.config.cluster.acceptors();
        if self.config.cluster.is_manager(from) && acceptors.contains(self.config.id) {
            effects.push(Effect::Send { to: from, message: Message::RetiredNoted { range } });
        }
        result
    }

    /// Drops `transactions` in the write that adds `range` to what is retired: range first, tombstones after.
    fn drop_transactions(&mut self, range: TxRange, transactions: Vec<TxId>, effects: &mut Vec<Effect>) -> Vec<Open> {
        self.retired.persist(range, effects);
        let mut dropped = Vec::with_capacity(transactions.len());
        for tx in transactions {
            let Some(mut open) = self.open.remove(&tx) else { continue };
            open.stop(&mut self.timers);
            if open.acceptor.as_ref().is_some_and(|acceptor| acceptor.has_record()) {
                effects.push(Effect::Persist(Record::Erased(Key::Acceptor(tx))));
            }
            if open.rm.as_ref().is_some_and(|rm| rm.has_record()) {
                effects.push(Effect::Persist(Record::Erased(Key::ResourceManager(tx))));
            }
            dropped.push(open);
        }
        self.timers.prune(self.open.len(), |tx| self.open.contains_key(&tx));
        dropped
    }

    /// The open transactions in `range`, in order; by the shorter of two ways.
    fn open_in(&self, range: TxRange) -> Vec<TxId> {
        let (first, last) = (range.first(), range.last());
        if last.seq.saturating_sub(first.seq) <= self.open.len() as u64 {
            let all = (first.seq..=last.seq).map(|seq| TxId { seq, ..first });
            all.filter(|tx| self.open.contains_key(tx)).collect()
        } else {
            self.open_transactions().into_iter().filter(|tx| range.contains(*tx)).collect()
        }
    }

    pub(super) fn acknowledged(&mut self, from: NodeId, range: TxRange) {
        if let Some(unacknowledged) = self.announced.get_mut(&from) {
            unacknowledged.remove(range);
            self.announcement.repetitions = 0;
            if unacknowledged.is_empty() {
                self.announced.remove(&from);
            }
        }
    }

    /// Sends again what acceptors have not acknowledged, when it is time.
    pub(super) fn announce(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.announced.is_empty() {
            self.announcement = Announcement::default();
            return;
        }
        match self.announcement.due {
            Some(due) if due > now => return,
            Some(_) => {
                for (acceptor, ranges) in &self.announced {
                    effects.extend(
                        ranges
                            .iter()
                            .take(RANGES_AT_ONCE)
                            .map(|range| Effect::Send { to: *acceptor, message: Message::Retired { range } }),
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

/// The acceptors on other nodes.
pub(super) fn other_acceptors(config: &Config) -> impl Iterator<Item = NodeId> + Clone + use<> {
    let (acceptors, id) = (config.cluster.acceptors().clone(), config.id);
    let nodes: Vec<NodeId> = acceptors.nodes().filter(|acceptor| *acceptor != id).collect();
    nodes.into_iter()
}
