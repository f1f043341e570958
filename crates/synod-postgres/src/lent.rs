//! A connection of a pool, and how long its answers are waited for.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Object;
use rustls::ClientConfig;
use synod::NodeId;
use tokio::time::timeout;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, database::Inner, session::Heard, statements::is_answer};

/// A connection of a pool. Dropped, it goes back, unless an answer is still to come: that would be taken for the next one's,
/// or would hold the next one up. Then it ends, and what was asked is cancelled.
pub(crate) struct Lent {
    connection: Option<Object>,
    participant: NodeId,
    wait: Duration,
    tls: Option<Arc<ClientConfig>>,
    heard: Heard,
    is_unanswered: AtomicBool,
}

impl Lent {
    /// One of `database`.
    pub(crate) fn new(connection: Object, wait: Duration, database: &Inner) -> Self {
        let Inner { participant, options, heard, .. } = database;
        Self {
            connection: Some(connection),
            participant: *participant,
            wait,
            tls: options.tls.clone(),
            heard: heard.clone(),
            is_unanswered: AtomicBool::new(false),
        }
    }

    /// Gives it back.
    pub(crate) fn done(self) {}

    /// It is not given back by this.
    pub(crate) fn keep(mut self) -> Option<Object> {
        self.connection.take()
    }

    /// Waits for the answer to a `call`, but not for ever. What was asked may have been done when none comes, so nothing is
    /// concluded from that.
    pub(crate) async fn answer<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Error> {
        let participant = self.participant;
        let call = async { call.await.map_err(|source| Error::Statement { participant, what, source }) };
        self.in_time(what, call).await
    }

    /// The same, of several calls.
    pub(crate) async fn in_time<T>(
        &self,
        what: &'static str,
        calls: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.is_unanswered.store(true, Ordering::Relaxed);
        let (participant, waited) = (self.participant, self.wait);
        let given_up = self.heard.given_up();
        let answer = timeout(waited, calls).await.unwrap_or(Err(Error::Silent { participant, what, waited }));
        let is_answered = match &answer {
            Ok(_) => true,
            // The server has refused a statement, and goes on.
            Err(Error::Statement { source, .. }) => is_answer(source),
            Err(_) => false,
        };
        self.is_unanswered.store(!is_answered, Ordering::Relaxed);
        // It may have been somebody else's wait. To ask again does no harm.
        if self.heard.given_up() == given_up {
            answer
        } else {
            answer.and(Err(Error::NotAtStandby { participant, what }))
        }
    }
}

impl Deref for Lent {
    type Target = Object;

    fn deref(&self) -> &Object {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("it is gone only when it is given back"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !*self.is_unanswered.get_mut() {
            return;
        }
        let (running, is_closed) = (connection.cancel_token(), connection.is_closed());
        drop(Object::take(connection));
        // A server does not notice that its client has gone as long as it waits for a lock or a standby: those that wait would
        // become more and more. A commit that is cancelled while it waits for a standby is one, and is confirmed later.
        if !is_closed && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(cancel(running, self.participant, self.tls.take(), self.wait));
        }
    }
}

/// Cancels what runs over a connection that is not used any more, if that can be.
pub(crate) async fn cancel(
    running: CancelToken,
    participant: NodeId,
    tls: Option<Arc<ClientConfig>>,
    patience: Duration,
) {
    let sent = async {
        match tls {
            Some(tls) => running.cancel_query(MakeRustlsConnect::new((*tls).clone())).await,
            None => running.cancel_query(NoTls).await,
        }
    };
    // What is not cancelled ends by itself.
    if !matches!(timeout(patience, sent).await, Ok(Ok(()))) {
        tracing::debug!(%participant, "a statement that nobody waits for could not be cancelled");
    }
}

#[cfg(test)]
mod tests {

    use synod_servers::{Options as Settings, Postgres as Server};
    use tokio::time::Instant;

    use super::*;
    use crate::{Options, Postgres};

    type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

    #[tokio::test]
    async fn a_connection_outlives_what_the_server_refuses_and_what_nobody_waits_for_is_cancelled() -> Outcome {
        if Server::installed().is_none() {
            eprintln!("left out: PostgreSQL is not installed");
            return Ok(());
        }
        let server = Server::start(Settings::default())?;
        let options = Options::new().answer(Duration::from_millis(300)).agent_connections(1, 1);
        let postgres = Postgres::connect_with(&server.url("postgres"), NodeId(11), options).await?;
        let pid = async || -> Result<i32, Error> {
            let client = postgres.0.for_votes().await?;
            let row = client.answer("say who it is", client.query_one("SELECT pg_backend_pid()", &[])).await?;
            Ok(row.get(0))
        };
        let first = pid().await?;
        let client = postgres.0.for_votes().await?;
        client.answer("end what is not there", client.batch_execute("COMMIT PREPARED 'x'")).await.unwrap_err();
        drop(client);
        assert_eq!(pid().await?, first);
        let client = postgres.0.for_votes().await?;
        let silent = client.answer("sleep", client.batch_execute("SELECT pg_sleep(300)")).await;
        assert!(matches!(silent, Err(Error::Silent { .. })), "{silent:?}");
        drop(client);
        assert_ne!(pid().await?, first);
        let end = Instant::now() + Duration::from_secs(60);
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        while server.sql("postgres", sleeping)? != "0" {
            assert!(Instant::now() < end, "its backend is still at it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
