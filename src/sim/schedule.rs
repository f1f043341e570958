//! From a seed to concrete events: what a world is made of, how often each thing happens in it, and what happens next.

use super::{Actor, Event, Rng, Setup, Stats, Violation, World};
use crate::{
    NodeId, Quorums,
    commit::{Cluster, ClusterId, Learning, Limits, Node, Targets, Timeouts, Vote},
};

/// How often each kind of event happens, as parts of their sum. Every seed draws its own (*swarm testing*; Groce and
/// others, 2012): what is never done in one run leaves room for more of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name says it")]
pub struct Weights {
    pub begin: u64,
    pub again: u64,
    pub vote: u64,
    pub finish: u64,
    pub inquire: u64,
    pub deliver: u64,
    pub duplicate: u64,
    pub lose: u64,
    pub write: u64,
    pub sync: u64,
    pub fail: u64,
    pub crash: u64,
    pub restart: u64,
    pub compact: u64,
    pub tick: u64,
    pub cut: u64,
    pub mend: u64,
    /// How many votes out of a hundred are to abort.
    pub abort_percent: u64,
}

/// Draws the events of one seed.
#[derive(Clone, Debug)]
pub struct Schedule {
    rng: Rng,
    weights: Weights,
    left: u64,
    begins: u64,
}

/// A run: what it was made of, what happened, and how it ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the world was made of.
    pub setup: Setup,
    /// What happened, before the world was healed.
    pub events: Vec<Event>,
    /// What has happened, in numbers.
    pub stats: Stats,
    /// How it ended.
    pub result: Result<(), Violation>,
}

impl Weights {
    fn draw(rng: &mut Rng) -> Self {
        let mut sometimes = |weight: u64| if rng.once_in(2) { rng.between(1, weight) } else { 0 };
        Self {
            begin: 6,
            again: sometimes(4),
            vote: 40,
            finish: 30,
            inquire: sometimes(4),
            deliver: 160,
            duplicate: sometimes(30),
            lose: sometimes(30),
            write: 80,
            sync: 80,
            fail: sometimes(4),
            crash: sometimes(10),
            restart: 20,
            compact: sometimes(6),
            tick: 10 + sometimes(60),
            cut: sometimes(8),
            mend: 10,
            abort_percent: sometimes(40),
        }
    }
}

impl Schedule {
    /// The setup of `seed`, and the schedule of what happens in it.
    pub fn new(seed: u64) -> (Setup, Self) {
        let mut rng = Rng::new(seed);
        let setup = draw_setup(&mut rng);
        let weights = Weights::draw(&mut rng);
        let left = rng.between(100, 600);
        let begins = rng.between(1, 6);
        (setup, Self { rng, weights, left, begins })
    }

