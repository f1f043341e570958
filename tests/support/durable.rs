//! What a log holds, and what it must hold before a message may leave.

use synod::{
    TxId,
    commit::{Message, Outcome, Part, Record, ResourceManagerRecord, Transaction, TxRange, Vote},
    paxos::{
        AcceptorRecord,
        Message::{Accept, Accepted, Prepare, Promise, Reject},
    },
};

/// The vote that a resource manager has written.
pub fn voted(log: &[Record], tx: TxId) -> Option<Vote> {
    resource_manager(log, tx)?.vote
}

/// The outcome that a resource manager has written that it has carried out.
pub fn done(log: &[Record], tx: TxId) -> Option<Outcome> {
    resource_manager(log, tx)?.finished
}

/// Whether whoever is restored from `log` knows what `message` says about itself.
pub fn holds(log: &[Record], message: &Message) -> bool {
    match message {
        Message::Vote { transaction, vote, .. } => voted(log, transaction.id()) == Some(*vote),
        Message::Finished { transaction, outcome } => done(log, transaction.id()) == Some(*outcome),
        Message::Retired { range } | Message::RetiredNoted { range } => is_over(log, *range),
        Message::Paxos { transaction, parts } => parts.iter().all(|part| holds_part(log, transaction, part)),
        Message::Begin { .. } | Message::Prepare { .. } | Message::Inquire { .. } | Message::Outcome { .. } => true,
    }
}

fn holds_part(log: &[Record], transaction: &Transaction, part: &Part) -> bool {
    let state = || instance(log, transaction, part);
    match part.message {
        Prepare { ballot } | Accept { ballot, .. } => rounds(log) > ballot.round,
        Promise { ballot, accepted } => state() == Some(&AcceptorRecord { promised: Some(ballot), accepted }),
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

fn instance<'a>(log: &'a [Record], transaction: &Transaction, part: &Part) -> Option<&'a AcceptorRecord<Vote>> {
    let place = transaction.participants().iter().position(|rm| *rm == part.rm)?;
    log.iter().rev().find_map(|record| match record {
        Record::Acceptor(record) if record.transaction == *transaction => record.instances.get(place),
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
