//! What is said over HTTP, to people's commands and to machines.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) cluster: String,
    pub(crate) version: String,
    /// The file of the process.
    pub(crate) file: String,
    /// Why it is not ready, if it is not.
    pub(crate) not_ready: Option<String>,
    pub(crate) nodes: Vec<Node>,
}

/// A node of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) node: u64,
    /// `member`, `agent`, `newcomer` or `former member`.
    pub(crate) role: String,
    /// `running`, `starting`, `away` (its database is) or `silent`.
    pub(crate) state: String,
    pub(crate) why: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) epoch: Option<u64>,
    pub(crate) open: usize,
    pub(crate) in_doubt: usize,
    pub(crate) oldest_in_doubt_seconds: f64,
    /// Transactions that show that an assumption of the protocol was broken, and why.
    pub(crate) violations: Vec<String>,
    /// Branches that were ended behind the cluster's back.
    pub(crate) alarms: Vec<String>,
    /// That it has refused other nodes since it was started, and why.
    pub(crate) refused: Vec<String>,
    pub(crate) certificate_days_left: f64,
    /// The members of the cluster, as this node sees them.
    pub(crate) members: Vec<Peer>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) node: u64,
    pub(crate) connected: bool,
    /// How often it had other members in the same epoch.
    pub(crate) disagreements: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) tx: String,
    pub(crate) answer: Ended,
    pub(crate) participants: Vec<u64>,
    pub(crate) age_seconds: Option<f64>,
    pub(crate) waits_for: Vec<u64>,
    /// What each node knows.
    pub(crate) seen: Vec<Seen>,
    pub(crate) silent: Vec<Silent>,
}

/// Whether a transaction committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ended {
    Committed,
    Aborted,
    /// It is under way.
    Undecided,
    /// It is over, and nobody who answered knows how.
    Forgotten,
    /// Nobody who answered has heard of it.
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) node: u64,
    pub(crate) says: String,
}

/// A node that did not answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Silent {
    pub(crate) node: u64,
    pub(crate) address: String,
    pub(crate) why: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InDoubt {
    pub(crate) transactions: Vec<Doubt>,
    pub(crate) silent: Vec<Silent>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Doubt {
    pub(crate) tx: String,
    /// At which database.
    pub(crate) at: u64,
    pub(crate) participants: Vec<u64>,
    pub(crate) age_seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) transactions: Vec<OpenTransaction>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OpenTransaction {
    pub(crate) tx: String,
    /// As which node sees it.
    pub(crate) at: u64,
    pub(crate) participants: Vec<u64>,
    pub(crate) outcome: Option<String>,
    pub(crate) age_seconds: f64,
    pub(crate) waits_for: Vec<u64>,
    /// The broken invariant because of which the node is silent about it.
    pub(crate) fence: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Members {
    pub(crate) epoch: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) left: Vec<u64>,
    /// Whether those that have left may be switched off.
    pub(crate) may_leave: bool,
    pub(crate) is_changing: bool,
    /// Participants that were written off.
    pub(crate) departed: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) node: u64,
    pub(crate) address: String,
    pub(crate) answers: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) tx: String,
    pub(crate) at: u64,
}

/// A change of members has begun, from this epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changing {
    pub(crate) from: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    /// `commit` or `abort`.
    pub(crate) outcome: String,
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replace {
    pub(crate) old: u64,
    pub(crate) new: u64,
    pub(crate) address: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Depart {
    pub(crate) node: u64,
}
