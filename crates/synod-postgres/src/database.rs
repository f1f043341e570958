//! A database, as an application and its agent share it.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome, TxRange},
};
use synod_client::{Alarm, Alarms, Cause, Database, Desk, Kind, Name};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Options, PostgresBranch, fence, forgotten::Forgotten};

/// When the first keepalive is sent, unless a URL says otherwise: too late to notice anything.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// A PostgreSQL database that stands in a cluster as one participant. A clone shares its connections.
///
/// For an application it opens branches; beside it, or elsewhere, it is the participant's agent.
#[derive(Clone)]
pub struct Postgres(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) participant: NodeId,
    pub(crate) options: Options,
    pub(crate) desk: Desk,
    /// For branches.
    branches: Pool,
    /// For the agent, to look.
    votes: Pool,
    /// For the agent, to carry out.
    verdicts: Pool,
    /// The one cluster that it stands in.
    cluster: OnceLock<ClusterId>,
    alarms: Alarms,
    forgotten: Mutex<Forgotten>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("participant", &self.0.participant).finish_non_exhaustive()
    }
}

impl Postgres {
    /// The database at `url` (`postgres://user:password@host:port/database`, or the keywords of libpq), which is this
    /// participant for good. Connects, checks that the server can take part, and creates the table `synod.fence` if it is not
    /// there. An error says what is missing, and how to provide it.
    pub async fn connect(url: &str, participant: NodeId) -> Result<Self, Error> {
        Self::connect_with(url, participant, Options::new()).await
    }

    /// The same, with options.
    pub async fn connect_with(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let mut config: Config = url.parse().map_err(Error::Url)?;
        // A server that is cut off is noticed, unless the URL says otherwise.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(options.wait);
        }
        if config.get_keepalives_idle() == KEEPALIVES_IDLE {
            config.keepalives_idle(options.wait);
        }
        let mut agents = config.clone();
        let wait = format!("-c lock_timeout={}", options.lock_timeout.as_millis());
        agents.options([config.get_options().unwrap_or_default(), &wait].join(" ").trim());
        agents.application_name("synod agent");
        let pool = |config: &Config, size| pool(config, size, participant, &options);
        let postgres = Self(Arc::new(Inner {
            participant,
            desk: Desk::new(),
            branches: pool(&config, options.connections)?,
            votes: pool(&agents, options.votes)?,
            verdicts: pool(&agents, options.verdicts)?,
            cluster: OnceLock::new(),
            alarms: Alarms::default(),
            forgotten: Mutex::default(),
            options,
        }));
        postgres.check().await?;
        Ok(postgres)
    }

    /// Checks again that the server can take part, and that the table is there.
    pub async fn check(&self) -> Result<(), Error> {
        let client = self.0.connection(&self.0.branches).await?;
        fence::check(&client, self.0.participant, self.0.options.connections).await
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

    pub(crate) async fn branch(&self) -> Result<Object, Error> {
        self.0.connection(&self.0.branches).await
    }
}

impl Inner {
    pub(crate) async fn for_votes(&self) -> Result<Object, Error> {
        self.connection(&self.votes).await
    }

    pub(crate) async fn for_verdicts(&self) -> Result<Object, Error> {
        self.connection(&self.verdicts).await
    }

    /// Names are a cluster's, so what this knows of transactions is of one cluster.
    pub(crate) fn bind(&self, cluster: ClusterId) -> Result<(), Error> {
        let bound = *self.cluster.get_or_init(|| cluster);
        if bound == cluster {
            Ok(())
        } else {
            Err(Error::OtherCluster { participant: self.participant, bound, cluster })
        }
    }

    async fn connection(&self, pool: &Pool) -> Result<Object, Error> {
        let participant = self.participant;
        pool.get().await.map_err(|source| Error::Connect { participant, source: source.into() })
    }

    /// Says that a branch is not as it must be, once.
    pub(crate) fn raise(&self, tx: TxId, outcome: Outcome, kind: Kind) {
        self.alarms.raise(self.participant, Alarm::new(tx, outcome, kind));
    }

    /// A branch is carried out after all.
    pub(crate) fn clear(&self, tx: TxId) {
        self.alarms.clear(self.participant, tx);
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
        Ok(PostgresBranch::begin(self.clone()).await?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that come about when they are needed.
fn pool(config: &Config, size: usize, participant: NodeId, options: &Options) -> Result<Pool, Error> {
    let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match &options.tls {
        Some(tls) => Manager::from_config(config.clone(), MakeRustlsConnect::new((**tls).clone()), how),
        None => Manager::from_config(config.clone(), NoTls, how),
    };
    let wait = Some(options.wait);
    let pool = Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).timeouts(Timeouts {
        wait,
        create: wait,
        recycle: wait,
    });
    pool.build().map_err(|source| Error::Connect { participant, source: source.into() })
}
