//! What a database says of itself: which participant it is, and of which cluster. So two databases whose addresses are
//! swapped, or one under two numbers, are noticed before anything is prepared in them.

use mysql_async::{Conn, Error as DriverError, prelude::Queryable};
use synod::{NodeId, commit::ClusterId};

use crate::Error;

/// The row of the one participant. Whoever connects first makes it.
const NOTE: &str = "INSERT IGNORE INTO synod_identity (one, participant) VALUES (1, ?)";

/// Whichever agent comes first says of which cluster it is.
const JOIN: &str = "UPDATE synod_identity SET cluster = ? WHERE cluster IS NULL";

const READ: &str =
    "SELECT participant, cluster, DATABASE() FROM (SELECT 1) AS here LEFT JOIN synod_identity ON one = 1";

/// Whether this account may join a cluster.
const MAY_JOIN: &str = "UPDATE synod_identity SET cluster = cluster WHERE one = 2";

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    /// Unless somebody has deleted the row.
    participant: Option<String>,
    /// Unless no agent has stood beside it yet.
    cluster: Option<String>,
    database: String,
}

/// Makes sure that the database is that of `participant`; notes it, if it is nobody's yet.
pub(crate) async fn check(conn: &mut Conn, participant: NodeId) -> Result<(), Error> {
    let noted = async {
        conn.query_drop(MAY_JOIN).await?;
        conn.exec_drop(NOTE, (participant.0.to_string(),)).await?;
        read(conn).await
    };
    noted.await.map_err(failed(participant))?.is_of(participant)
}

/// Makes sure that the database stands in `cluster`; notes that, if it stands in none yet and its agent asks.
pub(crate) async fn join(
    conn: &mut Conn,
    participant: NodeId,
    cluster: ClusterId,
    is_agent: bool,
) -> Result<(), Error> {
    let noted = async {
        if is_agent {
            conn.exec_drop(NOTE, (participant.0.to_string(),)).await?;
            conn.exec_drop(JOIN, (cluster.to_string(),)).await?;
        }
        read(conn).await
    };
    let identity = noted.await.map_err(failed(participant))?;
    identity.is_of(participant)?;
    let Identity { cluster: noted, database, .. } = identity;
    match noted {
        Some(noted) if noted == cluster.to_string() => Ok(()),
        Some(noted) => Err(Error::InOtherCluster { participant, database, noted, cluster }),
        None => Err(Error::NoAgent { participant, database, cluster }),
    }
}

fn failed(participant: NodeId) -> impl Fn(DriverError) -> Error {
    move |source| Error::Statement { participant, what: "say which participant it is", source }
}

async fn read(conn: &mut Conn) -> Result<Identity, DriverError> {
    let row = conn.query_first(READ).await?;
    let (participant, cluster, database) = row.ok_or_else(|| DriverError::Other("there is no answer".into()))?;
    Ok(Identity { participant, cluster, database })
}

impl Identity {
    fn is_of(&self, participant: NodeId) -> Result<(), Error> {
        match self.participant.clone() {
            Some(noted) if noted != participant.0.to_string() => {
                Err(Error::OtherParticipant { participant, database: self.database.clone(), noted })
            }
            _ => Ok(()),
        }
    }
}
