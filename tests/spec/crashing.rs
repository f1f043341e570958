//! One instance whose acceptors and proposers crash: memory is lost, and so is what was not yet written. For small
//! worlds.
//!
//! A machine takes a message in memory and asks for effects. They wait in order until they are carried out: the record
//! becomes durable, then the message joins those that were sent. (That both happen at once loses nothing: a message
//! that was cut off by a crash is one that is never delivered.) A crash may come at any time and leaves the record that
//! is durable; a transaction manager comes back with a higher round. A machine takes further messages while effects
//! wait. Only what is durable is the specification's state, so steps in memory change nothing there.

use std::{
    convert::Infallible,
    fmt::{self, Display, Formatter},
    rc::Rc,
};

use synod::{
    Ballot, Effect, EffectOf, Machine,
    commit::Vote,
    paxos::{Acceptor, AcceptorRecord, Input, Message, Proposer, ProposerRecord},
};

use super::{
    layout::{Layout, Rm, Size, State, VOTES},
    machines::learn,
    mapping::{Broadcast, Mapping, acceptor_node, manager_node, rm_node},
    pool::{Places, Pool, places},
    specification::Specification,
};

/// The one instance.
const RM: usize = 0;

/// How large a world with crashes is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) acceptors: usize,
    pub(crate) managers: usize,
    /// The highest round that a transaction manager gets to.
    pub(crate) rounds: u64,
    /// How many steps' effects may wait in one process.
    pub(crate) waiting: usize,
}

impl Extent {
    /// The world of the specification that this is projected to.
    pub(crate) fn size(&self) -> Size {
        Size { rms: 1, acceptors: self.acceptors, ballots: 1 + self.managers * self.rounds as usize }
    }
}

impl Display for Extent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { managers, rounds, waiting, .. } = self;
        write!(f, "transaction managers: {managers}, rounds: {rounds}, unwritten steps: {waiting}; with crashes")
    }
}

/// How effects are carried out, and what a restart finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// In order, and what was written.
    Right,
    /// Messages leave before the record ahead of them is durable.
    Hasty,
    /// A restart finds a blank disk.
    Blank,
}

/// The drivers of all acceptors, and of all proposers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drivers {
    pub(crate) acceptors: Driver,
    pub(crate) proposers: Driver,
}

impl Drivers {
    pub(crate) const RIGHT: Self = Self { acceptors: Driver::Right, proposers: Driver::Right };
}

#[derive(Clone, Debug)]
struct Process<T, R, D> {
    disk: R,
    memory: T,
    /// The effects of each step that are not carried out yet.
    waiting: Vec<Vec<Effect<R, Message<Vote>, D>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Take(Input<Vote>),
    /// The effects of the oldest step are carried out.
    Perform,
    Crash,
}

/// All states of the processes of one role, which write `R` and decide `D`.
type Processes<T, R, D> = Pool<Process<T, R, D>, Event, Rc<[Effect<R, Message<Vote>, D>]>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World<const W: usize> {
    pub(crate) spec: State<W>,
    /// The rejections that were sent, by acceptor, refused and promised ballot.
    rejections: u64,
    acceptors: Places,
    /// The owner, then the transaction managers.
    proposers: Places,
}

pub(crate) struct Crashing {
    extent: Extent,
    drivers: Drivers,
    pub(crate) spec: Specification,
    mapping: Mapping,
    acceptors: Processes<Acceptor<Vote>, AcceptorRecord<Vote>, Infallible>,
    proposers: Processes<Proposer<Vote>, ProposerRecord<Vote>, Vote>,
}

impl Crashing {
    pub(crate) fn new(extent: Extent, drivers: Drivers) -> Self {
        let managers = (0..extent.managers).map(manager_node);
        let ballots: Vec<Ballot> =
            (1..=extent.rounds).flat_map(|round| managers.clone().map(move |id| Ballot::new(round, id))).collect();
        let size = extent.size();
        let mapping = Mapping::new(Layout::new(size), ballots);
        let (acceptors, proposers) = (Pool::new(), Pool::new());
        Self { extent, drivers, spec: Specification::new(size), mapping, acceptors, proposers }
    }

