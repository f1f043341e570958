//! Questions: they change nothing.

use std::{sync::Arc, time::Duration};

use synod::{
    NodeId, TxId,
    commit::{Outcome, ResourceManagerState, Status},
};
use synod_grpc::{CallError, Client, Fault};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{view, why::Case};
use crate::{
    failure::{Exit, Failure, chain},
    run::{Process, Slot},
};

/// How long a node of this process may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_000);

/// How many open transactions are looked through for one.
const MOST: usize = 100_000;

pub(super) fn seconds(age: u64) -> f64 {
    // The unit of time-outs is a millisecond.
    age as f64 / 1_000.0
}

pub(super) fn numbers<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<u64> {
    nodes.into_iter().map(|node| node.0).collect()
}

pub(crate) async fn status(process: &Process) -> view::Status {
    let mut nodes = Vec::new();
    for slot in process.slots() {
        nodes.push(node(process, slot).await);
    }
    view::Status {
        cluster: process.config().cluster.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        file: process.path().display().to_string(),
        not_ready: process.not_ready().await,
        nodes,
    }
}

async fn node(process: &Process, slot: &Slot) -> view::Node {
    let role = match (&slot.database, slot.config.join) {
        (Some(_), _) => "agent",
        (None, true) => "newcomer",
        (None, false) => "member",
    };
    let mut node = view::Node {
        node: slot.id().0,
        role: role.into(),
        state: "starting".into(),
        why: slot.away(),
        database: slot.config.database.as_ref().map(crate::config::Url::without_password),
        epoch: None,
        open: 0,
        in_doubt: 0,
        oldest_in_doubt_seconds: 0.0,
        violations: Vec::new(),
        alarms: Vec::new(),
        refused: refused(slot),
        certificate_days_left: slot.tls.days_left(),
        members: Vec::new(),
    };
    if let Some(database) = &slot.database {
        let alarms = database.alarms().into_iter();
        node.alarms = alarms.map(|alarm| format!("{}: {}", alarm.tx, alarm.kind)).collect();
    }
    let Some(handle) = slot.handle() else {
        if node.why.is_some() {
            node.state = "away".into();
        }
        return node;
    };
    let asked = async {
        let (metrics, in_doubt) = (handle.metrics().await?, handle.in_doubt().await?);
        Ok((metrics, in_doubt, handle.violations().await?, handle.epoch().await?))
    };
    let (metrics, in_doubt, violations, epoch) = match timeout(PATIENCE, asked).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => {
            let error: synod::perform::tokio::Error = error;
            (node.state, node.why) = ("silent".into(), Some(chain(&error)));
            return node;
        }
        Err(_) => {
            (node.state, node.why) = ("silent".into(), Some("it does not answer: a write may hang".into()));
            return node;
        }
    };
    node.state = if node.why.is_none() { "running".into() } else { "away".into() };
    (node.open, node.in_doubt) = (metrics.open, in_doubt.len());
    node.oldest_in_doubt_seconds = seconds(in_doubt.iter().map(|each| each.age).max().unwrap_or(0));
    let violations = violations.into_iter();
    node.violations = violations.map(|each| format!("{}: {}", each.transaction.id(), each.reason)).collect();
    if let Some(epoch) = epoch {
        node.epoch = Some(epoch.number);
        node.role = match (&slot.database, epoch.membership.is_member(slot.id())) {
            (_, true) => "member",
            (Some(_), false) => "agent",
            (None, false) if epoch.left.contains(&slot.id()) => "former member",
            (None, false) => "newcomer",
        }
        .into();
        let peers = slot.peers();
        let others = epoch.membership.members().into_iter().filter(|other| *other != slot.id());
        node.members = others
            .map(|other| {
                let stats = peers.as_ref().and_then(|peers| peers.stats(other)).unwrap_or_default();
                let connected = stats.connected || process.is_here(other);
                view::Peer { node: other.0, connected, disagreements: stats.disagreements }
            })
            .collect();
    }
    node
}

/// That other nodes were refused because of what they are.
fn refused(slot: &Slot) -> Vec<String> {
    let Some(stats) = slot.server_stats() else { return Vec::new() };
    let reasons = [
        (
            Fault::OtherBirth,
            "a node that has lost its records, or another machine under its number: see the log, and replace it",
        ),
        (Fault::Departed, "a node that was written off: see the log, and end its process"),
        (Fault::RunsTwice, "the older one of two processes of one node: see the log, and end one of them"),
        (Fault::OtherMembership, "a node that names other members: see the log, and compare the files"),
    ];
    let reasons = reasons.into_iter().map(|(fault, said)| (stats.faults(fault), said));
    reasons.filter(|(count, _)| *count > 0).map(|(count, said)| format!("{said} ({count} times)")).collect()
}

/// Asks all other nodes at once.
pub(super) async fn ask_others<T: Send + 'static, F>(
    process: &Process,
    others: Vec<(NodeId, String)>,
    ask: impl Fn(Client) -> F,
) -> (Vec<(NodeId, T)>, Vec<view::Silent>)
where
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    let (mut answers, mut silent, mut asked) = (Vec::new(), Vec::new(), JoinSet::new());
    let start = Instant::now();
    for (node, address) in others {
        match process.client(node, &address) {
            Ok(client) => {
                let answer = ask(client);
                asked.spawn(async move { (node, address, answer.await) });
            }
            Err(error) => silent.push(view::Silent { node: node.0, address, why: chain(&error) }),
        }
    }
    while let Some(asked) = asked.join_next().await {
        match asked {
            Ok((node, _, Ok(answer))) => {
                process.silences.heard(node);
                answers.push((node, answer));
            }
            Ok((node, address, Err(error))) => {
                process.silences.missed(node, start);
                silent.push(view::Silent { node: node.0, address, why: why(&error) });
            }
            // It has panicked, and says so in the log.
            Err(_) => {}
        }
    }
    answers.sort_by_key(|(node, _)| *node);
    silent.sort_by_key(|silent| silent.node);
    (answers, silent)
}

