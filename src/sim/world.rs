//! The world: nodes, their disks and clocks, the network between them, and the resources behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Event, Observation, Property, Setup, Stats, disk::Disk, properties};
use crate::{
    Machine, NodeId, Outbox, Pending, Released, RestoreError, TxId,
    commit::{Config, Decision, Effect, Input, Key, Message, Node, Outcome, Record, Time, Transaction, Vote},
};

/// A node of a world: a [`Node`], or something around one.
pub trait Actor: Machine<Input = Input, Record = Record, Message = Message, Decision = Decision> + Sized {
    /// As [`Node::create`].
    fn create(config: Config) -> (Self, Vec<Effect>);

    /// As [`Node::restore`].
    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError>;

    /// The node within.
    fn node(&self) -> &Node;

    /// The node within.
    fn node_mut(&mut self) -> &mut Node;
}

impl Actor for Node {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        Self::create(config)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        Self::restore(config, records)
    }

    fn node(&self) -> &Node {
        self
    }

    fn node_mut(&mut self) -> &mut Node {
        self
    }
}

/// A property that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {what}")]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// What broke it.
    pub what: String,
}

/// Nodes, network, disks, clocks and clients, and the properties that watch them.
pub struct World<A = Node> {
    setup: Setup,
    processes: BTreeMap<NodeId, Process<A>>,
    network: BTreeMap<(NodeId, NodeId), VecDeque<Message>>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    begun: Vec<Transaction>,
    properties: Vec<Box<dyn Property>>,
    /// Who has tried a ballot of its own in which transaction.
    recoverers: BTreeMap<TxId, BTreeSet<NodeId>>,
    outcomes: BTreeMap<TxId, Outcome>,
    stats: Stats,
}

/// One node, up or down, and what is around it.
struct Process<A> {
    /// None while it is down.
    actor: Option<A>,
    outbox: Outbox<Record, Message, Decision>,
    writing: Option<Pending<Record, Message, Decision>>,
    disk: Disk,
    clock: Time,
    /// What the resource is asked to vote on.
    asked: Vec<TxId>,
    /// What the resource was handed, and has not carried out.
    handed: Vec<TxId>,
}

/// How many rounds of deliveries and ticks a healed world has to bring everything to its end.
const ROUNDS: usize = 2_000;

impl<A: Actor> World<A> {
    /// A world in which nothing has happened yet, watched by all properties.
    pub fn new(setup: Setup) -> Self {
        let mut world = Self {
            processes: BTreeMap::new(),
            network: BTreeMap::new(),
            cuts: BTreeSet::new(),
            begun: Vec::new(),
            properties: properties::all(),
            recoverers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            stats: Stats::default(),
            setup,
        };
        for at in world.setup.nodes.clone() {
            let (actor, effects) = A::create(world.config(at));
            let mut outbox = Outbox::new();
            outbox.extend(effects);
            let process = Process {
                actor: Some(actor),
                outbox,
                writing: None,
                disk: Disk::default(),
                clock: Time(0),
                asked: Vec::new(),
                handed: Vec::new(),
            };
            world.processes.insert(at, process);
        }
        world
    }

    /// What the world is made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What has happened.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A node, unless it is down.
    pub fn actor(&self, at: NodeId) -> Option<&A> {
        self.processes.get(&at)?.actor.as_ref()
    }

    /// The transactions that were begun, in order.
    pub fn begun(&self) -> &[Transaction] {
        &self.begun
    }

    /// The outcome of a transaction, once any node has decided it.
    pub fn outcome(&self, tx: TxId) -> Option<Outcome> {
        self.outcomes.get(&tx).copied()
    }

    /// The durable records of a node.
    pub fn disk(&self, at: NodeId) -> Vec<Record> {
        self.processes.get(&at).map(|process| process.disk.records()).unwrap_or_default()
    }

