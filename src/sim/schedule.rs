//! From a seed to concrete events: how often each thing happens in a world, and what happens next.

use std::collections::BTreeMap;

use super::{Actor, Event, Hurt, Lie, Rng, Setup, World, disk::MOST_LOST};
use crate::{NodeId, commit::Vote};

/// How often each kind of event happens, as parts of their sum. Every seed draws its own (*swarm testing*; Groce and
/// others, 2012): what is never done in one run leaves room for more of the rest.
#[derive(Clone, Copy, Debug)]
struct Weights {
    begin: u64,
    again: u64,
    vote: u64,
    finish: u64,
    inquire: u64,
    deliver: u64,
    duplicate: u64,
    late: u64,
    lose: u64,
    write: u64,
    sync: u64,
    fail: u64,
    crash: u64,
    restart: u64,
    compact: u64,
    tick: u64,
    cut: u64,
    lie: u64,
    find: u64,
    hide: u64,
    change: u64,
    damage: u64,
    /// How many votes out of a hundred are to abort.
    abort_percent: u64,
    /// How many votes out of a hundred are lost with the resource that gave them.
    lost_votes_percent: u64,
}

/// Draws the events of one seed.
///
/// See [`World`] for an example.
#[derive(Clone, Debug)]
pub struct Schedule {
    rng: Rng,
    weights: Weights,
    /// How fast each node's clock runs. No two need agree, and one may stand still.
    rates: BTreeMap<NodeId, u64>,
    /// How the present partitions end, and after how many more events.
    partitions: Vec<(u64, Event)>,
    left: u64,
    begins: u64,
}

/// No more partitions than this at a time.
const PARTITIONS: usize = 2;

/// Set further generators of a seed apart from the first.
const MORE: u64 = 0x6d6f_7265;
const HURT: u64 = 0x6875_7274;
const CHANGES: u64 = 0x6368_616e;
const OLD_FILES: u64 = 0x6f6c_6466;
const DAMAGE: u64 = 0x6461_6d67;

impl Weights {
    fn draw(rng: &mut Rng) -> Self {
        // A slow disk gathers much in one write.
        let (write, sync) = (rng.between(15, 100), rng.between(15, 100));
        let mut sometimes = |weight: u64| if rng.once_in(2) { rng.between(1, weight) } else { 0 };
        Self {
            begin: 8,
            again: sometimes(4),
            vote: 60,
            finish: 40,
            inquire: sometimes(8),
            deliver: 200,
            duplicate: sometimes(30),
            late: sometimes(20),
            lose: sometimes(30),
            write,
            sync,
            fail: sometimes(3),
            crash: sometimes(6),
            restart: 20,
            compact: sometimes(3),
            tick: 10 + sometimes(80),
            cut: sometimes(8),
            lie: 20,
            find: 10,
            hide: 3,
            change: 2,
            damage: 1,
            abort_percent: sometimes(40),
            lost_votes_percent: 0,
        }
    }
}

impl Schedule {
    /// The setup of `seed`, and the schedule of what happens in it.
    pub fn new(seed: u64) -> (Setup, Self) {
        let mut rng = Rng::new(seed);
        let mut setup = Setup::draw(&mut rng);
        let mut weights = Weights::draw(&mut rng);
        let together = rng.once_in(2);
        let mut rate = || if together { 1 } else { [0, 1, 1, 2, 3, 8][rng.below(6) as usize] };
        let rates = setup.nodes.iter().map(|node| (*node, rate())).collect();
        let left = rng.between(100, 700);
        let begins = rng.between(1, 8);
        setup.draw_room(&mut rng);
        setup.draw_dead(&mut rng);
        setup.draw_order(&mut rng);
        setup.draw_liars(&mut rng);
        // By numbers of its own: all else stays as it was before there were kinds.
        setup.draw_kinds(&mut Rng::new(!seed));
        weights.lost_votes_percent = if rng.once_in(2) { rng.between(1, 15) } else { 0 };
        // Apart from the others, so that what was drawn before stays as it was.
        let mut more = Rng::new(seed ^ MORE);
        setup.draw_ghosts(&mut more);
        setup.draw_turns(&mut more);
        setup.draw_patience(&mut more);
        (setup, Self { rng, weights, rates, partitions: Vec::new(), left, begins })
    }

