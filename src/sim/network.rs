//! The network: what is under way, what has passed, and which links are cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{NodeId, commit::Message};

/// From one node to another.
pub(super) type Link = (NodeId, NodeId);

/// How many messages of a link may still turn up after they were delivered or lost.
const REMEMBERED: usize = 256;

/// A message, and which of all that were ever sent it is.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) number: u64,
    pub(super) message: Message,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    under_way: BTreeMap<Link, VecDeque<Letter>>,
    /// What was delivered or lost, in the order of that.
    past: BTreeMap<Link, VecDeque<Letter>>,
    cuts: BTreeSet<Link>,
    sent: u64,
}

impl Network {
    /// Takes a message on its way. Returns its number, and false if the link is cut: then it is lost.
    pub(super) fn send(&mut self, link: Link, message: Message) -> (u64, bool) {
        let passes = !self.cuts.contains(&link);
        let number = self.sent;
        self.sent += 1;
        let letter = Letter { number, message };
        if passes {
            self.under_way.entry(link).or_default().push_back(letter);
        } else {
            self.remember(link, letter);
        }
        (number, passes)
    }

    /// Takes a message off its way.
    pub(super) fn take(&mut self, link: Link, index: usize) -> Option<Letter> {
        let letter = self.under_way.get_mut(&link)?.remove(index)?;
        self.remember(link, letter.clone());
        Some(letter)
    }

    /// A message that is under way.
    pub(super) fn get(&self, link: Link, index: usize) -> Option<&Letter> {
        self.under_way.get(&link)?.get(index)
    }

    /// A message that was delivered or lost.
    pub(super) fn past(&self, link: Link, index: usize) -> Option<&Letter> {
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

    fn remember(&mut self, link: Link, letter: Letter) {
        let past = self.past.entry(link).or_default();
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(letter);
    }
}

fn counts(queues: &BTreeMap<Link, VecDeque<Letter>>) -> Vec<(Link, usize)> {
    queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, queue)| (*link, queue.len())).collect()
}
