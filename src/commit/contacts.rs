//! Whom this node has met: under which birth, and how much each of them leaves unfinished here.
//!
//! A node that was never met may not exist at all, and a transaction that names it could never end. A node that comes
//! back under another birth has lost its storage, and could vote twice. And a node that finishes nothing any more, or
//! speaks of ever new transactions, would fill this one.

use alloc::{collections::BTreeMap, vec::Vec};
use core::num::NonZeroU32;

use crate::{NodeId, Refusal};

/// The nodes that were met. Nothing is known of anybody, and nothing checked, until the first one is.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Contacts {
    ids: BTreeMap<NodeId, ContactId>,
    /// In the order in which they were met.
    contacts: Vec<Contact>,
}

/// A node that was met, in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ContactId(NonZeroU32);

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Contact {
    /// Durable.
    birth: u64,
    /// How many transactions wait here, past their outcome, for this node to finish them.
    owes: usize,
    /// How many transactions are open here because this node was the first to speak of them.
    opened: usize,
}

impl Contacts {
    /// Meets `node`; there may be `most` nodes. Whether that is news.
    pub(crate) fn meet(&mut self, node: NodeId, birth: u64, most: usize) -> Result<bool, Refusal> {
        if let Some(known) = self.get(node) {
            return if known.birth == birth { Ok(false) } else { Err(Refusal::OtherBirth) };
        }
        if self.contacts.len() >= most {
            return Err(Refusal::TooManyNodes);
        }
        let count = u32::try_from(self.contacts.len().saturating_add(1)).ok().and_then(NonZeroU32::new);
        self.ids.insert(node, ContactId(count.ok_or(Refusal::TooManyNodes)?));
        self.contacts.push(Contact { birth, owes: 0, opened: 0 });
        Ok(true)
    }

    /// How many were met.
    pub(crate) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Everybody that was met, with their births, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.ids.iter().filter_map(|(node, id)| Some((*node, self.at(*id)?.birth)))
    }

    /// Whether `node` was never met, as far as this node keeps count.
    #[inline]
    pub(crate) fn is_stranger(&self, node: NodeId) -> bool {
        !self.ids.is_empty() && !self.ids.contains_key(&node)
    }

    /// How many transactions wait past their outcome for `node`.
    #[inline]
    pub(crate) fn owed_by(&self, node: NodeId) -> usize {
        self.get(node).map_or(0, |contact| contact.owes)
    }

    /// One more transaction waits for `node`. Whether it is counted.
    #[inline]
    pub(crate) fn owe(&mut self, node: NodeId) -> bool {
        let contact = self.ids.get(&node).copied().and_then(|id| self.at_mut(id));
        contact.map(|contact| contact.owes = contact.owes.saturating_add(1)).is_some()
    }

    /// A transaction that was counted does not wait for `node` any more.
    #[inline]
    pub(crate) fn settle(&mut self, node: NodeId) {
        if let Some(contact) = self.ids.get(&node).copied().and_then(|id| self.at_mut(id)) {
            contact.owes = contact.owes.saturating_sub(1);
        }
    }

    /// A transaction is to be opened because `node` speaks of it; there may be `most` of those. Whom to
    /// [charge](Self::charge), if `node` was met.
    #[inline]
    pub(crate) fn opener(&self, node: NodeId, most: usize) -> Result<Option<ContactId>, Refusal> {
        let id = self.ids.get(&node).copied();
        match id.and_then(|id| self.at(id)) {
            Some(contact) if contact.opened >= most => Err(Refusal::TooManyOfPeer),
            _ => Ok(id),
        }
    }

    /// A transaction was opened because of this node.
    #[inline]
    pub(crate) fn charge(&mut self, id: Option<ContactId>) {
        if let Some(contact) = id.and_then(|id| self.at_mut(id)) {
            contact.opened = contact.opened.saturating_add(1);
        }
    }

    /// A transaction was dropped that was opened because of this node.
    #[inline]
    pub(crate) fn discharge(&mut self, id: Option<ContactId>) {
        if let Some(contact) = id.and_then(|id| self.at_mut(id)) {
            contact.opened = contact.opened.saturating_sub(1);
        }
    }

    #[inline]
    fn get(&self, node: NodeId) -> Option<&Contact> {
        self.at(*self.ids.get(&node)?)
    }

    #[inline]
    fn at(&self, id: ContactId) -> Option<&Contact> {
        self.contacts.get(id.index())
    }

    #[inline]
    fn at_mut(&mut self, id: ContactId) -> Option<&mut Contact> {
        self.contacts.get_mut(id.index())
    }
}

impl ContactId {
    fn index(self) -> usize {
        (self.0.get() as usize).saturating_sub(1)
    }
}
