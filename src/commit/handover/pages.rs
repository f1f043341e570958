//! What is told in pages: reports, endings, and what a node knows of an epoch.
//!
//! A receiver asks for one page after the other, and takes nothing before it has all of them. The pages of two different
//! things never mix, for every page carries the digest of the whole.

use alloc::{boxed::Box, vec::Vec};

use super::{
    super::{Vote, membership::Digest, record::TxRange},
    Ending, Entry, Page, Part, Ranges,
};
use crate::{NodeId, Refusal};

/// About how many bytes a page has at most, as it is told.
const BYTES: usize = 1 << 15;

/// About how many bytes an entry takes: a range takes 28 at most.
fn bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Part(part) => part.instances.len().saturating_mul(20).saturating_add(28),
        _ => 28,
    }
}

/// More than anybody has to tell, so that nobody makes another node keep more.
const MOST_ENTRIES: u64 = 1 << 24;

/// All that pages tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Lists {
    pub(crate) ready: Vec<TxRange>,
    pub(crate) parts: Vec<Part>,
    pub(crate) committed: Ranges,
    pub(crate) retired: Ranges,
    pub(crate) peers: Vec<(NodeId, u64)>,
}

/// Lists that are told, with their digest.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Volume {
    lists: Lists,
    digest: u64,
}

/// Pages that have come, and are not all.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Assembly {
    digest: u64,
    total: u64,
    taken: u64,
    ready: Vec<TxRange>,
    parts: Vec<Part>,
    committed: Vec<TxRange>,
    retired: Vec<TxRange>,
    peers: Vec<(NodeId, u64)>,
}

/// What to do after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Ask for the page that begins with this entry.
    Next(u64),
    /// These are all.
    Whole(Lists),
}

impl Lists {
    /// What an ending says, besides its membership.
    pub(crate) fn of_ending(ending: &Ending) -> Self {
        Self { committed: ending.committed.clone(), retired: ending.retired.clone(), ..Self::default() }
    }

    fn len(&self) -> usize {
        let ranges = self.ready.len().saturating_add(self.committed.len()).saturating_add(self.retired.len());
        ranges.saturating_add(self.parts.len()).saturating_add(self.peers.len())
    }

    /// The entries from number `first` on. What comes before is not looked at.
    fn entries(&self, mut first: usize) -> impl Iterator<Item = Entry> + '_ {
        let ready = rest(&self.ready, &mut first).iter().map(|range| Entry::Ready(*range));
        let parts = rest(&self.parts, &mut first).iter().map(|part| Entry::Part(part.clone()));
        let committed = rest(&self.committed, &mut first).iter().map(|range| Entry::Committed(*range));
        let retired = rest(&self.retired, &mut first).iter().map(|range| Entry::Retired(*range));
        let peers =
            rest(&self.peers, &mut first).iter().map(|(node, birth)| Entry::Peer { node: *node, birth: *birth });
        ready.chain(parts).chain(committed).chain(retired).chain(peers)
    }
}

/// All of `list` but the first `first`, or as many of these as it has.
fn rest<'a, T>(list: &'a [T], first: &mut usize) -> &'a [T] {
    let skipped = list.len().min(*first);
    *first = first.saturating_sub(skipped);
    list.get(skipped..).unwrap_or_default()
}

impl Volume {
    pub(crate) fn new(lists: Lists) -> Self {
        let digest = digest(&lists);
        Self { lists, digest }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The page that begins with entry `first`.
    pub(crate) fn page(&self, first: u64) -> Page {
        self.page_of(first, BYTES)
    }

    /// Everything on one page, for a role of the same node.
    pub(crate) fn whole(&self) -> Page {
        self.page_of(0, usize::MAX)
    }

    fn page_of(&self, first: u64, most: usize) -> Page {
        let skipped = usize::try_from(first).unwrap_or(usize::MAX);
        let mut room = most;
        let fits = |entry: &Entry| {
            let is_first = room == most;
            let left = room.checked_sub(bytes(entry));
            room = left.unwrap_or_default();
            left.is_some() || is_first
        };
        let entries: Box<[Entry]> = self.lists.entries(skipped).take_while(fits).collect();
        Page { digest: self.digest, total: self.lists.len() as u64, first, entries }
    }
}

impl Assembly {
    /// Whether nothing has come.
    pub(crate) fn is_blank(&self) -> bool {
        self.taken == 0
    }

