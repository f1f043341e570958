//! A database, as an application and its agent share it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome},
};
use synod_client::{Alarm, Alarms, Cause, Database, Desk, Kind, Listed, Name};
use tokio::{
    sync::{OnceCell, RwLock},
    time::{error::Elapsed, timeout},
};

use crate::{
    Error, Missing, MysqlBranch, Options, Xid, check, identity,
    lent::Lent,
    look::{Carried, carry_out, list_all},
};

/// A MariaDB or MySQL database that stands in a cluster as one participant. A clone shares its connections.
///
/// For an application it opens branches; beside it, or elsewhere, it is the participant's agent.
#[derive(Clone)]
pub struct Mysql(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) participant: NodeId,
    pub(crate) options: Options,
    pub(crate) desk: Desk,
    /// A vote holds this while it looks and answers; the sweep, while it asks the node and rolls back. So the sweep knows of
    /// every vote.
    pub(crate) votes_given: RwLock<()>,
    /// For branches.
    branches: Pool,
    /// For the agent, to look.
    votes: Pool,
    /// For the agent, to carry out.
    verdicts: Pool,
    /// The one cluster that it stands in.
    cluster: OnceLock<ClusterId>,
    /// The database says so, too.
    joined: OnceCell<()>,
    pub(crate) alarms: Alarms,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("participant", &self.0.participant).finish_non_exhaustive()
    }
}

impl Mysql {
    /// The database at `url` (`mysql://user:password@host:port/database`), which is this participant for good. Connects,
    /// checks that the server can take part, creates the tables `synod_fence` and `synod_identity` in the database if they are not
    /// there, and notes in it which participant it is. An error says what is missing, and how to provide it, or whose database it
    /// is. Needs a runtime of tokio.
    pub async fn connect(url: &str, participant: NodeId) -> Result<Self, Error> {
        Self::connect_with(url, participant, Options::new()).await
    }

    /// The same, with options.
    pub async fn connect_with(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let mysql = Self::connect_lazy(url, participant, options)?;
        mysql.check().await?;
        Ok(mysql)
    }

    /// The same, without connecting yet: for a process that must start although the database is away. Whether it can take part
    /// is [checked](Self::check) when its agent starts. Fails if the URL is malformed, or names no database.
    pub fn connect_lazy(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let opts = Opts::from_url(url).map_err(Error::Url)?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(Error::Missing { participant, missing: Missing::NoDatabase });
        }
        let isolation = options.isolation.map(|level| format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"));
        let branches = [Some(set_idle(options.idle)), isolation];
        let lock_timeout = format!("SET SESSION innodb_lock_wait_timeout = {}", options.lock_timeout.as_secs());
        let pool = |size, setup| pool(&opts, &options, size, setup);
        Ok(Self(Arc::new(Inner {
            participant,
            desk: Desk::new(),
            votes_given: RwLock::default(),
            branches: pool(options.connections, branches.into_iter().flatten().collect()),
            votes: pool(options.votes, vec![lock_timeout.clone()]),
            verdicts: pool(options.verdicts, vec![lock_timeout]),
            cluster: OnceLock::new(),
            joined: OnceCell::new(),
            alarms: Alarms::default(),
            options,
        })))
    }

    /// Checks again that the server can take part, that the tables are there, and that this is the participant's database.
    pub async fn check(&self) -> Result<(), Error> {
        let mut conn = self.0.for_votes().await?;
        self.0.in_time("say whether it can take part", check::check(&mut conn, self.0.participant)).await?;
        conn.done();
        Ok(())
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

    /// What the server itself lists as prepared, others' included: at most `limit`, and how many there are. A server of
    /// several databases lists those of all of them, and does not say since when they are prepared.
    pub async fn prepared(&self, limit: usize) -> Result<(Vec<Listed>, usize), Error> {
        let mut conn = self.0.for_votes().await?;
        let listed = self.0.answer("list what is prepared", list_all(&mut conn, limit)).await?;
        conn.done();
        Ok(listed)
    }
}

impl Inner {
    pub(crate) async fn for_branch(&self) -> Result<Conn, Error> {
        self.connection(&self.branches, self.options.wait).await
    }

