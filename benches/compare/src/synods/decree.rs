//! `synod`'s single decree: a proposer and its acceptors, new ones for every decision.

use std::{collections::VecDeque, convert::Infallible};

use synod::{
    Effect, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use crate::subject::{Subject, Value, value};

const PROPOSER: NodeId = NodeId(1);

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
    network: VecDeque<Packet>,
    proposing: Vec<Effect<ProposerRecord<Value>, Message<Value>, Value>>,
    accepting: Vec<Effect<AcceptorRecord<Value>, Message<Value>, Infallible>>,
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
        Self {
            decrees: (0..in_flight).map(|_| decree()).collect(),
            config,
            network: VecDeque::new(),
            proposing: Vec::new(),
            accepting: Vec::new(),
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
        state.proposer.step_into(Input::Propose(value(self.number)), &mut self.proposing);
        self.proposed(decree);
    }

    fn deliver(&mut self, Packet { from, to, decree, message }: Packet) {
        let state = &mut self.decrees[decree];
        if message.is_request() {
            state.acceptors[to.0 as usize].step_into(Input::Receive { from, message }, &mut self.accepting);
            for effect in self.accepting.drain(..) {
                if let Effect::Send { to: proposer, message } = effect {
                    self.messages += 1;
                    self.network.push_back(Packet { from: to, to: proposer, decree, message });
                }
            }
        } else {
            state.proposer.step_into(Input::Receive { from, message }, &mut self.proposing);
            self.proposed(decree);
        }
    }

    fn proposed(&mut self, decree: usize) {
        for effect in self.proposing.drain(..) {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => {
                    self.messages += 1;
                    self.network.push_back(Packet { from: PROPOSER, to, decree, message });
                }
                Effect::Decide(value) => self.decrees[decree].chosen = Some(value),
            }
        }
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
            while let Some(packet) = self.network.pop_front() {
                self.deliver(packet);
            }
            for (number, decree) in (first..).zip(&self.decrees) {
                assert_eq!(decree.chosen, Some(value(number)));
            }
        }
        self.messages - before
    }
}
