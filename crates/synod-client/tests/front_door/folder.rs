//! The folder of a cluster in the application's process.

use std::{fs, time::Duration};

use synod_client::{
    NodeId, OpenError, Outcome,
    local::{Local, LocalError},
};

use crate::vault::Vault;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_starts_again_from_its_folder_and_remembers_what_it_was() {
    let (folder, vaults) = (tempfile::tempdir().unwrap(), [Vault::new(11), Vault::new(12)]);
    let mut clusters = Vec::new();
    for turn in 1..=3 {
        let local = Local::builder(folder.path()).agent(vaults[0].clone()).agent(vaults[1].clone());
        let local = local.start().await.unwrap();
        let mut tx = local.synod().transaction();
        tx.on(&vaults[0]).await.unwrap().delta -= 1;
        tx.on(&vaults[1]).await.unwrap().delta += 1;
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        assert_eq!(vaults[1].sum(), turn);
        clusters.push(local.cluster());
        local.shutdown().await.unwrap();
    }
    clusters.dedup();
    assert_eq!(clusters.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_lost_its_records_does_not_start_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || Local::builder(folder.path()).agent(Vault::new(11)).start().await;
    start().await.unwrap().shutdown().await.unwrap();
    for node in ["node-1", "node-11"] {
        let (records, away) = (folder.path().join(node), folder.path().join("away"));
        fs::rename(&records, &away).unwrap();
        let error = start().await.unwrap_err();
        assert!(matches!(error, LocalError::Gone { .. }), "{error:?}");
        assert!(error.to_string().contains(node), "{error}");
        let _ = fs::remove_dir_all(&records);
        fs::rename(&away, &records).unwrap();
        start().await.unwrap().shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_keeps_nobody_waiting_and_takes_part_when_it_is_back() {
    let (folder, vaults) = (tempfile::tempdir().unwrap(), [11, 12, 13].map(Vault::new));
    // Where everybody knows the one that is away, and where nobody does.
    for turn in 1..=2 {
        vaults[2].set_away(true);
        let local = Local::builder(folder.path());
        let local = vaults.iter().fold(local, |local, vault| local.agent(vault.clone()));
        let local = tokio::spawn(local.start()).await.unwrap().unwrap();
        let away = local.away();
        assert_eq!(away.iter().map(|away| away.participant).collect::<Vec<_>>(), [NodeId(13)]);
        assert_eq!(away[0].why, "the database of participant n13 cannot take part: the vault is locked");
        assert!(local.node(NodeId(13)).is_none());
        let mut tx = local.synod().transaction();
        tx.on(&vaults[0]).await.unwrap().delta -= 2;
        let refused = tx.on(&vaults[2]).await.err().unwrap();
        assert!(matches!(refused, OpenError::Database { participant: NodeId(13), .. }), "{refused:?}");
        assert!(refused.to_string().contains("nothing has been committed"), "{refused}");
        tx.on(&vaults[1]).await.unwrap().delta += 2;
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        vaults[2].set_away(false);
        while !local.away().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut tx = local.synod().transaction();
        tx.on(&vaults[1]).await.unwrap().delta -= 1;
        tx.on(&vaults[2]).await.unwrap().delta += 1;
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
        assert_eq!(vaults.each_ref().map(Vault::sum), [-2 * turn, turn, turn]);
        local.shutdown().await.unwrap();
    }
    // One that is never back does not hold up the end.
    vaults[2].set_away(true);
    let local = Local::builder(folder.path()).agent(vaults[2].clone()).start().await.unwrap();
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_names_no_cluster_and_a_number_that_is_there_twice_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let twice = Local::builder(folder.path()).agent(Vault::new(1)).start().await;
    assert!(matches!(twice, Err(LocalError::Twice(NodeId(1)))), "{twice:?}");
    fs::write(folder.path().join("cluster"), "something else").unwrap();
    let other = Local::builder(folder.path()).start().await;
    assert!(matches!(&other, Err(LocalError::NotACluster(path)) if path.ends_with("cluster")), "{other:?}");
}
