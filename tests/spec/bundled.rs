//! The machines of Paxos Commit message by message, each message as it was sent: a bundle is delivered whole, or in a
//! world of its own, taken apart. Nothing is projected away while they run. For small worlds.

use std::{
    array,
    fmt::{self, Display, Formatter},
    iter,
    rc::Rc,
};

use synod::{
    NodeId,
    commit::{Learning, Message},
};

use super::{
    layout::State,
    pool::{Map, Places, Pool, places},
    processes::{Flaw, Input, Meaning, Process, Processes, pieces},
    specification::Specification,
};

/// What the processes and the network of a world are like.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) learning: Learning,
    /// Whether the network may take bundles apart.
    pub(crate) apart: bool,
    /// Whether there are `Begin`, `Prepare` and `Inquire`, too.
    pub(crate) chatter: bool,
    /// Whether votes are durable in the resource managers' databases.
    pub(crate) elsewhere: bool,
    pub(crate) flaw: Option<Flaw>,
}

/// A transaction manager learns and tells the others; bundles are delivered whole.
pub(crate) const LEADER: Kind =
    Kind { learning: Learning::Leader, apart: false, chatter: false, elsewhere: false, flaw: None };

/// A state of the specification, and what it does not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World<const W: usize> {
    pub(crate) spec: State<W>,
    /// Resource managers, acceptors, transaction managers.
    processes: Places,
    /// All that was ever sent.
    sent: Soup,
}

/// A set of messages, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Soup([u64; 4]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// The input of this number among those of the process itself.
    Own(usize),
    /// The message of this number comes.
    Receive(usize),
}

type Step = Result<Rc<(Soup, Meaning)>, String>;

pub(crate) struct Bundled<'a> {
    pub(crate) spec: &'a Specification,
    kind: Kind,
    processes: Processes,
    states: Pool<Process, Event, Step>,
    messages: Messages,
    /// The most steps of the specification that one step was.
    pub(crate) longest: usize,
}

/// Every message that was ever sent in any world.
#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) all: Vec<(NodeId, Message)>,
    /// By sender, receiver and message.
    numbers: Map<(NodeId, NodeId, Message), usize>,
    /// By receiver.
    pub(crate) to: Map<NodeId, Soup>,
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let learning = match self.learning {
            Learning::Leader => "a transaction manager learns",
            Learning::Everyone => "the resource managers learn",
        };
        let bundles = if self.apart { "bundles may be taken apart" } else { "bundles stay whole" };
        let chatter = if self.chatter { "; there are Begin, Prepare and Inquire" } else { "" };
        let elsewhere = if self.elsewhere { "; votes are durable elsewhere" } else { "" };
        write!(f, "{learning}; {bundles}{chatter}{elsewhere}")
    }
}

impl<'a> Bundled<'a> {
    pub(crate) fn new(spec: &'a Specification, kind: Kind) -> Self {
        let processes = Processes::new(spec.layout.clone(), kind.learning, kind.flaw);
        Self { spec, kind, processes, states: Pool::new(), messages: Messages::default(), longest: 1 }
    }

    pub(crate) fn initial<const W: usize>(&mut self) -> World<W> {
        // Where there is no chatter, nobody asks.
        let rm = match self.kind {
            Kind { elsewhere: true, .. } => Processes::elsewhere,
            Kind { chatter: true, .. } => Processes::unasked_resource_manager,
            _ => Processes::resource_manager,
        };
        let processes = self.processes.all(rm).into_iter().map(|process| self.states.number(process));
        World { spec: self.spec.initial(), processes: places(processes), sent: Soup::default() }
    }

    /// How many states of processes were met, and how many messages.
    pub(crate) fn met(&self) -> (usize, usize) {
        (self.states.len(), self.messages.all.len())
    }

    /// Appends what any one step of any process leads to. Every step must be one of the specification, or a sequence.
    pub(crate) fn successors<const W: usize>(
        &mut self,
        world: &World<W>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let size = self.spec.layout.size;
        for place in 0..size.rms + size.acceptors + (size.ballots - 1).max(1) {
            let process = self.states.get(world.processes[place]);
            let own = process.own_inputs(size.ballots, self.kind.chatter);
            let mine = self.messages.to.get(&process.node()).copied().unwrap_or_default();
            for (number, input) in own.enumerate() {
                self.step(world, place, (Event::Own(number), Some(input)), next)?;
            }
            for message in world.sent.and(mine).numbers() {
                self.step(world, place, (Event::Receive(message), None), next)?;
            }
        }
        Ok(())
    }

    fn step<const W: usize>(
        &mut self,
        world: &World<W>,
        place: usize,
        (event, own): (Event, Option<Input>),
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let Self { processes, messages, states, kind, .. } = self;
        let (number, step) = states.step(world.processes[place], event, |process, event| {
            let input = match event {
                Event::Own(_) => own.expect("it is given"),
                Event::Receive(number) => messages.input(number),
            };
            let (sends, meaning) = processes.step(process, &input)?;
            let mut sent = Soup::default();
            for (to, message) in sends {
                let whole = if kind.apart { pieces(message) } else { vec![message] };
                whole.into_iter().for_each(|message| sent.insert(messages.number(process.node(), to, message)));
            }
            Ok(Rc::new((sent, meaning)))
        });
        let step = step?;
        let (sent, meaning) = &*step;
        let mut after = world.clone();
        after.processes[place] = number;
        after.sent = after.sent.or(*sent);
        after.spec = meaning.apply(&self.spec.layout, after.spec);
        if after.spec != world.spec {
            let most = self.processes.most_steps(self.states.get(number));
            let Some(steps) = self.spec.distance(&world.spec, &after.spec, most) else {
                let to = self.spec.layout.describe(&after.spec);
                return Err(format!("the specification has no {most} steps that lead to{to}"));
            };
            self.longest = self.longest.max(steps);
        }
        if after != *world {
            next.push(after);
        }
        Ok(())
    }
}

impl Messages {
    pub(crate) fn number(&mut self, from: NodeId, to: NodeId, message: Message) -> usize {
        let number = *self.numbers.entry((from, to, message.clone())).or_insert(self.all.len());
        if number == self.all.len() {
            self.all.push((from, message));
            self.to.entry(to).or_default().insert(number);
        }
        number
    }

    pub(crate) fn input(&self, number: usize) -> Input {
        let (from, message) = self.all[number].clone();
        Input::Receive(from, message)
    }
}

impl Soup {
    pub(crate) fn insert(&mut self, number: usize) {
        assert!(number < 256, "the world is too large to be explored message by message");
        self.0[number / 64] |= 1 << (number % 64);
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(array::from_fn(|word| self.0[word] | other.0[word]))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(array::from_fn(|word| self.0[word] & other.0[word]))
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..4).flat_map(move |word| {
            let mut rest = self.0[word];
            iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(64 * word + bit)
            })
        })
    }
}
