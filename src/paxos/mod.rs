//! Single-decree Paxos: the *synod*.
//!
//! Three roles, each a [`Machine`](crate::Machine) of its own that can be driven alone. Lamport, *The Part-Time
//! Parliament* (1998), section 2; *Paxos Made Simple* (2001), section 2.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod acceptor;
mod learner;
mod message;
mod proposer;

pub(crate) use acceptor::Answer;
pub use acceptor::{Acceptor, AcceptorRecord};
pub use learner::Learner;
pub(crate) use learner::Lesson;
pub use message::{Input, Message};
pub(crate) use proposer::Attempt;
pub use proposer::{Proposer, ProposerConfig, ProposerRecord};
