//! Acceptors that are wrong in one way each. The checks must find every one of them out.

use synod::{
    commit::Vote,
    paxos::{AcceptorRecord, Message},
};

use super::machines::Flaw;

type Record = AcceptorRecord<Vote>;

pub(crate) const FLAWS: [(&str, Flaw); 8] = [
    ("promises a second time after it accepted", promises_again),
    ("promises without writing it", promises_unwritten),
    ("tells nothing of what it accepted", tells_nothing),
    ("accepts without raising its promise", keeps_promise),
    ("accepts below its promise", accepts_lower),
    ("promises below its promise", promises_lower),
    ("accepts without writing it", accepts_unwritten),
    ("takes back what it accepted when it promises", forgets),
];

/// An equal `Prepare` is answered by a promise that tells of the acceptance in that same ballot.
pub(crate) fn promises_again(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Prepare { ballot } if before.accepted.is_some_and(|(at, _)| at == ballot) => {
            Some((*before, Message::Promise { ballot, accepted: before.accepted }))
        }
        _ => None,
    }
}

fn promises_unwritten(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Prepare { ballot } if before.promised < Some(ballot) => {
            Some((*before, Message::Promise { ballot, accepted: before.accepted }))
        }
        _ => None,
    }
}

fn tells_nothing(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Prepare { ballot } if before.promised < Some(ballot) => {
            let after = Record { promised: Some(ballot), ..*before };
            Some((after, Message::Promise { ballot, accepted: None }))
        }
        _ => None,
    }
}

fn keeps_promise(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Accept { ballot, value } if before.promised < Some(ballot) => {
            let after = Record { accepted: Some((ballot, value)), ..*before };
            Some((after, Message::Accepted { ballot, value }))
        }
        _ => None,
    }
}

fn accepts_lower(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Accept { ballot, value } if before.promised > Some(ballot) => {
            let after = Record { accepted: Some((ballot, value)), ..*before };
            Some((after, Message::Accepted { ballot, value }))
        }
        _ => None,
    }
}

fn promises_lower(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Prepare { ballot } if before.promised > Some(ballot) => {
            Some((*before, Message::Promise { ballot, accepted: before.accepted }))
        }
        _ => None,
    }
}

fn accepts_unwritten(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Accept { ballot, value } if before.promised <= Some(ballot) => {
            Some((*before, Message::Accepted { ballot, value }))
        }
        _ => None,
    }
}

fn forgets(before: &Record, message: &Message<Vote>) -> Option<(Record, Message<Vote>)> {
    match *message {
        Message::Prepare { ballot } if before.promised < Some(ballot) => {
            let after = Record { promised: Some(ballot), accepted: None };
            Some((after, Message::Promise { ballot, accepted: before.accepted }))
        }
        _ => None,
    }
}
