//! The bank of the examples keeps the contract of a resource: its branch has the node's records and its books in one fjall
//! database, so that what it has applied and the record which says so are one write.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "as in the bank")]
#![allow(dead_code, reason = "parts of the bank")]

#[path = "../examples/bank/cast.rs"]
mod cast;
#[path = "../examples/bank/ledger.rs"]
mod ledger;
#[path = "../examples/bank/meter.rs"]
mod meter;
#[path = "../examples/bank/money.rs"]
mod money;
#[path = "../examples/bank/site.rs"]
mod site;
#[path = "../examples/bank/transfer.rs"]
mod transfer;

use std::{
    fs, io,
    path::{Path, PathBuf},
    slice,
};

use fjall::Database;
use synod::{
    commit::{Promised, Record},
    perform::{
        Storage,
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
        embedded::Embedded,
    },
};
use tempfile::TempDir;

use crate::{
    cast::{Cast, Name},
    ledger::{Books, OPENING},
    money::Cents,
    site::Site,
    transfer::{Account, Leg, Transfer},
};

/// Of two branches, the one that pays.
const CAST: Cast = Cast { branches: 2, acceptors: 1 };
const PRICE: i64 = 7;

/// The database of a branch, in a new folder after each crash. A crash leaves what is in its files while they are open.
struct Branch {
    folder: TempDir,
    crashes: u32,
    /// For whoever looks at the books.
    books: Option<Books>,
    /// Whether the node's writes leave out what the ledger has staged.
    leaves_out_the_books: bool,
}

impl Branch {
    fn new(leaves_out_the_books: bool) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), crashes: 0, books: None, leaves_out_the_books }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.crashes.to_string())
    }

    /// Each transfer has two accounts of its own: its payer is here, its payee at the other branch.
    fn transfer(number: u64) -> Transfer {
        let payer = u32::try_from(2 * number).unwrap();
        let leg = |account, amount| Leg { account: Account(account), amount: Cents(amount) };
        Transfer { id: number, legs: vec![leg(payer, -PRICE), leg(payer + 1, PRICE)] }
    }
}

impl ResourceUnderTest for Branch {
    type Resource = Embedded<Site>;

    fn work(&self, number: u64) -> Promised {
        let (transaction, meta) = Self::transfer(number).transaction(&CAST).unwrap();
        Promised::new(transaction, meta)
    }

    async fn open(&mut self) -> Result<Embedded<Site>, SceneError> {
        let database = Database::builder(self.path()).worker_threads(1).open()?;
        let mut site = Site::restore(database.clone(), CAST, Name::Branch(0))?;
        let (ledger, _) = site.ledger().ok_or("a branch has a ledger")?;
        ledger.open_accounts(&database, (0..200).map(Account))?;
        self.books = Some(Books::open(&database)?);
        let mut site = Embedded::new(site);
        site.load()?;
        Ok(site)
    }

    async fn crash(&mut self, site: Embedded<Site>) {
        let before = self.path();
        self.books = None;
        self.crashes += 1;
        copy(&before, &self.path()).unwrap();
        drop(site);
        fs::remove_dir_all(before).unwrap();
    }

    async fn shows(&mut self, _: &Embedded<Site>, number: u64) -> Result<usize, SceneError> {
        let payer = Self::transfer(number).legs[0].account;
        let entry = self.books.as_ref().ok_or("the books are closed")?.entries()?[&payer];
        let paid = OPENING.0 - entry.balance.0;
        if paid % PRICE == 0 { Ok(usize::try_from(paid / PRICE)?) } else { Err(format!("{paid} were paid").into()) }
    }

    async fn holds(&mut self, site: &Embedded<Site>, number: u64) -> Result<Option<bool>, SceneError> {
        Ok(Some(site.promised().contains_key(&Self::transfer(number).tx())))
    }

    async fn write(&mut self, site: &mut Embedded<Site>, record: &Record) -> Result<(), SceneError> {
        if self.leaves_out_the_books {
            return Ok(());
        }
        Ok(site.persist(slice::from_ref(record))?)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn the_bank_keeps_the_contract_of_a_resource_through_crashes() {
    let report = conformance::resource(&mut Branch::new(false));
    println!("{report}");
    report.assert();
    // Its promises are in memory, where nobody can take them away: the node's records bring them back, or not.
    let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
    let skipped: Vec<_> = skipped.map(|check| check.name).collect();
    assert_eq!(skipped, ["a lost promise is not taken for done"]);
}

#[test]
fn a_bank_whose_books_are_not_written_with_the_record_that_they_are_does_not() {
    let report = conformance::resource(&mut Branch::new(true));
    let first = report.failures().next().map(|check| check.name);
    assert_eq!(first, Some("what is committed shows"), "{report}");
}
