//! One branch's books: accounts, the transfers that were applied to them, and those that were refused.
//!
//! The books are in the same database as the branch's machine records, and what changes in them is *staged*: it becomes
//! durable in the very batch that makes the record of it durable. In memory is what the database will hold then.

use std::collections::BTreeMap;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use synod::{
    TxId,
    commit::{Meta, Promised, Transaction, Vote},
    perform::{Progress, RecoverError, Resource},
};

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
    #[error("an entry of the books has {0} bytes, which is none of theirs")]
    Malformed(usize),
}

/// An account in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) opened: Cents,
    pub(crate) balance: Cents,
}

/// A branch: its books, and what it has promised.
pub(crate) struct Ledger {
    books: Books,
    cast: Cast,
    name: Name,
    entries: BTreeMap<Account, Entry>,
    /// The transfers that this branch is prepared for, with their legs here. They may be in doubt.
    prepared: BTreeMap<TxId, Vec<Leg>>,
    /// How much of an account those transfers may take.
    held: BTreeMap<Account, Cents>,
    staged: Vec<Change>,
}

/// A change of the books that waits for the next batch.
enum Change {
    Apply { transfer: u64, legs: Vec<Leg> },
    Refuse { transfer: u64, account: Account },
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
    /// The branch as its database holds it. What it has promised comes back when it recovers.
    pub(crate) fn open(books: Books, cast: Cast, name: Name) -> Result<Self, BookError> {
        let entries = books.entries()?;
        let (prepared, held, staged) = Default::default();
        Ok(Self { books, cast, name, entries, prepared, held, staged })
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

    /// Puts what is staged into the batch of the record that it belongs to.
    pub(crate) fn write_staged(&mut self, batch: &mut OwnedWriteBatch) {
        // Two transfers of one batch may touch one account, and a batch must not write a key twice.
        let mut touched = BTreeMap::<Account, Entry>::new();
        for change in self.staged.drain(..) {
            match change {
                Change::Apply { transfer, legs } => {
                    batch.insert(&self.books.applied, transfer.to_be_bytes(), Transfer::encode_legs(&legs));
                    let entry = |leg: &Leg| Some((leg.account, *self.entries.get(&leg.account)?));
                    touched.extend(legs.iter().filter_map(entry));
                }
                Change::Refuse { transfer, account } => {
                    batch.insert(&self.books.refused, transfer.to_be_bytes(), account.0.to_be_bytes());
                }
            }
        }
        for (account, entry) in touched {
            self.books.set(batch, account, entry);
        }
    }

    /// The legs of `transaction` that are at home here.
    fn legs(&self, meta: &Meta) -> Vec<Leg> {
        let here = self.cast.node(self.name);
        let mut legs = Transfer::decode_legs(meta.bytes());
        legs.retain(|leg| self.cast.home(leg.account) == here);
        legs
    }

    fn hold(&mut self, tx: TxId, legs: Vec<Leg>) {
        for (account, debit) in debits(&legs) {
            self.held.entry(account).or_default().0 += debit.0;
        }
        self.prepared.insert(tx, legs);
    }

    /// Takes the promise for `tx` back, and gets what it was about.
    fn release(&mut self, tx: TxId) -> Option<Vec<Leg>> {
        let legs = self.prepared.remove(&tx)?;
        for (account, debit) in debits(&legs) {
            if let Some(held) = self.held.get_mut(&account) {
                held.0 -= debit.0;
            }
        }
        Some(legs)
    }

    /// What `account` can still pay.
    fn available(&self, account: Account) -> Cents {
        let balance = self.entries.get(&account).map_or(0, |entry| entry.balance.0);
        let held = self.held.get(&account).map_or(0, |held| held.0);
        Cents(balance - held)
    }
}

impl Resource for Ledger {
    /// What was promised is held again, unless the books say that it was applied: the record of that may not be written
    /// yet.
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        for Promised { transaction, meta, .. } in promised {
            if !self.books.has_applied(transaction.id().seq)? {
                let legs = self.legs(meta);
                self.hold(transaction.id(), legs);
            }
        }
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        if self.prepared.contains_key(&transaction.id()) {
            return Some(Vote::Prepared);
        }
        let legs = self.legs(meta);
        // An account that is not open can neither pay nor be paid.
        let closed = legs.iter().map(|leg| leg.account).find(|account| !self.entries.contains_key(account));
        let short = || debits(&legs).find(|(account, debit)| self.available(*account) < *debit);
        match closed.or_else(|| short().map(|(account, _)| account)) {
            Some(account) => {
                self.staged.push(Change::Refuse { transfer: transaction.id().seq, account });
                Some(Vote::Aborted)
            }
            None => {
                self.hold(transaction.id(), legs);
                Some(Vote::Prepared)
            }
        }
    }

    fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
        let tx = transaction.id();
        // Nothing is held for what was applied before.
        if let Some(legs) = self.release(tx) {
            for leg in &legs {
                if let Some(entry) = self.entries.get_mut(&leg.account) {
                    entry.balance.0 += leg.amount.0;
                }
            }
            self.staged.push(Change::Apply { transfer: tx.seq, legs });
        }
        Progress::Finished
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.release(transaction.id());
        Progress::Finished
    }
}

/// What `legs` take, by account.
fn debits(legs: &[Leg]) -> impl Iterator<Item = (Account, Cents)> + '_ {
    legs.iter().filter(|leg| leg.amount < Cents(0)).map(|leg| (leg.account, Cents(-leg.amount.0)))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BookError> {
    bytes.try_into().map_err(|_| BookError::Malformed(bytes.len()))
}
