//! Whom the node has met, as its handles know it: they answer at once, and the node hears of each before it hears anything
//! that was said after that.

use alloc::{collections::BTreeMap, sync::Arc};
use std::sync::{Mutex, PoisonError};

use ::tokio::sync::mpsc;

use crate::NodeId;

/// The nodes that were met, and their births.
#[derive(Clone, Debug)]
pub(super) struct Contacts {
    known: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    most: usize,
    /// To the node. It holds each contact once, so it needs no bound of its own.
    news: mpsc::UnboundedSender<(NodeId, u64)>,
}

impl Contacts {
    /// Those that a node has met, of which there may be `most`, and where it hears of more.
    pub(super) fn new(
        met: impl Iterator<Item = (NodeId, u64)>,
        most: usize,
    ) -> (Self, mpsc::UnboundedReceiver<(NodeId, u64)>) {
        let (news, heard) = mpsc::unbounded_channel();
        (Self { known: Arc::new(Mutex::new(met.collect())), most, news }, heard)
    }

    /// Meets a node. False if it is known under another birth.
    pub(super) fn meet(&self, node: NodeId, birth: u64) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.get(&node) {
            return *before == birth;
        }
        if known.len() < self.most {
            known.insert(node, birth);
            // If nobody hears this, the node has stopped.
            let _ = self.news.send((node, birth));
        }
        true
    }
}
