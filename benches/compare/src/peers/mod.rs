//! Who else decides: crates from the registry, driven in memory as their documentation shows.
//!
//! All but one keep a replicated log. There a decision is an entry that is committed at the leader, on a leader that
//! was elected before; the messages that tell the followers of it belong to it. A log is cut now and then, and that is
//! not measured.

pub mod omnipaxos;
pub mod paxos_rust;
pub mod quepaxa;
pub mod raft;
pub mod raftbare;

/// How many entries a log may have before it is cut.
const LONGEST: usize = 4_096;
