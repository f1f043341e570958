//! Faults of acceptors and proposers.

use std::collections::BTreeMap;

use synod::{
    Ballot, InstanceId, NodeId, Refusal, TxId,
    commit::{Effect, Input, Message, Node, Record, Vote, What},
    paxos::Message::{Accept, Accepted, Prepare, Promise, Reject},
};

use crate::canary::{Fault, Part, are_answers, changed_effects, changed_input, parts_of, parts_sent};

/// `Accept` does not raise the promise: a lower `Accept` is taken after a higher one.
#[derive(Clone, Default)]
pub(crate) struct AcceptPromisesNothing {
    /// What was promised to `Prepare` alone.
    promised: BTreeMap<InstanceId, Ballot>,
}

impl AcceptPromisesNothing {
    /// What it would accept although a real acceptor would not.
    fn accepts(&self, tx: TxId, part: &Part) -> Option<(Ballot, Vote)> {
        let Accept { ballot, value } = part.message else { return None };
        let promised = self.promised.get(&InstanceId { tx, rm: part.rm });
        promised.is_none_or(|promised| *promised <= ballot).then_some((ballot, value))
    }
}

impl Fault for AcceptPromisesNothing {
    fn effects(&mut self, node: &Node, input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        let Input::Receive { from, message } = input else { return effects };
        let Some((transaction, asked)) = parts_of(message) else { return effects };
        let (tx, mut writes) = (transaction.id(), Vec::new());
        let effects = changed_effects(effects, |reply_to, _, replies| {
            for reply in replies.iter_mut().filter(|_| reply_to == *from) {
                let asked = asked.iter().find(|part| part.rm == reply.rm);
                if let (Reject { .. }, Some((ballot, value))) =
                    (reply.message, asked.and_then(|part| self.accepts(tx, part)))
                {
                    reply.message = Accepted { ballot, value };
                    writes.extend(accepted(node, InstanceId { tx, rm: reply.rm }, ballot, value));
                }
                if let Promise { ballot, .. } = reply.message {
                    self.promised.insert(InstanceId { tx, rm: reply.rm }, ballot);
                }
            }
        });
        writes.into_iter().chain(effects).collect()
    }

    fn verdict(&self, input: &Input, verdict: Result<(), Refusal>) -> Result<(), Refusal> {
        let Input::Receive { message, .. } = input else { return verdict };
        let Some((transaction, parts)) = parts_of(message) else { return verdict };
        let takes = || parts.iter().any(|part| self.accepts(transaction.id(), part).is_some());
        if verdict == Err(Refusal::StaleBallot) && takes() { Ok(()) } else { verdict }
    }
}

/// The write of an acceptor that has just accepted `value`.
fn accepted(node: &Node, instance: InstanceId, ballot: Ballot, value: Vote) -> Option<Effect> {
    let mut records = node.snapshot().into_iter().filter_map(|record| match record {
        Record::Acceptor(record) if record.transaction.id() == instance.tx => Some(record),
        _ => None,
    });
    let mut record = records.next()?;
    record.higher.iter_mut().find(|higher| higher.rm == instance.rm)?.state.accepted = Some((ballot, value));
    Some(Effect::Persist(Record::Acceptor(record)))
}

/// A promise of any ballot counts for the present one.
#[derive(Clone, Default)]
pub(crate) struct StalePromisesCount {
    present: BTreeMap<InstanceId, Ballot>,
}

impl Fault for StalePromisesCount {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        changed_input(input, |_, transaction, parts| {
            for part in parts {
                if let Promise { ballot, .. } = &mut part.message {
                    let present = self.present.get(&InstanceId { tx: transaction.id(), rm: part.rm });
                    *ballot = present.copied().unwrap_or(*ballot).max(*ballot);
                }
            }
        })
    }

    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        for (transaction, parts) in parts_sent(&effects) {
            for part in parts {
                if let Prepare { ballot } = part.message {
                    self.present.insert(InstanceId { tx: transaction.id(), rm: part.rm }, ballot);
                }
            }
        }
        effects
    }
}

/// An answer of one acceptor counts for another one, too.
#[derive(Clone, Default)]
pub(crate) struct VotersCountTwice;

impl Fault for VotersCountTwice {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Input::Receive { from, message } = &input else { return vec![input] };
        if !parts_of(message).is_some_and(|(_, parts)| are_answers(&parts)) {
            return vec![input];
        }
        let config = node.config();
        let other = config.cluster.acceptors().nodes().find(|other| other != from && *other != config.id);
        let again = other.map(|from| Input::Receive { from, message: message.clone() });
        [input].into_iter().chain(again).collect()
    }
}

