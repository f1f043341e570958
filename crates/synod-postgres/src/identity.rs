//! What a database says of itself: which participant it is, and of which cluster. So two databases whose addresses are
//! swapped, or one under two numbers, are noticed before anything is prepared in them.

use synod::{NodeId, commit::ClusterId};
use tokio_postgres::{Client, Error as DriverError};

use crate::Error;

/// The row of the one participant. Whoever connects first makes it.
const NOTE: &str = "INSERT INTO synod.identity (participant) VALUES ($1) ON CONFLICT DO NOTHING";

/// Whichever agent comes first says of which cluster it is.
const JOIN: &str = "UPDATE synod.identity SET cluster = $1 WHERE cluster IS NULL";

const READ: &str =
    "SELECT participant, cluster, current_database()::text FROM (SELECT) here LEFT JOIN synod.identity ON true";

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
pub(crate) async fn check(client: &Client, participant: NodeId) -> Result<(), Error> {
    let noted = async {
        client.execute(NOTE, &[&participant.0.to_string()]).await?;
        read(client).await
    };
    noted.await.map_err(failed(participant))?.is_of(participant)
}

/// Makes sure that the database stands in `cluster`; notes that, if it stands in none yet and its agent asks.
pub(crate) async fn join(
    client: &Client,
    participant: NodeId,
    cluster: ClusterId,
    is_agent: bool,
) -> Result<(), Error> {
    let noted = async {
        if is_agent {
            client.execute(NOTE, &[&participant.0.to_string()]).await?;
            client.execute(JOIN, &[&cluster.to_string()]).await?;
        }
        read(client).await
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

async fn read(client: &Client) -> Result<Identity, DriverError> {
    let row = client.query_one(READ, &[]).await?;
    Ok(Identity { participant: row.get(0), cluster: row.get(1), database: row.get(2) })
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
