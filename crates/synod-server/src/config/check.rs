//! What a file says must make sense. Every complaint names the file, the key, what is there, and what should be.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use synod::{NodeId, commit::ClusterId};

use super::{
    Config, Kind, LogConfig, NoCluster, NodeConfig, RecordConfig, TracesConfig, Url,
    file::{File, NodePart, TracesPart},
};
use crate::failure::{Exit, Failure};

/// What is said when nothing else is.
pub(super) mod default {
    pub(crate) const DATA: &str = "data";
    pub(crate) const CERTIFICATES: &str = ".";
    pub(crate) const HTTP: &str = "127.0.0.1:7400";
    pub(crate) const TOKEN: &str = "token";
    pub(crate) const READ_TOKEN: &str = "read_token";
    pub(crate) const FILTER: &str = "info";
    pub(crate) const CONNECTIONS: usize = 384;
    pub(crate) const RECORD_FILES: usize = 8;
    pub(crate) const RECORD_MEGABYTES: u64 = 16;
    pub(crate) const TRACES_RATIO: f64 = 1.0;
}

/// The complaint that `key` in the file is `found`.
fn wrong(path: &Path, key: &str, found: impl Display, expected: &str, remedy: &str) -> Failure {
    let what = format!("{key} in {} is {found}", path.display());
    Failure::new(Exit::Configuration, what, remedy).because(format!("{key} must be {expected}"))
}

pub(super) fn no_cluster(path: &Path, cause: &NoCluster) -> Failure {
    let what = format!("cluster.members in {} make no cluster", path.display());
    let remedy = "name one, three or five members, each with a number of its own and its address, such as 1 = \
     \"a.example:7401\"";
    Failure::new(Exit::Configuration, what, remedy).caused_by(cause)
}

pub(super) fn check(path: &Path, file: File) -> Result<Config, Failure> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let within = |given: Option<String>, default: &str| folder.join(given.as_deref().unwrap_or(default));
    let id = &file.cluster.id;
    let cluster: ClusterId = id.parse().map_err(|_| {
        let remedy = "copy it from the file of another node of the cluster; `synod init` draws one for a new cluster";
        wrong(path, "cluster.id", format!("{id:?}"), "32 hexadecimal digits", remedy)
    })?;
    let members = addresses(path, "cluster.members", file.cluster.members)?;
    let agents = addresses(path, "cluster.agents", file.cluster.agents)?;
    if let Some(node) = members.keys().find(|node| agents.contains_key(node)) {
        let remedy =
            "give the agent of the database a number that no other node has, in cluster.agents and in [[node]]";
        return Err(wrong(
            path,
            "cluster.agents",
            format!("also a list of {}", node.0),
            "of other nodes than the members",
            remedy,
        ));
    }
    let mut nodes: Vec<NodeConfig> = Vec::new();
    for part in file.nodes {
        let node = self::node(path, &folder, part)?;
        let key = format!("node.id = {}", node.id.0);
        if nodes.iter().any(|other| other.id == node.id) {
            return Err(wrong(path, &key, "there twice", "there once", "give each [[node]] an id of its own"));
        }
        match (members.contains_key(&node.id), &node.database) {
            (true, Some(_)) => {
                let remedy = "write a second [[node]] for the database, with an id and a port of its own, and name it \
                 in cluster.agents: then the cluster goes on while the database is away";
                return Err(wrong(path, &key, "a member with a database", "one or the other", remedy));
            }
            (false, None) if !node.join => {
                let remedy =
                    "name it in cluster.members, give it a database, or say join = true if it is to replace a member";
                return Err(wrong(
                    path,
                    &key,
                    "nothing in this cluster",
                    "a member, or the agent of a database",
                    remedy,
                ));
            }
            _ => {}
        }
        nodes.push(node);
    }
    if nodes.is_empty() {
        let remedy = "write a [[node]] with an id and the address to listen on; `synod init` makes whole files";
        return Err(wrong(path, "node", "not there", "there at least once", remedy));
    }
    let http = file.http.listen.unwrap_or_else(|| default::HTTP.into());
    let connections = file.limits.connections.unwrap_or(default::CONNECTIONS);
    if connections == 0 {
        let remedy = "leave it out, or set it to the connections of all applications to one node";
        return Err(wrong(path, "limits.connections", "0", "at least 1", remedy));
    }
    let config = Config {
        path: path.to_owned(),
        cluster,
        members,
        agents,
        nodes,
        data: within(file.data, default::DATA),
        certificates: within(file.tls.folder, default::CERTIFICATES),
        http: listen(path, "http.listen", &http)?,
        https: file.https.listen.map(|https| listen(path, "https.listen", &https)).transpose()?,
        token: within(file.http.token_file, default::TOKEN),
        read_token: within(file.http.read_token_file, default::READ_TOKEN),
        log: LogConfig { format: file.log.format, filter: file.log.filter.unwrap_or_else(|| default::FILTER.into()) },
        connections,
        record: RecordConfig {
            folder: file.record.folder.map(|named| folder.join(named)),
            files: file.record.files.unwrap_or(default::RECORD_FILES),
            file_megabytes: file.record.file_megabytes.unwrap_or(default::RECORD_MEGABYTES),
        },
        traces: traces(path, file.traces)?,
    };
    config.cluster()?;
    let bounds = [
        ("record.files", config.record.files as u64, 2..=10_000),
        ("record.file_megabytes", config.record.file_megabytes, 1..=1_024),
    ];
    for (key, found, range) in bounds {
        if !range.contains(&found) {
            let expected = format!("from {} to {}", range.start(), range.end());
            return Err(wrong(path, key, found, &expected, "leave it out, or set it within that range"));
        }
    }
    if config.token == config.read_token {
        let remedy = "name two files: the token of http.read_token_file only allows reading";
        let found = format!("{}, and so is http.token_file", config.read_token.display());
        return Err(wrong(path, "http.read_token_file", found, "another file than http.token_file", remedy));
    }
    if let Err(error) = config.log.filter.parse::<tracing_subscriber::EnvFilter>() {
        let remedy = "use error, warn, info, debug or trace, or several such as info,synod_grpc=debug";
        let found = format!("{:?}", config.log.filter);
        return Err(wrong(path, "log.filter", found, "a filter of levels", remedy).because(error.to_string()));
    }
    Ok(config)
}

