//! One transaction in PostgreSQL and in a store in Python, while the one or the other side is killed.

use std::{env, path::PathBuf, process::Command, time::Duration};

use synod::{
    TxId,
    commit::{ClusterId, Transaction},
};
use synod_client::{Alone, Branch, Cause, CommitError, Database, Name, NodeId, OpenError, Outcome, Unprepared};
use synod_grpc::Security;
use synod_store::{Error, MOST_STAGED, Options, Store, StoreBranch};

use crate::shop::{ACCOUNTS, LEDGER, Ledger, Shop, account, settles};

/// Never, for these tests.
const NEVER: Duration = Duration::from_secs(10 * 60);
const SOON: Duration = Duration::from_secs(1);

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn an_account_and_a_store_change_together_or_neither_does() {
    let (server, folder) = (account(), tempfile::tempdir().unwrap());
    let ledger = Ledger::start(folder.path(), "never");
    let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, NEVER).await;
    assert_eq!(shop.buy("one").await.unwrap(), Outcome::Committed);
    settles(&server, &ledger, |entered| entered == 1).await;

    // Dropped, or rolled back, it has not even been sent.
    let mut tx = shop.local.synod().transaction();
    tx.on(&shop.accounts).await.unwrap().execute("UPDATE account SET balance = 0", &[]).await.unwrap();
    let branch = tx.on(&shop.ledger).await.unwrap();
    branch.stage("never").unwrap();
    assert!(matches!(branch.stage("twice"), Err(Error::Twice(LEDGER))));
    tx.roll_back().await;

    // The ledger refuses an entry that says nothing.
    match shop.buy("").await {
        Ok(Outcome::Aborted) => {}
        other => panic!("{other:?}"),
    }
    // The database refuses at the end, when the entry is staged already.
    let mut tx = shop.local.synod().transaction();
    tx.on(&shop.accounts).await.unwrap().execute("INSERT INTO note VALUES (1), (1)", &[]).await.unwrap();
    tx.on(&shop.ledger).await.unwrap().stage("never").unwrap();
    match tx.commit().await {
        Err(CommitError::Database { participant: ACCOUNTS, .. }) => {}
        other => panic!("{other:?}"),
    }
    settles(&server, &ledger, |entered| entered == 1).await;

    // A transaction in the store alone goes through the cluster. If nothing was staged, none is begun.
    let mut tx = shop.local.synod().transaction();
    tx.on(&shop.ledger).await.unwrap().stage("alone").unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    let mut tx = shop.local.synod().transaction();
    tx.on(&shop.ledger).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    server.sql("accounts", "UPDATE account SET balance = balance - 30").unwrap();
    settles(&server, &ledger, |entered| entered == 2).await;
    let mut tx = shop.local.synod().transaction();
    let too_long = tx.on(&shop.ledger).await.unwrap().stage(vec![0; MOST_STAGED + 1]);
    assert!(matches!(too_long, Err(Error::TooLong { .. })), "{too_long:?}");
    drop(tx);
    shop.local.shutdown().await.unwrap();
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_at_any_step_commits_with_the_account_or_not_at_all() {
    let server = account();
    for what in ["stage", "prepare", "commit"] {
        for when in ["before", "after"] {
            server.sql("accounts", "UPDATE account SET balance = 100; DELETE FROM synod.identity").unwrap_or_default();
            let (folder, step) = (tempfile::tempdir().unwrap(), format!("{when}-{what}"));
            let ledger = Ledger::start(folder.path(), &step);
            let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, NEVER).await;
            let bought = shop.buy(&step).await;
            println!("{step}: {bought:?}");
            settles(&server, &ledger, |entered| match &bought {
                Ok(Outcome::Committed) => entered == 1,
                Ok(Outcome::Aborted) => entered == 0,
                Err(error) => error.may_have_committed() || entered == 0,
            })
            .await;
            assert!(ledger.has_died(), "{step}");
            // It is asked again for as long as one answer may take.
            assert!(matches!(bought, Ok(Outcome::Committed)), "{step}: {bought:?}");
            shop.local.shutdown().await.unwrap();
        }
    }
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_while_its_transaction_aborts_keeps_nothing_of_it() {
    let server = account();
    for step in ["before-unstage", "after-unstage", "before-abort", "after-abort"] {
        server.sql("accounts", "DELETE FROM synod.identity").unwrap_or_default();
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::start(folder.path(), step);
        // The way to it is tried with the first call of `Unstage`, which is asked again.
        let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, SOON).await;
        let mut tx = shop.local.synod().transaction();
        tx.on(&shop.accounts).await.unwrap().execute("INSERT INTO note VALUES (1), (1)", &[]).await.unwrap();
        tx.on(&shop.ledger).await.unwrap().stage(step).unwrap();
        let ended = tx.commit().await;
        assert!(matches!(ended, Err(CommitError::Database { participant: ACCOUNTS, .. })), "{step}: {ended:?}");
        settles(&server, &ledger, |entered| entered == 0).await;
        assert!(ledger.has_died(), "{step}");
        shop.local.shutdown().await.unwrap();
    }
}

