//! synod, with its whole cluster in this process and its records in fjall.

use std::path::Path;

use anyhow::{Result, ensure};
use synod_client::{NodeId, Outcome, local::Local};
use synod_postgres::{Options, Postgres, PostgresBranch};
use tempfile::TempDir;
use tokio::try_join;

use crate::{
    bank::{Bank, UPDATE},
    contestant::{Call, Contestant, Teller, Transfer},
};

/// More than there are clients: a connection comes back to its pool a little after its transaction has ended.
const CONNECTIONS: usize = 128;

pub struct Synod {
    name: &'static str,
    local: Local,
    /// Where a transfer writes.
    sides: Vec<Postgres>,
    // The records go when the nodes have gone.
    _folder: TempDir,
}

impl Synod {
    /// Starts a cluster of so many acceptors beside `database`, with its records in a new folder in `parent`. Its transfers write in the
    /// first `writes` databases.
    pub async fn start(
        name: &'static str,
        bank: &Bank,
        database: &str,
        parent: Option<&Path>,
        acceptors: u64,
        writes: usize,
    ) -> Result<Self> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("synod-nodes-");
        let folder = parent.map_or_else(|| folder.tempdir(), |parent| folder.tempdir_in(parent))?;
        let (mut sides, mut local) = (Vec::new(), Local::builder(folder.path()).acceptors(acceptors));
        for side in 0..writes {
            let options = Options::new().connections(CONNECTIONS);
            let side = Postgres::connect_with(&bank.url_of(database, side), NodeId(11 + side as u64), options).await?;
            local = local.agent(side.clone());
            sides.push(side);
        }
        Ok(Self { name, local: local.start().await?, sides, _folder: folder })
    }
}

impl Contestant for Synod {
    fn name(&self) -> &'static str {
        self.name
    }

    fn writes(&self) -> i64 {
        self.sides.len() as i64
    }

    fn teller<'a>(&'a self, _: &'a Bank) -> Call<'a, Box<dyn Teller>> {
        let client = Client { synod: self.local.synod(), sides: self.sides.clone() };
        Box::pin(async { Ok(Box::new(client) as Box<dyn Teller>) })
    }
}

struct Client {
    synod: synod_client::Synod,
    sides: Vec<Postgres>,
}

impl Teller for Client {
    fn transfer(&mut self, transfer: Transfer) -> Call<'_, ()> {
        Box::pin(async move {
            let mut tx = self.synod.transaction();
            let work = async |branch: &PostgresBranch, account: i64, change: i64| -> Result<()> {
                let rows = branch.execute(UPDATE, &[&change, &account]).await?;
                ensure!(rows == 1, "there is no account {account}");
                Ok(())
            };
            match &self.sides[..] {
                [giver, taker] => {
                    let (giver, taker) = tx.on_both(giver, taker).await?;
                    try_join!(work(giver, transfer.from, -1), work(taker, transfer.to, 1))?;
                }
                sides => {
                    for side in sides {
                        work(tx.on(side).await?, transfer.from, -1).await?;
                    }
                }
            }
            let outcome = tx.commit().await?;
            ensure!(outcome == Outcome::Committed, "a transfer was not committed, though nothing speaks against it");
            Ok(())
        })
    }
}
