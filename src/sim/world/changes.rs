//! The operators of a world: whom they want to be members, and which machines they switch off.

use std::collections::BTreeSet;

use super::{Actor, Violation, World, config};
use crate::{
    NodeId, Phase,
    commit::{Cluster, Effect, Input, Record},
    sim::process::Process,
};

impl<A: Actor> World<A> {
    /// All nodes that there are, or were and may come back.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.processes.keys().copied().filter(|node| !self.gone.contains(node))
    }

    /// Whether a node was ever there.
    pub(crate) fn has_come(&self, node: NodeId) -> bool {
        self.processes.contains_key(&node)
    }

    /// The members of the latest epoch that anyone has written, and their common part.
    pub(crate) fn present(&self) -> (u64, Vec<NodeId>) {
        let (number, cluster) = self.latest();
        (number, cluster.membership().members().into_iter().collect())
    }

    fn latest(&self) -> (u64, &Cluster) {
        let latest = self.epochs.last_key_value().map(|(number, cluster)| (*number, cluster));
        latest.unwrap_or((0, &self.setup.cluster))
    }

    /// What the file has that the operator of `at` gives it: the latest members of which another one is still there, to be asked.
    pub(super) fn cluster_for(&self, at: NodeId) -> Cluster {
        let is_there = |node: &NodeId| *node != at && self.has_come(*node) && !self.gone.contains(node);
        let answers = |cluster: &&Cluster| cluster.membership().members().iter().any(is_there);
        self.epochs.values().rev().find(answers).unwrap_or(self.latest().1).clone()
    }

    /// The transaction managers of the present epoch.
    pub(crate) fn managers(&self) -> Vec<NodeId> {
        self.latest().1.managers().to_vec()
    }

    /// An operator wants `new` in the place of `old`.
    pub(super) fn change(&mut self, at: NodeId, old: NodeId, new: NodeId) -> Result<Vec<Effect>, Violation> {
        let Some(actor) = self.actor(at).filter(|_| self.is_there(at)) else { return Ok(Vec::new()) };
        let (cluster, membership) = (actor.node().config().cluster.clone(), actor.node().config().cluster.membership());
        if !membership.is_member(old) || membership.is_member(new) || self.gone.contains(&new) {
            return Ok(Vec::new());
        }
        if !self.has_come(new) {
            let mut config = config(&self.setup, new);
            if !self.setup.old_files.contains(&new) {
                config.cluster = cluster;
            }
            self.processes.insert(new, Process::join(config, self.setup.in_order));
        }
        let before = self.stats.refused;
        self.stats.changes += 1;
        let effects = self.step(at, Input::Change(membership.replace(old, new).into()))?;
        self.stats.changes_refused += self.stats.refused - before;
        Ok(effects)
    }

    /// The machines that may be switched off for good, as some node says, and that do not take part in transactions.
    pub(crate) fn removable(&self) -> Vec<NodeId> {
        // What a node says of itself counts once that is durable.
        let synced = self.processes.values().filter(|process| process.is_synced());
        let actors = synced.filter_map(|process| process.actor.as_ref());
        let epochs = actors.filter_map(|actor| actor.node().epoch()).filter(|epoch| epoch.may_leave);
        let left: BTreeSet<NodeId> = epochs.flat_map(|epoch| epoch.left).collect();
        let goes =
            |at: &NodeId| self.has_come(*at) && !self.gone.contains(at) && !self.setup.resource_managers.contains(at);
        left.into_iter().filter(goes).collect()
    }

    /// Switches a machine off as soon as some node says that those which have left may go.
    pub(super) fn switch_off(&mut self, at: NodeId) -> Result<(), Violation> {
        if !self.removable().contains(&at) {
            return Ok(());
        }
        self.stats.switched_off += 1;
        self.stop(at, 0)?;
        self.gone.insert(at);
        Ok(())
    }

    /// What operators learn of the membership.
    pub(super) fn note_epoch(&mut self, record: &Record) {
        let Record::Epoch { number, membership, .. } = record else { return };
        self.stats.epochs += u64::from(*number > 0);
        if let Ok(cluster) = self.setup.cluster.with_membership((**membership).clone()) {
            self.epochs.entry(*number).or_insert(cluster);
        }
    }

    /// Whether so many members of the present epoch know of it that they can go on: a quorum of either phase, and a manager. They
    /// have said that they are there, so they get to know of it by themselves; the others may need their operators.
    pub(crate) fn is_present_known(&self) -> bool {
        let (number, cluster) = self.latest();
        let knows = |node: &NodeId| {
            let tag = self.actor(*node).and_then(|actor| actor.node().tag());
            tag.is_some_and(|tag| tag.number >= number)
        };
        let acceptors = cluster.acceptors();
        let known = acceptors.members(acceptors.nodes().filter(knows));
        let is_quorum = |phase| acceptors.is_quorum(phase, known);
        is_quorum(Phase::Prepare) && is_quorum(Phase::Accept) && cluster.managers().iter().any(knows)
    }

    /// Who is up and in an epoch before the present one, or in none although it is a member, or invited to be one.
    pub(crate) fn laggards(&self) -> Vec<NodeId> {
        let (number, members) = self.present();
        let actors = self.processes.values().filter_map(|process| process.actor.as_ref());
        let awaited: BTreeSet<NodeId> =
            actors.filter_map(|actor| actor.node().epoch()).flat_map(|epoch| epoch.awaited).collect();
        let is_behind = |at: &NodeId| {
            let epoch = self.actor(*at).map(|actor| actor.node().tag().map(|tag| tag.number));
            let is_wanted = || members.contains(at) || awaited.contains(at);
            epoch.is_some_and(|epoch| epoch < Some(number) && (epoch.is_some() || is_wanted()))
        };
        self.nodes().filter(is_behind).collect()
    }
}
