//! Members are replaced at random, while other harm is done: living ones, which are switched off once they may leave, and ones
//! that are lost with their disks. Some come back, although they must not.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    args::Begin,
    audit::Audit,
    cast::Name,
    chaos::Dice,
    fleet::Fleet,
    member::State,
    operator::{self, Operator},
    page, say,
    tally::{Commits, Tally},
};

/// From the end of one change to the next, in milliseconds.
const PAUSE: (u64, u64) = (300, 4_000);
/// How long one stays that must not be there, in milliseconds.
const STAY: (u64, u64) = (500, 4_000);
/// If a change has not come about after this long, the operator asks for it again.
const RETRY: Duration = Duration::from_secs(2);
/// A member that is behind for longer believes nobody who is left, and is started again with the present members in its file.
const BEHIND: Duration = Duration::from_secs(5);
/// What takes longer than this will never come about.
const BOUND: Duration = Duration::from_secs(60);

/// One machine in the place of another.
#[derive(Debug)]
struct Change {
    old: Name,
    new: Name,
    stage: Stage,
    since: Instant,
    /// When it was asked for last, and in which epoch.
    asked: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until the new machine is up.
    Installing,
    /// Until the change is through.
    Asking,
    /// Until the old machine is off.
    Leaving,
    /// Until the new machine is off: another change came first, and it is not needed.
    Withdrawing,
    Over,
}

/// A machine that has come back, and until when it stays.
#[derive(Debug)]
struct Outcast {
    name: Name,
    until: Instant,
}

pub(crate) struct Changes {
    operator: Operator,
    dice: Dice,
    next: Instant,
    changes: Vec<Change>,
    /// The one that is being lost with its disk, until it is gone, and whether two changes are to be asked for then.
    dying: Option<(Name, Instant, bool)>,
    outcasts: Vec<Outcast>,
    /// Members that are up and not in the present epoch, and since when.
    behind: BTreeMap<Name, Instant>,
    tally: Tally,
    counts: Counts,
    refused: BTreeMap<String, u64>,
}

/// How often each was.
#[derive(Default)]
struct Counts {
    asked: u64,
    again: u64,
    lost: u64,
    handed_over: u64,
    withdrawn: u64,
    behind: u64,
    at_once: u64,
    with_disk: u64,
    without_disk: u64,
}

impl Changes {
    pub(crate) fn new(operator: Operator, seed: u64) -> Self {
        Self {
            operator,
            // Not the same numbers as for other harm.
            dice: Dice::new(seed ^ 0x6368_616e_6765),
            next: Instant::now(),
            changes: Vec::new(),
            dying: None,
            outcasts: Vec::new(),
            behind: BTreeMap::new(),
            tally: Tally::default(),
            counts: Counts::default(),
            refused: BTreeMap::new(),
        }
    }

    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Whether nothing is under way.
    pub(crate) fn are_idle(&self) -> bool {
        self.changes.is_empty() && self.dying.is_none() && self.outcasts.is_empty()
    }

    /// Whether nobody else may start or harm `name`: it is on its way out, or must not be there.
    pub(crate) fn have_taken(&self, name: Name) -> bool {
        let takes = |change: &Change| match change.stage {
            Stage::Leaving => change.old == name,
            Stage::Withdrawing => change.new == name,
            Stage::Installing | Stage::Asking | Stage::Over => false,
        };
        self.changes.iter().any(takes) || self.dying.is_some_and(|(dying, ..)| dying == name) || self.is_outcast(name)
    }

    fn is_outcast(&self, name: Name) -> bool {
        self.outcasts.iter().any(|outcast| outcast.name == name)
    }

