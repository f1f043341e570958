//! `synod`'s single decree: a proposer and its acceptors, new ones for every decision, and the floor's own network.

use std::convert::Infallible;

use synod::{
    Ballot, Effect, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use crate::{
    ring::Ring,
    subject::{Subject, Value, value},
};

const PROPOSER: NodeId = NodeId(1_000);

#[derive(Clone, Copy)]
struct Packet {
    from: NodeId,
    to: NodeId,
    decree: usize,
    message: Message<Value>,
}

struct Decree {
    proposer: Proposer<Value>,
    acceptors: Vec<Acceptor<Value>>,
    chosen: Option<Value>,
}

/// Paxos for one value.
pub struct Synod {
    config: ProposerConfig,
    decrees: Vec<Decree>,
    network: Ring<Packet>,
    proposed: Vec<Effect<ProposerRecord<Value>, Message<Value>, Value>>,
    accepted: Vec<Effect<AcceptorRecord<Value>, Message<Value>, Infallible>>,
    number: u64,
    messages: u64,
}

impl Synod {
    /// With `in_flight` decrees at a time; through both phases, or through the second one alone.
    pub fn new(acceptors: u64, in_flight: usize, full: bool) -> Self {
        let config = ProposerConfig {
            id: PROPOSER,
            acceptors: Quorums::majority((0..acceptors).map(NodeId)).expect("a few acceptors"),
            proposers: vec![PROPOSER],
            owner: (!full).then_some(PROPOSER),
            eager: false,
        };
        let decree = || Decree {
            proposer: Proposer::new(config.clone()),
            acceptors: (0..acceptors).map(|_| Acceptor::new(config.owner)).collect(),
            chosen: None,
        };
        let message = Message::Prepare { ballot: Ballot::initial(PROPOSER) };
        let blank = Packet { from: PROPOSER, to: PROPOSER, decree: 0, message };
        Self {
            decrees: (0..in_flight).map(|_| decree()).collect(),
            config,
            network: Ring::new((in_flight * acceptors as usize * 2).next_power_of_two(), blank),
            proposed: Vec::new(),
            accepted: Vec::new(),
            number: 0,
            messages: 0,
        }
    }

    fn propose(&mut self, decree: usize) {
        self.number += 1;
        let state = &mut self.decrees[decree];
        state.proposer = Proposer::new(self.config.clone());
        state.acceptors.fill(Acceptor::new(self.config.owner));
        state.chosen = None;
        state.proposer.step_into(Input::Propose(value(self.number)), &mut self.proposed);
        self.carry_out_proposed(decree);
    }

    fn deliver(&mut self, Packet { from, to, decree, message }: Packet) {
        let input = Input::Receive { from, message };
        if to == PROPOSER {
            self.decrees[decree].proposer.step_into(input, &mut self.proposed);
            self.carry_out_proposed(decree);
        } else {
            self.decrees[decree].acceptors[to.0 as usize].step_into(input, &mut self.accepted);
            self.carry_out_accepted(decree, to);
        }
    }

    fn carry_out_proposed(&mut self, decree: usize) {
        for effect in &self.proposed {
            match *effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => {
                    self.messages += 1;
                    self.network.push(Packet { from: PROPOSER, to, decree, message });
                }
                Effect::Decide(value) => self.decrees[decree].chosen = Some(value),
            }
        }
        self.proposed.clear();
    }

    fn carry_out_accepted(&mut self, decree: usize, from: NodeId) {
        for effect in &self.accepted {
            if let Effect::Send { to, message } = *effect {
                self.messages += 1;
                self.network.push(Packet { from, to, decree, message });
            }
        }
        self.accepted.clear();
    }
}

impl Subject for Synod {
    fn decide(&mut self, count: usize) -> u64 {
        let before = self.messages;
        for _ in 0..count / self.decrees.len() {
            let first = self.number + 1;
            for decree in 0..self.decrees.len() {
                self.propose(decree);
            }
            while let Some(packet) = self.network.pop() {
                self.deliver(packet);
            }
            for (number, decree) in (first..).zip(&self.decrees) {
                assert_eq!(decree.chosen, Some(value(number)));
            }
        }
        self.messages - before
    }
}
