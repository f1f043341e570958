//! A transfer, and how it travels as a transaction.

use std::fmt;

use synod::{
    NodeId, TxId,
    commit::{Meta, Transaction, TransactionError},
};

use crate::{cast::Cast, money::Cents};

/// The number of an account. Its home is the branch of this number modulo the number of branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Account(pub(crate) u32);

/// What a transfer does to one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) account: Account,
    /// Below zero it is taken from the account, above zero it is given.
    pub(crate) amount: Cents,
}

/// One transfer: several legs whose sum is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: u64,
    pub(crate) legs: Vec<Leg>,
}

/// The origin of all transaction names of this bank: its customers' own numbering, by the ids of transfers. So a transfer
/// that is begun twice is the same transaction twice, and goes through once.
const CUSTOMERS: NodeId = NodeId(0);

impl Transfer {
    pub(crate) fn tx(&self) -> TxId {
        TxId { origin: CUSTOMERS, seq: self.id }
    }

    /// The transaction that carries this transfer out, and its content: the legs.
    pub(crate) fn transaction(&self, cast: &Cast) -> Result<(Transaction, Meta), TransactionError> {
        let meta = Meta::from(Self::encode_legs(&self.legs));
        Ok((Transaction::new(self.tx(), self.branches(cast), meta.clone())?, meta))
    }

    /// The branches that take part, in order.
    pub(crate) fn branches(&self, cast: &Cast) -> Vec<NodeId> {
        let mut branches: Vec<_> = self.legs.iter().map(|leg| cast.home(leg.account)).collect();
        branches.sort_unstable();
        branches.dedup();
        branches
    }

    /// Legs as bytes: of each the account and the amount, big-endian.
    pub(crate) fn encode_legs(legs: &[Leg]) -> Vec<u8> {
        let leg = |leg: &Leg| leg.account.0.to_be_bytes().into_iter().chain(leg.amount.0.to_be_bytes());
        legs.iter().flat_map(leg).collect()
    }

    pub(crate) fn decode_legs(bytes: &[u8]) -> Vec<Leg> {
        let leg = |bytes: &[u8; 12]| {
            let [account @ .., _, _, _, _, _, _, _, _] = *bytes;
            let [_, _, _, _, amount @ ..] = *bytes;
            Leg { account: Account(u32::from_be_bytes(account)), amount: Cents(i64::from_be_bytes(amount)) }
        };
        bytes.as_chunks().0.iter().map(leg).collect()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
