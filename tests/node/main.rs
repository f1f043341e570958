//! What a node does, and what it refuses to do.

#[path = "../support/mod.rs"]
mod support;

mod afterwards;
mod asleep;
mod beginning;
mod bundles;
mod contacts;
mod deciding;
mod declining;
mod determinism;
mod elsewhere;
mod epochs;
mod finishing;
mod handover;
mod history;
mod invited;
mod later_epochs;
mod left_over;
mod limits;
mod old_epochs;
mod packets;
mod patience;
mod peers;
mod promises;
mod refusals;
mod roles;
mod shown;
mod telling;
mod time;
mod turns;
mod used_twice;
mod violations;
mod words;

use support::{RMS, TMS, node, say, transaction};
use synod::{
    Effect, Machine, NodeId,
    commit::{self, Decision, Input, Node, Outcome, Vote},
};

/// A resource manager that is prepared, on behalf of the first transaction manager.
fn prepared(at: NodeId) -> Node {
    let mut rm = node(at);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Prepared });
    rm
}

/// A transaction manager that began a transaction, learned its outcome, and was told by all resource managers that they have finished, by the last one just now.
fn completed(outcome: Outcome) -> (Node, Vec<commit::Effect>) {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm.step(say::from(TMS[1], say::outcome(&transaction(1), outcome)));
    let effects = RMS.map(|rm| tm.step(say::from(rm, say::finished(&transaction(1), outcome))));
    (tm, effects.into_iter().next_back().unwrap())
}

fn decisions(effects: &[commit::Effect]) -> Vec<Decision> {
    let decision =
        |effect: &_| if let Effect::Decide(decision) = effect { Some(Decision::clone(decision)) } else { None };
    effects.iter().filter_map(decision).collect()
}

/// Whom `effects` send something to.
fn addressees(effects: &[commit::Effect]) -> Vec<NodeId> {
    say::sends(effects).into_iter().map(|(to, _)| to).collect()
}
