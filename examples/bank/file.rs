//! Reading a file of transfers: all of it, and every line checked, before anything is applied.
//!
//! ```csv
//! id,purpose,legs
//! 17,rent,31 -640.00; 8 +620.00; 4 +20.00
//! ```

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use csv::StringRecord;

use crate::{
    money::{Cents, NoAmount},
    transfer::{Account, Leg, Transfer},
};

const HEADER: [&str; 3] = ["id", "purpose", "legs"];
const MOST_LEGS: usize = 64;

/// Why a file of transfers cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{file} cannot be read")]
    Unreadable { file: PathBuf, source: csv::Error },
    #[error("{file}, line {line}: {reason}")]
    BadLine { file: PathBuf, line: u64, reason: Reason },
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("the header must be id,purpose,legs")]
    Header,
    #[error("{0} columns where 3 are due")]
    Columns(usize),
    #[error("the line is not UTF-8")]
    NotText,
    #[error("the id {0:?} is not a number")]
    Id(String),
    #[error("the id {id} was used on line {line} already")]
    Repeated { id: u64, line: u64 },
    #[error("the leg {0:?} is not an account and an amount, such as 17 -12.50")]
    Leg(String),
    #[error("the account {0:?} is not a number")]
    Account(String),
    #[error("the amount {amount:?} is {source}")]
    Amount { amount: String, source: NoAmount },
    #[error("the amount of account {0} is zero")]
    Nothing(Account),
    #[error("account {0} has more than one leg")]
    Twice(Account),
    #[error("a transfer has 2 to {MOST_LEGS} legs, not {0}")]
    Legs(usize),
    #[error("the legs add up to {0}, not to zero")]
    Unbalanced(Cents),
}

/// What is transferred when no file is named: a program that has it inside runs in any folder.
const SHIPPED: &[u8] = include_bytes!("transfers.csv");

/// The transfers in `file`, or the shipped ones, in order.
pub(crate) fn read(file: Option<&Path>) -> Result<Vec<Transfer>, FileError> {
    let Some(file) = file else { return parse(Path::new("the shipped transfers"), SHIPPED) };
    let unreadable = |source: io::Error| FileError::Unreadable { file: file.into(), source: source.into() };
    parse(file, File::open(file).map_err(unreadable)?)
}

/// The transfers in `text`, in order; errors say that it is from `file`.
fn parse(file: &Path, text: impl io::Read) -> Result<Vec<Transfer>, FileError> {
    let unreadable = |source| FileError::Unreadable { file: file.into(), source };
    let bad = |line, reason| FileError::BadLine { file: file.into(), line, reason };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);

    let mut transfers = Vec::new();
    let mut lines = HashMap::new();
    let mut header = true;
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => match (error.kind(), error.position()) {
                (csv::ErrorKind::Utf8 { .. }, Some(place)) => return Err(bad(place.line(), Reason::NotText)),
                _ => return Err(unreadable(error)),
            },
        };
        let line = row.position().map_or(0, csv::Position::line);
        if std::mem::take(&mut header) {
            if row != HEADER[..] {
                return Err(bad(line, Reason::Header));
            }
            continue;
        }
        let transfer = transfer(&row).map_err(|reason| bad(line, reason))?;
        if let Some(earlier) = lines.insert(transfer.id, line) {
            return Err(bad(line, Reason::Repeated { id: transfer.id, line: earlier }));
        }
        transfers.push(transfer);
    }
    if header { Err(bad(1, Reason::Header)) } else { Ok(transfers) }
}

fn transfer(row: &StringRecord) -> Result<Transfer, Reason> {
    let (Some(id), Some(_), Some(legs), 3) = (row.get(0), row.get(1), row.get(2), row.len()) else {
        return Err(Reason::Columns(row.len()));
    };
    let id = id.trim().parse().map_err(|_| Reason::Id(id.to_owned()))?;
    let legs: Vec<Leg> = legs.split(';').map(leg).collect::<Result<_, _>>()?;
    if !(2..=MOST_LEGS).contains(&legs.len()) {
        return Err(Reason::Legs(legs.len()));
    }
    for (place, leg) in legs.iter().enumerate() {
        if legs[..place].iter().any(|earlier| earlier.account == leg.account) {
            return Err(Reason::Twice(leg.account));
        }
    }
    match legs.iter().map(|leg| leg.amount).sum() {
        Cents(0) => Ok(Transfer { id, legs }),
        rest => Err(Reason::Unbalanced(rest)),
    }
}

fn leg(text: &str) -> Result<Leg, Reason> {
    let text = text.trim();
    let (account, amount) = text.split_once(' ').ok_or_else(|| Reason::Leg(text.to_owned()))?;
    let account = Account(account.parse().map_err(|_| Reason::Account(account.to_owned()))?);
    let parsed: Result<Cents, _> = amount.trim().parse();
    match parsed.map_err(|source| Reason::Amount { amount: amount.to_owned(), source })? {
        Cents(0) => Err(Reason::Nothing(account)),
        amount => Ok(Leg { account, amount }),
    }
}
