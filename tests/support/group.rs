//! Nodes that carry out their effects one by one, as the contract says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod::{
    Machine, NodeId, TxId,
    commit::{
        Cluster, Decision, Effect, Input, Message, Meta, Node, Outcome, Participants, Record, Time, Transaction, Vote,
    },
    sim::Rng,
};

use super::{config, durable, say};

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Message,
}

/// A crash between two effects of one node.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub at: NodeId,
    /// How many effects it still carries out.
    pub after: usize,
    /// Whether what it has sent, and has not arrived yet, arrives.
    pub delivered: bool,
    /// Whether it is restored at once, or when all is healed.
    pub at_once: bool,
}

/// How many records a founder writes, together, before all else.
const FOUNDING: usize = 2;

pub struct Group {
    cluster: Cluster,
    sites: BTreeMap<NodeId, Site>,
    now: u64,
    pub wire: VecDeque<Sent>,
    /// Everything that was ever sent.
    pub sent: Vec<Sent>,
    /// How each resource votes. One that is not listed keeps silent.
    pub votes: BTreeMap<NodeId, Vote>,
    /// Links on which everything is lost.
    pub blocked: BTreeSet<(NodeId, NodeId)>,
    /// Crashes that are to come.
    pub cuts: Vec<Cut>,
    /// Participants that are written off: nobody waits for what they have not done.
    pub departed: BTreeSet<NodeId>,
    /// Every state of every node, if it is kept.
    pub film: Option<Vec<Node>>,
    /// Every input of every node, if it is kept.
    pub inputs: Option<Vec<(NodeId, Input)>>,
    /// What got its name in a step, until anyone hears of that: a crash before may have the name given again.
    named: BTreeMap<TxId, Transaction>,
    /// Every transaction that anyone has heard of.
    heard_of: BTreeMap<TxId, Transaction>,
    /// What anyone was ever told.
    outcomes: BTreeMap<TxId, Outcome>,
}

struct Site {
    /// None while it is down.
    node: Option<Node>,
    /// Every record that was ever durable, in order.
    log: Vec<Record>,
    /// How many effects were carried out.
    carried: usize,
    /// What the resource is about to say.
    resource: VecDeque<Input>,
    decisions: Vec<Decision>,
}

/// How many waits a healed group has to come to rest.
const PATIENCE: usize = 200;
/// How much it may say between two of them.
const TALK: usize = 10_000;

