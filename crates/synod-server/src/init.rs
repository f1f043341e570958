//! A new cluster: its name, its authority, and a folder for each process to copy to its machine.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use synod::{NodeId, commit::ClusterId};
use synod_grpc::Role;

use crate::{
    certs::{self, Authority, DAYS, Mode},
    cli::DatabaseAt,
    config::address,
    failure::{Exit, Failure},
};

/// The number of the first client. Nodes and clients are numbered together.
pub(crate) const CLIENT: NodeId = NodeId(1000);

/// Where the operator's commands are answered: the first process of a host.
pub(crate) const HTTP: u16 = 7400;

/// Who is in a cluster: `cluster.toml`, beside the authority's key.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) members: BTreeMap<NodeId, String>,
    pub(crate) agents: BTreeMap<NodeId, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    id: String,
    #[serde(default)]
    members: BTreeMap<String, String>,
    #[serde(default)]
    agents: BTreeMap<String, String>,
}

/// What `init` has made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    pub(crate) cluster: String,
    pub(crate) folder: PathBuf,
    /// One for each process.
    pub(crate) processes: Vec<PathBuf>,
    pub(crate) client: PathBuf,
}

impl Cluster {
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("cluster.toml");
        let no_use = |cause: String| {
            let remedy =
                "name the folder that `synod init` made (--cluster FOLDER), with the cluster.toml that it wrote";
            Failure::new(Exit::Configuration, format!("{} cannot be used", path.display()), remedy).because(cause)
        };
        let text = fs::read_to_string(&path).map_err(|error| no_use(error.to_string()))?;
        let file: ClusterFile = toml::from_str(&text).map_err(|error| no_use(error.to_string()))?;
        let nodes = |given: BTreeMap<String, String>| {
            given.into_iter().map(|(node, at)| node.parse().map(|node| (NodeId(node), at))).collect::<Result<_, _>>()
        };
        let (members, agents) = (nodes(file.members), nodes(file.agents));
        Ok(Self {
            id: file.id.parse().map_err(|_| no_use("id must be 32 hexadecimal digits".into()))?,
            members: members.map_err(|error| no_use(format!("members: {error}")))?,
            agents: agents.map_err(|error| no_use(format!("agents: {error}")))?,
        })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let mut text = format!(
            "# Who is in this cluster. Its authority's key is beside it: keep both to yourself.\nid = \"{}\"\n",
            self.id
        );
        tables(&mut text, "", &self.members, &self.agents);
        certs::write(&folder.join("cluster.toml"), &text, Mode::Open)
    }
}

