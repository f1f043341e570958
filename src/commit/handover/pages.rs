//! What is told in pages: reports, endings, and what a node knows of an epoch.
//!
//! A receiver asks for one page after the other, and takes nothing before it has all of them. The pages of two different
//! things never mix, for every page carries the digest of the whole.

use alloc::{boxed::Box, vec::Vec};

use super::{
    super::{Vote, membership::Digest, record::TxRange},
    Ending, Entry, Fingerprint, Fingerprints, Page, Part, Ranges,
    packed::Packing,
};
use crate::{NodeId, Refusal};

/// About how many bytes a page has at most, as it is told, whatever the limits say: so much is always taken.
const MOST_BYTES: usize = 1 << 15;

/// How many bytes an entry takes, or a few more.
fn bytes(entry: &Entry) -> usize {
    let numbers = match entry {
        Entry::Ready(one) | Entry::Committed(one) => [one.tx.origin.0, one.tx.seq, one.digest],
        Entry::Retired(range) => [range.origin().0, range.first().seq, range.last().seq],
        Entry::Peer { node, birth } => [node.0, *birth, 0],
        Entry::Part(part) => return part.instances.len().saturating_mul(20).saturating_add(37),
    };
    numbers.into_iter().map(width).fold(1, usize::saturating_add)
}

/// How many bytes a number takes.
fn width(number: u64) -> usize {
    match number {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

impl Page {
    /// A page with all that there is to tell.
    pub fn alone(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut assembly = Assembly::default();
        entries.into_iter().for_each(|entry| assembly.push(&entry));
        let volume = Volume::new(assembly.finish());
        let entries: Box<[Entry]> = volume.lists.entries(0).collect();
        Self { digest: volume.digest, total: entries.len() as u64, first: 0, entries }
    }
}

/// More than anybody has to tell, so that nobody makes another node keep more.
const MOST_ENTRIES: u64 = 1 << 24;

/// All that pages tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Lists {
    pub(crate) ready: Fingerprints,
    pub(crate) parts: Vec<Part>,
    pub(crate) committed: Fingerprints,
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
    ready: Packing,
    parts: Vec<Part>,
    committed: Packing,
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

    /// The entries from number `first` on. Little of what comes before is looked at.
    fn entries(&self, mut first: usize) -> impl Iterator<Item = Entry> + '_ {
        let mut skip = |len: usize| {
            let skipped = len.min(first);
            first = first.saturating_sub(skipped);
            skipped
        };
        let ready = self.ready.iter_from(skip(self.ready.len())).map(Entry::Ready);
        let parts = self.parts.iter().skip(skip(self.parts.len())).map(|part| Entry::Part(part.clone()));
        let committed = self.committed.iter_from(skip(self.committed.len())).map(Entry::Committed);
        let retired = self.retired.iter().skip(skip(self.retired.len())).map(|range| Entry::Retired(*range));
        let peers = self.peers.iter().skip(skip(self.peers.len()));
        let peers = peers.map(|(node, birth)| Entry::Peer { node: *node, birth: *birth });
        ready.chain(parts).chain(committed).chain(retired).chain(peers)
    }
}

