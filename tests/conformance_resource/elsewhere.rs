//! A resource whose votes are durable in itself: a database in memory, where the application prepares.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use synod::{
    NodeId, TxId,
    commit::{Meta, Outcome, Promised, ResourceKind, Transaction, TxRange, Vote},
    perform::{
        Progress, RecoverError, Resource,
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
    },
};

use super::{each_check_has_its_fault, work};

/// What can be wrong with a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    NeverApplies,
    LosesTheFirst,
    AppliesAborts,
    AppliesTheFirstAbort,
    ShowsVotes,
    DirtyReads,
    ChangesItsMind,
    HoldsTwice,
    LosesPromises,
    ChokesOnContent,
    RefusesAfterCrash,
    GivesUp,
    CommitsByItself,
    AddsAgain,
    AddsAgainAtOnce,
    RefusesSecondCommit,
    RefusesSecondAbort,
    RefusesSecondAbortAtOnce,
    VolatileCommits,
    LosesTheLastCommit,
    ForgetsItsCommits,
    VolatileAborts,
    LosesTheLastAbort,
    ForgetsItsAborts,
    KnowsOnlyVotes,
    NoTombstones,
    VolatileTombstones,
    LetsGo,
    ReportsPromisesOnly,
    ReportsCommits,
    ReportsTwice,
    ReportsAnother,
    VotesBlindly,
    NeedsContent,
    AbsentIsDone,
    AbortedIsDone,
    ForgetsAll,
    ForgetsWhatIsHeld,
    ForgetsNothing,
    TakesLostForDone,
    MixesUp,
}

/// What no crash takes away.
#[derive(Default)]
struct Disk {
    /// What is held, and through how many starts.
    prepared: Vec<(Promised, u32)>,
    shows: BTreeMap<TxId, usize>,
    ended: BTreeMap<TxId, Outcome>,
    voted: BTreeSet<TxId>,
    /// Aborts that a crash undoes.
    undone: Vec<(Promised, u32)>,
}

#[derive(Default)]
struct Vault {
    disk: Rc<RefCell<Disk>>,
    fault: Fault,
    found: BTreeSet<TxId>,
    voted: BTreeSet<TxId>,
    /// What shows until a crash takes it away.
    unsynced: BTreeSet<TxId>,
    /// What has ended since the start.
    ended: BTreeSet<TxId>,
    /// An outcome that is written with the next call.
    tail: Option<(TxId, Outcome)>,
    /// Aborts that only the node remembers.
    forgotten: BTreeSet<TxId>,
}

fn is(tx: TxId) -> impl Fn(&(Promised, u32)) -> bool {
    move |(promised, _)| promised.transaction.id() == tx
}

impl Disk {
    fn holds(&self, tx: TxId) -> bool {
        self.prepared.iter().any(is(tx))
    }
}

