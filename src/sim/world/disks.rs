//! What reaches a disk, what leaves a node once it has, and how a node stops and is restored.

use super::{Actor, Happening, Observation, Process, Violation, World, config};
use crate::{
    NodeId, Released,
    commit::{Decision, Message, Record},
};

impl<A: Actor> World<A> {
    /// Lets go of what rests on nothing unwritten.
    pub(super) fn release_free(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(free) = self.processes.get_mut(&at).and_then(Process::take_free) else { return Ok(()) };
        if self.writing(at).is_some() {
            self.stats.overtaking += free.packets().iter().map(|packet| packet.messages.len() as u64).sum::<u64>();
        }
        self.release(at, free)
    }

    pub(super) fn write(&mut self, at: NodeId) -> Result<(), Violation> {
        let free = self.processes.get_mut(&at).and_then(Process::write);
        free.map_or(Ok(()), |released| self.release(at, released))
    }

    pub(super) fn sync(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(pending) = self.processes.get_mut(&at).and_then(|process| process.writing.take()) else {
            return Ok(());
        };
        self.stats.syncs += 1;
        for record in pending.records() {
            self.persist(at, record)?;
        }
        self.release(at, pending.persisted())?;
        self.release_free(at)?;
        self.look_back(at)
    }

    fn persist(&mut self, at: NodeId, record: &Record) -> Result<(), Violation> {
        if let Some(process) = self.processes.get_mut(&at) {
            process.disk.write(record);
        }
        self.stats.retirements += u64::from(matches!(record, Record::Retired(_)));
        self.note_epoch(record);
        self.note(|| Happening::Durable { at, record: record.clone() });
        self.observe(&Observation::Durable { at, record })
    }

    fn release(&mut self, at: NodeId, released: Released<Message, Decision>) -> Result<(), Violation> {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            for message in packet.messages {
                self.observe(&Observation::Sent { at, to: packet.to, message: &message })?;
                self.note_recovery(at, &message);
                let passes = self.send((at, packet.to), message);
                self.stats.lost_to_cuts += u64::from(!passes);
            }
        }
        for decision in decisions {
            self.note(|| Happening::Decided { at, decision: decision.clone() });
            self.observe(&Observation::Decided { at, decision: &decision })?;
            self.note_outcome(&decision);
            if let Decision::Changed { is_mine, .. } = decision {
                self.stats.changed += u64::from(is_mine);
                self.stats.overtaken += u64::from(!is_mine);
            }
            if let Some(process) = self.processes.get_mut(&at) {
                process.hand_over(&decision);
            }
        }
        Ok(())
    }

    /// Stops a node. The first `keep` records of the write under way reach its disk.
    pub(in super::super) fn stop(&mut self, at: NodeId, keep: usize) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        let written = process.stop();
        let keep = keep.min(written.len());
        if keep < written.len() {
            self.stats.unsynced_writes_lost += u64::from(keep == 0);
            self.stats.torn_writes += u64::from(keep > 0);
        }
        for record in written.iter().take(keep) {
            self.persist(at, record)?;
        }
        // Nobody has seen a transaction whose name was lost, and the name will be given again.
        let begun = core::mem::take(&mut self.begun).into_iter();
        self.begun = begun.filter(|tx| tx.id().origin != at || self.is_durable(tx.id())).collect();
        self.note(|| Happening::Stopped { at });
        self.observe(&Observation::Stopped { at })
    }

    /// Stops a node for good: its storage loses its last records, and says so from now on.
    pub(super) fn damage(&mut self, at: NodeId, lost: usize) -> Result<(), Violation> {
        if !self.setup.damaged.contains(&at) || self.has_damage(at) {
            return Ok(());
        }
        self.stats.damaged += 1;
        self.stop(at, 0)?;
        self.processes.get_mut(&at).into_iter().for_each(|process| process.disk.damage(lost));
        self.note(|| Happening::Damaged { at, lost });
        self.observe(&Observation::Damaged { at })
    }

    pub(super) fn has_damage(&self, at: NodeId) -> bool {
        self.processes.get(&at).is_some_and(|process| process.disk.is_damaged())
    }

    /// Nodes that never come back, since their storages are damaged.
    pub(in super::super) fn lost(&self) -> Vec<NodeId> {
        self.setup.damaged.iter().copied().filter(|at| self.has_damage(*at) && !self.is_up(*at)).collect()
    }

    pub(in super::super) fn restart(&mut self, at: NodeId) -> Result<(), Violation> {
        let is_newcomer = self.setup.newcomers.contains(&at);
        let mut config = config(&self.setup, at);
        if !self.setup.newcomers.is_empty() {
            config.cluster = self.cluster_for(at);
        }
        if self.is_up(at) || !self.processes.contains_key(&at) {
            return Ok(());
        }
        if self.has_damage(at) {
            let Some(actor) = A::restore_damaged(config, self.disk(at)) else {
                self.stats.kept_away += 1;
                return Ok(());
            };
            self.note(|| Happening::Started { at });
            return self.come_back(at, actor);
        }
        self.note(|| Happening::Started { at });
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        if is_newcomer && process.disk.is_blank() {
            *process = Process::join(config, self.setup.in_order);
            return Ok(());
        }
        if !is_newcomer && !process.is_known() {
            config.cluster = self.setup.cluster.clone();
            // Its very first write was lost: it has never been, and may be created again.
            process.create(config);
            return Ok(());
        }
        let actor = A::restore(config, process.disk.records())
            .map_err(|error| Violation { property: "restore", what: format!("{at} cannot be restored: {error}") })?;
        self.come_back(at, actor)
    }

    /// A node goes on from what it was restored from, and its resource recovers.
    fn come_back(&mut self, at: NodeId, actor: A) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        self.stats.restarts += 1;
        self.stats.restarts_in_doubt += u64::from(!actor.node().in_doubt().is_empty());
        let orphans = actor.lets_go(&process.held);
        process.start(actor);
        self.stats.orphans += orphans.len() as u64;
        self.observe(&Observation::Started { at })?;
        self.look_back(at)?;
        orphans.into_iter().try_for_each(|tx| self.let_go(at, tx))?;
        let process = self.processes.get(&at).filter(|_| self.votes_elsewhere(at));
        let found = process.map(|process| process.held.difference(&process.hidden).copied().collect::<Vec<_>>());
        found.into_iter().flatten().try_for_each(|tx| self.find(at, tx).map(|_| ()))
    }

    /// Cuts the disk down to a snapshot, when nothing is on its way to it.
    pub(super) fn compact(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.is_synced()) else { return Ok(()) };
        let Some(actor) = &process.actor else { return Ok(()) };
        self.stats.compactions += 1;
        let gone = process.disk.replace(actor.node().snapshot());
        gone.into_iter().try_for_each(|key| self.observe(&Observation::Durable { at, record: &Record::Erased(key) }))
    }
}
