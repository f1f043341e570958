//! The table that tells what has become of a branch that is not prepared.

use mysql_async::{Conn, Error, prelude::Queryable};
use synod::{NodeId, TxId, commit::ClusterId};

use crate::{
    Xid,
    codes::{self, is_busy},
    xid::literal,
};

/// Makes the tables.
pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS synod_fence (\
    branch VARBINARY(48) NOT NULL PRIMARY KEY, \
    state CHAR(1) CHARACTER SET ascii NOT NULL, \
    made TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB; \
    CREATE TABLE IF NOT EXISTS synod_identity (\
    one TINYINT NOT NULL PRIMARY KEY, \
    participant VARCHAR(20) CHARACTER SET ascii NOT NULL, \
    cluster CHAR(32) CHARACTER SET ascii) ENGINE=InnoDB";

/// The key of a row. It sorts rows by cluster, participant and transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

/// What the fence has of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The branch has committed: its row is there.
    Work,
    /// It was aborted: the tombstone is there.
    Tombstone,
    /// Nothing.
    Nothing,
}

impl Key {
    /// That of a branch.
    pub(crate) fn of(xid: &Xid) -> Self {
        let tx = xid.tx();
        let mut bytes = Self::prefix(xid.cluster(), xid.participant()).0;
        bytes.extend(tx.origin.0.to_be_bytes());
        bytes.extend(tx.seq.to_be_bytes());
        Self(bytes)
    }

    /// What the keys of all branches of a participant begin with, and itself the key of the row by which it makes sure that
    /// what it has seen is durable.
    pub(crate) fn prefix(cluster: ClusterId, participant: NodeId) -> Self {
        Self([&cluster.0[..], &participant.0.to_be_bytes()].concat())
    }

    /// That of a branch which is committed by itself: longer than any other, and drawn once.
    pub(crate) fn alone(participant: NodeId, number: u128) -> Self {
        let mut key = Self::prefix(ClusterId([0; 16]), participant);
        key.0.extend(number.to_be_bytes());
        key.0.push(0);
        key
    }

    /// The last key that begins like this one.
    pub(crate) fn last(mut self) -> Self {
        self.0.resize(48, 0xff);
        self
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The transaction of a branch; nothing if it is another kind of key.
    pub(crate) fn tx(&self) -> Option<TxId> {
        let bytes: &[u8; 40] = self.0.as_slice().try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(TxId { origin: NodeId(number(24)), seq: number(32) })
    }

    /// As part of a statement.
    pub(crate) fn literal(&self) -> String {
        literal(&self.0)
    }

    /// The statement by which a branch writes its row.
    pub(crate) fn insert(&self) -> String {
        format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 'w')", self.literal())
    }
}

/// What the fence has under `key`, without waiting for anybody.
pub(crate) async fn row(conn: &mut Conn, key: &Key) -> Result<Row, Error> {
    read(conn, key, "").await
}

