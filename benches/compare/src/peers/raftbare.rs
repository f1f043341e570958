//! `raftbare`: Raft without its data. Its log says that there is a command, and the caller keeps which one; so the
//! values go along by hand here.

use std::collections::VecDeque;

use ::raftbare::{Action, LogIndex, Message, Node, NodeId};

use super::LONGEST;
use crate::subject::{Subject, Value, value};

struct Member {
    node: Node,
    /// The values of the log's entries from `first` on. What is no command has a value of zeros.
    values: VecDeque<Value>,
    first: u64,
}

struct Packet {
    to: usize,
    message: Message,
    values: Vec<Value>,
}

/// A cluster; the first node leads.
pub struct Peer {
    members: Vec<Member>,
    network: VecDeque<Packet>,
    in_flight: usize,
    number: u64,
    messages: u64,
}

impl Peer {
    /// Of so many nodes, with `in_flight` entries at a time.
    pub fn new(nodes: u64, in_flight: usize) -> Self {
        let ids: Vec<NodeId> = (0..nodes).map(NodeId::new).collect();
        let member = |id: &NodeId| Member { node: Node::start(*id), values: VecDeque::new(), first: 1 };
        let members = ids.iter().map(member).collect();
        let mut peer = Self { members, network: VecDeque::new(), in_flight, number: 0, messages: 0 };
        let position = peer.members[0].node.create_cluster(&ids);
        peer.carry_out(0, &[]);
        peer.run();
        assert!(peer.members[0].node.get_commit_status(position).is_committed());
        assert!(peer.members[0].node.role().is_leader());
        peer
    }

    fn run(&mut self) {
        while let Some(Packet { to, message, values }) = self.network.pop_front() {
            self.members[to].node.handle_message(message);
            self.carry_out(to, &values);
        }
    }

    /// Carries out what a node asks for. `values` belong to the entries that it was sent last.
    fn carry_out(&mut self, place: usize, values: &[Value]) {
        let Self { members, network, messages, .. } = self;
        let count = members.len();
        let Member { node, values: log, first } = &mut members[place];
        let peers = (0..count).filter(|peer| *peer != place);
        while let Some(action) = node.actions_mut().next() {
            let mut send = |to: usize, message: Message| {
                *messages += 1;
                let values = match &message {
                    Message::AppendEntriesCall { entries, .. } => {
                        let skipped = (entries.prev_position().index.get() + 1).saturating_sub(*first) as usize;
                        log.range(skipped.min(log.len())..).take(entries.len()).copied().collect()
                    }
                    _ => Vec::new(),
                };
                network.push_back(Packet { to, message, values });
            };
            match action {
                Action::BroadcastMessage(message) => peers.clone().for_each(|peer| send(peer, message.clone())),
                Action::SendMessage(to, message) => send(to.get() as usize, message),
                Action::AppendLogEntries(entries) => {
                    let skipped = (entries.prev_position().index.get() + 1 - *first) as usize;
                    if !node.role().is_leader() || log.len() < skipped + entries.len() {
                        let sent = values.iter().copied().chain(std::iter::repeat([0; 16]));
                        log.truncate(skipped);
                        log.extend(sent.take(entries.len()));
                    }
                }
                Action::InstallSnapshot(_) => panic!("logs are cut where all of it is committed"),
                Action::SetElectionTimeout | Action::SaveCurrentTerm | Action::SaveVotedFor => {}
            }
        }
    }

    fn committed(&self, place: usize) -> Option<Value> {
        let Member { node, values, first } = &self.members[place];
        values.get((node.commit_index().get() - first) as usize).copied()
    }
}

impl Subject for Peer {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.number += 1;
                self.members[0].node.propose_command();
                self.members[0].values.push_back(value(self.number));
            }
            self.carry_out(0, &[]);
            self.run();
            assert_eq!(self.committed(0), Some(value(self.number)));
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        if self.members[0].values.len() >= LONGEST {
            // A heartbeat tells the followers what is committed.
            self.members[0].node.heartbeat();
            self.carry_out(0, &[]);
            self.run();
            for place in 0..self.members.len() {
                assert_eq!(self.committed(place), Some(value(self.number)), "every node knows");
                let Member { node, values, first } = &mut self.members[place];
                let index = node.commit_index().get() - 1;
                let (position, config) =
                    node.log().get_position_and_config(LogIndex::new(index)).expect("it is in the log");
                let config = config.clone();
                assert!(node.handle_snapshot_installed(position, config));
                values.drain(..(index + 1 - *first) as usize);
                *first = index + 1;
            }
        }
        0
    }
}
