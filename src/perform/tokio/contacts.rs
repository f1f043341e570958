//! Whom the node has met, as its handles know it: they answer at once, and the node hears of each before it hears anything
//! that was said after that.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::tokio::sync::mpsc;

use crate::{
    NodeId, Refusal,
    commit::{EpochTag, Membership, Node},
};

/// The nodes that were met, and what they said of themselves.
#[derive(Clone, Debug)]
pub(super) struct Contacts {
    state: Arc<Mutex<State>>,
    most: usize,
    /// To the node. It holds each contact once, so it needs no bound of its own.
    news: mpsc::UnboundedSender<NodeId>,
}

/// The node's end: whom it meets.
#[derive(Debug)]
pub(super) struct Met {
    state: Arc<Mutex<State>>,
    heard: mpsc::UnboundedReceiver<NodeId>,
}

#[derive(Debug)]
struct State {
    known: BTreeMap<NodeId, Contact>,
    /// The epoch that the node is durably in, and whom operators have written off in it.
    epoch: Option<EpochTag>,
    departed: BTreeSet<NodeId>,
}

#[derive(Debug)]
struct Contact {
    birth: u64,
    /// The epoch that it said last, until the node hears of it.
    epoch: Option<EpochTag>,
    /// The node has yet to hear of it.
    is_news: bool,
}

impl Contacts {
    /// Those that `node` has met, and where it hears of more.
    pub(super) fn new(node: &Node) -> (Self, Met) {
        let cluster = &node.config().cluster;
        let (most, departed) = (cluster.limits().nodes, cluster.spec().departed.clone());
        let (news, heard) = mpsc::unbounded_channel();
        let known = node.met().map(|(node, birth)| (node, Contact { birth, epoch: None, is_news: false })).collect();
        let state = Arc::new(Mutex::new(State { known, epoch: node.tag(), departed }));
        (Self { state: Arc::clone(&state), most, news }, Met { state, heard })
    }

    /// Meets a node. Refuses one that was written off, is known under another birth, or has other members in the same epoch.
    pub(super) fn meet(&self, node: NodeId, birth: u64, epoch: Option<EpochTag>) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let (own, is_full) = (state.epoch, state.known.len() >= self.most);
        if state.departed.contains(&node) {
            return Err(Refusal::Departed);
        }
        if state.known.get(&node).is_some_and(|contact| contact.birth != birth) {
            return Err(Refusal::OtherBirth);
        }
        if let (Some(told), Some(own)) = (epoch, own)
            && told.number == own.number
            && told.digest != own.digest
        {
            return Err(Refusal::OtherMembership);
        }
        let is_new = !state.known.contains_key(&node);
        if is_new && is_full {
            return Ok(());
        }
        let contact = state.known.entry(node).or_insert(Contact { birth, epoch: None, is_news: false });
        // One of the two is behind, and is to know it.
        if is_new || (epoch.is_some() && epoch != own) {
            contact.epoch = epoch;
            if !contact.is_news {
                contact.is_news = true;
                // If nobody hears this, the node has stopped.
                let _ = self.news.send(node);
            }
        }
        Ok(())
    }

    /// The node is in this epoch, of these members, durably.
    pub(super) fn enter(&self, number: u64, membership: &Membership) {
        let mut state = lock(&self.state);
        state.epoch = Some(EpochTag { number, digest: membership.digest() });
        state.departed.clone_from(&membership.departed);
    }

    pub(super) fn epoch(&self) -> Option<EpochTag> {
        lock(&self.state).epoch
    }
}

impl Met {
    /// The next node that is met, its birth, and the epoch that it says; `None` if there is no handle any more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<(NodeId, u64, Option<EpochTag>)> {
        loop {
            let node = self.heard.recv().await?;
            if let Some(met) = self.take(node) {
                return Some(met);
            }
        }
    }

    /// One that was met already.
    pub(super) fn try_next(&mut self) -> Option<(NodeId, u64, Option<EpochTag>)> {
        let node = self.heard.try_recv().ok()?;
        self.take(node)
    }

    fn take(&self, node: NodeId) -> Option<(NodeId, u64, Option<EpochTag>)> {
        let mut state = lock(&self.state);
        let contact = state.known.get_mut(&node)?;
        contact.is_news = false;
        Some((node, contact.birth, contact.epoch.take()))
    }
}

/// Nothing that panics is done with the lock held, so that a poisoned one is as good.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
