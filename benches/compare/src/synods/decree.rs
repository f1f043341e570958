//! `synod`'s single decree: a proposer and its acceptors, new ones for every decision.

use std::convert::Infallible;

use synod::{
    Effect, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use crate::subject::{Subject, Value, value};

const PROPOSER: NodeId = NodeId(1_000);

type Proposed = Effect<ProposerRecord<Value>, Message<Value>, Value>;
type Accepted = Effect<AcceptorRecord<Value>, Message<Value>, Infallible>;

struct Decree {
    proposer: Proposer<Value>,
    acceptors: Vec<Acceptor<Value>>,
    chosen: Option<Value>,
}

/// Paxos for one value. What the machines ask for waits in two lists, and is delivered from there; beside them stands
/// whose effects they are.
pub struct Synod {
    config: ProposerConfig,
    decrees: Vec<Decree>,
    proposed: Vec<Proposed>,
    proposed_in: Vec<Run>,
    accepted: Vec<Accepted>,
    accepted_in: Vec<Run>,
    number: u64,
    messages: u64,
}

/// The effects of one step, which follow those of the step before.
struct Run {
    decree: usize,
    by: NodeId,
    count: usize,
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
            proposed: Vec::new(),
            proposed_in: Vec::new(),
            accepted: Vec::new(),
            accepted_in: Vec::new(),
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
        let before = self.proposed.len();
        state.proposer.step_into(Input::Propose(value(self.number)), &mut self.proposed);
        self.proposed_in.push(Run { decree, by: PROPOSER, count: self.proposed.len() - before });
    }

    /// Delivers what proposers have said to the acceptors.
    fn ask(&mut self) {
        let mut effects = self.proposed.iter();
        for Run { decree, count, .. } in self.proposed_in.drain(..) {
            let state = &mut self.decrees[decree];
            for effect in effects.by_ref().take(count) {
                match *effect {
                    Effect::Persist(_) => {}
                    Effect::Send { to, message } => {
                        self.messages += 1;
                        let before = self.accepted.len();
                        let input = Input::Receive { from: PROPOSER, message };
                        state.acceptors[to.0 as usize].step_into(input, &mut self.accepted);
                        self.accepted_in.push(Run { decree, by: to, count: self.accepted.len() - before });
                    }
                    Effect::Decide(value) => state.chosen = Some(value),
                }
            }
        }
        self.proposed.clear();
    }

    /// Delivers what acceptors have answered.
    fn answer(&mut self) {
        let mut effects = self.accepted.iter();
        for Run { decree, by, count } in self.accepted_in.drain(..) {
            let state = &mut self.decrees[decree];
            for effect in effects.by_ref().take(count) {
                if let Effect::Send { message, .. } = *effect {
                    self.messages += 1;
                    let before = self.proposed.len();
                    state.proposer.step_into(Input::Receive { from: by, message }, &mut self.proposed);
                    let count = self.proposed.len() - before;
                    if count > 0 {
                        self.proposed_in.push(Run { decree, by: PROPOSER, count });
                    }
                }
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
            while !self.proposed.is_empty() {
                self.ask();
                self.answer();
            }
            for (number, decree) in (first..).zip(&self.decrees) {
                assert_eq!(decree.chosen, Some(value(number)));
            }
        }
        self.messages - before
    }
}
