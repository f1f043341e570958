//! A resource whose votes are recorded by its node, with rows of its own that hold what is prepared.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use synod::{
    TxId,
    commit::{Input, Meta, Outcome, Promised, ResourceKind, Transaction, Vote},
    perform::{
        Progress, RecoverError, Resource,
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
    },
};

use super::{each_check_has_its_fault, work};

/// What can be wrong with a resource, or unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// None, but all answers come later.
    Slow,
    /// None, but it can never carry an outcome out at once.
    Busy,
    NeverApplies,
    LosesTheFirst,
    AppliesAborts,
    AppliesTheFirstAbort,
    ShowsVotes,
    DirtyReads,
    ChangesItsMind,
    HoldsTwice,
    LosesPromises,
    RecoversOne,
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
    FailsOverAborts,
    KnowsOnlyVotes,
    LateVoteSticks,
    KeepsOrphans,
    LetsGoOfAll,
    ReportsPromises,
    TakesLostForDone,
    MixesUp,
}

/// What no crash takes away.
#[derive(Default)]
struct Disk {
    /// What is held: how many times, and through how many starts.
    held: BTreeMap<TxId, (usize, u32)>,
    shows: BTreeMap<TxId, usize>,
    ended: BTreeMap<TxId, Outcome>,
}

#[derive(Default)]
struct Shop {
    disk: Rc<RefCell<Disk>>,
    fault: Fault,
    found: BTreeSet<TxId>,
    voted: BTreeSet<TxId>,
    /// What shows until a crash takes it away.
    unsynced: BTreeSet<TxId>,
    /// What has ended since the start.
    ended: BTreeSet<TxId>,
    /// A commit that is written with the next call.
    tail: Option<TxId>,
    later: Vec<Input>,
    asked: u32,
}

impl Resource for Shop {
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let mut disk = self.disk.borrow_mut();
        let ids: BTreeSet<_> = promised.iter().map(|promised| promised.transaction.id()).collect();
        let is_known = |tx: &TxId| match disk.ended.get(tx) {
            Some(Outcome::Aborted) => self.fault != Fault::FailsOverAborts,
            ended => ended.is_some(),
        };
        let lost = ids.iter().find(|tx| !disk.held.contains_key(tx) && !is_known(tx));
        let orphans = disk.held.keys().any(|tx| !ids.contains(tx));
        match self.fault {
            Fault::KeepsOrphans => {}
            Fault::LosesPromises => disk.held.clear(),
            Fault::LetsGoOfAll if orphans => disk.held.clear(),
            Fault::RecoversOne => disk.held.retain(|tx, _| ids.first() == Some(tx)),
            _ => disk.held.retain(|tx, _| ids.contains(tx)),
        }
        disk.held.values_mut().for_each(|(_, starts)| *starts += 1);
        match self.fault {
            Fault::GivesUp => disk.held.retain(|_, (_, starts)| *starts < 3),
            Fault::CommitsByItself => {
                let old = disk.held.iter().filter(|(_, (_, starts))| *starts == 3).map(|(tx, _)| *tx);
                let old: Vec<_> = old.collect();
                disk.held.retain(|tx, _| !old.contains(tx));
                disk.shows.extend(old.into_iter().map(|tx| (tx, 1)));
            }
            Fault::ForgetsItsCommits => {
                let committed = ids.iter().filter(|tx| disk.ended.get(tx) == Some(&Outcome::Committed));
                let again: Vec<_> = committed.map(|tx| (*tx, (1, 0))).collect();
                disk.held.extend(again);
            }
            _ => {}
        }
        self.found.extend(disk.held.keys());
        match lost {
            Some(lost) if self.fault != Fault::TakesLostForDone => {
                Err(format!("{lost} was promised, and is lost").into())
            }
            _ if self.fault == Fault::ReportsPromises => Ok(promised.to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn vote(&mut self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
        self.write_tail();
        let (tx, mut disk) = (transaction.id(), self.disk.borrow_mut());
        let again = !self.voted.insert(tx);
        let vote = match self.fault {
            Fault::ChangesItsMind if again => Vote::Aborted,
            Fault::RefusesAfterCrash if self.found.contains(&tx) => Vote::Aborted,
            Fault::LateVoteSticks => Vote::Prepared,
            _ if disk.ended.contains_key(&tx) => Vote::Aborted,
            _ => Vote::Prepared,
        };
        if vote == Vote::Prepared {
            let (times, _) = disk.held.entry(tx).or_default();
            *times = if self.fault == Fault::HoldsTwice { *times + 1 } else { 1 };
            match self.fault {
                Fault::ShowsVotes => _ = disk.shows.insert(tx, 1),
                Fault::DirtyReads => _ = self.unsynced.insert(tx),
                _ => {}
            }
        }
        if self.fault == Fault::Slow {
            self.later.push(Input::Vote { transaction: transaction.clone(), vote });
            return None;
        }
        Some(vote)
    }

    fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
        self.end(transaction.id(), Outcome::Committed)
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted)
    }
}

