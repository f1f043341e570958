//! A database, as an application and its agent share it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts};
use synod::{NodeId, TxId, commit::Outcome};
use synod_client::{Alarm, Alarms, Cause, Database, Desk, Kind, Name};
use tokio::{
    sync::RwLock,
    time::{error::Elapsed, timeout},
};

use crate::{
    Error, Missing, MysqlBranch, Options, Xid, check,
    look::{Carried, carry_out},
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
    /// The transactions of which the agent has rolled a prepared branch back before anybody had voted. A vote holds this while
    /// it looks and answers; the sweep, while it asks the node and rolls back. So the sweep knows of every vote.
    pub(crate) let_go: RwLock<BTreeSet<TxId>>,
    /// For branches.
    branches: Pool,
    /// For the agent, to look.
    votes: Pool,
    /// For the agent, to carry out.
    verdicts: Pool,
    alarms: Alarms,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("participant", &self.0.participant).finish_non_exhaustive()
    }
}

impl Mysql {
    /// The database at `url` (`mysql://user:password@host:port/database`), which is this participant for good. Connects,
    /// checks that the server can take part, and creates the table `synod_fence` in the database if it is not there. An error
    /// says what is missing, and how to provide it. Needs a runtime of tokio.
    pub async fn connect(url: &str, participant: NodeId) -> Result<Self, Error> {
        Self::connect_with(url, participant, Options::new()).await
    }

    /// The same, with options.
    pub async fn connect_with(url: &str, participant: NodeId, options: Options) -> Result<Self, Error> {
        let opts = Opts::from_url(url).map_err(Error::Url)?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(Error::Missing { participant, missing: Missing::NoDatabase });
        }
        let isolation = options.isolation.map(|level| format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"));
        let lock_timeout = format!("SET SESSION innodb_lock_wait_timeout = {}", options.lock_timeout.as_secs());
        let pool = |size, setup| pool(&opts, &options, size, setup);
        let mysql = Self(Arc::new(Inner {
            participant,
            desk: Desk::new(),
            let_go: RwLock::default(),
            branches: pool(options.connections, isolation),
            votes: pool(options.votes, Some(lock_timeout.clone())),
            verdicts: pool(options.verdicts, Some(lock_timeout)),
            alarms: Alarms::default(),
            options,
        }));
        mysql.check().await?;
        Ok(mysql)
    }

    /// Checks again that the server can take part, and that the table is there.
    pub async fn check(&self) -> Result<(), Error> {
        let mut conn = self.0.for_votes().await?;
        check::check(&mut conn, self.0.participant).await
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
}

impl Inner {
    pub(crate) async fn for_branch(&self) -> Result<Conn, Error> {
        self.connection(&self.branches).await
    }

    pub(crate) async fn for_votes(&self) -> Result<Conn, Error> {
        self.connection(&self.votes).await
    }

    pub(crate) async fn for_verdicts(&self) -> Result<Conn, Error> {
        self.connection(&self.verdicts).await
    }

    async fn connection(&self, pool: &Pool) -> Result<Conn, Error> {
        let failed = |source: Cause| Error::Connect { participant: self.participant, source };
        let got = timeout(self.options.wait, pool.get_conn()).await;
        got.map_err(|elapsed: Elapsed| failed(elapsed.into()))?.map_err(|source| failed(source.into()))
    }

    /// Rolls back a prepared branch that nobody has voted on. `let_go` is held by the caller, which has made sure of that.
    pub(crate) async fn roll_back(&self, xid: &Xid, let_go: &mut BTreeSet<TxId>) -> Result<Carried, Error> {
        let mut conn = self.for_verdicts().await?;
        let carried = carry_out(&mut conn, xid, Outcome::Aborted).await;
        let carried = carried.map_err(|source| self.failed("roll a branch back that was left behind", source))?;
        match carried {
            Carried::Done => _ = let_go.insert(xid.tx()),
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
        Ok(MysqlBranch::begin(self.clone(), Xid::of(name, self.0.participant)).await?)
    }
}

/// Connections that come about when they are needed. They are reset before they are used again.
fn pool(opts: &Opts, options: &Options, size: usize, setup: Option<String>) -> Pool {
    let constraints = PoolConstraints::new(0, size).unwrap_or_default();
    let builder = OptsBuilder::from_opts(opts.clone())
        .pool_opts(PoolOpts::new().with_constraints(constraints).with_reset_connection(true))
        // A socket that the server names may be another machine's.
        .prefer_socket(false)
        .setup(setup.into_iter().collect::<Vec<_>>());
    Pool::new(match &options.tls {
        Some(tls) => builder.ssl_opts(tls.clone()),
        None => builder,
    })
}
