//! What nodes of synod do, as a picture: from a simulated world, or from recordings.

use std::collections::{BTreeMap, BTreeSet};

use synod::{
    Ballot, NodeId, Refusal, TxId,
    commit::{Cluster, Decision, Effect, EpochMessage, Input, Message, Node, Outcome, Record, Status, What},
};

use crate::{Arrow, Kind, Lane, Moment, Picture};

/// The word for what is about epochs, and about no transaction.
const EPOCHS: &str = "epochs";

/// A picture of nodes that is being drawn, in the order in which things happen.
///
/// ```
/// use synod::{NodeId, TxId, commit::{Input, Message, Time, TxRange}};
/// use synod_draw::Sketch;
///
/// let (one, two) = (NodeId(1), NodeId(2));
/// let mut sketch = Sketch::new("an example", "a message and its answer that is lost");
/// sketch.lane(one, "acceptor");
/// sketch.lane(two, "");
/// sketch.stepped(one, &Input::Tick(Time(1)), &[], Ok(()));
/// let over = Message::retired(TxRange::only(TxId { origin: one, seq: 1 }));
/// sketch.sent(1, one, two, &over);
/// sketch.arrived(1);
/// sketch.stepped(two, &Input::Receive { from: one, message: over.clone() }, &[], Ok(()));
/// sketch.sent(2, two, one, &over);
/// sketch.lost(2);
/// assert!(sketch.picture().html().contains("Retired n1#1"));
/// ```
#[derive(Debug)]
pub struct Sketch {
    picture: Picture,
    lanes: BTreeMap<NodeId, usize>,
    /// The last moment of each node.
    last: BTreeMap<NodeId, usize>,
    /// Where each message is among the arrows.
    arrows: BTreeMap<u64, usize>,
    /// What has arrived, and was not heard yet.
    arrived: Option<u64>,
    /// A moment at which records become durable; more may follow.
    writing: Option<(NodeId, usize)>,
}

