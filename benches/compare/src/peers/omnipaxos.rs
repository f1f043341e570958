//! `omnipaxos`: Sequence Paxos under ballot leader election, with the memory storage of its authors.

use ::omnipaxos::{
    ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig,
    messages::Message,
    storage::{Entry, NoSnapshot},
    util::LogEntry,
};
use omnipaxos_storage::memory_storage::MemoryStorage;

use super::LONGEST;
use crate::subject::{Subject, Value, value};

#[derive(Clone, Debug)]
struct Item(Value);

impl Entry for Item {
    type Snapshot = NoSnapshot;
}

/// A cluster; the first node leads.
pub struct Peer {
    nodes: Vec<OmniPaxos<Item, MemoryStorage<Item>>>,
    network: Vec<Message<Item>>,
    arriving: Vec<Message<Item>>,
    in_flight: usize,
    number: u64,
    /// How many entries were decided when the log was cut.
    cut: usize,
    messages: u64,
}

impl Peer {
    /// Of so many nodes, with `in_flight` entries at a time.
    pub fn new(nodes: u64, in_flight: usize) -> Self {
        let ids: Vec<u64> = (1..=nodes).collect();
        let node = |pid: &u64| {
            let cluster_config = ClusterConfig { configuration_id: 1, nodes: ids.clone(), flexible_quorum: None };
            // Of two nodes that would lead, the one of higher priority does.
            let leader_priority = u32::from(*pid == 1);
            let server_config = ServerConfig { pid: *pid, leader_priority, ..ServerConfig::default() };
            let config = OmniPaxosConfig { cluster_config, server_config };
            config.build(MemoryStorage::default()).expect("a plain configuration")
        };
        let mut peer = Self {
            nodes: ids.iter().map(node).collect(),
            network: Vec::new(),
            arriving: Vec::new(),
            in_flight,
            number: 0,
            cut: 0,
            messages: 0,
        };
        let led = |peer: &Self| peer.nodes.iter().all(|node| node.get_current_leader().is_some_and(|(id, _)| id == 1));
        for _ in 0..1_000 {
            if led(&peer) {
                break;
            }
            peer.nodes.iter_mut().for_each(OmniPaxos::tick);
            peer.run();
        }
        assert!(led(&peer), "omnipaxos elects the node of highest priority");
        peer
    }

    fn run(&mut self) {
        loop {
            for node in &mut self.nodes {
                node.take_outgoing_messages(&mut self.network);
            }
            if self.network.is_empty() {
                return;
            }
            self.messages += self.network.len() as u64;
            std::mem::swap(&mut self.network, &mut self.arriving);
            for message in self.arriving.drain(..) {
                self.nodes[message.get_receiver() as usize - 1].handle_incoming(message);
            }
        }
    }
}

impl Subject for Peer {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.in_flight {
            for _ in 0..self.in_flight {
                self.number += 1;
                self.nodes[0].append(Item(value(self.number))).expect("the leader takes entries");
            }
            self.run();
            assert_eq!(self.nodes[0].get_decided_idx() as u64, self.number);
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        let decided = self.nodes[0].get_decided_idx();
        assert!(self.nodes.iter().all(|node| node.get_decided_idx() == decided), "every node knows");
        match self.nodes[0].read(decided - 1) {
            Some(LogEntry::Decided(Item(last))) => assert_eq!(last, value(self.number)),
            other => panic!("the last entry is {other:?}"),
        }
        if decided - self.cut >= LONGEST {
            // All but the last, which is read.
            self.cut = decided - 1;
            self.nodes[0].trim(Some(self.cut)).expect("all of it is decided everywhere");
            self.run();
        }
        0
    }
}
