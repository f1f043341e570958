//! Two-phase commit by hand, without a coordinator's log: what it takes at least. When such a program dies between the
//! phases, what it has prepared stays locked until somebody looks after it.

use anyhow::Result;
use tokio::try_join;

use crate::{
    bank::{Bank, Branch},
    contestant::{Call, Contestant, Teller, Transfer},
};

pub struct ByHand;

impl Contestant for ByHand {
    fn name(&self) -> &'static str {
        "by hand"
    }

    fn teller<'a>(&'a self, bank: &'a Bank) -> Call<'a, Box<dyn Teller>> {
        Box::pin(async {
            let (giver, taker) = try_join!(bank.connect(0), bank.connect(1))?;
            Ok(Box::new(Hands { giver, taker }) as Box<dyn Teller>)
        })
    }
}

struct Hands {
    giver: Branch,
    taker: Branch,
}

impl Teller for Hands {
    fn transfer(&mut self, transfer: Transfer) -> Call<'_, ()> {
        Box::pin(async move {
            let gid = format!("hand-{}", transfer.number);
            let prepare = async |branch: &Branch, account, change| -> Result<()> {
                branch.work(account, change).await?;
                branch.prepare(&gid).await
            };
            try_join!(prepare(&self.giver, transfer.from, -1), prepare(&self.taker, transfer.to, 1))?;
            try_join!(self.giver.commit_prepared(&gid), self.taker.commit_prepared(&gid))?;
            Ok(())
        })
    }
}
