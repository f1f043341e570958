//! A database, as an application and its agent share it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome, TxRange},
};
use synod_client::{Alarm, Alarms, Cause, Database, Desk, Kind, Listed, Name};
use tokio::{
    sync::{Mutex as AsyncMutex, OnceCell, RwLock},
    time::{Instant, timeout},
};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Error, Options, PostgresBranch, fence,
    forgotten::Forgotten,
    identity,
    lent::Lent,
    look::list_all,
    session::{GUARD, Heard, Line, WARNINGS, is_read_only},
};

/// When the first keepalive is sent, unless a URL says otherwise: too late to notice anything.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// How often it is looked whether the server is set to read only.
const LOOK: Duration = Duration::from_secs(1);

/// A PostgreSQL database that stands in a cluster as one participant. A clone shares its connections.
///
/// For an application it opens branches; beside it, or elsewhere, it is the participant's agent.
#[derive(Clone)]
pub struct Postgres(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) participant: NodeId,
    pub(crate) options: Options,
    pub(crate) desk: Desk,
    pub(crate) heard: Heard,
    /// For branches.
    branches: Pool,
    /// For the agent, to look.
    votes: Pool,
    /// For the agent, to carry out.
    verdicts: Pool,
    /// A vote holds this while it looks and answers; the sweep, while it asks the node, looks and reports. So nothing that the
    /// sweep reports can be voted for, and committed, before the node has heard the report.
    pub(crate) votes_given: RwLock<()>,
    /// The one cluster that it stands in.
    cluster: OnceLock<ClusterId>,
    /// The database says so, too.
    joined: OnceCell<()>,
    pub(crate) alarms: Alarms,
    /// Whether the server was set to read only when it was looked last, and when that was.
    is_read_only: AtomicBool,
    looked: AsyncMutex<Option<Instant>>,
    forgotten: Mutex<Forgotten>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("participant", &self.0.participant).finish_non_exhaustive()
    }
}

impl Postgres {
    /// The database at `url` (`postgres://user:password@host:port/database`, or the keywords of libpq), which is this
    /// participant for good. Connects, checks that the server can take part, creates the tables `synod.fence` and
    /// `synod.identity` if they are not there, and notes in the database which participant it is. An error says what is missing,
    /// and how to provide it, or whose database it is.
    pub async fn connect(url: &str, participant: NodeId) -> Result<Self, Error> {
        Self::connect_with(url, participant, Options::new()).await
    }

    /// The same, with options.
    pub async fn connect_with(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let postgres = Self::connect_lazy(url, participant, options)?;
        postgres.check().await?;
        Ok(postgres)
    }

    /// The same, without connecting yet: for a process that must start although the database is away. Whether it can take part
    /// is [checked](Self::check) when its agent starts. Fails if the URL is malformed.
    pub fn connect_lazy(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let mut config: Config = url.parse().map_err(Error::Url)?;
        // A server that is cut off is noticed, unless the URL says otherwise.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(options.wait);
        }
        if config.get_keepalives_idle() == KEEPALIVES_IDLE {
            // In whole seconds, and none is no number of them.
            config.keepalives_idle(options.wait.max(Duration::from_secs(1)));
        }
        let mut branches = config.clone();
        branches.options([config.get_options().unwrap_or_default(), GUARD, WARNINGS].join(" ").trim());
        let mut agents = config.clone();
        // It has a time-out of its own. The server's would end the wait for a standby as if that had the answer.
        let wait = format!("-c lock_timeout={} -c statement_timeout=0", options.lock_timeout.as_millis());
        agents.options([config.get_options().unwrap_or_default(), &wait, WARNINGS].join(" ").trim());
        agents.application_name("synod agent");
        let heard = Heard::default();
        let manager = |config, is_guarded| manager(config, &options, heard.clone(), is_guarded);
        let pool = |manager, size, wait| pool(manager, size, wait, participant);
        Ok(Self(Arc::new(Inner {
            participant,
            desk: Desk::new(),
            branches: pool(manager(branches, true), options.connections, options.wait)?,
            votes: pool(manager(agents.clone(), false), options.votes, options.answer)?,
            verdicts: pool(manager(agents, false), options.verdicts, options.answer)?,
            heard,
            votes_given: RwLock::default(),
            cluster: OnceLock::new(),
            joined: OnceCell::new(),
            alarms: Alarms::default(),
            is_read_only: AtomicBool::default(),
            looked: AsyncMutex::default(),
            forgotten: Mutex::default(),
            options,
        })))
    }

    /// Checks again that the server can take part, that the tables are there, and that this is the participant's database.
    pub async fn check(&self) -> Result<(), Error> {
        self.0.check(self.0.for_votes().await?).await
    }

    /// Which participant this is.
    pub fn participant(&self) -> NodeId {
        self.0.participant
    }

    /// What is not as it must be in this database, as far as the agent of this process has seen: raise an alarm. What is
    /// found again later, and carried out, is no longer among them.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms.list()
    }

    /// What the database itself lists as prepared, others' included, the oldest first: at most `limit`, and how many there are.
    pub async fn prepared(&self, limit: usize) -> Result<(Vec<Listed>, usize), Error> {
        let client = self.0.for_votes().await?;
        let listed = client.answer("list what is prepared", list_all(&client, limit)).await?;
        client.done();
        Ok(listed)
    }
}

