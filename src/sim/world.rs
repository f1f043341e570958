//! The world: nodes, their disks and clocks, the network between them, and the resources behind them.

mod changes;
mod clients;
mod disks;
mod lies;
mod resources;
mod trace;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Actor, Event, Hurt, Lie, Observation, Property, Setup, Stats,
    network::{Letter, Link, Network},
    process::Process,
    properties,
};
use crate::{
    Fence, NodeId, Refusal, TxId,
    commit::{
        Cluster, Config, Decision, Effect, Input, Key, Message, Meta, Node, Outcome, Record, ResourceKind, Status,
        Transaction, Vote, What,
    },
};

pub use trace::Happening;

/// A property that was broken.
///
/// See [`World`] for an example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {what}")]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// What broke it.
    pub what: String,
}

/// Nodes, network, disks, clocks and clients, and the properties that watch them.
///
/// ```
/// # use synod::{commit::Node, sim::{Schedule, Violation, World}};
/// let (setup, mut schedule) = Schedule::new(7);
/// let mut world = World::<Node>::new(setup);
/// while let Some(event) = schedule.next(&world) {
///     world.apply(&event)?;
/// }
/// world.heal()?;
/// assert!(world.begun().iter().all(|begun| world.outcome(begun.id()).is_some()));
/// # Ok::<(), Violation>(())
/// ```
pub struct World<A = Node> {
    pub(super) setup: Setup,
    pub(super) processes: BTreeMap<NodeId, Process<A>>,
    pub(super) network: Network,
    begun: Vec<Transaction>,
    /// What each of them is about.
    metas: BTreeMap<TxId, Meta>,
    /// How often anything was begun, so that no two transactions are about the same.
    begins: u64,
    pub(super) properties: Vec<Box<dyn Property>>,
    /// Who has tried a ballot of its own in which transaction.
    recoverers: BTreeMap<TxId, BTreeSet<NodeId>>,
    outcomes: BTreeMap<TxId, Outcome>,
    /// The memberships that nodes have written: what operators go by.
    epochs: BTreeMap<u64, Cluster>,
    /// Machines that were switched off for good.
    gone: BTreeSet<NodeId>,
    /// Who has lied about which transaction.
    lied: BTreeSet<(NodeId, TxId)>,
    pub(super) stats: Stats,
    /// What has happened, if anybody looks.
    trace: Option<Vec<Happening>>,
}

impl<A: Actor> World<A> {
    /// A world in which nothing has happened yet, watched by all properties.
    pub fn new(setup: Setup) -> Self {
        let processes = setup.nodes.iter().map(|at| (*at, Process::new(config(&setup, *at), setup.in_order))).collect();
        Self {
            processes,
            network: Network::default(),
            begun: Vec::new(),
            metas: BTreeMap::new(),
            begins: 0,
            properties: properties::of(&setup.cluster, setup.hurt),
            recoverers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            epochs: BTreeMap::from([(0, setup.cluster.clone())]),
            gone: BTreeSet::new(),
            lied: BTreeSet::new(),
            stats: Stats { small_worlds: u64::from(setup.cluster.limits().open <= 2), ..Stats::default() },
            trace: None,
            setup,
        }
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
        self.network.links()
    }

    /// How many messages were delivered or lost, and may still turn up, by sender and receiver.
    pub fn past(&self) -> Vec<((NodeId, NodeId), usize)> {
        self.network.past_links()
    }

    pub(crate) fn is_up(&self, at: NodeId) -> bool {
        self.actor(at).is_some()
    }

    pub(crate) fn has_gathered(&self, at: NodeId) -> bool {
        self.processes.get(&at).is_some_and(|process| process.has_gathered() && process.writing.is_none())
    }

    pub(crate) fn writing(&self, at: NodeId) -> Option<usize> {
        Some(self.processes.get(&at)?.writing.as_ref()?.records().len())
    }

    pub(crate) fn asked(&self, at: NodeId) -> usize {
        self.processes.get(&at).map_or(0, |process| process.asked.len())
    }

    /// How many transactions a resource holds whose votes are durable in itself.
    pub(crate) fn held(&self, at: NodeId) -> usize {
        let process = self.processes.get(&at).filter(|_| self.votes_elsewhere(at));
        process.map_or(0, |process| process.held.len())
    }

    pub(crate) fn handed(&self, at: NodeId) -> usize {
        self.processes.get(&at).map_or(0, |process| process.handed.len())
    }

