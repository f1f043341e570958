//! What the roles of one node share while they handle an input about one transaction.

use alloc::collections::{BTreeSet, VecDeque};

use super::{
    Cluster, Decision, Message, Meta, Metrics, Record, ResourceKind, Sink, Time, Transaction, What, peers::Peers,
};
use crate::{Fence, NodeId, Refusal, Scope, Urgency};

/// Everything that a role borrows for one call. The role owns none of it.
pub(crate) struct Context<'a> {
    pub(crate) cluster: &'a Cluster,
    /// Every id that was a member of an epoch before.
    pub(crate) former: &'a BTreeSet<NodeId>,
    /// The node that plays the role.
    pub(crate) id: NodeId,
    pub(crate) resource: ResourceKind,
    pub(crate) transaction: &'a Transaction,
    /// What effects about this transaction rest on.
    pub(crate) scope: &'a mut Scope,
    /// What effects that reveal a ballot of this node rest on, in addition.
    pub(crate) rounds: Scope,
    /// The invariant that broke, if any: the node is then silent about the transaction.
    pub(crate) fence: &'a mut Option<Fence>,
    /// Messages between the roles of this node; `None` for a role that is driven alone.
    pub(crate) local: Option<&'a mut VecDeque<What>>,
    /// Who was met, and who does not answer.
    pub(crate) peers: &'a mut Peers,
    pub(crate) now: Time,
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) effects: &'a mut Sink<'a>,
}

impl Context<'_> {
    /// Refuses content that is not the transaction's, or too long.
    #[inline]
    pub(crate) fn check_meta(&self, meta: &Meta) -> Result<(), Refusal> {
        if !self.transaction.is_about(meta) {
            return Err(Refusal::OtherContent);
        }
        self.cluster.limits().check_meta(meta)
    }

    /// Whether `node` is or was a transaction manager, or some other member: who was one before may bring an outcome late.
    #[inline]
    pub(crate) fn may_tell(&self, node: NodeId) -> bool {
        self.cluster.is_manager(node) || self.former.contains(&node)
    }

    /// Whether `node` is not this one, and was never met.
    pub(crate) fn is_stranger(&self, node: NodeId) -> bool {
        node != self.id && self.peers.contacts.is_stranger(node)
    }

    /// Refuses participants that a transaction would only wait for.
    pub(crate) fn check_participants(&self) -> Result<(), Refusal> {
        self.peers.check_participants(self.cluster, self.id, self.transaction.participants())
    }

    /// The transaction manager to turn to after `node`.
    pub(crate) fn manager_after(&self, node: NodeId) -> NodeId {
        self.peers.manager_after(self.cluster, node, self.now)
    }

    /// Sends `what` to node `to` once everything it rests on is durable; to a role of this node, at once.
    #[inline]
    pub(crate) fn send(&mut self, to: NodeId, what: What) {
        self.send_after(to, what, *self.scope);
    }

    /// Sends `what`, which reveals a ballot of this node and so also rests on the reserved rounds.
    pub(crate) fn send_ballot(&mut self, to: NodeId, what: What) {
        self.send_after(to, what, self.scope.and(self.rounds));
    }

    #[inline]
    fn send_after(&mut self, to: NodeId, what: What, after: Scope) {
        match &mut self.local {
            Some(local) if to == self.id => local.push_back(what),
            _ => {
                self.metrics.count_send();
                self.effects.send(to, Message::About { transaction: self.transaction.clone(), what }, after);
            }
        }
    }

    /// Writes a record of this transaction. Later effects rest on it.
    #[inline]
    pub(crate) fn persist(&mut self, record: Record, urgency: Urgency) {
        self.metrics.count_write();
        *self.scope = self.scope.and(self.effects.persist(record, urgency));
    }

    /// Writes a record of this transaction that no effect rests on: what it says is durable elsewhere.
    pub(crate) fn persist_copy(&mut self, record: Record) {
        self.metrics.count_write();
        self.effects.persist(record, Urgency::RidesAlong);
    }

    /// Whether the votes of the local resource are durable elsewhere.
    pub(crate) fn votes_elsewhere(&self) -> bool {
        self.resource == ResourceKind::VotesElsewhere
    }

    /// Hands a decision to the caller, once everything it rests on is durable.
    #[inline]
    pub(crate) fn decide(&mut self, decision: Decision) {
        self.metrics.count_decision();
        self.effects.decide(decision, *self.scope);
    }

    /// Records that an invariant is broken: from now on this node is silent about the transaction.
    #[cold]
    pub(crate) fn fence(&mut self, fence: Fence) -> Refusal {
        self.fence.get_or_insert(fence);
        Refusal::Broken
    }
}
