//! `paxos-rust`: single-decree Paxos, both phases, without a learner's detour. It takes proposer 1's first proposal
//! only (the id of a message is the proposer's on the way there and the proposal's on the way back), so every decision
//! has new machines, as ours has.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use ::paxos_rust::{Acceptor, Message, Messenger, Proposer};

use crate::subject::{Subject, Value, value};

#[derive(Default)]
struct Wires {
    packets: VecDeque<(usize, Message<Value>)>,
    chosen: Option<Value>,
    messages: u64,
}

/// One end of the wires; acceptors are numbered from 0, and the proposer comes last.
#[derive(Clone)]
struct End {
    wires: Rc<RefCell<Wires>>,
    acceptors: usize,
}

impl End {
    fn send(&self, to: usize, message: Message<Value>) {
        let mut wires = self.wires.borrow_mut();
        wires.messages += 1;
        wires.packets.push_back((to, message));
    }

    fn broadcast(&self, message: Message<Value>) {
        (0..self.acceptors).for_each(|to| self.send(to, message.clone()));
    }
}

impl Messenger<Value> for End {
    fn send_prepare(&mut self, message: Message<Value>) {
        self.broadcast(message);
    }

    fn send_promise(&mut self, message: Message<Value>) {
        self.send(self.acceptors, message);
    }

    fn send_accept(&mut self, message: Message<Value>) {
        self.broadcast(message);
    }

    fn send_accepted(&mut self, message: Message<Value>) {
        self.send(self.acceptors, message);
    }

    fn on_resolution(&mut self, _: u64, value: Arc<Value>) {
        self.wires.borrow_mut().chosen = Some(*value);
    }
}

struct Decree {
    proposer: Proposer<Value>,
    acceptors: Vec<Acceptor<Value>>,
    end: End,
}

/// Decrees under way.
pub struct Peer {
    decrees: Vec<Decree>,
    number: u64,
    messages: u64,
}

impl Decree {
    fn new(acceptors: usize) -> Self {
        let end = End { wires: Rc::default(), acceptors };
        let mut decree = Self { proposer: Proposer::new(1, 0), acceptors: Vec::new(), end };
        decree.renew();
        decree
    }

    fn renew(&mut self) {
        let count = self.end.acceptors;
        self.proposer = Proposer::new(1, (count / 2 + 1) as u8);
        self.proposer.messenger = Some(Box::new(self.end.clone()));
        self.acceptors.clear();
        self.acceptors.extend((0..count as u64).map(|id| {
            let mut acceptor = Acceptor::new(id);
            acceptor.messenger = Some(Box::new(self.end.clone()));
            acceptor
        }));
    }

    /// Delivers the next packet, if there is one.
    fn deliver(&mut self) -> bool {
        let next = self.end.wires.borrow_mut().packets.pop_front();
        match next {
            Some((to, message @ Message::Prepare(_))) => self.acceptors[to].receive_prepare(&message),
            Some((to, message @ Message::Accept(_))) => self.acceptors[to].receive_accept(&message),
            Some((_, message @ Message::Promise(_))) => self.proposer.receive_promise(message),
            Some((_, message @ Message::Accepted(_))) => self.proposer.receive_accepted(message),
            Some((_, Message::Nack)) | None => return false,
        }
        true
    }
}

impl Peer {
    /// Of so many acceptors, with `in_flight` decrees at a time.
    pub fn new(acceptors: usize, in_flight: usize) -> Self {
        Self { decrees: (0..in_flight).map(|_| Decree::new(acceptors)).collect(), number: 0, messages: 0 }
    }
}

impl Subject for Peer {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.decrees.len() {
            for decree in &mut self.decrees {
                self.number += 1;
                decree.renew();
                decree.proposer.prepare(value(self.number));
            }
            // One packet of each, so that all of them stay under way.
            while self.decrees.iter_mut().fold(false, |any, decree| decree.deliver() | any) {}
            for (number, decree) in (1..=self.number).rev().zip(self.decrees.iter_mut().rev()) {
                let mut wires = decree.end.wires.borrow_mut();
                assert_eq!(wires.chosen.take(), Some(value(number)));
                self.messages += std::mem::take(&mut wires.messages);
            }
        }
        self.messages - before
    }
}
