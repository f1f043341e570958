//! How connections come about, and what is heard over them besides answers.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, SimpleQueryMessage, Socket,
    error::DbError,
    tls::{MakeTlsConnect, TlsConnect},
};

/// What a session of an application is started with: outside of a transaction, nothing can be written. So a statement may go out
/// behind a BEGIN whose answer is not there yet.
pub(crate) const GUARD: &str = "-c default_transaction_read_only=on";

/// What every session is started with: warnings are heard.
pub(crate) const WARNINGS: &str = "-c client_min_messages=warning";

/// What begins a transaction in such a session, where the server lets transactions write that do not say so.
pub(crate) const BEGIN: &str = "BEGIN READ WRITE";

/// The function of the server that waits for standbys, as its messages name it in every language.
const WAITS: &str = "SyncRepWaitForLSN";

/// What has been heard over all connections to a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<State>);

#[derive(Debug, Default)]
struct State {
    given_up: AtomicU64,
    is_unguarded: AtomicBool,
}

impl Heard {
    /// How often the server has stopped waiting for a standby: a time-out or an operator has cancelled a statement whose commit was
    /// done here. It answers as if the standby had it. If this has grown during a statement, its answer says less than it seems to.
    pub(crate) fn given_up(&self) -> u64 {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// Whether an application's session might be without [its guard](GUARD): something in between has left it out.
    pub(crate) fn is_unguarded(&self) -> bool {
        self.0.is_unguarded.load(Ordering::Relaxed)
    }

    /// An application's session is without its guard.
    pub(crate) fn unguarded(&self) {
        self.0.is_unguarded.store(true, Ordering::Relaxed);
    }

    fn hear(&self, notice: &DbError) {
        if notice.routine() == Some(WAITS) {
            self.0.given_up.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(severity = notice.severity(), "{}", notice.message());
    }
}

/// The way to a server.
pub(crate) struct Line<T> {
    pub(crate) tls: T,
    pub(crate) heard: Heard,
    /// Whether its sessions are to be guarded.
    pub(crate) is_guarded: bool,
}

impl<T> fmt::Debug for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("is_guarded", &self.is_guarded).finish_non_exhaustive()
    }
}

type Connected<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl<T> Connect for Line<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(&self, config: &Config) -> Connected<'_> {
        let (tls, heard, config) = (self.tls.clone(), self.heard.clone(), config.clone());
        Box::pin(async move {
            let (client, mut connection) = config.connect(tls).await?;
            let ear = heard.clone();
            let task = tokio::spawn(async move {
                // A notice is heard before the answer that it belongs to is passed on.
                while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                    match message {
                        Ok(AsyncMessage::Notice(notice)) => ear.hear(&notice),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::warn!(error = &error as &dyn std::error::Error, "a connection has ended");
                            break;
                        }
                    }
                }
            });
            if self.is_guarded && !is_read_only(&client).await? {
                heard.unguarded();
            }
            Ok((client, task))
        })
    }
}

/// Whether transactions only read in this session unless they say otherwise. In an application's it is the guard, which a pooler in between
/// may have left out; in an agent's it is what the server is set to.
pub(crate) async fn is_read_only(client: &Client) -> Result<bool, Error> {
    let shown = client.simple_query("SHOW default_transaction_read_only").await?;
    Ok(shown.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("on"))))
}
