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
            if self.is_guarded && !says_yes(&client, "SHOW default_transaction_read_only").await? {
                // A pooler in between has left it out, perhaps.
                heard.unguarded();
            }
            Ok((client, task))
        })
    }
}

/// What a session that is opened now, without guard, would be set to: by its role, its database, or the server. Of the first two, one that
/// is open has what was set when it was opened.
const SETTING: &str = "SELECT coalesce((SELECT split_part(setting, '=', 2) FROM pg_db_role_setting, unnest(setconfig) setting \
    WHERE setting LIKE 'default\\_transaction\\_read\\_only=%' \
    AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
    AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
    ORDER BY setrole = 0, setdatabase = 0 LIMIT 1), \
    (SELECT setting FROM pg_settings WHERE name = 'default_transaction_read_only' \
    AND source NOT IN ('global', 'database', 'user', 'database user')), 'off')::bool::text";

/// Whether the server, the database or the role of this session, which is an agent's, is set to read only.
pub(crate) async fn is_read_only(client: &Client) -> Result<bool, Error> {
    says_yes(client, SETTING).await
}

async fn says_yes(client: &Client, question: &str) -> Result<bool, Error> {
    let answers = client.simple_query(question).await?;
    let is_yes = |answer: &SimpleQueryMessage| matches!(answer, SimpleQueryMessage::Row(row) if matches!(row.get(0), Some("on" | "true")));
    Ok(answers.iter().any(is_yes))
}
