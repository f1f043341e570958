//! A real node with a fault around it.

use synod::{
    Machine, NodeId, Refusal, RestoreError,
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

    fn step_into(&mut self, input: Input, effects: &mut Vec<Effect>) {
        for (place, input) in self.fault.input(&self.node, input).into_iter().enumerate() {
            // What comes beside the first is not meant to be noticed.
            if place > 0 && self.node.check(&input).is_err() {
                continue;
            }
            let followed = self.node.step(input.clone());
            effects.extend(self.fault.effects(&self.node, &input, followed));
        }
    }
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

    /// What the fault swallows, it swallows in spite of its check.
    fn check(&self, input: &Input) -> Result<(), Refusal> {
        let inputs = self.fault.clone().input(&self.node, input.clone());
        let verdicts = inputs.iter().map(|input| self.node.check(input));
        let verdict = verdicts.reduce(Result::or).unwrap_or_else(|| self.node.check(input));
        self.fault.verdict(input, verdict)
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
