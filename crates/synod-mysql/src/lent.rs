//! A connection of an agent, and how long its answers are waited for.

use std::ops::{Deref, DerefMut};

use futures_util::FutureExt;
use mysql_async::Conn;
use tokio::time::timeout;

use crate::{Error, database::Inner};

/// A connection of an agent's pool. It goes back when all that was asked over it is answered; dropped before that, it ends,
/// for its pool would wait for the answer that is still to come.
pub(crate) struct Lent(Option<Conn>);

impl Lent {
    pub(crate) fn new(connection: Conn) -> Self {
        Self(Some(connection))
    }

    /// It is not given back by this.
    pub(crate) fn keep(mut self) -> Option<Conn> {
        self.0.take()
    }

    /// Gives it back.
    pub(crate) fn done(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        match &self.0 {
            Some(connection) => connection,
            None => unreachable!("it is gone only when it is given back"),
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        match &mut self.0 {
            Some(connection) => connection,
            None => unreachable!("it is gone only when it is given back"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(close);
    }
}

/// Ends a connection, so that it does not go back to its pool. A connection with a prepared branch must not: MariaDB 10.11
/// answers to the reset (COM_RESET_CONNECTION) and is confused afterwards; it forgets the branch until its next start, and
/// keeps its locks.
pub(crate) fn close(conn: Conn) {
    // The first step marks it as ended and says so to the server; what is left is done by dropping it.
    let _ = conn.disconnect().now_or_never();
}

impl Inner {
    /// Waits for the answer to a `call` of the agent, but not for ever. What was asked may have been done when none comes, so
    /// nothing is concluded from that.
    pub(crate) async fn answer<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, mysql_async::Error>> + Send,
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
        let (participant, waited) = (self.participant, self.options.answer);
        timeout(waited, calls).await.unwrap_or(Err(Error::Silent { participant, what, waited }))
    }
}
