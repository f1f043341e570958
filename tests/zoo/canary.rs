//! A real node with a fault around it.

use synod::{
    EffectSink, Machine, NodeId, Refusal, RestoreError, Scope, Urgency,
    commit::{Config, Decision, Effect, Input, Message, Node, Part, Record},
    sim::Actor,
};

/// What is wrong with a canary: what it changes of all that goes into a node, comes out of it, or is on its disk.
pub(crate) trait Fault: Clone + Default {
    /// What the node is given instead of `input`; all but the first only if it would not refuse it.
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        vec![input]
    }

    /// What the world is given instead of `effects`, which followed from `input`.
    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        effects
    }

    /// What the faulty node says of `input`, where the real one says `verdict`.
    fn verdict(&self, _input: &Input, verdict: Result<(), Refusal>) -> Result<(), Refusal> {
        verdict
    }

    /// What a node that starts again finds instead of `records`; if nothing, it is made anew.
    fn records(records: Vec<Record>) -> Option<Vec<Record>> {
        Some(records)
    }
}

/// A node with a fault. The fault's memory is lost with the node's.
pub(crate) struct Canary<F> {
    node: Node,
    fault: F,
}

impl<F: Fault> Machine for Canary<F> {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: Input,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let mut verdict = None;
        for (place, given) in self.fault.input(&self.node, input.clone()).into_iter().enumerate() {
            // What comes beside the first is not meant to be noticed.
            let unnoticed = if place > 0 { judge(&self.node, &given) } else { Ok(()) };
            if unnoticed.is_err() {
                verdict = verdict.map(|verdict: Result<(), Refusal>| verdict.or(unnoticed));
                continue;
            }
            let mut followed = Vec::new();
            let result = self.node.step_into(given.clone(), &mut followed);
            verdict = Some(verdict.map_or(result, |verdict| verdict.or(result)));
            for effect in self.fault.effects(&self.node, &given, followed) {
                match effect {
                    Effect::Persist(record) => _ = effects.persist(record, Urgency::Urgent),
                    Effect::Send { to, message } => effects.send(to, message, Scope::EVERYTHING),
                    Effect::Decide(decision) => effects.decide(decision, Scope::EVERYTHING),
                }
            }
        }
        // What the fault swallows, it swallows although the node would have taken it.
        let verdict = verdict.unwrap_or_else(|| judge(&self.node, &input));
        self.fault.verdict(&input, verdict)
    }
}

/// What `node` would say of `input`.
pub(crate) fn judge(node: &Node, input: &Input) -> Result<(), Refusal> {
    node.clone().step_into(input.clone(), &mut Vec::new())
}

impl<F: Fault> Actor for Canary<F> {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        let (node, effects) = Node::create(config);
        (Self { node, fault: F::default() }, effects)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        let node = match F::records(records) {
            Some(records) => Node::restore(config, records)?,
            None => Node::create(config).0,
        };
        Ok(Self { node, fault: F::default() })
    }

    fn node(&self) -> &Node {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// The parts of a Paxos message that goes in, to be changed, and who sent them.
pub(crate) fn parts_of(input: &mut Input) -> Option<(NodeId, &mut Vec<Part>)> {
    match input {
        Input::Receive { from, message: Message::Paxos { parts, .. } } => Some((*from, parts)),
        _ => None,
    }
}

/// The parts of a Paxos message that comes out, to be changed, and whom they are for.
pub(crate) fn parts_sent(effect: &mut Effect) -> Option<(NodeId, &mut Vec<Part>)> {
    match effect {
        Effect::Send { to, message: Message::Paxos { parts, .. } } => Some((*to, parts)),
        _ => None,
    }
}

/// Whether `parts` answer a proposer or a learner.
pub(crate) fn are_answers(parts: &[Part]) -> bool {
    parts.iter().all(|part| !part.message.is_request())
}
