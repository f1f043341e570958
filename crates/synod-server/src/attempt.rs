//! A first transaction, over all databases of some processes: it shows that everything works.

use std::path::{Path, PathBuf};

use mysql_async::{Conn, Opts, OptsBuilder, SslOpts, prelude::Queryable};
use serde::Serialize;
use synod::commit::Outcome;
use synod_client::{CommitError, OpenError, Synod, Transaction};
use synod_grpc::{Client, Options, Security, Tls};
use tokio::time::Instant;

use crate::{
    certs,
    cli::Try,
    config::{Config, Kind, NodeConfig, Url},
    failure::{Exit, Failure},
    init::CLIENT,
    run::{Beside, cannot_take_part, papers, say},
};

/// The table that it writes a row to.
const TABLE: &str = "synod_try";

#[derive(Serialize)]
struct Tried {
    outcome: &'static str,
    databases: Vec<String>,
    milliseconds: f64,
}

/// Commits it, and says so.
pub(crate) async fn attempt(json: bool, args: Try) -> Result<Exit, Failure> {
    let configs = args.files.iter().map(|file| Config::read(file)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = configs.first() else { return Ok(Exit::Usage) };
    // What a store does, its agent alone may ask for, and a client says what about.
    let with_url =
        |node: &NodeConfig| Some((node.clone(), node.database.clone().filter(|url| url.kind != Kind::Store)?));
    let databases: Vec<(NodeConfig, Url)> =
        configs.iter().flat_map(|config| config.nodes.iter().filter_map(with_url)).collect();
    if databases.is_empty() {
        let what = format!("no database takes part, says {}", first.path.display());
        let remedy = "name databases: `synod dev --database 11=postgres://user@localhost/accounts`, or a [[node]] \
         with a database in the file";
        return Err(Failure::new(Exit::Configuration, what, remedy));
    }
    let synod = front_door(first, args.client.as_deref())?;
    let mut opened = Vec::new();
    for (node, url) in &databases {
        opened.push(open(node, url).await?);
    }
    let start = Instant::now();
    let mut tx = synod.transaction();
    for (database, (node, url)) in opened.iter().zip(&databases) {
        write(database, &mut tx, node, url).await?;
    }
    let outcome = tx.commit().await.map_err(|error| not_committed(&error))?;
    let names = databases.iter().map(|(node, url)| format!("{} ({})", node.id.0, url.without_password()));
    let tried = Tried {
        outcome: if outcome == Outcome::Committed { "committed" } else { "aborted" },
        databases: names.collect(),
        milliseconds: start.elapsed().as_secs_f64() * 1_000.0,
    };
    if json {
        say(&format!("{}\n", serde_json::to_string(&tried).unwrap_or_default()));
    } else {
        let databases = tried.databases.join(" and ");
        say(&format!(
            "{}: a row in the table {TABLE} of {databases}, in {:.1} ms\n",
            tried.outcome, tried.milliseconds
        ));
    }
    Ok(if outcome == Outcome::Committed { Exit::Done } else { Exit::Aborted })
}

/// The transaction managers, by the certificate of a client.
fn front_door(config: &Config, folder: Option<&Path>) -> Result<Synod, Failure> {
    let name = certs::file_name(synod_grpc::Role::Client(CLIENT));
    let beside = config.path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let candidates = [beside.join(&name), beside.join("..").join(&name)];
    let found = folder.map(Path::to_owned).or_else(|| candidates.into_iter().find(|folder| folder.exists()));
    let Some(folder) = found else {
        let what = format!("there is no certificate of a client beside {}", config.path.display());
        let remedy = "name its folder with --client; `synod certs client 1000 --cluster FOLDER` issues one";
        return Err(Failure::new(Exit::Configuration, what, remedy));
    };
    let own = folder.join(&name);
    let tls = Tls::from_files(folder.join("authority.pem"), own.with_extension("pem"), own.with_extension("key"));
    let issue = "issue it with `synod certs client 1000 --cluster FOLDER`, where the authority's key is";
    let tls = tls.map_err(|error| papers("the client", &own.with_extension("pem"), &error, issue))?;
    let no_way = |error: synod_grpc::Error| {
        let remedy = "use a client's certificate of this very cluster";
        Failure::new(Exit::Configuration, "the members cannot be reached like this", remedy).caused_by(&error)
    };
    let (security, options, mut client) = (Security::Tls(tls), Options::default(), None::<Client>);
    for (node, address) in &config.members {
        client = Some(match client {
            None => Client::new(config.cluster, *node, address, &security, &options).map_err(no_way)?,
            Some(client) => client.with_node(*node, address).map_err(no_way)?,
        });
    }
    client
        .map(Synod::new)
        .ok_or_else(|| Failure::new(Exit::Configuration, "the file names no member", "name them in cluster.members"))
}

/// Opens a database for an application.
async fn open(node: &NodeConfig, url: &Url) -> Result<Beside, Failure> {
    let database = Beside::new(url, node.id, None)?;
    database.check(url, node.id).await?;
    if url.kind == Kind::Mysql {
        make_table(url).await.map_err(|error| cannot_take_part(url, node.id, &error))?;
    }
    Ok(database)
}

/// Writes a row.
async fn write(database: &Beside, tx: &mut Transaction, node: &NodeConfig, url: &Url) -> Result<(), Failure> {
    match database {
        Beside::Postgres(database) => {
            let branch = tx.on(database).await.map_err(|error| not_open(&error))?;
            let make = format!("CREATE TABLE IF NOT EXISTS {TABLE} (at timestamptz NOT NULL DEFAULT now())");
            for statement in [make, format!("INSERT INTO {TABLE} DEFAULT VALUES")] {
                branch.execute(&statement, &[]).await.map_err(|error| cannot_take_part(url, node.id, &error))?;
            }
        }
        Beside::Mysql(database) => {
            let branch = tx.on(database).await.map_err(|error| not_open(&error))?;
            let insert = format!("INSERT INTO {TABLE} () VALUES ()");
            branch.query_drop(insert).await.map_err(|error| cannot_take_part(url, node.id, &error))?;
        }
        // It is not among them.
        Beside::Store(_) => {}
    }
    Ok(())
}

/// What makes a table ends the transaction there, so it is done before.
async fn make_table(url: &Url) -> Result<(), mysql_async::Error> {
    let mut options = OptsBuilder::from_opts(Opts::from_url(&url.text)?);
    if let Some(ca) = &url.ca {
        options = options.ssl_opts(SslOpts::default().with_root_certs(vec![ca.clone().into()]));
    }
    let mut conn = Conn::new(options).await?;
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE = InnoDB"
    );
    conn.query_drop(make).await?;
    conn.disconnect().await
}

fn not_open(error: &OpenError) -> Failure {
    let remedy = "see `synod status`: the members must run, and an agent must have stood beside each database";
    Failure::new(Exit::Unreachable, "no transaction can be opened", remedy).caused_by(error)
}

fn not_committed(error: &CommitError) -> Failure {
    let exit = if error.may_have_committed() { Exit::Undecided } else { Exit::Aborted };
    let remedy = match error.tx() {
        Some(tx) => format!("ask how it ended: `synod status {tx}`"),
        None => "see `synod status`: all agents must run, and be connected to the members".into(),
    };
    Failure::new(exit, "it is not known to be committed", remedy).caused_by(error)
}