/// Why a node is silent, in few words.
fn why(error: &CallError) -> String {
    match error {
        CallError::Deadline => "no answer came in time".into(),
        CallError::Failed(status) => status.message().to_owned(),
        error => chain(error),
    }
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::Aborted => "aborted",
    }
}

fn says(status: Status) -> String {
    match status {
        Status::Unknown => "nothing".into(),
        Status::Open { outcome: Some(outcome), .. } => format!("{}; not yet carried out everywhere", word(outcome)),
        Status::Open { state: Some(state), .. } => format!("open; {state:?} here").to_lowercase(),
        Status::Open { state: None, .. } => "open".into(),
        Status::Retired { outcome: Some(outcome) } => format!("{}; over everywhere", word(outcome)),
        Status::Retired { outcome: None } => "over; how, it does not know".into(),
        Status::Fenced(fence) => format!("silent about it, for an invariant broke: {fence:?}"),
    }
}

pub(crate) async fn transaction(process: &Process, tx: TxId) -> view::Transaction {
    let (mut known, mut moments, mut case) = (Vec::new(), Vec::new(), Case::default());
    for handle in process.handles() {
        let Ok(Ok(status)) = timeout(PATIENCE, handle.status(tx)).await else { continue };
        let node = handle.node();
        known.push((node, status));
        if matches!(status, Status::Open { .. } | Status::Fenced(_)) {
            let open = timeout(PATIENCE, handle.open(MOST)).await.ok().and_then(Result::ok).unwrap_or_default();
            if let Some(each) = open.into_iter().find(|each| each.transaction.id() == tx) {
                moments.push(view::Moment { node: node.0, what: view::What::Heard, ago_seconds: seconds(each.age) });
                case.add_open(node, &each);
            }
        }
        if let Ok(Ok(violations)) = timeout(PATIENCE, handle.violations()).await
            && let Some(violation) = violations.iter().find(|each| each.transaction.id() == tx)
        {
            case.trouble = Some(violation.reason.to_string());
        }
        moments.extend(super::recent::moments(&handle, tx).await);
    }
    let mut silent = Vec::new();
    if known.iter().all(|(_, status)| status.outcome().is_none()) {
        let ask = move |client: Client| async move {
            match client.status(tx).await {
                Err(CallError::Unknown(_)) => Ok(Status::Unknown),
                Err(CallError::Forgotten(_)) => Ok(Status::Retired { outcome: None }),
                status => status,
            }
        };
        let (answers, quiet) = ask_others(process, process.others().await, ask).await;
        answers.iter().for_each(|(node, status)| case.add_status(*node, *status));
        known.extend(answers);
        silent = quiet;
    }
    let outcome = known.iter().find_map(|(_, status)| status.outcome());
    let any = |is: fn(&Status) -> bool| known.iter().any(|(_, status)| is(status));
    let is_open = any(|status| matches!(status, Status::Open { .. } | Status::Fenced(_)));
    let answer = match outcome {
        Some(Outcome::Committed) => view::Ended::Committed,
        Some(Outcome::Aborted) => view::Ended::Aborted,
        None if is_open => view::Ended::Undecided,
        None if any(|status| status.is_retired()) => view::Ended::Forgotten,
        None => view::Ended::Unknown,
    };
    moments.sort_by(|one, other| {
        other.ago_seconds.total_cmp(&one.ago_seconds).then(one.what.cmp(&other.what)).then(one.node.cmp(&other.node))
    });
    let is_here = !case.participants.is_empty();
    view::Transaction {
        tx: tx.to_string(),
        answer,
        participants: case.participants.clone(),
        age_seconds: is_here.then_some(case.age),
        waits_for: case.waits_for.iter().copied().collect(),
        why: match is_open && is_here {
            true => Some(case.why(&super::waiting::around(process).await)),
            false => None,
        },
        seen: known.into_iter().map(|(node, status)| seen(node, status)).collect(),
        silent,
        moments,
    }
}

fn seen(node: NodeId, status: Status) -> view::Seen {
    let is_in_doubt = matches!(status, Status::Open { state: Some(ResourceManagerState::Prepared), outcome: None });
    view::Seen { node: node.0, says: says(status), is_in_doubt }
}

pub(super) async fn members(process: &Arc<Process>) -> Result<view::Members, Failure> {
    let Some(epoch) = process.epoch().await else {
        let remedy = "see that the members run and can be reached: `synod status` says who is connected";
        return Err(Failure::new(Exit::Unreachable, "the members are not known here yet", remedy));
    };
    let contacts = &epoch.membership.contacts;
    let answers = |node: &NodeId| {
        let stats = process.slots().iter().find_map(|slot| slot.peers()?.stats(*node));
        process.is_here(*node) || stats.is_some_and(|stats| stats.connected)
    };
    let members = epoch.membership.members().into_iter().map(|node| view::Member {
        node: node.0,
        address: contacts.get(&node).map(|contact| String::from_utf8_lossy(contact).into_owned()).unwrap_or_default(),
        answers: answers(&node),
    });
    Ok(view::Members {
        epoch: epoch.number,
        members: members.collect(),
        left: numbers(&epoch.left),
        may_leave: epoch.may_leave,
        is_changing: epoch.is_changing,
        awaited: numbers(&epoch.awaited),
        departed: numbers(&epoch.membership.departed),
    })
}