impl Sketch {
    /// A picture of nothing yet, with what is said above it.
    pub fn new(title: &str, about: &str) -> Self {
        let mut picture = Picture::new(title);
        picture.about(about);
        let (lanes, last, arrows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { picture, lanes, last, arrows, arrived: None, writing: None }
    }

    /// Adds a node, unless it is there.
    pub fn lane(&mut self, node: NodeId, role: &str) {
        let picture = &mut self.picture;
        self.lanes.entry(node).or_insert_with(|| picture.lane(Lane::new(node.to_string()).with_role(role)));
    }

    /// The picture, as far as it is drawn.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The picture.
    pub fn into_picture(self) -> Picture {
        self.picture
    }

    /// A message leaves, by the last step of its sender. `number` tells it from all others.
    pub fn sent(&mut self, number: u64, from: NodeId, to: NodeId, message: &Message) {
        let (Some(&left), Some(&right)) = (self.lanes.get(&from), self.lanes.get(&to)) else { return };
        // One who lies has not stepped.
        let sent = self.last.get(&from).copied().unwrap_or_default();
        let mut arrow = Arrow::new(left, right, text(message), sent).with_about(about(message));
        if let Some(ballot) = ballot(message) {
            arrow = arrow.with_colour(ballot);
        }
        self.arrows.insert(number, self.picture.arrow(arrow));
    }

    /// A message arrives: what happens next is the step that its receiver takes.
    pub fn arrived(&mut self, number: u64) {
        self.arrived = Some(number);
    }

    /// A message is lost. It may arrive all the same.
    pub fn lost(&mut self, number: u64) {
        let now = self.picture.moments().saturating_sub(1);
        if let Some(arrow) = self.arrows.get(&number) {
            self.picture.is_lost(*arrow, now);
        }
    }

    /// What has arrived, and was heard by nobody, is lost at the moment before this one.
    pub fn unheard(&mut self, moment: usize) {
        if let Some(arrow) = self.arrived.take().and_then(|number| self.arrows.get(&number)) {
            self.picture.is_lost(*arrow, moment.saturating_sub(1));
        }
    }

    /// A node has taken a step.
    pub fn stepped(&mut self, at: NodeId, input: &Input, effects: &[Effect], verdict: Result<(), Refusal>) {
        let kind = match (input, verdict) {
            (_, Err(_)) => Kind::Refused,
            (Input::Met { .. }, Ok(())) => Kind::Time,
            (Input::Tick(_), Ok(())) if effects.is_empty() => Kind::Time,
            _ => Kind::Step,
        };
        let mut moment = Moment::new(kind, said(input)).with_details([format!("{input:?}")]);
        moment = moment.with_details(verdict.err().map(|refusal| format!("refused: {refusal}")));
        moment = moment.with_details(effects.iter().map(|effect| format!("→ {effect:?}")));
        moment = moment.with_about(concerns(input, effects));
        let number = self.moment(at, moment);
        // It is told the time first.
        if matches!(input, Input::Receive { .. })
            && let Some(arrow) = self.arrived.take().and_then(|number| self.arrows.get(&number))
        {
            self.picture.arrives(*arrow, number);
        }
    }

    /// A record is durable.
    pub fn durable(&mut self, at: NodeId, record: &Record) {
        let number = match self.writing {
            Some((node, number)) if node == at => number,
            _ => self.moment(at, Moment::new(Kind::Write, "durable")),
        };
        self.writing = Some((at, number));
        if let Some(moment) = self.picture.moment_mut(number) {
            moment.add(format!("{record:?}"), record_about(record));
        }
    }

    /// Whatever becomes durable from now on does so later.
    pub fn written(&mut self) {
        self.writing = None;
    }

    /// A decision stands. What only the node's own resource is told is not drawn.
    pub fn decided(&mut self, at: NodeId, decision: &Decision) {
        if let Some((text, words)) = decided(decision) {
            let moment = Moment::new(Kind::Decision, text).with_about(words).with_details([format!("{decision:?}")]);
            self.moment(at, moment);
        }
    }

    /// A node stops.
    pub fn stopped(&mut self, at: NodeId) {
        self.moment(at, Moment::new(Kind::Stop, "stops"));
    }

    /// A node starts.
    pub fn started(&mut self, at: NodeId) {
        self.moment(at, Moment::new(Kind::Start, "starts"));
    }

    /// Something happens around the nodes.
    pub fn world(&mut self, text: &str, details: Option<String>) {
        self.picture.moment(Moment::new(Kind::World, text).with_details(details));
    }

    /// Something went wrong: this is where to look. At a node, or around all of them.
    pub fn broken(&mut self, at: Option<NodeId>, text: &str) {
        let moment = Moment::new(Kind::Broken, text);
        match at {
            Some(at) => _ = self.moment(at, moment),
            None => _ = self.picture.moment(moment),
        }
    }

    /// Says how each node is that something has happened at from this moment on.
    pub fn states_since(&mut self, first: usize, mut state: impl FnMut(NodeId) -> Option<String>) {
        for (node, moment) in &self.last {
            if *moment >= first
                && let Some(state) = state(*node)
                && let Some(drawn) = self.picture.moment_mut(*moment)
            {
                *drawn = drawn.clone().with_state(state);
            }
        }
    }

    fn moment(&mut self, at: NodeId, moment: Moment) -> usize {
        self.writing = None;
        let moment = match self.lanes.get(&at) {
            Some(lane) => moment.at(*lane),
            None => moment,
        };
        let number = self.picture.moment(moment);
        self.last.insert(at, number);
        number
    }
}

/// What a node is in the cluster, at first.
pub fn role(cluster: &Cluster, node: NodeId) -> &'static str {
    let (accepts, manages) = (cluster.acceptors().contains(node), cluster.is_manager(node));
    match (accepts, manages) {
        (true, true) => "acceptor, manager",
        (true, false) => "acceptor",
        (false, true) => "manager",
        (false, false) => "",
    }
}

/// How a node is: the epoch, and each of these transactions that it knows of.
pub fn state(node: &Node, transactions: impl IntoIterator<Item = TxId>) -> String {
    let mut lines = Vec::new();
    match node.epoch() {
        Some(epoch) if epoch.number > 0 || epoch.is_changing => {
            lines.push(format!("epoch {}{}", epoch.number, if epoch.is_changing { ", changing" } else { "" }));
        }
        Some(_) => {}
        None => lines.push("in no epoch".into()),
    }
    for tx in transactions {
        match node.status(tx) {
            Status::Unknown => {}
            Status::Open { state, outcome } => {
                let state = state.map(|state| format!(" {state:?}")).unwrap_or_default();
                let outcome = outcome.map(|outcome| format!(", {outcome:?}")).unwrap_or_default();
                lines.push(format!("{tx} open{state}{outcome}"));
            }
            Status::Retired { outcome } => {
                lines.push(format!("{tx} over{}", outcome.map(|outcome| format!(", {outcome:?}")).unwrap_or_default()));
            }
            Status::Fenced(fence) => lines.push(format!("{tx} fenced: {fence}")),
        }
    }
    if lines.is_empty() { "knows of nothing".into() } else { lines.join("\n") }
}

/// The first word of a value as it is shown for debugging: its variant.
fn head(text: &str) -> String {
    text.split([' ', '(', '{', ',']).next().unwrap_or_default().into()
}

/// What a message says, in a word, and of what.
fn text(message: &Message) -> String {
    match message {
        Message::About { transaction, what } => format!("{} {}", head(&format!("{what:?}")), transaction.id()),
        Message::Epoch { what, .. } => format!("{} (epochs)", head(&format!("{what:?}"))),
        Message::Retired { range, .. } => format!("Retired {}", range.first()),
        Message::RetiredNoted { range } => format!("RetiredNoted {}", range.first()),
    }
}