    /// Lets one event happen. Returns the effects of the step that it caused, if any.
    pub fn apply(&mut self, event: &Event) -> Result<Vec<Effect>, Violation> {
        self.stats.events += 1;
        match event {
            Event::Begin { at, participants } => return self.begin(*at, participants),
            Event::BeginAs { at, participants, own } => return self.begin_as(*at, participants, *own),
            Event::Again { at, index } => {
                if let Some(transaction) = self.shown(*index).cloned() {
                    let meta = self.metas.get(&transaction.id()).cloned().unwrap_or_default();
                    return self.step(*at, Input::BeginAs { transaction, meta });
                }
            }
            Event::Vote { at, index, vote } => {
                if let Some(transaction) = self.take_resource(*at, *index, |process| &mut process.asked) {
                    let vote = if self.cannot_prepare(*at, transaction.id()) { Vote::Aborted } else { *vote };
                    match vote {
                        Vote::Prepared => self.hold(*at, transaction.id())?,
                        Vote::Aborted if self.votes_elsewhere(*at) => self.stats.declined += 1,
                        Vote::Aborted => self.stats.votes_to_abort += 1,
                    }
                    return self.step(*at, Input::Vote { transaction, vote });
                }
            }
            Event::LoseVote { at, index } => {
                if let Some(transaction) = self.take_resource(*at, *index, |process| &mut process.asked) {
                    // A resource that has aborted prepares no more. If it does, and its node hears of it, the node sees to it;
                    // if nobody does, nobody can.
                    let tx = transaction.id();
                    if self.processes.get(at).is_some_and(|process| !process.ended.contains(&tx))
                        && !self.cannot_prepare(*at, tx)
                    {
                        self.stats.votes_lost += 1;
                        self.hold(*at, tx)?;
                    }
                }
            }
            Event::Finish { at, index } => {
                if self.is_hidden(*at, *index) {
                    return Ok(Vec::new());
                }
                if let Some(tx) = self.take_resource(*at, *index, |process| &mut process.handed) {
                    self.let_go(*at, tx)?;
                    self.processes.get_mut(at).into_iter().for_each(|process| _ = process.ended.insert(tx));
                    return self.step(*at, Input::Finished(tx));
                }
            }
            Event::Inquire { at, index } => {
                if let Some(tx) = self.shown(*index).map(Transaction::id) {
                    return self.step(*at, Input::Inquire(tx));
                }
            }
            Event::Lie { at, to, index, lie } => {
                let about = self.shown(*index).filter(|about| self.setup.liars.contains(at) && about.has(*at));
                // What all participants say is true by definition.
                let shared = |about: &&Transaction| about.participants().len() > 1;
                let about = about.filter(|about| self.is_known(about.id())).filter(shared).cloned();
                if let Some(transaction) = about {
                    self.lie(*at, *to, &transaction, *lie)?;
                }
            }
            Event::VoteAgain { at, to, index } => self.vote_again(*at, *to, *index),
            Event::StealName { at, origin, participants, back } => {
                return self.steal_name(*at, *origin, participants, *back);
            }
            Event::Deliver { from, to, index } => {
                if let Some(letter) = self.network.take((*from, *to), *index) {
                    self.stats.delivered += 1;
                    return self.deliver((*from, *to), letter);
                }
            }
            Event::Duplicate { from, to, index } => {
                if let Some(letter) = self.network.get((*from, *to), *index).cloned() {
                    self.stats.duplicated += 1;
                    return self.deliver((*from, *to), letter);
                }
            }
            Event::Late { from, to, index } => {
                if let Some(letter) = self.network.past((*from, *to), *index).cloned() {
                    self.stats.late += 1;
                    return self.deliver((*from, *to), letter);
                }
            }
            Event::Lose { from, to, index } => {
                if let Some(Letter { number, .. }) = self.network.take((*from, *to), *index) {
                    self.stats.lost += 1;
                    self.note(|| Happening::Lost { number });
                }
            }
            Event::Write { at } => self.write(*at)?,
            Event::Sync { at } => self.sync(*at)?,
            Event::Fail { at, keep } => {
                if self.writing(*at).is_some() {
                    self.stats.failed_writes += 1;
                    self.stop(*at, *keep)?;
                }
            }
            Event::Crash { at, keep } => {
                if self.is_up(*at) {
                    self.stats.crashes += 1;
                    self.stop(*at, *keep)?;
                }
            }
            Event::Damage { at, lost } => self.damage(*at, *lost)?,
            Event::Restart { at } => self.restart(*at)?,
            Event::Compact { at } => self.compact(*at)?,
            Event::Tick { at, by } => {
                if let Some(process) = self.processes.get_mut(at).filter(|process| process.actor.is_some()) {
                    process.advance(*by);
                    let now = process.clock();
                    process.tell_time();
                    return self.take(*at, &Input::Tick(now));
                }
            }
            Event::Cut { from, to, both_ways } => {
                self.stats.partitions += u64::from(*both_ways);
                self.stats.one_way_cuts += u64::from(!both_ways);
                self.network.cut(links(from, to));
                if *both_ways {
                    self.network.cut(links(to, from));
                }
            }
            Event::Find { at, index } => {
                if let Some(tx) = self.held_at(*at, *index) {
                    return self.find(*at, tx);
                }
            }
            Event::Hide { at, index } => {
                if let Some(tx) = self.held_at(*at, *index) {
                    let hidden = self.processes.get_mut(at).is_some_and(|process| process.hidden.insert(tx));
                    self.stats.hidden += u64::from(hidden);
                }
            }
            Event::Change { at, old, new } => return self.change(*at, *old, *new),
            Event::SwitchOff { at } => self.switch_off(*at)?,
            Event::Mend { from, to } => self.network.mend(links(from, to).chain(links(to, from))),
        }
        Ok(Vec::new())
    }