impl Group {
    /// New nodes. All resources will vote to commit.
    pub fn new(cluster: Cluster, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
        let votes = nodes.iter().map(|at| (*at, Vote::Prepared)).collect();
        let blank =
            || Site { node: None, log: Vec::new(), carried: 0, resource: VecDeque::new(), decisions: Vec::new() };
        let mut group = Self {
            cluster,
            sites: nodes.iter().map(|at| (*at, blank())).collect(),
            now: 0,
            wire: VecDeque::new(),
            sent: Vec::new(),
            votes,
            blocked: BTreeSet::new(),
            cuts: Vec::new(),
            departed: BTreeSet::new(),
            film: None,
            inputs: None,
            named: BTreeMap::new(),
            heard_of: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        for at in nodes {
            group.start(at);
        }
        group
    }

    /// Every role a process of its own.
    pub fn apart(cluster: Cluster) -> Self {
        let nodes: Vec<NodeId> = cluster.acceptors().nodes().chain(cluster.managers().iter().copied()).collect();
        Self::new(cluster, nodes.into_iter().chain(super::RMS))
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn nodes(&self) -> Vec<NodeId> {
        self.sites.keys().copied().collect()
    }

    /// A node that is up.
    pub fn node(&self, at: NodeId) -> &Node {
        self.sites[&at].node.as_ref().expect("the node is up")
    }

    pub fn node_mut(&mut self, at: NodeId) -> &mut Node {
        self.site(at).node.as_mut().expect("the node is up")
    }

    pub fn is_up(&self, at: NodeId) -> bool {
        self.sites[&at].node.is_some()
    }

    /// Every record that was ever durable at `at`.
    pub fn log(&self, at: NodeId) -> &[Record] {
        &self.sites[&at].log
    }

    /// How many effects `at` has carried out.
    pub fn carried(&self, at: NodeId) -> usize {
        self.sites[&at].carried
    }

    pub fn decisions(&self, at: NodeId) -> &[Decision] {
        &self.sites[&at].decisions
    }

    /// Every crash between two effects that the founders of this group have carried out. What they write first is there
    /// before anything else happens.
    pub fn boundaries(&self) -> Vec<Cut> {
        let boundaries = self.sites.iter().flat_map(|(at, site)| (FOUNDING..site.carried).map(|after| (*at, after)));
        let choices = [(false, false), (false, true), (true, false), (true, true)];
        let cut = |(at, after), (delivered, at_once)| Cut { at, after, delivered, at_once };
        boundaries.flat_map(|boundary| choices.map(|choice| cut(boundary, choice))).collect()
    }

    /// What anyone was told of `tx`.
    pub fn outcome(&self, tx: TxId) -> Option<Outcome> {
        self.outcomes.get(&tx).copied()
    }

    fn site(&mut self, at: NodeId) -> &mut Site {
        self.sites.get_mut(&at).expect("the node is one of the group")
    }

    /// Lets a client begin `transaction`.
    pub fn begin(&mut self, at: NodeId, transaction: &Transaction) -> Vec<Effect> {
        self.step(at, say::begins(transaction))
    }

    /// Lets a client begin a transaction that `at` names.
    pub fn begin_new(&mut self, at: NodeId, participants: &[NodeId], meta: impl Into<Meta>) -> Vec<Effect> {
        let (participants, meta) = (Participants::new(participants).unwrap(), meta.into());
        self.step(at, Input::Begin { participants, meta })
    }

    /// Gives `at` an input and carries out what follows. Nothing, while it is down.
    pub fn step(&mut self, at: NodeId, input: Input) -> Vec<Effect> {
        let about = match &input {
            Input::BeginAs { transaction, .. } => Some(transaction),
            Input::Receive { message, .. } => message.transaction(),
            _ => None,
        };
        if let Some(transaction) = about {
            self.heard_of.entry(transaction.id()).or_insert_with(|| transaction.clone());
        }
        let Some(node) = self.sites.get_mut(&at).and_then(|site| site.node.as_mut()) else { return Vec::new() };
        if let Some(inputs) = &mut self.inputs {
            inputs.push((at, input.clone()));
        }
        let begins = if let Input::Begin { participants, meta } = &input {
            Some((participants.clone(), meta.clone()))
        } else {
            None
        };
        let effects = node.step(input);
        if let (Some((participants, meta)), Some(tx)) = (begins, begun(&effects)) {
            let epoch = node.tag().map_or(0, |tag| tag.number);
            self.named.insert(tx, Transaction::of(tx, participants, &meta).in_epoch(epoch));
        }
        if let Some(film) = &mut self.film {
            film.push(node.clone());
        }
        self.carry_out(at, effects.clone());
        effects
    }

    fn carry_out(&mut self, at: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            if let Some(next) = self.cuts.iter().position(|cut| cut.at == at && cut.after == self.carried(at)) {
                let cut = self.cuts.swap_remove(next);
                self.crash(at);
                if !cut.delivered {
                    self.wire.retain(|sent| sent.from != at);
                }
                if cut.at_once {
                    self.start(at);
                }
                return;
            }
            self.site(at).carried += 1;
            match effect {
                Effect::Persist(record) => self.site(at).log.push(record),
                Effect::Send { to, message } => {
                    assert!(durable::holds(self.log(at), &message), "{at} has not written what it says: {message:?}");
                    let sent = Sent { from: at, to, message };
                    self.sent.push(sent.clone());
                    self.wire.push_back(sent);
                }
                Effect::Decide(decision) => self.decide(at, decision),
            }
        }
    }

    fn decide(&mut self, at: NodeId, decision: Decision) {
        self.site(at).decisions.push(decision.clone());
        match decision {
            Decision::Begun(tx) => {
                assert!(tx.origin == at && durable::is_named(self.log(at), tx), "{at} has not reserved {tx}");
                let transaction = self.named.remove(&tx).expect("it was begun in this step");
                assert_eq!(self.heard_of.insert(tx, transaction), None, "{tx} is given twice");
            }
            Decision::Vote { transaction, meta } => {
                assert!(transaction.is_about(&meta));
                if let Some(vote) = self.votes.get(&at).copied() {
                    self.site(at).resource.push_back(Input::Vote { transaction, vote });
                }
            }
            Decision::Commit { transaction, meta } => {
                assert!(transaction.is_about(&meta));
                let tx = transaction.id();
                assert_eq!(self.voted(at, tx), Some(Vote::Prepared), "{at} commits {tx}");
                self.note(tx, Outcome::Committed);
                self.site(at).resource.push_back(Input::Finished(tx));
            }
            Decision::Abort { transaction, meta } => {
                assert!(meta.is_none_or(|meta| transaction.is_about(&meta)));
                let tx = transaction.id();
                self.note(tx, Outcome::Aborted);
                self.site(at).resource.push_back(Input::Finished(tx));
            }
            Decision::Decided { tx, outcome } => self.note(tx, outcome),
            Decision::Completed { tx, outcome } => {
                self.note(tx, outcome);
                self.assert_done(tx, outcome);
            }
            Decision::Forget(_) | Decision::Named(_) | Decision::Epoch { .. } | Decision::Changed { .. } => {}
        }
    }

    fn note(&mut self, tx: TxId, outcome: Outcome) {
        let known = *self.outcomes.entry(tx).or_insert(outcome);
        assert_eq!(known, outcome, "{tx} has two outcomes");
    }

    /// The vote that `at` has made durable.
    pub fn voted(&self, at: NodeId, tx: TxId) -> Option<Vote> {
        durable::voted(self.log(at), tx)
    }

    /// The outcome that `at` has carried out, durably.
    pub fn done(&self, at: NodeId, tx: TxId) -> Option<Outcome> {
        durable::done(self.log(at), tx)
    }

    fn assert_done(&self, tx: TxId, outcome: Outcome) {
        for rm in self.heard_of[&tx].participants().iter().filter(|rm| !self.departed.contains(rm)) {
            assert_eq!(self.done(*rm, tx), Some(outcome), "{rm} has not carried out {tx}");
        }
    }

    /// Delivers the next message.
    pub fn deliver(&mut self) -> bool {
        let Some(Sent { from, to, message }) = self.wire.pop_front() else { return false };
        if self.sites.contains_key(&to) && !self.blocked.contains(&(from, to)) {
            self.step(to, Input::Receive { from, message });
        }
        true
    }

    /// Lets one resource say what it has to say.
    fn answer(&mut self) -> bool {
        let next = self.sites.iter_mut().find_map(|(at, site)| Some((*at, site.resource.pop_front()?)));
        if let Some((at, input)) = next.clone() {
            self.step(at, input);
        }
        next.is_some()
    }

    /// Lets all resources say what they have to say.
    pub fn answer_all(&mut self) {
        let mut answers = 0..TALK;
        while self.answer() {
            answers.next().expect("the resources come to an end of their answers");
        }
    }

    /// Delivers this many messages, or as many as there are, in any order.
    pub fn run_shuffled(&mut self, rng: &mut Rng, messages: usize) {
        for _ in 0..messages {
            self.answer_all();
            let next = rng.below(self.wire.len() as u64) as usize;
            let Some(Sent { from, to, message }) = self.wire.remove(next) else { break };
            self.step(to, Input::Receive { from, message });
        }
    }

    /// Delivers messages and lets resources answer, until there is nothing left of either.
    pub fn run(&mut self) {
        for _ in 0..TALK {
            if !self.answer() && !self.deliver() {
                return;
            }
        }
        panic!("the group does not stop talking");
    }

    /// Does so until the next message is one that `is_next` picks.
    pub fn run_until(&mut self, is_next: impl Fn(&Sent) -> bool) {
        let mut talk = 0..TALK;
        while self.answer() || (!self.wire.front().is_some_and(&is_next) && self.deliver()) {
            talk.next().expect("the group stops talking");
        }
        assert!(!self.wire.is_empty(), "it never came");
    }

    /// Loses all messages that `is_lost` picks.
    pub fn lose(&mut self, mut is_lost: impl FnMut(&Sent) -> bool) {
        self.wire.retain(|sent| !is_lost(sent));
    }

    /// Stops `at`. What it had in memory, and its resource in mind, is lost.
    pub fn crash(&mut self, at: NodeId) {
        let site = self.site(at);
        site.node = None;
        site.resource.clear();
    }

    /// Restores `at` from what is durable, if it is down. If not even its name is, it has never been, and is created.
    pub fn start(&mut self, at: NodeId) {
        let cluster = self.cluster.clone();
        self.start_with(at, &cluster);
    }

    /// The same, by an operator who knows these members.
    pub fn start_with(&mut self, at: NodeId, cluster: &Cluster) {
        let config = config(cluster, at);
        let site = self.site(at);
        if site.node.is_some() {
            return;
        }
        if site.log.is_empty() {
            let (node, effects) = Node::create(config);
            site.node = Some(node);
            self.carry_out(at, effects);
        } else {
            site.node = Some(Node::restore(config, site.log.clone()).expect("it wrote these records"));
        }
    }

    /// A node that comes to the cluster later, and knows these members.
    pub fn join(&mut self, at: NodeId, cluster: &Cluster) {
        let (node, effects) = Node::join(config(cluster, at));
        let site =
            Site { node: Some(node), log: Vec::new(), carried: 0, resource: VecDeque::new(), decisions: Vec::new() };
        assert!(self.sites.insert(at, site).is_none(), "{at} is there already");
        self.votes.insert(at, Vote::Prepared);
        self.carry_out(at, effects);
    }

    /// Switches `at` off for good.
    pub fn remove(&mut self, at: NodeId) {
        self.sites.remove(&at);
        self.wire.retain(|sent| sent.from != at && sent.to != at);
    }

    pub fn restart(&mut self, at: NodeId) {
        self.crash(at);
        self.start(at);
    }

    pub fn restart_with(&mut self, at: NodeId, cluster: &Cluster) {
        self.crash(at);
        self.start_with(at, cluster);
    }

    /// Lets the clocks of all nodes advance.
    pub fn tick(&mut self, by: u64) {
        self.now += by;
        for at in self.nodes() {
            self.step(at, Input::Tick(Time(self.now)));
        }
    }

    /// Lets the clocks advance to the next deadline of any node.
    pub fn pass_time(&mut self) {
        let deadlines = self.sites.values().filter_map(|site| site.node.as_ref()?.deadline());
        let by = deadlines.map(|due| due.0.saturating_sub(self.now)).min().unwrap_or(0);
        self.tick(by.max(1));
    }

    /// Whether nothing is open anywhere, nor to be told to anyone.
    pub fn is_at_rest(&self) -> bool {
        let all_up = self.sites.values().all(|site| site.node.is_some());
        self.sites.values().filter_map(|site| site.node.as_ref()).all(|node| {
            let metrics = node.metrics();
            // The dead acknowledge nothing.
            metrics.open == 0 && (!all_up || metrics.unacknowledged_ranges == 0)
        })
    }

    /// Ends all faults, and lets everything come to its end: what was told to anyone is what everyone has done, and no
    /// more is open.
    pub fn heal(&mut self) {
        self.blocked.clear();
        self.cuts.clear();
        for at in self.nodes() {
            self.start(at);
        }
        self.rest();
        for (tx, outcome) in &self.outcomes {
            self.assert_done(*tx, *outcome);
        }
        for (tx, transaction) in &self.heard_of {
            let done = transaction.participants().iter().any(|rm| self.done(*rm, *tx).is_some());
            assert!(!done || self.outcomes.contains_key(tx), "{tx} was done in secret");
        }
    }

    /// Lets messages pass, and time as often as it is said.
    pub fn live(&mut self, waits: usize) {
        for _ in 0..waits {
            self.run();
            self.pass_time();
        }
        self.run();
    }

    /// Lets messages and time pass until nothing is open.
    pub fn rest(&mut self) {
        for _ in 0..PATIENCE {
            self.run();
            if self.is_at_rest() {
                return;
            }
            self.pass_time();
        }
        let open: Vec<_> = self.sites.iter().map(|(at, site)| (at, site.node.as_ref().map(Node::metrics))).collect();
        panic!("the group does not come to rest: {open:?}");
    }

    /// Commits or aborts `transaction`, begun at `at`, without any fault.
    pub fn complete(&mut self, at: NodeId, transaction: &Transaction) -> Option<Outcome> {
        self.begin(at, transaction);
        self.rest();
        self.outcome(transaction.id())
    }
}

/// The name that a begin got.
pub fn begun(effects: &[Effect]) -> Option<TxId> {
    effects.iter().find_map(|effect| if let Effect::Decide(Decision::Begun(tx)) = effect { Some(*tx) } else { None })
}
