//! The books of each database, and what a transfer does to them.
//!
//! ```sql
//! CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
//! CREATE TABLE transfer (id bigint PRIMARY KEY, account bigint NOT NULL, delta bigint NOT NULL);
//! ```

use std::future::Future;

use synod_client::{Branch, CommitError, Database, OpenError, Outcome, Synod, TxId};
use synod_postgres::PostgresBranch;

/// What each account begins with.
pub(crate) const BALANCE: u64 = 1_000;

/// The statements that make the books, with so many accounts.
pub(crate) fn make(accounts: u64) -> String {
    format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
         CREATE TABLE transfer (id bigint PRIMARY KEY, account bigint NOT NULL, delta bigint NOT NULL);
         INSERT INTO account SELECT id, {BALANCE} FROM generate_series(0, {accounts} - 1) id;"
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
    fn change(&mut self, change: Change) -> impl Future<Output = Result<bool, tokio_postgres::Error>> + Send;
}

impl Books for PostgresBranch {
    async fn change(&mut self, Change { id, account, delta }: Change) -> Result<bool, tokio_postgres::Error> {
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

/// Why a transfer is not known to be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("a statement failed")]
    Statement(#[from] tokio_postgres::Error),
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
            Self::Statement(error) => match error.code() {
                Some(code) => format!("statement fails: {}", code.code()),
                None => "statement fails: connection lost".into(),
            },
            Self::Commit(CommitError::Database { .. }) => "branch not prepared".into(),
            Self::Commit(_) => "commit fails".into(),
        }
    }
}