    /// The next event in `world`, or `None` when it is time to heal.
    pub fn next<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
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
            w.write,
            w.sync,
            w.fail,
            w.crash,
            w.restart,
            w.compact,
            w.tick,
            w.cut,
            w.mend,
        ];
        let setup = world.setup();
        let at = *self.rng.pick(&setup.nodes)?;
        match self.choose(&kinds) {
            0 => self.begin(world),
            1 => Some(Event::Again { at, index: self.index(world.begun().len())? }),
            2 => {
                let index = self.index(world.asked(at))?;
                let abort = self.rng.below(100) < w.abort_percent;
                Some(Event::Vote { at, index, vote: if abort { Vote::Aborted } else { Vote::Prepared } })
            }
            3 => Some(Event::Finish { at, index: self.index(world.handed(at))? }),
            4 => Some(Event::Inquire { at, index: self.index(world.begun().len())? }),
            kind @ 5..=7 => {
                let under_way = world.under_way();
                let ((from, to), count) = *self.rng.pick(&under_way)?;
                // Mostly in order.
                let index = if self.rng.once_in(3) { self.index(count)? } else { 0 };
                Some(match kind {
                    5 => Event::Deliver { from, to, index },
                    6 => Event::Duplicate { from, to, index },
                    _ => Event::Lose { from, to, index },
                })
            }
            8 => world.has_gathered(at).then_some(Event::Write { at }),
            9 => world.writing(at).map(|_| Event::Sync { at }),
            10 => {
                let records = world.writing(at)?;
                Some(Event::Fail { at, keep: self.rng.below(records as u64 + 1) as usize })
            }
            11 => {
                let keep = self.rng.below(world.writing(at).unwrap_or(0) as u64 + 1) as usize;
                world.is_up(at).then_some(Event::Crash { at, keep })
            }
            12 => (!world.is_up(at)).then_some(Event::Restart { at }),
            13 => world.is_up(at).then_some(Event::Compact { at }),
            14 => {
                let by = if self.rng.once_in(4) { self.rng.between(1, 400) } else { self.rng.between(1, 20) };
                world.is_up(at).then_some(Event::Tick { at, by })
            }
            15 => {
                let to = *self.rng.pick(&setup.nodes)?;
                (at != to).then_some(Event::Cut { from: at, to })
            }
            _ => {
                let (from, to) = *self.rng.pick(&world.cut_links())?;
                Some(Event::Mend { from, to })
            }
        }
    }

    fn begin<A: Actor>(&mut self, world: &World<A>) -> Option<Event> {
        self.begins = self.begins.checked_sub(1)?;
        let setup = world.setup();
        let participants = self.rng.some(&setup.resource_managers, 1);
        let at = if self.rng.once_in(2) {
            *self.rng.pick(&participants)?
        } else {
            *self.rng.pick(setup.cluster.managers())?
        };
        Some(Event::Begin { at, participants })
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

/// Between one and five acceptors, one and three transaction managers and one and five resource managers, each of them
/// a node of its own or beside another.
fn draw_setup(rng: &mut Rng) -> Setup {
    let acceptors: Vec<NodeId> = (1..=[1, 3, 3, 3, 5][rng.below(5) as usize]).map(NodeId).collect();
    let mut place = |count: u64, base: u64| -> Vec<NodeId> {
        let beside = rng.once_in(2);
        (1..=count).map(|number| NodeId(if beside { number } else { base + number })).collect()
    };
    let managers = place([1, 2, 3][acceptors.len() % 3], 20);
    let resource_managers = place(5, 10);
    let quorums = match acceptors.len() as u64 {
        5 if rng.once_in(3) => Quorums::flexible(&acceptors, 4, 2),
        3 if rng.once_in(6) => Quorums::weighted([(NodeId(1), 2), (NodeId(2), 1), (NodeId(3), 1)], 3, 2),
        _ => Quorums::majority(&acceptors),
    };
    let timeouts = Timeouts { flush: 20, recover: 100, inquire: 150, repeat: 60, ceiling: 1_000 };
    let limits = Limits { open: 1_000, participants: 16, meta: 64 };
    let cluster =
        quorums.ok().and_then(|quorums| Cluster::new(ClusterId(*b"a simulated one."), quorums, &managers).ok());
    let cluster = cluster.and_then(|cluster| cluster.with_timeouts(timeouts).ok()?.with_limits(limits).ok());
    let cluster = cluster.expect("each of these is a valid configuration");
    let learning = if rng.once_in(2) { Learning::Everyone } else { Learning::Leader };
    let targets = if rng.once_in(2) { Targets::Quorum } else { Targets::All };
    let cluster = cluster.with_learning(learning).with_targets(targets);
    let mut nodes: Vec<NodeId> =
        acceptors.into_iter().chain(managers).chain(resource_managers.iter().copied()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    Setup { cluster, nodes, resource_managers }
}

/// Runs the schedule of `seed` against real nodes, then heals the world.
pub fn run(seed: u64) -> Run {
    run_seed::<Node>(seed)
}

/// Runs the schedule of `seed` against any actors, then heals the world.
pub fn run_seed<A: Actor>(seed: u64) -> Run {
    let (setup, mut schedule) = Schedule::new(seed);
    let mut world = World::<A>::new(setup.clone());
    let mut events = Vec::new();
    let mut result = Ok(());
    while let Some(event) = schedule.next(&world) {
        events.push(event);
        if let Some(event) = events.last() {
            result = world.apply(event).map(|_| ());
        }
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| world.heal());
    Run { setup, events, stats: world.stats(), result }
}

/// Lets `events` happen in a world of `setup`, then heals it.
pub fn replay<A: Actor>(setup: &Setup, events: &[Event]) -> Run {
    let mut world = World::<A>::new(setup.clone());
    let result = events.iter().try_for_each(|event| world.apply(event).map(|_| ())).and_then(|()| world.heal());
    Run { setup: setup.clone(), events: events.to_vec(), stats: world.stats(), result }
}