impl Resource for Vault {
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let disk = &mut *self.disk.borrow_mut();
        let remembered = |tx: TxId| promised.iter().any(|promised| promised.transaction.id() == tx);
        match self.fault {
            Fault::LosesPromises => disk.prepared.clear(),
            Fault::ForgetsItsCommits => {
                disk.ended.retain(|tx, outcome| *outcome == Outcome::Aborted || !remembered(*tx));
            }
            Fault::ForgetsItsAborts => {
                let ended = disk.ended.iter().filter(|(tx, outcome)| **outcome == Outcome::Aborted && remembered(**tx));
                self.forgotten = ended.map(|(tx, _)| *tx).collect();
            }
            Fault::VolatileTombstones => disk.ended.retain(|_, outcome| *outcome == Outcome::Committed),
            Fault::VolatileAborts => disk.prepared.append(&mut disk.undone),
            _ => {}
        }
        disk.prepared.iter_mut().for_each(|(_, starts)| *starts += 1);
        match self.fault {
            Fault::GivesUp => disk.prepared.retain(|(_, starts)| *starts < 3),
            Fault::CommitsByItself => {
                let old = disk.prepared.extract_if(.., |(_, starts)| *starts == 3);
                disk.shows.extend(old.map(|(promised, _)| (promised.transaction.id(), 1)));
            }
            _ => {}
        }
        let held = disk.prepared.iter().map(|(promised, _)| promised.clone());
        let mut found: Vec<_> = held.collect();
        self.found.extend(found.iter().map(|promised| promised.transaction.id()).filter(|tx| remembered(*tx)));
        match self.fault {
            Fault::ReportsPromisesOnly => found.retain(|promised| remembered(promised.transaction.id())),
            Fault::ReportsTwice => found.extend(found.clone()),
            Fault::ReportsCommits => {
                let committed = disk.ended.iter().filter(|(_, outcome)| **outcome == Outcome::Committed);
                found.extend(committed.map(|(tx, _)| work(tx.seq)));
            }
            Fault::ReportsAnother => found.iter_mut().for_each(|Promised { transaction, meta, .. }| {
                *transaction = Transaction::new(transaction.id(), [NodeId(1)], meta.clone()).unwrap();
            }),
            Fault::LetsGo if !promised.is_empty() => {
                disk.prepared.retain(|(promised, _)| remembered(promised.transaction.id()))
            }
            _ => {}
        }
        Ok(found)
    }

    fn vote(&mut self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
        self.write_tail();
        let (tx, disk) = (transaction.id(), &mut *self.disk.borrow_mut());
        let again = !self.voted.insert(tx);
        match self.fault {
            Fault::VotesBlindly if !disk.ended.contains_key(&tx) => return Some(Vote::Prepared),
            Fault::ChangesItsMind if again => return Some(Vote::Aborted),
            Fault::RefusesAfterCrash if self.found.contains(&tx) => return Some(Vote::Aborted),
            Fault::HoldsTwice if again => disk.prepared.push((work(tx.seq), 0)),
            _ => {}
        }
        if !disk.holds(tx) {
            return Some(Vote::Aborted);
        }
        disk.voted.insert(tx);
        match self.fault {
            Fault::ShowsVotes => _ = disk.shows.insert(tx, 1),
            Fault::DirtyReads => _ = self.unsynced.insert(tx),
            _ => {}
        }
        Some(Vote::Prepared)
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.write_tail();
        let (mut tx, disk) = (transaction.id(), &mut *self.disk.borrow_mut());
        let is_done = disk.ended.get(&tx) == Some(&Outcome::Committed);
        let at_once = !self.ended.insert(tx);
        match self.fault {
            Fault::LosesTheLastCommit if self.voted.contains(&tx) && disk.holds(tx) => {
                self.tail = Some((tx, Outcome::Committed));
                return Progress::Finished;
            }
            Fault::AddsAgainAtOnce if at_once && is_done && !meta.bytes().is_empty() => {
                *disk.shows.entry(tx).or_default() += 1
            }
            Fault::MixesUp if disk.prepared.len() > 16 => tx = disk.prepared[0].0.transaction.id(),
            Fault::RefusesSecondCommit if is_done => return Progress::Again,
            Fault::AddsAgain if is_done => *disk.shows.entry(tx).or_default() += 1,
            Fault::NeedsContent if disk.holds(tx) && meta.bytes().is_empty() => return Progress::Later,
            _ => {}
        }
        let Some(place) = disk.prepared.iter().position(is(tx)) else {
            let is_done = match self.fault {
                Fault::AbsentIsDone => disk.ended.get(&tx) != Some(&Outcome::Aborted),
                Fault::AbortedIsDone => disk.ended.contains_key(&tx),
                Fault::TakesLostForDone => is_done || disk.voted.contains(&tx),
                _ => is_done,
            };
            return if is_done { Progress::Finished } else { Progress::Later };
        };
        disk.prepared.remove(place);
        self.unsynced.remove(&tx);
        match self.fault {
            Fault::NeverApplies => {}
            Fault::LosesTheFirst if disk.ended.is_empty() => {}
            Fault::ShowsVotes => _ = disk.shows.insert(tx, 1),
            Fault::VolatileCommits => _ = self.unsynced.insert(tx),
            _ => *disk.shows.entry(tx).or_default() += 1,
        }
        disk.ended.insert(tx, Outcome::Committed);
        Progress::Finished
    }

    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.write_tail();
        let (tx, disk) = (transaction.id(), &mut *self.disk.borrow_mut());
        let (is_done, is_voted) = (disk.ended.contains_key(&tx), disk.voted.contains(&tx));
        let at_once = !self.ended.insert(tx);
        match self.fault {
            Fault::RefusesSecondAbortAtOnce if at_once => return Progress::Again,
            Fault::ChokesOnContent if meta.is_some() && self.found.contains(&tx) => return Progress::Later,
            Fault::LosesTheLastAbort if self.voted.contains(&tx) && disk.holds(tx) => {
                self.tail = Some((tx, Outcome::Aborted));
                return Progress::Finished;
            }
            Fault::AppliesTheFirstAbort if disk.ended.values().all(|end| *end == Outcome::Committed) => {
                disk.shows.insert(tx, 1);
            }
            Fault::RefusesSecondAbort if is_done => return Progress::Again,
            Fault::KnowsOnlyVotes if disk.holds(tx) && !is_voted => return Progress::Later,
            Fault::ForgetsItsAborts if self.forgotten.contains(&tx) => return Progress::Later,
            Fault::AppliesAborts => _ = disk.shows.insert(tx, 1),
            Fault::ShowsVotes => _ = disk.shows.remove(&tx),
            _ => {}
        }
        disk.voted.remove(&tx);
        self.unsynced.remove(&tx);
        let place = disk.prepared.iter().position(is(tx));
        if let Some(place) = place {
            let ended = disk.prepared.remove(place);
            disk.undone.push(ended);
        }
        if self.fault != Fault::NoTombstones || place.is_some() {
            disk.ended.insert(tx, Outcome::Aborted);
        }
        Progress::Finished
    }

    fn forget(&mut self, range: TxRange) {
        let mut disk = self.disk.borrow_mut();
        match self.fault {
            Fault::ForgetsNothing => {}
            Fault::ForgetsAll => disk.ended.clear(),
            _ => disk.ended.retain(|tx, _| !range.contains(*tx)),
        }
        if self.fault == Fault::ForgetsWhatIsHeld {
            disk.prepared.clear();
        }
    }
}

