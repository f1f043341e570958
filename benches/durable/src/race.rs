//! Rounds in which everyone writes the same batch, one after the other: what else the machine does meets them all.

use std::{
    mem,
    ops::{Add, Range},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use synod::perform::fjall::FjallStorage;

use crate::{
    limits::{Batch, Disk, Store},
    member::{Member, Noted},
    role::{Phase, Role},
};

/// Who writes: the node through the fjall handler, fjall straight, a file straight.
pub const WHO: [&str; 3] = ["synod", "fjall", "disk"];

/// Who comes when, round by round: each comes after each other equally often.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 2]];
const WARM_UP: usize = 3;

/// What writing one batch took, or several.
#[derive(Clone, Copy, Default)]
pub struct Took {
    /// In the order of [`WHO`].
    pub seconds: [f64; 3],
    /// Those in which this thread had the processor: what the disk does, and who else is about, hardly matters.
    pub processor: [f64; 3],
    pub records: usize,
    pub bytes: usize,
}

struct Race {
    role: Role,
    node: Member<FjallStorage>,
    /// The same node, to know beforehand what it will write.
    twin: Member<Noted>,
    store: Store,
    disk: Disk,
    rounds: usize,
    begun: u64,
}

/// Runs rounds of `in_flight` transactions for about as long as `patience`, and says what each phase took in each round.
pub fn race(role: Role, in_flight: u64, folder: &Path, patience: Duration) -> Result<Vec<Vec<Took>>> {
    let mut race = Race::new(role, folder)?;
    for _ in 0..WARM_UP {
        race.round(in_flight, Race::compare)?;
    }
    let (mut rounds, started) = (Vec::new(), Instant::now());
    while rounds.len() < ORDERS.len() || started.elapsed() < patience {
        rounds.push(race.round(in_flight, |_| Ok(()))?);
    }
    Ok(rounds)
}

impl Race {
    fn new(role: Role, folder: &Path) -> Result<Self> {
        let mut race = Self {
            role,
            node: Member::new(role.config(), FjallStorage::open(folder.join("synod"))?)?,
            twin: Member::new(role.config(), Noted::default())?,
            store: Store::open(&folder.join("fjall"))?,
            disk: Disk::create(&folder.join("disk"))?,
            rounds: 0,
            begun: 0,
        };
        let identity = race.noted()?;
        race.store.write(&identity)?;
        Ok(race)
    }

    /// `in_flight` transactions from their beginning to their end, with a `check` after each batch.
    fn round(&mut self, in_flight: u64, check: fn(&mut Self) -> Result<()>) -> Result<Vec<Took>> {
        let numbers = self.begun + 1..self.begun + 1 + in_flight;
        let mut took = Vec::new();
        for phase in self.role.phases() {
            took.push(self.write(*phase, numbers.clone())?);
            check(self)?;
        }
        self.begun += in_flight;
        self.rounds += 1;
        Ok(took)
    }

    fn write(&mut self, phase: Phase, numbers: Range<u64>) -> Result<Took> {
        self.twin.take(self.role.inputs(phase, numbers.clone()))?;
        let batch = self.noted()?;
        let mut inputs = self.role.inputs(phase, numbers);
        let mut took = Took { records: batch.records(), bytes: batch.bytes(), ..Took::default() };
        for who in ORDERS[self.rounds % ORDERS.len()] {
            let (started, before) = (Instant::now(), processor());
            match who {
                0 => self.node.take(mem::take(&mut inputs))?,
                1 => self.store.write(&batch)?,
                _ => self.disk.append(&batch)?,
            }
            took.processor[who] = processor() - before;
            took.seconds[who] = started.elapsed().as_secs_f64();
        }
        let messages = (self.node.lose_messages(), self.twin.lose_messages());
        ensure!(messages.0 == messages.1, "the node and its twin differ");
        Ok(took)
    }

    /// What the twin has just written.
    fn noted(&mut self) -> Result<Batch> {
        Ok(Batch::of(&self.twin.storage().0.take().context("nothing was written")?))
    }

    /// The handler's database must hold what the other one holds, byte for byte.
    fn compare(&mut self) -> Result<()> {
        let same = Store::of(self.node.storage())?.content()? == self.store.content()?;
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

/// For how many seconds this thread has had the processor.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