    /// Whether any node that is up has heard of a transaction.
    fn is_known(&self, tx: TxId) -> bool {
        let mut actors = self.processes.values().filter_map(|process| process.actor.as_ref());
        actors.any(|actor| actor.node().status(tx) != Status::Unknown)
    }

    /// Whether a node is up, and will be known if it stops. One whose identity is not durable yet has not come into
    /// being; it may still be created again.
    fn is_there(&self, at: NodeId) -> bool {
        self.processes.get(&at).is_some_and(|process| process.actor.is_some() && process.is_known())
    }

    /// A transaction whose name is durable, so that clients may know it.
    fn shown(&self, index: usize) -> Option<&Transaction> {
        self.begun.get(index).filter(|transaction| self.is_durable(transaction.id()))
    }

    /// Whether a name will not be given again, whatever crashes.
    fn is_durable(&self, TxId { origin, seq }: TxId) -> bool {
        // Clients give each name once, and who is lost gives none.
        if origin == CLIENT || self.has_damage(origin) {
            return true;
        }
        let sequence = self.processes.get(&origin).and_then(|process| process.disk.get(Key::Sequence));
        matches!(sequence, Some(Record::Sequence { reserved }) if seq < *reserved)
    }

    pub(super) fn deliver(&mut self, (from, to): Link, letter: Letter) -> Result<Vec<Effect>, Violation> {
        let Letter { number, message } = letter;
        self.note(|| Happening::Arrived { number });
        self.step(to, Input::Receive { from, message })
    }

    /// One step of a node. It is told the time before anything else.
    pub(super) fn step(&mut self, at: NodeId, input: Input) -> Result<Vec<Effect>, Violation> {
        self.introduce(at)?;
        let mut effects = self.tell_time(at)?;
        effects.extend(self.take(at, &input)?);
        Ok(effects)
    }

    /// Lets a node meet all others, unless it has.
    fn introduce(&mut self, at: NodeId) -> Result<(), Violation> {
        let process = self.processes.get_mut(&at).filter(|process| process.actor.is_some());
        let Some(process) = process.filter(|process| self.setup.acquainted && !process.acquainted) else {
            return Ok(());
        };
        process.acquainted = true;
        let others: Vec<NodeId> = self.nodes().filter(|node| *node != at).collect();
        others.into_iter().try_for_each(|node| {
            let epoch = self.actor(node).and_then(|actor| actor.node().tag());
            self.take(at, &Input::Met { node, birth: node.0, epoch }).map(drop)
        })
    }

    /// Tells a node what time it is, unless it knows.
    fn tell_time(&mut self, at: NodeId) -> Result<Vec<Effect>, Violation> {
        let process = self.processes.get_mut(&at).filter(|process| process.actor.is_some());
        match process.and_then(Process::tell_time) {
            Some(now) => self.take(at, &Input::Tick(now)),
            None => Ok(Vec::new()),
        }
    }

