//! `synod`'s Paxos Commit, through nodes: every resource manager and every acceptor on a process of its own, the
//! transaction manager on the first acceptor's.

use std::{mem, slice};

use synod::{
    EffectSink, Machine, NodeId, Quorums, Scope, TxId, Urgency,
    commit::{
        ClusterId, ClusterSpec, Config, Decision, Input, Learning, Message, Meta, Node, Participants, Record, Targets,
        Transaction, Vote,
    },
};

use crate::subject::{Subject, value};

/// Nodes. What they say waits in a list, and is delivered from there.
pub struct Synod {
    nodes: Vec<Node>,
    rms: Participants,
    asked_for: AskedFor,
    /// An empty list, kept for its room.
    spare: Vec<Packet>,
    in_flight: usize,
    begun: u64,
}

/// What the nodes ask for, and is not carried out yet. What they write is forgotten: this measures no disk.
#[derive(Default)]
struct AskedFor {
    packets: Vec<Packet>,
    votes: Vec<(NodeId, Transaction)>,
    /// What each resource manager has committed and not finished.
    committed: Vec<(NodeId, TxId)>,
    messages: u64,
    decided: u64,
    completed: u64,
}

struct Packet {
    from: NodeId,
    to: NodeId,
    message: Message,
}

/// Where the effects of node `at` go.
struct Effects<'a> {
    at: NodeId,
    asked_for: &'a mut AskedFor,
}

impl EffectSink<Record, Message, Decision> for Effects<'_> {
    #[inline]
    fn persist(&mut self, _: Record, _: Urgency) -> Scope {
        Scope::NOTHING
    }

    #[inline]
    fn send(&mut self, to: NodeId, message: Message, _: Scope) {
        self.asked_for.packets.push(Packet { from: self.at, to, message });
    }

    #[inline]
    fn decide(&mut self, decision: Decision, _: Scope) {
        match decision {
            Decision::Vote { transaction, .. } => self.asked_for.votes.push((self.at, transaction)),
            Decision::Commit { transaction, .. } => self.asked_for.committed.push((self.at, transaction.id())),
            Decision::Decided { .. } => self.asked_for.decided += 1,
            Decision::Completed { .. } => self.asked_for.completed += 1,
            Decision::Begun(_)
            | Decision::Named(_)
            | Decision::Forget(_)
            | Decision::Epoch { .. }
            | Decision::Changed { .. } => {}
            Decision::Abort { .. } => panic!("nobody aborts"),
        }
    }
}

impl Synod {
    /// With `in_flight` transactions at a time, among `n` resource managers; `f` acceptors may fail.
    pub fn new(n: usize, f: usize, in_flight: usize, faster: bool) -> Self {
        let rms: Vec<NodeId> = (0..n as u64).map(NodeId).collect();
        let acceptors: Vec<NodeId> = (n as u64..).take(2 * f + 1).map(NodeId).collect();
        let quorums = Quorums::majority(&acceptors).expect("a few acceptors");
        let spec = ClusterSpec::new(ClusterId::default(), quorums, [acceptors[0]]);
        let learning = if faster { Learning::Everyone } else { Learning::Leader };
        // As the paper counts.
        let cluster = spec.with_learning(learning).with_targets(Targets::Quorum).build().expect("a plain cluster");
        let ids = rms.iter().chain(&acceptors);
        Self {
            nodes: ids.map(|id| Node::create(Config::new(cluster.clone(), *id, id.0)).0).collect(),
            rms: Participants::new(rms).expect("resource managers"),
            asked_for: AskedFor::default(),
            spare: Vec::new(),
            in_flight,
            begun: 0,
        }
    }

    fn begin(&mut self) {
        self.begun += 1;
        let begin = Input::Begin { participants: self.rms.clone(), meta: Meta::from(value(self.begun)) };
        self.step(self.rms.nodes()[0], begin);
    }

    #[inline]
    fn step(&mut self, at: NodeId, input: Input) {
        let effects = &mut Effects { at, asked_for: &mut self.asked_for };
        self.nodes[at.0 as usize].step_into(input, effects).expect("nothing is refused");
    }

    /// Carries out what there is to be carried out, then what followed from that, and so on. Messages pass by reference:
    /// all nodes are in one process.
    fn run(&mut self) {
        while !self.asked_for.packets.is_empty() || !self.asked_for.votes.is_empty() {
            while let Some((at, transaction)) = self.asked_for.votes.pop() {
                self.step(at, Input::Vote { transaction, vote: Vote::Prepared });
            }
            let mut packets = mem::replace(&mut self.asked_for.packets, mem::take(&mut self.spare));
            self.asked_for.messages += packets.len() as u64;
            for Packet { from, to, message } in &packets {
                let effects = &mut Effects { at: *to, asked_for: &mut self.asked_for };
                self.nodes[to.0 as usize].receive(*from, slice::from_ref(message), effects);
            }
            packets.clear();
            self.spare = packets;
        }
    }
}

impl Subject for Synod {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.asked_for.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.begin();
            }
            self.run();
        }
        let outcomes = self.begun as usize - self.asked_for.completed as usize;
        assert_eq!(self.asked_for.committed.len(), outcomes * self.rms.nodes().len(), "every transaction is decided");
        self.asked_for.messages - before
    }

    fn complete(&mut self) -> u64 {
        let before = self.asked_for.messages;
        let mut committed = mem::take(&mut self.asked_for.committed);
        for (rm, tx) in committed.drain(..) {
            self.step(rm, Input::Finished(tx));
        }
        self.asked_for.committed = committed;
        self.run();
        let AskedFor { decided, completed, .. } = self.asked_for;
        assert_eq!((decided, completed), (self.begun, self.begun), "every transaction is decided and completed");
        self.asked_for.messages - before
    }
}
