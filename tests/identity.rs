//! Whose storage it is: on a real disk, a node starts from its own records or, under a new id, from nothing.

use std::path::Path;

use synod::{
    NodeId, Quorums, RestoreError, TxId,
    commit::{Cluster, ClusterId, Config, Input, Message, Meta, Promised, Record, Transaction, What},
    perform::{
        Driver, DriverError, Handlers, RecoverError, Resource, Start, Storage,
        fjall::{FjallError, FjallStorage},
        memory::{Network, Port},
    },
};

const OURS: ClusterId = ClusterId(*b"one cluster of 3");
const THEIRS: ClusterId = ClusterId(*b"another one of 3");
const ALL: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A resource that can always commit.
struct Yes;

impl Resource for Yes {
    /// It holds nothing before a vote is written.
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<synod::commit::Vote> {
        Some(synod::commit::Vote::Prepared)
    }
}

fn config(cluster: ClusterId, node: NodeId) -> Config {
    let cluster = Cluster::new(cluster, Quorums::majority(ALL).unwrap(), ALL).unwrap();
    Config::new(cluster, node, node.0)
}

fn open(path: &Path, cluster: ClusterId, node: NodeId, start: Start) -> Result<Driver, DriverError<FjallError>> {
    let storage = FjallStorage::open(path).unwrap();
    Driver::open(config(cluster, node), start, &mut Handlers { storage, transport: (), resource: Yes })
}

fn records(path: &Path) -> Vec<Record> {
    FjallStorage::open(path).unwrap().load().unwrap()
}

/// Makes the store of node 1, and lets the node prepare a transaction.
fn used(path: &Path) -> Transaction {
    let transaction = Transaction::new(TxId { origin: NodeId(9), seq: 1 }, ALL, []).unwrap();
    let mut handlers: Handlers<_, Port, _> =
        Handlers { storage: FjallStorage::open(path).unwrap(), transport: Network::new().port(ALL[0]), resource: Yes };
    let mut driver = Driver::open(config(OURS, ALL[0]), Start::Create, &mut handlers).unwrap();
    let prepare = Message::about(&transaction, What::prepare(Meta::default()));
    driver.push(Input::Receive { from: ALL[1], message: prepare }).unwrap();
    while !driver.is_idle() {
        driver.flush(&mut handlers).unwrap();
    }
    transaction
}

#[test]
fn a_node_starts_from_its_own_records_and_knows_what_it_knew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    let transaction = used(&path);
    let driver = open(&path, OURS, ALL[0], Start::Restore).unwrap();
    let in_doubt: Vec<Transaction> = driver.node().in_doubt().into_iter().map(|doubt| doubt.transaction).collect();
    assert_eq!(in_doubt, [transaction]);
}

#[test]
fn another_nodes_storage_is_refused_by_name_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    used(&path);
    let before = records(&path);
    let error = open(&path, OURS, ALL[1], Start::Restore).unwrap_err();
    assert!(matches!(error, DriverError::Restore(RestoreError::OtherNode(node)) if node == ALL[0]));
    assert_eq!(error.to_string(), "the storage belongs to node n1");
    assert_eq!(records(&path), before);
}

#[test]
fn another_clusters_storage_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    used(&path);
    let before = records(&path);
    let error = open(&path, THEIRS, ALL[0], Start::Restore).unwrap_err();
    assert!(matches!(error, DriverError::Restore(RestoreError::OtherCluster)));
    assert_eq!(error.to_string(), "the storage belongs to another cluster");
    assert_eq!(records(&path), before);
}

#[test]
fn a_member_does_not_start_from_a_blank_disk_and_nothing_is_written_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    for _ in 0..2 {
        // To try again does not help either.
        let error = open(&path, OURS, ALL[0], Start::Restore).unwrap_err();
        assert!(matches!(error, DriverError::Restore(RestoreError::NoIdentity)));
        assert!(error.to_string().starts_with("the storage is blank"), "{error}");
        assert_eq!(records(&path), []);
    }
    // That disk may serve a new node.
    let driver = open(&path, OURS, NodeId(4), Start::Create).unwrap();
    let mut snapshot = driver.node().snapshot();
    snapshot.sort_by_key(Record::key);
    assert_eq!(snapshot, records(&path));
}

#[test]
fn a_new_node_does_not_start_from_a_disk_in_use_whoever_used_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    used(&path);
    let before = records(&path);
    for (cluster, node) in [(OURS, ALL[0]), (OURS, ALL[1]), (THEIRS, ALL[0])] {
        let error = open(&path, cluster, node, Start::Create).unwrap_err();
        assert!(matches!(error, DriverError::InUse));
        assert!(error.to_string().starts_with("the storage is in use"), "{error}");
        assert_eq!(records(&path), before);
    }
}
