//! The audit: whether the databases, read afresh, tell one story.

use std::collections::{BTreeMap, HashMap};

use synod::{
    TxId,
    commit::{Outcome, Record},
    perform::embedded::Store,
};

use crate::{
    cast::Name,
    folder::{Folder, FolderError},
    ledger::BookError,
    money::Cents,
    site::SiteError,
    transfer::{Account, Leg, Transfer},
};

/// What the databases say.
#[derive(Default)]
pub(crate) struct Audit {
    pub(crate) accounts: usize,
    /// What all accounts were opened with.
    pub(crate) before: Cents,
    /// What is on all accounts.
    pub(crate) after: Cents,
    /// What went to accounts that are not looked at, less what came from there.
    pub(crate) elsewhere: Cents,
    /// Transfers that a branch refused, and the account that could not pay.
    pub(crate) refused: BTreeMap<u64, Account>,
    /// What must not be, in words.
    pub(crate) faults: Vec<String>,
}

/// Reads every database of a bank that is at rest, and compares.
///
/// Only the databases of `names` are read. Where a branch is not among them, `transfers` are without its legs, and what has
/// come from it and gone to it is known by the others.
pub(crate) fn audit(
    folder: &Folder,
    names: impl IntoIterator<Item = Name>,
    transfers: &[Transfer],
    results: &HashMap<TxId, Outcome>,
) -> Result<Audit, FolderError> {
    let mut audit = Audit::default();
    let mut applied: BTreeMap<u64, Vec<Leg>> = BTreeMap::new();
    for name in names {
        let mut site = folder.site(name)?;
        let failed = |source| FolderError::Site { name, source };
        let records = site.load().map_err(|error| failed(SiteError::Storage(error)))?;
        audit.check_records(name, &records);
        if let Some((ledger, _)) = site.ledger() {
            let books = ledger.books();
            let read = |error: BookError| failed(SiteError::Books(error));
            let here = books.applied().map_err(read)?;
            audit.refused.extend(books.refused().map_err(read)?);
            let mut expected = BTreeMap::<Account, Cents>::new();
            for (transfer, legs) in here {
                for leg in &legs {
                    expected.entry(leg.account).or_default().0 += leg.amount.0;
                }
                applied.entry(transfer).or_default().extend(legs);
            }
            for (account, entry) in books.entries().map_err(read)? {
                audit.accounts += 1;
                audit.before.0 += entry.opened.0;
                audit.after.0 += entry.balance.0;
                let moved = expected.remove(&account).unwrap_or_default();
                if entry.balance.0 != entry.opened.0 + moved.0 || entry.balance < Cents(0) {
                    audit.fault(format!(
                        "{name}: account {account} has {}, but was opened with {} and {moved} was applied to it",
                        entry.balance, entry.opened
                    ));
                }
            }
            for account in expected.keys() {
                audit.fault(format!("{name}: something was applied to account {account}, which is not open"));
            }
        }
    }
    let committed = transfers.iter().filter(|transfer| results.get(&transfer.tx()) == Some(&Outcome::Committed));
    let moved: Cents = committed.flat_map(|transfer| &transfer.legs).map(|leg| leg.amount).sum();
    audit.elsewhere.0 -= moved.0;
    audit.compare(transfers, results, applied);
    if audit.before.0 != audit.after.0 + audit.elsewhere.0 {
        let Audit { before, after, elsewhere, .. } = &audit;
        audit.fault(format!(
            "there was {before} in the bank, and now there is {after}, with {elsewhere} gone elsewhere"
        ));
    }
    Ok(audit)
}

impl Audit {
    /// At rest, a node remembers who it is and what is over, and no transaction.
    fn check_records(&mut self, name: Name, records: &[Record]) {
        for record in records {
            let transaction = match record {
                Record::Acceptor(record) => &record.transaction,
                Record::ResourceManager(record) => &record.transaction,
                _ => continue,
            };
            self.fault(format!("{name}: the record of {} was not dropped", transaction.id()));
        }
    }

    /// A transfer is applied in all of its branches, if and only if it was committed.
    fn compare(
        &mut self,
        transfers: &[Transfer],
        results: &HashMap<TxId, Outcome>,
        mut applied: BTreeMap<u64, Vec<Leg>>,
    ) {
        for transfer in transfers {
            let mut there = applied.remove(&transfer.id).unwrap_or_default();
            let mut due = match results.get(&transfer.tx()) {
                Some(Outcome::Committed) => transfer.legs.clone(),
                Some(Outcome::Aborted) => Vec::new(),
                None => {
                    self.fault(format!("transfer {} has no result", transfer.id));
                    continue;
                }
            };
            there.sort_unstable_by_key(|leg| leg.account);
            due.sort_unstable_by_key(|leg| leg.account);
            if there != due {
                let (id, there, due) = (transfer.id, there.len(), due.len());
                self.fault(format!("transfer {id}: {there} of its legs were applied, where {due} are due"));
            }
        }
        // Transfers of an earlier file.
        for (id, legs) in applied {
            let sum: Cents = legs.iter().map(|leg| leg.amount).sum();
            if sum != Cents(0) {
                self.fault(format!("transfer {id}: the legs that were applied add up to {sum}"));
            }
        }
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }
}