fn about(message: &Message) -> Vec<String> {
    match message {
        Message::About { transaction, .. } => vec![transaction.id().to_string()],
        Message::Epoch { .. } => vec![EPOCHS.into()],
        Message::Retired { range, .. } | Message::RetiredNoted { range } => {
            // A wide range is about what it begins and ends with.
            vec![range.first().to_string(), range.last().to_string()]
        }
    }
}

/// The ballot of a message, which gives it its colour.
fn ballot(message: &Message) -> Option<String> {
    let handover = |ballot: &Ballot| Some(format!("handover {ballot}"));
    match message {
        Message::About { what, .. } => match what {
            What::Phase1a { ballot, .. }
            | What::Phase1b { ballot, .. }
            | What::Phase2a { ballot, .. }
            | What::Reject { ballot, .. } => Some(ballot.to_string()),
            What::Phase2b { higher, .. } => higher.first().map(|accepted| accepted.ballot.to_string()),
            _ => None,
        },
        Message::Epoch { what, .. } => match &**what {
            EpochMessage::Prepare { ballot }
            | EpochMessage::Promise { ballot, .. }
            | EpochMessage::Accept { ballot, .. }
            | EpochMessage::Accepted { ballot }
            | EpochMessage::Reject { ballot, .. } => handover(ballot),
            _ => None,
        },
        Message::Retired { .. } | Message::RetiredNoted { .. } => None,
    }
}

/// What comes to a node, in a few words.
pub fn said(input: &Input) -> String {
    match input {
        Input::Receive { from, message } => format!("{} from {from}", text(message)),
        Input::Tick(now) => format!("tick {}", now.0),
        Input::Vote { transaction, vote } => format!("votes {vote:?} {}", transaction.id()),
        Input::Finished(tx) => format!("has finished {tx}"),
        Input::Inquire(tx) => format!("is asked for {tx}"),
        Input::BeginAs { transaction, .. } => format!("begins {}", transaction.id()),
        other => head(&format!("{other:?}")),
    }
}

/// What a step is about: the names of transactions, and `epochs`.
pub fn concerns(input: &Input, effects: &[Effect]) -> BTreeSet<String> {
    effects.iter().flat_map(effect_about).chain(input_about(input)).collect()
}

fn input_about(input: &Input) -> Vec<String> {
    match input {
        Input::Receive { message, .. } => about(message),
        Input::Vote { transaction, .. } | Input::BeginAs { transaction, .. } | Input::Prepared { transaction, .. } => {
            vec![transaction.id().to_string()]
        }
        Input::Finished(tx) | Input::Inquire(tx) | Input::Patience { tx, .. } | Input::Resolve { tx, .. } => {
            vec![tx.to_string()]
        }
        Input::Change(_) => vec![EPOCHS.into()],
        _ => Vec::new(),
    }
}

pub(crate) fn effect_about(effect: &Effect) -> Vec<String> {
    match effect {
        Effect::Send { message, .. } => about(message),
        Effect::Persist(record) => record_about(record),
        Effect::Decide(decision) => decided(decision).map(|(_, words)| words).unwrap_or_default(),
    }
}

fn record_about(record: &Record) -> Vec<String> {
    match record {
        Record::Acceptor(record) => vec![record.transaction.id().to_string()],
        Record::ResourceManager(record) | Record::Resolved { record, .. } => vec![record.transaction.id().to_string()],
        Record::Retired(range) => vec![range.first().to_string(), range.last().to_string()],
        Record::Epoch { .. } | Record::Handover { .. } => vec![EPOCHS.into()],
        _ => Vec::new(),
    }
}

/// What was decided, and about what; nothing of what only the node's own resource is told.
fn decided(decision: &Decision) -> Option<(String, Vec<String>)> {
    let word = |outcome: &Outcome| if *outcome == Outcome::Committed { "committed" } else { "aborted" };
    Some(match decision {
        Decision::Begun(tx) => (format!("named {tx}"), vec![tx.to_string()]),
        Decision::Vote { transaction, .. } => {
            (format!("asks its resource {}", transaction.id()), vec![transaction.id().to_string()])
        }
        Decision::Commit { transaction, .. } => {
            (format!("commits {}", transaction.id()), vec![transaction.id().to_string()])
        }
        Decision::Abort { transaction, .. } => {
            (format!("aborts {}", transaction.id()), vec![transaction.id().to_string()])
        }
        Decision::Decided { tx, outcome } => (format!("{tx} has {}", word(outcome)), vec![tx.to_string()]),
        Decision::Completed { tx, outcome } => (format!("{tx} is over, {}", word(outcome)), vec![tx.to_string()]),
        Decision::Epoch { number, .. } => (format!("epoch {number} begins"), vec![EPOCHS.into()]),
        Decision::Changed { is_mine, .. } => {
            (if *is_mine { "its change is through" } else { "another change came first" }.into(), vec![EPOCHS.into()])
        }
        _ => return None,
    })
}
