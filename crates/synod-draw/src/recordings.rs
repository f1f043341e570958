//! Recordings of several nodes, merged into one picture.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::PathBuf,
    time::Duration,
};

use synod::{
    NodeId, TxId,
    commit::{Effect, Input, Message},
    perform::record::{Recording, ReplayError, Step},
};

use crate::{Picture, Sketch, concerns, nodes::effect_about, role, state};

/// What of recordings is drawn.
///
/// See [`draw_recordings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Only what this transaction is about.
    pub tx: Option<TxId>,
    /// Nothing before this, since 1970.
    pub since: Duration,
    /// Nothing after this.
    pub until: Duration,
    /// At most so many moments: a browser must be able to show them.
    pub most: usize,
}

impl Default for Choice {
    fn default() -> Self {
        Self { tx: None, since: Duration::ZERO, until: Duration::MAX, most: 5_000 }
    }
}

/// A picture of what was recorded of some nodes, and whether all of it that was chosen is in it. Files may come in any order.
///
/// Each node is stepped again. Who heard of what first follows from the messages, and otherwise from the clocks of the nodes'
/// machines. A message that nobody is seen to receive is drawn as lost: it may have come after the end of the recording.
pub fn draw_recordings(files: &[PathBuf], choice: Choice) -> Result<(Picture, bool), ReplayError> {
    let mut lives: BTreeMap<NodeId, Vec<Recording>> = BTreeMap::new();
    for file in files {
        let recording = Recording::read(file)?;
        lives.entry(recording.node().config().id).or_default().push(recording);
    }
    let about = format!("recordings of {}", words(lives.keys()));
    let mut sketch = Sketch::new("what was recorded", &about);
    let mut lanes = BTreeMap::new();
    for (node, mut recordings) in lives {
        recordings.sort_by_key(Recording::number);
        if let Some(first) = recordings.first() {
            sketch.lane(node, role(&first.node().config().cluster, node));
        }
        lanes.insert(node, Lane::new(recordings)?);
    }
    let mut merging = Merging { sketch, lanes, on_their_way: BTreeMap::new(), number: 0, choice };
    let is_whole = merging.run()?;
    Ok((merging.sketch.into_picture(), is_whole))
}

