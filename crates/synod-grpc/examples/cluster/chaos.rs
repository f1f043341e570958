//! What befalls the processes: one after the other, at random, is killed or stopped, and comes back some time later; or a
//! certain one is stopped, once.

use std::time::{Duration, Instant};

use crate::{
    cast::{CAST, Name},
    fleet::Fleet,
    member::State,
    replace::Replacement,
};

/// From one event to the next, in milliseconds.
const PAUSE: (u64, u64) = (500, 1_300);
/// How long a process is away, in milliseconds.
const AWAY: (u64, u64) = (200, 3_000);
/// Of five events, how many are kills. The others are stops.
const KILLS_OF_FIVE: u64 = 3;

/// What befalls them.
pub(crate) enum Harm {
    Chaos(Chaos),
    /// This one is stopped for as long as there is harm.
    Stop(Name),
    /// All founders are replaced, and a branch is written off.
    Replace(Box<Replacement>),
}

impl Harm {
    /// Does what is due; new harm only if `harmful`.
    pub(crate) fn act(&mut self, fleet: &mut Fleet, now: Instant, harmful: bool) -> anyhow::Result<()> {
        match self {
            Self::Chaos(chaos) => chaos.act(fleet, now, harmful)?,
            Self::Stop(name) if harmful && fleet.is(*name, State::Up) => fleet.stop(*name)?,
            Self::Stop(name) if !harmful && fleet.is(*name, State::Stopped) => fleet.go_on(*name)?,
            Self::Stop(_) => {}
            Self::Replace(replacement) => replacement.act(fleet, now)?,
        }
        Ok(())
    }

    /// Whether everyone is back.
    pub(crate) fn is_over(&self, fleet: &Fleet) -> bool {
        let is_away = match self {
            Self::Chaos(chaos) => !chaos.away.is_empty(),
            Self::Stop(_) => false,
            Self::Replace(replacement) => !replacement.is_done(),
        };
        !is_away && fleet.all_are(State::Up)
    }
}

pub(crate) struct Chaos {
    random: u64,
    next: Instant,
    /// Who is away, and until when.
    away: Vec<(Name, Instant)>,
}

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, next: Instant::now(), away: Vec::new() }
    }

    fn act(&mut self, fleet: &mut Fleet, now: Instant, harmful: bool) -> anyhow::Result<()> {
        let (back, away) = self.away.iter().partition(|(_, until)| *until <= now);
        self.away = away;
        for (name, until) in Vec::from_iter::<Vec<_>>(back) {
            if fleet.is(name, State::Stopped) {
                fleet.go_on(name)?;
            } else if fleet.is(name, State::Down) {
                fleet.start(name)?;
            } else {
                // It takes its time to die.
                self.away.push((name, until));
            }
        }
        if harmful && now >= self.next {
            self.next = now + self.millis(PAUSE);
            let victims = Self::victims(fleet);
            if let Some(name) = victims.get(self.below(victims.len().max(1) as u64) as usize) {
                if self.below(5) < KILLS_OF_FIVE {
                    fleet.kill(*name)?
                } else {
                    fleet.stop(*name)?
                }
                let until = now + self.millis(AWAY);
                self.away.push((*name, until));
            }
        }
        Ok(())
    }

    /// Whom it may hit now: any branch, and a manager as long as a quorum of acceptors stays.
    fn victims(fleet: &Fleet) -> Vec<Name> {
        let managers = CAST.managers().filter(|name| !fleet.is(*name, State::Up)).count() as u64;
        let spared = |name: &Name| matches!(name, Name::Manager(_)) && managers >= CAST.spare();
        CAST.names().filter(|name| fleet.is(*name, State::Up) && !spared(name)).collect()
    }

    fn millis(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }

    /// A number below `end` (SplitMix64; Steele, Lea and Flood 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}
