//! A real node with a fault around it.

use std::collections::BTreeSet;

use synod::{
    Ballot, EffectSink, Machine, NodeId, Refusal, RestoreError, Scope, TxId, Urgency,
    commit::{
        Acceptance, Config, Decision, Effect, Input, Message, Node, Obstacle, Places, Promises, Record, Transaction,
        Vote, Votes, What,
    },
    paxos::Message::{self as Paxos, Accept, Accepted, Prepare, Promise, Reject},
    sim::Actor,
};

/// What is wrong with a canary: what it changes of all that goes into a node, comes out of it, or is on its disk.
pub(crate) trait Fault: Clone + Default {
    /// Whether its storage says so when it is damaged.
    const NOTICES_DAMAGE: bool = true;

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

    /// What its resource lets go of when the node starts again, where a sound one lets go of `orphans`.
    fn lets_go(_held: &BTreeSet<TxId>, orphans: BTreeSet<TxId>) -> BTreeSet<TxId> {
        orphans
    }

    /// What a node that starts again finds instead of `records`; if nothing, it is created once more.
    fn records(_config: &Config, records: Vec<Record>) -> Option<Vec<Record>> {
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

    fn join(config: Config) -> (Self, Vec<Effect>) {
        let (node, effects) = Node::join(config);
        (Self { node, fault: F::default() }, effects)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        let node = match F::records(&config, records) {
            Some(records) => Node::restore(config, records)?,
            None => Node::create(config).0,
        };
        Ok(Self { node, fault: F::default() })
    }

    fn restore_damaged(config: Config, records: Vec<Record>) -> Option<Self> {
        if F::NOTICES_DAMAGE { None } else { Self::restore(config, records).ok() }
    }

    fn node(&self) -> &Node {
        &self.node
    }

    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId> {
        F::lets_go(held, self.node.lets_go(held))
    }
}

/// What a message says of one instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) rm: NodeId,
    pub(crate) message: Paxos<Vote>,
}

/// What a message of Paxos says, instance by instance, and of which transaction. A vote that comes from its resource
/// manager is none of these.
pub(crate) fn parts_of(message: &Message) -> Option<(&Transaction, Vec<Part>)> {
    let Message::About { transaction, what } = message else { return None };
    let rm = |place: usize| transaction.participants().get(place).copied();
    let part = |place, message| Some(Part { rm: rm(place)?, message });
    let initial = |place, vote| Some((rm(place).map(Ballot::initial)?, vote));
    let above = |rm: NodeId, higher: &[Acceptance]| {
        higher.iter().find(|accepted| accepted.rm == rm).map(|accepted| (accepted.ballot, accepted.vote))
    };
    let parts = match what {
        What::Phase1a { ballot, instances } => {
            instances.iter().filter_map(|place| part(place, Prepare { ballot: *ballot })).collect()
        }
        What::Phase1b { ballot, promises } => {
            let accepted = |place| {
                let voted = promises.votes.get(place).and_then(|vote| initial(place, vote));
                rm(place).and_then(|rm| above(rm, &promises.higher)).or(voted)
            };
            let promise = |place| part(place, Promise { ballot: *ballot, accepted: accepted(place) });
            promises.instances.iter().filter_map(promise).collect()
        }
        What::Phase2a { ballot, votes } => {
            votes.iter().filter_map(|(place, value)| part(place, Accept { ballot: *ballot, value })).collect()
        }
        What::Phase2b { votes, higher } => {
            let accepted = |rm, ballot, value| Part { rm, message: Accepted { ballot, value } };
            let voted =
                votes.iter().filter_map(|(place, vote)| Some(accepted(rm(place)?, Ballot::initial(rm(place)?), vote)));
            voted.chain(higher.iter().map(|told| accepted(told.rm, told.ballot, told.vote))).collect()
        }
        What::Reject { ballot, promised } => {
            let reject =
                |told: &Obstacle| Part { rm: told.rm, message: Reject { ballot: *ballot, promised: told.promised } };
            promised.iter().map(reject).collect()
        }
        _ => return None,
    };
    Some((transaction, parts))
}

