//! What a process says to the one that started it: one line of JSON each.

use std::{collections::BTreeMap, io::Write};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// It has started.
    Ready,
    /// How a node is.
    Figures(Figures),
    /// What an application has done since it last said so.
    Report(Report),
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Transactions that are under way here.
    pub(crate) open: usize,
    pub(crate) in_doubt: usize,
    /// Inputs that break the protocol.
    pub(crate) violations: u64,
    /// What the agent says an operator must see to.
    pub(crate) alarms: usize,
}

/// Of transfers that an application has made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Those that it was told are committed.
    pub(crate) committed: Vec<u64>,
    /// Those that it was told have changed nothing.
    pub(crate) aborted: Vec<u64>,
    /// How long those took that are committed.
    pub(crate) micros: Vec<u64>,
    /// What went wrong, and how often.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn take(&mut self, other: Self) {
        self.committed.extend(other.committed);
        self.aborted.extend(other.aborted);
        self.micros.extend(other.micros);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn error(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }
}

/// Says `line`. If nobody listens any more, this process ends soon, too.
pub(crate) fn say(line: &Line) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&text).and_then(|()| output.flush());
    }
}
