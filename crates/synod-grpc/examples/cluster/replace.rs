//! All founders are replaced by new machines, one after the other, and a branch that never comes back is written off.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

use crate::{
    audit::Audit,
    cast::{CAST, Name},
    fleet::Fleet,
    line::Ask,
    member::State,
    operator::{self, Operator},
    say,
    tally::{Commits, Tally},
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
    operator: Operator,
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
    tally: Tally,
}

impl Replacement {
    pub(crate) fn new(operator: Operator, quiet: Duration, most: Duration) -> Self {
        // The next one is asked: the last founder leaves by the word of a newcomer.
        let next = CAST.managers().skip(1).chain(CAST.newcomers());
        let replaced = CAST.managers().zip(CAST.newcomers()).zip(next);
        let mut todo: VecDeque<Change> = replaced.map(|((old, new), by)| Change::Replace { old, new, by }).collect();
        let (branch, by) = (Name::Branch(CAST.branches - 1), Name::Manager(CAST.acceptors));
        todo.push_back(Change::WriteOff { branch, by });
        let now = Instant::now();
        Self {
            operator,
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
            tally: Tally::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The branch that is written off, as soon as that is asked for.
    pub(crate) fn written_off(&self) -> Option<Name> {
        self.written_off
    }

    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        if self.began.is_none() {
            (self.began, self.since) = (Some(now), now);
        }
        self.operator.follow(fleet)?;
        if let Some(why) = fleet.take_unchanged().pop() {
            bail!("a change was refused: {why}");
        }
        let Some(change) = self.todo.front().copied() else {
            if matches!(self.stage, Stage::Calm) && now - self.since >= self.quiet {
                (self.stage, self.since) = (Stage::Done, now);
            }
            return Ok(());
        };
        if now - self.since > BOUND.max(self.quiet * 2) {
            let (after, each) = ((now - self.since).as_secs(), operator::epochs(fleet));
            bail!("{change:?} is not through after {after} s ({:?}): {each}", self.stage);
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
            Stage::Dying if fleet.is(victim, State::Down) => match change {
                Change::Replace { old, new, .. } => {
                    self.operator.scrap(fleet, old)?;
                    let installed = self.operator.install(fleet)?;
                    ensure!(installed == new, "{installed} has come in the place of {new}");
                    Stage::Joining
                }
                Change::WriteOff { .. } => {
                    fleet.bury(victim);
                    Stage::Missing
                }
            },
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
        self.asked = now;
        match change {
            Change::Replace { old, new, by } => self.operator.ask(fleet, by, old, new)?,
            Change::WriteOff { branch, by } => {
                self.written_off = Some(branch);
                fleet.ask(by, Ask::WriteOff { node: CAST.node(branch).0 })?;
            }
        }
        Ok(Stage::Changing { epoch: self.through.len() as u64 + 1 })
    }

    /// Whether every process is in `epoch`, and the one that was asked for it says that the old member may be switched off.
    fn is_through(change: Change, epoch: u64, fleet: &Fleet) -> bool {
        let (Change::Replace { by, .. } | Change::WriteOff { by, .. }) = change;
        let mut members = fleet.members().iter();
        members.all(|(name, member)| member.is_in(epoch) && (*name != by || member.figures.may_leave))
    }

    /// Says what it has cost, and returns whether that is little enough.
    pub(crate) fn print(&self, audit: &Audit, commits: &Commits) -> bool {
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
                commits.pause(killed, next)
            );
        }
        self.tally.print(audit);
        if self.written_off.is_some() {
            say::out!("gone to the branch that was written off, less what came from it: {}", audit.elsewhere);
        }
        let longest = self.began.map_or(0.0, |began| commits.pause(began, self.since));
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
