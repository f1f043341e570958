//! A property that does not judge what may be hurt: one that follows a transaction from node to node.

use super::{Hurt, Observation, Property, Violation, begun, name_in};
use crate::{
    TxId,
    commit::{Input, Key, Message, Record},
};

struct Spared<P>(P);

/// `property`, which is not shown what may be hurt, if anything may.
pub(super) fn by<P: Property + 'static>(hurt: Option<Hurt>, property: P) -> Box<dyn Property> {
    if hurt.is_some() { Box::new(Spared(property)) } else { Box::new(property) }
}

impl<P: Property> Property for Spared<P> {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if about(observation).is_some_and(Hurt::may_hit) { Ok(()) } else { self.0.observe(observation) }
    }

    fn finish(&mut self) -> Result<(), Violation> {
        self.0.finish()
    }
}

/// The one transaction that is seen, if it is one.
fn about(observation: &Observation<'_>) -> Option<TxId> {
    match observation {
        Observation::Stepped { input, .. } | Observation::Refused { input, .. } => {
            begun(observation).map(|begun| begun.tx).or_else(|| taken(input))
        }
        Observation::Durable { record, .. } => written(record),
        Observation::Sent { message, .. } => said(message),
        Observation::Decided { decision, .. } => name_in(decision),
        Observation::Remembered { tx, .. }
        | Observation::Lied { tx, .. }
        | Observation::Held { tx, .. }
        | Observation::Voted { tx, .. }
        | Observation::LetGo { tx, .. } => Some(*tx),
        Observation::Stopped { .. } | Observation::Started { .. } | Observation::Damaged { .. } => None,
    }
}

fn taken(input: &Input) -> Option<TxId> {
    match input {
        Input::BeginAs { transaction, .. } | Input::Vote { transaction, .. } | Input::Prepared { transaction, .. } => {
            Some(transaction.id())
        }
        Input::Finished(tx) | Input::Inquire(tx) | Input::Patience { tx, .. } | Input::Resolve { tx, .. } => Some(*tx),
        Input::Receive { message, .. } => said(message),
        Input::Begin { .. } | Input::Names { .. } | Input::Tick(_) | Input::Met { .. } | Input::Change(_) => None,
    }
}

fn said(message: &Message) -> Option<TxId> {
    message.transaction().map(|transaction| transaction.id())
}

fn written(record: &Record) -> Option<TxId> {
    match record.key() {
        Key::Acceptor(tx) | Key::ResourceManager(tx) => Some(tx),
        _ => None,
    }
}
