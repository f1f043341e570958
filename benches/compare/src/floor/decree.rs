//! Single-decree Paxos by hand: one proposer, `A` acceptors.

use crate::{
    ring::Ring,
    subject::{Subject, Value, value},
};

type Ballot = (u64, u64);

const NONE: Ballot = (0, 0);
const PROPOSER: u64 = 1_000;

#[derive(Clone, Copy)]
enum Message {
    Prepare { ballot: Ballot },
    Promise { ballot: Ballot, accepted: Option<(Ballot, Value)> },
    Accept { ballot: Ballot, value: Value },
    Accepted { ballot: Ballot },
}

#[derive(Clone, Copy)]
struct Packet {
    from: u32,
    to: u32,
    decree: u32,
    message: Message,
}

#[derive(Clone, Copy)]
struct Acceptor {
    promised: Ballot,
    accepted: Option<(Ballot, Value)>,
}

#[derive(Clone, Copy)]
struct Proposer {
    ballot: Ballot,
    value: Value,
    highest: Option<(Ballot, Value)>,
    promised: u32,
    accepted: u32,
    decided: bool,
}

#[derive(Clone, Copy)]
struct Decree<const A: usize> {
    proposer: Proposer,
    acceptors: [Acceptor; A],
}

/// The floor of one decree.
pub struct Floor<const A: usize> {
    decrees: Vec<Decree<A>>,
    network: Ring<Packet>,
    full: bool,
    number: u64,
    messages: u64,
}

impl<const A: usize> Floor<A> {
    /// With `in_flight` decrees at a time; through both phases, or through the second one alone.
    pub fn new(in_flight: usize, full: bool) -> Self {
        let proposer =
            Proposer { ballot: NONE, value: [0; 16], highest: None, promised: 0, accepted: 0, decided: false };
        let blank = Decree { proposer, acceptors: [Acceptor { promised: NONE, accepted: None }; A] };
        let packet = Packet { from: 0, to: 0, decree: 0, message: Message::Prepare { ballot: NONE } };
        let network = Ring::new((in_flight * A * 2).next_power_of_two(), packet);
        Self { decrees: vec![blank; in_flight], network, full, number: 0, messages: 0 }
    }

    fn propose(&mut self, decree: u32) {
        self.number += 1;
        let value = value(self.number);
        let ballot = (u64::from(self.full), PROPOSER);
        self.decrees[decree as usize] = Decree {
            proposer: Proposer { ballot, value, highest: None, promised: 0, accepted: 0, decided: false },
            acceptors: [Acceptor { promised: NONE, accepted: None }; A],
        };
        let first = if self.full { Message::Prepare { ballot } } else { Message::Accept { ballot, value } };
        self.ask_all(decree, first);
    }

    fn ask_all(&mut self, decree: u32, message: Message) {
        for to in 0..A as u32 {
            self.send(Packet { from: A as u32, to, decree, message });
        }
    }

    fn send(&mut self, packet: Packet) {
        self.messages += 1;
        self.network.push(packet);
    }

    fn deliver(&mut self, Packet { from, to, decree, message }: Packet) {
        let state = &mut self.decrees[decree as usize];
        let reply = |message| Packet { from: to, to: from, decree, message };
        match message {
            Message::Prepare { ballot } => {
                let acceptor = &mut state.acceptors[to as usize];
                if ballot >= acceptor.promised {
                    acceptor.promised = ballot;
                    let accepted = acceptor.accepted;
                    self.send(reply(Message::Promise { ballot, accepted }));
                }
            }
            Message::Promise { ballot, accepted } => {
                let proposer = &mut state.proposer;
                if ballot != proposer.ballot || proposer.promised.count_ones() as usize > A / 2 {
                    return;
                }
                proposer.promised |= 1 << from;
                if accepted.map(|(at, _)| at) > proposer.highest.map(|(at, _)| at) {
                    proposer.highest = accepted;
                }
                if proposer.promised.count_ones() as usize > A / 2 {
                    let value = proposer.highest.map_or(proposer.value, |(_, value)| value);
                    proposer.value = value;
                    self.ask_all(decree, Message::Accept { ballot, value });
                }
            }
            Message::Accept { ballot, value } => {
                let acceptor = &mut state.acceptors[to as usize];
                if ballot >= acceptor.promised {
                    *acceptor = Acceptor { promised: ballot, accepted: Some((ballot, value)) };
                    self.send(reply(Message::Accepted { ballot }));
                }
            }
            Message::Accepted { ballot } => {
                let proposer = &mut state.proposer;
                if ballot == proposer.ballot {
                    proposer.accepted |= 1 << from;
                    proposer.decided |= proposer.accepted.count_ones() as usize > A / 2;
                }
            }
        }
    }
}

impl<const A: usize> Subject for Floor<A> {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        let in_flight = self.decrees.len();
        for _ in 0..count / in_flight {
            let first = self.number + 1;
            for decree in 0..in_flight as u32 {
                self.propose(decree);
            }
            while let Some(packet) = self.network.pop() {
                self.deliver(packet);
            }
            for (number, Decree { proposer, .. }) in (first..).zip(&self.decrees) {
                assert!(proposer.decided && proposer.value == value(number));
            }
        }
        self.messages - before
    }
}
