//! Whose records are written, and what it is told in the life of a transaction.

use std::ops::Range;

use compare::{
    parties::{ACCEPTORS, MANAGER, RMS, cluster, transaction, tx, vote},
    subject::value,
};
use synod::commit::{Config, Input, Message, Meta, Outcome, Time, TxRange, What};

/// A role that a node plays alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Acceptor,
    ResourceManager,
}

/// A part of a transaction's life. It comes to one batch of records.
#[derive(Clone, Copy)]
pub enum Phase {
    /// The acceptor gets all votes and writes its bundle; the resource manager is asked and writes its vote.
    Vote,
    /// The resource manager hears of the outcome, and has carried it out.
    Outcome,
    /// The transaction is over everywhere.
    Retirement,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Acceptor, Self::ResourceManager];

    pub fn name(self) -> &'static str {
        match self {
            Self::Acceptor => "acceptor",
            Self::ResourceManager => "resource manager",
        }
    }

    pub fn phases(self) -> &'static [Phase] {
        match self {
            Self::Acceptor => &[Phase::Vote, Phase::Retirement],
            Self::ResourceManager => &[Phase::Vote, Phase::Outcome, Phase::Retirement],
        }
    }

    /// A node that is neither the transaction manager nor on its process.
    pub fn config(self) -> Config {
        let id = match self {
            Self::Acceptor => ACCEPTORS[1],
            Self::ResourceManager => RMS[1],
        };
        // The node and its twin are to write the same.
        Config::new(cluster(), id, 7).with_birth(Some(7))
    }

    /// What comes in for these transactions in one phase, and then the time.
    pub fn inputs(self, phase: Phase, numbers: Range<u64>, now: Time) -> Vec<Input> {
        let each = |say: fn(u64) -> Message| {
            numbers.clone().map(move |number| Input::Receive { from: MANAGER, message: say(number) })
        };
        let mut inputs: Vec<Input> = match (phase, self) {
            (Phase::Vote, Self::Acceptor) => {
                RMS.iter().flat_map(|rm| numbers.clone().map(|number| vote(number, *rm))).collect()
            }
            (Phase::Vote, Self::ResourceManager) => each(prepare).collect(),
            (Phase::Outcome, _) => each(committed).collect(),
            (Phase::Retirement, _) => each(retired).collect(),
        };
        inputs.push(Input::Tick(now));
        inputs
    }
}

fn prepare(number: u64) -> Message {
    Message::about(&transaction(number), What::prepare(Meta::from(value(number))))
}

fn committed(number: u64) -> Message {
    Message::about(&transaction(number), What::Outcome(Outcome::Committed))
}

fn retired(number: u64) -> Message {
    Message::retired(TxRange::only(tx(number)))
}
