//! Two servers with a database each, and the accounts in them.

use std::{path::Path, thread};

use anyhow::{Context, Result, ensure};
use synod_servers::{Options, Postgres};
use tokio_postgres::{Client, NoTls, Statement};

/// How many accounts there are in each database.
pub const ACCOUNTS: u64 = 10_000;

/// The database of either server for whoever needs none of its own.
const DATABASE: &str = "bank";

/// Databases with the same accounts, for clusters: a database belongs to one cluster only.
pub const OF_CLUSTERS: [&str; 3] = ["bank_of_3", "bank_of_1", "bank_alone"];

/// Changes an account's balance.
pub const UPDATE: &str = "UPDATE account SET balance = balance + $1 WHERE id = $2";

/// Makes the accounts, and a fence for whoever writes in one database only. (The unqualified name `fence` would be the one of
/// synod, whose schema has the name of the user.)
fn schema() -> String {
    format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL);
        INSERT INTO account SELECT id, 0 FROM generate_series(0, {ACCOUNTS} - 1) id;
        CREATE TABLE written (gid text PRIMARY KEY, state text NOT NULL);
        VACUUM ANALYZE account;"
    )
}

/// Two servers. The first one's accounts give, the other one's take.
pub struct Bank {
    sides: [Postgres; 2],
}

/// What both servers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balances {
    /// The sum of all balances.
    pub sums: [i64; 2],
    /// How many transactions are prepared.
    pub prepared: [i64; 2],
}

impl Bank {
    /// Starts the servers, in `folder` or else where temporary files go.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let start = || -> Result<Postgres> {
            let options = folder.map_or_else(Options::default, |folder| Options::default().within(folder));
            // All contestants keep theirs while others are measured.
            let options = options.set("max_connections", "1000");
            let server = Postgres::start(options)?;
            for database in OF_CLUSTERS.into_iter().chain([DATABASE]) {
                server.create_database(database)?;
                server.sql(database, &schema())?;
            }
            Ok(server)
        };
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(start);
            (start(), first.join().expect("it does not panic"))
        });
        Ok(Self { sides: [first?, second?] })
    }

    /// Where the database of `side` is.
    pub fn url(&self, side: usize) -> String {
        self.sides[side].url(DATABASE)
    }

    /// Where the database of a cluster is, on `side`.
    pub fn url_of(&self, database: &str, side: usize) -> String {
        self.sides[side].url(database)
    }

    /// A connection to the database of `side`.
    pub async fn connect(&self, side: usize) -> Result<Branch> {
        let url = self.url(side);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.with_context(|| url)?;
        // It ends when the client is dropped. If it fails before, the client's next call says so.
        tokio::spawn(connection);
        let update = client.prepare(UPDATE).await?;
        let fence = client.prepare("INSERT INTO written VALUES ($1, 'work')").await?;
        Ok(Branch { client, update, fence })
    }

    /// Puts both servers into the same state before each case: nothing is left to write, the fence is empty.
    pub fn rest(&self) -> Result<()> {
        self.ask("TRUNCATE written; CHECKPOINT").map(drop)
    }

    /// Asks both servers for a number, or for nothing.
    pub fn ask(&self, query: &str) -> Result<[String; 2]> {
        let [first, second] = &self.sides;
        Ok([first.sql(DATABASE, query)?, second.sql(DATABASE, query)?])
    }

    pub fn balances(&self) -> Result<Balances> {
        let number = |query| -> Result<[i64; 2]> {
            let [first, second] = self.ask(query)?;
            Ok([first.parse()?, second.parse()?])
        };
        let mut sums = [0; 2];
        for database in OF_CLUSTERS.into_iter().chain([DATABASE]) {
            for (sum, server) in sums.iter_mut().zip(&self.sides) {
                *sum += server.sql(database, "SELECT sum(balance) FROM account")?.parse::<i64>()?;
            }
        }
        Ok(Balances { sums, prepared: number("SELECT count(*) FROM pg_prepared_xacts")? })
    }
}

/// A connection to one of the databases: what a transaction does there.
pub struct Branch {
    client: Client,
    update: Statement,
    fence: Statement,
}

impl Branch {
    /// Begins a transaction and changes an account's balance in it.
    pub async fn work(&self, account: i64, change: i64) -> Result<()> {
        self.client.batch_execute("BEGIN").await?;
        let rows = self.client.execute(&self.update, &[&change, &account]).await?;
        ensure!(rows == 1, "there is no account {account}");
        Ok(())
    }

    /// Prepares it under a name of this server's own.
    pub async fn prepare(&self, gid: &str) -> Result<()> {
        Ok(self.client.batch_execute(&format!("PREPARE TRANSACTION '{gid}'")).await?)
    }

    /// Commits what is prepared under that name.
    pub async fn commit_prepared(&self, gid: &str) -> Result<()> {
        Ok(self.client.batch_execute(&format!("COMMIT PREPARED '{gid}'")).await?)
    }

    /// Writes a row into the fence.
    pub async fn fence(&self, gid: &str) -> Result<()> {
        self.client.execute(&self.fence, &[&gid]).await?;
        Ok(())
    }

    /// Commits it.
    pub async fn commit(&self) -> Result<()> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}
