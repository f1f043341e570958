//! What happened between processes, as one HTML file: a space-time diagram to step through.
//!
//! A [`Picture`] has a [`Lane`] for each process, [`Moment`]s in the order in which things happened, and an [`Arrow`] for each
//! message. [`Picture::html`] makes a page of it that needs nothing else, and [`Picture::svg`] a picture that stands still. Time goes down; moments can be filtered by what they are
//! about, and stepped through with the arrow keys; beside them stands how each process was then.

#[cfg(feature = "synod")]
mod nodes;
#[cfg(feature = "synod")]
mod recordings;
mod svg;

use serde::Serialize;

#[cfg(feature = "synod")]
pub use self::{
    nodes::{Sketch, concerns, role, said, state},
    recordings::{Choice, draw_recordings},
};

/// What happened, and between whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Picture {
    title: String,
    about: String,
    lanes: Vec<Lane>,
    moments: Vec<Moment>,
    arrows: Vec<Arrow>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lane {
    name: String,
    role: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    kind: Kind,
    text: String,
    lane: Option<usize>,
    about: Vec<String>,
    details: Vec<String>,
    state: Option<String>,
}

/// What kind of thing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A process did something.
    Step,
    /// A process refused something.
    Refused,
    /// Time passed at a process.
    Time,
    /// Something became durable.
    Write,
    /// Something was decided.
    Decision,
    /// A process stopped.
    Stop,
    /// A process started.
    Start,
    /// Something happened around the processes.
    World,
    /// Something went wrong: this is where to look.
    Broken,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrow {
    from: usize,
    to: usize,
    text: String,
    sent: usize,
    arrived: Vec<usize>,
    lost: Option<usize>,
    about: Vec<String>,
    colour: Option<String>,
}

impl Picture {
    /// A picture of nothing yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Says, above the picture, what it shows.
    pub fn about(&mut self, about: impl Into<String>) {
        self.about = about.into();
    }

    /// Adds a process. Returns its number.
    pub fn lane(&mut self, lane: Lane) -> usize {
        self.lanes.push(lane);
        self.lanes.len() - 1
    }

    /// Adds what happened next. Returns its number.
    pub fn moment(&mut self, moment: Moment) -> usize {
        self.moments.push(moment);
        self.moments.len() - 1
    }

    /// Adds a message. Returns its number.
    pub fn arrow(&mut self, arrow: Arrow) -> usize {
        self.arrows.push(arrow);
        self.arrows.len() - 1
    }

    /// A moment, to be changed.
    pub fn moment_mut(&mut self, number: usize) -> Option<&mut Moment> {
        self.moments.get_mut(number)
    }

    /// A message arrives at a moment. It may do so again.
    pub fn arrives(&mut self, arrow: usize, moment: usize) {
        if let Some(arrow) = self.arrows.get_mut(arrow) {
            arrow.arrived.push(moment);
        }
    }

    /// A message is lost at a moment. It may arrive all the same.
    pub fn is_lost(&mut self, arrow: usize, moment: usize) {
        if let Some(arrow) = self.arrows.get_mut(arrow) {
            arrow.lost.get_or_insert(moment);
        }
    }

    /// How many moments there are.
    pub fn moments(&self) -> usize {
        self.moments.len()
    }

    /// One page that shows all this, and needs nothing else.
    pub fn html(&self) -> String {
        // Whatever a text is, it does not end the script.
        let data = serde_json::to_string(self).unwrap_or_default().replace('<', "\\u003c");
        let title = self.title.replace('&', "&amp;").replace('<', "&lt;");
        let page = include_str!("page.html");
        let (before, rest) = page.split_once("<!--TITLE-->").unwrap_or((page, ""));
        let (middle, after) = rest.split_once("<!--DATA-->").unwrap_or((rest, ""));
        [before, &title, middle, &data, after].concat()
    }
}

impl Lane {
    /// A process of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: String::new() }
    }

    /// What it does, in a word or two.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }
}

impl Moment {
    /// Something that happened, in a few words.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), lane: None, about: Vec::new(), details: Vec::new(), state: None }
    }

    /// At which process: the number of its lane. Without it, it happened around them.
    #[must_use]
    pub fn at(mut self, lane: usize) -> Self {
        self.lane = Some(lane);
        self
    }

    /// What it is about: the words by which moments are filtered.
    #[must_use]
    pub fn with_about(mut self, about: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.about.extend(about.into_iter().map(Into::into));
        self
    }

    /// What more there is to say, a line each.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.details.extend(details.into_iter().map(Into::into));
        self
    }

    /// How the process is after it.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Adds a line, and says what it is about.
    pub fn add(&mut self, detail: impl Into<String>, about: impl IntoIterator<Item = impl Into<String>>) {
        self.details.push(detail.into());
        for about in about.into_iter().map(Into::into) {
            if !self.about.contains(&about) {
                self.about.push(about);
            }
        }
    }
}

impl Arrow {
    /// A message between two lanes that left at a moment.
    pub fn new(from: usize, to: usize, text: impl Into<String>, sent: usize) -> Self {
        let (text, arrived, about) = (text.into(), Vec::new(), Vec::new());
        Self { from, to, text, sent, arrived, lost: None, about, colour: None }
    }

    /// What it is about.
    #[must_use]
    pub fn with_about(mut self, about: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.about.extend(about.into_iter().map(Into::into));
        self
    }

    /// Those of one word have one colour: a ballot, say.
    #[must_use]
    pub fn with_colour(mut self, word: impl Into<String>) -> Self {
        self.colour = Some(word.into());
        self
    }
}

/// The README's code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
