//! Every setting of a file, with what holds and what it means.

use serde::Serialize;

use super::{Config, LogFormat, check::default};

/// A setting.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    /// What holds if the file does not say; nothing, if it must.
    pub(crate) default: Option<String>,
    pub(crate) meaning: &'static str,
}

/// All settings, as they hold.
pub(crate) fn explain(config: &Config) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut add = |key: &str, value: String, default: Option<&str>, meaning| {
        settings.push(Setting { key: key.into(), value, default: default.map(str::to_owned), meaning });
    };
    let list = |nodes: &std::collections::BTreeMap<synod::NodeId, String>| {
        let each = nodes.iter().map(|(node, at)| format!("{} = {at}", node.0));
        each.collect::<Vec<_>>().join(", ")
    };
    add(
        "cluster.id",
        config.cluster.to_string(),
        None,
        "which cluster this process belongs to: the same in all its files",
    );
    add(
        "cluster.members",
        list(&config.members),
        None,
        "acceptors and transaction managers, as they are now, and where they are; a majority of them must run",
    );
    add(
        "cluster.agents",
        list(&config.agents),
        Some(""),
        "the nodes that stand beside databases, and where they are; read again at SIGHUP",
    );
    for node in &config.nodes {
        let key = |name: &str| format!("node {}: {name}", node.id.0);
        add(
            &key("listen"),
            node.listen.to_string(),
            None,
            "where other nodes and applications reach it, over gRPC with TLS",
        );
        let join = "it comes to a running cluster to take a member's place: needed for its first start only";
        add(&key("join"), node.join.to_string(), Some("false"), join);
        let database = node.database.as_ref().map(super::Url::without_password).unwrap_or_default();
        let meaning = "the database that it votes for; database_file names a file with the URL instead";
        add(&key("database"), database, Some(""), meaning);
        let ca = node.database.as_ref().and_then(|url| url.ca.as_ref()).map(|file| file.display().to_string());
        let meaning = "the authority of its server's certificate, in PEM: for a URL with sslmode=require (PostgreSQL) or \
                       require_ssl=true";
        add(&key("database_ca"), ca.unwrap_or_default(), Some(""), meaning);
    }
    let folder = "the records of its nodes: never lose them, never put an older copy in their place";
    add("data", config.data.display().to_string(), Some(default::DATA), folder);
    let folder = "where authority.pem, node-N.pem and node-N.key are; read again at SIGHUP";
    add("tls.folder", config.certificates.display().to_string(), Some(default::CERTIFICATES), folder);
    let http = "where the console, /metrics, /healthz, /readyz and the operator's commands are answered; beyond \
                loopback, every call needs a token";
    add("http.listen", config.http.to_string(), Some(default::HTTP), http);
    let https = config.https.map(|https| https.to_string()).unwrap_or_default();
    let meaning = "where the same is answered over TLS, by console.pem and console.key in tls.folder: a certificate of the \
                   cluster's for an operator or a reader takes the place of a token; nowhere, without it";
    add("https.listen", https, Some(""), meaning);
    let token = "the file with the token for what changes something; made at the first start, for this user alone";
    add("http.token_file", config.token.display().to_string(), Some(default::TOKEN), token);
    let token = "the file with the token for what only reads, from another machine: for Prometheus, and for people who \
                 look; made at the first start, for this user alone";
    add("http.read_token_file", config.read_token.display().to_string(), Some(default::READ_TOKEN), token);
    let format = match config.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    add("log.format", format.into(), Some("text"), "text for people, json for machines");
    add("log.filter", config.log.filter.clone(), Some(default::FILTER), "what is logged: a level, or levels by module");
    let connections = "the connections of applications to the nodes of this process, all together";
    let most = default::CONNECTIONS.to_string();
    add("limits.connections", config.connections.to_string(), Some(&most), connections);
    let folder = config.record.folder.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
    let meaning =
        "where all that the nodes are told is recorded, for `synod replay` and `synod draw`; nothing is, without it";
    add("record.folder", folder, Some(""), meaning);
    let files = default::RECORD_FILES.to_string();
    add("record.files", config.record.files.to_string(), Some(&files), "how many files of each node are kept");
    let megabytes = default::RECORD_MEGABYTES.to_string();
    let meaning = "about how large each of them is, apart from the state of the node with which it begins";
    add("record.file_megabytes", config.record.file_megabytes.to_string(), Some(&megabytes), meaning);
    let meaning = "the collector of OpenTelemetry that traces of transactions are sent to, over gRPC, such as \
                   http://127.0.0.1:4317; none are, without it. Takes a synod with the feature opentelemetry";
    add("traces.endpoint", config.traces.endpoint.clone().unwrap_or_default(), Some(""), meaning);
    let ratio = default::TRACES_RATIO.to_string();
    let meaning =
        "which share of the transactions is traced, from 0 to 1: the same ones by all nodes, if all say the same";
    add("traces.ratio", config.traces.ratio.to_string(), Some(&ratio), meaning);
    settings
}