    pub(crate) fn initial<const W: usize>(&mut self) -> World<W> {
        let acceptor = Acceptor::new(Some(rm_node(RM)));
        let acceptor = self.acceptors.number(Process::new(*acceptor.record(), acceptor));
        let ids = [rm_node(RM)].into_iter().chain((0..self.extent.managers).map(manager_node));
        let proposers = ids.map(|id| {
            let proposer = Proposer::new(self.mapping.proposer(RM, id));
            self.proposers.number(Process::new(*proposer.record(), proposer))
        });
        World {
            spec: self.spec.initial(),
            rejections: 0,
            proposers: places(proposers),
            acceptors: places(vec![acceptor; self.extent.acceptors]),
        }
    }

    pub(crate) fn successors<const W: usize>(
        &mut self,
        world: &World<W>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        for place in 0..=self.extent.managers {
            let events = VOTES.map(Input::Propose).into_iter().chain([Input::Timeout]);
            // The owner votes as it likes, once; a transaction manager aborts what it can.
            let events = events.skip(place.min(1)).take(2).map(Event::Take);
            for event in events.chain([Event::Perform, Event::Crash]) {
                self.proposer(world, place, event, next)?;
            }
        }
        for acc in 0..self.extent.acceptors {
            for request in self.mapping.requests(&world.spec, RM) {
                let input = Input::Receive { from: request.ballot().node, message: request };
                self.acceptor(world, acc, Event::Take(input), next)?;
            }
            for message in self.replies(world, acc) {
                for place in 0..=self.extent.managers {
                    let input = Input::Receive { from: acceptor_node(acc), message };
                    self.proposer(world, place, Event::Take(input), next)?;
                }
            }
            self.acceptor(world, acc, Event::Perform, next)?;
            self.acceptor(world, acc, Event::Crash, next)?;
        }
        for vote in learn(&self.spec, &self.mapping, &world.spec, RM)? {
            let message = if vote == Vote::Prepared { self.spec.layout.commit } else { self.spec.layout.abort };
            next.push(World { spec: world.spec.with(message), ..world.clone() });
        }
        Ok(())
    }

    fn acceptor<const W: usize>(
        &mut self,
        world: &World<W>,
        acc: usize,
        event: Event,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let (driver, limit) = (self.drivers.acceptors, self.extent.waiting);
        let (number, effects) = self.acceptors.step(world.acceptors[acc], event, |process, event| {
            let blank = *Acceptor::new(Some(rm_node(RM))).record();
            process.run(event, driver, limit, blank, |record| Acceptor::restore(record).expect("it wrote that"))
        });
        let mut after = world.clone();
        after.acceptors[acc] = number;
        if after == *world && effects.is_empty() {
            return Ok(());
        }
        for effect in &*effects {
            match effect {
                Effect::Persist(record) => {
                    after.spec = self.spec.layout.with_cell(after.spec, RM, acc, self.mapping.cell(RM, record)?);
                }
                Effect::Send { message: Message::Reject { ballot, promised }, .. } => {
                    after.rejections |= 1 << self.rejection(acc, *ballot, *promised)?;
                }
                Effect::Send { message, .. } => {
                    let bit = self.mapping.reply(RM, acc, message)?;
                    after.spec = bit.map_or(after.spec, |bit| after.spec.with(bit));
                }
                Effect::Decide(never) => match *never {},
            }
        }
        next.push(after);
        Ok(())
    }

