//! `synod`'s Paxos Commit, through nodes: every resource manager and every acceptor on a process of its own, the
//! transaction manager on the first acceptor's.

use std::mem;

use synod::{
    Effect, Machine, NodeId, Quorums, TxId,
    commit::{self, Cluster, ClusterId, Config, Decision, Input, Learning, Node, Targets, Transaction, Vote},
};

use crate::subject::{Subject, value};

/// Nodes. What they ask for waits in a list, and is carried out from there.
pub struct Synod {
    nodes: Vec<Node>,
    rms: Vec<NodeId>,
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
            rms,
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
        let tx = self.nodes[0].allocate().expect("numbers are left");
        self.begun += 1;
        let transaction = Transaction::new(tx, &self.rms, value(self.begun)).expect("a plain transaction");
        self.step(self.rms[0], Input::Begin(transaction));
    }

    #[inline]
    fn step(&mut self, at: NodeId, input: Input) {
        let start = self.effects.len();
        let _ = self.nodes[at.0 as usize].step_into(input, &mut self.effects);
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
            let mut step = steps.drain(..);
            let (mut at, mut end) = step.next().unwrap_or_default();
            for (place, effect) in effects.drain(..).enumerate() {
                if place == end {
                    (at, end) = step.next().unwrap_or_default();
                }
                self.carry_out(at, effect);
            }
        }
        self.spare = (effects, steps);
    }

    #[inline]
    fn carry_out(&mut self, at: NodeId, effect: commit::Effect) {
        match effect {
            Effect::Persist(_) => {}
            Effect::Send { to, message } => {
                self.messages += 1;
                self.step(to, Input::Receive { from: at, message });
            }
            Effect::Decide(Decision::Vote(transaction)) => {
                self.step(at, Input::Vote { tx: transaction.id(), vote: Vote::Prepared });
            }
            Effect::Decide(Decision::Commit(tx)) => self.committed.push((at, tx)),
            Effect::Decide(Decision::Completed { .. }) => self.completed += 1,
            Effect::Decide(Decision::Decided { .. }) => {}
            Effect::Decide(Decision::Abort(_)) => panic!("nobody aborts"),
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
