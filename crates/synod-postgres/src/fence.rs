//! The table that tells what has become of a branch that is not prepared, and what must be right about a server.

use synod::{
    NodeId, TxId,
    commit::{ClusterId, TxRange},
};
use tokio_postgres::{Client, error::SqlState};

use crate::{Error, Gid, Missing, identity};

/// Makes the tables. Twice at once does no harm: the lock is for that.
pub(crate) const CREATE: &str = "BEGIN; SELECT pg_advisory_xact_lock(8386110513); \
    CREATE SCHEMA IF NOT EXISTS synod; \
    CREATE TABLE IF NOT EXISTS synod.fence (\
    branch bytea PRIMARY KEY, state \"char\" NOT NULL, made timestamptz NOT NULL DEFAULT clock_timestamp()); \
    CREATE TABLE IF NOT EXISTS synod.participants (\
    branch bytea PRIMARY KEY, participants bytea NOT NULL, made timestamptz NOT NULL DEFAULT clock_timestamp()); \
    CREATE TABLE IF NOT EXISTS synod.identity (\
    one boolean PRIMARY KEY DEFAULT true CHECK (one), participant text NOT NULL, cluster text); COMMIT";

/// Puts the row of a branch there.
pub(crate) const PUT: &str = "INSERT INTO synod.fence (branch, state) VALUES ($1, 'w')";

/// Whether this role may use the tables.
const RIGHTS: &str = "SELECT bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
    AND has_table_privilege(c.oid, 'INSERT') \
    AND has_table_privilege(c.oid, CASE relname WHEN 'identity' THEN 'UPDATE' ELSE 'DELETE' END)) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
    WHERE nspname = 'synod' AND relname IN ('fence', 'participants', 'identity')";

/// The key of a branch's row: the cluster, the participant, and the transaction's name, each in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; 40]);

impl Key {
    pub(crate) fn new(cluster: ClusterId, participant: NodeId, tx: TxId) -> Self {
        let mut bytes = [0; 40];
        bytes[..16].copy_from_slice(&cluster.0);
        bytes[16..24].copy_from_slice(&participant.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&tx.origin.0.to_be_bytes());
        bytes[32..].copy_from_slice(&tx.seq.to_be_bytes());
        Self(bytes)
    }

    pub(crate) fn of(gid: &Gid) -> Self {
        Self::new(gid.cluster(), gid.participant(), gid.tx())
    }

    /// The first and the last key of a range of transactions.
    pub(crate) fn range(cluster: ClusterId, participant: NodeId, range: TxRange) -> (Self, Self) {
        (Self::new(cluster, participant, range.first()), Self::new(cluster, participant, range.last()))
    }

    /// What is before all keys of a participant in a cluster, and what is behind them.
    pub(crate) fn all(cluster: ClusterId, participant: NodeId) -> (Vec<u8>, Vec<u8>) {
        let prefix = [&cluster.0[..], &participant.0.to_be_bytes()].concat();
        let end = [&prefix[..], &[0xff; 17]].concat();
        (prefix, end)
    }

    /// The transaction of a row.
    pub(crate) fn tx(key: &[u8]) -> Option<TxId> {
        let (_, name) = key.split_last_chunk::<16>().filter(|_| key.len() == 40)?;
        let (origin, seq) = name.split_first_chunk::<8>()?;
        let seq = u64::from_be_bytes(seq.try_into().ok()?);
        Some(TxId { origin: NodeId(u64::from_be_bytes(*origin)), seq })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key of the row of a branch that is committed by itself: longer than any other, and drawn once.
pub(crate) struct Alone(Vec<u8>);

impl Alone {
    pub(crate) fn new(participant: NodeId, number: u128) -> Self {
        Self([&[0; 16][..], &participant.0.to_be_bytes(), &number.to_be_bytes(), &[0]].concat())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As part of a statement.
pub(crate) fn literal(key: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let digits = key.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    "'\\x".chars().chain(digits).chain(['\'']).collect()
}

/// Makes sure that the server can take part, that the tables are there, and that it is this participant's database.
pub(crate) async fn check(client: &Client, participant: NodeId, slots: usize) -> Result<(), Error> {
    let missing = |missing| Err(Error::Missing { participant, missing });
    let failed = |what| move |source| Error::Statement { participant, what, source };
    let row = client
        .query_one(
            "SELECT current_setting('max_prepared_transactions')::int, pg_is_in_recovery(), \
             current_setting('synchronous_commit'), current_setting('synchronous_standby_names') <> '', \
             current_setting('server_version_num')::int, current_setting('server_version'), current_user::text, \
             (SELECT count(*) = 3 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname = 'synod' AND relname IN ('fence', 'participants', 'identity'))",
            &[],
        )
        .await
        .map_err(failed("say how it is set up"))?;
    let (prepared, is_standby, commit): (i32, bool, String) = (row.get(0), row.get(1), row.get(2));
    let (has_standbys, number, version): (bool, i32, String) = (row.get(3), row.get(4), row.get(5));
    let (role, has_tables): (String, bool) = (row.get(6), row.get(7));
    if number < 130_000 {
        return missing(Missing::TooOld(version));
    }
    if is_standby {
        return missing(Missing::ReadOnly);
    }
    if prepared == 0 {
        return missing(Missing::NoSlots { there: 0, wanted: slots });
    }
    if commit == "off" || (commit == "local" && has_standbys) {
        return missing(Missing::NotSynchronous(commit));
    }
    if (prepared as usize) < slots {
        tracing::warn!(
            %participant,
            max_prepared_transactions = prepared,
            wanted = slots,
            "max_prepared_transactions is {prepared}, and the connections of this application alone are {slots}: more branches may \
             be prepared at once than the server has room for"
        );
    }
    if !has_tables {
        match client.batch_execute(CREATE).await {
            Ok(()) => {}
            Err(error) => {
                let _ = client.batch_execute("ROLLBACK").await;
                if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                    return missing(Missing::NoTable(CREATE.to_owned()));
                }
                return Err(failed("create the tables of synod")(error));
            }
        }
    }
    let has_rights: bool = client.query_one(RIGHTS, &[]).await.map_err(failed("say what this role may do"))?.get(0);
    if has_rights { identity::check(client, participant).await } else { missing(Missing::NoRights(role)) }
}