/// What the fence has under `key`, once nobody is about to write it any more. Nothing if that takes too long.
pub(crate) async fn settled(conn: &mut Conn, key: &Key) -> Result<Option<Row>, Error> {
    match read(conn, key, "LOCK IN SHARE MODE").await {
        Ok(row) => Ok(Some(row)),
        Err(error) if is_busy(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read(conn: &mut Conn, key: &Key, how: &str) -> Result<Row, Error> {
    let state = format!("SELECT state FROM synod_fence WHERE branch = {} {how}", key.literal());
    Ok(match conn.query_first::<String, _>(state).await?.as_deref() {
        Some("t") => Row::Tombstone,
        Some(_) => Row::Work,
        None => Row::Nothing,
    })
}

/// Puts a tombstone, durably, where there is no row yet: a branch with this key can then no longer be prepared. Returns the
/// row that is there now. Nothing if somebody is about to write it, and does not come to an end in time.
pub(crate) async fn bar(conn: &mut Conn, key: &Key) -> Result<Option<Row>, Error> {
    let tombstone = format!("INSERT INTO synod_fence (branch, state) VALUES ({}, 't')", key.literal());
    match conn.query_drop(tombstone).await {
        Ok(()) => Ok(Some(Row::Tombstone)),
        Err(error) if codes::of(&error) == Some(codes::DUPLICATE) => match row(conn, key).await? {
            Row::Nothing => Ok(None),
            row => Ok(Some(row)),
        },
        Err(error) if is_busy(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes durable what was seen. A commit is seen shortly before the log has it; a later write that has come back says that
/// the log is that far.
pub(crate) async fn confirm(conn: &mut Conn, participant: NodeId) -> Result<(), Error> {
    let key = Key::prefix(ClusterId([0; 16]), participant).literal();
    let write = format!(
        "INSERT INTO synod_fence (branch, state) VALUES ({key}, 'c') ON DUPLICATE KEY UPDATE made = CURRENT_TIMESTAMP(6)"
    );
    conn.query_drop(write).await
}

/// Deletes these rows, in one transaction. Each statement names one row: if one named many, the server might scan the table
/// for them, wait for every branch that is prepared in it, and meanwhile hold up those that [confirm] a commit.
pub(crate) async fn remove(conn: &mut Conn, keys: &[Key]) -> Result<(), Error> {
    let delete = |key: &Key| format!("DELETE FROM synod_fence WHERE branch = {}; ", key.literal());
    let deletes: String = keys.iter().map(delete).collect();
    conn.query_drop(format!("START TRANSACTION; {deletes}COMMIT")).await
}

#[cfg(test)]
mod tests {
    use synod_servers::{Maria, Options};

    use super::*;

    #[tokio::test]
    async fn rows_are_removed_though_branches_are_prepared_among_them() -> Result<(), Error> {
        if Maria::installed().is_none() {
            eprintln!("left out: no MariaDB is installed");
            return Ok(());
        }
        let server = Maria::start(Options::default()).expect("it starts");
        server.create_database("shop").expect("it is new");
        let url = server.url("shop");
        let (mut conn, mut other) = (Conn::from_url(&url).await?, Conn::from_url(&url).await?);
        conn.query_drop(format!("{CREATE}; SET innodb_lock_wait_timeout = 1")).await?;
        let xid = |seq| Xid::new(ClusterId([9; 16]), NodeId(11), TxId { origin: NodeId(1), seq });
        let keys: Vec<Key> = (0..400).map(|seq| Key::of(&xid(2 * seq))).collect();
        for key in &keys {
            conn.query_drop(key.insert()).await?;
        }
        let (branch, later) = (xid(101), xid(1_001));
        let inserts = [branch, later].map(|xid| Key::of(&xid).insert()).join("; ");
        other.query_drop(format!("XA START {branch}; {inserts}; XA END {branch}; XA PREPARE {branch}")).await?;
        remove(&mut conn, &keys[..300]).await?;
        assert_eq!(conn.query_first("SELECT COUNT(*) FROM synod_fence").await?, Some(100_u64));
        assert_eq!(row(&mut conn, &keys[299]).await?, Row::Nothing);
        assert_eq!(row(&mut conn, &keys[300]).await?, Row::Work);
        Ok(())
    }

    #[test]
    fn the_key_of_a_branch_lies_among_those_of_its_participant_and_tells_the_transaction() {
        let (cluster, tx) = (ClusterId([9; 16]), TxId { origin: NodeId(1 << 60), seq: 77 });
        let (key, prefix) = (Key::of(&Xid::new(cluster, NodeId(11), tx)), Key::prefix(cluster, NodeId(11)));
        assert_eq!(key.tx(), Some(tx));
        assert!(prefix < key && key < prefix.clone().last());
        assert!(Key::prefix(cluster, NodeId(12)) > prefix.clone().last());
        assert_eq!((prefix.tx(), Key::alone(NodeId(11), 5).tx()), (None, None));
    }
}
