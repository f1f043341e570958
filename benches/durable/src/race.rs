//! Rounds in which everyone writes the same batches, one after the other: what else the machine does meets them all.

use std::{
    mem,
    ops::{Add, Div, Range},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use synod::{commit::Time, perform::fjall::FjallStorage};

use crate::{
    lane::Lane,
    limits::{Batch, Commit, Disk, Ready, Store},
    member::{Member, Noted},
    role::{Phase, Role},
};

/// Who writes: the node through the fjall handler, fjall straight, a file straight.
pub const WHO: [&str; 3] = ["synod", "fjall", "disk"];

/// Who comes when, round by round: each comes after each other equally often.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 2]];
const WARM_UP: usize = 3;

/// How often a row of overlapping batches is repeated without a break.
const REPEATS: u64 = 4;

/// How the transactions that are in flight come to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All of them as one batch, and the next one after it.
    InTurn,
    /// One half as a batch, while the other half becomes the next one.
    Overlapped,
}

/// A batch: what its transactions are told.
type Part = (Phase, Range<u64>);

/// What writing so many records took.
#[derive(Clone, Copy, Default)]
pub struct Took {
    /// In the order of [`WHO`].
    pub seconds: [f64; 3],
    /// Those in which this process had the processor: what the disk does, and who else is about, hardly matters.
    pub processor: [f64; 3],
    pub records: f64,
    pub bytes: f64,
}

struct Race {
    role: Role,
    way: Way,
    node: Lane<Member, FjallStorage>,
    /// The same node, to know beforehand what it will write.
    twin: Lane<Member, Noted>,
    store: Lane<Store, Commit>,
    disk: Lane<Ready, Disk>,
    rounds: usize,
    /// How many transactions have begun.
    begun: u64,
    now: Time,
}

/// Runs rounds of `in_flight` transactions for about as long as `patience`, and says what each phase of each round took;
/// of overlapping batches, what all phases took.
pub fn race(role: Role, way: Way, in_flight: u64, folder: &Path, patience: Duration) -> Result<Vec<Vec<Took>>> {
    let mut race = Race::new(role, way, folder)?;
    for _ in 0..WARM_UP {
        race.round(in_flight, Race::compare)?;
    }
    let (mut rounds, started) = (Vec::new(), Instant::now());
    while rounds.len() < ORDERS.len() || started.elapsed() < patience {
        rounds.push(race.round(in_flight, |_| Ok(()))?);
    }
    Ok(rounds)
}

impl Way {
    pub const ALL: [Self; 2] = [Self::InTurn, Self::Overlapped];

    /// The transactions from their beginning to their end, in rows of batches that are written without a break, and how
    /// often that is.
    fn rows(self, role: Role, begun: u64, in_flight: u64) -> (Vec<Vec<Part>>, u64) {
        let row = |phase: Phase, begun: u64, size: u64| (phase, begun + 1..begun + 1 + size);
        let phases = role.phases().iter().copied();
        match self {
            Self::InTurn => (phases.map(|phase| vec![row(phase, begun, in_flight)]).collect(), 1),
            Self::Overlapped => {
                let half = in_flight / 2;
                let repeat = |begun: u64| {
                    phases.clone().flat_map(move |phase| [begun, begun + half].map(|begun| row(phase, begun, half)))
                };
                (vec![(0..REPEATS).flat_map(|times| repeat(begun + times * 2 * half)).collect()], REPEATS)
            }
        }
    }
}

impl Race {
    fn new(role: Role, way: Way, folder: &Path) -> Result<Self> {
        let mut storage = FjallStorage::open(folder.join("synod"))?;
        let node = Lane { front: Member::new(role.config(), &mut storage)?, back: storage };
        let mut noted = Noted::default();
        let twin = Lane { front: Member::new(role.config(), &mut noted)?, back: noted };
        let store = Lane { front: Store::open(&folder.join("fjall"))?, back: Commit };
        let disk = Lane { front: Ready::default(), back: Disk::create(&folder.join("disk"))? };
        let mut race = Self { role, way, node, twin, store, disk, rounds: 0, begun: 0, now: Time(0) };
        let identity = race.noted();
        race.store.write(identity, false)?;
        Ok(race)
    }

    /// Some transactions from their beginning to their end, with a `check` after each row of batches.
    fn round(&mut self, in_flight: u64, check: fn(&mut Self) -> Result<()>) -> Result<Vec<Took>> {
        let (rows, times) = self.way.rows(self.role, self.begun, in_flight);
        let mut took = Vec::new();
        for row in rows {
            took.push(self.write(&row)? / times as f64);
            check(self)?;
        }
        self.begun += in_flight * times;
        self.rounds += 1;
        Ok(took)
    }

    fn write(&mut self, row: &[Part]) -> Result<Took> {
        let (role, now) = (self.role, self.now.0);
        self.now.0 += row.len() as u64;
        let load = |(time, (phase, numbers)): (u64, &Part)| role.inputs(*phase, numbers.clone(), Time(time));
        let inputs = || (now..).zip(row).map(load).collect::<Vec<_>>();
        self.twin.write(inputs(), false)?;
        let batches = self.noted();
        ensure!(batches.len() == row.len(), "a batch is written at once");
        let sum = |count: fn(&Batch) -> usize| batches.iter().map(|batch| count(batch)).sum::<usize>() as f64;
        let mut took = Took { records: sum(Batch::records), bytes: sum(Batch::bytes), ..Took::default() };
        let (mut inputs, overlapped) = (inputs(), self.way == Way::Overlapped);
        for who in ORDERS[self.rounds % ORDERS.len()] {
            let batches = batches.clone();
            let (started, before) = (Instant::now(), processor());
            match who {
                0 => self.node.write(mem::take(&mut inputs), overlapped)?,
                1 => self.store.write(batches, overlapped)?,
                _ => self.disk.write(batches, overlapped)?,
            }
            took.processor[who] = processor() - before;
            took.seconds[who] = started.elapsed().as_secs_f64();
        }
        let messages = (self.node.front.lose_messages()?, self.twin.front.lose_messages()?);
        ensure!(messages.0 == messages.1, "the node and its twin differ");
        Ok(took)
    }

    /// What the twin has just written.
    fn noted(&mut self) -> Vec<Arc<Batch>> {
        self.twin.back.0.drain(..).map(|records| Arc::new(Batch::of(&records))).collect()
    }

    /// The handler's database must hold what the other one holds, byte for byte, and its seal behind it.
    fn compare(&mut self) -> Result<()> {
        let (ours, theirs) = (Store::of(&self.node.back)?.content()?, self.store.front.content()?);
        let same = ours.split_last().is_some_and(|(_, records)| records == theirs);
        ensure!(same, "the handler has not written the same bytes");
        Ok(())
    }
}

impl Add for Took {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let sum = |one: [f64; 3], other: [f64; 3]| [0, 1, 2].map(|who| one[who] + other[who]);
        Self {
            seconds: sum(self.seconds, more.seconds),
            processor: sum(self.processor, more.processor),
            records: self.records + more.records,
            bytes: self.bytes + more.bytes,
        }
    }
}

impl Div<f64> for Took {
    type Output = Self;

    fn div(self, times: f64) -> Self {
        let part = |all: [f64; 3]| all.map(|one| one / times);
        Self {
            seconds: part(self.seconds),
            processor: part(self.processor),
            records: self.records / times,
            bytes: self.bytes / times,
        }
    }
}

/// For how many seconds this process has had the processor.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
