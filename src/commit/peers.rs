//! What a node remembers of the acceptors and transaction managers, for all transactions together: who does not answer.
//!
//! Without this, each transaction would find out for itself, by a time-out, that the transaction manager it turns to is
//! dead. It is an opinion about whom to ask first, nothing more: no safety rests on it, and who is wrongly suspected is
//! asked later.

use alloc::vec::Vec;

use super::{Cluster, Time};
use crate::{NodeId, TxId};

/// The other acceptors and transaction managers.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Vec<Peer>);

#[derive(Clone, Debug)]
struct Peer {
    node: NodeId,
    /// When it was last heard, on this node's own clock.
    heard: Time,
    /// Until when it is suspected to be dead. Then it gets another chance.
    suspected: Time,
}

impl Peers {
    /// Nobody has been heard yet, and nobody is suspected.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let managers = cluster.managers().iter().copied();
        let mut nodes: Vec<NodeId> = managers.chain(cluster.acceptors().nodes()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self(nodes.into_iter().map(|node| Peer { node, heard: Time(0), suspected: Time(0) }).collect())
    }

    /// `node` has said something.
    #[inline]
    pub(crate) fn hear(&mut self, node: NodeId, now: Time) {
        if let Some(peer) = self.0.iter_mut().find(|peer| peer.node == node) {
            (peer.heard, peer.suspected) = (now, Time(0));
        }
    }

    /// Something was asked of `node` at `since`, and the time for an answer is over. If it has said nothing at all since
    /// then, it is suspected until `until`.
    pub(crate) fn miss(&mut self, node: NodeId, since: Time, until: Time) {
        if let Some(peer) = self.0.iter_mut().find(|peer| peer.node == node && peer.heard <= since) {
            peer.suspected = until;
        }
    }

    /// Whether `node` does not seem to answer.
    pub(crate) fn is_suspect(&self, node: NodeId, now: Time) -> bool {
        self.0.iter().any(|peer| peer.node == node && now < peer.suspected)
    }

    /// The transaction manager to turn to first in `tx`. Transactions are spread over all that are not suspected.
    #[inline]
    pub(crate) fn manager_of(&self, cluster: &Cluster, tx: TxId, now: Time) -> NodeId {
        let first = cluster.manager_of(tx);
        if self.is_suspect(first, now) { self.manager_after(cluster, first, now) } else { first }
    }

    /// The transaction manager to turn to after `node`: the next one that is not suspected; if all are, the next one.
    pub(crate) fn manager_after(&self, cluster: &Cluster, node: NodeId, now: Time) -> NodeId {
        let next = cluster.manager_after(node);
        let mut candidate = next;
        for _ in cluster.managers() {
            if !self.is_suspect(candidate, now) {
                return candidate;
            }
            candidate = cluster.manager_after(candidate);
        }
        next
    }
}
