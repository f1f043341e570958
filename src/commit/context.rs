//! What the roles of one node share while they take an input about one transaction.

use alloc::collections::VecDeque;

use super::{Cluster, Decision, Message, Metrics, Record, Sink, Transaction, What};
use crate::{Fence, NodeId, Refusal, Scope, Urgency};

/// What a role works with, lent to it for one call: nothing of it is the role's own.
pub(crate) struct Context<'a, S> {
    pub(crate) cluster: &'a Cluster,
    /// The node that plays the role.
    pub(crate) id: NodeId,
    pub(crate) transaction: &'a Transaction,
    /// What the effects about this transaction rest on.
    pub(crate) scope: &'a mut Scope,
    /// What a ballot of this node's own rests on, besides.
    pub(crate) rounds: Scope,
    /// Where a broken invariant is noted: it silences the transaction.
    pub(crate) fence: &'a mut Option<Fence>,
    /// What the roles here say to each other; `None` for a role that is driven alone.
    pub(crate) local: Option<&'a mut VecDeque<What>>,
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) effects: &'a mut S,
}

impl<S: Sink> Context<'_, S> {
    /// Says `what` to node `to`, once all that it rests on is durable.
    #[inline]
    pub(crate) fn send(&mut self, to: NodeId, what: What) {
        self.send_after(to, what, *self.scope);
    }

    /// Says `what`, which shows a ballot of this node's own.
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

    /// Writes a record of this transaction.
    #[inline]
    pub(crate) fn persist(&mut self, record: Record, urgency: Urgency) {
        self.metrics.count_write();
        *self.scope = self.scope.and(self.effects.persist(record, urgency));
    }

    /// Hands a decision to the caller, once all that it rests on is durable.
    #[inline]
    pub(crate) fn decide(&mut self, decision: Decision) {
        self.metrics.count_decision();
        self.effects.decide(decision, *self.scope);
    }

    /// An invariant is broken: from now on this node is silent about the transaction.
    #[cold]
    pub(crate) fn fence(&mut self, fence: Fence) -> Refusal {
        self.fence.get_or_insert(fence);
        Refusal::Broken
    }
}