/// The messages that say as much: one for each kind and each ballot.
pub(crate) fn messages_of(transaction: &Transaction, parts: &[Part]) -> Vec<Message> {
    let kind = |part: &Part| match part.message {
        Prepare { ballot } => (0, ballot),
        Promise { ballot, .. } => (1, ballot),
        Accept { ballot, .. } => (2, ballot),
        Accepted { .. } => (3, Ballot::new(0, NodeId(0))),
        Reject { ballot, .. } => (4, ballot),
    };
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| (kind(part), part.rm));
    let groups = sorted.chunk_by(|one, next| kind(one) == kind(next));
    groups.map(|group| Message::about(transaction, what_of(transaction, group))).collect()
}

/// What these parts say, which are of one kind and of one ballot.
fn what_of(transaction: &Transaction, parts: &[Part]) -> What {
    let place = |part: &Part| transaction.participants().iter().position(|rm| *rm == part.rm);
    let instances: Places = parts.iter().filter_map(place).collect();
    let (mut votes, mut higher, mut promised) = (Votes::default(), Vec::new(), Vec::new());
    for part in parts {
        match (part.message, place(part)) {
            (Promise { accepted: Some((ballot, vote)), .. } | Accepted { ballot, value: vote }, Some(place)) => {
                if ballot == Ballot::initial(part.rm) {
                    votes.insert(place, vote);
                } else {
                    higher.push(Acceptance { rm: part.rm, ballot, vote });
                }
            }
            (Accept { value, .. }, Some(place)) => votes.insert(place, value),
            (Reject { promised: obstacle, .. }, _) => promised.push(Obstacle { rm: part.rm, promised: obstacle }),
            _ => {}
        }
    }
    match parts[0].message {
        Prepare { ballot } => What::Phase1a { ballot, instances },
        Promise { ballot, .. } => {
            What::Phase1b { ballot, promises: Box::new(Promises { instances, votes, higher: higher.into() }) }
        }
        Accept { ballot, .. } => What::Phase2a { ballot, votes },
        Accepted { .. } => What::Phase2b { votes, higher: higher.into() },
        Reject { ballot, .. } => What::Reject { ballot, promised: promised.into() },
    }
}

/// What is given to a node when `change` has changed the parts of a message of Paxos that goes in.
pub(crate) fn changed_input(input: Input, change: impl FnOnce(NodeId, &Transaction, &mut Vec<Part>)) -> Vec<Input> {
    let Input::Receive { from, message } = &input else { return vec![input] };
    let Some((transaction, before)) = parts_of(message) else { return vec![input] };
    let mut parts = before.clone();
    change(*from, transaction, &mut parts);
    if parts == before {
        return vec![input];
    }
    messages_of(transaction, &parts).into_iter().map(|message| Input::Receive { from: *from, message }).collect()
}

/// What is given to the world when `change` has changed the parts of each message of Paxos that comes out.
pub(crate) fn changed_effects(
    effects: Vec<Effect>,
    mut change: impl FnMut(NodeId, &Transaction, &mut Vec<Part>),
) -> Vec<Effect> {
    let mut changed = Vec::new();
    for effect in effects {
        if let Effect::Send { to, message } = &effect
            && let Some((transaction, before)) = parts_of(message)
        {
            let mut parts = before.clone();
            change(*to, transaction, &mut parts);
            if parts != before {
                let messages = messages_of(transaction, &parts).into_iter();
                changed.extend(messages.map(|message| Effect::Send { to: *to, message }));
                continue;
            }
        }
        changed.push(effect);
    }
    changed
}

/// The parts of each message of Paxos that comes out.
pub(crate) fn parts_sent(effects: &[Effect]) -> impl Iterator<Item = (&Transaction, Vec<Part>)> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Send { message, .. } => parts_of(message),
        _ => None,
    })
}

/// Whether `parts` answer a proposer or a learner.
pub(crate) fn are_answers(parts: &[Part]) -> bool {
    parts.iter().all(|part| !part.message.is_request())
}
