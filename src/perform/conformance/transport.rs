//! Whether a transport keeps the contract of [`Transport`](crate::perform::Transport).

#![allow(clippy::disallowed_types, reason = "a transport is slow or it is not")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{Report, Verdict, report::shown};
use crate::{
    Ballot, NodeId, Packet, TxId,
    commit::{Acceptance, Message, Meta, Obstacle, Outcome, Places, Promises, Transaction, TxRange, Vote, Votes, What},
};

/// A transport to be tested: several nodes that it connects.
///
/// One that works in the background, in threads or tasks of its own, is as good as one that does not: whatever it was
/// given to send is waited for.
///
/// ```
/// use std::time::Duration;
/// use synod::{NodeId, Packet, commit::Message};
/// use synod::perform::{Transport, conformance::{self, TransportUnderTest}, memory::Network};
///
/// struct InMemory(Network);
///
/// impl TransportUnderTest for InMemory {
///     fn nodes(&self) -> Vec<NodeId> {
///         vec![NodeId(1), NodeId(2), NodeId(3)]
///     }
///
///     fn send(&mut self, from: NodeId, packet: Packet<Message>) {
///         self.0.port(from).send(packet);
///     }
///
///     fn receive(&mut self, at: NodeId, _: Duration) -> Option<(NodeId, Vec<Message>)> {
///         self.0.receive(at)
///     }
/// }
///
/// conformance::transport(&mut InMemory(Network::new())).assert();
/// ```
pub trait TransportUnderTest {
    /// The nodes that it connects. Two at least; only with three does it show that others hear nothing.
    fn nodes(&self) -> Vec<NodeId>;

    /// Sends `packet` from the node `from`.
    fn send(&mut self, from: NodeId, packet: Packet<Message>);

    /// What has come for the node `at` next: who sent it, as the transport vouches for it, and the messages. Waits for
    /// `patience` at most, if there is nothing yet.
    fn receive(&mut self, at: NodeId, patience: Duration) -> Option<(NodeId, Vec<Message>)>;

    /// How long something that is sent again and again may take to arrive, and how long two thousand packets may take to
    /// be sent. Ten seconds, unless given.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// The longest content of a transaction that the transport promises to carry, in bytes. That of the default
    /// [`Limits`](crate::commit::Limits), unless given.
    fn longest_meta(&self) -> usize {
        crate::commit::Limits::default().meta
    }
}

/// How long to wait before something is sent again.
const AGAIN: Duration = Duration::from_millis(50);
/// How many packets are sent to a node that takes none.
const FLOOD: usize = 2_000;

/// Puts a transport through all that a node relies on.
pub fn transport<U: TransportUnderTest>(subject: &mut U) -> Report {
    let nodes = subject.nodes();
    let mut post =
        Post { subject, nodes, sent: BTreeMap::new(), arrived: BTreeSet::new(), faults: Vec::new(), packets: 0 };
    let arrives = post.everyone_to_everyone();
    let many = post.many_messages();
    let long = post.long_message();
    let nobody = post.sent_to_nobody();
    let waits = post.never_waits();
    post.take_the_rest();

    let mut report = Report::new("transport");
    let mut add = |name, contract, result: Result<(), String>| report.add(name, contract, Verdict::from(result));
    add(
        "a packet comes to whom it names",
        "a packet goes to the node that it names, and to no other: another one would take it for its own",
        post.none_of(Fault::Misdelivered),
    );
    add(
        "its sender is who it is from",
        "the sender reaches the receiver unforged: a node would count one acceptor's answer for another's",
        post.none_of(Fault::Forged),
    );
    add(
        "messages come unchanged",
        "every bit of a message counts, and nothing comes that was not sent",
        post.none_of(Fault::Changed),
    );
    add(
        "messages of a packet keep their order",
        "what comes at once comes in the order in which it was sent",
        post.none_of(Fault::Reordered),
    );
    add(
        "what is said again and again arrives",
        "a packet may be lost, but not every time: nodes repeat what matters until it is answered",
        arrives,
    );
    add(
        "a packet of many messages arrives",
        "a packet has all that one write released; here a thousand messages",
        many,
    );
    add("a long message arrives", "a message has as much content as the limits of the cluster let in", long);
    add(
        "a packet to nobody is lost, and nothing else",
        "a node that does not exist, or does not any more, is no reason to fail, nor for others to hear what it is told",
        nobody,
    );
    add(
        "to send does not wait",
        "`send` returns at once, whether or not anyone takes what is sent: a node that waits for one other waits for none, \
         and a packet too many may be lost",
        waits,
    );
    report
}

