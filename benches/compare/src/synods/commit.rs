//! `synod`'s Paxos Commit, through nodes: every resource manager and every acceptor on a process of its own, the
//! transaction manager on the first acceptor's.

use std::{mem, slice};

use synod::{
    Effect, Machine, NodeId, Quorums, TxId,
    commit::{self, Cluster, ClusterId, Config, Decision, Input, Learning, Meta, Node, Participants, Targets, Vote},
};

use crate::subject::{Subject, value};

/// Nodes. What they ask for waits in a list, and is carried out from there.
pub struct Synod {
    nodes: Vec<Node>,
    rms: Participants,
    effects: Vec<commit::Effect>,
    /// The steps that they are from: which node made each, and where what it asks for ends in the list.
    steps: Vec<(NodeId, usize)>,
    /// Lists that are empty, kept for their room.
    spare: (Vec<commit::Effect>, Vec<(NodeId, usize)>),
    in_flight: usize,
    begun: u64,
    /// What each resource manager has committed and not finished.
    committed: Vec<(NodeId, TxId)>,
    completed: u64,
    messages: u64,
}

impl Synod {
    /// With `in_flight` transactions at a time, among `n` resource managers; `f` acceptors may fail.
    pub fn new(n: usize, f: usize, in_flight: usize, faster: bool) -> Self {
        let rms: Vec<NodeId> = (0..n as u64).map(NodeId).collect();
        let acceptors: Vec<NodeId> = (n as u64..).take(2 * f + 1).map(NodeId).collect();
        let quorums = Quorums::majority(&acceptors).expect("a few acceptors");
        let cluster = Cluster::new(ClusterId::default(), quorums, [acceptors[0]]).expect("a plain cluster");
        let learning = if faster { Learning::Everyone } else { Learning::Leader };
        // As the paper counts.
        let cluster = cluster.with_learning(learning).with_targets(Targets::Quorum);
        let ids = rms.iter().chain(&acceptors);
        Self {
            nodes: ids.map(|id| Node::create(Config::new(cluster.clone(), *id, id.0)).0).collect(),
            rms: Participants::new(rms).expect("resource managers"),
            effects: Vec::new(),
            steps: Vec::new(),
            spare: (Vec::new(), Vec::new()),
            in_flight,
            begun: 0,
            committed: Vec::new(),
            completed: 0,
            messages: 0,
        }
    }

    fn begin(&mut self) {
        self.begun += 1;
        let begin = Input::Begin { participants: self.rms.clone(), meta: Meta::from(value(self.begun)) };
        self.step(self.rms.nodes()[0], begin);
    }

    #[inline]
    fn step(&mut self, at: NodeId, input: Input) {
        let start = self.effects.len();
        self.nodes[at.0 as usize].step_into(input, &mut self.effects).expect("nothing is refused");
        self.note(at, start);
    }

    #[inline]
    fn note(&mut self, at: NodeId, start: usize) {
        let end = self.effects.len();
        if end > start {
            self.steps.push((at, end));
        }
    }

    /// Carries out what there is to be carried out, then what followed from that, and so on.
    fn run(&mut self) {
        let (mut effects, mut steps) = mem::take(&mut self.spare);
        while !self.effects.is_empty() {
            mem::swap(&mut effects, &mut self.effects);
            mem::swap(&mut steps, &mut self.steps);
            let mut start = 0;
            for (at, end) in steps.drain(..) {
                for effect in &effects[start..end] {
                    self.carry_out(at, effect);
                }
                start = end;
            }
            effects.clear();
        }
        self.spare = (effects, steps);
    }

    /// Messages pass by reference: all nodes are in one process.
    #[inline]
    fn carry_out(&mut self, at: NodeId, effect: &commit::Effect) {
        match effect {
            Effect::Persist(_) => {}
            Effect::Send { to, message } => {
                self.messages += 1;
                let start = self.effects.len();
                self.nodes[to.0 as usize].receive(at, slice::from_ref(message), &mut self.effects);
                self.note(*to, start);
            }
            Effect::Decide(Decision::Vote { transaction, .. }) => {
                self.step(at, Input::Vote { tx: transaction.id(), vote: Vote::Prepared });
            }
            Effect::Decide(Decision::Commit { transaction, .. }) => self.committed.push((at, transaction.id())),
            Effect::Decide(Decision::Completed { .. }) => self.completed += 1,
            Effect::Decide(Decision::Decided { .. } | Decision::Begun(_)) => {}
            Effect::Decide(Decision::Abort { .. }) => panic!("nobody aborts"),
        }
    }
}

impl Subject for Synod {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.begin();
            }
            self.run();
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        let before = self.messages;
        let mut committed = mem::take(&mut self.committed);
        for (rm, tx) in committed.drain(..) {
            self.step(rm, Input::Finished(tx));
        }
        self.committed = committed;
        self.run();
        assert_eq!(self.completed, self.begun, "every transaction is completed");
        self.messages - before
    }
}