fn words<'a>(nodes: impl Iterator<Item = &'a NodeId>) -> String {
    nodes.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was recorded of one node.
struct Lane {
    present: Option<Recording>,
    later: VecDeque<Recording>,
    next: Option<Step>,
    /// Whether a file begins with the next step that does not continue the one before it.
    starts: bool,
}

impl Lane {
    fn new(recordings: Vec<Recording>) -> Result<Self, ReplayError> {
        let mut later = VecDeque::from(recordings);
        let mut lane = Self { present: later.pop_front(), later, next: None, starts: true };
        lane.advance()?;
        Ok(lane)
    }

    /// Steps the node once more, so that its state is that after the new `next`.
    fn advance(&mut self) -> Result<(), ReplayError> {
        self.next = None;
        while let Some(recording) = &mut self.present {
            self.next = recording.step()?;
            if self.next.is_some() {
                return Ok(());
            }
            let next = self.later.pop_front();
            self.starts = next.as_ref().is_some_and(|next| recording.leads_to(next).is_none());
            self.present = next;
        }
        Ok(())
    }
}

/// A message, and its number if it is drawn.
struct OnItsWay {
    message: Message,
    number: Option<u64>,
}

struct Merging {
    sketch: Sketch,
    lanes: BTreeMap<NodeId, Lane>,
    /// What has left and not arrived, by sender and receiver.
    on_their_way: BTreeMap<(NodeId, NodeId), VecDeque<OnItsWay>>,
    number: u64,
    choice: Choice,
}

impl Merging {
    fn run(&mut self) -> Result<bool, ReplayError> {
        while let Some(node) = self.soonest() {
            if self.sketch.picture().moments() >= self.choice.most {
                return Ok(false);
            }
            self.take(node)?;
        }
        let lost = mem::take(&mut self.on_their_way);
        lost.into_values().flatten().filter_map(|lost| lost.number).for_each(|number| self.sketch.lost(number));
        Ok(true)
    }

    /// The node that did something next: by the clock, and nobody hears what was not said.
    fn soonest(&self) -> Option<NodeId> {
        let nexts = || self.lanes.iter().filter_map(|(node, lane)| Some((*node, lane.next.as_ref()?)));
        let can = nexts().filter(|(node, step)| !self.waits(*node, step));
        let soonest = can.min_by_key(|(node, step)| (step.when, *node));
        // Where something is missing, nobody waits for it.
        soonest.or_else(|| nexts().min_by_key(|(node, step)| (step.when, *node))).map(|(node, _)| node)
    }

    /// Whether it hears something that its sender is still to say.
    fn waits(&self, node: NodeId, step: &Step) -> bool {
        let Input::Receive { from, message } = &step.input else { return false };
        let says_more = self.lanes.get(from).is_some_and(|lane| lane.next.is_some());
        let is_said =
            self.on_their_way.get(&(*from, node)).is_some_and(|said| said.iter().any(|said| said.message == *message));
        says_more && !is_said
    }

    fn take(&mut self, node: NodeId) -> Result<(), ReplayError> {
        let Some(lane) = self.lanes.get_mut(&node) else { return Ok(()) };
        let Some(step) = lane.next.take() else { return Ok(()) };
        let starts = mem::take(&mut lane.starts);
        let about = concerns(&step.input, &step.effects);
        let is_chosen = self.choice.tx.is_none_or(|tx| about.contains(&tx.to_string()))
            && (self.choice.since..=self.choice.until).contains(&step.when)
            && !(matches!(step.input, Input::Tick(_)) && step.effects.is_empty());
        if starts {
            self.sketch.started(node);
        }
        let arrived = self.arrive(node, &step);
        if is_chosen {
            let first = self.sketch.picture().moments();
            if let Some(number) = arrived {
                self.sketch.arrived(number);
            }
            self.sketch.stepped(node, &step.input, &step.effects, step.refusal.map_or(Ok(()), Err));
            let transactions = about.iter().filter_map(|word| word.parse().ok());
            let present = self.lanes.get(&node).and_then(|lane| lane.present.as_ref());
            let now = present.map(|recording| state(recording.node(), transactions));
            self.sketch.states_since(first, |at| now.clone().filter(|_| at == node));
            if step.is_same == Some(false) {
                self.sketch.broken(Some(node), "this step has other effects now than it had when it was recorded");
            }
        }
        self.leave(node, &step.effects, is_chosen);
        if let Some(lane) = self.lanes.get_mut(&node) {
            lane.advance()?;
        }
        Ok(())
    }

    /// Takes what is heard from what is on its way, and returns its number.
    fn arrive(&mut self, node: NodeId, step: &Step) -> Option<u64> {
        let Input::Receive { from, message } = &step.input else { return None };
        let said = self.on_their_way.get_mut(&(*from, node))?;
        let at = said.iter().position(|said| said.message == *message)?;
        said.remove(at)?.number
    }

    /// What is said to those who were recorded, too, is on its way.
    fn leave(&mut self, node: NodeId, effects: &[Effect], is_drawn: bool) {
        for effect in effects {
            let Effect::Send { to, message } = effect else { continue };
            if !self.lanes.contains_key(to) {
                continue;
            }
            self.number += 1;
            let wanted = self.choice.tx.is_none_or(|tx| effect_about(effect).contains(&tx.to_string()));
            let number = (is_drawn && wanted).then_some(self.number);
            if let Some(number) = number {
                self.sketch.sent(number, node, *to, message);
            }
            self.on_their_way.entry((node, *to)).or_default().push_back(OnItsWay { message: message.clone(), number });
        }
    }
}