impl Shop {
    fn write_tail(&mut self) {
        if let Some(tx) = self.tail.take() {
            self.voted.remove(&tx);
            let _ = self.end(tx, Outcome::Committed);
        }
    }

    fn end(&mut self, mut tx: TxId, outcome: Outcome) -> Progress {
        self.write_tail();
        self.asked += 1;
        let at_once = !self.ended.insert(tx);
        let mut disk = self.disk.borrow_mut();
        let before = disk.ended.get(&tx).copied();
        match (self.fault, outcome) {
            (Fault::Busy, _) if !self.asked.is_multiple_of(3) => return Progress::Again,
            (Fault::MixesUp, _) if disk.held.len() > 16 => tx = *disk.held.keys().next().unwrap(),
            (Fault::RefusesSecondCommit, Outcome::Committed) if before.is_some() => return Progress::Again,
            (Fault::RefusesSecondAbortAtOnce, Outcome::Aborted) if at_once => return Progress::Again,
            (Fault::LosesTheLastCommit, Outcome::Committed)
                if self.voted.contains(&tx) && disk.held.contains_key(&tx) =>
            {
                self.tail = Some(tx);
                return Progress::Finished;
            }
            (Fault::RefusesSecondAbort, Outcome::Aborted) if before.is_some() => return Progress::Again,
            (Fault::KnowsOnlyVotes, _) if before.is_none() && !disk.held.contains_key(&tx) => return Progress::Later,
            (Fault::LateVoteSticks, _) if before.is_some() => return Progress::Finished,
            _ => {}
        }
        let held = disk.held.get_mut(&tx).is_some_and(|(times, _)| {
            *times -= 1;
            true
        });
        disk.held.retain(|_, (times, _)| *times > 0);
        match (self.fault, outcome) {
            (Fault::NeverApplies, _) => {}
            (Fault::LosesTheFirst, Outcome::Committed) if disk.ended.is_empty() => {}
            (Fault::AppliesTheFirstAbort, Outcome::Aborted) if disk.ended.values().all(|end| *end != outcome) => {
                disk.shows.insert(tx, 1);
            }
            (Fault::AddsAgainAtOnce, Outcome::Committed) if at_once => *disk.shows.entry(tx).or_default() += 1,
            (Fault::AppliesAborts, Outcome::Aborted) => _ = disk.shows.insert(tx, 1),
            (Fault::ShowsVotes, Outcome::Aborted) => _ = disk.shows.remove(&tx),
            (Fault::ShowsVotes, Outcome::Committed) => _ = disk.shows.insert(tx, 1),
            (Fault::VolatileCommits, Outcome::Committed) => _ = self.unsynced.insert(tx),
            (fault, Outcome::Committed) if held || fault == Fault::AddsAgain => {
                *disk.shows.entry(tx).or_default() += 1;
            }
            _ => {}
        }
        if self.fault == Fault::DirtyReads {
            self.unsynced.remove(&tx);
        }
        disk.ended.insert(tx, outcome);
        if self.fault == Fault::Slow {
            self.later.push(Input::Finished(tx));
            return Progress::Later;
        }
        Progress::Finished
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
    type Resource = Shop;

    fn kind(&self) -> ResourceKind {
        ResourceKind::VotesHere
    }

    fn work(&self, number: u64) -> Promised {
        work(number)
    }

    async fn open(&mut self) -> Result<Shop, SceneError> {
        Ok(Shop { disk: Rc::clone(&self.disk), fault: self.fault, ..Shop::default() })
    }

    async fn shows(&mut self, shop: &Shop, number: u64) -> Result<usize, SceneError> {
        let tx = work(number).transaction.id();
        let durable = self.disk.borrow().shows.get(&tx).copied().unwrap_or_default();
        Ok(durable + usize::from(shop.unsynced.contains(&tx)) + usize::from(shop.tail == Some(tx)))
    }

    async fn holds(&mut self, shop: &Shop, number: u64) -> Result<Option<bool>, SceneError> {
        let tx = work(number).transaction.id();
        Ok(self.tells_all.then(|| self.disk.borrow().held.contains_key(&tx) && shop.tail != Some(tx)))
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        Ok(self.tells_all && self.disk.borrow_mut().held.remove(&work(number).transaction.id()).is_some())
    }

    async fn later(&mut self, shop: &mut Shop) -> Option<Input> {
        tokio::task::yield_now().await;
        // Not in the order in which it was asked.
        shop.later.pop()
    }

    async fn pause(&mut self) {}
}

#[test]
fn each_check_of_a_resource_whose_votes_are_recorded_here_finds_a_fault_that_no_other_check_finds() {
    let faults = [
        (Fault::NeverApplies, "what is committed shows"),
        (Fault::LosesTheFirst, "what is committed shows"),
        (Fault::AppliesTheFirstAbort, "what is aborted does not show"),
        (Fault::RecoversOne, "a promise outlives a crash"),
        (Fault::AddsAgainAtOnce, "a commit that comes again changes nothing"),
        (Fault::RefusesSecondAbortAtOnce, "an abort that comes again changes nothing"),
        (Fault::LosesTheLastCommit, "a commit outlives a crash"),
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
        (Fault::FailsOverAborts, "an abort that comes again after a crash changes nothing"),
        (Fault::KnowsOnlyVotes, "what was never voted on can be aborted"),
        (Fault::LateVoteSticks, "what was aborted is not held any more"),
        (Fault::KeepsOrphans, "what was promised to nobody is let go of"),
        (Fault::LetsGoOfAll, "what was promised to nobody is let go of"),
        (Fault::ReportsPromises, "nothing is reported to the node"),
        (Fault::TakesLostForDone, "a lost promise is not taken for done"),
        (Fault::MixesUp, "many at once are kept apart"),
    ];
    let run = |fault| conformance::resource(&mut Scene::new(fault));
    each_check_has_its_fault(&run(Fault::None), &faults, run);
}

#[test]
fn a_resource_may_answer_later_or_want_to_be_asked_again() {
    for fault in [Fault::Slow, Fault::Busy] {
        conformance::resource(&mut Scene::new(fault)).assert();
    }
}

#[test]
fn what_a_scene_cannot_tell_is_not_tried() {
    let report = conformance::resource(&mut Scene::default());
    report.assert();
    let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
    let skipped: Vec<_> = skipped.map(|check| check.name).collect();
    assert_eq!(skipped, ["what was promised to nobody is let go of", "a lost promise is not taken for done"]);
}

/// A scene that comes to nothing.
struct Closed;

impl ResourceUnderTest for Closed {
    type Resource = Shop;

    fn work(&self, number: u64) -> Promised {
        work(number)
    }

    async fn open(&mut self) -> Result<Shop, SceneError> {
        Err("no disk".into())
    }

    async fn shows(&mut self, _: &Shop, _: u64) -> Result<usize, SceneError> {
        Ok(1)
    }
}

#[test]
fn a_resource_that_cannot_be_opened_fails_every_check_and_the_report_says_why() {
    let report = conformance::resource(&mut Closed);
    assert_eq!(report.failures().count(), report.checks().len());
    assert!(report.to_string().contains("found: the scene could not open the resource: no disk"), "{report}");
}