/// All that is sent, and what has become of it.
struct Post<'a, U> {
    subject: &'a mut U,
    nodes: Vec<NodeId>,
    /// By the name that each message bears, which no other does.
    sent: BTreeMap<TxId, Sent>,
    arrived: BTreeSet<TxId>,
    faults: Vec<(Fault, String)>,
    packets: u64,
}

struct Sent {
    from: NodeId,
    to: NodeId,
    packet: u64,
    message: Message,
}

/// What can be wrong with what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Misdelivered,
    Forged,
    Changed,
    Reordered,
}

impl<U: TransportUnderTest> Post<'_, U> {
    /// Every node tells every other one all that nodes can say.
    fn everyone_to_everyone(&mut self) -> Result<(), String> {
        let nodes = self.nodes.clone();
        let pairs: Vec<_> = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))).collect();
        if pairs.len() < 4 {
            return Err("there are not even two nodes".into());
        }
        let mut pairs = pairs.into_iter().filter(|(from, to)| from != to);
        pairs.try_for_each(|(from, to)| self.bring(from, to, |names| catalogue(names, from, to)))
    }

    fn many_messages(&mut self) -> Result<(), String> {
        let [from, to] = self.two()?;
        self.bring(from, to, |names| (0..1_000).map(|_| prepare(names(), 100)).collect())
    }

    fn long_message(&mut self) -> Result<(), String> {
        let [from, to] = self.two()?;
        let length = self.subject.longest_meta();
        self.bring(from, to, |names| vec![prepare(names(), length)])
    }

    fn sent_to_nobody(&mut self) -> Result<(), String> {
        let [from, to] = self.two()?;
        let nobody =
            (0..).map(|id| NodeId(u64::MAX - id)).find(|id| !self.nodes.contains(id)).ok_or("no id is left")?;
        let faults = self.faults.len();
        for _ in 0..10 {
            self.send(from, nobody, |names| vec![prepare(names(), 10)]);
        }
        self.bring(from, to, |names| catalogue(names, from, to))?;
        match self.faults.get(faults) {
            Some((_, found)) => Err(found.clone()),
            None => Ok(()),
        }
    }

    fn never_waits(&mut self) -> Result<(), String> {
        let [from, to] = self.two()?;
        let (start, patience) = (Instant::now(), self.subject.patience());
        for sent in 1..=FLOOD {
            self.send(from, to, |names| vec![prepare(names(), 1_000)]);
            if start.elapsed() > patience {
                return Err(format!("to send {sent} packets that nobody took has taken {:?}", start.elapsed()));
            }
        }
        // That was not the end of it.
        self.bring(from, to, |names| catalogue(names, from, to))
    }

    /// Sends a packet until each of its messages has arrived at least once.
    fn bring(
        &mut self,
        from: NodeId,
        to: NodeId,
        messages: impl Fn(&mut dyn FnMut() -> TxId) -> Vec<Message>,
    ) -> Result<(), String> {
        let start = Instant::now();
        let mut tries: Vec<Vec<TxId>> = Vec::new();
        loop {
            tries.push(self.send(from, to, &messages));
            let again = Instant::now() + AGAIN;
            while self.missing(&tries).is_some() && self.take(to, again.saturating_duration_since(Instant::now())) {}
            for at in self.nodes.clone() {
                while start.elapsed() <= self.subject.patience() && self.take(at, Duration::ZERO) {}
            }
            let Some(place) = self.missing(&tries) else { return Ok(()) };
            if start.elapsed() > self.subject.patience() {
                let message = &self.sent[&tries[0][place]].message;
                return Err(format!("{from} told {to} {} times, and in vain: {}", tries.len(), shown(message)));
            }
        }
    }

    /// The place of a message that has not arrived in any of these tries.
    fn missing(&self, tries: &[Vec<TxId>]) -> Option<usize> {
        let places = 0..tries.first()?.len();
        places.into_iter().find(|place| tries.iter().all(|names| !self.arrived.contains(&names[*place])))
    }

    /// Sends a packet of messages, each with a name of its own. Returns the names.
    fn send(
        &mut self,
        from: NodeId,
        to: NodeId,
        messages: impl FnOnce(&mut dyn FnMut() -> TxId) -> Vec<Message>,
    ) -> Vec<TxId> {
        self.packets += 1;
        let packet = self.packets;
        let mut seq = 0;
        let messages = messages(&mut || {
            seq += 1;
            TxId { origin: NodeId(packet), seq }
        });
        let names: Vec<TxId> = messages.iter().map(name).collect();
        for (name, message) in names.iter().zip(&messages) {
            self.sent.insert(*name, Sent { from, to, packet, message: message.clone() });
        }
        self.subject.send(from, Packet { to, messages });
        names
    }

    /// Takes what has come for `at` next, if anything does in time.
    fn take(&mut self, at: NodeId, patience: Duration) -> bool {
        let Some((from, messages)) = self.subject.receive(at, patience) else { return false };
        self.judge(at, from, &messages);
        true
    }

    /// Takes what is still on its way to where it should not go.
    fn take_the_rest(&mut self) {
        for at in self.nodes.clone() {
            let start = Instant::now();
            while start.elapsed() <= self.subject.patience() && self.take(at, AGAIN) {}
        }
    }

    fn judge(&mut self, at: NodeId, from: NodeId, messages: &[Message]) {
        let mut last = BTreeMap::new();
        for message in messages {
            let name = name(message);
            let Some(sent) = self.sent.get(&name).filter(|sent| sent.message == *message) else {
                self.faults.push((Fault::Changed, format!("nobody ever sent what came to {at}: {}", shown(message))));
                continue;
            };
            self.arrived.insert(name);
            let from_whom = format!("from {} to {}: {}", sent.from, sent.to, shown(message));
            if sent.to != at {
                self.faults.push((Fault::Misdelivered, format!("{at} was given what was sent {from_whom}")));
            }
            if sent.from != from {
                self.faults
                    .push((Fault::Forged, format!("{at} was told that {from} had sent what was sent {from_whom}")));
            }
            if last.insert(sent.packet, name).is_some_and(|before| before >= name) {
                self.faults.push((Fault::Reordered, format!("not in its place came what was sent {from_whom}")));
            }
        }
    }

    fn none_of(&self, fault: Fault) -> Result<(), String> {
        let mut found = self.faults.iter().filter(|(other, _)| *other == fault);
        match found.next() {
            None => Ok(()),
            Some((_, first)) => Err(format!("{first} (and {} more)", found.count())),
        }
    }

    fn two(&self) -> Result<[NodeId; 2], String> {
        self.nodes.first_chunk().copied().ok_or_else(|| "there are not even two nodes".into())
    }
}