/// A store whose application is killed as soon as the store has what it wants, and the others have prepared, if they are quick.
struct Dies(Store);
struct DiesBranch(StoreBranch);

impl Database for Dies {
    type Branch = DiesBranch;

    const IS_NAMED: bool = Store::IS_NAMED;

    fn participant(&self) -> NodeId {
        LEDGER
    }

    async fn open(&self, name: Option<Name>) -> Result<DiesBranch, Cause> {
        Ok(DiesBranch(Database::open(&self.0, name).await?))
    }
}

impl Branch for DiesBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        self.0.has_written().await
    }

    fn commits_alone(&self) -> bool {
        self.0.commits_alone()
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        self.0.commit_alone().await
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &Transaction) -> Result<(), Unprepared> {
        self.0.prepare(cluster, transaction).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::future::pending().await
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        self.0.finish(outcome).await
    }

    async fn roll_back(&mut self) {
        self.0.roll_back().await;
    }
}

/// What the process that is to die is told: a folder, the two addresses, and whether the account takes part.
const DIES: &str = "SYNOD_TEST_DIES";

async fn application(told: &str) {
    let [folder, url, address, pays] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let shop = Shop::open(&PathBuf::from(folder), url, address, NEVER).await;
    let mut tx = shop.local.synod().transaction();
    if pays == "true" {
        tx.on(&shop.accounts).await.unwrap().execute("UPDATE account SET balance = balance - 30", &[]).await.unwrap();
    }
    tx.on(&Dies(shop.ledger)).await.unwrap().0.stage("entry").unwrap();
    unreachable!("it is killed before {:?}", tx.commit().await);
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_has_staged_that_is_killed_before_it_begins_goes_after_the_patience() {
    if let Ok(told) = env::var(DIES) {
        return application(&told).await;
    }
    let server = account();
    for pays in [false, true] {
        let as_before = "UPDATE account SET balance = 100; DELETE FROM synod.identity";
        server.sql("accounts", as_before).unwrap_or_default();
        let folder = tempfile::tempdir().unwrap();
        let (ledger, url) = (Ledger::start(folder.path(), "never"), server.url("accounts"));
        let mut dies = Command::new(env::current_exe().unwrap());
        let this = "front_door::what_an_application_has_staged_that_is_killed_before_it_begins_goes_after_the_patience";
        dies.args(["--exact", this, "--ignored", "--nocapture"]);
        dies.env(DIES, format!("{} {url} {} {pays}", folder.path().display(), ledger.address));
        let ended = tokio::task::spawn_blocking(move || dies.status().unwrap()).await.unwrap();
        assert!(ended.code().is_none(), "it was killed: {ended}");
        assert_eq!(ledger.read(), [0, 0, 1], "it was killed after it had staged, and before it began");
        let prepared = server.sql("accounts", "SELECT count(*) FROM pg_prepared_xacts").unwrap();
        assert_eq!(prepared.trim(), if pays { "1" } else { "0" });

        let shop = Shop::open(folder.path(), &url, &ledger.address, SOON).await;
        // What all have prepared may be begun by the account's agent, and then commits.
        settles(&server, &ledger, |entered| pays || entered == 0).await;
        // The name is not given again.
        let before = ledger.read()[0];
        assert_eq!(shop.buy("after it").await.unwrap(), Outcome::Committed);
        settles(&server, &ledger, |entered| entered == before + 1).await;
        shop.local.shutdown().await.unwrap();
    }
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_dropped_takes_back_what_it_has_staged() {
    let (server, folder) = (account(), tempfile::tempdir().unwrap());
    let ledger = Ledger::start(folder.path(), "never");
    let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, NEVER).await;
    let tx = shop.local.node(NodeId(1)).unwrap().names(1).await.unwrap().names.first();
    let (cluster, transaction) = (shop.local.cluster(), Transaction::new(tx, [ACCOUNTS, LEDGER], []).unwrap());
    let mut branch = Database::open(&shop.ledger, Some(Name { cluster, tx })).await.unwrap();
    branch.stage("entry").unwrap();
    branch.prepare(cluster, &transaction).await.unwrap();
    assert_eq!(ledger.read(), [0, 0, 1]);
    // The same may be staged twice.
    let mut other = Database::open(&shop.ledger, Some(Name { cluster, tx })).await.unwrap();
    other.stage("entry").unwrap();
    other.prepare(cluster, &transaction).await.unwrap();
    std::mem::forget(other);
    drop(branch);
    settles(&server, &ledger, |entered| entered == 0).await;
    shop.local.shutdown().await.unwrap();
}

/// "Rolled back" would be a promise that nobody can commit it, and somebody else may have begun it.
#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_finds_other_content_or_comes_too_late_is_not_said_to_be_rolled_back() {
    let (server, folder) = (account(), tempfile::tempdir().unwrap());
    let ledger = Ledger::start(folder.path(), "never");
    let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, NEVER).await;
    let (node, cluster) = (shop.local.node(NodeId(1)).unwrap(), shop.local.cluster());
    let names = node.names(2).await.unwrap().names;
    let stage = async |seq, content| {
        let tx = TxId { seq, ..names.first() };
        let transaction = Transaction::new(tx, [LEDGER], []).unwrap();
        let mut branch = Database::open(&shop.ledger, Some(Name { cluster, tx })).await.unwrap();
        branch.stage(content).unwrap();
        let prepared = branch.prepare(cluster, &transaction).await;
        std::mem::forget(branch);
        (transaction, prepared)
    };
    let (other, late) = (names.first().seq, names.last().seq);
    stage(other, "entry").await.1.unwrap();
    let (_, refused) = stage(other, "something else").await;
    assert!(matches!(refused, Err(Unprepared::Unknown(_))), "{refused:?}");
    assert_eq!(ledger.read(), [0, 0, 0], "the other content is taken back, so it cannot commit in this one's name");

    let (transaction, prepared) = stage(late, "entry").await;
    prepared.unwrap();
    node.begin_as(transaction, []).await.unwrap();
    assert_eq!(node.outcome(TxId { seq: late, ..names.first() }).await.unwrap(), Outcome::Committed);
    let (_, refused) = stage(late, "entry").await;
    assert!(matches!(refused, Err(Unprepared::Unknown(_))), "{refused:?}");
    shop.local.shutdown().await.unwrap();
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_outlives_the_agent_as_long_as_somebody_may_begin_it() {
    let (server, folder) = (account(), tempfile::tempdir().unwrap());
    let ledger = Ledger::start(folder.path(), "never");
    let url = server.url("accounts");
    let shop = Shop::open(folder.path(), &url, &ledger.address, NEVER).await;
    let node = shop.local.node(NodeId(1)).unwrap();
    let tx = node.names(1).await.unwrap().names.first();
    let (cluster, transaction) = (shop.local.cluster(), Transaction::new(tx, [LEDGER], []).unwrap());
    let mut branch = Database::open(&shop.ledger, Some(Name { cluster, tx })).await.unwrap();
    branch.stage("entry").unwrap();
    branch.prepare(cluster, &transaction).await.unwrap();
    std::mem::forget(branch);
    shop.local.shutdown().await.unwrap();
    // The agent comes again, and it is begun only then.
    let shop = Shop::open(folder.path(), &url, &ledger.address, NEVER).await;
    let node = shop.local.node(NodeId(1)).unwrap();
    node.begin_as(transaction, []).await.unwrap();
    assert_eq!(node.outcome(tx).await.unwrap(), Outcome::Committed);
    server.sql("accounts", "UPDATE account SET balance = 70").unwrap();
    settles(&server, &ledger, |entered| entered == 1).await;
    shop.local.shutdown().await.unwrap();
}

