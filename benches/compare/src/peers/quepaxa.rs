//! `quepaxa`: QuePaxa, whose first replica is the preferred leader. Its messages are bytes.

use std::collections::VecDeque;

use ::quepaxa::{Action, Config, Input, NodeId, Replica, Slot, Timestamp};
use bytes::Bytes;

use super::LONGEST;
use crate::subject::{Subject, value};

const NOW: Timestamp = Timestamp(1);

/// A cluster; the first replica leads.
pub struct Peer {
    replicas: Vec<Replica>,
    network: VecDeque<(usize, Input)>,
    actions: Vec<Action>,
    in_flight: usize,
    number: u64,
    committed: u64,
    last: Bytes,
    /// Entries since the log was cut.
    kept: usize,
    messages: u64,
}

impl Peer {
    /// Of so many replicas, with `in_flight` entries at a time.
    pub fn new(nodes: u32, in_flight: usize) -> Self {
        let ids: Vec<NodeId> = (0..nodes).map(NodeId).collect();
        let replica = |id: &NodeId| {
            let config = Config::new([5; 16], *id, ids.clone(), [id.0 as u8 + 1; 32]);
            Replica::new(config, [], NOW).expect("a plain configuration")
        };
        let mut peer = Self {
            replicas: ids.iter().map(replica).collect(),
            network: VecDeque::new(),
            actions: Vec::new(),
            in_flight,
            number: 0,
            committed: 0,
            last: Bytes::new(),
            kept: 0,
            messages: 0,
        };
        (0..ids.len()).for_each(|place| peer.carry_out(place));
        peer.run();
        peer
    }

    fn run(&mut self) {
        while let Some((to, input)) = self.network.pop_front() {
            self.replicas[to].handle(NOW, input).expect("its actions are carried out");
            self.carry_out(to);
        }
    }

    fn carry_out(&mut self, place: usize) {
        self.replicas[place].poll_actions(&mut self.actions);
        for action in self.actions.drain(..) {
            match action {
                Action::Send(out) => {
                    self.messages += 1;
                    self.network.push_back((out.to.0 as usize, Input::Message(out.bytes)));
                }
                Action::Persist { id, then, .. } => {
                    self.messages += then.len() as u64;
                    self.network.extend(then.into_iter().map(|out| (out.to.0 as usize, Input::Message(out.bytes))));
                    self.network.push_back((place, Input::Persisted(id)));
                }
                Action::Commit { entries, .. } if place == 0 => {
                    self.committed += entries.len() as u64;
                    if let Some(last) = entries.into_iter().next_back() {
                        self.last = last.payload;
                    }
                }
                _ => {}
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
                let payload = Bytes::copy_from_slice(&value(self.number));
                self.replicas[0].propose(NOW, payload).expect("there is room for a thousand");
                self.carry_out(0);
            }
            self.run();
            assert_eq!(self.committed, self.number);
            self.kept += self.in_flight;
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        assert_eq!(self.last[..], value(self.number));
        if self.kept >= LONGEST {
            self.kept = 0;
            for place in 0..self.replicas.len() {
                let (next, state) = (self.replicas[place].emitted_index(), self.replicas[place].core_state());
                self.replicas[place].compact(NOW, Slot(next - 1), state).expect("all of it is committed");
                self.carry_out(place);
            }
            self.run();
        }
        0
    }
}
