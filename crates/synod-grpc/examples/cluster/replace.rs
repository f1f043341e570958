//! All founders are replaced by new machines, one after the other, and a branch that never comes back is written off.

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use synod::commit::Outcome;

use crate::{
    audit::Audit,
    cast::{CAST, Name},
    counter::{Cut, Errand},
    fleet::Fleet,
    line::Ask,
    member::State,
    node,
    places::Places,
    say,
};

/// How long a branch is gone before it is given up.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// What takes longer than this will never come about.
const BOUND: Duration = Duration::from_secs(30);

/// One change of the members. `by` is the member that is asked for it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Replace { old: Name, new: Name, by: Name },
    WriteOff { branch: Name, by: Name },
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// That it was calm for a while.
    Calm,
    /// That the process is gone.
    Dying,
    /// That the new process listens.
    Joining,
    /// That the branch is given up.
    Missing,
    /// That this epoch has begun everywhere.
    Changing {
        epoch: u64,
    },
    Done,
}

/// A change that is through.
struct Through {
    change: Change,
    killed: Instant,
    asked: Instant,
    through: Instant,
}

pub(crate) struct Replacement {
    data: PathBuf,
    spare: Places,
    quiet: Duration,
    /// For how long at most no transfer may commit.
    most: Duration,
    todo: VecDeque<Change>,
    stage: Stage,
    since: Instant,
    began: Option<Instant>,
    killed: Instant,
    asked: Instant,
    through: Vec<Through>,
    written_off: Option<Name>,
    refused: u64,
    aborted: Vec<u64>,
    again: u64,
    held_back: u64,
}

