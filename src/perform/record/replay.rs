//! A recorded node, stepped again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    TAKEN,
    digest::Digest,
    file::{self, EXTENSION, Flaw, Head},
};
use crate::{
    EffectSink, Machine, NodeId, Refusal, Scope, Urgency,
    codec::{
        DecodeError,
        steps::{Told, take_number, take_told},
    },
    commit::{ClusterId, Decision, Effect, Input, Message, Node, Record, Time},
};

/// What was recorded of a node, and the node as it was.
///
/// See the [module](super) for an example.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    head: Head,
    state: Vec<u8>,
    /// What comes after the state: what the node was told.
    steps: Vec<u8>,
    /// How much of it was replayed.
    at: usize,
    torn: usize,
    node: Node,
    batch: u64,
    number: u64,
    time: Time,
    /// The rest of a packet.
    packet: Option<Packet>,
}

#[derive(Debug)]
struct Packet {
    from: NodeId,
    messages: std::vec::IntoIter<Message>,
    digest: Digest,
    /// What the effects of all of it were.
    recorded: Option<(u64, u32)>,
}

/// One thing that a node was told, and what that led to.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The node's time.
    pub time: Time,
    /// When it was, since 1970, as far as the node's clock tells.
    pub when: Duration,
    /// What the node was told.
    pub input: Input,
    /// What that has led to now.
    pub effects: Vec<Effect>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// Whether that is what it led to when it was recorded, bit for bit, with what each effect rests on. Messages that came
    /// together are compared together: all but the last say `None`. `None`, too, if the node did not come to the end of this
    /// step then, and if this is another build of the library, with which nothing [can be compared](Recording::can_compare).
    pub is_same: Option<bool>,
}

/// Why a file cannot be replayed, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no recording, or its beginning is damaged.
    #[error(
        "{} cannot be replayed: {reason}; remedy: use a file that a recorder has written, and this version of synod",
        path.display()
    )]
    NoRecording {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What comes next cannot be understood.
    #[error(
        "step {number} of {} cannot be understood; replay it with the version of synod that has recorded it, {version}",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which step.
        number: u64,
        /// The version that has recorded it.
        version: String,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
}

/// The recordings in a folder, in the order of their nodes, and then of their numbers.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbered(folder, None)?.into_iter().map(|(_, path)| path).collect())
}

/// How a file is named.
pub(super) fn name(node: NodeId, number: u64) -> String {
    format!("{node}-{number:08}.{EXTENSION}")
}

/// The recordings in a folder: of one node, or of all of them. In order, with their numbers.
pub(super) fn numbered(folder: &Path, of: Option<NodeId>) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut known = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let parts = path.file_stem().and_then(|stem| stem.to_str()?.split_once('-'));
        let Some((node, number)) = parts.and_then(|(node, number)| Some((node.parse().ok()?, number.parse().ok()?)))
        else {
            continue;
        };
        if of.is_none_or(|of| of == node) {
            known.push((node, number, path));
        }
    }
    known.sort();
    Ok(known.into_iter().map(|(_, number, path)| (number, path)).collect())
}

