//! One of the processes: a node with its database, its certificate and its port, until its input ends.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use synod::{
    NodeId,
    commit::Membership,
    perform::{
        embedded::{Embedded, ResourceHalf},
        tokio::{self as driver, Handle, Start},
    },
};
use synod_grpc::{Client, Identity, Peers, Server};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    net::TcpListener,
    select,
    task::spawn_blocking,
    time::interval,
};

use crate::{
    cast::{CAST, CLUSTER, Name, Style},
    folder::Folder,
    line::{Ask, Figures, Line},
    papers,
    places::{Places, options},
    site::{Door, Site, lock},
};

/// How often it says how it is.
const BEAT: Duration = Duration::from_millis(200);

/// How a node finds the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It is given the addresses of all.
    Addresses,
    /// By the contacts in the membership.
    Contacts,
    /// It is new, and is given the address of this one.
    Member(Name),
}

/// Where the database of `name` is.
pub(crate) fn database(data: &Path, name: Name) -> PathBuf {
    data.join("databases").join(name.to_string())
}

/// Runs the node called `name`, and returns whether all is well.
pub(crate) async fn run(data: &Path, name: Name, style: Style, seed: u64, finds: Finds) -> anyhow::Result<bool> {
    crate::signals::wake_when_parent_dies()?;
    let places = Places::read(data)?;
    let mut cluster = CAST.cluster(style)?;
    if finds == Finds::Contacts {
        cluster = cluster.spec().clone().with_contacts(places.contacts()?).build()?;
    }
    let security = papers::security(data, Identity::node(CLUSTER, CAST.node(name)))?;
    if let Finds::Member(member) = finds {
        // Whoever comes believes the present members, and the founders may be gone.
        let client = Client::new(CLUSTER, CAST.node(member), places.of(member)?, &security, &options())?;
        let (_, present) = client.members().await?.with_context(|| format!("{member} knows no members"))?;
        let mut spec = cluster.spec().clone();
        (spec.acceptors, spec.managers) = (present.acceptors, present.managers);
        cluster = spec.build()?;
    }
    let folder = Folder::of(data, CAST, cluster, seed);
    if let Finds::Member(_) = finds {
        std::fs::create_dir_all(database(data, name))?;
    }
    let (config, site) = (folder.config(name), folder.site(name)?);
    let meter = site.meter();
    let (storage, branch) = Embedded::new(site).split();

    let peers = Peers::new(&config, security.clone(), options())?;
    match finds {
        Finds::Addresses => {
            for other in CAST.names().filter(|other| *other != name) {
                peers.set(CAST.node(other), places.of(other)?)?;
            }
        }
        Finds::Contacts => {}
        Finds::Member(member) => peers.set(CAST.node(member), places.of(member)?)?,
    }
    let address = places.of(name)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let door = Door { peers: peers.clone(), meter: meter.clone() };
    let start = if let Finds::Member(_) = finds { Start::Join } else { Start::Restore };
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
            _ = beat.tick() => say(&Line::Figures(figures(&handle).await?)),
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
            let members = members(handle).await?;
            let next = members.replace(NodeId(old), NodeId(new)).with_contact(NodeId(new), contact);
            return Ok(handle.change(next).await?);
        }
        Ask::WriteOff { node } => {
            let next = members(handle).await?.with_departed(NodeId(node));
            return Ok(handle.change(next).await?);
        }
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

async fn members(handle: &Handle) -> anyhow::Result<Membership> {
    let epoch = handle.epoch().await?;
    Ok(epoch.context("only a member knows the members")?.membership)
}

async fn figures(handle: &Handle) -> Result<Figures, driver::Error> {
    let (metrics, in_doubt) = (handle.metrics().await?, handle.in_doubt().await?.len());
    let epoch = handle.epoch().await?;
    Ok(Figures {
        messages: metrics.sends,
        writes: metrics.writes,
        recoveries: metrics.recoveries,
        violations: metrics.violations(),
        dropped: handle.dropped(),
        open: metrics.open,
        in_doubt,
        unacknowledged: metrics.unacknowledged_ranges,
        ranges: metrics.retired_ranges,
        may_leave: epoch.as_ref().is_some_and(|epoch| epoch.may_leave),
        epoch: epoch.map(|epoch| epoch.number),
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
