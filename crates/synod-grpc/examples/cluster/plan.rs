//! What is to happen: where transfers come from, and when processes are harmed.

use std::{
    time::{Duration, Instant},
    vec,
};

use anyhow::Context;
use fjall::PersistMode;
use synod::NodeId;

use crate::{
    cast::CAST,
    folder::Folder,
    generate::Maker,
    teller::Teller,
    transfer::{Account, Leg, Transfer},
};

/// Where transfers come from.
pub(crate) enum Source {
    /// A file.
    File(vec::IntoIter<Transfer>),
    /// They are made up, with ids that no run has used.
    MadeUp { maker: Maker, next: u64, without: Option<NodeId> },
}

/// The parts of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// To learn how much the cluster can do.
    Warm,
    Before,
    Chaos,
    After,
    /// Nothing more is begun.
    Drain,
}

/// Which part of a run comes when, and how many transfers were done in each.
pub(crate) struct Schedule {
    parts: vec::IntoIter<(Phase, Duration)>,
    phase: Phase,
    began: Instant,
    until: Option<Instant>,
    done_before: usize,
    rates: Vec<(Phase, f64)>,
}

impl Source {
    pub(crate) fn file(transfers: Vec<Transfer>) -> Self {
        Self::File(transfers.into_iter())
    }

    /// Counts in the teller's database that there was one more run.
    pub(crate) fn made_up(folder: &Folder, seed: u64) -> anyhow::Result<Self> {
        let (database, results) = folder.teller()?;
        let runs = results.get("runs")?.map_or(Ok(0), |runs| (*runs).try_into().map(u64::from_be_bytes));
        let run = runs.context("the count of runs in the teller's database is missing or malformed")? + 1;
        let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&results, "runs", run.to_be_bytes());
        batch.commit()?;
        Ok(Self::MadeUp { maker: Maker::new(seed.wrapping_add(run)), next: run << 32, without: None })
    }

    /// All accounts that may have to do with these transfers.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        match self {
            Self::File(transfers) => {
                transfers.as_slice().iter().flat_map(|transfer| &transfer.legs).map(|leg| leg.account).collect()
            }
            Self::MadeUp { .. } => Maker::accounts().collect(),
        }
    }

    /// Gives `teller` one more transfer, if there is one.
    pub(crate) fn feed(&mut self, teller: &mut Teller) {
        match self {
            Self::File(transfers) => transfers.next().into_iter().for_each(|transfer| teller.add(transfer)),
            Self::MadeUp { maker, next, without } => {
                let (_, mut legs) = maker.transfer();
                while touches(&legs, *without) {
                    (_, legs) = maker.transfer();
                }
                teller.add(Transfer { id: *next, legs });
                *next += 1;
            }
        }
    }

    /// Has no more transfers to do with `branch`.
    pub(crate) fn leave_out(&mut self, branch: NodeId) {
        if let Self::MadeUp { without, .. } = self {
            *without = Some(branch);
        }
    }

    /// Gives `teller` these legs, which have ended as aborted, once more under a new name; not if they have to do with a branch
    /// that is left out. Returns whether it did.
    pub(crate) fn feed_again(&mut self, legs: Vec<Leg>, teller: &mut Teller) -> bool {
        match self {
            Self::MadeUp { next, without, .. } if !touches(&legs, *without) => {
                teller.add(Transfer { id: *next, legs });
                *next += 1;
                true
            }
            _ => false,
        }
    }
}

fn touches(legs: &[Leg], branch: Option<NodeId>) -> bool {
    branch.is_some_and(|branch| legs.iter().any(|leg| CAST.home(leg.account) == branch))
}

impl Schedule {
    /// Begins with the first of `parts`; without any, all is `Before`, as long as it takes.
    pub(crate) fn begin(parts: Vec<(Phase, Duration)>) -> Self {
        let (parts, began) = (parts.into_iter(), Instant::now());
        let mut schedule = Self { parts, phase: Phase::Before, began, until: None, done_before: 0, rates: Vec::new() };
        if !schedule.parts.as_slice().is_empty() {
            schedule.go_on(0);
            schedule.rates.clear();
        }
        schedule
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on to the next part if this one is over.
    pub(crate) fn tick(&mut self, now: Instant, done: usize) {
        if self.until.is_some_and(|until| until <= now) {
            self.go_on(done);
        }
    }

    /// Ends this part, and all that would follow.
    pub(crate) fn drain(&mut self, done: usize) {
        if self.phase != Phase::Drain {
            self.parts = Vec::new().into_iter();
            self.go_on(done);
        }
    }

    /// When this part began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// How many transfers a second there were, by part.
    pub(crate) fn rates(&self) -> &[(Phase, f64)] {
        &self.rates
    }

    fn go_on(&mut self, done: usize) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        self.rates.push((self.phase, (done - self.done_before) as f64 / seconds));
        let next = self.parts.next();
        (self.began, self.done_before) = (Instant::now(), done);
        self.phase = next.map_or(Phase::Drain, |(phase, _)| phase);
        self.until = next.map(|(_, length)| self.began + length);
    }
}