    /// Kills members that have been behind for too long, and returns who they are: they are to be started again.
    pub(crate) fn stop_those_behind(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<Vec<Name>> {
        let present = self.operator.present();
        let is_behind = |name: &Name| {
            let member = fleet.members().get(name);
            member.is_some_and(|member| member.state == State::Up && !member.is_in(present.number))
        };
        let behind: Vec<Name> = present.members.iter().copied().filter(is_behind).collect();
        self.behind.retain(|name, _| behind.contains(name));
        for name in behind {
            self.behind.entry(name).or_insert(now);
        }
        let late: Vec<Name> =
            self.behind.iter().filter(|(_, since)| now - **since > BEHIND).map(|(name, _)| *name).collect();
        for name in late.iter().copied().filter(|name| !self.have_taken(*name)).collect::<Vec<Name>>() {
            fleet.kill(name)?;
            self.counts.behind += 1;
        }
        Ok(late)
    }

    /// Does what is due; begins something new only if `harmful`.
    pub(crate) fn act(&mut self, fleet: &mut Fleet, now: Instant, harmful: bool) -> anyhow::Result<()> {
        self.operator.follow(fleet)?;
        for why in fleet.take_unchanged() {
            *self.refused.entry(why).or_default() += 1;
        }
        self.end_outcasts(fleet, now)?;
        self.lose(fleet, now)?;
        let mut changes = mem::take(&mut self.changes);
        // Two that are under way are asked for at the same time, and not by the same machine.
        let are_up = changes.iter().all(|change| change.stage != Stage::Installing || fleet.is(change.new, State::Up));
        let mut asked = None;
        for change in &mut changes {
            self.advance(change, fleet, now, are_up, &mut asked)?;
        }
        changes.retain(|change| change.stage != Stage::Over);
        self.changes = changes;
        if !self.are_idle() {
            self.next = now + self.dice.millis(PAUSE);
        } else if harmful && now >= self.next {
            self.begin(fleet, now)?;
        }
        Ok(())
    }

    fn begin(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let members = self.operator.present().members.clone();
        let up = members.into_iter().filter(|name| fleet.is(*name, State::Up));
        let Some(old) = self.dice.choose(up.collect()) else { return Ok(()) };
        let (is_lost, are_two) = (self.dice.below(2) == 0, self.dice.below(3) == 0);
        if is_lost {
            fleet.kill(old)?;
            self.dying = Some((old, now, are_two));
            return Ok(());
        }
        self.install(old, fleet, now)?;
        if are_two {
            self.install_second(fleet, now)?;
        }
        Ok(())
    }

    /// Goes on when the machine that is to be lost is gone.
    fn lose(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let Some((old, _, are_two)) = self.dying.filter(|(dying, ..)| fleet.is(*dying, State::Down)) else {
            return Ok(());
        };
        self.dying = None;
        self.counts.lost += 1;
        fleet.bury(old);
        self.operator.wipe(old)?;
        if self.dice.below(3) == 0 {
            // While it is a member still.
            self.come_back(old, fleet, now)?;
        }
        self.install(old, fleet, now)?;
        if are_two {
            self.install_second(fleet, now)?;
        }
        Ok(())
    }

    fn install(&mut self, old: Name, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let new = self.operator.install(fleet)?;
        self.changes.push(Change { old, new, stage: Stage::Installing, since: now, asked: None });
        Ok(())
    }

    /// Another machine for any member, perhaps the same one.
    fn install_second(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        self.counts.at_once += 1;
        let members = self.operator.present().members.clone();
        if let Some(old) = self.dice.choose(members) {
            self.install(old, fleet, now)?;
        }
        Ok(())
    }

    /// Takes a change to its next stage, if it is time.
    fn advance(
        &mut self,
        change: &mut Change,
        fleet: &mut Fleet,
        now: Instant,
        are_up: bool,
        asked: &mut Option<Name>,
    ) -> anyhow::Result<()> {
        if now - change.since > BOUND {
            let after = (now - change.since).as_secs();
            bail!("{change:?} is not over after {after} s: {}", operator::epochs(fleet));
        }
        let present = self.operator.present();
        match change.stage {
            Stage::Installing if are_up => change.stage = Stage::Asking,
            Stage::Asking if !present.members.contains(&change.old) => {
                if !present.members.contains(&change.new) {
                    self.counts.withdrawn += 1;
                    change.stage = Stage::Withdrawing;
                } else if present.may_leave {
                    change.stage = Stage::Leaving;
                }
            }
            Stage::Asking => {
                let is_due = |(asked, epoch): (Instant, u64)| now - asked >= RETRY || epoch < present.number;
                if change.asked.is_none_or(is_due) {
                    self.ask(change, fleet, now, asked)?;
                }
            }
            // It was lost, and is back already.
            Stage::Leaving if self.is_outcast(change.old) => change.stage = Stage::Over,
            Stage::Leaving if switch_off(change.old, fleet)? => {
                change.stage = Stage::Over;
                self.leave(change.old, fleet, now)?;
            }
            Stage::Withdrawing if switch_off(change.new, fleet)? => {
                self.operator.scrap(fleet, change.new)?;
                change.stage = Stage::Over;
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks a member that is there, and not the one that was just `asked` for another change.
    fn ask(
        &mut self,
        change: &mut Change,
        fleet: &Fleet,
        now: Instant,
        asked: &mut Option<Name>,
    ) -> anyhow::Result<()> {
        let present = self.operator.present();
        let is_there = |name: &Name| fleet.is(*name, State::Up) && !self.have_taken(*name) && *asked != Some(*name);
        let members = present.members.iter().copied().filter(is_there).collect();
        let number = present.number;
        if let Some(by) = self.dice.choose(members) {
            self.operator.ask(fleet, by, change.old, change.new)?;
            *asked = Some(by);
            self.counts.asked += 1;
            self.counts.again += u64::from(change.asked.is_some());
            change.asked = Some((now, number));
        }
        Ok(())
    }

    /// `old` is no member any more, and off. It may come back for a while.
    fn leave(&mut self, old: Name, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let has_disk = fleet.members().contains_key(&old);
        self.counts.handed_over += u64::from(has_disk);
        if self.dice.below(2) == 0 {
            self.operator.scrap(fleet, old)?;
        } else if has_disk && self.dice.below(2) == 0 {
            fleet.bury(old);
            fleet.start_outcast(old, None)?;
            self.counts.with_disk += 1;
            self.outcasts.push(Outcast { name: old, until: now + self.dice.millis(STAY) });
        } else {
            fleet.bury(old);
            self.operator.wipe(old)?;
            self.come_back(old, fleet, now)?;
        }
        Ok(())
    }

    /// Starts `old`, whose disk is gone, under the id that it had.
    fn come_back(&mut self, old: Name, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let begin = if self.dice.below(2) == 0 { Begin::Create } else { Begin::Join };
        fleet.start_outcast(old, Some(begin))?;
        self.counts.without_disk += 1;
        self.outcasts.push(Outcast { name: old, until: now + self.dice.millis(STAY) });
        Ok(())
    }

    /// Switches those off that must not be there, and scraps them.
    fn end_outcasts(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        for outcast in mem::take(&mut self.outcasts) {
            if now < outcast.until || !switch_off(outcast.name, fleet)? {
                self.outcasts.push(outcast);
            } else if self.operator.present().members.contains(&outcast.name) {
                // The address is a member's still.
                fleet.bury(outcast.name);
                self.operator.wipe(outcast.name)?;
            } else {
                self.operator.scrap(fleet, outcast.name)?;
            }
        }
        Ok(())
    }

    /// Says what there was, and returns whether it was right.
    pub(crate) fn print(&self, audit: &Audit, commits: &Commits, impostors: u64) -> bool {
        let Counts { asked, again, lost, handed_over, withdrawn, behind, at_once, with_disk, without_disk } =
            self.counts;
        say::out!(
            "{} changes came about: {lost} of machines lost with their disks, {handed_over} of others;\n  \
             {at_once} times two at once, {withdrawn} new machines were not needed;\n  \
             the operator asked {asked} times, {again} of them again;\n  \
             {behind} members that had stayed behind were started again",
            self.operator.present().number
        );
        for (why, count) in &self.refused {
            say::out!("{}", page::folded(&format!("refused {count} times: {why}")));
        }
        say::out!(
            "came back: {with_disk} former members, {without_disk} without a disk; refused greetings: {impostors}"
        );
        self.tally.print(audit);
        say::out!("the longest pause in which no transfer committed: {:.2} s", commits.longest_pause());
        let is_right = without_disk > 0 || impostors == 0;
        if !is_right {
            say::err!("cluster: {impostors} greetings were refused, and everyone was who he was");
        }
        is_right
    }
}

/// Kills `name`, unless it is gone, and returns whether it is.
fn switch_off(name: Name, fleet: &mut Fleet) -> anyhow::Result<bool> {
    if fleet.is(name, State::Up) || fleet.is(name, State::Stopped) {
        fleet.kill(name)?;
    }
    Ok(!fleet.members().contains_key(&name) || fleet.is(name, State::Down))
}