impl Volume {
    pub(crate) fn new(lists: Lists) -> Self {
        let digest = digest(&lists);
        Self { lists, digest }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether one page has it all.
    pub(crate) fn fits(&self, most: usize) -> bool {
        let sum =
            |sum: usize, entry| Some(sum.saturating_add(bytes(&entry))).filter(|sum| *sum <= most.min(MOST_BYTES));
        self.lists.entries(0).try_fold(0, sum).is_some()
    }

    /// The page that begins with entry `first`, of about so many bytes at most, and of one entry at least.
    pub(crate) fn page(&self, first: u64, most: usize) -> Page {
        let (skipped, most) = (usize::try_from(first).unwrap_or(usize::MAX), most.min(MOST_BYTES));
        let mut room = most;
        let mut is_first = true;
        let fits = |entry: &Entry| {
            let left = room.checked_sub(bytes(entry));
            room = left.unwrap_or_default();
            core::mem::take(&mut is_first) || left.is_some()
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
        page.entries.iter().for_each(|entry| self.push(entry));
        self.taken = taken;
        if taken < self.total {
            return Ok(Progress::Next(taken));
        }
        let told = self.digest;
        let lists = core::mem::take(self).finish();
        if digest(&lists) == told { Ok(Progress::Whole(lists)) } else { Err(Refusal::OtherPage) }
    }
}

impl Assembly {
    fn push(&mut self, entry: &Entry) {
        match entry {
            Entry::Ready(transaction) => self.ready.push(*transaction),
            Entry::Part(part) => self.parts.push(part.clone()),
            Entry::Committed(transaction) => self.committed.push(*transaction),
            Entry::Retired(range) => self.retired.push(*range),
            Entry::Peer { node, birth } => self.peers.push((*node, *birth)),
        }
    }

    fn finish(self) -> Lists {
        let Self { ready, parts, committed, retired, peers, .. } = self;
        Lists { ready: ready.finish(), parts, committed: committed.finish(), retired: retired.into(), peers }
    }
}

fn digest(lists: &Lists) -> u64 {
    let mut digest = Digest::default();
    for entry in lists.entries(0) {
        match entry {
            Entry::Ready(transaction) => digest.words(words(1, transaction)),
            Entry::Part(part) => {
                digest.words(words(2, part.transaction));
                digest.words([part.instances.len() as u64]);
                for instance in &part.instances {
                    digest.words(match instance {
                        None => [0; 3],
                        Some((at, vote)) => [if *vote == Vote::Prepared { 1 } else { 2 }, at.round, at.node.0],
                    });
                }
            }
            Entry::Committed(transaction) => digest.words(words(3, transaction)),
            Entry::Retired(range) => digest.words([4, range.origin().0, range.first().seq, range.last().seq]),
            Entry::Peer { node, birth } => digest.words([5, node.0, birth]),
        }
    }
    digest.0
}

fn words(kind: u64, transaction: Fingerprint) -> [u64; 4] {
    [kind, transaction.tx.origin.0, transaction.tx.seq, transaction.digest]
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

    use super::{
        super::Part, Assembly, Entry, Fingerprint, Lists, MOST_BYTES, NodeId, Page, Progress, Refusal, TxRange, Volume,
    };
    use crate::TxId;

    /// How many of the ranges below fit on a page.
    const ENTRIES: usize = MOST_BYTES / 28;

    /// Transactions of large numbers.
    fn lists(ranges: u64) -> Lists {
        let name = |seq| TxId { origin: NodeId(u64::MAX), seq: (1 << 40) + 2 * seq };
        let peers = vec![(NodeId(7), u64::MAX)];
        let ready = (1..ranges).map(|seq| Fingerprint { tx: name(seq), digest: u64::MAX }).collect();
        Lists { ready, retired: vec![TxRange::only(name(0))].into(), peers, ..Lists::default() }
    }

    #[test]
    fn the_bytes_of_a_page_are_at_most_those_that_are_asked_for() {
        let one = |seq| Fingerprint { tx: TxId { origin: NodeId(1), seq }, digest: seq };
        let told = Volume::new(Lists { ready: (0..10_000).map(one).collect(), ..Lists::default() });
        for (first, most) in [(0, 1), (0, 100), (50, 1_000), (200, 20_000), (9_000, 1 << 15)] {
            let entries = told.page(first, most).entries;
            let bytes: usize = entries.iter().map(super::bytes).sum();
            assert!(bytes <= most.max(super::bytes(&entries[0])), "{bytes} of {most} bytes");
            assert!(bytes + 28 > most || first as usize + entries.len() == 10_000, "{bytes} of {most} bytes");
        }
    }

    #[test]
    fn whatever_is_told_in_pages_arrives_whole_and_once() {
        for ranges in [1, 2, ENTRIES as u64 - 1, ENTRIES as u64, 3 * ENTRIES as u64] {
            let (told, mut assembly, mut next, mut pages) = (Volume::new(lists(ranges)), Assembly::default(), 0, 0);
            let whole = loop {
                pages += 1;
                assert!(pages <= ranges + 1, "it never ends");
                match assembly.add(&told.page(next, usize::MAX)).expect("it follows") {
                    Progress::Next(after) => next = after,
                    Progress::Whole(lists) => break lists,
                }
            };
            assert_eq!((whole, pages), (lists(ranges), (ranges + 1).div_ceil(ENTRIES as u64)));
        }
    }

    #[test]
    fn a_page_has_few_wide_entries_and_one_at_least() {
        let transaction = |seq| Fingerprint { tx: TxId { origin: NodeId(1), seq }, digest: seq };
        let part = |seq, width| Part { transaction: transaction(seq), instances: vec![None; width].into() };
        let (wide, huge) = ((0..100).map(|seq| part(seq, 250)).collect(), vec![part(1, MOST_BYTES), part(2, 1)]);
        for (parts, most) in [(wide, MOST_BYTES / 5_000), (huge, 1)] {
            let told = Volume::new(Lists { parts, ..Lists::default() });
            let entries = told.page(0, usize::MAX).entries.len();
            assert!((1..=most).contains(&entries), "{entries} entries");
        }
    }

    #[test]
    fn a_first_page_that_comes_again_loses_nothing_and_one_of_something_else_starts_over() {
        let (one, other) = (Volume::new(lists(3 * ENTRIES as u64)), Volume::new(lists(3 * ENTRIES as u64 + 1)));
        let mut assembly = Assembly::default();
        let Ok(Progress::Next(second)) = assembly.add(&one.page(0, usize::MAX)) else { panic!("there is more") };
        let Ok(Progress::Next(third)) = assembly.add(&one.page(second, usize::MAX)) else { panic!("there is more") };
        assert_eq!(assembly.add(&one.page(0, usize::MAX)), Ok(Progress::Next(third)));
        assert_eq!(assembly.add(&other.page(0, usize::MAX)), Ok(Progress::Next(second)));
        assert_eq!(assembly.add(&one.page(third, usize::MAX)), Err(Refusal::OtherPage));
    }

    #[test]
    fn nobody_says_that_he_will_tell_more_than_anyone_has() {
        let mut page = Volume::new(lists(2)).page(0, usize::MAX);
        page.total = super::MOST_ENTRIES;
        assert_eq!(Assembly::default().add(&page), Ok(Progress::Next(page.entries.len() as u64)));
        page.total = super::MOST_ENTRIES + 1;
        assert_eq!(Assembly::default().add(&page), Err(Refusal::OtherPage));
    }

    #[cfg(feature = "codec")]
    #[test]
    fn an_entry_is_taken_to_be_as_long_as_it_is_written() {
        use super::{super::EpochMessage, Vote};
        use crate::{
            Ballot, Quorums,
            codec::encode_frame,
            commit::{ClusterId, Membership, Message},
        };

        let told = |entries: &[Entry]| {
            let membership = Membership::new(Quorums::majority([NodeId(1)]).expect("one"), [NodeId(1)]).into();
            let page = Page { digest: 0, total: 0, first: 0, entries: entries.into() };
            let what = alloc::boxed::Box::new(EpochMessage::Told { membership, former: [].into(), page });
            encode_frame(ClusterId([1; 16]), NodeId(1), NodeId(2), &[Message::Epoch { number: Some(1), what }]).len()
        };
        for number in [0, 250, 251, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 32, u64::MAX] {
            let tx = TxId { origin: NodeId(number), seq: number };
            let transaction = Fingerprint { tx, digest: number };
            let accepted = Some((Ballot { round: number, node: NodeId(number) }, Vote::Prepared));
            let part = Part { transaction, instances: vec![accepted; 300].into() };
            for (entry, spare) in [
                (Entry::Ready(transaction), 0),
                (Entry::Committed(transaction), 0),
                (Entry::Retired(TxRange::only(tx)), 0),
                (Entry::Peer { node: NodeId(number), birth: number }, 1),
                (Entry::Part(part), usize::MAX),
            ] {
                let (is, written) = (super::bytes(&entry), told(core::slice::from_ref(&entry)) - told(&[]));
                assert!(is >= written && is - written <= spare, "{is} and not {written} bytes: {entry:?}");
            }
        }
    }

    #[test]
    fn what_fits_on_one_page_is_what_one_page_has() {
        let told = Volume::new(lists(3));
        let bytes: usize = told.lists.entries(0).map(|entry| super::bytes(&entry)).sum();
        assert!(told.fits(bytes) && told.fits(usize::MAX) && !told.fits(bytes - 1) && !told.fits(0));
        for most in 0..2 * bytes {
            assert_eq!(told.fits(most), told.page(0, most).entries.len() == 4, "{most} bytes");
        }
        assert!(Volume::new(Lists::default()).fits(0));
        let (full, more) = (Volume::new(lists(ENTRIES as u64 - 1)), Volume::new(lists(ENTRIES as u64 + 1)));
        assert!(full.fits(usize::MAX) && !more.fits(usize::MAX), "no page has more than that");
    }

    #[test]
    fn pages_of_different_things_never_mix_and_none_is_left_out() {
        let (one, other) = (Volume::new(lists(3 * ENTRIES as u64)), Volume::new(lists(3 * ENTRIES as u64 + 1)));
        let mut assembly = Assembly::default();
        let Ok(Progress::Next(second)) = assembly.add(&one.page(0, usize::MAX)) else { panic!("there is more") };
        assert_eq!(assembly.add(&other.page(second, usize::MAX)), Err(Refusal::OtherPage));
        assert_eq!(assembly.add(&one.page(second + ENTRIES as u64, usize::MAX)), Err(Refusal::OtherPage));
        // Neither the digest alone nor the number of entries alone says what a page is part of.
        for change in [|page: &mut Page| page.digest ^= 1, |page: &mut Page| page.total += 1] {
            let mut page = one.page(second, usize::MAX);
            change(&mut page);
            assert_eq!(assembly.add(&page), Err(Refusal::OtherPage));
        }
        let mut empty = one.page(second, usize::MAX);
        empty.entries = Vec::new().into();
        assert_eq!(assembly.add(&empty), Err(Refusal::OtherPage), "it would never end");
        assert!(
            matches!(assembly.add(&one.page(second, usize::MAX)), Ok(Progress::Next(_))),
            "what was refused changed nothing"
        );
    }

    #[test]
    fn what_was_damaged_on_its_way_is_not_taken() {
        let mut page = Volume::new(lists(3)).page(0, usize::MAX);
        page.entries[0] = page.entries[1].clone();
        assert_eq!(Assembly::default().add(&page), Err(Refusal::OtherPage));
    }
}