/// The name that a message bears.
fn name(message: &Message) -> TxId {
    match message {
        Message::Retired { range, .. } | Message::RetiredNoted { range } => range.first(),
        other => other.transaction().map(Transaction::id).unwrap_or_default(),
    }
}

/// A transaction, and what it is about: so many bytes.
fn transaction(id: TxId, length: usize) -> (Transaction, Meta) {
    let meta = Meta::from((0..length).map(|place| place as u8).collect::<Vec<u8>>());
    (Transaction::new(id, [1, 2, u64::MAX].map(NodeId), meta.clone()).expect("distinct participants, and some"), meta)
}

/// A message with so many bytes of content.
fn prepare(id: TxId, length: usize) -> Message {
    let (transaction, meta) = transaction(id, length);
    Message::about(&transaction, What::prepare(meta))
}

/// All that one node can say to another, each about a transaction of its own.
fn catalogue(names: &mut dyn FnMut() -> TxId, from: NodeId, to: NodeId) -> Vec<Message> {
    let meta = transaction(TxId::default(), 256).1;
    let (ballot, lower) = (Ballot::new(u64::MAX, from), Ballot::new(1, from));
    let (votes, instances) =
        (Votes::from_iter([(0, Vote::Prepared), (2, Vote::Aborted)]), Places::from_iter([0, 1, 2]));
    let higher: Box<[Acceptance]> = [Acceptance { rm: NodeId(2), ballot: lower, vote: Vote::Prepared }].into();
    let promises = Promises { instances: instances.clone(), votes: votes.clone(), higher: higher.clone() };
    let promised = [Obstacle { rm: NodeId(1), promised: ballot }, Obstacle { rm: NodeId(u64::MAX), promised: ballot }];
    let all = [
        What::Begin { meta: meta.clone() },
        What::prepare(meta),
        What::Vote { vote: Vote::Prepared, manager: to },
        What::Phase1a { ballot, instances },
        What::Phase1b { ballot, promises: Box::new(promises) },
        What::Phase2a { ballot, votes: votes.clone() },
        What::Phase2b { votes, higher },
        What::Reject { ballot: lower, promised: promised.into() },
        What::Inquire,
        What::Decline,
        What::Wait,
        What::OtherTransaction,
        What::Outcome(Outcome::Aborted),
        What::Finished(Outcome::Committed),
    ];
    let mut messages: Vec<Message> =
        all.into_iter().map(|what| Message::about(&transaction(names(), 256).0, what)).collect();
    messages.push(Message::retired(TxRange::only(names())));
    messages.push(Message::RetiredNoted { range: TxRange::only(names()) });
    messages
}
