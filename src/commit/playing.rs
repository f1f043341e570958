//! A role that is being played: its machine, and the one timer that it waits by.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use super::{
    Acceptor, Config, Effect, ResourceManager, Time, TransactionManager, Wait,
    timers::{Role, Timers},
    wait::mix,
};
use crate::{Refusal, TxId};

/// A machine that waits for something, and must be told when that takes too long.
pub(crate) trait Waits {
    /// Which of the three it is.
    const ROLE: Role;

    /// What it waits for now.
    fn waits_for(&self) -> Option<Wait>;

    /// It has taken too long.
    fn time_out(&mut self, effects: &mut Vec<Effect>);
}

/// A machine and its timer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Playing<R> {
    machine: R,
    timer: Timer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Timer {
    Idle,
    /// To be started at the next tick.
    Armed(Wait),
    /// Ends then.
    Started(Wait, Time),
}

impl<R: Waits> Playing<R> {
    /// Lets the machine act, and brings its timer in line with what it waits for then. Returns whether that is to be started.
    #[inline]
    pub(crate) fn act(
        &mut self,
        timers: &mut Timers,
        act: impl FnOnce(&mut R) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        act(&mut self.machine)?;
        Ok(self.arm(timers))
    }

    /// Brings the timer in line with what the machine waits for now. Returns whether it is to be started.
    #[inline]
    pub(crate) fn arm(&mut self, timers: &mut Timers) -> bool {
        let wait = self.machine.waits_for();
        if wait != self.timer.waits_for() {
            self.stop(timers);
            self.timer = wait.map_or(Timer::Idle, Timer::Armed);
        }
        matches!(self.timer, Timer::Armed(_))
    }

    /// Starts the timer, if it is armed.
    pub(crate) fn start(&mut self, now: Time, tx: TxId, config: &Config, timers: &mut Timers) {
        if let Timer::Armed(wait) = self.timer {
            let duration = wait.duration(&config.cluster.timeouts(), jitter(config.seed, tx, R::ROLE, wait));
            let due = Time(now.0.saturating_add(duration));
            self.timer = Timer::Started(wait, due);
            timers.start(due, tx, R::ROLE);
        }
    }

    /// The timer that was to end at `due` has ended, unless it was cancelled: whatever the machine waits for after this, it
    /// waits anew. Returns whether that is to be started.
    pub(crate) fn timeout(&mut self, due: Time, timers: &mut Timers, effects: &mut Vec<Effect>) -> bool {
        if !self.ends(due) {
            return false;
        }
        self.timer = Timer::Idle;
        self.machine.time_out(effects);
        self.arm(timers)
    }

    /// Whether the timer ends at `due`.
    pub(crate) fn ends(&self, due: Time) -> bool {
        matches!(self.timer, Timer::Started(_, at) if at == due)
    }

    /// Whether the timer has started.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.timer, Timer::Started(..))
    }

    /// Stops the timer.
    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        if let Timer::Started(_, due) = self.timer {
            timers.cancel(due);
        }
        self.timer = Timer::Idle;
    }
}

impl Timer {
    #[inline]
    fn waits_for(self) -> Option<Wait> {
        match self {
            Self::Idle => None,
            Self::Armed(wait) | Self::Started(wait, _) => Some(wait),
        }
    }
}

impl<R> From<R> for Playing<R> {
    fn from(machine: R) -> Self {
        Self { machine, timer: Timer::Idle }
    }
}

impl<R> Deref for Playing<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.machine
    }
}

impl<R> DerefMut for Playing<R> {
    fn deref_mut(&mut self) -> &mut R {
        &mut self.machine
    }
}

impl Waits for Acceptor {
    const ROLE: Role = Role::Acceptor;

    fn waits_for(&self) -> Option<Wait> {
        Some(self.wait())
    }

    fn time_out(&mut self, effects: &mut Vec<Effect>) {
        self.timeout(effects);
    }
}

impl Waits for ResourceManager {
    const ROLE: Role = Role::ResourceManager;

    fn waits_for(&self) -> Option<Wait> {
        self.wait()
    }

    fn time_out(&mut self, effects: &mut Vec<Effect>) {
        self.timeout(effects);
    }
}

impl Waits for TransactionManager {
    const ROLE: Role = Role::TransactionManager;

    fn waits_for(&self) -> Option<Wait> {
        self.wait()
    }

    fn time_out(&mut self, effects: &mut Vec<Effect>) {
        self.timeout(effects);
    }
}

/// A number that looks random, and is the same whenever it is asked for.
fn jitter(seed: u64, tx: TxId, role: Role, wait: Wait) -> u64 {
    let repetition = match wait {
        Wait::Flush => 0,
        Wait::Recover(repetition) | Wait::Inquire(repetition) | Wait::Repeat(repetition) => repetition,
    };
    let words = [tx.origin.0, tx.seq, u64::from(repetition), role as u64];
    words.into_iter().fold(seed, |state, word| mix(state ^ word))
}
