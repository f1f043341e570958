//! The books of each database, and what a transfer does to them.
//!
//! ```sql
//! CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
//! CREATE TABLE transfer (id bigint PRIMARY KEY, account bigint NOT NULL, delta bigint NOT NULL);
//! ```
//!
//! PostgreSQL and MariaDB understand that alike.

use std::future::Future;

use synod_client::{Branch, Cause, CommitError, Database, OpenError, Outcome, Synod, TxId};
use synod_mysql::{MysqlBranch, mysql_async};
use synod_postgres::PostgresBranch;

use crate::databases::Kind;

/// What each account begins with.
pub(crate) const BALANCE: u64 = 1_000;

/// The statements that make the books, with so many accounts.
pub(crate) fn make(kind: Kind, accounts: u64) -> String {
    let ids = match kind {
        Kind::Postgres => format!("generate_series(0, {accounts} - 1) seq"),
        Kind::Maria => format!("seq_0_to_{}", accounts - 1),
    };
    format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
         CREATE TABLE transfer (id bigint PRIMARY KEY, account bigint NOT NULL, delta bigint NOT NULL);
         INSERT INTO account SELECT seq, {BALANCE} FROM {ids};"
    )
}

/// A transfer from an account in one database to one in the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// No other transfer has it.
    pub(crate) id: u64,
    /// The account in each database.
    pub(crate) accounts: [u64; 2],
    /// What the account in the first database gets, and that in the second one loses.
    pub(crate) amount: i64,
}

/// A change of one account, for one transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) account: u64,
    pub(crate) delta: i64,
}

/// A branch with books.
pub(crate) trait Books: Branch {
    /// Changes an account and writes that down. False if there is not enough in it.
    fn change(&mut self, change: Change) -> impl Future<Output = Result<bool, Failed>> + Send;
}

impl Books for PostgresBranch {
    async fn change(&mut self, Change { id, account, delta }: Change) -> Result<bool, Failed> {
        let (id, account) = (id as i64, account as i64);
        let update = "UPDATE account SET balance = balance + $1 WHERE id = $2 AND balance + $1 >= 0";
        if self.execute(update, &[&delta, &account]).await? == 0 {
            return Ok(false);
        }
        let insert = "INSERT INTO transfer (id, account, delta) VALUES ($1, $2, $3)";
        self.execute(insert, &[&id, &account, &delta]).await?;
        Ok(true)
    }
}

impl Books for MysqlBranch {
    async fn change(&mut self, Change { id, account, delta }: Change) -> Result<bool, Failed> {
        let update = "UPDATE account SET balance = balance + ? WHERE id = ? AND balance + ? >= 0";
        self.exec_drop(update, (delta, account, delta)).await?;
        if self.affected_rows() == 0 {
            return Ok(false);
        }
        let insert = "INSERT INTO transfer (id, account, delta) VALUES (?, ?, ?)";
        self.exec_drop(insert, (id, account, delta)).await?;
        Ok(true)
    }
}

/// A statement that failed, in a database of either kind.
#[derive(Debug, thiserror::Error)]
#[error("a statement failed")]
pub(crate) struct Failed {
    /// What the server calls the reason. Without a reason, the connection was lost.
    code: Option<String>,
    source: Cause,
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self { code: error.code().map(|code| code.code().to_owned()), source: error.into() }
    }
}

impl From<mysql_async::Error> for Failed {
    fn from(error: mysql_async::Error) -> Self {
        let code = if let mysql_async::Error::Server(error) = &error { Some(error.code.to_string()) } else { None };
        Self { code, source: error.into() }
    }
}

/// Why a transfer is not known to be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Statement(#[from] Failed),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What an application learns of a transfer.
#[derive(Debug)]
pub(crate) enum End {
    Committed,
    /// Nothing has changed; why, if that is an error.
    Aborted(Option<Failure>),
    /// Nothing has changed, because there was not enough in the account.
    Refused,
    /// It may have been committed. By the name it can be asked about later.
    Unknown(Option<TxId>, CommitError),
}

impl Transfer {
    /// Makes the transfer. All transfers lock the account in the first database before the one in the second, so none waits
    /// for another that waits for it.
    pub(crate) async fn make<L, R>(&self, synod: &Synod, left: &L, right: &R) -> End
    where
        L: Database<Branch: Books>,
        R: Database<Branch: Books>,
    {
        let mut tx = synod.transaction();
        let changes = [0, 1].map(|side| Change {
            id: self.id,
            account: self.accounts[side],
            delta: if side == 0 { self.amount } else { -self.amount },
        });
        let worked = async {
            let is_made =
                tx.on(left).await?.change(changes[0]).await? && tx.on(right).await?.change(changes[1]).await?;
            Ok(is_made)
        };
        match worked.await {
            Ok(true) => {}
            Ok(false) => {
                tx.roll_back().await;
                return End::Refused;
            }
            Err(error) => {
                tx.roll_back().await;
                return End::Aborted(Some(error));
            }
        }
        match tx.commit().await {
            Ok(Outcome::Committed) => End::Committed,
            Ok(Outcome::Aborted) => End::Aborted(None),
            Err(error) if error.may_have_committed() => End::Unknown(error.tx(), error),
            Err(error) => End::Aborted(Some(error.into())),
        }
    }
}

impl Failure {
    /// What kind of failure it is, for counting.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Open(OpenError::Unnamed(_)) | Self::Commit(CommitError::Unnamed(_)) => "no name".into(),
            Self::Open(_) => "no branch opens".into(),
            Self::Statement(Failed { code, .. }) => {
                format!("statement fails: {}", code.as_deref().unwrap_or("connection lost"))
            }
            Self::Commit(CommitError::Database { .. }) => "branch not prepared".into(),
            Self::Commit(_) => "commit fails".into(),
        }
    }
}
