//! A shop with two SQLite files: a purchase takes money from an account in one of them *and* adds an order in the other, or does
//! neither. No server is needed.
//!
//! ```sh
//! cargo run -p synod-sqlite --example two_files               # Ann buys something
//! cargo run -p synod-sqlite --example two_files -- --forever  # again and again: kill it, and start it again
//! ```
//!
//! All that it keeps is in the folder `two-files` where it is started: `accounts.db`, `orders.db`, and the cluster's `synod-data`.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use synod_client::{NodeId, Outcome, local::Local};
use synod_sqlite::{Options, Sqlite, rusqlite::Connection};

const FOLDER: &str = "two-files";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let forever = env::args().any(|arg| arg == "--forever");
    let (folder, mut out) = (Path::new(FOLDER), io::stdout());
    fs::create_dir_all(folder)?;
    let (accounts, orders) = (folder.join("accounts.db"), folder.join("orders.db"));
    make(&accounts, "CREATE TABLE account (name PRIMARY KEY, balance); INSERT INTO account VALUES ('ann', 1000000)")?;
    make(&orders, "CREATE TABLE purchase (buyer, price, made DEFAULT CURRENT_TIMESTAMP)")?;
    // What a process that was killed has left is looked for at once.
    let options = Options::new().sweep(Duration::from_millis(100), Duration::ZERO);
    let accounts = Sqlite::open_with(accounts, NodeId(11), options.clone()).await?;
    let orders = Sqlite::open_with(orders, NodeId(12), options).await?;
    let local = Local::builder(folder.join("synod-data")).agent(accounts.clone()).agent(orders.clone()).start().await?;
    loop {
        let mut tx = local.synod().transaction();
        tx.on(&accounts).await?.execute("UPDATE account SET balance = balance - 30 WHERE name = ?1", &[&"ann"]).await?;
        tx.on(&orders).await?.execute("INSERT INTO purchase (buyer, price) VALUES (?1, 30)", &[&"ann"]).await?;
        let told = match tx.commit().await? {
            Outcome::Committed => writeln!(out, "ann has bought something"),
            Outcome::Aborted => writeln!(out, "nothing has changed"),
        };
        // Nobody may be left to read it.
        if told.is_err() || !forever {
            break;
        }
    }
    local.shutdown().await?;
    Ok(())
}

/// Makes a file, unless it is there.
fn make(file: &Path, schema: &str) -> Result<(), Box<dyn Error>> {
    if !file.exists() {
        Connection::open(file)?.execute_batch(&format!("BEGIN; {schema}; COMMIT"))?;
    }
    Ok(())
}
