//! Effects in words.

use synod::{
    commit::{Decision, Effect, Key, Message, Outcome, Part, Record, Status, TxRange, Vote},
    paxos,
};

pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Persist(written) => format!("write {}", record(written)),
        Effect::Send { to, message: sent } => format!("send {to} {}", message(sent)),
        Effect::Decide(decided) => format!("decide {}", decision(decided)),
    }
}

pub(crate) fn status(status: Status) -> String {
    match status {
        Status::Unknown => "is unknown".into(),
        Status::Open { state, outcome: how } => {
            let state =
                state.map(|state| format!(", the resource manager {state:?}").to_lowercase()).unwrap_or_default();
            format!("is open{state}, {}", how.map_or("without an outcome", outcome))
        }
        Status::Retired => "is over".into(),
    }
}

fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Vote(transaction) => format!("vote? {}", transaction.id()),
        Decision::Commit(tx) => format!("commit {tx}"),
        Decision::Abort(tx) => format!("abort {tx}"),
        Decision::Decided { tx, outcome: how } => format!("{tx} is decided: {}", outcome(*how)),
        Decision::Completed { tx, outcome: how } => format!("{tx} is completed: {}", outcome(*how)),
    }
}

fn message(message: &Message) -> String {
    match message {
        Message::Begin { transaction } => format!("begin {}", transaction.id()),
        Message::Prepare { transaction } => format!("prepare {}", transaction.id()),
        Message::Vote { transaction, vote: cast, manager } => {
            format!("vote {} {} (tell {manager})", transaction.id(), vote(*cast))
        }
        Message::Paxos { transaction, parts } => {
            let parts: Vec<String> = parts.iter().map(part).collect();
            format!("paxos {} {}", transaction.id(), parts.join(", "))
        }
        Message::Inquire { transaction } => format!("inquire {}", transaction.id()),
        Message::Outcome { transaction, outcome: how } => format!("outcome {} {}", transaction.id(), outcome(*how)),
        Message::Finished { transaction, outcome: how } => format!("finished {} {}", transaction.id(), outcome(*how)),
        Message::Retired { range: over } => format!("retired {}", range(over)),
        Message::RetiredNoted { range: over } => format!("retired-noted {}", range(over)),
    }
}

fn part(Part { rm, message }: &Part) -> String {
    let said = match message {
        paxos::Message::Prepare { ballot } => format!("1a {ballot}"),
        paxos::Message::Promise { ballot, accepted: None } => format!("1b {ballot} nothing"),
        paxos::Message::Promise { ballot, accepted: Some((at, value)) } => {
            format!("1b {ballot} {} at {at}", vote(*value))
        }
        paxos::Message::Accept { ballot, value } => format!("2a {ballot} {}", vote(*value)),
        paxos::Message::Accepted { ballot, value } => format!("2b {ballot} {}", vote(*value)),
        paxos::Message::Reject { ballot, promised } => format!("no {ballot} for {promised}"),
    };
    format!("{rm}[{said}]")
}

fn record(record: &Record) -> String {
    match record {
        Record::Identity { node, .. } => format!("identity {node}"),
        Record::Sequence { reserved } => format!("sequence {reserved}"),
        Record::Rounds { reserved } => format!("rounds {reserved}"),
        Record::Acceptor(record) => {
            let instances = record.transaction.participants().iter().zip(&record.instances);
            let instances: Vec<String> = instances.map(|(rm, state)| format!("{rm}[{}]", instance(state))).collect();
            format!("acceptor {} {}", record.transaction.id(), instances.join(", "))
        }
        Record::ResourceManager(record) => {
            let cast = record.vote.map_or("no vote", vote);
            let finished = record.finished.map(|how| format!(", finished {}", outcome(how))).unwrap_or_default();
            format!("rm {} {cast}{finished}", record.transaction.id())
        }
        Record::Retired(over) => format!("retired {}", range(over)),
        Record::Erased(Key::Acceptor(tx)) => format!("erased acceptor {tx}"),
        Record::Erased(Key::ResourceManager(tx)) => format!("erased rm {tx}"),
        Record::Erased(key) => format!("erased {key:?}"),
    }
}

fn instance(state: &paxos::AcceptorRecord<Vote>) -> String {
    let promised = state.promised.map(|ballot| ballot.to_string()).unwrap_or_default();
    let accepted = state.accepted.map_or("nothing".to_owned(), |(at, value)| format!("{} at {at}", vote(value)));
    format!("{promised}: {accepted}")
}

fn range(range: &TxRange) -> String {
    if range.is_single() { range.first().to_string() } else { format!("{} to {}", range.first(), range.last()) }
}

fn vote(vote: Vote) -> &'static str {
    match vote {
        Vote::Prepared => "prepared",
        Vote::Aborted => "aborted",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::Aborted => "aborted",
    }
}