    /// The same where one participant hurts others: by second votes, or by names that are not its own.
    ///
    /// ```
    /// use synod::{commit::Node, sim::{self, Schedule}};
    ///
    /// let run = sim::run_schedule::<Node>(Schedule::hurt(7));
    /// assert!(run.setup.hurt.is_some() && run.result.is_ok());
    /// ```
    pub fn hurt(seed: u64) -> (Setup, Self) {
        let (mut setup, mut schedule) = Self::new(seed);
        setup.draw_hurt(&mut Rng::new(seed ^ HURT));
        schedule.begins += 4;
        (setup, schedule)
    }

    /// The same where members are replaced, at any moment, two at once or one after another, and machines that are no members
    /// any more are switched off as early as they may be.
    ///
    /// ```
    /// use synod::{commit::Node, sim::{self, Schedule}};
    ///
    /// let run = sim::run_schedule::<Node>(Schedule::changing(7));
    /// assert!(!run.setup.newcomers.is_empty() && run.result.is_ok());
    /// ```
    pub fn changing(seed: u64) -> (Setup, Self) {
        let (mut setup, mut schedule) = Self::new(seed);
        let mut rng = Rng::new(seed ^ CHANGES);
        setup.draw_newcomers(&mut rng);
        schedule.begins += 6;
        schedule.weights.change = rng.between(1, 12);
        schedule.rates.extend(setup.newcomers.iter().map(|node| (*node, 1)));
        setup.draw_old_files(&mut Rng::new(seed ^ OLD_FILES));
        (setup, schedule)
    }

    /// The same where members are replaced, and names are used twice.
    ///
    /// ```
    /// use synod::{commit::Node, sim::{self, Schedule}};
    ///
    /// let run = sim::run_schedule::<Node>(Schedule::changing_and_hurt(7));
    /// assert!(!run.setup.newcomers.is_empty() && run.setup.hurt.is_some() && run.result.is_ok());
    /// ```
    pub fn changing_and_hurt(seed: u64) -> (Setup, Self) {
        let (mut setup, schedule) = Self::changing(seed);
        setup.draw_names(&mut Rng::new(seed ^ HURT));
        (setup, schedule)
    }

    /// The same where storages are damaged.
    ///
    /// ```
    /// use synod::{commit::Node, sim::{self, Schedule}};
    ///
    /// let run = sim::run_schedule::<Node>(Schedule::damaging(7));
    /// assert!(!run.setup.damaged.is_empty() && run.result.is_ok());
    /// ```
    pub fn damaging(seed: u64) -> (Setup, Self) {
        let (mut setup, schedule) = Self::new(seed);
        setup.draw_damaged(&mut Rng::new(seed ^ DAMAGE));
        (setup, schedule)
    }

