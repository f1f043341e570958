//! What has become of a branch, as its database tells.

use std::time::Duration;

use deadpool_postgres::Object;
use synod::{
    NodeId,
    commit::{ClusterId, Transaction},
};
use synod_client::{Listed, ListedBranch};
use tokio_postgres::Error;

use crate::{Gid, fence::Key, participants};

/// What the database has of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is prepared.
    Prepared,
    /// It is prepared by a role whose branches this one may not end.
    NotOurs,
    /// It was committed: its row is there.
    Work,
    /// It was aborted: the tombstone is there.
    Tombstone,
    /// Nothing.
    Nothing,
}

/// What the database has of the branch `gid`.
pub(crate) async fn look(client: &Object, gid: &Gid) -> Result<Found, Error> {
    let prepared = client
        .prepare_cached(
            // A role that is dropped has no name.
            "SELECT coalesce(owner = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false) \
             FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database()",
        )
        .await?;
    if let Some(row) = client.query_opt(&prepared, &[&gid.as_str()]).await? {
        confirm(client).await?;
        return Ok(if row.get(0) { Found::Prepared } else { Found::NotOurs });
    }
    row(client, gid).await
}

/// What the fence has of the branch `gid`, which is not prepared, or was not a moment ago. A later statement than the one that
/// found that: a branch that was committed in between has its row by now.
pub(crate) async fn row(client: &Object, gid: &Gid) -> Result<Found, Error> {
    at(client, Key::of(gid).bytes()).await
}

/// What the fence has under `key`, once that is durable.
pub(crate) async fn at(client: &Object, key: &[u8]) -> Result<Found, Error> {
    let row = client.prepare_cached("SELECT state FROM synod.fence WHERE branch = $1").await?;
    // A row, too, may be seen before a standby has it.
    let state: Option<i8> = client.query_opt(&row, &[&key]).await?.map(|row| row.get(0));
    if state.is_some() {
        confirm(client).await?;
    }
    Ok(match state {
        Some(state) if state == b't' as i8 => Found::Tombstone,
        Some(_) => Found::Work,
        None => Found::Nothing,
    })
}

/// The names of the prepared branches of a participant in this database, those at least `age` seconds old.
pub(crate) async fn names(
    client: &Object,
    cluster: ClusterId,
    participant: NodeId,
    age: f64,
) -> Result<Vec<Gid>, Error> {
    let list = client
        .prepare_cached(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, 'synod_') \
             AND ($1::float8 <= 0 OR prepared <= clock_timestamp() - make_interval(secs => $1::float8))",
        )
        .await?;
    let rows = client.query(&list, &[&age]).await?;
    let gids = rows.iter().filter_map(|row| row.get::<_, String>(0).parse::<Gid>().ok());
    Ok(gids.filter(|gid| gid.is_of(cluster, participant)).collect())
}

/// The same, with their transactions, once both are durable.
pub(crate) async fn prepared(
    client: &Object,
    cluster: ClusterId,
    participant: NodeId,
    age: f64,
) -> Result<Vec<(Gid, Transaction)>, Error> {
    let mut own = Vec::new();
    for gid in names(client, cluster, participant, age).await? {
        let transaction = match gid.transaction() {
            Some(transaction) => Some(transaction.clone()),
            None => participants::read(client, &gid).await?,
        };
        match transaction {
            Some(transaction) => own.push((gid, transaction)),
            None => tracing::error!(
                %participant,
                tx = %gid.tx(),
                %gid,
                "the row of synod.participants is gone that says who takes part in a prepared transaction: ask the cluster how it ended, \
                 and end it in the same way by hand"
            ),
        }
    }
    if !own.is_empty() {
        confirm(client).await?;
    }
    Ok(own)
}

/// Everything that is prepared in this database, the oldest first: at most `limit`, and how many there are.
pub(crate) async fn list_all(client: &Object, limit: usize) -> Result<(Vec<Listed>, usize), Error> {
    let list = client
        .prepare_cached(
            "SELECT gid, greatest(extract(epoch FROM clock_timestamp() - prepared), 0)::float8, count(*) OVER () \
             FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared, gid LIMIT $1",
        )
        .await?;
    let rows = client.query(&list, &[&i64::try_from(limit).unwrap_or(i64::MAX)]).await?;
    let all = rows.first().map_or(0, |row| row.get::<_, i64>(2));
    let listed = rows.iter().map(|row| {
        let (name, age): (String, f64) = (row.get(0), row.get(1));
        let branch = name.parse::<Gid>().ok().map(|gid| ListedBranch {
            cluster: gid.cluster(),
            participant: gid.participant(),
            tx: gid.tx(),
        });
        Listed::new(name, branch, Duration::try_from_secs_f64(age).ok())
    });
    Ok((listed.collect(), usize::try_from(all).unwrap_or(0)))
}

/// Where commits wait for a standby, a prepared branch is seen before the standby has it. It does once a later write that
/// waited has come back.
pub(crate) async fn confirm(client: &Object) -> Result<(), Error> {
    let ask = client.prepare_cached("SELECT current_setting('synchronous_standby_names') <> ''").await?;
    if client.query_one(&ask, &[]).await?.get(0) {
        let write = client.prepare_cached("SELECT pg_logical_emit_message(true, 'synod', '')").await?;
        client.query_one(&write, &[]).await?;
    }
    Ok(())
}
