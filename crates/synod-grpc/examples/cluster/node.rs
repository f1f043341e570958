//! One of the processes: a node with its database, its certificate and its port, until its input ends.

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Context, bail};
use synod::perform::{
    embedded::{Embedded, ResourceHalf},
    tokio::{self as driver, Handle, Start},
};
use synod_grpc::{Identity, Peers, Server};
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

/// Runs the node called `name`, and returns whether all is well.
pub(crate) async fn run(data: &Path, name: Name, style: Style, seed: u64) -> anyhow::Result<bool> {
    crate::signals::wake_when_parent_dies()?;
    let folder = Folder::of(data, CAST, CAST.cluster(style)?, seed);
    let (config, site) = (folder.config(name), folder.site(name)?);
    let meter = site.meter();
    let (storage, branch) = Embedded::new(site).split();

    let places = Places::read(data)?;
    let security = papers::security(data, Identity::node(CLUSTER, config.id))?;
    let peers = Peers::new(&config, security.clone(), options())?;
    for other in CAST.names().filter(|other| *other != name) {
        peers.set(CAST.node(other), places.of(other)?)?;
    }
    let address = places.of(name)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let door = Door { peers: peers.clone(), meter: meter.clone() };
    let spawned = driver::spawn(config, Start::Restore, storage, door, branch.clone(), driver::Options::default());
    let (handle, mut task) = spawned.await?;
    let server = Server::start(listener, handle.clone(), security, options())?;

    say(&Line::Ready);
    let mut beat = interval(BEAT);
    let mut input = BufReader::new(stdin()).lines();
    loop {
        select! {
            line = input.next_line() => match line? {
                Some(line) => answer(&serde_json::from_str(&line)?, branch.clone()).await?,
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

async fn answer(ask: &Ask, branch: ResourceHalf<Site>) -> anyhow::Result<()> {
    let Ask::Look { transfer } = *ask;
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

async fn figures(handle: &Handle) -> Result<Figures, driver::Error> {
    let (metrics, in_doubt) = (handle.metrics().await?, handle.in_doubt().await?.len());
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
