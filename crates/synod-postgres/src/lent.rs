//! A connection of an agent, and how long its answers are waited for.

use std::ops::Deref;

use deadpool_postgres::Object;
use tokio::time::timeout;

use crate::{Error, database::Inner};

/// A connection of an agent's pool. It goes back when all that was asked over it is answered; dropped before that, it ends,
/// for an answer that is still to come would be taken for the next one's, or would hold the next one up.
pub(crate) struct Lent(Option<Object>);

impl Lent {
    pub(crate) fn new(connection: Object) -> Self {
        Self(Some(connection))
    }

    /// Gives it back.
    pub(crate) fn done(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = Object;

    fn deref(&self) -> &Object {
        match &self.0 {
            Some(connection) => connection,
            None => unreachable!("it is gone only when it is given back"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

impl Inner {
    /// Waits for the answer to a `call` of the agent, but not for ever. What was asked may have been done when none comes, so
    /// nothing is concluded from that.
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
        let (participant, waited) = (self.participant, self.options.answer);
        timeout(waited, calls).await.unwrap_or(Err(Error::Silent { participant, what, waited }))
    }
}
