//! A node that is recorded: what it was told is in files, and what becomes of those never concerns it.

use std::fs;

use synod::{
    commit::{Config, Vote},
    perform::{
        memory::MemoryStorage,
        record::{self, Recorder, Recording, files},
        tokio::{Options, Start, spawn_recorded},
    },
};

use crate::scene::{IDS, Puppet, cluster, of, soon, until};

#[tokio::test]
async fn what_a_recorded_node_was_told_is_stepped_again_and_has_the_same_effects() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(folder.path(), record::Options::default()).unwrap();
    let (config, puppet) = (Config::new(of([IDS[0]], [IDS[0]]), IDS[0], 7), Puppet::voting(Vote::Prepared));
    let (storage, options) = (MemoryStorage::new(), Options::default());
    let spawned = spawn_recorded(config, Start::Create, storage, Vec::new(), puppet, options, recorder);
    let (handle, task) = spawned.await.unwrap();
    let tx = soon(handle.begin([IDS[0]], b"a test".as_slice())).await.unwrap();
    soon(handle.completed(tx)).await.unwrap();
    assert_eq!(handle.recording().await.unwrap().unwrap().lost, 0);
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();

    let mut recording = Recording::read(&files(folder.path()).unwrap()[0]).unwrap();
    while let Some(step) = recording.step().unwrap() {
        assert_eq!(step.is_same, Some(true), "{step:?}");
    }
    assert!(recording.node().status(tx).is_retired());
}

#[tokio::test]
async fn a_node_that_cannot_be_recorded_any_more_goes_on_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("recordings");
    let recorder = Recorder::open(&inner, record::Options::default()).unwrap();
    fs::remove_dir(&inner).unwrap();
    fs::write(&inner, "in the way").unwrap();
    let (config, puppet) = (Config::new(cluster(), IDS[0], 7), Puppet::voting(Vote::Prepared));
    let (storage, options) = (MemoryStorage::new(), Options::default());
    let spawned = spawn_recorded(config, Start::Create, storage, Vec::new(), puppet, options, recorder);
    let (handle, _task) = spawned.await.unwrap();
    until(async || handle.recording().await.unwrap().unwrap().failure.is_some()).await;
    soon(handle.begin([IDS[0]], b"a test".as_slice())).await.unwrap();
    let progress = handle.recording().await.unwrap().unwrap();
    assert!(progress.lost > 0 && progress.failure.unwrap().contains("recordings"));
}
