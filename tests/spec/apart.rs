//! The machines of Paxos Commit in a network that takes bundles apart and puts them together as it likes: any parts that
//! were sent in one ballot may come together. So what was sent is what the specification says was sent, which makes
//! worlds small enough for three acceptors.
//!
//! Resource managers and acceptors take every message in every order. What transaction managers have heard is not part
//! of a world: each of their steps is made by a copy that is fed, at once, all that the step takes.

use std::rc::Rc;

use synod::{
    NodeId,
    commit::{Learning, Message, Outcome, Transaction, What},
    paxos,
};

use super::{
    layout::{State, VOTES},
    mapping::acceptor_node,
    parts::{Part, parts, together},
    pool::{Map, Places, Pool, places},
    processes::{Input, Meaning, Process, Processes},
    specification::Specification,
};

/// A state of the specification, and what it does not have: the votes that acceptors have gathered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World<const W: usize> {
    pub(crate) spec: State<W>,
    /// Resource managers, then acceptors.
    processes: Places,
}

/// The message of each instance, as the bit that it is in the specification; 0 for none.
type Bundle = [u8; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// The input of this number among those of the process itself.
    Own(usize),
    Recover,
    Receive(Bundle),
}

type Step = Result<Rc<Meaning>, String>;

pub(crate) struct Apart<'a> {
    spec: &'a Specification,
    /// Whether a transaction manager may have heard of acceptances when it asks for promises.
    informed: bool,
    processes: Processes,
    states: Pool<Process, Event, Step>,
    /// What each message of the specification is, and who sends it.
    messages: Map<u8, (NodeId, What)>,
    /// The transaction managers of ballots 1, 2, ..., when they have heard nothing.
    fresh: Vec<u32>,
    /// The same when they have asked for promises, by ballot and instances asked for; and have heard nothing since.
    started: Map<(usize, usize), u32>,
    /// The most steps of the specification that one step was.
    pub(crate) longest: usize,
}

impl<'a> Apart<'a> {
    pub(crate) fn new(spec: &'a Specification, informed: bool) -> Self {
        assert!(spec.layout.size.rms <= Bundle::default().len());
        let processes = Processes::new(spec.layout.clone(), Learning::Leader, None);
        let messages = messages(&processes);
        let mut states = Pool::new();
        let fresh = (1..spec.layout.size.ballots.max(2)).map(|bal| states.number(processes.manager(bal))).collect();
        Self { spec, informed, processes, states, messages, fresh, started: Map::default(), longest: 1 }
    }

    pub(crate) fn initial<const W: usize>(&mut self) -> World<W> {
        let size = self.spec.layout.size;
        let processes = self.processes.all(Processes::resource_manager).into_iter().take(size.rms + size.acceptors);
        let processes = places(processes.map(|process| self.states.number(process)));
        World { spec: self.spec.initial(), processes }
    }

    /// Appends what any one step of any process leads to. Every step must be one of the specification, or a sequence.
    pub(crate) fn successors<const W: usize>(
        &mut self,
        world: &World<W>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let size = self.spec.layout.size;
        for place in 0..size.rms + size.acceptors {
            let process = self.states.get(world.processes[place]);
            for number in 0..process.own_inputs(size.ballots, false).count() {
                self.step(world, place, Event::Own(number), next)?;
            }
        }
        let outcomes = [self.spec.layout.commit, self.spec.layout.abort];
        for outcome in outcomes.into_iter().filter(|outcome| world.spec.has(*outcome)) {
            for rm in 0..size.rms {
                self.step(world, rm, Event::Receive(only(outcome)), next)?;
            }
        }
        for bundle in self.requests(&world.spec) {
            for acc in 0..size.acceptors {
                self.step(world, size.rms + acc, Event::Receive(bundle), next)?;
            }
        }
        for bal in 1..size.ballots {
            self.recover(world, bal, next)?;
            self.propose(world, bal, next)?;
        }
        self.decide(world, next)?;
        self.check_steps(world, next)
    }

    /// All that may come to an acceptor.
    fn requests<const W: usize>(&self, state: &State<W>) -> Vec<Bundle> {
        let layout = &self.spec.layout;
        let rms = || 0..layout.size.rms;
        let votes = rms().flat_map(|rm| VOTES.map(|vote| layout.two_a(rm, 0, vote)));
        let mut requests: Vec<Bundle> = votes.filter(|vote| state.has(*vote)).map(only).collect();
        for bal in 1..layout.size.ballots {
            requests.extend(bundles(rms().map(|rm| Some(layout.one_a(rm, bal)).filter(|bit| state.has(*bit)))));
            let proposed = |rm| VOTES.map(|vote| layout.two_a(rm, bal, vote)).into_iter().find(|bit| state.has(*bit));
            requests.extend(bundles(rms().map(proposed)));
        }
        requests
    }

