//! Three proposers, three acceptors and a learner, through loss, repetition, reordering and crashes between effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Effect, EffectOf, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Learner, Message, Proposer, ProposerConfig, ProposerRecord},
};

use super::*;

const LEARNER: NodeId = NodeId(21);

/// Something that happens in the world. Places in the network count from its oldest message, and around.
#[derive(Clone, Copy, Debug)]
enum Event {
    Propose(NodeId),
    Timeout(NodeId),
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    /// A node carries out the next of its effects.
    Perform(NodeId),
    /// A node loses its memory and the effects that it has not carried out.
    Crash(NodeId),
}

fn event() -> impl Strategy<Value = Event> {
    let proposer = || prop::sample::select(PROPOSERS.to_vec());
    let node = || prop::sample::select([PROPOSERS, ACCEPTORS].concat());
    prop_oneof![
        2 => proposer().prop_map(Event::Propose),
        2 => proposer().prop_map(Event::Timeout),
        12 => (0..30usize).prop_map(Event::Deliver),
        3 => (0..30usize).prop_map(Event::Repeat),
        2 => (0..30usize).prop_map(Event::Lose),
        30 => node().prop_map(Event::Perform),
        2 => node().prop_map(Event::Crash),
    ]
}

/// A machine, its disk, and the effects that it has asked for and not got yet.
struct Process<T: Machine> {
    machine: T,
    disk: T::Record,
    todo: VecDeque<EffectOf<T>>,
    /// How often it was started.
    lives: u64,
}

impl<T: Machine> Process<T> {
    fn new(machine: T, disk: T::Record) -> Self {
        Self { machine, disk, todo: VecDeque::new(), lives: 1 }
    }

    fn step(&mut self, input: T::Input) {
        self.todo.extend(self.machine.step(input));
    }

    fn crash(&mut self, restored: T) {
        self.machine = restored;
        self.todo.clear();
        self.lives += 1;
    }
}

struct World {
    configs: BTreeMap<NodeId, ProposerConfig>,
    proposers: BTreeMap<NodeId, Process<Proposer<Value>>>,
    acceptors: BTreeMap<NodeId, Process<Acceptor<Value>>>,
    learner: Learner<Value>,
    network: VecDeque<(NodeId, NodeId, Message<Value>)>,
    proposed: BTreeSet<Value>,
    decided: BTreeSet<Value>,
    /// Which life of a proposer used a ballot.
    used_in: BTreeMap<Ballot, u64>,
    /// The value that was sent in a ballot.
    values: BTreeMap<Ballot, Value>,
    performed: usize,
    /// Before which effects, by number, their node crashes.
    crashes: Vec<usize>,
}

impl World {
    fn new(eager: bool) -> Self {
        let configs = PROPOSERS.map(|id| (id, config(id).with_eager(eager)));
        let proposers = configs
            .clone()
            .map(|(id, config)| (id, Process::new(Proposer::new(config), ProposerRecord { round: 0, initial: None })));
        let acceptor = Acceptor::new(Some(OWNER));
        let acceptors = ACCEPTORS.map(|id| (id, Process::new(acceptor.clone(), *acceptor.record())));
        Self {
            configs: configs.into(),
            proposers: proposers.into(),
            acceptors: acceptors.into(),
            learner: Learner::new(Quorums::majority(ACCEPTORS).unwrap()),
            network: VecDeque::new(),
            proposed: BTreeSet::new(),
            decided: BTreeSet::new(),
            used_in: BTreeMap::new(),
            values: BTreeMap::new(),
            performed: 0,
            crashes: Vec::new(),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Propose(id) => self.propose(id),
            Event::Timeout(id) => self.proposers.get_mut(&id).unwrap().step(Input::Timeout),
            Event::Deliver(place) => {
                if let Some((from, to, message)) = self.place(place).and_then(|place| self.network.remove(place)) {
                    self.deliver(from, to, message);
                }
            }
            Event::Repeat(place) => {
                if let Some((from, to, message)) = self.place(place).map(|place| self.network[place]) {
                    self.deliver(from, to, message);
                }
            }
            Event::Lose(place) => {
                self.place(place).and_then(|place| self.network.remove(place));
            }
            Event::Perform(id) => self.perform(id),
            Event::Crash(id) => self.crash(id),
        }
        assert!(self.decided.len() <= 1, "agreement: {:?}", self.decided);
        assert!(self.decided.is_subset(&self.proposed), "validity: {:?} of {:?}", self.decided, self.proposed);
    }

    fn place(&self, place: usize) -> Option<usize> {
        place.checked_rem(self.network.len())
    }

