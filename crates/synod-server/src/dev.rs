//! A whole cluster in one process, on loopback.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, time::Duration};

use synod::{NodeId, commit::ClusterId};
use synod_grpc::Role;
use tokio::time::Instant;

use crate::{
    certs::{self, Authority, DAYS, Mode},
    cli::Dev,
    config::{Config, Kind, Url},
    failure::{Exit, Failure},
    init::{CLIENT, Cluster, NewNode, node_toml},
    observe::Observed,
    run,
};

/// How many members it has.
const MEMBERS: u64 = 3;

/// Runs it until the process is told to end.
pub(crate) async fn dev(json: bool, args: Dev) -> Result<(), Failure> {
    let start = Instant::now();
    let mut config = prepare(&args)?;
    if config.log.filter == "info" {
        config.log.filter = "warn".into();
    }
    if args.record {
        config.record.folder = Some(args.folder.join("recordings"));
    }
    let observed = Observed::new(&config)?;
    let ready = |config: &Config| {
        let took = start.elapsed();
        run::say(&if json { ready_json(config, took) } else { greeting(config, took) });
    };
    let ran = run::run(config, ready).await;
    observed.end().await;
    ran
}

/// Writes what is not there yet, and what has changed.
fn prepare(args: &Dev) -> Result<Config, Failure> {
    let folder = &args.folder;
    certs::create_folder(folder)?;
    let (is_new, file) = (!folder.join("authority.key").exists(), folder.join("node.toml"));
    if !is_new && !file.exists() {
        let what = format!("{} is not of `synod dev`: there is a cluster for machines in it", folder.display());
        let remedy = "name another folder with --folder; the processes of that cluster are run by `synod run`";
        return Err(Failure::new(Exit::Refused, what, remedy));
    }
    let is_named = folder.join("cluster.toml").exists();
    let id = if is_named { Cluster::read(folder)?.id } else { ClusterId(certs::random()?) };
    let mut databases: BTreeMap<NodeId, String> = BTreeMap::new();
    if file.exists() {
        let before = Config::read(&file)?;
        // It would lose its certificates, and commands would be led to the wrong port.
        if std::net::TcpStream::connect(before.http).is_ok() {
            let what = format!("`synod dev` runs in {} already, at http://{}", folder.display(), before.http);
            let remedy = "use that one, or end it first; for a second cluster, name another folder and other ports: \
             --folder and --port";
            return Err(Failure::new(Exit::Machine, what, remedy));
        }
        let nodes = before.nodes.into_iter();
        databases.extend(nodes.filter_map(|node| Some((node.id, node.database?.text))));
    }
    databases.extend(args.databases.iter().cloned());
    let at = |node: NodeId| format!("127.0.0.1:{}", u64::from(args.port) + node.0);
    let cluster = Cluster {
        id,
        members: (1..=MEMBERS).map(|node| (NodeId(node), at(NodeId(node)))).collect(),
        agents: databases.keys().map(|node| (*node, at(*node))).collect(),
    };
    cluster.write(folder)?;
    let nodes = cluster.members.iter().chain(&cluster.agents).map(|(node, listen)| NewNode {
        id: *node,
        listen: listen.clone(),
        join: false,
        database: databases.get(node).cloned(),
    });
    let nodes: Vec<NewNode> = nodes.collect();
    // Before the authority: by that the folder is known to be this command's.
    certs::write(&file, &node_toml(&cluster, &nodes, &format!("127.0.0.1:{}", args.port)), Mode::Secret)?;
    let authority = if is_new { Authority::create(folder, id)? } else { Authority::read(folder)? };
    // They are made each time, so that they do not expire.
    for node in &nodes {
        authority.issue(folder, Role::Node(node.id), DAYS)?;
    }
    authority.issue(&folder.join(certs::file_name(Role::Client(CLIENT))), Role::Client(CLIENT), DAYS)?;
    Config::read(&file)
}

/// The same for machines, in one line.
fn ready_json(config: &Config, took: Duration) -> String {
    let folder = config.path.parent().unwrap_or(Path::new("."));
    let ready = serde_json::json!({
        "ready": true,
        "milliseconds": took.as_millis() as u64,
        "http": format!("http://{}", config.http),
        "cluster": config.cluster.to_string(),
        "members": config.members.iter().map(|(node, at)| (node.0.to_string(), at)).collect::<BTreeMap<_, _>>(),
        "client": folder.join(certs::file_name(Role::Client(CLIENT))),
    });
    format!("{ready}\n")
}

/// What there is, and what to paste into an application.
fn greeting(config: &Config, took: Duration) -> String {
    let folder = config.path.parent().unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let (folder, http) = (folder.display(), config.http);
    let mut text = format!(
        "synod {} is ready after {took:.2?}: {} members on loopback, records and certificates in {folder}\n\
         console  http://{http}/      metrics  http://{http}/metrics      end it with Ctrl-C\n\n",
        env!("CARGO_PKG_VERSION"),
        config.members.len(),
    );
    let databases: Vec<_> = databases(config).collect();
    if databases.is_empty() {
        text.push_str(
            "No database takes part yet. Name yours, each under a number of its own:\n\n  \
             synod dev --database 11=postgres://user@localhost/accounts --database \
             12=postgres://user@localhost/orders\n\n",
        );
    } else {
        for (node, url) in &databases {
            let what = if url.kind == Kind::Store { "store   " } else { "database" };
            let _ = writeln!(text, "{what} {}  {}", node.0, url.without_password());
        }
        if databases.iter().any(|(_, url)| url.kind != Kind::Store) {
            text.push_str("\nA first transaction over all databases, from another terminal:  synod try\n");
        }
        text.push('\n');
    }
    text.push_str(&snippet(config, &folder.to_string()));
    text.push_str(&snippet_in_python(config, &folder.to_string()));
    text
}

