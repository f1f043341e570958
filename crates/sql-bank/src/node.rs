//! A process with a node: a transaction manager, or the agent of a database. It ends when its input ends.

use std::{fs, future::pending, path::Path, time::Duration};

use anyhow::{Context, bail};
use synod::{
    commit::Config,
    perform::{
        NoResource, Start, Storage,
        fjall::FjallStorage,
        tokio::{self as driver, Handle, Resource},
    },
};
use synod_grpc::{Peers, Security, Server};
use synod_mysql::Mysql;
use synod_postgres::Postgres;
use tokio::{
    io::{AsyncReadExt, stdin},
    net::TcpListener,
    select,
    task::spawn_blocking,
    time::{interval, sleep},
};

use crate::{
    cast::{self, CLUSTER, Name},
    databases::{Kind, Ledger, connect},
    line::{Figures, Line, say},
    plan::{Plan, options},
};

/// How often it says how it is.
const BEAT: Duration = Duration::from_millis(200);

/// Runs the node called `name`. Its random choices follow from `seed`.
pub(crate) async fn run(data: &Path, name: Name, seed: u64) -> anyhow::Result<()> {
    crate::signals::wake_when_parent_dies()?;
    let plan = Plan::read(data)?;
    let node = name.node().with_context(|| format!("{name} is no node"))?;
    let config = Config::new(cast::cluster()?, node, seed);
    let process = Process { data, plan: &plan, name };
    match name {
        Name::Agent(side) => match plan.databases.kinds()[side as usize] {
            Kind::Postgres => process.agent::<Postgres>(config, side).await,
            Kind::Maria => process.agent::<Mysql>(config, side).await,
        },
        _ => process.start(config, NoResource).await?.serve(pending(), || 0).await,
    }
}

fn is_recover(error: &driver::Error) -> bool {
    matches!(error, driver::Error::Recover(_))
}

fn warn(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "the agent starts again");
}

struct Process<'a> {
    data: &'a Path,
    plan: &'a Plan,
    name: Name,
}

struct Running {
    handle: Handle,
    task: tokio::task::JoinHandle<Result<(), driver::Error>>,
    peers: Peers,
    server: Server,
}

impl Process<'_> {
    /// Runs the agent of the database of this side, which may be down for a while.
    async fn agent<D: Ledger>(&self, config: Config, side: u64) -> anyhow::Result<()> {
        // It opens no branches.
        let database: D = connect(self.plan, side, 1).await?;
        let config = config.with_resource(D::KIND);
        let running = loop {
            match database.resource(CLUSTER).await {
                Ok(resource) => match self.start(config.clone(), resource).await {
                    Ok(running) => break running,
                    // The database went away again: it is asked before anything happens.
                    Err(error) if error.downcast_ref().is_some_and(is_recover) => warn(&*error),
                    Err(error) => return Err(error),
                },
                Err(error) => tracing::warn!(error = &*error as &dyn std::error::Error, "not yet"),
            }
            sleep(Duration::from_millis(100)).await;
        };
        let watch = database.clone().watch(CLUSTER, running.handle.clone());
        running.serve(watch, || database.alarms()).await
    }

    /// Starts the node: for the first time, or from what it has on disk.
    async fn start(&self, config: Config, resource: impl Resource) -> anyhow::Result<Running> {
        let name = self.name;
        let (folder, mark) = (self.data.join(name.to_string()), self.data.join(format!("{name}.created")));
        let opened = spawn_blocking(move || {
            let mut storage = FjallStorage::open(&folder)?;
            let is_blank = storage.load()?.is_empty();
            anyhow::Ok((storage, is_blank))
        });
        let (storage, is_blank) = opened.await??;
        // A node that was there and has nothing to show must not make its promises a second time.
        let start = match (is_blank, mark.exists()) {
            (true, true) => bail!("the records of {name} are gone"),
            (true, false) => Start::Create,
            (false, _) => Start::Restore,
        };
        let peers = Peers::new(&config, Security::Plaintext, options())?;
        for other in cast::nodes().filter(|other| *other != name) {
            let node = other.node().context("it is a node")?;
            peers.set(node, self.plan.address(other)?)?;
        }
        let address = self.plan.address(name)?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        // Databases are back soon here, and outcomes should be carried out soon after that.
        let bounds = driver::Options::default().with_retry_ceiling(Duration::from_secs(1));
        let (handle, task) = driver::spawn(config, start, storage, peers.clone(), resource, bounds).await?;
        fs::write(&mark, "")?;
        let server = Server::start(listener, handle.clone(), Security::Plaintext, options())?;
        Ok(Running { handle, task, peers, server })
    }
}

impl Running {
    /// Goes on until the input ends, with `beside` at its side.
    async fn serve(self, beside: impl Future<Output = ()>, alarms: impl Fn() -> usize) -> anyhow::Result<()> {
        let Self { handle, mut task, peers, server } = self;
        say(&Line::Ready);
        let (mut beat, mut input, mut byte) = (interval(BEAT), stdin(), [0]);
        let mut beside = std::pin::pin!(beside);
        loop {
            select! {
                read = input.read(&mut byte) => if read? == 0 { break },
                _ = beat.tick() => say(&Line::Figures(figures(&handle, alarms()).await?)),
                () = &mut beside => bail!("the agent looks at its database no more"),
                ended = &mut task => {
                    ended??;
                    bail!("the node has stopped");
                }
            }
        }
        server.shutdown().await;
        handle.shutdown().await?;
        peers.shutdown().await;
        Ok(task.await??)
    }
}

async fn figures(handle: &Handle, alarms: usize) -> Result<Figures, driver::Error> {
    let (metrics, in_doubt) = (handle.metrics().await?, handle.in_doubt().await?.len());
    Ok(Figures { open: metrics.open, in_doubt, violations: metrics.violations(), alarms })
}
