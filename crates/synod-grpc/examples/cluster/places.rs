//! Where each process listens, and how it is connected.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use synod::NodeId;
use synod_grpc::Options;

use crate::cast::{CAST, Name};

/// The addresses of a running cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Places(BTreeMap<String, String>);

/// How many addresses there are for processes that come later, besides those of processes that have gone.
const SPARE: usize = 9;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("{path} cannot be used; is there a cluster?")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} holds no addresses")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{0} has no address")]
    Nowhere(Name),
    #[error("there are not enough free ports in a row")]
    NoPorts,
}

impl Places {
    /// For everyone ports that are free now, in a row, and below those that systems give to connections: nothing takes one
    /// while its process is away. And addresses for those who come later.
    pub(crate) fn find() -> Result<(Self, VecDeque<String>), PlaceError> {
        let names: Vec<Name> = CAST.names().collect();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let rows = (0..1_000).map(|row| 10_000 + (process::id().wrapping_add(row) % 1_000) as u16 * 16);
        let ports = |first: u16| (first..).take(names.len() + SPARE);
        let first = rows.into_iter().find(|first| ports(*first).all(free)).ok_or(PlaceError::NoPorts)?;
        let mut addresses: VecDeque<String> = ports(first).map(|port| format!("127.0.0.1:{port}")).collect();
        let spare = addresses.split_off(names.len());
        Ok((Self(names.iter().map(Name::to_string).zip(addresses).collect()), spare))
    }

    pub(crate) fn read(data: &Path) -> Result<Self, PlaceError> {
        read(Self::path(data))
    }

    pub(crate) fn write(&self, data: &Path) -> Result<(), PlaceError> {
        write(Self::path(data), self)
    }

    /// `name` is at `address`.
    pub(crate) fn set(&mut self, name: Name, address: String) {
        self.0.insert(name.to_string(), address);
    }

    /// `name` is nowhere any more. Returns where it was.
    pub(crate) fn remove(&mut self, name: Name) -> Option<String> {
        self.0.remove(&name.to_string())
    }

    pub(crate) fn of(&self, name: Name) -> Result<&str, PlaceError> {
        self.0.get(&name.to_string()).map(String::as_str).ok_or(PlaceError::Nowhere(name))
    }

    /// Whose addresses these are, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + use<> {
        self.0.keys().filter_map(|name| name.parse().ok()).collect::<BTreeSet<Name>>().into_iter()
    }

    /// The addresses as a membership has them.
    pub(crate) fn contacts(&self) -> Result<BTreeMap<NodeId, Vec<u8>>, PlaceError> {
        self.names().map(|name| Ok((CAST.node(name), self.contact(name)?.into()))).collect()
    }

    pub(crate) fn contact(&self, name: Name) -> Result<String, PlaceError> {
        Ok(format!("https://{}", self.of(name)?))
    }

    fn path(data: &Path) -> PathBuf {
        data.join("addresses.json")
    }
}

/// Who the members are, as configuration files have it.
pub(crate) fn members(data: &Path) -> Result<Vec<Name>, PlaceError> {
    let names: Vec<String> = read(members_path(data))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Gives these members to the configuration files.
pub(crate) fn write_members(data: &Path, members: &[Name]) -> Result<(), PlaceError> {
    write(members_path(data), &members.iter().map(Name::to_string).collect::<Vec<String>>())
}

fn members_path(data: &Path) -> PathBuf {
    data.join("members.json")
}

fn read<T: DeserializeOwned>(path: PathBuf) -> Result<T, PlaceError> {
    let text = fs::read(&path).map_err(|source| PlaceError::File { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| PlaceError::Malformed { path, source })
}

/// All at once: a process may be starting, and reading it.
fn write(path: PathBuf, what: &impl Serialize) -> Result<(), PlaceError> {
    let text =
        serde_json::to_vec_pretty(what).map_err(|source| PlaceError::Malformed { path: path.clone(), source })?;
    let fresh = path.with_extension("new");
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
    written.map_err(|source| PlaceError::File { path, source })
}

/// Whoever is back is soon found. Whoever stands still is not given up soon: on a busy machine everyone does at times, and
/// a handshake costs more than to wait.
pub(crate) fn options() -> Options {
    Options::default()
        .with_backoff(Duration::from_millis(20))
        .with_backoff_ceiling(Duration::from_millis(200))
        // Whoever waits for a transfer is one of them.
        .with_calls(1 << 14)
        .with_grace(Duration::from_secs(1))
}
