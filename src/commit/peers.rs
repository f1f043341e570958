//! What a node remembers of others, for all transactions together: whom it has met, and which acceptors and transaction
//! managers do not answer.
//!
//! Without this, each transaction would find out for itself, by a time-out, that the transaction manager it turns to is
//! dead. It is an opinion about whom to ask first, nothing more: no safety rests on it, and who is wrongly suspected is
//! asked later.

use alloc::vec::Vec;

use super::{Cluster, Places, Targets, Time, contacts::Contacts};
use crate::{NodeId, Quorums, Refusal, TxId};

/// The other nodes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Peers {
    /// The acceptors and transaction managers.
    keepers: Vec<Peer>,
    pub(crate) contacts: Contacts,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Peer {
    node: NodeId,
    /// When it was last heard, on this node's own clock.
    heard: Time,
    /// Until when it is suspected to be dead. Then it gets another chance.
    suspected: Time,
}

impl Peers {
    /// Nobody has been met or heard yet, and nobody is suspected.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let managers = cluster.managers().iter().copied();
        let mut nodes: Vec<NodeId> = managers.chain(cluster.acceptors().nodes()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let keepers = nodes.into_iter().map(|node| Peer { node, heard: Time(0), suspected: Time(0) }).collect();
        Self { keepers, contacts: Contacts::default() }
    }

    /// Goes on with the members of another epoch.
    pub(crate) fn follow(&mut self, cluster: &Cluster) {
        let Self { keepers: before, contacts } = core::mem::replace(self, Self::new(cluster));
        self.contacts = contacts;
        for peer in &mut self.keepers {
            if let Some(known) = before.iter().find(|known| known.node == peer.node) {
                (peer.heard, peer.suspected) = (known.heard, known.suspected);
            }
        }
    }

    /// Refuses participants that a transaction would only wait for: those that were written off, those that were never met,
    /// and those that have left too much unfinished.
    pub(crate) fn check_participants(
        &self,
        cluster: &Cluster,
        id: NodeId,
        participants: &[NodeId],
    ) -> Result<(), Refusal> {
        let most = cluster.limits().open_per_participant;
        for node in participants.iter().filter(|node| **node != id) {
            if cluster.is_departed(*node) {
                return Err(Refusal::Departed);
            }
            if self.contacts.is_stranger(*node) {
                return Err(Refusal::NeverMet);
            }
            if self.contacts.owed_by(*node) > most {
                return Err(Refusal::ParticipantBehind);
            }
        }
        Ok(())
    }

    /// `node` has said something.
    #[inline]
    pub(crate) fn hear(&mut self, node: NodeId, now: Time) {
        if let Some(peer) = self.keepers.iter_mut().find(|peer| peer.node == node) {
            (peer.heard, peer.suspected) = (now, Time(0));
        }
    }

    /// Something was asked of `node` at `since`, and the time for an answer is over. If it has said nothing at all since
    /// then, it is suspected until `until`.
    pub(crate) fn miss(&mut self, node: NodeId, since: Time, until: Time) {
        if let Some(peer) = self.keepers.iter_mut().find(|peer| peer.node == node && peer.heard <= since) {
            peer.suspected = until;
        }
    }

    /// Whether `node` does not seem to answer.
    pub(crate) fn is_suspect(&self, node: NodeId, now: Time) -> bool {
        self.keepers.iter().any(|peer| peer.node == node && now < peer.suspected)
    }

    /// The acceptors to vote at, if those of the quorum that votes would go to do not all seem to answer, by their places;
    /// otherwise empty. Where votes go to all acceptors, no detour is needed.
    #[inline]
    pub(crate) fn detour(&self, cluster: &Cluster, manager: NodeId, now: Time) -> Places {
        match cluster.targets() {
            Targets::All => Places::default(),
            Targets::Quorum => self.detour_of_quorum(cluster.acceptors(), manager, now),
        }
    }

    fn detour_of_quorum(&self, acceptors: &Quorums, manager: NodeId, now: Time) -> Places {
        let suspects = acceptors.members(acceptors.nodes().filter(|node| self.is_suspect(*node, now)));
        let usual = acceptors.first_accept_quorum(Some(manager));
        let detour = acceptors.nodes_of(usual).any(|node| self.is_suspect(node, now));
        let quorum = detour.then(|| acceptors.accept_quorum_without(manager, suspects)).flatten();
        let place = |node| acceptors.position(node);
        quorum.map_or_else(Places::default, |quorum| acceptors.nodes_of(quorum).filter_map(place).collect())
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
