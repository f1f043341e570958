//! What the processes and the one that started them say to each other: lines of JSON, over pipes.

use serde::{Deserialize, Serialize};

use crate::meter::Meter;

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// It listens, and its node is restored.
    Ready,
    /// How it is; several times a second.
    Figures(Figures),
    /// Whether a transfer was applied at this branch, for who asked.
    Looked { transfer: u64, applied: bool },
    /// A change that it was asked for was refused.
    Unchanged { why: String },
    /// It has shut down in order; and what it has counted.
    Closed(Meter),
}

/// How a process is: counts since it was started, and how many there are now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) messages: u64,
    pub(crate) writes: u64,
    pub(crate) recoveries: u64,
    pub(crate) violations: u64,
    /// Machines that were refused, as they had the name of one that was met before.
    pub(crate) impostors: u64,
    pub(crate) dropped: u64,
    pub(crate) open: usize,
    pub(crate) in_doubt: usize,
    pub(crate) unacknowledged: usize,
    /// As how many ranges the node remembers what is over.
    pub(crate) ranges: usize,
    /// The epoch that the node is in; none if it knows of none yet.
    pub(crate) epoch: Option<u64>,
    /// The members of that.
    pub(crate) members: Vec<u64>,
    /// Whether those that are no members of it may be switched off for good.
    pub(crate) may_leave: bool,
}

/// What a process is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Whether a transfer that is over was applied at this branch.
    Look { transfer: u64 },
    /// To have the member `old` replaced by `new`, which listens at `contact`.
    Replace { old: u64, new: u64, contact: String },
    /// To have this participant written off for good.
    WriteOff { node: u64 },
}