    /// The next event in `world`, or `None` when it is time to heal.
    pub fn next<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        if let Some(over) = self.partitions.iter().position(|(end, _)| self.left <= *end) {
            return Some(self.partitions.swap_remove(over).1);
        }
        // An event that cannot happen now gives way to another.
        (0..64).find_map(|_| self.propose(world)).or(Some(Event::Tick { at: world.setup().nodes[0], by: 1 }))
    }

    fn propose<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        let w = self.weights;
        let kinds = [
            w.begin,
            w.again,
            w.vote,
            w.finish,
            w.inquire,
            w.deliver,
            w.duplicate,
            w.lose,
            w.late,
            w.write,
            w.sync,
            w.fail,
            w.crash,
            w.restart,
            w.compact,
            w.tick,
            w.cut,
            if world.setup().liars.is_empty() { 0 } else { w.lie },
            if world.setup().votes_elsewhere.is_empty() { 0 } else { w.find },
            if world.setup().votes_elsewhere.is_empty() { 0 } else { w.hide },
            if world.setup().newcomers.is_empty() { 0 } else { w.change },
            if world.setup().damaged.is_empty() { 0 } else { w.damage },
        ];
        let nodes: Vec<NodeId> = world.nodes().collect();
        let at = *self.rng.pick(&nodes)?;
        match self.choose(&kinds) {
            0 => self.begin(world),
            1 => Some(Event::Again { at, index: self.index(world.begun().len())? }),
            2 => {
                let index = self.index(world.asked(at))?;
                if self.rng.below(100) < w.lost_votes_percent {
                    return Some(Event::LoseVote { at, index });
                }
                let abort = self.rng.below(100) < w.abort_percent;
                Some(Event::Vote { at, index, vote: if abort { Vote::Aborted } else { Vote::Prepared } })
            }
            3 => Some(Event::Finish { at, index: self.index(world.handed(at))? }),
            4 => Some(Event::Inquire { at, index: self.index(world.begun().len())? }),
            5 => self.message(world).map(|(from, to, index)| Event::Deliver { from, to, index }),
            6 => self.message(world).map(|(from, to, index)| Event::Duplicate { from, to, index }),
            7 => self.message(world).map(|(from, to, index)| Event::Lose { from, to, index }),
            8 => {
                let ((from, to), count) = *self.rng.pick(&world.past())?;
                Some(Event::Late { from, to, index: self.index(count)? })
            }
            9 => world.has_gathered(at).then_some(Event::Write { at }),
            10 => world.writing(at).map(|_| Event::Sync { at }),
            11 => Some(Event::Fail { at, keep: self.kept(world.writing(at)?) }),
            12 => self.hits(world, at).then(|| self.crash(world, at)),
            13 => (!world.is_up(at)).then_some(Event::Restart { at }),
            14 => self.hits(world, at).then_some(Event::Compact { at }),
            15 => {
                let rate = self.rates.get(&at).copied().unwrap_or(1);
                let by = if self.rng.once_in(4) { self.rng.between(1, 150) } else { self.rng.between(1, 10) };
                world.is_up(at).then_some(Event::Tick { at, by: rate * by })
            }
            16 => self.hits(world, at).then(|| self.cut(world.setup(), at))?,
            18 => self.held(world).map(|(at, index)| Event::Find { at, index }),
            19 => self.held(world).map(|(at, index)| Event::Hide { at, index }),
            20 => self.change(world, at),
            21 => {
                let at = *self.rng.pick(&world.setup().damaged)?;
                Some(Event::Damage { at, lost: self.rng.between(1, MOST_LOST as u64) as usize })
            }
            _ => self.lie(world),
        }
    }

    /// Somebody is replaced, mostly by a node that comes for that; or a machine is switched off.
    fn change<A: Actor>(&mut self, world: &World<A>, at: NodeId) -> Option<Event> {
        if self.rng.once_in(3) {
            return world.removable().first().map(|at| Event::SwitchOff { at: *at });
        }
        let (_, members) = world.present();
        let (old, new) = (*self.rng.pick(&members)?, *self.rng.pick(&world.setup().newcomers)?);
        let at = if self.rng.once_in(4) { at } else { *self.rng.pick(&members)? };
        Some(Event::Change { at, old, new })
    }

    fn lie<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        let setup = world.setup();
        let at = *self.rng.pick(&setup.liars)?;
        let to = *self.rng.pick(&setup.nodes)?;
        let begun = world.begun().len();
        Some(match setup.hurt {
            None => {
                let lie = *self.rng.pick(&[Lie::Committed, Lie::Aborted, Lie::Retired])?;
                Event::Lie { at, to, index: self.index(begun)?, lie }
            }
            Some(Hurt::SecondVotes) => Event::VoteAgain { at, to, index: self.index(begun)? },
            Some(Hurt::Names) => {
                let mut participants = self.rng.some(&setup.resource_managers, 0);
                if !participants.contains(&at) {
                    participants.push(at);
                }
                Event::StealName { at, origin: to, participants, back: self.rng.below(4) }
            }
        })
    }

    fn begin<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        self.begins = self.begins.checked_sub(1)?;
        let setup = world.setup();
        let mut participants = self.rng.some(&setup.resource_managers, 1);
        let at = if self.rng.once_in(2) {
            let at = *self.rng.pick(&participants)?;
            if let Some(ghost) = self.rng.pick(&setup.ghosts).copied().filter(|_| self.rng.once_in(2)) {
                participants.push(ghost);
            }
            at
        } else {
            *self.rng.pick(&world.managers())?
        };
        // Few clients name their transactions themselves; then mostly as their own.
        Some(match self.rng.below(12) {
            0 => Event::BeginAs { at, participants, own: Some(self.rng.below(3)) },
            1 => Event::BeginAs { at, participants, own: Some(self.rng.between(1_000, 2_000)) },
            2 | 3 => Event::BeginAs { at, participants, own: None },
            _ => Event::Begin { at, participants },
        })
    }

    /// What a resource holds whose votes are durable in itself.
    fn held<A: Actor>(&mut self, world: &World<A>) -> Option<(NodeId, usize)> {
        let at = *self.rng.pick(&world.setup().votes_elsewhere)?;
        Some((at, self.index(world.held(at))?))
    }

    /// A message that is under way; mostly the first of its link.
    fn message<A: Actor>(&mut self, world: &World<A>) -> Option<(NodeId, NodeId, usize)> {
        let ((from, to), count) = *self.rng.pick(&world.under_way())?;
        let index = if self.rng.once_in(3) { self.index(count)? } else { 0 };
        Some((from, to, index))
    }

    /// Whether a fault hits this node: rather one that has something to lose.
    fn hits<A: Actor>(&mut self, world: &World<A>, at: NodeId) -> bool {
        let busy = world.actor(at).is_some_and(|actor| actor.node().metrics().open > 0);
        world.is_up(at) && (busy || self.rng.once_in(8))
    }

    fn crash<A: Actor>(&mut self, world: &World<A>, at: NodeId) -> Event {
        Event::Crash { at, keep: self.kept(world.writing(at).unwrap_or(0)) }
    }

    /// How many of `records` a write gets to the disk before it ends.
    fn kept(&mut self, records: usize) -> usize {
        self.rng.below(records as u64 + 1) as usize
    }

    /// A node alone, a group, or a single link; for a while; both ways or one.
    fn cut(&mut self, setup: &Setup, at: NodeId) -> Option<Event> {
        if self.partitions.len() == PARTITIONS {
            return None;
        }
        let from = match self.rng.below(3) {
            0 => self.rng.some(&setup.nodes, 1),
            _ => vec![at],
        };
        let mut to: Vec<NodeId> = setup.nodes.iter().copied().filter(|node| !from.contains(node)).collect();
        if self.rng.once_in(3) {
            to = self.rng.pick(&to).copied().into_iter().collect();
        }
        let end = self.left.saturating_sub(self.rng.between(10, 150));
        self.partitions.push((end, Event::Mend { from: from.clone(), to: to.clone() }));
        let both_ways = !self.rng.once_in(3);
        (!to.is_empty()).then_some(Event::Cut { from, to, both_ways })
    }

    /// The place of the part that is hit at random.
    fn choose(&mut self, weights: &[u64]) -> usize {
        let mut hit = self.rng.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| match hit.checked_sub(*weight) {
                None => true,
                Some(rest) => {
                    hit = rest;
                    false
                }
            })
            .unwrap_or(0)
    }

    fn index(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.rng.below(count as u64) as usize)
    }
}
