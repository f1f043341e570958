//! Which inputs a node refuses, and why.

use super::{
    super::{Config, Message, Transaction, TxRange, open::Open},
    Node,
};
use crate::{NodeId, Refusal, TxId};

/// How many times as many transactions may be open to bring old work to its end as there may be for new work: enough
/// that overloaded nodes never keep each other's transactions from ending, and still a bound.
const ROOM_FOR_OLD_WORK: usize = 64;

/// What a transaction would be opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It begins, or comes here for the first time.
    New,
    /// It was admitted elsewhere, and is on its way to its end.
    Old,
}

impl Work {
    pub(super) fn of(message: &Message) -> Self {
        match message {
            Message::Begin { .. } | Message::Prepare { .. } | Message::Vote { .. } => Self::New,
            _ => Self::Old,
        }
    }
}

/// Why a transaction cannot be opened for `work` while so many are `open`.
pub(super) fn check_room(config: &Config, open: usize, transaction: &Transaction, work: Work) -> Result<(), Refusal> {
    let limits = config.cluster.limits();
    let room = match work {
        Work::Old => limits.open.saturating_mul(ROOM_FOR_OLD_WORK),
        Work::New if transaction.participants().len() > limits.participants => {
            return Err(Refusal::TooManyParticipants);
        }
        Work::New if transaction.meta().len() > limits.meta => return Err(Refusal::MetaTooLong),
        Work::New => limits.open,
    };
    if open >= room { Err(Refusal::TooManyOpen) } else { Ok(()) }
}

impl Node {
    /// The transaction `tx`, if it is open; an error if it is over.
    fn known(&self, tx: TxId) -> Result<Option<&Open>, Refusal> {
        match self.open.get(tx) {
            None if self.retired.contains(tx) => Err(Refusal::Retired),
            open => Ok(open),
        }
    }

    /// Why a new transaction with the participants and the content of `transaction` could not begin here.
    #[cfg(feature = "tokio")]
    pub(crate) fn check_new(&self, transaction: &Transaction) -> Result<(), Refusal> {
        self.check_begin(transaction)?;
        check_room(&self.config, self.open.len(), transaction, Work::New)
    }

    pub(super) fn check_begin(&self, transaction: &Transaction) -> Result<(), Refusal> {
        if self.config.cluster.is_manager(self.config.id) || transaction.has(self.config.id) {
            Ok(())
        } else {
            Err(Refusal::NotAManager)
        }
    }

    /// Why a node may not say that `range` is over.
    pub(super) fn check_may_retire(&self, from: NodeId, range: TxRange) -> Result<(), Refusal> {
        if self.config.cluster.is_manager(from) {
            return Ok(());
        }
        if !range.is_single() {
            return Err(Refusal::WideRange);
        }
        let open = self.known(range.first())?.ok_or(Refusal::UnknownTransaction)?;
        if self.config.cluster.acceptors().contains(from) || open.transaction.has(from) {
            Ok(())
        } else {
            Err(Refusal::NotAParticipant)
        }
    }
}
