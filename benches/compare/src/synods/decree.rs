//! `synod`'s single decree: a proposer and its acceptors, new ones for every decision.

use std::{convert::Infallible, mem, sync::Arc};

use synod::{
    Effect, Machine, NodeId, Quorums,
    paxos::{Acceptor, AcceptorRecord, Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use crate::subject::{Subject, Value, value};

const PROPOSER: NodeId = NodeId(1_000);

type Asked = Effect<ProposerRecord<Value>, Message<Value>, Value>;

struct Decree {
    proposer: Proposer<Value>,
    acceptors: Vec<Acceptor<Value>>,
    /// What the proposer asks for.
    asked: Vec<Asked>,
    chosen: Option<Value>,
}

/// Paxos for one value. Messages are delivered from the lists that the machines put them in.
pub struct Synod {
    config: Arc<ProposerConfig>,
    decrees: Vec<Decree>,
    /// What a proposer has asked for, while that is carried out.
    asked: Vec<Asked>,
    /// What an acceptor asks for.
    answers: Vec<Effect<AcceptorRecord<Value>, Message<Value>, Infallible>>,
    number: u64,
    messages: u64,
}

impl Synod {
    /// With `in_flight` decrees at a time; through both phases, or through the second one alone.
    pub fn new(acceptors: u64, in_flight: usize, full: bool) -> Self {
        let config = Arc::new(
            ProposerConfig::new(
                PROPOSER,
                Quorums::majority((0..acceptors).map(NodeId)).expect("a few acceptors"),
                [PROPOSER],
            )
            .with_owner((!full).then_some(PROPOSER)),
        );
        let decree = || Decree {
            proposer: Proposer::new(config.clone()),
            acceptors: (0..acceptors).map(|_| Acceptor::new(config.owner)).collect(),
            asked: Vec::new(),
            chosen: None,
        };
        let decrees = (0..in_flight).map(|_| decree()).collect();
        Self { decrees, config, asked: Vec::new(), answers: Vec::new(), number: 0, messages: 0 }
    }

    fn propose(&mut self, decree: usize) {
        self.number += 1;
        let decree = &mut self.decrees[decree];
        decree.proposer = Proposer::new(self.config.clone());
        decree.acceptors.iter_mut().for_each(|acceptor| *acceptor = Acceptor::new(self.config.owner));
        decree.chosen = None;
        decree.proposer.step_into(Input::Propose(value(self.number)), &mut decree.asked).expect("a new proposer");
    }

    /// Carries out what the proposer of a decree asks for. Returns whether it asks for more.
    fn carry_out(&mut self, decree: usize) -> bool {
        let Decree { proposer, acceptors, asked, chosen } = &mut self.decrees[decree];
        mem::swap(asked, &mut self.asked);
        let mut messages = 0;
        for effect in self.asked.drain(..) {
            match effect {
                Effect::Persist(_) => {}
                Effect::Decide(value) => *chosen = Some(value),
                Effect::Send { to, message } => {
                    let input = Input::Receive { from: PROPOSER, message };
                    acceptors[to.0 as usize].step_into(input, &mut self.answers).expect("nothing is refused");
                    messages += 1;
                    for answer in self.answers.drain(..) {
                        if let Effect::Send { message, .. } = answer {
                            messages += 1;
                            // What comes after the decision is refused.
                            let _ = proposer.step_into(Input::Receive { from: to, message }, asked);
                        }
                    }
                }
            }
        }
        self.messages += messages;
        !asked.is_empty()
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
            let mut busy = true;
            while busy {
                busy = false;
                for decree in 0..self.decrees.len() {
                    busy |= self.carry_out(decree);
                }
            }
            for (number, decree) in (first..).zip(&self.decrees) {
                assert_eq!(decree.chosen, Some(value(number)));
            }
        }
        self.messages - before
    }
}