    fn take(&mut self, at: NodeId, input: &Input) -> Result<Vec<Effect>, Violation> {
        let Some(process) = self.processes.get_mut(&at) else { return Ok(Vec::new()) };
        let Some(before) = process.actor.as_ref().map(|actor| actor.node().clone()) else { return Ok(Vec::new()) };
        let mut effects = Vec::new();
        let step = AssertUnwindSafe(|| process.take(input.clone(), &mut effects));
        let verdict = catch_unwind(step).map_err(|panic| Violation {
            property: "no panic",
            what: format!("{at} panics at {input:?}: {}", said(&*panic)),
        })?;
        let (Some(verdict), Some(actor)) = (verdict, &process.actor) else { return Ok(Vec::new()) };
        let after = actor.node().clone();
        self.stats.refused += u64::from(verdict.is_err());
        self.stats.after_retirement += u64::from(verdict == Err(Refusal::Retired));
        self.stats.waited_for_a_turn +=
            u64::from(after.metrics().waiting_to_recover > before.metrics().waiting_to_recover);
        self.stats.second_votes_refused += u64::from(verdict == Err(Refusal::SecondValue));
        self.stats.refused_for_room += u64::from(verdict == Err(Refusal::TooManyOpen));
        self.stats.recoveries += after.metrics().recoveries - before.metrics().recoveries;
        if let Some((tx, fence)) = fence_of(&after) {
            return Err(Violation { property: "no invariant breaks", what: format!("{at} fences {tx}: {fence}") });
        }
        self.note(|| Happening::Stepped { at, input: input.clone(), effects: effects.clone(), verdict });
        self.observe(&Observation::Stepped { at, input, effects: &effects, verdict })?;
        self.look_back(at)?;
        if let Err(refusal) = verdict {
            self.observe(&Observation::Refused { at, input, refusal, before: &before, after: &after })?;
        }
        self.release_free(at)?;
        Ok(effects)
    }

    /// What a node says of everything that is over, once all that it could rest on is durable.
    fn look_back(&mut self, at: NodeId) -> Result<(), Violation> {
        let process = self.processes.get(&at).filter(|process| process.is_synced());
        let Some(node) = process.and_then(|process| Some(process.actor.as_ref()?.node())) else { return Ok(()) };
        let mut remembered = Vec::new();
        for tx in self.begun.iter().map(Transaction::id) {
            if let Status::Retired { outcome: Some(outcome) } = node.status(tx) {
                remembered.push((tx, outcome));
            }
        }
        self.stats.remembered += remembered.len() as u64;
        remembered.into_iter().try_for_each(|(tx, outcome)| self.observe(&Observation::Remembered { at, tx, outcome }))
    }

    fn note_outcome(&mut self, decision: &Decision) {
        let Some((tx, outcome)) = properties::outcome_of(decision) else { return };
        if self.outcomes.insert(tx, outcome).is_none() {
            match outcome {
                Outcome::Committed => self.stats.committed += 1,
                Outcome::Aborted => self.stats.aborted += 1,
            }
        }
    }

    fn note_recovery(&mut self, at: NodeId, message: &Message) {
        if let Message::About { transaction, what: What::Phase1a { .. } | What::Phase2a { .. } } = message {
            let recoverers = self.recoverers.entry(transaction.id()).or_default();
            if recoverers.insert(at) && recoverers.len() == 2 {
                self.stats.concurrent_recoveries += 1;
            }
        }
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        self.properties.iter_mut().try_for_each(|property| property.observe(observation))
    }
}

/// The origin of the names that clients give: no node's.
const CLIENT: NodeId = NodeId(1_000);

/// The name that a node gave, if `effect` says so.
pub(super) fn name_in(effect: &Effect) -> Option<TxId> {
    match effect {
        Effect::Decide(Decision::Begun(tx)) => Some(*tx),
        _ => None,
    }
}

/// A transaction about which a node is silent, because an invariant broke, and which one.
fn fence_of(node: &Node) -> Option<(TxId, Fence)> {
    if node.metrics().fenced == 0 {
        return None;
    }
    node.open_transactions().into_iter().find_map(|tx| match node.status(tx) {
        Status::Fenced(fence) => Some((tx, fence)),
        _ => None,
    })
}

fn config(setup: &Setup, at: NodeId) -> Config {
    let elsewhere = setup.votes_elsewhere.contains(&at);
    let kind = if elsewhere { ResourceKind::VotesElsewhere } else { ResourceKind::VotesHere };
    Config::new(setup.cluster.clone(), at, at.0).with_resource(kind)
}

/// Every link from any of `from` to any of `to`.
fn links<'a>(from: &'a [NodeId], to: &'a [NodeId]) -> impl Iterator<Item = Link> + 'a {
    from.iter().flat_map(move |from| to.iter().map(move |to| (*from, *to)))
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
