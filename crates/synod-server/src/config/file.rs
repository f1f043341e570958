//! The file as it is written.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use crate::failure::{Exit, Failure};

/// `node.toml`. What is not there has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) cluster: ClusterPart,
    #[serde(default, rename = "node")]
    pub(super) nodes: Vec<NodePart>,
    pub(super) data: Option<String>,
    #[serde(default)]
    pub(super) tls: TlsPart,
    #[serde(default)]
    pub(super) http: HttpPart,
    #[serde(default)]
    pub(super) https: HttpsPart,
    #[serde(default)]
    pub(super) log: LogPart,
    #[serde(default)]
    pub(super) limits: LimitsPart,
    #[serde(default)]
    pub(super) record: RecordPart,
    #[serde(default)]
    pub(super) traces: TracesPart,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterPart {
    pub(super) id: String,
    pub(super) members: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) agents: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodePart {
    pub(super) id: u64,
    pub(super) listen: String,
    #[serde(default)]
    pub(super) join: bool,
    pub(super) database: Option<String>,
    pub(super) database_file: Option<String>,
    pub(super) database_ca: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsPart {
    pub(super) folder: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpPart {
    pub(super) listen: Option<String>,
    pub(super) token_file: Option<String>,
    pub(super) read_token_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpsPart {
    pub(super) listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogPart {
    #[serde(default)]
    pub(super) format: LogFormat,
    pub(super) filter: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsPart {
    pub(super) connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordPart {
    pub(super) folder: Option<String>,
    pub(super) files: Option<usize>,
    pub(super) file_megabytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesPart {
    pub(super) endpoint: Option<String>,
    pub(super) ratio: Option<f64>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: an object a line.
    Json,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<File, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let remedy = "name the file that `synod init` made for this machine (`synod run FOLDER/node.toml`), and see \
         that this user may read it; to try synod without any file, use `synod dev`";
        Failure::new(Exit::Configuration, format!("the file {name} cannot be read"), remedy).caused_by(&error)
    })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let what = format!("the file {name} is not as it must be, in line {line}");
        let remedy =
            format!("mend line {line} of {name}; `synod run --explain` lists every setting, with what it takes");
        Failure::new(Exit::Configuration, what, remedy).because(error.to_string())
    })
}

/// A file that is as it must be.
const SAMPLE: &str = r#"
[cluster]
id = "0123456789abcdef0123456789abcdef"
members = { 1 = "a.example:7401", 2 = "b.example:7401", 3 = "c.example:7401" }
agents = { 11 = "a.example:7411" }

[[node]]
id = 1
listen = "0.0.0.0:7401"

[[node]]
id = 11
listen = "0.0.0.0:7411"
database = "postgres://user:password@localhost/accounts"
"#;

/// A file that is as it must be.
pub(super) fn sample() -> Result<File, Failure> {
    toml::from_str(SAMPLE)
        .map_err(|error| Failure::new(Exit::Failed, "the sample is wrong", "report this").caused_by(&error))
}
