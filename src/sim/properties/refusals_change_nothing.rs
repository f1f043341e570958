//! A step that refuses its input changes nothing, and gets no more than an answer.

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId, Refusal, TxId,
    commit::{Effect, EpochMessage, EpochStatus, InDoubt, Input, Message, Node, Record, Status, Time, What},
};

#[derive(Default)]
pub(super) struct RefusalsChangeNothing {
    /// Whom the last step that was refused has asked for a later epoch.
    asked: Vec<NodeId>,
}

const NAME: &str = "refusals change nothing";

/// All that a node shows of itself, but for its counters.
#[derive(Debug, PartialEq)]
struct View {
    records: Vec<Record>,
    in_doubt: Vec<InDoubt>,
    open: Vec<(TxId, Status)>,
    unacknowledged: Vec<(NodeId, usize)>,
    deadline: Option<Time>,
    recoveries: u64,
    epoch: Option<EpochStatus>,
}

impl View {
    fn of(node: &Node) -> Self {
        let cluster = &node.config().cluster;
        let keepers = cluster.acceptors().nodes().chain(cluster.managers().iter().copied());
        Self {
            records: node.snapshot(),
            in_doubt: node.in_doubt(),
            open: node.open_transactions().into_iter().map(|tx| (tx, node.status(tx))).collect(),
            unacknowledged: keepers.map(|keeper| (keeper, node.unacknowledged_by(keeper))).collect(),
            deadline: node.deadline(),
            recoveries: node.metrics().recoveries,
            epoch: node.epoch(),
        }
    }
}

fn of_epoch(message: &Message) -> Option<&EpochMessage> {
    match message {
        Message::Epoch { what, .. } => Some(what),
        _ => None,
    }
}

/// Whom it asks for a later epoch.
fn asks(effect: &Effect) -> Option<NodeId> {
    match effect {
        Effect::Send { to, message } if of_epoch(message) == Some(&EpochMessage::Wanted) => Some(*to),
        _ => None,
    }
}

/// What a step may do although it refused its input: it writes what it owes its disk since before, and it answers.
fn is_allowed(effect: &Effect, input: &Input, refusal: Refusal) -> bool {
    match (effect, input, refusal) {
        (Effect::Persist(Record::Retired(_) | Record::Erased(_)), ..) => true,
        // A node that seems ahead is asked or, if it is not believed, those who are; so with one that speaks for all.
        (
            Effect::Send { message: Message::Epoch { what, .. }, .. },
            Input::Receive { .. },
            Refusal::NewerEpoch | Refusal::InvitedByStranger | Refusal::NotAManager | Refusal::WideRange,
        ) => **what == EpochMessage::Wanted,
        (Effect::Send { to, message }, Input::Receive { from, .. }, refusal) if to == from => match refusal {
            Refusal::StaleBallot => {
                matches!(message, Message::About { what: What::Reject { .. }, .. })
                    || of_epoch(message).is_some_and(|what| matches!(what, EpochMessage::Reject { .. }))
            }
            // Who is behind is told so.
            Refusal::OldEpoch => of_epoch(message).is_some_and(|what| matches!(what, EpochMessage::Newer)),
            Refusal::Changing => of_epoch(message).is_some_and(|what| matches!(what, EpochMessage::Frozen { .. })),
            Refusal::Retired => {
                matches!(message, Message::Retired { .. } | Message::About { what: What::Outcome(_), .. })
            }
            Refusal::OtherTransaction | Refusal::NotNamedHere => {
                matches!(message, Message::About { what: What::OtherTransaction, .. })
            }
            _ => false,
        },
        _ => false,
    }
}

impl Property for RefusalsChangeNothing {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stepped { at, input, effects, verdict: Err(refusal) } => {
                let wrong = effects.iter().find(|effect| !is_allowed(effect, input, *refusal));
                self.asked = effects.iter().filter_map(asks).collect();
                require(NAME, wrong.is_none(), || format!("{at} refuses {input:?}: {refusal}. And yet: {wrong:?}"))
            }
            Observation::Refused { at, input, refusal, before, after } => {
                let stranger = self.asked.drain(..).find(|asked| !after.believes(*asked));
                require(NAME, stranger.is_none(), || {
                    format!("{at} refuses {input:?}: {refusal}. And yet it asks {stranger:?}, whom it does not believe")
                })?;
                let (before, after) = (View::of(before), View::of(after));
                require(NAME, before == after, || {
                    format!("{at} refuses {input:?}: {refusal}. And yet it was {before:?} and is {after:?}")
                })
            }
            _ => Ok(()),
        }
    }
}
