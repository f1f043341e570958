//! What is prepared, and how a prepared branch is ended.

use mysql_async::{Conn, Error, prelude::Queryable};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome},
};
use synod_client::{Listed, ListedBranch};

use crate::{
    Kind, Xid,
    codes::is_absent,
    fence::{Key, Row, bar, confirm, settled},
};

/// How far an outcome has been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// It is, durably.
    Done,
    /// Somebody else is at it, or a living connection holds the branch: again.
    Held,
    /// This stands in the way for good.
    Wrong(Kind),
}

/// The transactions whose branches of a participant are prepared.
pub(crate) async fn prepared(conn: &mut Conn, cluster: ClusterId, participant: NodeId) -> Result<Vec<TxId>, Error> {
    let rows: Vec<(i64, i64, i64, Vec<u8>)> = conn.query("XA RECOVER").await?;
    let own = rows.iter().filter_map(Xid::read);
    Ok(own.filter(|xid| (xid.cluster(), xid.participant()) == (cluster, participant)).map(|xid| xid.tx()).collect())
}

/// Everything that is prepared on the server, which does not say since when: at most `limit`, and how many there are.
pub(crate) async fn list_all(conn: &mut Conn, limit: usize) -> Result<(Vec<Listed>, usize), Error> {
    let rows: Vec<(i64, i64, i64, Vec<u8>)> = conn.query("XA RECOVER").await?;
    let listed = rows.iter().take(limit).map(|row| {
        let branch = Xid::read(row).map(|xid| ListedBranch {
            cluster: xid.cluster(),
            participant: xid.participant(),
            tx: xid.tx(),
        });
        let digits: String = row.3.iter().map(|byte| format!("{byte:02x}")).collect();
        Listed::new(format!("X'{digits}'"), branch, None)
    });
    Ok((listed.collect(), rows.len()))
}

/// Whether a branch is prepared.
pub(crate) async fn is_prepared(conn: &mut Conn, xid: &Xid) -> Result<bool, Error> {
    Ok(prepared(conn, xid.cluster(), xid.participant()).await?.contains(&xid.tx()))
}

/// Carries `outcome` out. The server's word is checked against the fence: that it does not know a branch does not mean that
/// the branch has ended.
pub(crate) async fn carry_out(conn: &mut Conn, xid: &Xid, outcome: Outcome) -> Result<Carried, Error> {
    let verb = match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::Aborted => "ROLLBACK",
    };
    let ended = conn.query_drop(format!("XA {verb} {xid}")).await;
    let by_this = ended.is_ok();
    match ended {
        Ok(()) => {}
        Err(error) if is_absent(&error) => {
            // MariaDB knows it only to the connection that has prepared it, as long as that lives, and yet lists it.
            if is_prepared(conn, xid).await? {
                return Ok(Carried::Held);
            }
        }
        Err(error) => return Err(error),
    }
    let key = Key::of(xid);
    Ok(match outcome {
        Outcome::Committed => match settled(conn, &key).await? {
            Some(Row::Work) => {
                if !by_this {
                    confirm(conn, xid.participant()).await?;
                }
                Carried::Done
            }
            Some(Row::Tombstone) => Carried::Wrong(Kind::RolledBack),
            Some(Row::Nothing) => Carried::Wrong(Kind::Lost),
            None => Carried::Held,
        },
        // From now on it cannot be prepared any more. If it is being prepared at this moment, this waits, and fails.
        Outcome::Aborted => match bar(conn, &key).await? {
            Some(Row::Tombstone) => Carried::Done,
            Some(Row::Work) => Carried::Wrong(Kind::Committed),
            Some(Row::Nothing) | None => Carried::Held,
        },
    })
}