#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stages_nothing_or_is_anothers_is_refused_with_the_remedy_before_anything_is_done() {
    let (server, folder) = (account(), tempfile::tempdir().unwrap());
    let ledger = Ledger::start(folder.path(), "stages-nothing");
    let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, SOON).await;
    let swapped = Store::new(&ledger.address, NodeId(12), Security::Plaintext, Options::new()).unwrap();
    let said = |refused: OpenError| match refused {
        OpenError::Database { source, .. } => source.to_string(),
        other => panic!("{other}"),
    };
    let mut tx = shop.local.synod().transaction();
    let refused = said(tx.on(&shop.ledger).await.unwrap_err());
    assert!(refused.contains("have it serve `Stage`, `Unstage` and `Staged`"), "{refused}");
    assert!(refused.contains("Client::begin"), "{refused}");
    let refused = said(tx.on(&swapped).await.unwrap_err());
    assert!(refused.contains("does not stage"), "{refused}");
    drop(tx);
    // Among stores alone it takes part as before.
    let node = shop.local.node(NodeId(1)).unwrap();
    let tx = node.begin([LEDGER], "entry").await.unwrap();
    assert_eq!(node.outcome(tx).await.unwrap(), Outcome::Committed);
    server.sql("accounts", "UPDATE account SET balance = 70").unwrap();
    settles(&server, &ledger, |entered| entered == 1).await;
    shop.local.shutdown().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    server.sql("accounts", "DELETE FROM synod.identity").unwrap();
    let ledger = Ledger::start(folder.path(), "never");
    let shop = Shop::open(folder.path(), &server.url("accounts"), &ledger.address, SOON).await;
    let swapped = Store::new(&ledger.address, NodeId(12), Security::Plaintext, Options::new()).unwrap();
    let refused = said(shop.local.synod().transaction().on(&swapped).await.unwrap_err());
    assert!(refused.contains("this is the store of participant 13"), "{refused}");
    shop.local.shutdown().await.unwrap();
}
