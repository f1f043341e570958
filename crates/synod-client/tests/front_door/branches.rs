//! The branches of a transaction.

use synod_client::{NodeId, OpenError, Outcome, local::Local};

use crate::vault::Vault;

#[tokio::test(flavor = "multi_thread")]
async fn two_branches_work_at_the_same_time_and_are_those_that_one_call_each_would_give() {
    let (folder, left, right) = (tempfile::tempdir().unwrap(), Vault::new(11), Vault::new(12));
    let local = Local::builder(folder.path()).agent(left.clone()).agent(right.clone()).start().await.unwrap();
    let mut tx = local.synod().transaction();
    tx.on(&right).await.unwrap().delta = 5;
    let (giver, taker) = tx.on_both(&left, &right).await.unwrap();
    assert_eq!(taker.delta, 5);
    std::mem::swap(&mut giver.delta, &mut taker.delta);
    taker.delta -= 2;
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!([left.sum(), right.sum()], [5, -2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_has_one_branch_and_is_not_asked_for_two() {
    let (folder, vault) = (tempfile::tempdir().unwrap(), Vault::new(11));
    let local = Local::builder(folder.path()).agent(vault.clone()).start().await.unwrap();
    let mut tx = local.synod().transaction();
    tx.on(&vault).await.unwrap().delta = 7;
    let twice = tx.on_both(&vault, &vault.clone()).await.err();
    assert!(matches!(twice, Some(OpenError::Twice(NodeId(11)))), "{twice:?}");
    assert_eq!(tx.on(&vault).await.unwrap().delta, 7, "the transaction is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_leaves_the_other_branch_as_it_is() {
    let (folder, left, right) = (tempfile::tempdir().unwrap(), Vault::new(11), Vault::new(12));
    let local = Local::builder(folder.path()).agent(left.clone()).agent(right.clone()).start().await.unwrap();
    let mut tx = local.synod().transaction();
    right.set_away(true);
    let failed = tx.on_both(&left, &right).await.err();
    assert!(matches!(failed, Some(OpenError::Database { participant: NodeId(12), .. })), "{failed:?}");
    tx.on(&left).await.unwrap().delta = 3;
    right.set_away(false);
    tx.on_both(&left, &right).await.unwrap().1.delta = 4;
    assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    assert_eq!([left.sum(), right.sum()], [3, 4]);
}
