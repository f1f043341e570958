//! Effects in words.

use synod::{
    Ballot, NodeId,
    commit::{
        Acceptance, AcceptorRecord, Decision, Effect, Entry, EpochMessage, Key, Membership, Message, Obstacle, Outcome,
        OutcomeBlock, Page, Places, Record, Status, Transaction, TxRange, Vote, Votes, What,
    },
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
        Status::Retired { outcome: None } => "is over".into(),
        Status::Retired { outcome: Some(how) } => format!("is over, {}", outcome(how)),
        Status::Fenced(fence) => format!("is fenced: {fence}"),
    }
}

fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Begun(tx) => format!("begun {tx}"),
        Decision::Vote { transaction, .. } => format!("vote? {}", transaction.id()),
        Decision::Commit { transaction, .. } => format!("commit {}", transaction.id()),
        Decision::Abort { transaction, .. } => format!("abort {}", transaction.id()),
        Decision::Decided { tx, outcome: how } => format!("{tx} is decided: {}", outcome(*how)),
        Decision::Completed { tx, outcome: how } => format!("{tx} is completed: {}", outcome(*how)),
        Decision::Forget(over) => format!("forget {}", range(over)),
        Decision::Named(given) if given.epoch == 0 => format!("names {}", range(&given.names)),
        Decision::Named(given) => format!("names {} of epoch {}", range(&given.names), given.epoch),
        Decision::Epoch { number, membership } => format!("epoch {number} of {}", members(membership)),
        Decision::Changed { number, is_mine: true } => format!("changed, as asked for, to epoch {number}"),
        Decision::Changed { number, .. } => format!("changed, in another way, to epoch {number}"),
    }
}

fn message(message: &Message) -> String {
    match message {
        Message::About { transaction, what } => about(transaction, what),
        Message::Retired { range: over, outcomes } if outcomes.blocks().is_empty() => {
            format!("retired {}", range(over))
        }
        Message::Retired { range: over, outcomes } => {
            format!("retired {}: {}", range(over), ended(outcomes.blocks()))
        }
        Message::RetiredNoted { range: over } => format!("retired-noted {}", range(over)),
        Message::Epoch { number, what } => {
            format!("epoch {}: {}", number.map_or("none".to_owned(), |number| number.to_string()), of_epoch(what))
        }
    }
}

fn of_epoch(what: &EpochMessage) -> String {
    match what {
        EpochMessage::Invite(membership) => format!("invite {}", members(membership)),
        EpochMessage::Ready => "ready".into(),
        EpochMessage::Hold => "hold".into(),
        EpochMessage::Prepare { ballot } => format!("1a {ballot}"),
        EpochMessage::Promise { ballot, accepted: None, page } => format!("1b {ballot}: {}", entries(page)),
        EpochMessage::Promise { ballot, accepted: Some((at, membership)), page } => {
            format!("1b {ballot}: {} at {at}, {}", members(membership), entries(page))
        }
        EpochMessage::Accept { ballot, membership, page } => {
            format!("2a {ballot}: {}, {}", members(membership), entries(page))
        }
        EpochMessage::Accepted { ballot } => format!("2b {ballot}"),
        EpochMessage::Reject { ballot, promised } => format!("no {ballot}: promised {promised}"),
        EpochMessage::Frozen { promised } => format!("frozen at {promised}"),
        EpochMessage::More { next, .. } => format!("more from {next}"),
        EpochMessage::Newer => "newer".into(),
        EpochMessage::Wanted => "wanted".into(),
        EpochMessage::Told { membership, page, .. } => format!("told {}, {}", members(membership), entries(page)),
        EpochMessage::Noted => "noted".into(),
        EpochMessage::Drained => "drained".into(),
    }
}

fn members(membership: &Membership) -> String {
    list(membership.members())
}

fn entries(page: &Page) -> String {
    let each = page.entries.iter().map(|entry| match entry {
        Entry::Ready(transaction) => format!("ready {}", transaction.tx),
        Entry::Part(part) => {
            let instance = |state: &Option<(Ballot, Vote)>| state.map_or("nothing".to_owned(), value_at);
            format!("{}[{}]", part.transaction.tx, list(part.instances.iter().map(instance)))
        }
        Entry::Committed(transaction) => format!("committed {}", transaction.tx),
        Entry::Retired(over) => format!("retired {}", range(over)),
        Entry::Peer { node, .. } => format!("peer {node}"),
    });
    let all = list(each);
    if all.is_empty() { "nothing".into() } else { all }
}