    /// Every life of every proposer has another value in mind.
    fn propose(&mut self, id: NodeId) {
        let proposer = self.proposers.get_mut(&id).unwrap();
        let value = 100 * id.0 + proposer.lives;
        if proposer.machine.clone().step_into(Input::Propose(value), &mut Vec::new()).is_ok() {
            self.proposed.insert(value);
            proposer.step(Input::Propose(value));
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: Message<Value>) {
        let input = Input::Receive { from, message };
        if let Some(acceptor) = self.acceptors.get_mut(&to) {
            acceptor.step(input);
        } else if let Some(proposer) = self.proposers.get_mut(&to) {
            proposer.step(input);
        } else {
            let effects = self.learner.step(input);
            self.decided.extend(effects.into_iter().map(|effect| match effect {
                Effect::Decide(value) => value,
                other => panic!("a learner only decides: {other:?}"),
            }));
        }
    }

    fn perform(&mut self, id: NodeId) {
        if self.todo(id) == 0 {
            return;
        }
        self.performed += 1;
        if self.crashes.contains(&self.performed) {
            return self.crash(id);
        }
        if let Some(acceptor) = self.acceptors.get_mut(&id) {
            match acceptor.todo.pop_front().unwrap() {
                Effect::Persist(record) => {
                    assert_grown(&acceptor.disk, &record);
                    acceptor.disk = record;
                }
                Effect::Send { to, message } => {
                    self.network.push_back((id, to, message));
                    if matches!(message, Message::Accepted { .. }) {
                        self.network.push_back((id, LEARNER, message));
                    }
                }
                Effect::Decide(never) => match never {},
            }
            return;
        }
        let proposer = self.proposers.get_mut(&id).unwrap();
        match proposer.todo.pop_front().unwrap() {
            Effect::Persist(record) => proposer.disk = record,
            Effect::Decide(value) => drop(self.decided.insert(value)),
            Effect::Send { to, message } => {
                let life = *self.used_in.entry(message.ballot()).or_insert(proposer.lives);
                assert_eq!(life, proposer.lives, "{} was used before a crash", message.ballot());
                if let Message::Accept { ballot, value } = message {
                    assert_eq!(*self.values.entry(ballot).or_insert(value), value, "one value in {ballot}");
                }
                self.network.push_back((id, to, message));
            }
        }
    }

    fn crash(&mut self, id: NodeId) {
        if let Some(acceptor) = self.acceptors.get_mut(&id) {
            acceptor.crash(Acceptor::restore(acceptor.disk).unwrap());
        } else if let Some(proposer) = self.proposers.get_mut(&id) {
            proposer.crash(Proposer::restore(self.configs[&id].clone(), proposer.disk).unwrap());
        }
    }

    fn todo(&self, id: NodeId) -> usize {
        let acceptor = self.acceptors.get(&id).map(|process| process.todo.len());
        acceptor.unwrap_or_else(|| self.proposers[&id].todo.len())
    }

    /// Carries out all effects and delivers all messages, oldest first, until nothing is left to do.
    /// `deaf` get nothing.
    fn settle(&mut self, deaf: &[NodeId]) {
        for _ in 0..10_000 {
            let busy = [PROPOSERS, ACCEPTORS].concat().into_iter().find(|id| self.todo(*id) > 0);
            match (busy, self.network.front()) {
                (Some(id), _) => self.take(Event::Perform(id)),
                (None, Some((_, to, _))) if deaf.contains(to) => self.take(Event::Lose(0)),
                (None, Some(_)) => self.take(Event::Deliver(0)),
                (None, None) => return,
            }
        }
        panic!("the world does not come to rest");
    }

    /// Lets one proposer try alone, a few times, until it knows the outcome.
    fn heal(&mut self, id: NodeId) {
        let others: Vec<_> = PROPOSERS.into_iter().filter(|other| *other != id).collect();
        for tries in 0..4 {
            self.settle(&others);
            if self.proposers[&id].machine.chosen().is_some() {
                assert!(tries == 0 || self.learner.chosen().is_some(), "told of every acceptance, the learner knows");
                return;
            }
            self.take(Event::Propose(id));
            self.take(Event::Timeout(id));
        }
        panic!("{id} gets nowhere although nothing is in its way");
    }
}

/// What an acceptor writes never takes anything back.
fn assert_grown(before: &AcceptorRecord<Value>, after: &AcceptorRecord<Value>) {
    let at = |record: &AcceptorRecord<Value>| record.accepted.map(|(at, _)| at);
    assert!(after.promised >= before.promised && at(after) >= at(before) && at(after) <= after.promised);
    assert!(at(after) != at(before) || after.accepted == before.accepted);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        cases: 1000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_one_proposed_value_is_decided_and_healing_ends_it(
        eager in any::<bool>(),
        events in prop::collection::vec(event(), 0..300),
        healed in prop::sample::select(PROPOSERS.to_vec()),
    ) {
        let mut world = World::new(eager);
        events.into_iter().for_each(|event| world.take(event));
        world.heal(healed);
    }
}

/// Two proposers, every message delivered in order, and crashes before the effects of these numbers.
fn run(crashes: Vec<usize>) -> World {
    let mut world = World { crashes, ..World::new(false) };
    let pair = [PROPOSERS[0], PROPOSERS[1]];
    pair.into_iter().for_each(|id| world.take(Event::Propose(id)));
    world.settle(&[]);
    for turn in 0..12 {
        let id = pair[turn % 2];
        if world.proposers[&id].machine.chosen().is_none() {
            world.take(Event::Propose(id));
            world.take(Event::Timeout(id));
            world.settle(&[]);
        }
    }
    let chosen = pair.map(|id| world.proposers[&id].machine.chosen().copied());
    assert!(chosen[0].is_some() && chosen[0] == chosen[1], "{chosen:?} after crashes at {:?}", world.crashes);
    world
}

#[test]
fn a_crash_between_any_two_effects_and_another_later_lose_no_decision() {
    let effects = run(Vec::new()).performed;
    let mut values = BTreeSet::new();
    for first in 1..=effects {
        for second in first..=effects {
            values.extend(run(vec![first, second]).decided);
        }
    }
    println!("{effects} effects without a crash; {} different values decided", values.len());
    assert!(values.len() > 1, "crashes decide who wins");
}
