//! What happens in a world, as a picture.

use std::collections::BTreeMap;

use synod::{
    Ballot, NodeId,
    commit::{Cluster, Decision, Effect, EpochMessage, Input, Message, Node, Outcome, Record, Status, What},
    sim::{Event, Happening, Setup, World},
};
use synod_draw::{Arrow, Kind, Lane, Moment, Picture};

/// The word for what is about epochs, and about no transaction.
const EPOCHS: &str = "epochs";

/// A picture of these events, and whether nothing went wrong. That a healed world comes to rest is drawn if it does not.
pub(crate) fn draw(about: &str, setup: &Setup, events: &[Event]) -> (Picture, bool) {
    let mut sketch = Sketch::new(about, setup);
    let mut world = World::<Node>::new(setup.clone());
    world.watch();
    for event in events {
        let result = world.apply(event);
        sketch.happened(&mut world, Some(event));
        if let Err(violation) = result {
            sketch.broken(&violation.to_string());
            return (sketch.picture, false);
        }
    }
    match world.heal() {
        Ok(()) => (sketch.picture, true),
        Err(violation) => {
            let healed = Moment::new(Kind::World, "faults stop here, and everything should come to its end");
            sketch.picture.moment(healed);
            sketch.happened(&mut world, None);
            sketch.broken(&violation.to_string());
            (sketch.picture, false)
        }
    }
}

struct Sketch {
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
    fn new(about: &str, setup: &Setup) -> Self {
        let mut picture = Picture::new("a simulated world");
        picture.about(about);
        let nodes = setup.nodes.iter().chain(&setup.newcomers);
        let mut lanes = BTreeMap::new();
        for node in nodes {
            lanes
                .entry(*node)
                .or_insert_with(|| picture.lane(Lane::new(node.to_string()).with_role(role(&setup.cluster, *node))));
        }
        let (last, arrows) = (BTreeMap::new(), BTreeMap::new());
        Self { picture, lanes, last, arrows, arrived: None, writing: None }
    }

    /// Draws what has happened in one event.
    fn happened(&mut self, world: &mut World<Node>, event: Option<&Event>) {
        let happenings = world.happenings();
        if let Some(event) = event.filter(|event| happenings.is_empty() && shows(event)) {
            self.picture
                .moment(Moment::new(Kind::World, head(&format!("{event:?}"))).with_details([format!("{event:?}")]));
        }
        let first = self.picture.moments();
        for happening in happenings {
            self.draw(happening);
        }
        self.writing = None;
        // Who is down hears nothing.
        if let Some(arrow) = self.arrived.take().and_then(|number| self.arrows.get(&number)) {
            self.picture.is_lost(*arrow, first.saturating_sub(1));
        }
        for (node, moment) in self.last.clone() {
            if moment >= first
                && let Some(actor) = world.actor(node)
                && let Some(drawn) = self.picture.moment_mut(moment)
            {
                *drawn = drawn.clone().with_state(state(actor, world));
            }
        }
    }

    fn draw(&mut self, happening: Happening) {
        match happening {
            Happening::Sent { number, from, to, message } => {
                let (Some(&left), Some(&right)) = (self.lanes.get(&from), self.lanes.get(&to)) else { return };
                // One who lies has not stepped.
                let sent = self.last.get(&from).copied().unwrap_or_default();
                let mut arrow = Arrow::new(left, right, text(&message), sent).with_about(about(&message));
                if let Some(ballot) = ballot(&message) {
                    arrow = arrow.with_colour(ballot);
                }
                self.arrows.insert(number, self.picture.arrow(arrow));
            }
            Happening::Arrived { number } => self.arrived = Some(number),
            Happening::Lost { number } => {
                let now = self.picture.moments().saturating_sub(1);
                if let Some(arrow) = self.arrows.get(&number) {
                    self.picture.is_lost(*arrow, now);
                }
            }
            Happening::Stepped { at, input, effects, verdict } => {
                let kind = match (&input, verdict) {
                    (_, Err(_)) => Kind::Refused,
                    (Input::Met { .. }, Ok(())) => Kind::Time,
                    (Input::Tick(_), Ok(())) if effects.is_empty() => Kind::Time,
                    _ => Kind::Step,
                };
                let mut moment = Moment::new(kind, said(&input)).with_details([format!("{input:?}")]);
                moment = moment.with_details(verdict.err().map(|refusal| format!("refused: {refusal}")));
                let words = effects.iter().flat_map(effect_about).chain(input_about(&input));
                let words: std::collections::BTreeSet<String> = words.collect();
                moment = moment.with_details(effects.iter().map(|effect| format!("→ {effect:?}"))).with_about(words);
                let number = self.moment(at, moment);
                // It is told the time first.
                if matches!(input, Input::Receive { .. })
                    && let Some(arrow) = self.arrived.take().and_then(|number| self.arrows.get(&number))
                {
                    self.picture.arrives(*arrow, number);
                }
            }
            Happening::Durable { at, record } => {
                let number = match self.writing {
                    Some((node, number)) if node == at => number,
                    _ => self.moment(at, Moment::new(Kind::Write, "durable")),
                };
                self.writing = Some((at, number));
                if let Some(moment) = self.picture.moment_mut(number) {
                    moment.add(format!("{record:?}"), record_about(&record));
                }
            }
            Happening::Decided { at, decision } => {
                if let Some((text, words)) = decided(&decision) {
                    let moment =
                        Moment::new(Kind::Decision, text).with_about(words).with_details([format!("{decision:?}")]);
                    self.moment(at, moment);
                }
            }
            Happening::Stopped { at } => _ = self.moment(at, Moment::new(Kind::Stop, "stops")),
            Happening::Started { at } => _ = self.moment(at, Moment::new(Kind::Start, "starts")),
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

    fn broken(&mut self, violation: &str) {
        self.picture.moment(Moment::new(Kind::Broken, violation));
    }
}

/// What a node is in the cluster, at first.
fn role(cluster: &Cluster, node: NodeId) -> String {
    let (accepts, manages) = (cluster.acceptors().contains(node), cluster.is_manager(node));
    match (accepts, manages) {
        (true, true) => "acceptor, manager",
        (true, false) => "acceptor",
        (false, true) => "manager",
        (false, false) => "",
    }
    .into()
}

/// Whether an event is worth a moment although no node has done anything.
fn shows(event: &Event) -> bool {
    matches!(event, Event::Cut { .. } | Event::Mend { .. } | Event::Hide { .. } | Event::LoseVote { .. })
}

/// How a node is.
fn state(node: &Node, world: &World<Node>) -> String {
    let mut lines = Vec::new();
    match node.epoch() {
        Some(epoch) if epoch.number > 0 || epoch.is_changing => {
            lines.push(format!("epoch {}{}", epoch.number, if epoch.is_changing { ", changing" } else { "" }));
        }
        Some(_) => {}
        None => lines.push("in no epoch".into()),
    }
    for tx in world.begun().iter().map(|begun| begun.id()) {
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
fn said(input: &Input) -> String {
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

fn effect_about(effect: &Effect) -> Vec<String> {
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
