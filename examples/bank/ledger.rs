//! One branch's books: accounts, the transfers that were applied to them, and those that were refused.
//!
//! The books are in the same database as the branch's machine records, and change in the very batch that makes the record of
//! that durable.

use std::collections::BTreeMap;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use synod::{TxId, commit::Meta, perform::embedded::Step};

use crate::{
    cast::{Cast, Name},
    money::Cents,
    transfer::{Account, Leg, Transfer},
};

/// What every account is opened with.
pub(crate) const OPENING: Cents = Cents(100_000);

/// The books of a branch in its database, with nothing in memory.
#[derive(Clone)]
pub(crate) struct Books {
    /// Account to what it was opened with and what is on it.
    accounts: Keyspace,
    /// Transfer to its legs here, in the form of `meta`.
    applied: Keyspace,
    /// Transfer to the account that could not pay.
    refused: Keyspace,
}

/// Why books cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    #[error("the database failed")]
    Database(#[from] fjall::Error),
    #[error("an entry of the books has {0} bytes, which no kind of entry has")]
    Malformed(usize),
}

/// An account in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) opened: Cents,
    pub(crate) balance: Cents,
}

/// A branch's books, open, and what is in them.
pub(crate) struct Ledger {
    books: Books,
    cast: Cast,
    name: Name,
    entries: BTreeMap<Account, Entry>,
    /// Transfers that were refused since the last batch, and the accounts that could not pay.
    refused: Vec<(TxId, Account)>,
}

impl Books {
    pub(crate) fn open(database: &Database) -> fjall::Result<Self> {
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self { accounts: keyspace("accounts")?, applied: keyspace("applied")?, refused: keyspace("refused")? })
    }

    pub(crate) fn entries(&self) -> Result<BTreeMap<Account, Entry>, BookError> {
        let entry = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            let (opened, balance) = value.split_at_checked(8).ok_or(BookError::Malformed(value.len()))?;
            let account = Account(u32::from_be_bytes(fixed(&key)?));
            let sum = |bytes| Ok::<_, BookError>(Cents(i64::from_be_bytes(fixed(bytes)?)));
            Ok((account, Entry { opened: sum(opened)?, balance: sum(balance)? }))
        };
        self.accounts.iter().map(entry).collect()
    }

    /// The transfers that were applied here, with their legs here.
    pub(crate) fn applied(&self) -> Result<BTreeMap<u64, Vec<Leg>>, BookError> {
        let entry = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            Ok((u64::from_be_bytes(fixed(&key)?), Transfer::decode_legs(&value)))
        };
        self.applied.iter().map(entry).collect()
    }

    pub(crate) fn has_applied(&self, transfer: u64) -> Result<bool, BookError> {
        Ok(self.applied.contains_key(transfer.to_be_bytes())?)
    }

    /// The transfers that were refused here, and the accounts that could not pay.
    pub(crate) fn refused(&self) -> Result<BTreeMap<u64, Account>, BookError> {
        let entry = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            Ok((u64::from_be_bytes(fixed(&key)?), Account(u32::from_be_bytes(fixed(&value)?))))
        };
        self.refused.iter().map(entry).collect()
    }

    fn set(&self, batch: &mut OwnedWriteBatch, account: Account, entry: Entry) {
        let value = [entry.opened.0.to_be_bytes(), entry.balance.0.to_be_bytes()].concat();
        batch.insert(&self.accounts, account.0.to_be_bytes(), value);
    }
}

impl Ledger {
    /// The books as the database holds them.
    pub(crate) fn open(books: Books, cast: Cast, name: Name) -> Result<Self, BookError> {
        let entries = books.entries()?;
        Ok(Self { books, cast, name, entries, refused: Vec::new() })
    }

    /// Opens those of `accounts` that are at home here and not open yet.
    pub(crate) fn open_accounts(
        &mut self,
        database: &Database,
        accounts: impl IntoIterator<Item = Account>,
    ) -> fjall::Result<()> {
        let here = self.cast.node(self.name);
        let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
        for account in accounts {
            if self.cast.home(account) == here && !self.entries.contains_key(&account) {
                let entry = Entry { opened: OPENING, balance: OPENING };
                self.entries.insert(account, entry);
                self.books.set(&mut batch, account, entry);
            }
        }
        batch.commit()
    }

    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// Puts what has changed into the batch of the records that it belongs to.
    pub(crate) fn write(&mut self, batch: &mut OwnedWriteBatch, steps: &[Step<'_, Vec<Leg>>]) {
        // Two transfers of one batch may touch one account, and a batch must not write a key twice.
        let mut touched = BTreeMap::<Account, Entry>::new();
        for step in steps {
            let Step::Commit(tx, legs) = step else { continue };
            batch.insert(&self.books.applied, tx.seq.to_be_bytes(), Transfer::encode_legs(legs));
            for leg in *legs {
                if let Some(entry) = self.entries.get_mut(&leg.account) {
                    entry.balance.0 += leg.amount.0;
                    touched.insert(leg.account, *entry);
                }
            }
        }
        for (account, entry) in touched {
            self.books.set(batch, account, entry);
        }
        for (tx, account) in self.refused.drain(..) {
            batch.insert(&self.books.refused, tx.seq.to_be_bytes(), account.0.to_be_bytes());
        }
    }

    /// The legs of a transfer that are at home here.
    pub(crate) fn legs(&self, meta: &Meta) -> Vec<Leg> {
        let here = self.cast.node(self.name);
        let mut legs = Transfer::decode_legs(meta.bytes());
        legs.retain(|leg| self.cast.home(leg.account) == here);
        legs
    }

    /// Whether `legs` can be promised beside what is promised already. If not, the books will tell why.
    pub(crate) fn check(&mut self, tx: TxId, legs: &[Leg], promised: &BTreeMap<TxId, Vec<Leg>>) -> bool {
        let held = |account| {
            let debits = promised.values().flat_map(|legs| debits(legs)).filter(|(of, _)| *of == account);
            debits.map(|(_, debit)| debit.0).sum::<i64>()
        };
        // An account that is not open can neither pay nor be paid.
        let closed = legs.iter().map(|leg| leg.account).find(|account| !self.entries.contains_key(account));
        let short = || {
            debits(legs).map(|(account, debit)| (account, debit.0)).find(|(account, debit)| {
                self.entries.get(account).is_none_or(|entry| entry.balance.0 - held(*account) < *debit)
            })
        };
        let refused = closed.or_else(|| short().map(|(account, _)| account));
        self.refused.extend(refused.map(|account| (tx, account)));
        refused.is_none()
    }
}

/// What `legs` take, by account.
fn debits(legs: &[Leg]) -> impl Iterator<Item = (Account, Cents)> + '_ {
    legs.iter().filter(|leg| leg.amount < Cents(0)).map(|leg| (leg.account, Cents(-leg.amount.0)))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BookError> {
    bytes.try_into().map_err(|_| BookError::Malformed(bytes.len()))
}
