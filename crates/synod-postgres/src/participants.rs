//! Who takes part in a transaction, where the name of its branch has no room for them: a row, written before the branch is prepared.

use synod::{
    NodeId,
    commit::{Participants, Transaction},
};
use tokio_postgres::{Client, Error};

use crate::{Gid, fence::Key};

/// Puts the row there. The branch `gid` of `transaction` can be prepared once that is durable.
const PUT: &str = "INSERT INTO synod.participants (branch, participants) VALUES ($1, $2)";

const READ: &str = "SELECT participants FROM synod.participants WHERE branch = $1";

/// Notes who takes part in `transaction`.
pub(crate) async fn put(client: &Client, gid: &Gid, transaction: &Transaction) -> Result<(), Error> {
    client.execute(PUT, &[&Key::of(gid).bytes(), &to_bytes(transaction.participants())]).await.map(drop)
}

/// The transaction of the branch `gid`, whose name does not tell who takes part. Nothing if the row is gone, or is another one's.
pub(crate) async fn read(client: &Client, gid: &Gid) -> Result<Option<Transaction>, Error> {
    let row = client.query_opt(READ, &[&Key::of(gid).bytes()]).await?;
    Ok(row.and_then(|row| gid.with(from_bytes(row.get(0))?)))
}

/// The numbers, as they are in the row.
pub(crate) fn to_bytes(participants: &[NodeId]) -> Vec<u8> {
    participants.iter().flat_map(|node| node.0.to_be_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Option<Participants> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let nodes = numbers.iter().map(|number| NodeId(u64::from_be_bytes(*number)));
    Participants::new(nodes).ok().filter(|_| rest.is_empty())
}