impl Inner {
    /// The same, over this connection.
    pub(crate) async fn check(&self, client: Lent) -> Result<(), Error> {
        let check = fence::check(&client, self.participant, self.options.connections);
        client.in_time("say whether it can take part", check).await?;
        client.done();
        Ok(())
    }

    /// Whether transactions only read here unless they say otherwise, by the settings of the server, the database or the role: nothing is
    /// to be written then for the time being. (The sessions of branches have a setting of their own.)
    pub(crate) async fn is_read_only(&self) -> bool {
        if let Ok(mut looked) = self.looked.try_lock()
            && looked.is_none_or(|at| at.elapsed() >= LOOK)
        {
            let look = async {
                let client = self.for_votes().await?;
                let found = client.answer("say whether it may be written", is_read_only(&client)).await?;
                client.done();
                Ok::<_, Error>(found)
            };
            // Where that cannot be told, nothing can be written either.
            if let Ok(Ok(found)) = timeout(LOOK, look).await {
                self.is_read_only.store(found, Ordering::Relaxed);
            }
            *looked = Some(Instant::now());
        }
        self.is_read_only.load(Ordering::Relaxed)
    }

    pub(crate) async fn for_branch(&self) -> Result<Lent, Error> {
        self.lend(&self.branches, self.options.wait).await
    }

    pub(crate) async fn for_votes(&self) -> Result<Lent, Error> {
        self.lend(&self.votes, self.options.answer).await
    }

    pub(crate) async fn for_verdicts(&self) -> Result<Lent, Error> {
        self.lend(&self.verdicts, self.options.answer).await
    }

    /// Names are a cluster's, so what this knows of transactions is of one cluster, and so is the database. Whoever is first
    /// says which one; the database must have heard it from its agent.
    pub(crate) async fn bind(&self, cluster: ClusterId, is_agent: bool) -> Result<(), Error> {
        let (participant, bound) = (self.participant, *self.cluster.get_or_init(|| cluster));
        if bound != cluster {
            return Err(Error::OtherCluster { participant, bound, cluster });
        }
        let join = || async {
            let client = self.for_votes().await?;
            let join = identity::join(&client, participant, cluster, is_agent);
            client.in_time("say in which cluster it stands", join).await?;
            client.done();
            Ok(())
        };
        self.joined.get_or_try_init(join).await.copied()
    }

    /// A connection whose answers are waited for so long.
    async fn lend(&self, pool: &Pool, wait: Duration) -> Result<Lent, Error> {
        let participant = self.participant;
        let connection = pool.get().await.map_err(|source| Error::Connect { participant, source: source.into() })?;
        Ok(Lent::new(connection, wait, self))
    }

    /// Says that a branch is not as it must be, once.
    pub(crate) fn raise(&self, tx: TxId, outcome: Outcome, kind: Kind) {
        self.alarms.raise(self.participant, Alarm::new(tx, outcome, kind));
    }

    /// A branch is carried out after all.
    pub(crate) fn clear(&self, tx: TxId) {
        self.alarms.clear(self.participant, tx);
    }

    /// Has all connections for branches prepare their statements again.
    pub(crate) fn forget_statements(&self) {
        self.branches.manager().statement_caches.clear();
    }

    /// Rows of these transactions may go.
    pub(crate) fn forget(&self, range: TxRange) {
        lock(&self.forgotten).add(range);
    }

    pub(crate) fn forgotten<T>(&self, look: impl FnOnce(&mut Forgotten) -> T) -> T {
        look(&mut lock(&self.forgotten))
    }
}

impl Database for Postgres {
    type Branch = PostgresBranch;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn open(&self, _: Option<Name>) -> Result<PostgresBranch, Cause> {
        Ok(PostgresBranch::open(self.clone()).await?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What makes connections.
fn manager(config: Config, options: &Options, heard: Heard, is_guarded: bool) -> Manager {
    let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    match &options.tls {
        Some(tls) => {
            let tls = MakeRustlsConnect::new((**tls).clone());
            Manager::from_connect(config, Line { tls, heard, is_guarded }, how)
        }
        None => Manager::from_connect(config, Line { tls: NoTls, heard, is_guarded }, how),
    }
}

/// Connections that come about when they are needed.
fn pool(manager: Manager, size: usize, wait: Duration, participant: NodeId) -> Result<Pool, Error> {
    let wait = Some(wait);
    let pool = Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).timeouts(Timeouts {
        wait,
        create: wait,
        recycle: wait,
    });
    pool.build().map_err(|source| Error::Connect { participant, source: source.into() })
}
