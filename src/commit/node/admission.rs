//! Which inputs a node refuses, and why.

use alloc::vec::Vec;

use super::{
    super::{Config, Input, Message, ResourceManagerInput, Transaction, TxRange, open::Open},
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
    /// Why `input` would be refused.
    pub fn check(&self, input: &Input) -> Result<(), Refusal> {
        match input {
            Input::Begin(transaction) => {
                self.check_begin(transaction)?;
                let known = self.known(transaction.id())?;
                self.check_known(known, transaction, Work::New)
            }
            Input::Vote { tx, vote } => {
                let open = self.known(*tx)?.ok_or(Refusal::UnknownTransaction)?;
                let rm = open.rm.as_ref().ok_or(Refusal::UnknownTransaction)?;
                rm.check(&ResourceManagerInput::Vote(*vote))
            }
            Input::Finished(tx) => {
                let open = self.known(*tx)?.ok_or(Refusal::UnknownTransaction)?;
                let rm = open.rm.as_ref().ok_or(Refusal::UnknownTransaction)?;
                rm.check(&ResourceManagerInput::Finished)
            }
            Input::Inquire(tx) => self.known(*tx)?.map(|_| ()).ok_or(Refusal::UnknownTransaction),
            Input::Receive { from, .. } if *from == self.config.id => Err(Refusal::FromSelf),
            Input::Receive { from, message } => self.check_message(*from, message),
            Input::Tick(now) if self.now.is_some_and(|last| *now < last) => Err(Refusal::TimeWentBack),
            Input::Tick(_) => Ok(()),
        }
    }

    pub(super) fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Retired { range } => {
                self.check_may_retire(from, *range)?;
                let mut open = Vec::new();
                self.open_in(*range, &mut open);
                let over = range.without_all(self.staying(&open)).next();
                return over.map(drop).ok_or(Refusal::RetiredUnfinished);
            }
            Message::RetiredNoted { .. } if self.config.cluster.keeps_retired(from) => return Ok(()),
            Message::RetiredNoted { .. } => return Err(Refusal::NotAnAcceptor),
            _ => {}
        }
        let transaction = message.transaction().ok_or(Refusal::NotForThisRole)?;
        let known = self.known(transaction.id())?;
        self.check_known(known, transaction, Work::of(message))?;
        match known {
            Some(open) => open.check(&self.config, from, message),
            None => Open::new(transaction.clone()).check(&self.config, from, message),
        }
    }

    /// The transaction `tx`, if it is open; an error if it is over.
    pub(super) fn known(&self, tx: TxId) -> Result<Option<&Open>, Refusal> {
        match self.open.get(tx) {
            None if self.retired.contains(tx) => Err(Refusal::Retired),
            open => Ok(open),
        }
    }

    fn check_known(&self, known: Option<&Open>, transaction: &Transaction, work: Work) -> Result<(), Refusal> {
        match known {
            Some(open) if open.transaction != *transaction => Err(Refusal::OtherTransaction),
            Some(_) => Ok(()),
            None => check_room(&self.config, self.open.len(), transaction, work),
        }
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
