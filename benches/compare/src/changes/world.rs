//! Nodes between which a message takes a hop, and whose disks take a write: nothing else takes any time.

use std::collections::BTreeMap;

use synod::{
    NodeId, Outbox, Pending, Released,
    commit::{self, Decision, Input, Message, Node, Record, Time, Vote},
};

type Effects = Outbox<Record, Message, Decision>;

/// What happens at some time.
enum Event {
    Deliver { from: NodeId, to: NodeId, messages: Vec<Message> },
    Written { at: NodeId, pending: Pending<Record, Message, Decision> },
    Wake { at: NodeId },
}

struct Machinery {
    node: Node,
    outbox: Effects,
    is_writing: bool,
    wakes_at: Option<u64>,
}

/// The nodes, and what is under way.
pub struct World {
    /// How long a message takes.
    hop: u64,
    /// How long a write takes.
    write: u64,
    pub now: u64,
    nodes: BTreeMap<NodeId, Machinery>,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    /// What was said about epochs, until somebody looks.
    pub told: Vec<Message>,
    /// What nodes have decided, until somebody looks.
    pub news: Vec<(NodeId, Decision)>,
}

impl World {
    pub fn new(hop: u64, write: u64) -> Self {
        let (nodes, events) = (BTreeMap::new(), BTreeMap::new());
        Self { hop, write, now: 0, nodes, events, count: 0, told: Vec::new(), news: Vec::new() }
    }

    /// Takes up a node, with what it has to write first.
    pub fn add(&mut self, (node, effects): (Node, Vec<commit::Effect>)) {
        let at = node.config().id;
        let mut outbox = Outbox::new();
        outbox.extend(effects);
        self.nodes.insert(at, Machinery { node, outbox, is_writing: false, wakes_at: None });
        self.carry_out(at);
    }

    pub fn node(&self, at: NodeId) -> Option<&Node> {
        self.nodes.get(&at).map(|machinery| &machinery.node)
    }

    /// Lets a node take an input, unless it is dead. Whether it was not refused.
    pub fn step(&mut self, at: NodeId, input: Input) -> bool {
        let Some(Machinery { node, outbox, .. }) = self.nodes.get_mut(&at) else { return false };
        // It hears what time it is before all else.
        let _ = outbox.step(node, Input::Tick(Time(self.now)));
        let is_taken = outbox.step(node, input).is_ok();
        self.carry_out(at);
        is_taken
    }

    /// The next thing happens. Whether there was any.
    pub fn go_on(&mut self) -> bool {
        let Some(((now, _), event)) = self.events.pop_first() else { return false };
        self.now = now;
        match event {
            Event::Deliver { from, to, messages } => {
                if let Some(Machinery { node, outbox, .. }) = self.nodes.get_mut(&to) {
                    let _ = outbox.step(node, Input::Tick(Time(now)));
                    node.receive(from, &messages, outbox);
                    self.carry_out(to);
                }
            }
            Event::Written { at, pending } => {
                if let Some(machinery) = self.nodes.get_mut(&at) {
                    machinery.is_writing = false;
                    let released = pending.persisted();
                    self.release(at, released);
                    self.carry_out(at);
                }
            }
            Event::Wake { at } => {
                if let Some(Machinery { node, outbox, wakes_at, .. }) = self.nodes.get_mut(&at)
                    && *wakes_at == Some(now)
                {
                    *wakes_at = None;
                    let _ = outbox.step(node, Input::Tick(Time(now)));
                    self.carry_out(at);
                }
            }
        }
        true
    }

    fn happen(&mut self, after: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), event);
    }

    /// Sends what may leave, and writes what has gathered.
    fn carry_out(&mut self, at: NodeId) {
        while let Some(released) = self.nodes.get_mut(&at).and_then(|machinery| machinery.outbox.take_free()) {
            self.release(at, released);
        }
        let Some(machinery) = self.nodes.get_mut(&at) else { return };
        if !machinery.is_writing
            && machinery.outbox.is_urgent()
            && let Some(pending) = machinery.outbox.take()
        {
            machinery.is_writing = true;
            self.happen(self.write, Event::Written { at, pending });
        }
        let Some(machinery) = self.nodes.get_mut(&at) else { return };
        let deadline = machinery.node.deadline().map(|deadline| deadline.0.max(self.now));
        if deadline.is_some() && deadline != machinery.wakes_at {
            machinery.wakes_at = deadline;
            let after = deadline.unwrap_or(self.now) - self.now;
            self.happen(after, Event::Wake { at });
        }
    }

    fn release(&mut self, at: NodeId, released: Released<Message, Decision>) {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            let (to, messages) = (packet.to, packet.messages);
            self.told.extend(messages.iter().filter(|message| matches!(message, Message::Epoch { .. })).cloned());
            self.happen(self.hop, Event::Deliver { from: at, to, messages });
        }
        for decision in decisions {
            let answer = match &decision {
                Decision::Vote { transaction, .. } => {
                    Some(Input::Vote { transaction: transaction.clone(), vote: Vote::Prepared })
                }
                Decision::Commit { transaction, .. } | Decision::Abort { transaction, .. } => {
                    Some(Input::Finished(transaction.id()))
                }
                _ => None,
            };
            self.news.push((at, decision));
            if let Some(answer) = answer {
                self.step(at, answer);
            }
        }
    }
}
