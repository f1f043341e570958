//! What a branch says to its server, and what the answers mean.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::{Severity, SqlState};

/// Gives a connection back as it came, but for its prepared statements. (`DISCARD ALL` would drop those, too.)
pub(crate) const RESET: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP";

/// Whether the transaction has written anything. Writing into foreign tables only needs no number here: it is PREPARE that refuses such
/// a branch, and to commit it as one that has only read would be to commit what it has written elsewhere.
pub(crate) const HAS_WRITTEN: &str = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL \
    OR CASE WHEN EXISTS (SELECT FROM pg_foreign_table) THEN EXISTS (SELECT FROM pg_locks JOIN pg_foreign_table ON ftrelid = relation \
    WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock') ELSE false END";

/// What comes before PREPARE where statements may have changed it: nobody but the agent's role can end what is prepared, and a promise
/// waits for the standby. It holds for the session, and so when the branch is ended as well.
pub(crate) const AS_ITSELF: &str = "RESET ROLE; SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') IN ('off', 'local'); ";

/// Ends a prepared branch, or waits until an agent of another process has: what is committed is seen when this returns. False
/// if it is not there any more: whether it was ended, or is lost, is for the agent to find out.
pub(crate) async fn end_prepared(
    connection: &Object,
    statement: &str,
    patience: Duration,
) -> Result<bool, tokio_postgres::Error> {
    let end = Instant::now() + patience;
    loop {
        match connection.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => return Ok(false),
            // Somebody else is at it.
            Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) && Instant::now() < end => {
                sleep(Duration::from_millis(1)).await;
            }
            ended => return ended.map(|()| true),
        }
    }
}

/// Whether the server says that a statement has failed, and goes on: then nothing has happened. Whatever ends the session, or
/// comes from something in between, leaves that open.
pub(crate) fn is_answer(error: &tokio_postgres::Error) -> bool {
    let Some(answer) = error.as_db_error() else { return false };
    let code = answer.code().code();
    let is_open = code.starts_with("08") || code.starts_with("57P0") || code == "40003";
    answer.parsed_severity() == Some(Severity::Error) && !is_open
}

/// Its transaction could not begin.
#[derive(Debug, thiserror::Error)]
#[error("the database has refused to begin a transaction, as its first statement said")]
pub(crate) struct NotBegun;

/// A statement of the application has ended the transaction.
#[derive(Debug, thiserror::Error)]
#[error("a COMMIT or ROLLBACK among the statements has ended the transaction: leave both to `commit`")]
pub(crate) struct NotInTransaction;

/// Whether `statement` has `name` in it, which is in lower case.
pub(crate) fn mentions(statement: &str, name: &str) -> bool {
    statement.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
}

/// A number that is drawn once.
#[allow(clippy::disallowed_types, reason = "a name that is drawn once is no part of the protocol")]
pub(crate) fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}
