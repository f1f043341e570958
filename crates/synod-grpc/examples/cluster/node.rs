//! One of the processes: a node with its database, its certificate and its port, until its input ends.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use synod::{
    NodeId, Refusal,
    commit::Membership,
    perform::{
        embedded::{Embedded, ResourceHalf},
        tokio::{self as driver, Handle, Start},
    },
};
use synod_grpc::{Fault, Identity, Peers, Server};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    net::TcpListener,
    select,
    task::spawn_blocking,
    time::interval,
};

use crate::{
    args::Begin,
    cast::{CAST, CLUSTER, Name, Style},
    folder::Folder,
    line::{Ask, Figures, Line},
    papers,
    places::{self, Places, options},
    site::{Door, Site, lock},
};

/// How often it says how it is.
const BEAT: Duration = Duration::from_millis(200);

/// How a node finds the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It is given the addresses of all.
    Addresses,
    /// It is given the members, and finds everyone by the contacts in the membership.
    Members,
}

/// Where the database of `name` is.
pub(crate) fn database(data: &Path, name: Name) -> PathBuf {
    data.join("databases").join(name.to_string())
}

/// Runs the node called `name`, from its database or, with `begin`, from a new one; returns whether all is well.
pub(crate) async fn run(
    data: &Path,
    name: Name,
    style: Style,
    seed: u64,
    finds: Finds,
    begin: Option<Begin>,
) -> anyhow::Result<bool> {
    crate::signals::wake_when_parent_dies()?;
    let places = Places::read(data)?;
    let cluster = match finds {
        Finds::Addresses => CAST.cluster(style)?,
        // Whoever comes, or comes back late, believes the present members, and the founders may be gone.
        Finds::Members => {
            let cluster = CAST.cluster_of(style, &places::members(data)?)?;
            cluster.spec().clone().with_contacts(places.contacts()?).build()?
        }
    };
    let security = papers::security(data, Identity::node(CLUSTER, CAST.node(name)))?;
    let folder = Folder::of(data, CAST, cluster, seed);
    if begin.is_some() {
        std::fs::create_dir_all(database(data, name))?;
    }
    let (config, site) = (folder.config(name), folder.site(name)?);
    let meter = site.meter();
    let (storage, branch) = Embedded::new(site).split();

    let peers = Peers::new(&config, security.clone(), options())?;
    if finds == Finds::Addresses {
        for other in CAST.names().filter(|other| *other != name) {
            peers.set(CAST.node(other), places.of(other)?)?;
        }
    }
    let address = places.of(name)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let door = Door { peers: peers.clone(), meter: meter.clone() };
    let start = match begin {
        None => Start::Restore,
        Some(Begin::Create) => Start::Create,
        Some(Begin::Join) => Start::Join,
    };
    let spawned = driver::spawn(config, start, storage, door, branch.clone(), driver::Options::default());
    let (handle, mut task) = spawned.await?;
    let server = Server::start(listener, handle.clone(), security, options())?;

    say(&Line::Ready);
    let mut beat = interval(BEAT);
    let mut input = BufReader::new(stdin()).lines();
    loop {
        select! {
            line = input.next_line() => match line? {
                Some(line) => answer(serde_json::from_str(&line)?, &handle, branch.clone()).await?,
                None => break,
            },
            _ = beat.tick() => say(&Line::Figures(figures(&handle, &server).await?)),
            ended = &mut task => {
                ended??;
                bail!("the node has stopped");
            }
        }
    }
    server.shutdown().await;
    handle.shutdown().await?;
    peers.shutdown().await;
    task.await??;
    let meter = lock(&meter).clone();
    say(&Line::Closed(meter));
    Ok(true)
}

async fn answer(ask: Ask, handle: &Handle, branch: ResourceHalf<Site>) -> anyhow::Result<()> {
    let transfer = match ask {
        Ask::Look { transfer } => transfer,
        Ask::Replace { old, new, contact } => {
            let (old, new) = (NodeId(old), NodeId(new));
            let next = |members: Membership| {
                members.is_member(old).then(|| members.replace(old, new).with_contact(new, contact))
            };
            return change(handle, next).await;
        }
        Ask::WriteOff { node } => return change(handle, |members| Some(members.with_departed(NodeId(node)))).await,
    };
    let look = move || {
        let mut branch = branch.lock();
        let (ledger, _) = branch.store_mut().ledger().context("only a branch has books")?;
        anyhow::Ok(ledger.books().has_applied(transfer)?)
    };
    // The branch may wait for its disk.
    let applied = spawn_blocking(look).await??;
    say(&Line::Looked { transfer, applied });
    Ok(())
}

/// Asks for a change of the members as they are now, and says so if it is refused.
async fn change(handle: &Handle, next: impl FnOnce(Membership) -> Option<Membership>) -> anyhow::Result<()> {
    let why = match handle.epoch().await? {
        None => "only a member knows the members".to_owned(),
        Some(epoch) => match next(epoch.membership) {
            None => "it is no member any more".to_owned(),
            Some(next) => match handle.change(next).await {
                Ok(()) => return Ok(()),
                Err(error @ driver::Error::Refused(_)) => error.to_string(),
                Err(error) => return Err(error.into()),
            },
        },
    };
    say(&Line::Unchanged { why });
    Ok(())
}

async fn figures(handle: &Handle, server: &Server) -> Result<Figures, driver::Error> {
    let (metrics, in_doubt) = (handle.metrics().await?, handle.in_doubt().await?.len());
    let epoch = handle.epoch().await?;
    let impostors = metrics.refused(Refusal::OtherBirth);
    let at_the_door = server.stats().faults(Fault::OtherBirth);
    Ok(Figures {
        messages: metrics.sends,
        writes: metrics.writes,
        recoveries: metrics.recoveries,
        violations: metrics.violations() - impostors,
        impostors: impostors + at_the_door,
        dropped: handle.dropped(),
        open: metrics.open,
        in_doubt,
        unacknowledged: metrics.unacknowledged_ranges,
        ranges: metrics.retired_ranges,
        may_leave: epoch.as_ref().is_some_and(|epoch| epoch.may_leave),
        epoch: epoch.as_ref().map(|epoch| epoch.number),
        members: epoch.iter().flat_map(|epoch| epoch.membership.members()).map(|node| node.0).collect(),
    })
}

/// Says `line` to the process that started this one. If that is gone, so soon is this.
fn say(line: &Line) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&text).and_then(|()| output.flush());
    }
}
