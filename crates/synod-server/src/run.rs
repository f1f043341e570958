//! A process with nodes: it starts them, answers for them, and ends them in order.

mod agent;
mod node;
mod notify;
mod process;
mod readiness;
mod silence;

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

pub(crate) use self::{
    agent::{Beside, cannot_take_part},
    node::{papers, read_tls},
    process::{Process, Slot, Tokens},
};
use crate::{
    api,
    config::Config,
    failure::{Exit, Failure},
    metrics,
};

/// A process that is asked to end has ended after this, whatever hangs: a storage takes its time to close its files, long
/// after all is written.
const END: Duration = Duration::from_millis(1_500);

/// Runs the nodes of `config` until the process is told to end. `ready` is called when they have started.
pub(crate) async fn run(config: Config, ready: impl FnOnce(&Config)) -> Result<(), Failure> {
    // Before anything is started, so that none is missed.
    let mut signals = Signals::new()?;
    let metrics = metrics::install()?;
    let tokens = Tokens { operator: api::token(&config.token)?, reader: api::token(&config.read_token)? };
    // Whoever asks before the nodes have started is told so.
    let http = bind("http.listen", config.http, &config.path).await?;
    let (ended, mut ends) = mpsc::unbounded_channel();
    let process = Arc::new(Process::new(config, tokens, metrics, ended)?);
    let mut listeners = Vec::new();
    for slot in process.slots() {
        let key = format!("node.listen of node {}", slot.id().0);
        listeners.push(bind(&key, slot.config.listen, &process.config().path).await?);
    }
    let https = match (process.config().https, &process.https) {
        (Some(address), Some(tls)) => {
            Some((bind("https.listen", address, &process.config().path).await?, Arc::clone(tls)))
        }
        _ => None,
    };
    let serving = tokio::spawn(api::serve(http, https, Arc::clone(&process)));
    // Databases that are away are waited for: by tasks, which are told when to end.
    let mut starts = JoinSet::new();
    for (at, listener) in listeners.into_iter().enumerate() {
        let process = Arc::clone(&process);
        starts.spawn(async move { process.start(at, listener).await });
    }
    loop {
        tokio::select! {
            started = starts.join_next() => match started {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => {
                    stop(&process).await;
                    return Err(failure);
                }
                Some(Err(error)) => {
                    stop(&process).await;
                    let failure = Failure::new(Exit::Failed, "a node could not be started", "report this");
                    return Err(failure.caused_by(&error));
                }
                None => break,
            },
            told = signals.next() => match told {
                Told::End(signal) => {
                    tracing::info!(signal, "ending before all has started");
                    stop(&process).await;
                    return Ok(());
                }
                // Its files may have been read already.
                Told::HangUp => process.reload(),
            },
        }
    }
    process.set_started();
    tokio::spawn(Arc::clone(&process).watch_readiness());
    ready(process.config());
    notify::say("READY=1");
    let result = loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End(signal) => {
                    tracing::info!(signal, "ending: others go on with what is open here");
                    break Ok(());
                }
                Told::HangUp => {
                    notify::reloading();
                    process.reload();
                    notify::say("READY=1");
                }
            },
            Some(failure) = ends.recv() => break Err(failure),
        }
    };
    notify::say("STOPPING=1");
    stop(&process).await;
    serving.abort();
    result
}

/// Ends all nodes: what is prepared stays prepared, and what is under way is written.
async fn stop(process: &Arc<Process>) {
    if timeout(END, process.shutdown()).await.is_err() {
        tracing::info!("not waiting any longer: what the nodes have promised is in their records");
    }
}

async fn bind(key: &str, address: std::net::SocketAddr, path: &Path) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = format!("{address}, which is {key} in {}, cannot be listened on", path.display());
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "end what listens there (`ss -ltnp 'sport = :{}'` shows it; perhaps this process runs already), or \
                 choose another port",
                address.port()
            ),
            std::io::ErrorKind::PermissionDenied => "choose a port above 1023, or give this user the right".into(),
            _ => "choose an address of this machine, or 0.0.0.0 for all of them".into(),
        };
        Failure::new(Exit::Machine, what, remedy).caused_by(&error)
    })
}

/// What the process is told by signals.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Machine, "signals cannot be heard", "start this on a system that lets it")
                    .caused_by(&error)
            })
        };
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Cancel safe.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End("SIGTERM"),
            _ = self.interrupt.recv() => Told::End("SIGINT"),
            _ = self.hang_up.recv() => Told::HangUp,
        }
    }
}

/// What a signal says.
enum Told {
    End(&'static str),
    /// Read the certificates again, and the addresses.
    HangUp,
}

/// Says a line to people, who may have stopped listening.
pub(crate) fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