    fn proposer<const W: usize>(
        &mut self,
        world: &World<W>,
        place: usize,
        event: Event,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let (driver, limit) = (self.drivers.proposers, self.extent.waiting);
        let id = place.checked_sub(1).map_or(rm_node(RM), manager_node);
        let config = self.mapping.proposer(RM, id);
        let (number, effects) = self.proposers.step(world.proposers[place], event, |process, event| {
            let blank = ProposerRecord { round: 0, initial: None };
            let restore = |record| Proposer::restore(config, record).expect("it wrote that");
            process.run(event, driver, limit, blank, restore)
        });
        if self.proposers.get(number).memory.record().round > self.extent.rounds {
            return Ok(());
        }
        let mut after = world.clone();
        after.proposers[place] = number;
        if after == *world && effects.is_empty() {
            return Ok(());
        }
        if let [Effect::Decide(vote)] = &*effects {
            if self.spec.witnesses(&world.spec, RM, *vote) == 0 {
                return Err(format!("{id} decided {vote:?}, which is not chosen"));
            }
        } else if let [Effect::Persist(_)] = &*effects {
            // The driver was hasty, and all else has happened.
        } else if let Some(Broadcast { record, message }) = self.mapping.broadcast(&effects)? {
            after.spec = after.spec.with(self.mapping.request(RM, &message)?);
            after.spec = match (message, record) {
                (Message::Accept { value, .. }, Some(_)) => {
                    let rm = if value == Vote::Prepared { Rm::Prepared } else { Rm::Aborted };
                    self.spec.layout.with_rm(after.spec, RM, rm)
                }
                _ => after.spec,
            };
        }
        next.push(after);
        Ok(())
    }

    /// All that an acceptor said.
    fn replies<const W: usize>(&self, world: &World<W>, acc: usize) -> Vec<Message<Vote>> {
        let mut replies = self.mapping.replies(&world.spec, RM, acc);
        let ballots = || (0..self.spec.layout.size.ballots).map(|bal| self.mapping.ballot(RM, bal));
        for (ballot, promised) in ballots().flat_map(|ballot| ballots().map(move |promised| (ballot, promised))) {
            let sent = |bit: usize| world.rejections >> bit & 1 == 1;
            if self.rejection(acc, ballot, promised).is_ok_and(sent) {
                replies.push(Message::Reject { ballot, promised });
            }
        }
        replies
    }

    fn rejection(&self, acc: usize, refused: Ballot, promised: Ballot) -> Result<usize, String> {
        let ballots = self.spec.layout.size.ballots;
        let (refused, promised) = (self.mapping.number(RM, refused)?, self.mapping.number(RM, promised)?);
        let bit = (acc * ballots + refused) * ballots + promised;
        assert!(bit < 64, "the world is too large to be explored with crashes");
        Ok(bit)
    }
}

impl<T, R: Copy, D: Clone> Process<T, R, D>
where
    T: Machine<Input = Input<Vote>, Record = R, Message = Message<Vote>, Decision = D>,
{
    fn new(disk: R, memory: T) -> Self {
        Self { disk, memory, waiting: Vec::new() }
    }

    /// What happens to the process, and the effects that are carried out thereby.
    fn run(
        &mut self,
        event: Event,
        driver: Driver,
        limit: usize,
        blank: R,
        restore: impl FnOnce(R) -> T,
    ) -> Rc<[EffectOf<T>]> {
        let done = match event {
            Event::Take(_) if self.waiting.len() == limit => Vec::new(),
            Event::Take(input) => {
                let effects = self.memory.step(input);
                let is_record = |effect: &EffectOf<T>| matches!(effect, Effect::Persist(_));
                let (at_once, later): (Vec<_>, Vec<_>) =
                    effects.into_iter().partition(|effect| driver == Driver::Hasty && !is_record(effect));
                if !later.is_empty() {
                    self.waiting.push(later);
                }
                at_once
            }
            Event::Perform if self.waiting.is_empty() => Vec::new(),
            Event::Perform => {
                let effects = self.waiting.remove(0);
                if let Some(Effect::Persist(record)) = effects.first() {
                    self.disk = *record;
                }
                effects
            }
            Event::Crash => {
                self.waiting.clear();
                self.disk = if driver == Driver::Blank { blank } else { self.disk };
                self.memory = restore(self.disk);
                Vec::new()
            }
        };
        done.into()
    }
}