impl Vault {
    fn write_tail(&mut self) {
        if let Some((tx, outcome)) = self.tail.take() {
            self.voted.remove(&tx);
            let Promised { transaction, meta, .. } = work(tx.seq);
            let _ = match outcome {
                Outcome::Committed => self.commit(&transaction, &meta),
                Outcome::Aborted => self.abort(&transaction, Some(&meta)),
            };
        }
    }

    /// Whether this is still to be written.
    fn is_tail(&self, tx: TxId, outcome: Option<Outcome>) -> bool {
        self.tail.is_some_and(|(tail, end)| tail == tx && outcome.is_none_or(|outcome| outcome == end))
    }
}

#[derive(Default)]
struct Scene {
    disk: Rc<RefCell<Disk>>,
    fault: Fault,
    tells_all: bool,
}

impl Scene {
    fn new(fault: Fault) -> Self {
        Self { fault, tells_all: true, ..Self::default() }
    }
}

impl ResourceUnderTest for Scene {
    type Resource = Vault;

    fn kind(&self) -> ResourceKind {
        ResourceKind::VotesElsewhere
    }

    fn work(&self, number: u64) -> Promised {
        work(number)
    }

    async fn open(&mut self) -> Result<Vault, SceneError> {
        Ok(Vault { disk: Rc::clone(&self.disk), fault: self.fault, ..Vault::default() })
    }

    async fn prepare(&mut self, _: &mut Vault, number: u64) -> Result<(), SceneError> {
        let (work, mut disk) = (work(number), self.disk.borrow_mut());
        if disk.ended.contains_key(&work.transaction.id()) {
            return Err(format!("{} has ended", work.transaction.id()).into());
        }
        disk.prepared.push((work, 0));
        Ok(())
    }

    async fn shows(&mut self, vault: &Vault, number: u64) -> Result<usize, SceneError> {
        let tx = work(number).transaction.id();
        let durable = self.disk.borrow().shows.get(&tx).copied().unwrap_or_default();
        let volatile = vault.unsynced.contains(&tx) || vault.is_tail(tx, Some(Outcome::Committed));
        Ok(durable + usize::from(volatile))
    }

    async fn holds(&mut self, vault: &Vault, number: u64) -> Result<Option<bool>, SceneError> {
        let tx = work(number).transaction.id();
        Ok(self.tells_all.then(|| self.disk.borrow().holds(tx) && !vault.is_tail(tx, None)))
    }