fn databases(config: &Config) -> impl Iterator<Item = (NodeId, &Url)> {
    config.nodes.iter().filter_map(|node| Some((node.id, node.database.as_ref()?)))
}

/// The same in Python, where there are PostgreSQL and stores.
fn snippet_in_python(config: &Config, folder: &str) -> String {
    let of = |kind| databases(config).filter(move |(_, url)| url.kind == kind);
    let has = |kind| of(kind).next().is_some();
    let (has_databases, has_stores) = (has(Kind::Postgres), has(Kind::Store));
    let mut text = String::from("\nIn Python, with the package in clients/python:\n\n  from synod import Client");
    if has_databases {
        text.push_str(", Synod\n  from synod.postgres import Postgres");
        if has_stores {
            text.push_str("\n  from synod.store import Store");
        }
    }
    let folder = format!("{folder}/client-{}", CLIENT.0);
    let _ = writeln!(text, "\n\n  client = Client.from_folder({folder:?})");
    if has_databases {
        text.push_str("  synod = Synod(client)\n");
        for (node, url) in of(Kind::Postgres) {
            let _ = writeln!(text, "  database_{0} = Postgres({1:?}, participant={0})", node.0, url.without_password());
        }
        for (node, url) in of(Kind::Store) {
            let _ = writeln!(text, "  store_{0} = Store(client, {1:?}, participant={0})", node.0, url.address());
        }
        text.push_str("  with synod.transaction() as tx:   # committed everywhere at the end, or nowhere\n");
        for (node, _) in of(Kind::Postgres) {
            let _ = writeln!(text, "      tx.on(database_{}).execute(\"SELECT 1\")", node.0);
        }
        for (node, _) in of(Kind::Store) {
            let _ = writeln!(text, "      tx.on(store_{}).stage(b\"what it is about\")", node.0);
        }
    } else if has_stores {
        let stores: Vec<String> = of(Kind::Store).map(|(node, _)| node.0.to_string()).collect();
        let _ = writeln!(text, "  tx = client.begin([{}], b\"what it is about\")", stores.join(", "));
        text.push_str("  print(client.outcome(tx))\n");
    }
    text.push_str("  print(client.members())\n  client.close()\n");
    text
}

/// The beginning of an application.
fn snippet(config: &Config, folder: &str) -> String {
    let uses = |kind| databases(config).any(|(_, url)| url.kind == kind);
    let postgres = if uses(Kind::Postgres) { "  use synod_postgres::Postgres;\n" } else { "" };
    let mysql = if uses(Kind::Mysql) { "  use synod_mysql::Mysql;\n" } else { "" };
    let store = if uses(Kind::Store) { "  use synod_store::Store;\n" } else { "" };
    let mut text = format!(
        "In your application, with the packages synod-client (feature \"grpc\"), synod-grpc, and synod-postgres, \
         synod-mysql or synod-store:\n\n  \
         use synod_client::{{NodeId, Synod}};\n  \
         use synod_grpc::{{Client, Options, Security, Tls}};\n{mysql}{postgres}{store}\n  \
         let folder = std::path::Path::new({:?});\n  \
         let tls = Tls::from_files(folder.join(\"authority.pem\"), folder.join(\"client-{client}.pem\"), \
         folder.join(\"client-{client}.key\"))?;\n  \
         let (cluster, tls, options) = (\"{}\".parse()?, Security::Tls(tls), Options::default());\n",
        format!("{folder}/client-{}", CLIENT.0),
        config.cluster,
        client = CLIENT.0,
    );
    for (at, (node, address)) in config.members.iter().enumerate() {
        let _ = match at {
            0 => write!(text, "  let client = Client::new(cluster, NodeId({}), {address:?}, &tls, &options)?", node.0),
            _ => write!(text, "\n      .with_node(NodeId({}), {address:?})?", node.0),
        };
    }
    text.push_str(";\n  let synod = Synod::new(client);\n");
    for (node, url) in databases(config) {
        let kind = match url.kind {
            Kind::Postgres => "Postgres",
            Kind::Mysql => "Mysql",
            Kind::Store => {
                let (number, address) = (node.0, url.address());
                let _ = writeln!(
                    text,
                    "  let store_{number} = Store::new({address:?}, NodeId({number}), tls.clone(), Default::default())?;"
                );
                continue;
            }
        };
        let url = url.without_password();
        let _ = writeln!(text, "  let database_{0} = {kind}::connect({url:?}, NodeId({0})).await?;", node.0);
    }
    text.push_str(
        "  let mut tx = synod.transaction();   // tx.on(&database).await?, and at the end tx.commit().await?\n",
    );
    text
}
