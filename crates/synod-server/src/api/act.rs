//! Commands: they change something.

use synod::{
    NodeId, TxId,
    commit::{EpochStatus, Membership, Outcome},
    perform::tokio::{Error, Handle},
};
use synod_grpc::CallError;

use super::{look, view};
use crate::{
    failure::{Exit, Failure},
    run::{Process, Slot},
};

/// Has a node drive `tx` to its outcome: one of this process, or another one.
pub(super) async fn inquire(process: &Process, tx: TxId) -> Result<view::Done, Failure> {
    let done = |at: NodeId| view::Done { tx: tx.to_string(), at: at.0 };
    for handle in process.handles() {
        if handle.inquire(tx).await.is_ok() {
            return Ok(done(handle.node()));
        }
    }
    let (mut silent, others) = (Vec::new(), process.others().await);
    for (node, address) in &others {
        let Ok(client) = process.client(*node, address) else { continue };
        match client.inquire(tx).await {
            Ok(()) => return Ok(done(*node)),
            Err(CallError::Unknown(_) | CallError::Forgotten(_) | CallError::Refused { .. }) => {}
            Err(_) => silent.push(address.as_str()),
        }
    }
    let remedy = "see `synod status` of this transaction: perhaps it is over already, or was never begun";
    let failure = Failure::new(Exit::Unknown, format!("transaction {tx} is not open at any node that answers"), remedy);
    if silent.is_empty() {
        Err(failure)
    } else {
        Err(failure.because(format!("these do not answer: {}", silent.join(", "))))
    }
}

/// Ends what is in doubt at a database of this process, by the operator's word.
pub(super) async fn resolve(process: &Process, tx: TxId, wish: view::Resolve) -> Result<view::Done, Failure> {
    let outcome = match &*wish.outcome {
        "commit" => Outcome::Committed,
        "abort" => Outcome::Aborted,
        other => {
            let remedy = "say commit or abort";
            return Err(Failure::new(Exit::Usage, format!("{other:?} is no outcome"), remedy));
        }
    };
    let mut places: Vec<Handle> = Vec::new();
    for handle in process.handles().filter(|handle| wish.at.is_none_or(|at| handle.node() == NodeId(at))) {
        let in_doubt = handle.in_doubt().await.unwrap_or_default();
        if in_doubt.iter().any(|each| each.transaction.id() == tx) {
            places.push(handle);
        }
    }
    let nowhere = || {
        let remedy = "see `synod in-doubt` for what is in doubt and at which database; then ask the process of \
         that agent (--node or --config)";
        let what = format!("transaction {tx} is not in doubt at a database of this process");
        Failure::new(Exit::Refused, what, remedy)
    };
    let place = &only(places, nowhere, || format!("transaction {tx} is in doubt at several databases here"))?;
    let seen = look::transaction(process, tx).await;
    let refused = |cause: &str, remedy: &str| {
        Err(Failure::new(Exit::Refused, format!("transaction {tx} is not ended by hand"), remedy).because(cause))
    };
    match (seen.answer, outcome) {
        (view::Ended::Committed, Outcome::Aborted) | (view::Ended::Aborted, Outcome::Committed) => {
            return refused(
                "the cluster knows that it ended the other way, and other databases have done that",
                "leave it: the agent carries out what the cluster says as soon as its database lets it",
            );
        }
        // Where an assumption is broken, the cluster has nothing more to say.
        (view::Ended::Undecided, _) if !is_violated(place, tx).await && has_majority(process, &seen).await => {
            return refused(
                "a majority of the members answers, so the cluster can decide it",
                "have it decided by all: `synod inquire` of this transaction",
            );
        }
        _ => {}
    }
    place.resolve(tx, outcome).await.map_err(|error| refused_by(&error, "the node does not end it"))?;
    tracing::warn!(%tx, ?outcome, at = %place.node(), "ended by an operator's word");
    Ok(view::Done { tx: tx.to_string(), at: place.node().0 })
}

/// Takes the branch of `tx` for done at a database of this process that has an alarm about it.
pub(super) async fn finished(process: &Process, tx: TxId, wish: view::Finished) -> Result<view::Done, Failure> {
    let named = |node: NodeId| wish.at.is_none_or(|at| node == NodeId(at));
    let alarmed = process.slots().iter().filter(|slot| {
        slot.database.as_ref().is_some_and(|database| database.alarms().iter().any(|alarm| alarm.tx == tx))
    });
    let places: Vec<Handle> = alarmed.filter_map(Slot::handle).filter(|handle| named(handle.node())).collect();
    let nowhere = || {
        let remedy = "see `synod status` for what is alarmed about and at which database; then ask the process of that agent \
         (--node or --config)";
        Failure::new(Exit::Refused, format!("no database of this process has an alarm about transaction {tx}"), remedy)
    };
    let place = only(places, nowhere, || format!("several databases here have an alarm about transaction {tx}"))?;
    place.finished(tx).await.map_err(|error| refused_by(&error, "the node does not take it for done"))?;
    tracing::warn!(%tx, at = %place.node(), "taken for done by an operator's word");
    Ok(view::Done { tx: tx.to_string(), at: place.node().0 })
}