    /// How many messages are under way, by sender and receiver. Only links with any are listed.
    pub fn under_way(&self) -> Vec<((NodeId, NodeId), usize)> {
        self.network.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, queue)| (*link, queue.len())).collect()
    }

    pub(crate) fn message(&self, from: NodeId, to: NodeId, index: usize) -> Option<&Message> {
        self.network.get(&(from, to))?.get(index)
    }

    pub(crate) fn cut_links(&self) -> Vec<(NodeId, NodeId)> {
        self.cuts.iter().copied().collect()
    }

    pub(crate) fn is_up(&self, at: NodeId) -> bool {
        self.actor(at).is_some()
    }

    pub(crate) fn has_gathered(&self, at: NodeId) -> bool {
        self.processes.get(&at).is_some_and(|process| !process.outbox.is_empty() && process.writing.is_none())
    }

    pub(crate) fn writing(&self, at: NodeId) -> Option<usize> {
        Some(self.processes.get(&at)?.writing.as_ref()?.records().len())
    }

    pub(crate) fn asked(&self, at: NodeId) -> usize {
        self.processes.get(&at).map_or(0, |process| process.asked.len())
    }

    pub(crate) fn handed(&self, at: NodeId) -> usize {
        self.processes.get(&at).map_or(0, |process| process.handed.len())
    }

    /// Lets one event happen. Returns the effects of the step that it caused, if any.
    pub fn apply(&mut self, event: &Event) -> Result<Vec<Effect>, Violation> {
        self.stats.events += 1;
        match event {
            Event::Begin { at, participants } => self.begin(*at, participants),
            Event::Again { at, index } => match self.shown(*index).cloned() {
                Some(transaction) => self.step(*at, Input::Begin(transaction)),
                None => Ok(Vec::new()),
            },
            Event::Vote { at, index, vote } => {
                let asked = self.processes.get_mut(at).map(|process| &mut process.asked);
                match asked.filter(|asked| *index < asked.len()).map(|asked| asked.remove(*index)) {
                    Some(tx) => {
                        self.stats.votes_to_abort += u64::from(*vote == Vote::Aborted);
                        self.step(*at, Input::Vote { tx, vote: *vote })
                    }
                    None => Ok(Vec::new()),
                }
            }
            Event::Finish { at, index } => {
                let handed = self.processes.get_mut(at).map(|process| &mut process.handed);
                match handed.filter(|handed| *index < handed.len()).map(|handed| handed.remove(*index)) {
                    Some(tx) => self.step(*at, Input::Finished(tx)),
                    None => Ok(Vec::new()),
                }
            }
            Event::Inquire { at, index } => match self.shown(*index).map(Transaction::id) {
                Some(tx) => self.step(*at, Input::Inquire(tx)),
                None => Ok(Vec::new()),
            },
            Event::Deliver { from, to, index } => match self.take(*from, *to, *index) {
                Some(message) => {
                    self.stats.delivered += 1;
                    self.step(*to, Input::Receive { from: *from, message })
                }
                None => Ok(Vec::new()),
            },
            Event::Duplicate { from, to, index } => match self.message(*from, *to, *index).cloned() {
                Some(message) => {
                    self.stats.duplicated += 1;
                    self.step(*to, Input::Receive { from: *from, message })
                }
                None => Ok(Vec::new()),
            },
            Event::Lose { from, to, index } => {
                self.stats.lost += u64::from(self.take(*from, *to, *index).is_some());
                Ok(Vec::new())
            }
            Event::Write { at } => self.write(*at).map(|()| Vec::new()),
            Event::Sync { at } => self.sync(*at).map(|()| Vec::new()),
            Event::Fail { at, keep } => {
                if self.writing(*at).is_some() {
                    self.stats.failed_writes += 1;
                    self.stop(*at, *keep)?;
                }
                Ok(Vec::new())
            }
            Event::Crash { at, keep } => {
                if self.is_up(*at) {
                    self.stats.crashes += 1;
                    self.stop(*at, *keep)?;
                }
                Ok(Vec::new())
            }
            Event::Restart { at } => self.restart(*at).map(|()| Vec::new()),
            Event::Compact { at } => self.compact(*at).map(|()| Vec::new()),
            Event::Tick { at, by } => match self.processes.get_mut(at).filter(|process| process.actor.is_some()) {
                Some(process) => {
                    process.clock = Time(process.clock.0.saturating_add(*by));
                    let now = process.clock;
                    self.step(*at, Input::Tick(now))
                }
                None => Ok(Vec::new()),
            },
            Event::Cut { from, to } => {
                self.stats.cuts += u64::from(self.cuts.insert((*from, *to)));
                Ok(Vec::new())
            }
            Event::Mend { from, to } => {
                self.cuts.remove(&(*from, *to));
                Ok(Vec::new())
            }
        }
    }

    /// Ends all faults, and lets everything come to its end: every transaction completes, is retired everywhere, and
    /// leaves nothing open. Then asks the properties for their last word.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.cuts.clear();
        for _ in 0..ROUNDS {
            let nodes = self.setup.nodes.clone();
            for at in &nodes {
                self.restart(*at)?;
            }
            let mut idle = true;
            for ((from, to), _) in self.under_way() {
                while self.message(from, to, 0).is_some() {
                    idle = false;
                    self.apply(&Event::Deliver { from, to, index: 0 })?;
                }
            }
            for at in nodes.iter().copied() {
                while self.asked(at) > 0 {
                    self.apply(&Event::Vote { at, index: 0, vote: Vote::Prepared })?;
                }
                while self.handed(at) > 0 {
                    self.apply(&Event::Finish { at, index: 0 })?;
                }
                while self.writing(at).is_some() || self.has_gathered(at) {
                    idle = false;
                    self.apply(&Event::Write { at })?;
                    self.apply(&Event::Sync { at })?;
                }
            }
            if idle {
                if self.is_at_rest() {
                    return self.properties.iter_mut().try_for_each(|property| property.finish());
                }
                self.pass_time(&nodes)?;
            }
        }
        Err(Violation { property: "liveness", what: self.unrest() })
    }

    /// Advances all clocks to the next deadline of any node.
    fn pass_time(&mut self, nodes: &[NodeId]) -> Result<(), Violation> {
        let waits = self.processes.values().filter_map(|process| {
            let deadline = process.actor.as_ref()?.node().deadline()?;
            Some(deadline.0.saturating_sub(process.clock.0))
        });
        let by = waits.min().unwrap_or(0).max(1);
        for at in nodes {
            self.apply(&Event::Tick { at: *at, by })?;
        }
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        self.processes.values().filter_map(|process| process.actor.as_ref()).all(|actor| {
            let metrics = actor.node().metrics();
            metrics.open == 0 && metrics.unacknowledged_ranges == 0
        })
    }

    fn unrest(&self) -> String {
        let mut text = String::from("a healed world did not come to rest:");
        for (at, process) in &self.processes {
            let Some(actor) = &process.actor else { continue };
            for tx in actor.node().open_transactions() {
                text += &format!(" {at} has {tx} open ({:?});", actor.node().status(tx));
            }
            let unacknowledged = actor.node().metrics().unacknowledged_ranges;
            if unacknowledged > 0 {
                text += &format!(" {at} has {unacknowledged} unacknowledged ranges;");
            }
        }
        text
    }

    fn config(&self, at: NodeId) -> Config {
        Config::new(self.setup.cluster.clone(), at, at.0)
    }

    fn begin(&mut self, at: NodeId, participants: &[NodeId]) -> Result<Vec<Effect>, Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(Vec::new()) };
        // A node whose identity is not durable yet has not come into being; it may still be made anew.
        let Some(actor) = process.actor.as_mut().filter(|_| !process.disk.is_blank()) else { return Ok(Vec::new()) };
        let Some(id) = actor.node_mut().allocate() else { return Ok(Vec::new()) };
        let Ok(transaction) = Transaction::new(id, participants, []) else { return Ok(Vec::new()) };
        self.stats.begun += 1;
        // A name that was lost before it was durable comes again, and nobody has seen the transaction that had it.
        self.begun.retain(|other| other.id() != id);
        self.begun.push(transaction.clone());
        self.step(at, Input::Begin(transaction))
    }

    /// A transaction whose name is durable, so that clients may know it.
    fn shown(&self, index: usize) -> Option<&Transaction> {
        let transaction = self.begun.get(index)?;
        let TxId { origin, seq } = transaction.id();
        let sequence = self.processes.get(&origin)?.disk.get(Key::Sequence)?;
        matches!(sequence, Record::Sequence { reserved } if seq < *reserved).then_some(transaction)
    }

    fn step(&mut self, at: NodeId, input: Input) -> Result<Vec<Effect>, Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(Vec::new()) };
        let Some(actor) = process.actor.as_mut() else { return Ok(Vec::new()) };
        let verdict = actor.node().check(&input);
        self.stats.refused += u64::from(verdict.is_err());
        let recoveries = actor.node().metrics().recoveries;
        let effects = actor.step(input.clone());
        self.stats.recoveries += actor.node().metrics().recoveries - recoveries;
        process.outbox.extend(effects.iter().cloned());
        self.observe(&Observation::Stepped { at, input: &input, effects: &effects, verdict })?;
        Ok(effects)
    }

    fn write(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.writing.is_none()) else {
            return Ok(());
        };
        let free = process.outbox.take_free();
        process.writing = process.outbox.take();
        free.map_or(Ok(()), |released| self.release(at, released))
    }

    fn sync(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(pending) = self.processes.get_mut(&at).and_then(|process| process.writing.take()) else {
            return Ok(());
        };
        self.stats.syncs += 1;
        for record in pending.records() {
            self.persist(at, record)?;
        }
        self.release(at, pending.persisted())
    }

    fn persist(&mut self, at: NodeId, record: &Record) -> Result<(), Violation> {
        if let Some(process) = self.processes.get_mut(&at) {
            process.disk.write(record);
        }
        self.stats.retirements += u64::from(matches!(record, Record::Retired(_)));
        self.observe(&Observation::Durable { at, record })
    }

    fn release(&mut self, at: NodeId, released: Released<Message, Decision>) -> Result<(), Violation> {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            for message in packet.messages {
                self.observe(&Observation::Sent { at, to: packet.to, message: &message })?;
                self.note_recovery(at, &message);
                if self.cuts.contains(&(at, packet.to)) {
                    self.stats.lost_to_cuts += 1;
                } else {
                    self.network.entry((at, packet.to)).or_default().push_back(message);
                }
            }
        }
        for decision in decisions {
            self.observe(&Observation::Decided { at, decision: &decision })?;
            self.decide(at, decision);
        }
        Ok(())
    }

    fn decide(&mut self, at: NodeId, decision: Decision) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        let (tx, outcome) = match decision {
            Decision::Vote(transaction) => {
                process.asked.push(transaction.id());
                return;
            }
            Decision::Commit(tx) => (tx, Outcome::Committed),
            Decision::Abort(tx) => (tx, Outcome::Aborted),
            Decision::Decided { tx, outcome } | Decision::Completed { tx, outcome } => {
                self.note_outcome(tx, outcome);
                return;
            }
        };
        process.asked.retain(|asked| *asked != tx);
        if !process.handed.contains(&tx) {
            process.handed.push(tx);
        }
        self.note_outcome(tx, outcome);
    }

    fn note_outcome(&mut self, tx: TxId, outcome: Outcome) {
        if self.outcomes.insert(tx, outcome).is_none() {
            match outcome {
                Outcome::Committed => self.stats.committed += 1,
                Outcome::Aborted => self.stats.aborted += 1,
            }
        }
    }

    fn note_recovery(&mut self, at: NodeId, message: &Message) {
        if let Message::Paxos { transaction, parts } = message
            && parts.iter().any(|part| part.message.is_request())
        {
            let recoverers = self.recoverers.entry(transaction.id()).or_default();
            if recoverers.insert(at) && recoverers.len() == 2 {
                self.stats.concurrent_recoveries += 1;
            }
        }
    }

    /// Stops a node. The first `keep` records of the write under way reach its disk.
    fn stop(&mut self, at: NodeId, keep: usize) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        process.actor = None;
        process.asked.clear();
        process.handed.clear();
        process.outbox = Outbox::new();
        if let Some(pending) = process.writing.take() {
            let keep = keep.min(pending.records().len());
            if keep == 0 {
                self.stats.unsynced_writes_lost += 1;
            } else if keep < pending.records().len() {
                self.stats.torn_writes += 1;
            }
            for record in &pending.records()[..keep] {
                self.persist(at, record)?;
            }
            pending.failed();
        }
        self.observe(&Observation::Stopped { at })
    }

    fn restart(&mut self, at: NodeId) -> Result<(), Violation> {
        let config = self.config(at);
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.actor.is_none()) else {
            return Ok(());
        };
        if process.disk.is_blank() {
            // Its very first write was lost: it has never been, and may be created again.
            let (actor, effects) = A::create(config);
            process.actor = Some(actor);
            process.outbox.extend(effects);
            return Ok(());
        }
        match A::restore(config, process.disk.records()) {
            Ok(actor) => process.actor = Some(actor),
            Err(error) => {
                return Err(Violation { property: "restore", what: format!("{at} cannot be restored: {error}") });
            }
        }
        // The clock of a restarted node may begin anywhere.
        process.clock = Time(0);
        self.stats.restarts += 1;
        self.observe(&Observation::Started { at })
    }

    /// Cuts the disk down to a snapshot, when nothing is on its way to it.
    fn compact(&mut self, at: NodeId) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(()) };
        let Some(actor) = &process.actor else { return Ok(()) };
        if process.outbox.is_empty() && process.writing.is_none() && !process.disk.is_blank() {
            self.stats.compactions += 1;
            process.disk.replace(actor.node().snapshot());
        }
        Ok(())
    }

    fn take(&mut self, from: NodeId, to: NodeId, index: usize) -> Option<Message> {
        self.network.get_mut(&(from, to))?.remove(index)
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        self.properties.iter_mut().try_for_each(|property| property.observe(observation))
    }
}
