//! Made-up transfers, the same for the same seed: people who shop, pay rent and salaries, and share bills.
//!
//! Some accounts are hot, for a few shops and landlords get most of the money; some customers try to spend what they do
//! not have. Who is who depends on five branches, so that each transfer touches two to five of them.

use std::{collections::BTreeMap, io};

use crate::{
    ledger::OPENING,
    money::Cents,
    transfer::{Account, Leg},
};

const BRANCHES: u32 = 5;
/// Customers have the numbers above those of shops and landlords.
const SHOPS: u32 = 10;
const LANDLORDS: u32 = 5;
const ACCOUNTS: u32 = 500;
/// Of a thousand payments, how many try to spend what is not there.
const OVERDRAFTS: u64 = 35;

/// Makes transfers up, and keeps in mind who can pay.
pub(crate) struct Maker {
    random: u64,
    balances: BTreeMap<Account, i64>,
}

/// Writes `count` transfers as CSV.
pub(crate) fn generate(count: u64, seed: u64, out: impl io::Write) -> csv::Result<()> {
    let mut maker = Maker::new(seed);
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["id", "purpose", "legs"])?;
    for id in 1..=count {
        let (purpose, legs) = maker.transfer();
        let amount = |Cents(cents): Cents| {
            let sign = if cents < 0 { '-' } else { '+' };
            format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
        };
        let legs: Vec<String> = legs.iter().map(|leg| format!("{} {}", leg.account, amount(leg.amount))).collect();
        writer.write_record([id.to_string(), purpose.to_owned(), legs.join("; ")])?;
    }
    Ok(writer.flush()?)
}

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, balances: Self::accounts().map(|account| (account, OPENING.0)).collect() }
    }

    /// All accounts that may have to do with a transfer.
    pub(crate) fn accounts() -> impl Iterator<Item = Account> {
        (1..=ACCOUNTS).map(Account)
    }

    /// The next transfer: what for, and its legs.
    pub(crate) fn transfer(&mut self) -> (&'static str, Vec<Leg>) {
        match self.below(100) {
            0..50 => ("purchase", self.pay(1, 1, Self::shop, 200, 12_000)),
            50..70 => ("gift", self.pay(1, 1, Self::customer, 500, 20_000)),
            70..78 => ("rent", self.pay(1, 2, Self::landlord, 30_000, 70_000)),
            78..88 => ("shared bill", self.shared_bill()),
            _ => self.salaries(),
        }
    }

    /// One customer pays one or two others, each at a branch of its own.
    fn pay(&mut self, least: u64, most: u64, to: fn(&mut Self) -> Account, low: u64, high: u64) -> Vec<Leg> {
        let overdraft = self.below(1_000) < OVERDRAFTS;
        let wanted = (low + self.below(high - low)) as i64;
        let payer = self.payer(wanted, &[]);
        let amount =
            if overdraft { self.balances[&payer] + wanted } else { wanted.min(self.balances[&payer]).max(100) };
        let mut parties = vec![payer];
        for _ in 0..least + self.below(most - least + 1) {
            let payee = self.elsewhere(to, &parties);
            parties.push(payee);
        }
        self.split(&parties, amount)
    }

    /// Two to four guests pay one restaurant.
    fn shared_bill(&mut self) -> Vec<Leg> {
        let mut parties = vec![self.shop()];
        let guests = 2 + self.below(3);
        let share = (800 + self.below(6_000)) as i64;
        for _ in 0..guests {
            let guest = self.payer(share, &parties);
            parties.push(guest);
        }
        let mut legs: Vec<Leg> =
            parties[1..].iter().map(|guest| Leg { account: *guest, amount: Cents(-share) }).collect();
        legs.push(Leg { account: parties[0], amount: Cents(share * guests as i64) });
        self.note(&legs);
        legs
    }

    /// The richest shop or landlord pays two to four people.
    fn salaries(&mut self) -> (&'static str, Vec<Leg>) {
        let rich = |(account, balance): (&Account, &i64)| (*balance, *account);
        let richest = self.balances.iter().take((SHOPS + LANDLORDS) as usize).map(rich).max();
        let (balance, employer) = richest.unwrap_or((0, Account(1)));
        let mut parties = vec![employer];
        for _ in 0..2 + self.below(3) {
            let employee = self.elsewhere(Self::customer, &parties);
            parties.push(employee);
        }
        let amount = (balance * 3 / 5).clamp(100, 200_000);
        ("salaries", self.split(&parties, amount))
    }

    /// The first of `parties` pays `amount` to the others, in about equal parts.
    fn split(&mut self, parties: &[Account], amount: i64) -> Vec<Leg> {
        let payees = &parties[1..];
        let part = amount / payees.len() as i64;
        let rest = amount - part * payees.len() as i64;
        let mut legs = vec![Leg { account: parties[0], amount: Cents(-amount) }];
        legs.extend(payees.iter().map(|payee| Leg { account: *payee, amount: Cents(part) }));
        legs[1].amount.0 += rest;
        self.note(&legs);
        legs
    }

    /// Does what the bank should do.
    fn note(&mut self, legs: &[Leg]) {
        if legs.iter().all(|leg| self.balances[&leg.account] + leg.amount.0 >= 0) {
            for leg in legs {
                *self.balances.entry(leg.account).or_default() += leg.amount.0;
            }
        }
    }

    /// A customer who can pay `amount`, if a few tries find one.
    fn payer(&mut self, amount: i64, taken: &[Account]) -> Account {
        let mut payer = self.elsewhere(Self::customer, taken);
        for _ in 0..8 {
            if self.balances[&payer] >= amount {
                break;
            }
            payer = self.elsewhere(Self::customer, taken);
        }
        payer
    }

    /// An account at a branch where none of `taken` is.
    fn elsewhere(&mut self, pick: fn(&mut Self) -> Account, taken: &[Account]) -> Account {
        loop {
            let account = pick(self);
            if taken.iter().all(|other| other.0 % BRANCHES != account.0 % BRANCHES) {
                return account;
            }
        }
    }

    /// The lower its number, the more popular a shop is.
    fn shop(&mut self) -> Account {
        let (one, other) = (self.below(SHOPS.into()), self.below(SHOPS.into()));
        Account(1 + one.min(other) as u32)
    }

    fn landlord(&mut self) -> Account {
        Account(1 + SHOPS + self.below(LANDLORDS.into()) as u32)
    }

    fn customer(&mut self) -> Account {
        let first = 1 + SHOPS + LANDLORDS;
        Account(first + self.below((ACCOUNTS + 1 - first).into()) as u32)
    }

    /// A number below `end` (SplitMix64; Steele, Lea and Flood 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}