    /// Takes a page. The first page of something else starts over; any other page must follow those that have come. Fails, and
    /// changes nothing, if it does not.
    pub(crate) fn add(&mut self, page: &Page) -> Result<Progress, Refusal> {
        let is_same = page.digest == self.digest && page.total == self.total;
        let follows = is_same && page.first == self.taken;
        let taken = page.first.saturating_add(page.entries.len() as u64);
        let is_idle = page.entries.is_empty() && taken < page.total;
        if page.first > 0 && !follows || taken > page.total || page.total > MOST_ENTRIES || is_idle {
            return Err(Refusal::OtherPage);
        }
        if page.first == 0 && is_same && !self.is_blank() {
            // It was said twice: go on from where this is.
            return Ok(Progress::Next(self.taken));
        }
        if page.first == 0 {
            let mut fresh = Self { digest: page.digest, total: page.total, ..Self::default() };
            let progress = fresh.take(page, taken)?;
            *self = fresh;
            return Ok(progress);
        }
        match self.take(page, taken) {
            // What has come before is spoilt, so begin again.
            Err(_) => Ok(Progress::Next(0)),
            progress => progress,
        }
    }

    fn take(&mut self, page: &Page, taken: u64) -> Result<Progress, Refusal> {
        for entry in &page.entries {
            match entry {
                Entry::Ready(range) => self.ready.push(*range),
                Entry::Part(part) => self.parts.push(part.clone()),
                Entry::Committed(range) => self.committed.push(*range),
                Entry::Retired(range) => self.retired.push(*range),
                Entry::Peer { node, birth } => self.peers.push((*node, *birth)),
            }
        }
        self.taken = taken;
        if taken < self.total {
            return Ok(Progress::Next(taken));
        }
        let Self { digest: told, ready, parts, committed, retired, peers, .. } = core::mem::take(self);
        let lists = Lists { ready, parts, committed: committed.into(), retired: retired.into(), peers };
        if digest(&lists) == told { Ok(Progress::Whole(lists)) } else { Err(Refusal::OtherPage) }
    }
}

fn digest(lists: &Lists) -> u64 {
    let mut digest = Digest::default();
    for entry in lists.entries(0) {
        match entry {
            Entry::Ready(range) => digest.words(words(1, range)),
            Entry::Part(part) => {
                digest.words([2, part.tx.origin.0, part.tx.seq, part.instances.len() as u64]);
                for instance in &part.instances {
                    digest.words(match instance {
                        None => [0; 3],
                        Some((at, vote)) => [if *vote == Vote::Prepared { 1 } else { 2 }, at.round, at.node.0],
                    });
                }
            }
            Entry::Committed(range) => digest.words(words(3, range)),
            Entry::Retired(range) => digest.words(words(4, range)),
            Entry::Peer { node, birth } => digest.words([5, node.0, birth]),
        }
    }
    digest.0
}

fn words(kind: u64, range: TxRange) -> [u64; 4] {
    [kind, range.origin().0, range.first().seq, range.last().seq]
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic"
    )]

    use alloc::{vec, vec::Vec};

    use super::{super::Part, Assembly, BYTES, Lists, NodeId, Progress, Refusal, TxRange, Volume};
    use crate::TxId;

    /// How many ranges fit on a page.
    const ENTRIES: usize = BYTES / 28;

    fn lists(ranges: u64) -> Lists {
        let range = |seq| TxRange::new(NodeId(1), 2 * seq, 2 * seq).expect("one");
        let peers = vec![(NodeId(7), 8)];
        Lists { ready: (1..ranges).map(range).collect(), retired: vec![range(0)].into(), peers, ..Lists::default() }
    }

    #[test]
    fn whatever_is_told_in_pages_arrives_whole_and_once() {
        for ranges in [1, 2, ENTRIES as u64 - 1, ENTRIES as u64, 3 * ENTRIES as u64] {
            let (told, mut assembly, mut next, mut pages) = (Volume::new(lists(ranges)), Assembly::default(), 0, 0);
            let whole = loop {
                pages += 1;
                match assembly.add(&told.page(next)).expect("it follows") {
                    Progress::Next(after) => next = after,
                    Progress::Whole(lists) => break lists,
                }
            };
            assert_eq!((whole, pages), (lists(ranges), (ranges as usize + 1).div_ceil(ENTRIES)));
        }
    }

    #[test]
    fn a_page_has_few_wide_entries_and_one_at_least() {
        let part = |seq, width| Part { tx: TxId { origin: NodeId(1), seq }, instances: vec![None; width].into() };
        let (wide, huge) = ((0..100).map(|seq| part(seq, 250)).collect(), vec![part(1, BYTES), part(2, 1)]);
        for (parts, most) in [(wide, BYTES / 5_000), (huge, 1)] {
            let told = Volume::new(Lists { parts, ..Lists::default() });
            let entries = told.page(0).entries.len();
            assert!((1..=most).contains(&entries), "{entries} entries");
        }
    }

    #[test]
    fn a_first_page_that_comes_again_loses_nothing_and_one_of_something_else_starts_over() {
        let (one, other) = (Volume::new(lists(3 * ENTRIES as u64)), Volume::new(lists(3 * ENTRIES as u64 + 1)));
        let mut assembly = Assembly::default();
        let Ok(Progress::Next(second)) = assembly.add(&one.page(0)) else { panic!("there is more") };
        let Ok(Progress::Next(third)) = assembly.add(&one.page(second)) else { panic!("there is more") };
        assert_eq!(assembly.add(&one.page(0)), Ok(Progress::Next(third)));
        assert_eq!(assembly.add(&other.page(0)), Ok(Progress::Next(second)));
        assert_eq!(assembly.add(&one.page(third)), Err(Refusal::OtherPage));
    }

    #[test]
    fn nobody_says_that_he_will_tell_more_than_anyone_has() {
        let mut page = Volume::new(lists(2)).page(0);
        page.total = super::MOST_ENTRIES + 1;
        assert_eq!(Assembly::default().add(&page), Err(Refusal::OtherPage));
    }

    #[test]
    fn pages_of_different_things_never_mix_and_none_is_left_out() {
        let (one, other) = (Volume::new(lists(3 * ENTRIES as u64)), Volume::new(lists(3 * ENTRIES as u64 + 1)));
        let mut assembly = Assembly::default();
        let Ok(Progress::Next(second)) = assembly.add(&one.page(0)) else { panic!("there is more") };
        assert_eq!(assembly.add(&other.page(second)), Err(Refusal::OtherPage));
        assert_eq!(assembly.add(&one.page(second + ENTRIES as u64)), Err(Refusal::OtherPage));
        let mut empty = one.page(second);
        empty.entries = Vec::new().into();
        assert_eq!(assembly.add(&empty), Err(Refusal::OtherPage), "it would never end");
        assert!(matches!(assembly.add(&one.page(second)), Ok(Progress::Next(_))), "what was refused changed nothing");
    }

    #[test]
    fn what_was_damaged_on_its_way_is_not_taken() {
        let mut page = Volume::new(lists(3)).whole();
        page.entries[0] = page.entries[1].clone();
        assert_eq!(Assembly::default().add(&page), Err(Refusal::OtherPage));
    }
}