/// The one place, if there is one.
fn only(
    mut places: Vec<Handle>,
    nowhere: impl FnOnce() -> Failure,
    several: impl FnOnce() -> String,
) -> Result<Handle, Failure> {
    let nodes: Vec<String> = places.iter().map(|handle| handle.node().0.to_string()).collect();
    match (places.pop(), &nodes[..]) {
        (Some(place), [_]) => Ok(place),
        (None, _) => Err(nowhere()),
        _ => Err(Failure::new(Exit::Usage, several(), format!("say at which: --at {}", nodes.join(" or --at ")))),
    }
}

async fn is_violated(place: &Handle, tx: TxId) -> bool {
    let violations = place.violations().await.unwrap_or_default();
    violations.iter().any(|each| each.transaction.id() == tx)
}

/// Whether so many members have answered that they can decide.
async fn has_majority(process: &Process, seen: &view::Transaction) -> bool {
    let Some(epoch) = process.epoch().await else { return false };
    let acceptors = &epoch.membership.acceptors;
    let voices = acceptors.members(seen.seen.iter().map(|seen| NodeId(seen.node)));
    acceptors.is_quorum(synod::Phase::Prepare, voices) && acceptors.is_quorum(synod::Phase::Accept, voices)
}

pub(super) async fn replace(process: &Process, wish: view::Replace) -> Result<view::Changing, Failure> {
    let (old, new) = (NodeId(wish.old), NodeId(wish.new));
    change(process, |epoch| {
        if !epoch.membership.is_member(old) {
            let remedy = "see `synod members` for who is";
            return Err(Failure::new(Exit::Refused, format!("node {} is no member", old.0), remedy));
        }
        if epoch.membership.is_member(new) {
            let remedy = "name a node whose number was never used: `synod join` makes its folder";
            return Err(Failure::new(Exit::Refused, format!("node {} is a member already", new.0), remedy));
        }
        if crate::config::address(&wish.address).is_none() {
            let remedy = "write a host and a port, such as d.example:7401";
            return Err(Failure::new(Exit::Usage, format!("{:?} is no address", wish.address), remedy));
        }
        Ok(epoch.membership.replace(old, new).with_contact(new, format!("https://{}", wish.address)))
    })
    .await
}

pub(super) async fn depart(process: &Process, wish: view::Depart) -> Result<view::Changing, Failure> {
    let node = NodeId(wish.node);
    change(process, |epoch| {
        if epoch.membership.is_member(node) {
            let remedy = "a member is replaced: `synod replace`";
            return Err(Failure::new(Exit::Refused, format!("node {} is a member", node.0), remedy));
        }
        if epoch.membership.departed.contains(&node) {
            return Err(Failure::new(
                Exit::Refused,
                format!("node {} is written off already", node.0),
                "there is nothing to do",
            ));
        }
        Ok(epoch.membership.clone().with_departed(node))
    })
    .await
}

async fn change(
    process: &Process,
    next: impl Fn(&EpochStatus) -> Result<Membership, Failure>,
) -> Result<view::Changing, Failure> {
    for handle in process.handles() {
        let Ok(Some(epoch)) = handle.epoch().await else { continue };
        if !epoch.membership.is_member(handle.node()) {
            continue;
        }
        let next = next(&epoch)?;
        handle.change(next).await.map_err(|error| refused_by(&error, "the members are not changed"))?;
        return Ok(view::Changing { from: epoch.number });
    }
    let remedy = "ask the process of a member: --node URL, or --config node.toml; `synod members` says who they are";
    Err(Failure::new(Exit::Refused, "no node of this process is a member", remedy))
}

fn refused_by(error: &Error, what: &str) -> Failure {
    let remedy = match error {
        Error::Refused(synod::Refusal::FormerMember) => {
            "choose a number that was never used: an id is a member's only once"
        }
        Error::Refused(synod::Refusal::Departed) => {
            "a participant that was written off stays so: choose another number"
        }
        Error::Stalled => "a write hangs at this node: ask another one",
        _ => "see docs/OPERATING.md, \"When it does not go on\"",
    };
    Failure::new(Exit::Refused, what, remedy).caused_by(error)
}