    pub(crate) async fn for_votes(&self) -> Result<Lent, Error> {
        self.connection(&self.votes, self.options.answer).await.map(Lent::new)
    }

    pub(crate) async fn for_verdicts(&self) -> Result<Lent, Error> {
        self.connection(&self.verdicts, self.options.answer).await.map(Lent::new)
    }

    /// Names are a cluster's, so what this knows of transactions is of one cluster, and so is the database. Whoever is first
    /// says which one; the database must have heard it from its agent.
    pub(crate) async fn bind(&self, cluster: ClusterId, is_agent: bool) -> Result<(), Error> {
        let (participant, bound) = (self.participant, *self.cluster.get_or_init(|| cluster));
        if bound != cluster {
            return Err(Error::OtherCluster { participant, bound, cluster });
        }
        let join = || async {
            let mut conn = self.for_votes().await?;
            let join = identity::join(&mut conn, participant, cluster, is_agent);
            self.in_time("say in which cluster it stands", join).await?;
            conn.done();
            Ok(())
        };
        self.joined.get_or_try_init(join).await.copied()
    }

    /// How long rows are kept, in seconds. Whoever has lost an answer asks for as long as it waits.
    pub(crate) fn keep(&self) -> u64 {
        self.options.keep.max(self.options.wait).as_secs_f64().ceil() as u64
    }

    async fn connection(&self, pool: &Pool, wait: Duration) -> Result<Conn, Error> {
        let failed = |source: Cause| Error::Connect { participant: self.participant, source };
        let got = timeout(wait, pool.get_conn()).await;
        got.map_err(|elapsed: Elapsed| failed(elapsed.into()))?.map_err(|source| failed(source.into()))
    }

    /// Rolls back a prepared branch that nobody has voted on. The caller has made sure of that, and lets nobody vote meanwhile.
    pub(crate) async fn roll_back(&self, xid: &Xid) -> Result<Carried, Error> {
        let mut conn = self.for_verdicts().await?;
        let carried = carry_out(&mut conn, xid, Outcome::Aborted);
        let carried = self.answer("roll a branch back that was left behind", carried).await?;
        conn.done();
        match carried {
            // Its application may be about to hear that it is prepared.
            Carried::Done => self.desk.ended(xid.tx()),
            Carried::Held => {}
            Carried::Wrong(kind) => self.raise(xid.tx(), Outcome::Aborted, kind),
        }
        Ok(carried)
    }

    pub(crate) fn failed(&self, what: &'static str, source: mysql_async::Error) -> Error {
        Error::Statement { participant: self.participant, what, source }
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

impl Database for Mysql {
    type Branch = MysqlBranch;

    const IS_NAMED: bool = true;

    fn participant(&self) -> NodeId {
        self.0.participant
    }

    async fn open(&self, name: Option<Name>) -> Result<MysqlBranch, Cause> {
        let name = name.ok_or("an XA transaction needs its name when it begins, and the front door gave none")?;
        self.0.bind(name.cluster, false).await?;
        Ok(MysqlBranch::begin(self.clone(), Xid::of(name, self.0.participant)).await?)
    }
}

/// The statement after which the server ends the session when it is idle for so long.
pub(crate) fn set_idle(idle: Duration) -> String {
    format!("SET SESSION wait_timeout = {}", idle.as_secs().max(1))
}

/// Connections that come about when they are needed. They are reset before they are used again.
fn pool(opts: &Opts, options: &Options, size: usize, setup: Vec<String>) -> Pool {
    let constraints = PoolConstraints::new(0, size).unwrap_or_default();
    let keepalive = opts.tcp_keepalive().unwrap_or(options.wait.max(Duration::from_secs(1)));
    let builder = OptsBuilder::from_opts(opts.clone())
        .pool_opts(PoolOpts::new().with_constraints(constraints).with_reset_connection(true))
        // A socket that the server names may be another machine's.
        .prefer_socket(false)
        // A server that is cut off is noticed.
        .tcp_keepalive(Some(keepalive))
        // Before the server ends a branch's connection for being idle.
        .conn_ttl(Some(options.idle / 2))
        .setup(setup);
    Pool::new(match &options.tls {
        Some(tls) => builder.ssl_opts(tls.clone()),
        None => builder,
    })
}
