//! Where each process listens, and how it is connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use synod::NodeId;
use synod_grpc::Options;

use crate::cast::{CAST, Name};

/// The addresses of a running cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Places(BTreeMap<String, String>);

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
    /// Ports that are free now, in a row, and below those that systems give to connections: nothing takes one while its
    /// process is away.
    pub(crate) fn find() -> Result<Self, PlaceError> {
        let names: Vec<Name> = CAST.all().collect();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let rows = (0..1_000).map(|row| 10_000 + (process::id().wrapping_add(row) % 1_000) as u16 * 16);
        let ports = |first: u16| (first..).take(names.len());
        let first = rows.into_iter().find(|first| ports(*first).all(free)).ok_or(PlaceError::NoPorts)?;
        let places = names.iter().zip(ports(first));
        Ok(Self(places.map(|(name, port)| (name.to_string(), format!("127.0.0.1:{port}"))).collect()))
    }

    pub(crate) fn read(data: &Path) -> Result<Self, PlaceError> {
        let path = Self::path(data);
        let text = fs::read(&path).map_err(|source| PlaceError::File { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| PlaceError::Malformed { path, source })
    }

    pub(crate) fn write(&self, data: &Path) -> Result<(), PlaceError> {
        let path = Self::path(data);
        let text =
            serde_json::to_vec_pretty(self).map_err(|source| PlaceError::Malformed { path: path.clone(), source })?;
        fs::write(&path, text).map_err(|source| PlaceError::File { path, source })
    }

    pub(crate) fn of(&self, name: Name) -> Result<&str, PlaceError> {
        self.0.get(&name.to_string()).map(String::as_str).ok_or(PlaceError::Nowhere(name))
    }

    /// Those of `names` alone.
    pub(crate) fn only(&self, names: impl IntoIterator<Item = Name>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(|name| name.to_string()).collect();
        let places = self.0.iter().filter(|(name, _)| names.contains(*name));
        Self(places.map(|(name, place)| (name.clone(), place.clone())).collect())
    }

    /// Whose addresses these are.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + use<'_> {
        CAST.all().filter(|name| self.0.contains_key(&name.to_string()))
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
