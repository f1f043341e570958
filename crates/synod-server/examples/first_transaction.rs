//! An application of `synod dev`: it buys something, which changes two PostgreSQL databases together. Its arguments are
//! the client's folder, the cluster, the address of the first member, and the URLs of the two databases.

use std::path::Path;

use synod_client::{NodeId, Outcome, Synod};
use synod_grpc::{Client, Options, Security, Tls};
use synod_postgres::Postgres;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, cluster, member, accounts, orders] = &arguments[..] else {
        return Err("FOLDER CLUSTER HOST:PORT URL URL".into());
    };
    // These are what `synod dev` prints.
    let own = Path::new(folder).join("client-1000");
    let tls =
        Tls::from_files(Path::new(folder).join("authority.pem"), own.with_extension("pem"), own.with_extension("key"))?;
    let client = Client::new(cluster.parse()?, NodeId(1), member, &Security::Tls(tls), &Options::default())?;
    let synod = Synod::new(client);
    let accounts = Postgres::connect(accounts, NodeId(11)).await?;
    let orders = Postgres::connect(orders, NodeId(12)).await?;

    let mut tx = synod.transaction();
    let pay = "UPDATE account SET balance = balance - $1 WHERE name = $2";
    tx.on(&accounts).await?.execute(pay, &[&30_i64, &"ann"]).await?;
    tx.on(&orders).await?.execute("INSERT INTO purchase VALUES ($1, $2)", &[&"ann", &30_i64]).await?;
    match tx.commit().await? {
        Outcome::Committed => println!("bought"),
        Outcome::Aborted => println!("not bought: nothing has changed"),
    }
    Ok(())
}
