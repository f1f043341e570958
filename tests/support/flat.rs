//! Three processes that are acceptor, transaction manager and resource manager in one, with disks that forget what
//! they are told to forget.

use std::collections::{BTreeMap, VecDeque};

use synod::{
    Effect, Machine, NodeId,
    commit::{self, Decision, Input, Key, Limits, Meta, Node, Outcome, Participants, Record, Time, Vote},
};

use super::{RMS, config, say, spec_of};

/// How many outcomes the nodes remember.
const HISTORY: usize = 1 << 10;
/// How much the nodes may say until all that is begun together is over.
const TALK: usize = 1_000_000;

pub struct Flat {
    sites: BTreeMap<NodeId, (Node, BTreeMap<Key, Record>)>,
    wire: VecDeque<(NodeId, Input)>,
    now: u64,
    pub committed: u64,
}

impl Flat {
    pub fn new() -> Self {
        let mut new = Self { sites: BTreeMap::new(), wire: VecDeque::new(), now: 0, committed: 0 };
        for at in RMS {
            let limits = Limits::default().with_history(HISTORY);
            let cluster = spec_of(&RMS, &RMS).with_limits(limits).build().unwrap();
            let (node, effects) = Node::create(config(&cluster, at));
            new.sites.insert(at, (node, BTreeMap::new()));
            new.carry_out(at, effects);
        }
        new
    }

    fn carry_out(&mut self, at: NodeId, effects: Vec<commit::Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) if record.is_tombstone() => {
                    self.disk(at).remove(&record.key());
                }
                Effect::Persist(record) => {
                    self.disk(at).insert(record.key(), record);
                }
                Effect::Send { to, message } => self.wire.push_back((to, say::from(at, message))),
                Effect::Decide(Decision::Vote { transaction, .. }) => {
                    self.wire.push_back((at, Input::Vote { transaction, vote: Vote::Prepared }));
                }
                Effect::Decide(Decision::Commit { transaction, .. }) => {
                    self.wire.push_back((at, Input::Finished(transaction.id())));
                }
                Effect::Decide(Decision::Completed { outcome, .. }) => {
                    self.committed += u64::from(outcome == Outcome::Committed)
                }
                Effect::Decide(decision) => {
                    assert!(matches!(decision, Decision::Begun(_) | Decision::Decided { .. }), "{decision:?}");
                }
            }
        }
    }

    fn disk(&mut self, at: NodeId) -> &mut BTreeMap<Key, Record> {
        &mut self.sites.get_mut(&at).unwrap().1
    }

    fn step(&mut self, at: NodeId, input: Input) {
        let effects = self.sites.get_mut(&at).unwrap().0.step(input);
        self.carry_out(at, effects);
    }

    fn run(&mut self) {
        for _ in 0..TALK {
            let Some((at, input)) = self.wire.pop_front() else { return };
            self.step(at, input);
        }
        panic!("the nodes do not stop talking");
    }

    pub fn commit(&mut self, transactions: u64) {
        for _ in 0..transactions {
            self.step(RMS[0], Input::Begin { participants: Participants::new(RMS).unwrap(), meta: Meta::default() });
        }
        self.run();
    }

    /// Lets what was due be done.
    pub fn advance(&mut self) {
        for _ in 0..3 {
            self.now += 10_000;
            for at in RMS {
                self.step(at, Input::Tick(Time(self.now)));
            }
            self.run();
        }
    }

    pub fn restart(&mut self) {
        for (node, disk) in self.sites.values_mut() {
            *node = Node::restore(node.config().clone(), disk.values().cloned()).unwrap();
        }
    }

    /// Restarts skip the rest of a block of numbers: these gaps, and no others, cost a range each.
    pub fn assert_flat(&self) {
        let restarts = (self.committed / 20_000) as usize;
        for (node, disk) in self.sites.values() {
            let metrics = node.metrics();
            assert_eq!(metrics.open, 0);
            assert_eq!(metrics.unacknowledged_ranges, 0);
            assert!(metrics.retired_ranges <= 1 + restarts, "{metrics:?}");
            let snapshot = node.snapshot();
            assert!(snapshot.len() <= 3 + metrics.retired_ranges + HISTORY / 64);
            assert_eq!(snapshot.iter().map(|record| (record.key(), record.clone())).collect::<BTreeMap<_, _>>(), *disk);
        }
    }
}
