//! The network: what is under way, what has passed, and which links are cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{NodeId, commit::Message};

/// From one node to another.
pub(super) type Link = (NodeId, NodeId);

/// How many messages of a link may still turn up after they were delivered or lost.
const REMEMBERED: usize = 256;

#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    under_way: BTreeMap<Link, VecDeque<Message>>,
    /// What was delivered or lost, in the order of that.
    past: BTreeMap<Link, VecDeque<Message>>,
    cuts: BTreeSet<Link>,
}

impl Network {
    /// Takes a message on its way. Returns false if the link is cut: then it is lost.
    pub(super) fn send(&mut self, link: Link, message: Message) -> bool {
        let passes = !self.cuts.contains(&link);
        if passes {
            self.under_way.entry(link).or_default().push_back(message);
        } else {
            self.remember(link, message);
        }
        passes
    }

    /// Takes a message off its way.
    pub(super) fn take(&mut self, link: Link, index: usize) -> Option<Message> {
        let message = self.under_way.get_mut(&link)?.remove(index)?;
        self.remember(link, message.clone());
        Some(message)
    }

    /// A message that is under way.
    pub(super) fn get(&self, link: Link, index: usize) -> Option<&Message> {
        self.under_way.get(&link)?.get(index)
    }

    /// A message that was delivered or lost.
    pub(super) fn past(&self, link: Link, index: usize) -> Option<&Message> {
        self.past.get(&link)?.get(index)
    }

    /// How many messages are under way, by link.
    pub(super) fn links(&self) -> Vec<(Link, usize)> {
        counts(&self.under_way)
    }

    /// How many messages were delivered or lost and are remembered, by link.
    pub(super) fn past_links(&self) -> Vec<(Link, usize)> {
        counts(&self.past)
    }

    pub(super) fn cut(&mut self, links: impl IntoIterator<Item = Link>) {
        self.cuts.extend(links);
    }

    pub(super) fn mend(&mut self, links: impl IntoIterator<Item = Link>) {
        for link in links {
            self.cuts.remove(&link);
        }
    }

    pub(super) fn mend_all(&mut self) {
        self.cuts.clear();
    }

    fn remember(&mut self, link: Link, message: Message) {
        let past = self.past.entry(link).or_default();
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(message);
    }
}

fn counts(queues: &BTreeMap<Link, VecDeque<Message>>) -> Vec<(Link, usize)> {
    queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, queue)| (*link, queue.len())).collect()
}