/// Writes the tables of members and agents.
fn tables(text: &mut String, prefix: &str, members: &BTreeMap<NodeId, String>, agents: &BTreeMap<NodeId, String>) {
    for (name, nodes) in [("members", members), ("agents", agents)] {
        if !nodes.is_empty() {
            let _ = writeln!(text, "\n[{prefix}{name}]");
            nodes.iter().for_each(|(node, at)| {
                let _ = writeln!(text, "{} = {}", node.0, quoted(at));
            });
        }
    }
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A node of a process that is to be.
pub(crate) struct NewNode {
    pub(crate) id: NodeId,
    pub(crate) listen: String,
    pub(crate) join: bool,
    pub(crate) database: Option<String>,
}

/// The text of the file of a process.
pub(crate) fn node_toml(cluster: &Cluster, nodes: &[NewNode], http: &str) -> String {
    let mut text = format!(
        "# A process of a synod cluster: `synod run node.toml`. `synod run --explain node.toml` lists every \
         setting.\n\n\
         [cluster]\nid = \"{}\"\n",
        cluster.id
    );
    tables(&mut text, "cluster.", &cluster.members, &cluster.agents);
    for node in nodes {
        let _ = write!(text, "\n[[node]]\nid = {}\nlisten = {}\n", node.id.0, quoted(&node.listen));
        if node.join {
            text.push_str("join = true\n");
        }
        if let Some(database) = &node.database {
            let _ = writeln!(text, "database = {}", quoted(database));
        }
    }
    let _ = write!(text, "\n[http]\nlisten = {}\n", quoted(http));
    text
}

/// Makes the folder of a process: its file, its certificates and its token.
pub(crate) fn process(
    folder: &Path,
    cluster: &Cluster,
    authority: &Authority,
    nodes: &[NewNode],
    http: &str,
) -> Result<PathBuf, Failure> {
    for node in nodes {
        authority.issue(folder, Role::Node(node.id), DAYS)?;
    }
    certs::write(&folder.join("token"), &certs::random_hex::<24>()?, Mode::Secret)?;
    // It may have the password of a database in it.
    certs::write(&folder.join("node.toml"), &node_toml(cluster, nodes, http), Mode::Secret)?;
    Ok(folder.to_owned())
}

/// Makes a cluster in `folder`.
pub(crate) fn init(folder: &Path, members: &[String], databases: &[DatabaseAt]) -> Result<Made, Failure> {
    if folder.join("authority.key").exists() {
        let remedy =
            "name another folder; a node is added to this cluster by `synod join`, a certificate by `synod certs`";
        return Err(Failure::new(Exit::Refused, format!("there is a cluster in {} already", folder.display()), remedy));
    }
    let numbered = members.iter().zip(1..).map(|(at, id)| (NodeId(id), at.clone()));
    let cluster = Cluster {
        id: ClusterId(certs::random()?),
        members: numbered.collect(),
        agents: databases.iter().map(|database| (database.node, database.address.clone())).collect(),
    };
    check(&cluster, databases)?;
    let authority = Authority::create(folder, cluster.id)?;
    cluster.write(folder)?;
    let mut taken = BTreeMap::<String, u16>::new();
    let mut processes = Vec::new();
    let nodes = cluster.members.iter().map(|(id, at)| (*id, at, None));
    let beside = databases.iter().map(|database| (database.node, &database.address, Some(&database.url)));
    for (id, at, url) in nodes.chain(beside) {
        let (host, port) = address(at).unwrap_or((at, 0));
        // Processes of one machine need ports of their own.
        let next = taken.entry(host.to_owned()).and_modify(|next| *next += 1).or_insert(HTTP);
        let name = if url.is_some() { format!("agent-{}", id.0) } else { format!("node-{}", id.0) };
        let node = NewNode { id, listen: format!("{}:{port}", all(host)), join: false, database: url.cloned() };
        processes.push(process(&folder.join(name), &cluster, &authority, &[node], &format!("127.0.0.1:{next}"))?);
    }
    let client = folder.join(certs::file_name(Role::Client(CLIENT)));
    authority.issue(&client, Role::Client(CLIENT), DAYS)?;
    Ok(Made { cluster: cluster.id.to_string(), folder: folder.to_owned(), processes, client })
}

/// Makes the folder of a node that is to take a member's place. The members are those of `present`, or else of the
/// cluster's file.
pub(crate) fn join(
    folder: &Path,
    id: NodeId,
    at: &str,
    present: Option<BTreeMap<NodeId, String>>,
) -> Result<PathBuf, Failure> {
    let mut cluster = Cluster::read(folder)?;
    let authority = Authority::read(folder)?;
    let known = || cluster.members.keys().chain(cluster.agents.keys());
    if known().any(|node| *node == id) {
        let free = known().map(|node| node.0).max().unwrap_or(0) + 1;
        let remedy = format!("choose a number that was never used, such as {free}");
        return Err(Failure::new(Exit::Usage, format!("node {} is in {} already", id.0, folder.display()), remedy));
    }
    if let Some(present) = present {
        cluster.members = present;
        cluster.write(folder)?;
    }
    let (host, port) = address(at).unwrap_or((at, 0));
    let node = NewNode { id, listen: format!("{}:{port}", all(host)), join: true, database: None };
    let name = folder.join(format!("node-{}", id.0));
    process(&name, &cluster, &authority, &[node], &format!("127.0.0.1:{HTTP}"))
}

/// What to listen on, to be reached at `host`.
fn all(host: &str) -> &str {
    match host {
        "localhost" => "127.0.0.1",
        host if host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()) => host,
        _ => "0.0.0.0",
    }
}

fn check(cluster: &Cluster, databases: &[DatabaseAt]) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for (node, at) in cluster.members.iter().chain(&cluster.agents) {
        if seen.contains(&at) {
            let remedy = "give each node a port of its own: two nodes of one machine differ in the port";
            return Err(Failure::new(
                Exit::Usage,
                format!("node {} has the address {at} of another node", node.0),
                remedy,
            ));
        }
        seen.push(at);
    }
    for database in databases {
        if cluster.members.contains_key(&database.node) {
            let remedy = format!(
                "members are numbered from 1 on: give the database a higher number, such as {}",
                database.node.0 + 10
            );
            return Err(Failure::new(
                Exit::Usage,
                format!("the database {} has the number of a member", database.node.0),
                remedy,
            ));
        }
    }
    if databases.len() != cluster.agents.len() {
        return Err(Failure::new(
            Exit::Usage,
            "two databases have one number",
            "give each database a number of its own",
        ));
    }
    if cluster.members.len().is_multiple_of(2) {
        let remedy = "name one, three or five members: an even number survives no more failures than one less";
        return Err(Failure::new(
            Exit::Usage,
            format!("{} members make no good cluster", cluster.members.len()),
            remedy,
        ));
    }
    Ok(())
}
