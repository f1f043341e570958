//! The numbers of the server's errors that mean something here.

use mysql_async::Error;

/// The row is there already.
pub(crate) const DUPLICATE: u16 = 1062;
/// The table may not be used like this.
pub(crate) const DENIED: [u16; 4] = [1044, 1142, 1143, 1227];
/// There is no such table.
pub(crate) const NO_TABLE: u16 = 1146;
/// XAER_RMERR: the list of prepared branches is not shown.
pub(crate) const NOT_SHOWN: u16 = 1401;
/// XAER_DUPID: another connection has a branch of this name.
pub(crate) const TAKEN: u16 = 1440;
/// XAER_RMFAIL: the branch is in a state in which this cannot be done.
pub(crate) const WRONG_STATE: u16 = 1399;

/// What a server says that is full, or about to end: as if it did not answer.
const AWAY: [u16; 4] = [1040, 1053, 1203, 1927];

/// XAER_NOTA, and XA_RBROLLBACK, XA_RBTIMEOUT, XA_RBDEADLOCK: the server does not have it prepared for this connection.
const ABSENT: [u16; 4] = [1397, 1402, 1613, 1614];
/// A lock was waited for too long, or in a circle.
const BUSY: [u16; 2] = [1205, 1213];

/// The number of a server's error.
pub(crate) fn of(error: &Error) -> Option<u16> {
    if let Error::Server(error) = error { Some(error.code) } else { None }
}

/// Whether the server could not be asked.
pub(crate) fn is_away(error: &Error) -> bool {
    of(error).is_none_or(|code| AWAY.contains(&code))
}

pub(crate) fn is_absent(error: &Error) -> bool {
    of(error).is_some_and(|code| ABSENT.contains(&code))
}

/// Whether an answer to the statements that prepare a branch says that it is not prepared: a row is in the way, a lock was not
/// had, or the branch has ended before that. Any other answer leaves it open.
pub(crate) fn is_unprepared(error: &Error) -> bool {
    is_absent(error) || is_busy(error) || of(error).is_some_and(|code| [DUPLICATE, WRONG_STATE].contains(&code))
}

pub(crate) fn is_busy(error: &Error) -> bool {
    of(error).is_some_and(|code| BUSY.contains(&code))
}