    fn step<const W: usize>(
        &mut self,
        world: &World<W>,
        place: usize,
        event: Event,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let (number, meaning) = self.take(world.processes[place], event)?;
        let mut after = World { spec: meaning.apply(&self.spec.layout, world.spec), ..world.clone() };
        after.processes[place] = number;
        if after != *world {
            next.push(after);
        }
        Ok(())
    }

    fn take(&mut self, number: u32, event: Event) -> Result<(u32, Rc<Meaning>), String> {
        let Self { spec, processes, states, messages, .. } = self;
        let (number, meaning) = states.step(number, event, |process, event| {
            let input = match event {
                Event::Own(number) => process.own_inputs(spec.layout.size.ballots, false).nth(number),
                Event::Recover => Some(Input::Recover),
                Event::Receive(bundle) => Some(receive(&processes.transaction, messages, bundle)),
            };
            let (_, meaning) = processes.step(process, &input.expect("it has such an input"))?;
            Ok(Rc::new(meaning))
        });
        Ok((number, meaning?))
    }

    /// Feeds a transaction manager. Returns what becomes of it, and of the state.
    fn feed<const W: usize>(
        &mut self,
        manager: u32,
        state: State<W>,
        bundles: impl IntoIterator<Item = Bundle>,
    ) -> Result<(u32, State<W>), String> {
        bundles.into_iter().try_fold((manager, state), |(manager, state), bundle| {
            let (manager, meaning) = self.take(manager, Event::Receive(bundle))?;
            Ok((manager, meaning.apply(&self.spec.layout, state)))
        })
    }

    /// The transaction manager of a ballot asks for promises, having heard all about some instances.
    fn recover<const W: usize>(
        &mut self,
        world: &World<W>,
        bal: usize,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        if self.asked(&world.spec, bal) != 0 {
            return Ok(());
        }
        let all = (1 << self.spec.layout.size.rms) - 1;
        for known in 0..if self.informed { all } else { 1 } {
            let heard = self.acceptances(&world.spec, known);
            let (manager, _) = self.feed(self.fresh[bal - 1], world.spec, heard)?;
            let (manager, meaning) = self.take(manager, Event::Recover)?;
            let after = meaning.apply(&self.spec.layout, world.spec);
            let asked = self.asked(&after, bal);
            if asked & known == 0 {
                self.started.entry((bal, asked)).or_insert(manager);
            }
            next.push(World { spec: after, ..world.clone() });
        }
        Ok(())
    }

    /// The transaction manager of a ballot hears the promises of one majority, for some of the instances that it asked
    /// for.
    fn propose<const W: usize>(
        &mut self,
        world: &World<W>,
        bal: usize,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let (spec, asked) = (self.spec, self.asked(&world.spec, bal));
        let layout = &spec.layout;
        let open = |rm: &usize| {
            asked >> rm & 1 == 1 && !VOTES.iter().any(|vote| world.spec.has(layout.two_a(*rm, bal, *vote)))
        };
        let open: Vec<usize> = (0..layout.size.rms).filter(open).collect();
        for some in 1usize..1 << open.len() {
            let instances = || open.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1).map(|(_, rm)| *rm);
            for majority in &spec.majorities {
                let promise = |rm, acc| {
                    let mut told = layout.acceptances().map(|told| layout.one_b(rm, acc, bal, told));
                    told.find(|bit| world.spec.has(*bit))
                };
                let promises = majority.iter().map(|acc| whole(instances().map(|rm| promise(rm, *acc))));
                let Some(promises) = promises.collect::<Option<Vec<Bundle>>>() else { continue };
                let (_, after) = self.feed(self.started[&(bal, asked)], world.spec, promises)?;
                next.push(World { spec: after, ..world.clone() });
            }
        }
        Ok(())
    }

    /// A transaction manager hears of all acceptances. (Whoever has heard less knows no more.)
    fn decide<const W: usize>(&mut self, world: &World<W>, next: &mut Vec<World<W>>) -> Result<(), String> {
        let heard = self.acceptances(&world.spec, usize::MAX);
        let (_, after) = self.feed(self.fresh[0], world.spec, heard)?;
        next.push(World { spec: after, ..world.clone() });
        Ok(())
    }

    /// The instances that the transaction manager of a ballot asked for.
    fn asked<const W: usize>(&self, state: &State<W>, bal: usize) -> usize {
        let layout = &self.spec.layout;
        (0..layout.size.rms).filter(|rm| state.has(layout.one_a(*rm, bal))).map(|rm| 1 << rm).sum()
    }

    /// All acceptances of some instances.
    fn acceptances<const W: usize>(&self, state: &State<W>, instances: usize) -> Vec<Bundle> {
        let layout = &self.spec.layout;
        let mut acceptances = Vec::new();
        for rm in (0..layout.size.rms).filter(|rm| instances >> rm & 1 == 1) {
            for acc in 0..layout.size.acceptors {
                let all = (0..layout.size.ballots).flat_map(|bal| VOTES.map(|vote| layout.two_b(rm, acc, bal, vote)));
                acceptances.extend(all.filter(|bit| state.has(*bit)).map(only));
            }
        }
        acceptances
    }

    fn check_steps<const W: usize>(&mut self, world: &World<W>, next: &[World<W>]) -> Result<(), String> {
        let most = 2 * self.spec.layout.size.rms;
        let mut allowed = Vec::with_capacity(32);
        self.spec.successors(&world.spec, &mut allowed);
        for after in next.iter().filter(|after| after.spec != world.spec && !allowed.contains(&after.spec)) {
            let Some(steps) = self.spec.distance(&world.spec, &after.spec, most) else {
                let to = self.spec.layout.describe(&after.spec);
                return Err(format!("the specification has no {most} steps that lead to{to}"));
            };
            self.longest = self.longest.max(steps);
        }
        Ok(())
    }
}

