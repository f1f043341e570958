//! One of the processes, as the one that started it sees it.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::line::{Ask, Figures};

/// A process, in this life and those before.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) state: State,
    /// Counts the starts of the process. Messages from an earlier life are ignored.
    pub(crate) life: u64,
    pub(crate) pid: Option<u32>,
    /// Its input, which ends when this is dropped.
    pub(crate) asks: Option<mpsc::UnboundedSender<Ask>>,
    pub(crate) figures: Figures,
    /// When those came.
    pub(crate) heard: Instant,
    pub(crate) messages_per_second: f64,
    pub(crate) writes_per_second: f64,
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    /// Counts of earlier lives, as far as they were heard of.
    recoveries: u64,
    violations: u64,
    impostors: u64,
    /// It must not take part any more, and may end by itself.
    pub(crate) is_outcast: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was started, and does not listen yet.
    Starting,
    Up,
    /// It was told to stand still.
    Stopped,
    /// It was killed, and is not gone yet.
    Dying,
    Down,
    /// It was told to shut down.
    Closing,
    /// It has shut down in order.
    Closed,
}

impl Member {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Down,
            life: 0,
            pid: None,
            asks: None,
            figures: Figures::default(),
            heard: Instant::now(),
            messages_per_second: 0.0,
            writes_per_second: 0.0,
            kills: 0,
            stops: 0,
            recoveries: 0,
            violations: 0,
            impostors: 0,
            is_outcast: false,
        }
    }

    /// Notes how it is.
    pub(crate) fn hear(&mut self, figures: Figures) {
        let seconds = self.heard.elapsed().as_secs_f64().max(0.001);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        self.messages_per_second = rate(figures.messages, self.figures.messages);
        self.writes_per_second = rate(figures.writes, self.figures.writes);
        (self.figures, self.heard) = (figures, Instant::now());
    }

    /// Notes that this life is over.
    pub(crate) fn die(&mut self) {
        self.recoveries = self.recoveries();
        self.violations = self.violations();
        self.impostors = self.impostors();
        (self.figures, self.asks, self.pid) = (Figures::default(), None, None);
        (self.messages_per_second, self.writes_per_second) = (0.0, 0.0);
    }

    /// How many ballots above 0 it has tried, in all its lives.
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries + self.figures.recoveries
    }

    /// How many inputs it has got that break the protocol, in all its lives.
    pub(crate) fn violations(&self) -> u64 {
        self.violations + self.figures.violations
    }

    /// How many machines it has refused that had the name of another one, in all its lives.
    pub(crate) fn impostors(&self) -> u64 {
        self.impostors + self.figures.impostors
    }

    /// Whether it is in `epoch` or a later one.
    pub(crate) fn is_in(&self, epoch: u64) -> bool {
        self.figures.epoch.is_some_and(|number| number >= epoch)
    }

    /// Whether nothing is open there, as it said after `since`.
    pub(crate) fn is_at_rest(&self, since: Instant) -> bool {
        let Figures { open, unacknowledged, .. } = self.figures;
        self.state == State::Up && self.heard > since && open == 0 && unacknowledged == 0
    }
}
