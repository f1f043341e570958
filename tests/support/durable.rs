//! What a log holds, and what it must hold before a message may leave.

use synod::{
    NodeId, TxId,
    commit::{EpochMessage, Message, Outcome, Record, ResourceManagerRecord, Transaction, TxRange, Vote, What},
    paxos::{
        AcceptorRecord,
        Message::{Accept, Accepted, Prepare, Promise, Reject},
    },
};

use super::say::{self, Part};

/// The vote that a resource manager has written.
pub fn voted(log: &[Record], tx: TxId) -> Option<Vote> {
    resource_manager(log, tx)?.vote
}

/// The outcome that a resource manager has written that it has carried out.
pub fn done(log: &[Record], tx: TxId) -> Option<Outcome> {
    resource_manager(log, tx)?.finished
}

/// Whether the node that is restored from `log` knows what `message` says about itself, and gives the name that it has
/// given to nothing else.
pub fn holds(log: &[Record], message: &Message) -> bool {
    match message {
        Message::About { transaction, what } => {
            is_named(log, transaction.id())
                && match what {
                    What::Vote { vote, .. } => voted(log, transaction.id()) == Some(*vote),
                    What::Finished(outcome) => done(log, transaction.id()) == Some(*outcome),
                    What::Begin { .. }
                    | What::Prepare { .. }
                    | What::Inquire
                    | What::Decline
                    | What::Wait
                    | What::OtherTransaction
                    | What::Outcome(_) => true,
                    _ => {
                        let parts = say::parts_of(message);
                        !parts.is_empty() && parts.iter().all(|part| holds_part(log, transaction, part))
                    }
                }
        }
        Message::Retired { range, .. } | Message::RetiredNoted { range } => is_over(log, *range),
        Message::Epoch { number, what } => knows(log, *number, what),
    }
}

/// Whether the node that is restored from `log` knows what it says of epoch `number`.
fn knows(log: &[Record], number: Option<u64>, what: &EpochMessage) -> bool {
    let epoch = log.iter().rev().find_map(|record| match record {
        Record::Epoch { number, .. } => Some(*number),
        _ => None,
    });
    let state = log.iter().rev().find_map(|record| match record {
        Record::Handover { epoch, state } if Some(*epoch) == number => Some(state),
        _ => None,
    });
    match what {
        EpochMessage::Newer | EpochMessage::Noted | EpochMessage::Told { .. } => number <= epoch,
        EpochMessage::Promise { ballot, .. } => state.is_some_and(|state| state.promised >= Some(*ballot)),
        EpochMessage::Accepted { ballot } => {
            state.is_some_and(|state| state.accepted.as_ref().map(|(at, _)| at) >= Some(ballot))
        }
        EpochMessage::Frozen { .. } => state.is_some(),
        _ => true,
    }
}

/// Whether `tx` is another node's name, or one that is reserved here.
pub fn is_named(log: &[Record], tx: TxId) -> bool {
    let node =
        log.iter().find_map(|record| if let Record::Identity { node, .. } = record { Some(*node) } else { None });
    let reserved = |record: &_| if let Record::Sequence { reserved } = record { Some(*reserved) } else { None };
    node != Some(tx.origin) || log.iter().rev().find_map(reserved).is_some_and(|reserved| tx.seq < reserved)
}

fn holds_part(log: &[Record], transaction: &Transaction, part: &Part) -> bool {
    let state = || instance(log, transaction, part.rm);
    match part.message {
        Prepare { ballot } | Accept { ballot, .. } => rounds(log) > ballot.round,
        Promise { ballot, accepted } => state() == Some(AcceptorRecord { promised: Some(ballot), accepted }),
        Accepted { ballot, value } => state().is_some_and(|state| state.accepted == Some((ballot, value))),
        Reject { promised, .. } => state().is_some_and(|state| state.promised == Some(promised)),
    }
}

fn resource_manager(log: &[Record], tx: TxId) -> Option<&ResourceManagerRecord> {
    log.iter().rev().find_map(|record| match record {
        Record::ResourceManager(record) if record.transaction.id() == tx => Some(record),
        _ => None,
    })
}

fn instance(log: &[Record], transaction: &Transaction, rm: NodeId) -> Option<AcceptorRecord<Vote>> {
    let place = transaction.participants().iter().position(|known| *known == rm)?;
    log.iter().rev().find_map(|record| match record {
        Record::Acceptor(record) if record.transaction == *transaction => record.instance(place),
        _ => None,
    })
}

fn is_over(log: &[Record], range: TxRange) -> bool {
    let ends = [range.first(), range.last()];
    log.iter().any(|record| matches!(record, Record::Retired(over) if ends.iter().all(|tx| over.contains(*tx))))
}

/// The first round that is not reserved.
fn rounds(log: &[Record]) -> u64 {
    let reserved = |record: &_| if let Record::Rounds { reserved } = record { Some(*reserved) } else { None };
    log.iter().rev().find_map(reserved).unwrap_or(0)
}
