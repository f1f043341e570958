//! What befalls the processes: one after the other, at random, is killed or stopped, and comes back some time later, while
//! members may be replaced; or a certain one is stopped, once.

use std::time::{Duration, Instant};

use crate::{
    audit::Audit,
    cast::{CAST, Name},
    changes::Changes,
    fleet::Fleet,
    member::State,
    replace::Replacement,
    tally::{Commits, Tally},
};

/// From one event to the next, in milliseconds.
const PAUSE: (u64, u64) = (500, 1_300);
/// How long a process is away, in milliseconds.
const AWAY: (u64, u64) = (200, 3_000);
/// Of five events, how many are kills. The others are stops.
const KILLS_OF_FIVE: u64 = 3;

/// What befalls them.
pub(crate) enum Harm {
    Chaos(Box<Chaos>),
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
            Self::Chaos(chaos) => !chaos.away.is_empty() || !chaos.changes.as_ref().is_none_or(Changes::are_idle),
            Self::Stop(_) => false,
            Self::Replace(replacement) => !replacement.is_done(),
        };
        !is_away && fleet.all_are(State::Up)
    }

    /// What changes of the members did to transfers, if there are any.
    pub(crate) fn tally(&mut self) -> Option<&mut Tally> {
        match self {
            Self::Chaos(chaos) => chaos.changes.as_mut().map(Changes::tally),
            Self::Stop(_) => None,
            Self::Replace(replacement) => Some(replacement.tally()),
        }
    }

    /// Says what changes of the members have cost, and returns whether all went well. `impostors` is how often somebody was
    /// refused who had the name of another.
    pub(crate) fn print(&self, audit: &Audit, commits: &Commits, impostors: u64) -> bool {
        match self {
            Self::Chaos(chaos) => match &chaos.changes {
                Some(changes) => changes.print(audit, commits, impostors),
                None => impostors == 0,
            },
            Self::Stop(_) => impostors == 0,
            Self::Replace(replacement) => replacement.print(audit, commits) && impostors == 0,
        }
    }
}

pub(crate) struct Chaos {
    dice: Dice,
    next: Instant,
    /// Who is away, and until when.
    away: Vec<(Name, Instant)>,
    changes: Option<Changes>,
}

impl Chaos {
    pub(crate) fn new(seed: u64, changes: Option<Changes>) -> Self {
        Self { dice: Dice::new(seed), next: Instant::now(), away: Vec::new(), changes }
    }

    fn act(&mut self, fleet: &mut Fleet, now: Instant, harmful: bool) -> anyhow::Result<()> {
        if let Some(changes) = &mut self.changes {
            changes.act(fleet, now, harmful)?;
            // Whoever is to go does not come back, and newcomers are like everyone else.
            self.away.retain(|(name, _)| !changes.have_taken(*name) && fleet.members().contains_key(name));
        }
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
            self.next = now + self.dice.millis(PAUSE);
            if let Some(name) = self.dice.choose(self.victims(fleet)) {
                if self.dice.below(5) < KILLS_OF_FIVE {
                    fleet.kill(name)?
                } else {
                    fleet.stop(name)?
                }
                let until = now + self.dice.millis(AWAY);
                self.away.push((name, until));
            }
        }
        Ok(())
    }

    /// Whom it may hit now: any branch, and a manager as long as a quorum of acceptors stays. One that is being replaced, as it
    /// was lost with its disk, counts for nothing, so that there may be no quorum for as long as another one is away.
    fn victims(&self, fleet: &Fleet) -> Vec<Name> {
        let is_taken = |name: Name| self.changes.as_ref().is_some_and(|changes| changes.have_taken(name));
        let names: Vec<Name> = fleet.members().keys().copied().filter(|name| !is_taken(*name)).collect();
        let is_away = |name: &&Name| matches!(name, Name::Manager(_)) && !fleet.is(**name, State::Up);
        let managers = names.iter().filter(is_away).count() as u64;
        let spared = |name: &Name| matches!(name, Name::Manager(_)) && managers >= CAST.spare();
        names.into_iter().filter(|name| fleet.is(*name, State::Up) && !spared(name)).collect()
    }
}

/// Random numbers that are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn millis(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }

    /// One of `all`, if there are any.
    pub(crate) fn choose<T: Copy>(&mut self, all: Vec<T>) -> Option<T> {
        let place = self.below(all.len().max(1) as u64) as usize;
        all.get(place).copied()
    }

    /// A number below `end` (SplitMix64; Steele, Lea and Flood 2014).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}
