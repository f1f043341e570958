//! A shop with two PostgreSQL servers: a purchase takes money from an account in one of them *and* adds an order in the other,
//! or does neither.
//!
//! ```sh
//! cargo run -p synod-postgres --example postgres             # Ann buys something
//! cargo run -p synod-postgres --example postgres -- --crash  # the shop is killed in the middle of it, and opens again
//! cargo run -p synod-postgres --example postgres -- postgres://…/accounts postgres://…/orders  # on databases of your own
//! ```
//!
//! Without URLs it starts two servers of its own, from what is installed, and removes them at the end. The shop is a process
//! of its own, so that it can be killed: [`shop`] is all that an application needs.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real servers, and a real crash")]

use std::{env, error::Error, process::Command, time::Duration};

use synod_client::{NodeId, Outcome, local::Local};
use synod_postgres::Postgres;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Sells one thing to Ann, and says what she has.
async fn shop(accounts: &str, orders: &str, folder: &str, crash: bool) -> Result<()> {
    let accounts = Postgres::connect(accounts, NodeId(11)).await?;
    let orders = Postgres::connect(orders, NodeId(12)).await?;
    let local = Local::builder(folder).agent(accounts.clone()).agent(orders.clone()).start().await?;
    let synod = local.synod();
    if crash {
        // Both databases have promised by then, or are about to.
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(12));
            println!("the shop is killed");
            std::process::abort();
        });
    }
    for _ in 0..if crash { 1_000 } else { 1 } {
        let mut tx = synod.transaction();
        let pay = "UPDATE account SET balance = balance - 30 WHERE name = $1 AND balance >= 30";
        if tx.on(&accounts).await?.execute(pay, &[&"ann"]).await? == 0 {
            println!("ann cannot pay");
            break; // dropped, it is rolled back
        }
        tx.on(&orders).await?.execute("INSERT INTO purchase (buyer, price) VALUES ($1, 30)", &[&"ann"]).await?;
        match tx.commit().await? {
            Outcome::Committed => println!("ann has bought something"),
            Outcome::Aborted => println!("nothing has changed"),
        }
    }
    local.shutdown().await?;
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (urls, crash) = (args.iter().filter(|arg| arg.contains("://")), args.iter().any(|arg| arg == "--crash"));
    let urls: Vec<&str> = urls.map(String::as_str).collect();
    match urls[..] {
        [accounts, orders] => {
            let folder = env::var("SYNOD_DATA").unwrap_or("synod-data".into());
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(shop(accounts, orders, &folder, crash))
        }
        [] => with_servers(crash),
        _ => Err("give two URLs, of the accounts and of the orders, or none".into()),
    }
}

/// Opens the shop on two servers that are started for it; if it is killed, opens it again.
fn with_servers(crash: bool) -> Result<()> {
    let start = || synod_servers::Postgres::start(synod_servers::Options::default());
    let (accounts, orders, folder) = (start()?, start()?, tempfile::tempdir()?);
    accounts.create_database("accounts")?;
    orders.create_database("orders")?;
    accounts
        .sql("accounts", "CREATE TABLE account (name text, balance int); INSERT INTO account VALUES ('ann', 30000)")?;
    orders.sql("orders", "CREATE TABLE purchase (buyer text, price int)")?;
    let open = |crash: bool| {
        let mut shop = Command::new(env::current_exe()?);
        shop.args([accounts.url("accounts"), orders.url("orders")]).args(crash.then_some("--crash"));
        shop.env("SYNOD_DATA", folder.path()).status()
    };
    let tell = |when: &str| -> Result<()> {
        let left = accounts.sql("accounts", "SELECT balance FROM account")?;
        let bought = orders.sql("orders", "SELECT count(*) FROM purchase")?;
        let prepared =
            [&accounts, &orders].map(|server| server.sql("postgres", "SELECT count(*) FROM pg_prepared_xacts"));
        let [one, two] = prepared;
        println!("{when}: ann has {left} left and {bought} orders; prepared transactions: {} and {}", one?, two?);
        Ok(())
    };
    if crash {
        open(true)?;
        tell("after the crash")?;
    }
    open(false)?;
    tell("now")
}
