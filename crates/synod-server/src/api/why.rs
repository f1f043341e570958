//! Why a transaction is not over, in one sentence for people.
//!
//! All that is said comes from what nodes know: how far the transaction is at each of them, whom its manager waits for, and
//! who has not answered for how long.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// What is known of a transaction that is not over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Case {
    pub(crate) participants: Vec<u64>,
    /// For how long it has been known, in seconds, where it has been known longest.
    pub(crate) age: f64,
    /// Its outcome: `committed` or `aborted`.
    pub(crate) outcome: Option<&'static str>,
    /// Where it is prepared without an outcome, and for how long, as far as that is known.
    pub(crate) prepared: BTreeMap<u64, Option<f64>>,
    /// Where the database has not voted.
    pub(crate) working: BTreeSet<u64>,
    /// Whom its manager waits for: for votes or, once there is an outcome, to have it carried out.
    pub(crate) waits_for: BTreeSet<u64>,
    /// Why only an operator can end it.
    pub(crate) trouble: Option<String>,
}

/// What is around a transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Around {
    /// What databases are called, by the nodes beside them.
    pub(crate) names: BTreeMap<u64, String>,
    /// Who has not answered, and for how long, in seconds.
    pub(crate) silent: BTreeMap<u64, f64>,
    /// Whose database has been away, and for how long.
    pub(crate) away: BTreeMap<u64, f64>,
    /// Who decides.
    pub(crate) members: Vec<u64>,
    /// Whether so many members do not answer that nothing can be decided.
    pub(crate) is_stuck: bool,
}

impl Case {
    /// The state in a word or two.
    pub(crate) fn state(&self) -> &'static str {
        match (&self.trouble, self.outcome) {
            (Some(_), _) => "needs an operator",
            (None, Some(outcome)) => outcome,
            (None, None) if !self.prepared.is_empty() => "in doubt",
            (None, None) => "undecided",
        }
    }

    /// The sentence.
    pub(crate) fn why(&self, around: &Around) -> String {
        let mut text = self.standing(around);
        if let Some(trouble) = &self.trouble {
            let _ = write!(text, "; an operator is needed: {}", clean(trouble));
            return text;
        }
        let waits = self.waits_for.iter().copied();
        match self.outcome {
            Some(_) if self.waits_for.is_empty() => text.push_str("; to be carried out here"),
            Some(_) => {
                let _ = write!(text, "; waits until it is carried out at {}", around.list(waits));
            }
            None => self.decision(around, &mut text),
        }
        text
    }

    /// How far it is.
    fn standing(&self, around: &Around) -> String {
        if let Some(outcome) = self.outcome {
            return format!("{outcome}, begun {} ago", duration(self.age));
        }
        if self.prepared.is_empty() {
            return format!("open for {}", duration(self.age));
        }
        let mut text = String::from("prepared at ");
        for (at, (node, age)) in self.prepared.iter().enumerate() {
            text.push_str(separator(at, self.prepared.len()));
            text.push_str(&around.name(*node));
            if let Some(age) = age {
                let _ = write!(text, " for {}", duration(*age));
            }
        }
        text
    }

    /// What it waits for that is not decided.
    fn decision(&self, around: &Around, text: &mut String) {
        let others = self.participants.iter().filter(|node| !self.prepared.contains_key(node));
        let votes: BTreeSet<u64> = if !self.waits_for.is_empty() {
            // What is prepared has voted, and nobody waits for its agent: the vote is on its way to the members.
            let waits: BTreeSet<u64> =
                self.waits_for.iter().copied().filter(|node| !self.prepared.contains_key(node)).collect();
            if waits.is_empty() { self.waits_for.clone() } else { waits }
        } else if !self.working.is_empty() {
            self.working.clone()
        } else {
            others.copied().filter(|node| around.is_silent(*node)).collect()
        };
        if votes.is_empty() {
            text.push_str("; waits for the members to decide");
        } else {
            let _ = write!(text, "; waits for the vote of {}", around.list(votes.iter().copied()));
        }
        if !self.waits_for.is_empty() {
            let chosen = self.participants.iter().copied().filter(|node| !self.waits_for.contains(node));
            let chosen: Vec<u64> = chosen.collect();
            if !chosen.is_empty() {
                let names: Vec<String> = chosen.iter().map(|node| around.name(*node)).collect();
                let _ = write!(text, "; a majority has the vote of {}", joined(&names));
            }
        }
        if around.is_stuck {
            let silent = around.members.iter().copied().filter(|node| around.is_silent(*node));
            let _ = write!(text, "; too few members answer to decide: missing are {}", around.list(silent));
        }
    }
}

impl Around {
    fn is_silent(&self, node: u64) -> bool {
        self.silent.contains_key(&node) || self.away.contains_key(&node)
    }

    /// What a node is called.
    pub(crate) fn name(&self, node: u64) -> String {
        match self.names.get(&node) {
            Some(name) => format!("{} (n{node})", clean(name)),
            None => format!("n{node}"),
        }
    }

    /// Nodes, with why each of them keeps others waiting.
    fn list(&self, nodes: impl Iterator<Item = u64>) -> String {
        let one = |node: u64| {
            let name = self.name(node);
            let who = if self.names.contains_key(&node) { "whose agent" } else { "which" };
            if let Some(age) = self.away.get(&node) {
                format!("{name}, whose database has been away for {}", duration(*age))
            } else if let Some(age) = self.silent.get(&node) {
                format!("{name}, {who} has not answered for {}", duration(*age))
            } else {
                name
            }
        };
        joined(&nodes.map(one).collect::<Vec<_>>())
    }
}

fn separator(at: usize, of: usize) -> &'static str {
    match at {
        0 => "",
        _ if at + 1 == of => " and ",
        _ => ", ",
    }
}

fn joined(words: &[String]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        // Whoever has something to say of each needs more than a comma between them.
        let between =
            if words.iter().any(|word| word.contains(", ")) && at > 0 { "; and " } else { separator(at, words.len()) };
        text.push_str(between);
        text.push_str(word);
    }
    text
}

/// Somebody else's words, without what a terminal or a page would obey.
pub(crate) fn clean(text: &str) -> String {
    let is_bad = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_bad(c) { '\u{fffd}' } else { c }).collect()
}

/// Seconds as people say them.
pub(crate) fn duration(seconds: f64) -> String {
    // Not a number is no time.
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..120 => format!("{whole} s"),
        120..7_200 => format!("{} min {} s", whole / 60, whole % 60),
        7_200..172_800 => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3_600 % 24),
    }
}
