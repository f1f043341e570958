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
    /// Why it is not over, if it is not.
    pub(crate) why: Option<String>,
    /// What each node knows.
    pub(crate) seen: Vec<Seen>,
    pub(crate) silent: Vec<Silent>,
    /// What happened at the nodes of this process, the earliest first, as far as it is remembered.
    pub(crate) moments: Vec<Moment>,
}

/// Something that happened at a node of this process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) node: u64,
    pub(crate) what: What,
    pub(crate) ago_seconds: f64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// The transaction was begun here.
    Begun,
    /// The node heard of it, or read it from its records.
    Heard,
    Committed,
    Aborted,
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
    /// Whether it is prepared there, without an outcome.
    pub(crate) is_in_doubt: bool,
}

/// A node that did not answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Why it is not over.
    pub(crate) why: String,
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
    /// Why it is not over.
    pub(crate) why: String,
    /// The broken invariant because of which the node is silent about it.
    pub(crate) fence: Option<String>,
}

/// What is not over, as far as this process knows: what is in doubt first, then the oldest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) transactions: Vec<Waits>,
    /// How many more there are, at least.
    pub(crate) more: usize,
    /// How many are in doubt at a database.
    pub(crate) in_doubt: usize,
    pub(crate) oldest_in_doubt_seconds: f64,
    /// How many are open, at least.
    pub(crate) open: usize,
    /// Who could not be asked what is in doubt.
    pub(crate) silent: Vec<Silent>,
}

/// A transaction that is not over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) tx: String,
    /// `in doubt`, `undecided`, `committed` or `aborted` (and not carried out everywhere), or `needs an operator`.
    pub(crate) state: String,
    pub(crate) age_seconds: f64,
    pub(crate) participants: Vec<u64>,
    pub(crate) in_doubt_at: Vec<u64>,
    /// Which databases of this process list it as prepared.
    pub(crate) listed_at: Vec<u64>,
    pub(crate) why: String,
}

/// Who there is, and who is silent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) epoch: Option<u64>,
    pub(crate) is_changing: bool,
    pub(crate) nodes: Vec<Place>,
    pub(crate) links: Vec<Link>,
}

/// A node of the cluster, as this process sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) node: u64,
    /// `member`, `agent`, `newcomer` or `former member`.
    pub(crate) role: String,
    /// What its database is called, if that is known here.
    pub(crate) name: Option<String>,
    pub(crate) address: String,
    /// It is a node of this process.
    pub(crate) is_here: bool,
    /// `running`, `starting`, `away` (its database is) or `silent`; of another process: `connected`, `silent` or
    /// `not connected`, which says nothing about it.
    pub(crate) state: String,
    pub(crate) silent_seconds: Option<f64>,
}

/// A connection from a node of this process to a member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) is_up: bool,
}

/// What the databases of this process list as prepared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Databases {
    pub(crate) databases: Vec<Database>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) node: u64,
    pub(crate) name: Option<String>,
    pub(crate) url: String,
    /// Why it could not be asked, if it could not.
    pub(crate) silent: Option<String>,
    /// How many are prepared, of which not all may be listed here.
    pub(crate) prepared: usize,
    pub(crate) branches: Vec<Branch>,
}

/// A prepared transaction of a database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// What the database calls it.
    pub(crate) name: String,
    /// Of which transaction it is a part.
    pub(crate) tx: Option<String>,
    /// For how long it has been prepared, if the database tells.
    pub(crate) age_seconds: Option<f64>,
    pub(crate) knows: Knows,
}

/// Who knows a prepared transaction of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Knows {
    /// A node here: it is open.
    Open,
    /// It is over, and still prepared here.
    Over,
    /// No node of this process. Its agent finds it soon, or its application is at work on it.
    Nobody,
    /// It is of another cluster, or of another participant of this one.
    Others,
    /// Another program has prepared it, and must end it.
    Foreign,
}

/// How transactions ended, the latest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recent {
    pub(crate) outcomes: Vec<RecentOutcome>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecentOutcome {
    pub(crate) tx: String,
    /// `committed` or `aborted`.
    pub(crate) outcome: String,
    /// When that became known here first, in UTC.
    pub(crate) at: String,
    pub(crate) ago_seconds: f64,
    /// How long it took, if it was begun here.
    pub(crate) took_seconds: Option<f64>,
    /// The nodes of this process that know it.
    pub(crate) known_at: Vec<u64>,
}

/// What the one who asks may do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Whoami {
    pub(crate) role: super::guard::Role,
    /// It needs no token.
    pub(crate) by_certificate: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Members {
    pub(crate) epoch: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) left: Vec<u64>,
    /// Whether those that have left may be switched off.
    pub(crate) may_leave: bool,
    pub(crate) is_changing: bool,
    /// Who is invited to be a member, and has not answered.
    #[serde(default)]
    pub(crate) awaited: Vec<u64>,
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
pub(crate) struct Finished {
    pub(crate) at: Option<u64>,
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
