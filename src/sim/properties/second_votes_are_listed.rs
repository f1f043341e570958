//! A resource manager that votes twice, and differently, can hurt others. An acceptor that has its first vote refuses the
//! second one, counts that, and lists the transaction.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, require};
use crate::{
    NodeId, Refusal, TxId,
    commit::{Input, Message, Node, Transaction, ViolationReason, Vote, What},
};

#[derive(Default)]
pub(super) struct SecondVotesAreListed {
    /// Which vote each acceptor has taken from which resource manager, in its present life.
    taken: BTreeMap<(NodeId, TxId, NodeId), Vote>,
}

const NAME: &str = "second votes are listed";

/// A vote that comes to an acceptor.
fn vote_in(input: &Input) -> Option<(&Transaction, NodeId, Vote)> {
    match input {
        Input::Receive { from, message: Message::About { transaction, what: What::Vote { vote, .. } } } => {
            Some((transaction, *from, *vote))
        }
        _ => None,
    }
}

fn lists(node: &Node, transaction: &Transaction) -> bool {
    let mut listed = node.violations().into_iter();
    listed.any(|listed| listed.transaction == *transaction && listed.reason == ViolationReason::SecondVote)
}

impl Property for SecondVotesAreListed {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Stopped { at } => {
                self.taken.retain(|(node, ..), _| node != at);
                Ok(())
            }
            Observation::Stepped { at, input, verdict: Ok(()), .. } => {
                let Some((transaction, from, vote)) = vote_in(input) else { return Ok(()) };
                let first = *self.taken.entry((*at, transaction.id(), from)).or_insert(vote);
                require(NAME, first == vote, || format!("{at} takes {vote:?} of {from}, which has voted {first:?}"))
            }
            Observation::Refused { at, input, refusal: Refusal::SecondValue, before, after } => {
                let Some((transaction, from, vote)) = vote_in(input) else { return Ok(()) };
                let count = |node: &Node| node.metrics().refused(Refusal::SecondValue);
                let noticed = count(after) > count(before) && lists(after, transaction);
                require(NAME, noticed, || format!("{at} does not list the second vote {vote:?} of {from}"))
            }
            _ => Ok(()),
        }
    }
}
