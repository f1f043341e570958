//! Faults of writing, and of what is found on a disk.

use std::collections::BTreeMap;

use synod::commit::{Config, Effect, Input, Key, Node, Outcome, Record, Vote};

use crate::canary::Fault;

/// Messages and decisions leave before the writes ahead of them.
#[derive(Clone, Default)]
pub(crate) struct SendsOvertakeWrites;

impl Fault for SendsOvertakeWrites {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.sort_by_key(|effect| matches!(effect, Effect::Persist(_)));
        effects
    }
}

/// The write of one step is taken for that of the next: it is confirmed one step too early.
#[derive(Clone, Default)]
pub(crate) struct WritesConfirmedEarly {
    behind: Vec<Effect>,
}

impl Fault for WritesConfirmedEarly {
    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        let (writes, others): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Persist(_)));
        core::mem::replace(&mut self.behind, writes).into_iter().chain(others).collect()
    }
}

/// A vote is never written.
#[derive(Clone, Default)]
pub(crate) struct VotesUnwritten;

impl Fault for VotesUnwritten {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.retain(
            |effect| !matches!(effect, Effect::Persist(Record::ResourceManager(record)) if record.finished.is_none()),
        );
        effects
    }
}

/// The tombstones of what is over are never written.
#[derive(Clone, Default)]
pub(crate) struct NothingErased;

impl Fault for NothingErased {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.retain(|effect| {
            !matches!(effect, Effect::Persist(Record::Erased(Key::Acceptor(_) | Key::ResourceManager(_))))
        });
        effects
    }
}

/// A fault that writes a record, and then the one before it once more.
macro_rules! go_back {
    ($(#[doc = $doc:literal] $name:ident: $pattern:pat,)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Default)]
            pub(crate) struct $name {
                written: BTreeMap<Key, Record>,
            }

            impl Fault for $name {
                fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
                    let mut all = Vec::new();
                    for effect in effects {
                        let before = match &effect {
                            Effect::Persist(record @ $pattern) => self.written.insert(record.key(), record.clone()),
                            _ => None,
                        };
                        all.push(effect);
                        all.extend(before.map(Effect::Persist));
                    }
                    all
                }
            }
        )+
    };
}

go_back! {
    /// An acceptor that has written a promise drops it: its record before comes last.
    PromisesDropped: Record::Acceptor(_),
    /// What was reserved before comes last.
    ReservationsGoBack: Record::Sequence { .. } | Record::Rounds { .. },
}

/// The last records are lost, and the storage does not notice: the node goes on with an older state.
#[derive(Clone, Default)]
pub(crate) struct DamageUnnoticed;

impl Fault for DamageUnnoticed {
    const NOTICES_DAMAGE: bool = false;
}

/// What is over is erased before it is written that it is over.
#[derive(Clone, Default)]
pub(crate) struct ErasedEarly;

impl Fault for ErasedEarly {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.sort_by_key(|effect| !matches!(effect, Effect::Persist(Record::Erased(_))));
        effects
    }
}

/// The transaction numbers that may have been handed out are forgotten, and nothing on the disk shows it.
#[derive(Clone, Default)]
pub(crate) struct NumbersForgottenUnseen;

impl Fault for NumbersForgottenUnseen {
    fn records(config: &Config, records: Vec<Record>) -> Option<Vec<Record>> {
        let rest: Vec<Record> = records.iter().filter(|record| record.key() != Key::Sequence).cloned().collect();
        Some(if Node::restore(config.clone(), rest.clone()).is_ok() { rest } else { records })
    }
}

/// A fault that loses or alters records when a node starts again.
macro_rules! restores {
    ($(#[doc = $doc:literal] $name:ident: |$record:ident| $result:expr;)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Default)]
            pub(crate) struct $name;

            impl Fault for $name {
                fn records(_config: &Config, records: Vec<Record>) -> Option<Vec<Record>> {
                    Some(records.into_iter().filter_map(|$record| $result).collect())
                }
            }
        )+
    };
}

restores! {
    /// The rounds that may have been used are forgotten.
    RoundsForgotten: |record| (record.key() != Key::Rounds).then_some(record);
    /// The transaction numbers that may have been handed out are forgotten.
    NumbersForgotten: |record| (record.key() != Key::Sequence).then_some(record);
    /// What is over is forgotten.
    RetirementForgotten: |record| (!matches!(record, Record::Retired(_))).then_some(record);
    /// What was promised and accepted is forgotten.
    AcceptancesForgotten: |record| (!matches!(record, Record::Acceptor(_))).then_some(record);
    /// A transaction that is prepared is taken for one that was aborted.
    PreparedRolledBack: |record| Some(match record {
        Record::ResourceManager(mut record) if record.finished.is_none() => {
            record.vote = Some(Vote::Aborted);
            Record::ResourceManager(record)
        }
        other => other,
    });
    /// What was finished as committed is remembered as aborted.
    CommitsTakenForAborts: |record| Some(match record {
        Record::ResourceManager(mut record) if record.finished == Some(Outcome::Committed) => {
            record.finished = Some(Outcome::Aborted);
            Record::ResourceManager(record)
        }
        other => other,
    });
}

/// A node that finds its disk blank starts as a new one.
#[derive(Clone, Default)]
pub(crate) struct BlankDiskVotes;

impl Fault for BlankDiskVotes {
    fn records(_config: &Config, _records: Vec<Record>) -> Option<Vec<Record>> {
        None
    }
}
