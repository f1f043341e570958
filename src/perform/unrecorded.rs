//! What stands in for a recorder where there is none: no value of these types exists.

use crate::{
    NodeId, Refusal, Scope, Urgency,
    commit::{Decision, Input, Message, Node, Record},
};

/// Nothing records.
#[derive(Debug)]
pub(super) enum Recorder {}

/// Nothing is digested.
pub(super) enum Digest {}

impl Recorder {
    pub(super) fn begin(&mut self, _: &Node, _: u64) {
        match *self {}
    }

    pub(super) fn told(&mut self, _: &Input) -> Digest {
        match *self {}
    }

    pub(super) fn received(&mut self, _: NodeId, _: &[Message]) -> Digest {
        match *self {}
    }

    pub(super) fn stepped(&mut self, _: Digest, _: Result<(), Refusal>) -> bool {
        match *self {}
    }

    pub(super) fn batch_taken(&mut self) {
        match *self {}
    }

    #[cfg(feature = "tokio")]
    pub(super) fn take_failure(&mut self) -> Option<alloc::string::String> {
        match *self {}
    }
}

impl Digest {
    pub(super) fn persist(&mut self, _: &Record, _: Urgency) {
        match *self {}
    }

    pub(super) fn send(&mut self, _: NodeId, _: &Message, _: Scope) {
        match *self {}
    }

    pub(super) fn decide(&mut self, _: &Decision, _: Scope) {
        match *self {}
    }
}