fn only(bit: usize) -> Bundle {
    [bit as u8, 0, 0]
}

/// One bundle of all, if there are all.
fn whole(bits: impl Iterator<Item = Option<usize>>) -> Option<Bundle> {
    let mut bundle = Bundle::default();
    for (place, bit) in bits.enumerate() {
        bundle[place] = bit? as u8;
    }
    Some(bundle)
}

/// All bundles that can be made of what there is.
fn bundles(bits: impl Iterator<Item = Option<usize>>) -> impl Iterator<Item = Bundle> {
    let bits: Vec<usize> = bits.flatten().collect();
    (1usize..1 << bits.len()).filter_map(move |some| {
        whole(bits.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1).map(|(_, bit)| Some(*bit)))
    })
}

fn receive(transaction: &Transaction, messages: &Map<u8, (NodeId, What)>, bundle: Bundle) -> Input {
    let mut pieces = bundle.iter().filter(|bit| **bit != 0).map(|bit| messages[bit].clone());
    let (from, mut what) = pieces.next().expect("no bundle is empty");
    let mut all = parts(transaction, &what);
    for (_, piece) in pieces {
        let more = parts(transaction, &piece);
        assert!(!all.is_empty() && !more.is_empty(), "votes come alone");
        all.extend(more);
        what = together(transaction, &all);
    }
    Input::Receive(from, Message::about(transaction, what))
}

/// Every message of the specification, as a machine would send it.
fn messages(processes: &Processes) -> Map<u8, (NodeId, What)> {
    let Processes { mapping, transaction, cluster, .. } = processes;
    let layout = &mapping.layout;
    let mut messages = Map::default();
    let mut add = |bit: usize, from, what| {
        messages.insert(u8::try_from(bit).expect("the world is small"), (from, what));
    };
    let first = cluster.managers()[0];
    for (bit, outcome) in [(layout.commit, Outcome::Committed), (layout.abort, Outcome::Aborted)] {
        add(bit, first, What::Outcome(outcome));
    }
    for (rm, bal) in (0..layout.size.rms).flat_map(|rm| (0..layout.size.ballots).map(move |bal| (rm, bal))) {
        let ballot = mapping.ballot(rm, bal);
        let alone = |message| together(transaction, &[Part { rm, message }]);
        for value in VOTES {
            let request = match bal {
                0 => What::Vote { vote: value, manager: first },
                _ => alone(paxos::Message::Accept { ballot, value }),
            };
            add(layout.two_a(rm, bal, value), ballot.node, request);
            for acc in 0..layout.size.acceptors {
                let accepted = alone(paxos::Message::Accepted { ballot, value });
                add(layout.two_b(rm, acc, bal, value), acceptor_node(acc), accepted);
            }
        }
        if bal > 0 {
            add(layout.one_a(rm, bal), ballot.node, alone(paxos::Message::Prepare { ballot }));
            for (acc, told) in
                (0..layout.size.acceptors).flat_map(|acc| layout.acceptances().map(move |told| (acc, told)))
            {
                let accepted = told.map(|(bal, vote)| (mapping.ballot(rm, bal), vote));
                let promise = alone(paxos::Message::Promise { ballot, accepted });
                add(layout.one_b(rm, acc, bal, told), acceptor_node(acc), promise);
            }
        }
    }
    messages
}
