//! Who carries transfers out.

use std::pin::Pin;

use anyhow::Result;

use crate::bank::Bank;

/// A call that is under way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A way to carry transfers out.
pub trait Contestant {
    /// What rows and curves call it.
    fn name(&self) -> &'static str;

    /// In how many of the databases a transfer writes.
    fn writes(&self) -> i64 {
        2
    }

    /// A client with connections of its own.
    fn teller<'a>(&'a self, bank: &'a Bank) -> Call<'a, Box<dyn Teller>>;
}

/// A client, who carries out one transfer after the other.
pub trait Teller: Send {
    /// Carries a transfer out. It is committed wherever it wrote when this returns.
    fn transfer(&mut self, transfer: Transfer) -> Call<'_, ()>;
}

/// One transfer: it takes 1 `from` an account, and gives it `to` an account of the other database.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// No other transfer's, for as long as the servers run.
    pub number: u64,
    pub from: i64,
    pub to: i64,
}
