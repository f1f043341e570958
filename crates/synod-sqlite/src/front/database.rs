//! A file, as an application and its agent share it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome},
};
use synod_client::{Alarm, Alarms, Cause, Database, Desk, Kind, Name};
use tokio::{
    sync::{RwLock, Semaphore},
    task::spawn_blocking,
};

use super::{Error, Options, SqliteBranch, fence, file, touched::Tracked};

/// How many connections are kept for the next branches.
const IDLE: usize = 2;

/// A SQLite file that stands in a cluster as one participant. A clone shares its connections.
///
/// For an application it opens branches; beside it, or in another process, it is the participant's agent. See the
/// [module](super) for an example.
#[derive(Clone)]
pub struct Sqlite(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) participant: NodeId,
    pub(crate) options: Options,
    pub(crate) desk: Desk,
    /// A vote holds this while it looks and answers; the sweep, while it asks the node, looks and reports.
    pub(crate) votes_given: RwLock<()>,
    /// Whose branch's turn it is, of this process.
    pub(crate) turn: Arc<Semaphore>,
    idle: Mutex<Vec<Tracked>>,
    /// To look: this waits for nobody.
    looks: Mutex<Connection>,
    /// To carry out.
    verdicts: Mutex<Connection>,
    pub(crate) alarms: Alarms,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { path, participant, .. } = &*self.0;
        f.debug_struct("Sqlite").field("path", path).field("participant", participant).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file at `path`, or creates it if it is missing, and creates the tables of this crate in it. From then on the
    /// file belongs to `participant`: the error for any other says whose file it is.
    pub async fn open(path: impl AsRef<Path>, participant: NodeId) -> Result<Self, Error> {
        Self::open_with(path, participant, Options::new()).await
    }

    /// The same, with options.
    pub async fn open_with(path: impl AsRef<Path>, participant: NodeId, options: Options) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        blocking(&path.clone(), move || {
            // Connections are opened later, too, wherever the process is then.
            let path = std::path::absolute(&path).unwrap_or(path);
            let verdicts = file::for_verdicts(&path, options.wait)?;
            file::check(&verdicts, &path, participant)?;
            let looks = file::connect(&path, options.wait)?;
            Ok(Self(Arc::new(Inner {
                participant,
                desk: Desk::new(),
                votes_given: RwLock::default(),
                turn: Arc::new(Semaphore::new(1)),
                idle: Mutex::default(),
                looks: Mutex::new(looks),
                verdicts: Mutex::new(verdicts),
                alarms: Alarms::default(),
                options,
                path,
            })))
        })
        .await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Which participant this is.
    pub fn participant(&self) -> NodeId {
        self.0.participant
    }

    /// What is not as it must be in this file, as far as the agent of this process has seen: raise an alarm.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms.list()
    }

    /// The transactions whose branches are prepared in the file: one, or none.
    pub async fn prepared(&self) -> Result<Vec<TxId>, Error> {
        let prepared = self.0.look(fence::prepared).await?;
        Ok(prepared.iter().map(synod::commit::Transaction::id).collect())
    }
}

impl Inner {
    /// Looks into the file.
    pub(crate) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection, &Path) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(self);
        blocking(&self.path, move || work(&lock(&inner.looks), &inner.path)).await
    }

    /// Writes into the file, once nobody else does.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection, &Path) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(self);
        blocking(&self.path, move || work(&lock(&inner.verdicts), &inner.path)).await
    }

    /// Carries `outcome` out. What stands in the way for good is returned.
    pub(crate) async fn carry_out(self: &Arc<Self>, tx: TxId, outcome: Outcome) -> Result<Option<Kind>, Error> {
        self.write(move |db, path| fence::carry_out(db, path, tx, outcome)).await
    }

    /// Notes that the file stands in `cluster`.
    pub(crate) async fn join(self: &Arc<Self>, cluster: ClusterId) -> Result<(), Error> {
        let participant = self.participant;
        self.write(move |db, path| file::join(db, path, participant, cluster)).await
    }

    /// A connection for a branch.
    pub(crate) fn lend(&self) -> Result<Tracked, Error> {
        match lock(&self.idle).pop() {
            Some(tracked) => Ok(tracked),
            None => Tracked::open(&self.path, self.options.wait, self.options.foreign_keys),
        }
    }

    /// Takes back the connection of a branch that is over.
    pub(crate) fn give_back(&self, tracked: Tracked) {
        file::roll_back(&tracked.db);
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE && tracked.db.is_autocommit() {
            idle.push(tracked);
        }
    }

    /// Says that a branch is not as it must be, once.
    pub(crate) fn raise(&self, tx: TxId, outcome: Outcome, kind: Kind) {
        self.alarms.raise(self.participant, Alarm::new(tx, outcome, kind));
    }

    /// A branch is carried out after all.
    pub(crate) fn clear(&self, tx: TxId) {
        self.alarms.clear(self.participant, tx);
    }
}

impl Database for Sqlite {
    type Branch = SqliteBranch;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn open(&self, _: Option<Name>) -> Result<SqliteBranch, Cause> {
        Ok(SqliteBranch::begin(self.clone()).await?)
    }
}

/// Does what waits for a disk, or for a lock, beside the runtime's tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime has ended.
        Err(_) => Err(Error::RolledBack(path.into())),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
