//! A shop with two SQLite files: a purchase takes money from an account in one of them *and* adds an order in the other, or does
//! neither. No server is needed.
//!
//! ```sh
//! cargo run -p synod-sqlite --example two_files               # Ann buys something; --once says the same
//! cargo run -p synod-sqlite --example two_files -- --forever  # again and again: kill it, and start it again
//! ```
//!
//! The files are made in the folder where it is started, and stay there: `accounts.db`, `orders.db`, `synod-data`.

use std::{env, error::Error, path::Path, time::Duration};

use synod_client::{NodeId, Outcome, local::Local};
use synod_sqlite::{Options, Sqlite, rusqlite::Connection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let forever = env::args().any(|arg| arg == "--forever");
    make(
        "accounts.db",
        "CREATE TABLE account (name PRIMARY KEY, balance); INSERT INTO account VALUES ('ann', 1000000)",
    )?;
    make("orders.db", "CREATE TABLE purchase (buyer, price, made DEFAULT CURRENT_TIMESTAMP)")?;
    // What a process that was killed has left is looked for at once.
    let options = Options::new().sweep(Duration::from_millis(100), Duration::ZERO);
    let accounts = Sqlite::open_with("accounts.db", NodeId(11), options.clone()).await?;
    let orders = Sqlite::open_with("orders.db", NodeId(12), options).await?;
    let local = Local::builder("synod-data").agent(accounts.clone()).agent(orders.clone()).start().await?;
    loop {
        let mut tx = local.synod().transaction();
        tx.on(&accounts).await?.execute("UPDATE account SET balance = balance - 30 WHERE name = ?1", &[&"ann"]).await?;
        tx.on(&orders).await?.execute("INSERT INTO purchase (buyer, price) VALUES (?1, 30)", &[&"ann"]).await?;
        match tx.commit().await? {
            Outcome::Committed => println!("ann has bought something"),
            Outcome::Aborted => println!("nothing has changed"),
        }
        if !forever {
            break;
        }
    }
    local.shutdown().await?;
    Ok(())
}

/// Makes a file, unless it is there.
fn make(file: &str, schema: &str) -> Result<(), Box<dyn Error>> {
    if !Path::new(file).exists() {
        Connection::open(file)?.execute_batch(&format!("BEGIN; {schema}; COMMIT"))?;
    }
    Ok(())
}