fn traces(path: &Path, TracesPart { endpoint, ratio }: TracesPart) -> Result<TracesConfig, Failure> {
    let ratio = ratio.unwrap_or(default::TRACES_RATIO);
    if !(0.0..=1.0).contains(&ratio) {
        let remedy = "leave it out to have the traces of all transactions, or write 0.01 for those of one in a hundred";
        return Err(wrong(path, "traces.ratio", ratio, "from 0 to 1", remedy));
    }
    let Some(endpoint) = endpoint else { return Ok(TracesConfig { endpoint, ratio }) };
    let found = format!("{endpoint:?}");
    if !cfg!(feature = "opentelemetry") {
        let remedy = "leave [traces] out, or install a synod that sends them: `cargo install --path crates/synod-server \
         --features opentelemetry`";
        let expected = "left out, for this synod was built without the feature opentelemetry";
        return Err(wrong(path, "traces.endpoint", found, expected, remedy));
    }
    if endpoint.strip_prefix("http://").and_then(address).is_none() {
        let remedy = "name a collector that takes OTLP over gRPC, on this machine or in a network that you trust, such as \
         http://127.0.0.1:4317";
        return Err(wrong(path, "traces.endpoint", found, "of the form http://host:port", remedy));
    }
    Ok(TracesConfig { endpoint: Some(endpoint), ratio })
}

fn node(path: &Path, folder: &Path, part: NodePart) -> Result<NodeConfig, Failure> {
    let NodePart { id, listen: at, join, database, database_file, database_ca } = part;
    let text = match (database, database_file) {
        (Some(_), Some(_)) => {
            let key = format!("node.database of node {id}");
            return Err(wrong(path, &key, "there beside node.database_file", "there alone", "remove one of the two"));
        }
        (Some(text), None) => Some(text),
        (None, Some(file)) => {
            let file = folder.join(file);
            let text = fs::read_to_string(&file).map_err(|error| {
                let what = format!(
                    "the file {}, named by node.database_file of node {id} in {}, cannot be read",
                    file.display(),
                    path.display()
                );
                let remedy = "put the URL of the database into it, and let this user read it";
                Failure::new(Exit::Configuration, what, remedy).caused_by(&error)
            })?;
            Some(text.trim().to_owned())
        }
        (None, None) => None,
    };
    let key = format!("node.database of node {id}");
    let database = text
        .map(|text| {
            url(&text).ok_or_else(|| {
                let remedy =
                    "write postgres://user:password@host:5432/database, mysql://user:password@host:3306/database, or for a \
                     store of your own store://host:port";
                wrong(path, &key, "of an unknown kind", "a URL of PostgreSQL, MariaDB or MySQL, or of a store", remedy)
            })
        })
        .transpose()?
        .map(|url| Url { ca: database_ca.map(|file| folder.join(file)), ..url });
    let listen = listen(path, &format!("node.listen of node {id}"), &at)?;
    Ok(NodeConfig { id: NodeId(id), listen, join, database })
}

/// Which database it is, by the scheme.
pub(crate) fn url(text: &str) -> Option<Url> {
    let (kind, text) = match text.split_once("://") {
        Some(("postgres" | "postgresql", _)) => (Kind::Postgres, text.to_owned()),
        Some(("mysql", _)) => (Kind::Mysql, text.to_owned()),
        Some(("mariadb", rest)) => (Kind::Mysql, format!("mysql://{rest}")),
        Some(("store", at)) if address(at).is_some() => (Kind::Store, text.to_owned()),
        Some(_) => return None,
        None if text.contains('=') => (Kind::Postgres, text.to_owned()),
        None => return None,
    };
    Some(Url { kind, text, ca: None })
}

fn listen(path: &Path, key: &str, text: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        let remedy =
            "write the address of an interface of this machine and a port, such as 0.0.0.0:7401 for all interfaces";
        wrong(path, key, format!("{text:?}"), "an IP address and a port", remedy)
    })
}

fn addresses(path: &Path, key: &str, given: BTreeMap<String, String>) -> Result<BTreeMap<NodeId, String>, Failure> {
    let one = |(node, at): (String, String)| {
        let number = node.parse().map_err(|_| {
            wrong(
                path,
                key,
                format!("a list with {node:?}"),
                "a list of node numbers with addresses",
                "write 1 = \"a.example:7401\"",
            )
        })?;
        if address(&at).is_none() {
            let remedy = "write a name or an IP address that the other nodes reach, and a port, such as a.example:7401";
            return Err(wrong(path, &format!("{key}.{node}"), format!("{at:?}"), "of the form host:port", remedy));
        }
        Ok((NodeId(number), at))
    };
    given.into_iter().map(one).collect()
}

/// The host and the port of an address, if it is one.
pub(crate) fn address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    (!host.is_empty() && host.chars().all(is_host)).then_some((host, port.parse().ok()?))
}
