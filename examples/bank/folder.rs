//! The folder of all databases: one for each node, and one for the teller.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use synod::{
    commit::{Cluster, Config},
    perform::{
        Driver, DriverError,
        fjall::{FjallError, FjallStorage, KEYSPACE, create_whole},
    },
};

use crate::{
    cast::{Cast, Name},
    ledger::Books,
    site::{Site, SiteError},
};

/// The folder, with every database in it.
#[derive(Clone)]
pub(crate) struct Folder {
    databases: PathBuf,
    cast: Cast,
    cluster: Cluster,
    seed: u64,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error(transparent)]
    Made(#[from] FjallError),
    #[error("{name}: its database cannot be used")]
    Site { name: Name, source: SiteError },
    #[error("{name}: its node cannot be had")]
    Driver { name: Name, source: DriverError<FjallError> },
    #[error("the database of {name} is gone; a node without its memory must not take part")]
    Gone { name: Name },
    #[error("the teller's database cannot be used")]
    Teller(#[source] fjall::Error),
    #[error("the folder was made for {made} {what}, not for {asked}")]
    OtherCast { what: &'static str, made: u64, asked: u64 },
    #[error("the folder does not say for how many {0} it was made")]
    NoCast(&'static str),
}

impl Folder {
    /// The folder at `path`. If it is new, every node is created there, all at once or not at all: from then on, they can
    /// only be restored.
    pub(crate) fn open(path: &Path, cast: Cast, cluster: Cluster, seed: u64) -> Result<Self, FolderError> {
        let folder = Self::of(path, cast, cluster, seed);
        if !folder.databases.exists() {
            create_whole(&folder.databases, |fresh| Self { databases: fresh.into(), ..folder.clone() }.create())?;
        }
        folder.check()?;
        Ok(folder)
    }

    /// The folder at `path`, as it is.
    pub(crate) fn of(path: &Path, cast: Cast, cluster: Cluster, seed: u64) -> Self {
        Self { databases: path.join("databases"), cast, cluster, seed }
    }

    /// The handlers of a node, from its database.
    pub(crate) fn site(&self, name: Name) -> Result<Site, FolderError> {
        let path = self.path(name);
        if !path.exists() {
            return Err(FolderError::Gone { name });
        }
        Site::restore(open(&path)?, self.cast, name).map_err(|source| FolderError::Site { name, source })
    }

    /// The teller's database, and its keyspace for results.
    pub(crate) fn teller(&self) -> Result<(Database, Keyspace), FolderError> {
        let database = open(&self.databases.join("teller"))?;
        let results = database.keyspace("results", KeyspaceCreateOptions::default).map_err(FolderError::Teller)?;
        Ok((database, results))
    }

    fn create(&self) -> Result<(), FolderError> {
        for name in self.cast.names() {
            let database = open(&self.path(name))?;
            if matches!(name, Name::Branch(_)) {
                Books::open(&database).map_err(FjallError::from)?;
            }
            let mut storage = FjallStorage::within(database, KEYSPACE)?;
            let created = Driver::create(self.config(name), &mut storage);
            created.map_err(|source| FolderError::Driver { name, source })?;
        }
        let (database, _) = self.teller()?;
        let settings = self.settings(&database)?;
        let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
        for (what, count) in self.counts() {
            batch.insert(&settings, what, count.to_be_bytes());
        }
        batch.commit().map_err(FolderError::Teller)
    }

    /// Checks that the folder was made for this cast.
    fn check(&self) -> Result<(), FolderError> {
        let (database, _) = self.teller()?;
        let settings = self.settings(&database)?;
        for (what, asked) in self.counts() {
            let made = settings.get(what).map_err(FolderError::Teller)?.ok_or(FolderError::NoCast(what))?;
            let made = u64::from_be_bytes((*made).try_into().map_err(|_| FolderError::NoCast(what))?);
            if made != asked {
                return Err(FolderError::OtherCast { what, made, asked });
            }
        }
        Ok(())
    }

    fn counts(&self) -> [(&'static str, u64); 2] {
        [("branches", self.cast.branches), ("acceptors", self.cast.acceptors)]
    }

    fn settings(&self, database: &Database) -> Result<Keyspace, FolderError> {
        database.keyspace("settings", KeyspaceCreateOptions::default).map_err(FolderError::Teller)
    }

    pub(crate) fn config(&self, name: Name) -> Config {
        let node = self.cast.node(name);
        Config::new(self.cluster.clone(), node, self.seed.wrapping_mul(1_000).wrapping_add(node.0))
    }

    fn path(&self, name: Name) -> PathBuf {
        self.databases.join(name.to_string())
    }
}

fn open(path: &Path) -> Result<Database, FjallError> {
    Database::builder(path).worker_threads(1).open().map_err(|source| FjallError::at(path, source))
}
