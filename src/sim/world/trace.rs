//! What has happened in a world, for who wants to see it.

use super::{Actor, World};
use crate::{
    NodeId, Refusal,
    commit::{Decision, Effect, Input, Message, Record},
    sim::network::Link,
};

/// One of the things that have happened in a world since it was [watched](World::watch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A message has left.
    Sent {
        /// Which of all messages it is.
        number: u64,
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// What it says.
        message: Message,
    },
    /// A message arrives: what happens next is the step that its receiver takes. It may arrive again.
    Arrived {
        /// Which.
        number: u64,
    },
    /// A message is lost. It may turn up all the same, late.
    Lost {
        /// Which.
        number: u64,
    },
    /// A node has taken a step.
    Stepped {
        /// Which node.
        at: NodeId,
        /// With what.
        input: Input,
        /// What is to be done. Messages leave, and decisions stand, when what they rest on is durable.
        effects: Vec<Effect>,
        /// Whether it was refused.
        verdict: Result<(), Refusal>,
    },
    /// A record is durable.
    Durable {
        /// At which node.
        at: NodeId,
        /// The record.
        record: Record,
    },
    /// A decision stands.
    Decided {
        /// At which node.
        at: NodeId,
        /// The decision.
        decision: Decision,
    },
    /// A node has stopped, without warning.
    Stopped {
        /// Which.
        at: NodeId,
    },
    /// A storage loses what it called durable.
    Damaged {
        /// Whose.
        at: NodeId,
        /// How many of the last records.
        lost: usize,
    },
    /// A node starts again, from what is durable.
    Started {
        /// Which.
        at: NodeId,
    },
}

impl<A: Actor> World<A> {
    /// Keeps what happens from now on, for [`happenings`](Self::happenings).
    pub fn watch(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// What has happened since this was asked last.
    pub fn happenings(&mut self) -> Vec<Happening> {
        self.trace.as_mut().map(core::mem::take).unwrap_or_default()
    }

    pub(super) fn note(&mut self, happening: impl FnOnce() -> Happening) {
        if let Some(trace) = &mut self.trace {
            trace.push(happening());
        }
    }

    /// Takes a message on its way. Returns false if the link is cut: then it is lost.
    pub(super) fn send(&mut self, link: Link, message: Message) -> bool {
        let kept = self.trace.is_some().then(|| message.clone());
        let (number, passes) = self.network.send(link, message);
        if let Some(message) = kept {
            self.note(|| Happening::Sent { number, from: link.0, to: link.1, message });
        }
        if !passes {
            self.note(|| Happening::Lost { number });
        }
        passes
    }
}
