//! `raft`: the Raft of TiKV, with its own memory storage, driven as its example does.

use ::raft::{
    Config, RawNode,
    eraftpb::{ConfState, Entry, Message},
    storage::MemStorage,
};

use super::LONGEST;
use crate::subject::{Subject, value};

struct Member {
    node: RawNode<MemStorage>,
    /// The last entry that was applied: its index and its value.
    applied: (u64, Vec<u8>),
}

/// A cluster; the first node leads.
pub struct Peer {
    members: Vec<Member>,
    network: Vec<Message>,
    arriving: Vec<Message>,
    in_flight: usize,
    number: u64,
    /// The last entry that was cut off the logs.
    cut: u64,
    messages: u64,
}

impl Peer {
    /// Of so many nodes, with `in_flight` entries at a time.
    pub fn new(nodes: u64, in_flight: usize) -> Self {
        let ids: Vec<u64> = (1..=nodes).collect();
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let member = |id: &u64| {
            let config = Config { id: *id, batch_append: true, ..Config::default() };
            let storage = MemStorage::new_with_conf_state(ConfState::from((ids.clone(), vec![])));
            let node = RawNode::new(&config, storage, &logger).expect("a plain configuration");
            Member { node, applied: (0, Vec::new()) }
        };
        let members = ids.iter().map(member).collect();
        let (network, arriving) = (Vec::new(), Vec::new());
        let mut peer = Self { members, network, arriving, in_flight, number: 0, cut: 0, messages: 0 };
        peer.members[0].node.campaign().expect("a follower may campaign");
        peer.run();
        assert_eq!(peer.members[0].node.raft.leader_id, 1);
        peer
    }

    fn run(&mut self) {
        loop {
            for member in &mut self.members {
                while member.node.has_ready() {
                    member.ready(&mut self.network);
                }
            }
            if self.network.is_empty() {
                return;
            }
            self.messages += self.network.len() as u64;
            std::mem::swap(&mut self.network, &mut self.arriving);
            for message in self.arriving.drain(..) {
                self.members[message.to as usize - 1].node.step(message).expect("members know each other");
            }
        }
    }
}

impl Member {
    fn ready(&mut self, network: &mut Vec<Message>) {
        let mut ready = self.node.ready();
        network.extend(ready.take_messages());
        self.apply(ready.take_committed_entries());
        let store = self.node.store().clone();
        if !ready.entries().is_empty() {
            store.wl().append(ready.entries()).expect("the log goes on");
        }
        if let Some(state) = ready.hs() {
            store.wl().set_hardstate(state.clone());
        }
        network.extend(ready.take_persisted_messages());
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            store.wl().mut_hard_state().set_commit(commit);
        }
        network.extend(light.take_messages());
        self.apply(light.take_committed_entries());
        self.node.advance_apply();
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        if let Some(mut last) = entries.into_iter().next_back() {
            self.applied = (last.index, last.take_data().to_vec());
        }
    }
}

impl Subject for Peer {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.number += 1;
                self.members[0].node.propose(vec![], value(self.number).to_vec()).expect("the leader takes entries");
            }
            self.run();
            assert_eq!(self.members[0].applied.1, value(self.number));
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        let index = self.members[0].applied.0;
        assert!(self.members.iter().all(|member| member.applied.0 == index), "every node knows");
        if index - self.cut >= LONGEST as u64 {
            self.cut = index;
            for member in &mut self.members {
                member.node.store().wl().compact(index).expect("all of it is applied");
            }
        }
        0
    }
}
