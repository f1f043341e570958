//! Any schedule of three acceptors, two proposers and a learner, each of which may crash between any two effects: they
//! agree on a value that was proposed, and whoever is left alone with the acceptors gets to it.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use synod::{
    Ballot, Effect, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Learner, Message, Proposer, ProposerConfig, ProposerRecord},
};

/// Two values are enough to contradict each other.
type Value = bool;

#[derive(Arbitrary, Debug)]
struct Schedule {
    /// Whether the first proposer may start at the initial ballot.
    owner: bool,
    eager: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Step {
    Propose { proposer: bool, value: Value, crash: Crash },
    Timeout { proposer: bool, crash: Crash },
    Deliver { message: u8, crash: Crash },
    Duplicate { message: u8, crash: Crash },
    Lose { message: u8 },
}

/// After how many effects of the step the node crashes, if it does.
type Crash = Option<u8>;

const ACCEPTORS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const PROPOSERS: [NodeId; 2] = [NodeId(11), NodeId(12)];
/// No more messages than this are under way.
const WIRE: usize = 64;

struct Group {
    eager: bool,
    owner: Option<NodeId>,
    acceptors: BTreeMap<NodeId, (Acceptor<Value>, AcceptorRecord<Value>)>,
    proposers: BTreeMap<NodeId, (Proposer<Value>, ProposerRecord<Value>)>,
    wire: Vec<(NodeId, NodeId, Message<Value>)>,
    /// Hears every acceptance, at once.
    learner: Learner<Value>,
    chosen: Option<Value>,
    values: BTreeMap<Ballot, Value>,
    proposed: Vec<Value>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Ok(schedule) = Schedule::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let mut group = Group::new(schedule.owner, schedule.eager);
    for step in schedule.steps {
        group.step(step);
    }
    group.heal();
}

impl Group {
    fn new(owned: bool, eager: bool) -> Self {
        let owner = owned.then_some(PROPOSERS[0]);
        let mut group = Self {
            eager,
            owner,
            acceptors: BTreeMap::new(),
            proposers: BTreeMap::new(),
            wire: Vec::new(),
            learner: Learner::new(quorums()),
            chosen: None,
            values: BTreeMap::new(),
            proposed: Vec::new(),
        };
        for id in ACCEPTORS {
            let acceptor = Acceptor::new(owner);
            let record = *acceptor.record();
            group.acceptors.insert(id, (acceptor, record));
        }
        for id in PROPOSERS {
            let proposer = Proposer::new(group.config(id));
            let record = *proposer.record();
            group.proposers.insert(id, (proposer, record));
        }
        group
    }

    fn config(&self, id: NodeId) -> ProposerConfig {
        let (acceptors, proposers) = (quorums(), PROPOSERS.to_vec());
        ProposerConfig::new(id, acceptors, proposers).with_owner(self.owner).with_eager(self.eager)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Propose { proposer, value, crash } => {
                self.proposed.push(value);
                self.proposer(PROPOSERS[usize::from(proposer)], Input::Propose(value), crash);
            }
            Step::Timeout { proposer, crash } => {
                self.proposer(PROPOSERS[usize::from(proposer)], Input::Timeout, crash);
            }
            Step::Deliver { message, crash } => {
                if let Some(place) = self.place(message) {
                    let (from, to, message) = self.wire.remove(place);
                    self.deliver(from, to, message, crash);
                }
            }
            Step::Duplicate { message, crash } => {
                if let Some(place) = self.place(message) {
                    let (from, to, message) = self.wire[place];
                    self.deliver(from, to, message, crash);
                }
            }
            Step::Lose { message } => {
                if let Some(place) = self.place(message) {
                    self.wire.remove(place);
                }
            }
        }
    }

    fn place(&self, message: u8) -> Option<usize> {
        usize::from(message).checked_rem(self.wire.len())
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: Message<Value>, crash: Crash) {
        let input = Input::Receive { from, message };
        if self.acceptors.contains_key(&to) { self.acceptor(to, input, crash) } else { self.proposer(to, input, crash) }
    }

    fn acceptor(&mut self, id: NodeId, input: Input<Value>, crash: Crash) {
        let (mut acceptor, mut record) = self.acceptors[&id].clone();
        for effect in surviving(acceptor.step(input), crash) {
            match effect {
                Effect::Persist(written) => {
                    assert!(record.promised <= written.promised, "a promise went back");
                    assert!(
                        written.accepted.map(|(ballot, _)| ballot) <= written.promised,
                        "accepted above its promise"
                    );
                    record = written;
                }
                Effect::Send { to, message } => self.send(id, to, message),
                Effect::Decide(never) => match never {},
            }
        }
        if crash.is_some() {
            acceptor = Acceptor::restore(record).expect("what it wrote restores it");
        }
        self.acceptors.insert(id, (acceptor, record));
    }

    fn proposer(&mut self, id: NodeId, input: Input<Value>, crash: Crash) {
        let (mut proposer, mut record) = self.proposers[&id].clone();
        for effect in surviving(proposer.step(input), crash) {
            match effect {
                Effect::Persist(written) => record = written,
                Effect::Send { to, message } => self.send(id, to, message),
                Effect::Decide(value) => self.decided(value),
            }
        }
        if crash.is_some() {
            proposer = Proposer::restore(self.config(id), record).expect("what it wrote restores it");
        }
        self.proposers.insert(id, (proposer, record));
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message<Value>) {
        if let Message::Accept { ballot, value } | Message::Accepted { ballot, value } = message {
            assert_eq!(*self.values.entry(ballot).or_insert(value), value, "ballot {ballot} has two values");
        }
        if let Message::Accepted { .. } = message {
            for effect in self.learner.step(Input::Receive { from, message }) {
                let Effect::Decide(value) = effect;
                self.decided(value);
            }
        }
        if self.wire.len() == WIRE {
            self.wire.remove(0);
        }
        self.wire.push((from, to, message));
    }

    fn decided(&mut self, value: Value) {
        assert_eq!(*self.chosen.get_or_insert(value), value, "two values are chosen");
        assert!(self.proposed.contains(&value), "nobody proposed {value}");
    }

    /// Leaves one proposer alone with the acceptors, and nothing is lost any more.
    fn heal(&mut self) {
        self.wire.clear();
        let id = PROPOSERS[1];
        self.proposed.push(true);
        for _ in 0..4 {
            let input = if self.proposers[&id].0.clone().step_into(Input::Propose(true), &mut Vec::new()).is_ok() {
                Input::Propose(true)
            } else {
                Input::Timeout
            };
            self.proposer(id, input, None);
            while !self.wire.is_empty() {
                let (from, to, message) = self.wire.remove(0);
                self.deliver(from, to, message, None);
            }
        }
        assert!(self.proposers[&id].0.chosen().is_some(), "alone, and yet it gets nowhere");
    }
}

/// What is carried out of a step's effects before the crash.
fn surviving<E>(effects: Vec<E>, crash: Crash) -> impl Iterator<Item = E> {
    effects.into_iter().take(crash.map_or(usize::MAX, usize::from))
}

fn quorums() -> Quorums {
    Quorums::majority(ACCEPTORS).expect("three acceptors have a majority")
}
