//! `synod`'s Paxos Commit, with every packet written as bytes and read again: what nodes on different machines do.

use std::{collections::VecDeque, hint::black_box};

use synod::{
    EffectSink, Machine, NodeId, Quorums, Scope, TxId, Urgency,
    codec::{decode_frame, encode_frame_into},
    commit::{
        ClusterId, ClusterSpec, Config, Decision, Input, Learning, Message, Meta, Node, Participants, Record, Targets,
        Vote,
    },
};

use crate::subject::{Subject, value};

const CLUSTER: ClusterId = ClusterId([0; 16]);

/// Nodes, and the network between them: frames, in the order in which they were sent.
pub struct Encoded {
    nodes: Vec<Node>,
    rms: Participants,
    network: Network,
    in_flight: usize,
    begun: u64,
    /// What each resource manager has committed and not finished.
    committed: Vec<(NodeId, TxId)>,
    completed: u64,
}

/// Takes the effects of the node that steps.
struct Network {
    at: NodeId,
    /// Frames, and who they are for. Their memory is used again.
    frames: VecDeque<(NodeId, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    decisions: Vec<(NodeId, Decision)>,
    messages: u64,
}

impl EffectSink<Record, Message, Decision> for Network {
    fn persist(&mut self, _: Record, _: Urgency) -> Scope {
        Scope::NOTHING
    }

    fn send(&mut self, to: NodeId, message: Message, _: Scope) {
        self.messages += 1;
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.clear();
        encode_frame_into(&mut frame, CLUSTER, self.at, to, &[message]);
        self.frames.push_back((to, frame));
    }

    fn decide(&mut self, decision: Decision, _: Scope) {
        self.decisions.push((self.at, decision));
    }
}

impl Encoded {
    /// With `in_flight` transactions at a time, among `n` resource managers; `f` acceptors may fail.
    pub fn new(n: usize, f: usize, in_flight: usize, faster: bool) -> Self {
        let rms: Vec<NodeId> = (0..n as u64).map(NodeId).collect();
        let acceptors: Vec<NodeId> = (n as u64..).take(2 * f + 1).map(NodeId).collect();
        let quorums = Quorums::majority(&acceptors).expect("a few acceptors");
        let spec = ClusterSpec::new(CLUSTER, quorums, [acceptors[0]]);
        let learning = if faster { Learning::Everyone } else { Learning::Leader };
        let cluster = spec.with_learning(learning).with_targets(Targets::Quorum).build().expect("a plain cluster");
        let (frames, spare, decisions) = Default::default();
        Self {
            nodes: rms
                .iter()
                .chain(&acceptors)
                .map(|id| Node::create(Config::new(cluster.clone(), *id, id.0)).0)
                .collect(),
            rms: Participants::new(rms).expect("resource managers"),
            network: Network { at: NodeId(0), frames, spare, decisions, messages: 0 },
            in_flight,
            begun: 0,
            committed: Vec::new(),
            completed: 0,
        }
    }

    fn step(&mut self, at: NodeId, input: Input) {
        self.network.at = at;
        self.nodes[at.0 as usize].step_into(input, &mut self.network).expect("nothing is refused");
    }

    fn run(&mut self) {
        loop {
            while let Some((at, decision)) = self.network.decisions.pop() {
                self.decide(at, decision);
            }
            let Some((to, frame)) = self.network.frames.pop_front() else { return };
            let packet = decode_frame(black_box(&frame), CLUSTER, to).expect("it was just encoded");
            self.network.at = to;
            self.nodes[to.0 as usize].receive(packet.from, &packet.messages, &mut self.network);
            self.network.spare.push(frame);
        }
    }

    fn decide(&mut self, at: NodeId, decision: Decision) {
        match decision {
            Decision::Vote { transaction, .. } => {
                self.step(at, Input::Vote { transaction, vote: Vote::Prepared });
            }
            Decision::Commit { transaction, .. } => self.committed.push((at, transaction.id())),
            Decision::Completed { .. } => self.completed += 1,
            Decision::Decided { .. }
            | Decision::Begun(_)
            | Decision::Named(_)
            | Decision::Forget(_)
            | Decision::Epoch { .. }
            | Decision::Changed { .. } => {}
            Decision::Abort { .. } => panic!("nobody aborts"),
        }
    }
}

impl Subject for Encoded {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.network.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.begun += 1;
                let meta = Meta::from(value(self.begun));
                self.step(self.rms.nodes()[0], Input::Begin { participants: self.rms.clone(), meta });
            }
            self.run();
        }
        self.network.messages - before
    }

    fn complete(&mut self) -> u64 {
        let before = self.network.messages;
        for (rm, tx) in std::mem::take(&mut self.committed) {
            self.step(rm, Input::Finished(tx));
        }
        self.run();
        assert_eq!(self.completed, self.begun, "every transaction is completed");
        self.network.messages - before
    }
}