impl Replacement {
    pub(crate) fn new(data: PathBuf, spare: Places, quiet: Duration, most: Duration) -> Self {
        let managers: Vec<Name> = CAST.managers().chain(CAST.newcomers()).collect();
        // The next one is asked: the last founder leaves by the word of a newcomer.
        let replaced = managers.iter().zip(CAST.newcomers()).zip(managers.iter().skip(1));
        let mut todo: VecDeque<Change> =
            replaced.map(|((old, new), by)| Change::Replace { old: *old, new, by: *by }).collect();
        let (branch, by) = (Name::Branch(CAST.branches - 1), Name::Manager(CAST.acceptors));
        todo.push_back(Change::WriteOff { branch, by });
        let now = Instant::now();
        Self {
            data,
            spare,
            quiet,
            most,
            todo,
            stage: Stage::Calm,
            since: now,
            began: None,
            killed: now,
            asked: now,
            through: Vec::new(),
            written_off: None,
            refused: 0,
            aborted: Vec::new(),
            again: 0,
            held_back: 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The branch that is written off, as soon as that is asked for.
    pub(crate) fn written_off(&self) -> Option<Name> {
        self.written_off
    }

    /// Counts what changes did to transfers.
    pub(crate) fn note(&mut self, errand: &Errand, is_made_again: bool) {
        match errand.cut {
            Some(Cut::Refused) => self.refused += 1,
            Some(Cut::Aborted) => self.aborted.push(errand.tx.seq),
            None => {}
        }
        self.again += u64::from(is_made_again);
        self.held_back += u64::from(errand.was_held_back);
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        if self.began.is_none() {
            (self.began, self.since) = (Some(now), now);
        }
        let Some(change) = self.todo.front().copied() else {
            if matches!(self.stage, Stage::Calm) && now - self.since >= self.quiet {
                (self.stage, self.since) = (Stage::Done, now);
            }
            return Ok(());
        };
        if now - self.since > BOUND.max(self.quiet * 2) {
            let each = fleet.members().iter().map(|(name, member)| {
                format!(
                    "{name} is in epoch {:?}{}",
                    member.figures.epoch,
                    if member.figures.may_leave { ", safely" } else { "" }
                )
            });
            let each = each.collect::<Vec<_>>().join("; ");
            bail!("{change:?} is not through after {} s ({:?}): {each}", (now - self.since).as_secs(), self.stage);
        }
        let victim = match change {
            Change::Replace { old, .. } => old,
            Change::WriteOff { branch, .. } => branch,
        };
        let next = match self.stage {
            Stage::Calm if now - self.since >= self.quiet => {
                fleet.kill(victim)?;
                self.killed = now;
                Stage::Dying
            }
            Stage::Dying if fleet.is(victim, State::Down) => {
                fleet.bury(victim);
                match change {
                    Change::Replace { old, new, by } => {
                        let database = node::database(&self.data, old);
                        fs::remove_dir_all(&database).with_context(|| format!("wiping {}", database.display()))?;
                        self.spare.only(fleet.members().keys().copied().chain([new])).write(&self.data)?;
                        fleet.join(new, by)?;
                        Stage::Joining
                    }
                    Change::WriteOff { .. } => Stage::Missing,
                }
            }
            Stage::Joining if fleet.is(change.newcomer(), State::Up) => self.ask(change, fleet, now)?,
            Stage::Missing if now - self.killed >= GIVEN_UP => self.ask(change, fleet, now)?,
            Stage::Changing { epoch } if Self::is_through(change, epoch, fleet) => {
                self.through.push(Through { change, killed: self.killed, asked: self.asked, through: now });
                self.todo.pop_front();
                Stage::Calm
            }
            _ => return Ok(()),
        };
        (self.stage, self.since) = (next, now);
        Ok(())
    }

    fn ask(&mut self, change: Change, fleet: &Fleet, now: Instant) -> anyhow::Result<Stage> {
        let (by, ask) = match change {
            Change::Replace { old, new, by } => {
                let contact = self.spare.contact(new)?;
                (by, Ask::Replace { old: CAST.node(old).0, new: CAST.node(new).0, contact })
            }
            Change::WriteOff { branch, by } => {
                self.written_off = Some(branch);
                (by, Ask::WriteOff { node: CAST.node(branch).0 })
            }
        };
        self.asked = now;
        fleet.ask(by, ask)?;
        Ok(Stage::Changing { epoch: self.through.len() as u64 + 1 })
    }

    /// Whether everyone is in `epoch`, and who was asked for it says that whoever has left may be switched off.
    fn is_through(change: Change, epoch: u64, fleet: &Fleet) -> bool {
        let (Change::Replace { by, .. } | Change::WriteOff { by, .. }) = change;
        let mut members = fleet.members().iter();
        members.all(|(name, member)| member.is_in(epoch) && (*name != by || member.figures.may_leave))
    }

    /// Says what it has cost, and returns whether that is little enough.
    pub(crate) fn print(&self, audit: &Audit, ended: &[(Instant, Errand)]) -> bool {
        let commits = ended.iter().filter(|(_, errand)| errand.outcome == Outcome::Committed);
        let commits: Vec<Instant> = commits.map(|(ended, _)| *ended).collect();
        let pause = |from: Instant, to: Instant| {
            let within = commits.iter().copied().filter(|commit| (from..to).contains(commit));
            let (longest, last) =
                within.fold((Duration::ZERO, from), |(longest, last), commit| (longest.max(commit - last), commit));
            longest.max(to - last).as_secs_f64()
        };
        let seconds = |from: Instant, to: Instant| (to - from).as_secs_f64();
        for (place, each) in self.through.iter().enumerate() {
            let Through { change, killed, asked, through } = *each;
            match change {
                Change::Replace { old, new, by } => {
                    say::out!("{old} was killed and wiped, and {by} was asked for {new} in its place:");
                }
                Change::WriteOff { branch, by } => {
                    say::out!("{branch} was killed, and {by} was asked to write it off:");
                }
            }
            let next = self.through.get(place + 1).map_or(self.since, |next| next.killed);
            say::out!(
                "  asked after {:.2} s, through everywhere {:.2} s later; longest pause {:.2} s",
                seconds(killed, asked),
                seconds(asked, through),
                pause(killed, next)
            );
        }
        let aborted = self.aborted.iter().filter(|id| !audit.refused.contains_key(id)).count();
        say::out!(
            "because of changes: {aborted} transfers aborted, {} refused as of an old epoch\n  \
             ({} of all these were begun again), {} held back for a moment",
            self.refused,
            self.again,
            self.held_back
        );
        if self.written_off.is_some() {
            say::out!("gone to the branch that was written off, less what came from it: {}", audit.elsewhere);
        }
        let longest = self.began.map_or(0.0, |began| pause(began, self.since));
        say::out!("the longest pause in which no transfer committed: {longest:.2} s");
        let is_short = longest <= self.most.as_secs_f64();
        if !is_short {
            say::err!("cluster: that is more than {:.2} s", self.most.as_secs_f64());
        }
        is_short && self.is_done()
    }
}

impl Change {
    /// Whoever is up once it can be asked for.
    fn newcomer(self) -> Name {
        match self {
            Self::Replace { new, .. } => new,
            Self::WriteOff { by, .. } => by,
        }
    }
}