/// In the paper's words: phases by their numbers, and what each says of an instance behind the instance's name.
fn about(transaction: &Transaction, what: &What) -> String {
    let tx = transaction.id();
    match what {
        What::Begin { .. } => format!("begin {tx}"),
        What::Prepare { .. } => format!("prepare {tx}"),
        What::Vote { vote: cast, manager } => format!("vote {tx} {} (tell {manager})", vote(*cast)),
        What::Phase1a { ballot, instances } => format!("1a {tx} {ballot}: {}", list(names(transaction, instances))),
        What::Phase1b { ballot, promises } => {
            let accepted = accepted(transaction, &promises.votes, &promises.higher);
            let told = |rm| accepted.iter().find(|(of, ..)| *of == rm).map(|(_, at, vote)| (*at, *vote));
            let promise = |rm| format!("{rm}[{}]", told(rm).map_or("nothing".to_owned(), value_at));
            format!("1b {tx} {ballot}: {}", list(names(transaction, &promises.instances).map(promise)))
        }
        What::Phase2a { ballot, votes } => {
            let cast =
                votes.iter().map(|(place, cast)| format!("{}[{}]", transaction.participants()[place], vote(cast)));
            format!("2a {tx} {ballot}: {}", list(cast))
        }
        What::Phase2b { votes, higher } => {
            let accepted = accepted(transaction, votes, higher).into_iter();
            format!("2b {tx} {}", list(accepted.map(|(rm, at, vote)| format!("{rm}[{}]", value_at((at, vote))))))
        }
        What::Reject { ballot, promised } => {
            let obstacles = promised.iter().map(|Obstacle { rm, promised }| format!("{rm}[promised {promised}]"));
            format!("no {tx} {ballot}: {}", list(obstacles))
        }
        What::Inquire => format!("inquire {tx}"),
        What::Decline => format!("decline {tx}"),
        What::Wait => format!("wait {tx}"),
        What::OtherTransaction => format!("other {tx}"),
        What::Outcome(how) => format!("outcome {tx} {}", outcome(*how)),
        What::Finished(how) => format!("finished {tx} {}", outcome(*how)),
    }
}

fn names(transaction: &Transaction, places: &Places) -> impl Iterator<Item = NodeId> {
    places.iter().map(|place| transaction.participants()[place])
}

/// What is accepted in each instance, in order of resource managers.
fn accepted(transaction: &Transaction, votes: &Votes, higher: &[Acceptance]) -> Vec<(NodeId, Ballot, Vote)> {
    let initial = votes.iter().map(|(place, vote)| {
        let rm = transaction.participants()[place];
        (rm, Ballot::initial(rm), vote)
    });
    let higher = higher.iter().map(|accepted| (accepted.rm, accepted.ballot, accepted.vote));
    let mut all: Vec<_> = initial.chain(higher).collect();
    all.sort_unstable_by_key(|(rm, ..)| *rm);
    all
}

fn value_at((at, value): (Ballot, Vote)) -> String {
    format!("{} at {at}", vote(value))
}

/// How transactions ended, as a message or a history says.
fn ended<'a>(blocks: impl IntoIterator<Item = &'a OutcomeBlock>) -> String {
    let each = blocks.into_iter().flat_map(OutcomeBlock::iter);
    list(each.map(|(tx, how)| format!("{tx} {}", outcome(how))))
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn record(record: &Record) -> String {
    match record {
        Record::Identity { node, .. } => format!("identity {node}"),
        Record::Sequence { reserved } => format!("sequence {reserved}"),
        Record::Rounds { reserved } => format!("rounds {reserved}"),
        Record::Acceptor(record) => format!("acceptor {} {}", record.transaction.id(), list(instances(record))),
        Record::ResourceManager(record) => {
            let cast = record.vote.map_or("no vote", vote);
            let finished = record.finished.map(|how| format!(", finished {}", outcome(how))).unwrap_or_default();
            format!("rm {} {cast}{finished}", record.transaction.id())
        }
        Record::Retired(over) => format!("retired {}", range(over)),
        Record::Erased(Key::Acceptor(tx)) => format!("erased acceptor {tx}"),
        Record::Erased(Key::ResourceManager(tx)) => format!("erased rm {tx}"),
        Record::Erased(key) => format!("erased {key:?}"),
        Record::Resolutions { count } => format!("{count} resolved"),
        Record::Birth(birth) => format!("birth {birth}"),
        Record::Peer { node, birth } => format!("peer {node}, birth {birth}"),
        Record::Resolved { record, outcome: how } => format!("resolved {} {}", record.transaction.id(), outcome(*how)),
        Record::History { outcomes, .. } => format!("history {}", ended([outcomes])),
        Record::Epoch { number, membership, .. } => format!("epoch {number} of {}", members(membership)),
        Record::Handover { epoch, state } => {
            let promised = state.promised.map(|ballot| ballot.to_string()).unwrap_or_default();
            let accepted =
                state.accepted.as_ref().map(|(at, ending)| format!("{} at {at}", members(&ending.membership)));
            format!("handover {epoch} {promised}: {}", accepted.unwrap_or("nothing".into()))
        }
    }
}

fn instances(record: &AcceptorRecord) -> impl Iterator<Item = String> {
    let participants = record.transaction.participants().iter().enumerate();
    participants.filter_map(|(place, rm)| Some(format!("{rm}[{}]", instance(&record.instance(place)?))))
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