impl Recording {
    /// Reads a file.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ReplayError> {
        let path = path.into();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ReplayError::Read { path, source }),
        };
        let no_recording = |reason: String| ReplayError::NoRecording { path: path.clone(), reason };
        let parts = file::parts(&bytes).map_err(|flaw: Flaw| no_recording(flaw.to_string()))?;
        let node = Node::of_checkpoint(&parts.state).map_err(|error| {
            no_recording(format!("the state in it, of version {}, is not known here ({error})", parts.head.version()))
        })?;
        let file::Parts { head, state, steps, torn } = parts;
        let (batch, time) = (head.batch, head.time);
        Ok(Self { path, head, state, steps, at: 0, torn, node, batch, number: 0, time, packet: None })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster of the node.
    pub fn cluster(&self) -> ClusterId {
        self.head.cluster
    }

    /// The node, as it is after the last step.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The version of the library that has recorded it.
    pub fn version(&self) -> String {
        self.head.version()
    }

    /// Which of the files of its node it is. They are numbered in the order in which they were written.
    pub fn number(&self) -> u64 {
        self.head.number
    }

    /// When it began, since 1970.
    pub fn began(&self) -> Duration {
        Duration::from_micros(self.head.began)
    }

    /// How many bytes at its end are not whole: the process was killed, or still writes.
    pub fn torn_bytes(&self) -> usize {
        self.torn
    }

    /// Whether it can be told that effects are the same. If it cannot, this is another build of the library: replay still
    /// shows what that does.
    pub fn can_compare(&self) -> bool {
        self.head.sample == Digest::of_a_sample()
    }

    /// Whether `next` begins where this one ends, and with the very state that this one has come to: `None` if something
    /// between them was not recorded, or is lost with the end of this file. Ask this after the last step.
    pub fn leads_to(&self, next: &Self) -> Option<bool> {
        let follows = self.torn == 0
            && next.head.continues
            && (next.head.cluster, next.head.node) == (self.head.cluster, self.head.node)
            && self.head.number.checked_add(1) == Some(next.head.number);
        follows.then(|| Some(&next.state) == self.node.checkpoint().as_ref())
    }

    /// Steps the node with what it was told next. `None` at the end.
    pub fn step(&mut self) -> Result<Option<Step>, ReplayError> {
        loop {
            if let Some(mut packet) = self.packet.take()
                && let Some(message) = packet.messages.next()
            {
                let input = Input::Receive { from: packet.from, message };
                let (mut step, digest) = self.take(input, packet.digest);
                // A packet has no verdict of its own.
                if packet.messages.len() == 0 {
                    step.is_same = self.is_same(packet.recorded, digest.finish(Ok(())));
                } else {
                    self.packet = Some(Packet { digest, ..packet });
                }
                return Ok(Some(step));
            }
            let mut rest = self.steps.get(self.at..).unwrap_or_default();
            match rest.first() {
                None => return Ok(None),
                Some(&TAKEN) => {
                    self.batch = self.batch.saturating_add(1);
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            let (told, recorded) = match next(&mut rest) {
                Ok(next) => next,
                Err(source) => {
                    let (path, version) = (self.path.clone(), self.head.version());
                    return Err(ReplayError::Malformed { path, number: self.number + 1, version, source });
                }
            };
            self.at = self.steps.len() - rest.len();
            match told {
                Told::Packet(from, messages) => {
                    let messages = messages.into_iter();
                    self.packet = Some(Packet { from, messages, digest: Digest::default(), recorded });
                }
                Told::Input(input) => {
                    let (mut step, digest) = self.take(input, Digest::default());
                    let verdict = step.refusal.map_or(Ok(()), Err);
                    step.is_same = self.is_same(recorded, digest.finish(verdict));
                    return Ok(Some(step));
                }
            }
        }
    }

    fn take(&mut self, input: Input, digest: Digest) -> (Step, Digest) {
        self.number += 1;
        if let Input::Tick(now) = input {
            self.time = now;
        }
        let mut sink = Sink { effects: Vec::new(), batch: self.batch, digest };
        let refusal = self.node.step_into(input.clone(), &mut sink).err();
        let passed = self.time.0.saturating_sub(self.head.time.0).saturating_mul(self.head.unit);
        let when = Duration::from_micros(self.head.began.saturating_add(passed));
        let step =
            Step { number: self.number, time: self.time, when, input, effects: sink.effects, refusal, is_same: None };
        (step, sink.digest)
    }

    fn is_same(&self, recorded: Option<(u64, u32)>, now: (u64, u32)) -> Option<bool> {
        // Nothing is written of the digest of nothing.
        let same = |recorded: (u64, u32)| recorded.0 == now.0 && (now.0 == 0 || recorded.1 == now.1);
        recorded.filter(|_| self.can_compare()).map(same)
    }
}

/// What the node was told next, and what is recorded of its effects: nothing, if it did not come to their end.
type Next = (Told, Option<(u64, u32)>);

fn next(rest: &mut &[u8]) -> Result<Next, DecodeError> {
    let told = take_told(rest)?;
    if rest.is_empty() {
        return Ok((told, None));
    }
    let marks = take_number(rest)?;
    if marks == 0 {
        return Ok((told, Some((0, 0))));
    }
    let (digest, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok((told, Some((marks, u32::from_le_bytes(*digest)))))
}

/// Effects, with the scopes that they had at the outbox.
struct Sink {
    effects: Vec<Effect>,
    batch: u64,
    digest: Digest,
}

impl EffectSink<Record, Message, Decision> for Sink {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        self.digest.persist(&record, urgency);
        self.effects.push(Effect::Persist(record));
        Scope::batch(self.batch)
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        self.digest.send(to, &message, after);
        self.effects.push(Effect::Send { to, message });
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        self.digest.decide(&decision, after);
        self.effects.push(Effect::Decide(decision));
    }
}