/// A fault that changes each part of an answer.
macro_rules! misreads {
    ($(#[doc = $doc:literal] $name:ident: |$part:ident| $change:expr;)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Default)]
            pub(crate) struct $name;

            impl Fault for $name {
                fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
                    changed_input(input, |_, _, parts| {
                        for $part in parts {
                            $change
                        }
                    })
                }
            }
        )+
    };
}

misreads! {
    /// The ballot of what a promise tells of is not looked at: the first one wins.
    AcceptedBallotsIgnored: |part| if let Promise { accepted: Some((ballot, _)), .. } = &mut part.message {
        *ballot = Ballot::initial(part.rm);
    };
    /// What a promise tells of is not looked at: whoever recovers aborts.
    AcceptancesIgnored: |part| if let Promise { accepted, .. } = &mut part.message {
        *accepted = None;
    };
}

/// A rejection is taken for what was asked for.
#[derive(Clone, Default)]
pub(crate) struct RejectionsCount {
    proposed: BTreeMap<(InstanceId, Ballot), Vote>,
}

impl Fault for RejectionsCount {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        changed_input(input, |_, transaction, parts| {
            for part in parts {
                if let Reject { ballot, .. } = part.message {
                    let proposed = self.proposed.get(&(InstanceId { tx: transaction.id(), rm: part.rm }, ballot));
                    part.message = match proposed {
                        Some(value) => Accepted { ballot, value: *value },
                        None => Promise { ballot, accepted: None },
                    };
                }
            }
        })
    }

    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        for (transaction, parts) in parts_sent(&effects) {
            for part in parts {
                if let Accept { ballot, value } = part.message {
                    self.proposed.insert((InstanceId { tx: transaction.id(), rm: part.rm }, ballot), value);
                }
            }
        }
        effects
    }
}

/// An `Accept` is taken only after a `Prepare` of the same ballot.
#[derive(Clone, Default)]
pub(crate) struct UnpreparedRefused {
    prepared: BTreeMap<InstanceId, Ballot>,
}

impl Fault for UnpreparedRefused {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        changed_input(input, |_, transaction, parts| {
            if are_answers(parts) {
                return;
            }
            parts.retain(|part| {
                let instance = InstanceId { tx: transaction.id(), rm: part.rm };
                match part.message {
                    Prepare { ballot } => {
                        self.prepared.insert(instance, ballot);
                        true
                    }
                    _ => self.prepared.get(&instance) == Some(&part.message.ballot()),
                }
            });
        })
    }
}

/// The votes of round 0 are refused, because nobody prepared it.
#[derive(Clone, Default)]
pub(crate) struct RoundZeroRefused;

impl Fault for RoundZeroRefused {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        match &input {
            Input::Receive { message: Message::About { what: What::Vote { .. }, .. }, .. } => Vec::new(),
            _ => vec![input],
        }
    }
}

/// A proposer whose ballot did not win waits for ever.
#[derive(Clone, Default)]
pub(crate) struct ProposerStalls {
    tried: BTreeMap<InstanceId, Ballot>,
}

impl Fault for ProposerStalls {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.retain(|effect| {
            let Effect::Send { message, .. } = effect else { return true };
            let Some((transaction, parts)) = parts_of(message) else { return true };
            parts.iter().all(|part| match part.message {
                Prepare { ballot } => {
                    let instance = InstanceId { tx: transaction.id(), rm: part.rm };
                    *self.tried.entry(instance).or_insert(ballot) == ballot
                }
                _ => true,
            })
        });
        effects
    }
}

/// What an encoding makes of a ballot that forgets whose it is.
fn nobodys(ballot: &mut Ballot) {
    if !ballot.is_initial() {
        ballot.node = NodeId(0);
    }
}

/// No message says whose a ballot is.
#[derive(Clone, Default)]
pub(crate) struct BallotsLoseTheirNode;

impl Fault for BallotsLoseTheirNode {
    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        changed_effects(effects, |_, _, parts| {
            for part in parts {
                match &mut part.message {
                    Prepare { ballot } | Promise { ballot, .. } | Accept { ballot, .. } | Accepted { ballot, .. } => {
                        nobodys(ballot);
                    }
                    Reject { ballot, promised } => [ballot, promised].into_iter().for_each(nobodys),
                }
            }
        })
    }
}

/// No promise says whose the ballot is that it tells of.
#[derive(Clone, Default)]
pub(crate) struct AcceptedBallotsLoseTheirNode;

impl Fault for AcceptedBallotsLoseTheirNode {
    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        changed_effects(effects, |_, _, parts| {
            for part in parts {
                if let Promise { accepted: Some((ballot, _)), .. } = &mut part.message {
                    nobodys(ballot);
                }
            }
        })
    }
}
