//! Whether a server can take part.

use mysql_async::{Conn, prelude::Queryable};
use synod::NodeId;

use crate::{
    Error, Missing, codes,
    fence::{CREATE, confirm},
    identity,
};

/// What is read of the server's settings, in this order.
const SETTINGS: &str =
    "SELECT VERSION(), CURRENT_USER(), @@read_only, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog";

/// Tables in which a branch's changes would stay when it is rolled back.
const OTHER_TABLES: &str = "SELECT table_name FROM information_schema.tables \
    JOIN information_schema.engines USING (engine) \
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND xa <> 'YES' LIMIT 1";

/// Makes sure that the server can take part, that the tables are there, and that it is this participant's database.
pub(crate) async fn check(conn: &mut Conn, participant: NodeId) -> Result<(), Error> {
    let missing = |missing| Err(Error::Missing { participant, missing });
    let failed = |what| move |source| Error::Statement { participant, what, source };
    let settings = conn.query_first(SETTINGS).await.map_err(failed("say how it is set up"))?;
    let (version, account, is_read_only, flush, has_binlog, sync): (String, String, bool, u64, bool, u64) =
        settings.unwrap_or_default();
    if !is_new_enough(&version) {
        return missing(Missing::TooOld(version));
    }
    if is_read_only {
        return missing(Missing::ReadOnly);
    }
    if flush != 1 {
        return missing(Missing::NotDurable(flush));
    }
    if has_binlog && sync != 1 {
        tracing::warn!(%participant, sync_binlog = sync, "after a crash the binary log may lack what has committed: set sync_binlog to 1");
    }
    if has_binlog {
        tracing::warn!(
            %participant,
            "the server writes a binary log, which does not carry prepared branches reliably: a replica that is promoted may \
             lack branches that were promised, so end them before a switch-over"
        );
    }
    if let Err(error) = conn.query_drop("XA RECOVER").await {
        return match codes::of(&error) {
            Some(code) if code == codes::NOT_SHOWN || codes::DENIED.contains(&code) => {
                missing(Missing::NoRecover(account))
            }
            _ => Err(failed("list prepared branches")(error)),
        };
    }
    table(conn, participant, account).await?;
    if let Some(table) = conn.query_first::<String, _>(OTHER_TABLES).await.map_err(failed("say which tables it has"))? {
        tracing::warn!(%participant, table, "what is changed in this table stays when a transaction is rolled back: give it ENGINE=InnoDB");
    }
    Ok(())
}

/// Makes sure that the tables are there, can be used, and are this participant's.
async fn table(conn: &mut Conn, participant: NodeId, account: String) -> Result<(), Error> {
    let missing = |missing| Err(Error::Missing { participant, missing });
    let failed = |what| move |source| Error::Statement { participant, what, source };
    let is_denied = |error: &_| codes::of(error).is_some_and(|code| codes::DENIED.contains(&code));
    let engines = "SELECT engine FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name IN ('synod_fence', 'synod_identity')";
    let look = "look for synod_fence and synod_identity";
    let mut found: Vec<String> = conn.query(engines).await.map_err(failed(look))?;
    if found.len() < 2 {
        match conn.query_drop(CREATE).await {
            Ok(()) => found = conn.query(engines).await.map_err(failed(look))?,
            Err(error) if is_denied(&error) => return missing(Missing::NoTable(CREATE.to_owned())),
            Err(error) => return Err(failed("create synod_fence and synod_identity")(error)),
        }
    }
    if let Some(engine) = found.into_iter().find(|engine| engine != "InnoDB") {
        return missing(Missing::NotInnoDb(engine));
    }
    let used = async {
        confirm(conn, participant).await?;
        conn.query_drop("DELETE FROM synod_fence WHERE branch = ''").await?;
        conn.query_drop("SELECT state FROM synod_fence WHERE branch = '' LOCK IN SHARE MODE").await
    };
    let used = used.await.map_err(failed("write to synod_fence"));
    let checked = match used {
        Ok(()) => identity::check(conn, participant).await,
        used => used,
    };
    match checked {
        Err(Error::Statement { source, .. }) if is_denied(&source) => missing(Missing::NoRights(account)),
        // This account may not even see that they are there.
        Err(Error::Statement { source, .. }) if codes::of(&source) == Some(codes::NO_TABLE) => {
            missing(Missing::NoTable(CREATE.to_owned()))
        }
        checked => checked,
    }
}

/// As `10.11.14-MariaDB-…` or `8.0.36`. Older ones lose prepared branches when their connection ends.
fn is_new_enough(version: &str) -> bool {
    let digits = version.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<u32> = digits.map_while(|part| part.parse().ok()).take(3).collect();
    numbers >= if version.contains("MariaDB") { vec![10, 5] } else { vec![8, 0, 30] }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn versions_that_lose_prepared_branches_are_refused() {
        for version in
            ["10.5.0-MariaDB", "10.11.14-MariaDB-0+deb12u2", "11.4.2-MariaDB-log", "8.0.30", "8.4.0", "9.1.0"]
        {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["10.4.34-MariaDB", "5.5.5-MariaDB", "8.0.29", "5.7.44-log", "8.0.4-rc-log", "unknown"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }
}