    async fn remembers(&mut self, _: &Vault, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(self.tells_all.then(|| self.disk.borrow().ended.contains_key(&work(number).transaction.id())))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        self.disk.borrow_mut().prepared.retain(|held| self.tells_all && !is(work(number).transaction.id())(held));
        Ok(self.tells_all)
    }

    async fn pause(&mut self) {}
}

#[test]
fn each_check_of_a_resource_whose_votes_are_durable_elsewhere_finds_a_fault_that_no_other_check_finds() {
    let faults = [
        (Fault::NeverApplies, "what is committed shows"),
        (Fault::LosesTheFirst, "what is committed shows"),
        (Fault::AppliesTheFirstAbort, "what is aborted does not show"),
        (Fault::ChokesOnContent, "a promise outlives a crash"),
        (Fault::AddsAgainAtOnce, "a commit that comes again changes nothing"),
        (Fault::RefusesSecondAbortAtOnce, "an abort that comes again changes nothing"),
        (Fault::LosesTheLastCommit, "a commit outlives a crash"),
        (Fault::LosesTheLastAbort, "an abort outlives a crash"),
        (Fault::AppliesAborts, "what is aborted does not show"),
        (Fault::ShowsVotes, "what is only prepared does not show"),
        (Fault::DirtyReads, "what is only prepared does not show"),
        (Fault::ChangesItsMind, "a vote that is asked for again is the same"),
        (Fault::HoldsTwice, "a vote that is asked for again is the same"),
        (Fault::LosesPromises, "a promise outlives a crash"),
        (Fault::RefusesAfterCrash, "a vote that is asked for again after a crash is the same"),
        (Fault::GivesUp, "what is held is held until the outcome comes"),
        (Fault::CommitsByItself, "what is held is held until the outcome comes"),
        (Fault::AddsAgain, "a commit that comes again changes nothing"),
        (Fault::RefusesSecondCommit, "a commit that comes again changes nothing"),
        (Fault::RefusesSecondAbort, "an abort that comes again changes nothing"),
        (Fault::VolatileCommits, "a commit outlives a crash"),
        (Fault::ForgetsItsCommits, "a commit that comes again after a crash changes nothing"),
        (Fault::VolatileAborts, "an abort outlives a crash"),
        (Fault::ForgetsItsAborts, "an abort that comes again after a crash changes nothing"),
        (Fault::KnowsOnlyVotes, "what was never voted on can be aborted"),
        (Fault::NoTombstones, "what was aborted is not held any more"),
        (Fault::VolatileTombstones, "what was aborted is not held any more"),
        (Fault::LetsGo, "what has no record is not let go of"),
        (Fault::ReportsPromisesOnly, "all that is held is reported, and nothing else"),
        (Fault::ReportsCommits, "all that is held is reported, and nothing else"),
        (Fault::ReportsTwice, "all that is held is reported, and nothing else"),
        (Fault::ReportsAnother, "all that is held is reported, and nothing else"),
        (Fault::VotesBlindly, "a vote to commit is for what is held"),
        (Fault::NeedsContent, "an outcome can come by the name alone"),
        (Fault::AbsentIsDone, "a commit of what is not there is refused"),
        (Fault::AbortedIsDone, "a commit of what is not there is refused"),
        (Fault::ForgetsAll, "what is not retired is remembered"),
        (Fault::ForgetsWhatIsHeld, "what is not retired is remembered"),
        (Fault::ForgetsNothing, "what is retired leaves no trace"),
        (Fault::TakesLostForDone, "a lost promise is not taken for done"),
        (Fault::MixesUp, "many at once are kept apart"),
    ];
    let run = |fault| conformance::resource(&mut Scene::new(fault));
    each_check_has_its_fault(&run(Fault::None), &faults, run);
}

#[test]
fn what_a_scene_cannot_tell_is_not_tried_and_most_is_found_by_what_recover_returns() {
    let run = |fault| conformance::resource(&mut Scene { fault, ..Scene::default() });
    let report = run(Fault::None);
    report.assert();
    let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
    let skipped: Vec<_> = skipped.map(|check| check.name).collect();
    assert_eq!(skipped, ["what is retired leaves no trace", "a lost promise is not taken for done"]);
    for fault in [Fault::HoldsTwice, Fault::LosesPromises, Fault::GivesUp, Fault::LetsGo, Fault::NoTombstones] {
        assert!(!run(fault).is_passed(), "{fault:?}");
    }
}
