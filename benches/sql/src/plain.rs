//! One transaction in one database: what a transaction costs that needs no coordination, beside a row in a fence.

use crate::{
    bank::{Bank, Branch},
    contestant::{Call, Contestant, Teller, Transfer},
};

pub struct Plain;

impl Contestant for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn writes(&self) -> i64 {
        1
    }

    fn teller<'a>(&'a self, bank: &'a Bank) -> Call<'a, Box<dyn Teller>> {
        Box::pin(async { Ok(Box::new(One(bank.connect(0).await?)) as Box<dyn Teller>) })
    }
}

struct One(Branch);

impl Teller for One {
    fn transfer(&mut self, transfer: Transfer) -> Call<'_, ()> {
        Box::pin(async move {
            self.0.work(transfer.from, -1).await?;
            self.0.fence(&format!("plain-{}", transfer.number)).await?;
            self.0.commit().await
        })
    }
}
