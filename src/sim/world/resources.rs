//! The resources of a world: what they prepare, hold, find and let go of, each on a disk of its own.

use super::{Actor, Observation, Process, Violation, World};
use crate::{
    NodeId, TxId,
    commit::{Effect, Input},
};

impl<A: Actor> World<A> {
    pub(super) fn take_resource<T>(
        &mut self,
        at: NodeId,
        index: usize,
        list: impl FnOnce(&mut Process<A>) -> &mut Vec<T>,
    ) -> Option<T> {
        let list = self.processes.get_mut(&at).map(list)?;
        (index < list.len()).then(|| list.remove(index))
    }

    /// The resource prepares, durably.
    pub(super) fn hold(&mut self, at: NodeId, tx: TxId) -> Result<(), Violation> {
        if let Some(process) = self.processes.get_mut(&at) {
            process.held.insert(tx);
        }
        if self.votes_elsewhere(at) {
            self.observe(&Observation::Voted { at, tx })?;
        }
        self.observe(&Observation::Held { at, tx })
    }

    /// Whether the votes of a resource are durable in itself.
    pub(super) fn votes_elsewhere(&self, at: NodeId) -> bool {
        self.setup.votes_elsewhere.contains(&at)
    }

    /// Whether a resource whose votes are durable in itself must refuse: it has ended the transaction, or it holds what it
    /// does not find.
    pub(super) fn cannot_prepare(&self, at: NodeId, tx: TxId) -> bool {
        let process = self.processes.get(&at).filter(|_| self.votes_elsewhere(at));
        process.is_some_and(|process| process.ended.contains(&tx) || process.hidden.contains(&tx))
    }

    /// Whether a resource does not find what it is to carry out the outcome of.
    pub(super) fn is_hidden(&self, at: NodeId, index: usize) -> bool {
        let process = self.processes.get(&at);
        process.is_some_and(|process| process.handed.get(index).is_some_and(|tx| process.hidden.contains(tx)))
    }

    /// What a resource holds whose votes are durable in itself.
    pub(super) fn held_at(&self, at: NodeId, index: usize) -> Option<TxId> {
        self.processes.get(&at).filter(|_| self.votes_elsewhere(at))?.held.iter().nth(index).copied()
    }

    /// A resource finds what it holds, and tells its node, unless it is told meanwhile how that ended.
    pub(super) fn find(&mut self, at: NodeId, tx: TxId) -> Result<Vec<Effect>, Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(Vec::new()) };
        process.hidden.remove(&tx);
        let begun = self.begun.iter().find(|begun| begun.id() == tx).cloned();
        let Some(transaction) = begun.filter(|_| process.actor.is_some() && !process.handed.contains(&tx)) else {
            return Ok(Vec::new());
        };
        self.stats.found += 1;
        let meta = self.metas.get(&tx).cloned().unwrap_or_default();
        self.step(at, Input::Prepared { transaction, meta })
    }

    /// The resource holds nothing for a transaction any more.
    pub(super) fn let_go(&mut self, at: NodeId, tx: TxId) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        match process.held.remove(&tx) {
            true => self.observe(&Observation::LetGo { at, tx }),
            false => Ok(()),
        }
    }
}
