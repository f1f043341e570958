//! Transactions, while transaction managers come and go.

use std::time::Duration;

use synod_client::{CommitError, NodeId, Outcome, OutcomeError, Synod, TxId, local::Local};
use tempfile::TempDir;

use crate::vault::Vault;

struct World {
    vaults: [Vault; 2],
    local: Local,
    _folder: TempDir,
}

async fn world(acceptors: u64) -> World {
    let (folder, vaults) = (tempfile::tempdir().unwrap(), [Vault::new(11), Vault::new(12)]);
    let local = Local::builder(folder.path()).acceptors(acceptors);
    let local = vaults.iter().fold(local, |local, vault| local.agent(vault.clone())).start().await.unwrap();
    World { vaults, local, _folder: folder }
}

impl World {
    async fn transfer(&self, synod: &Synod) -> Result<Outcome, CommitError> {
        let mut tx = synod.transaction();
        tx.on(&self.vaults[0]).await.unwrap().delta -= 1;
        tx.on(&self.vaults[1]).await.unwrap().delta += 1;
        tx.commit().await
    }

    fn sums(&self) -> [i64; 2] {
        [self.vaults[0].sum(), self.vaults[1].sum()]
    }

    /// The front door to all transaction managers, which is not patient.
    fn hasty(&self) -> Synod {
        let manager = |node| self.local.node(NodeId(node)).unwrap().clone();
        let builder = Synod::builder(manager(1)).manager(manager(2)).manager(manager(3));
        builder.attempt(Duration::from_millis(300)).patience(Duration::from_secs(20)).build().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_majority_is_left_transactions_commit_whoever_stops() {
    let world = world(3).await;
    let synod = world.hasty();
    assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
    world.local.node(NodeId(1)).unwrap().clone().shutdown().await.unwrap();
    for turn in 2..=5 {
        assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
        assert_eq!(world.sums(), [-turn, turn]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nobody_knows_and_the_error_has_the_name_to_ask_by() {
    let world = world(3).await;
    let builder = Synod::builder(world.local.node(NodeId(3)).unwrap().clone());
    let synod = builder.attempt(Duration::from_millis(200)).patience(Duration::from_millis(500)).build().unwrap();
    assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
    for node in [1, 2] {
        world.local.node(NodeId(node)).unwrap().clone().shutdown().await.unwrap();
    }
    let lost = world.transfer(&synod).await.unwrap_err();
    let (CommitError::Unknown { tx, .. }, true) = (&lost, lost.may_have_committed()) else { panic!("{lost:?}") };
    assert_eq!(lost.tx(), Some(*tx));
    assert!(matches!(synod.outcome(*tx).await, Err(OutcomeError::Silent { .. })));
    assert_eq!((world.sums(), world.vaults[0].prepared()), ([-1, 1], 1), "what was promised is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_cannot_be_prepared_ends_the_others_and_costs_no_name_but_its_own() {
    let world = world(1).await;
    let synod = world.local.synod();
    assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
    world.vaults[1].fill_up();
    let failed = world.transfer(&synod).await.unwrap_err();
    assert!(matches!(&failed, CommitError::Database { participant: NodeId(12), .. }), "{failed:?}");
    assert!(!failed.may_have_committed() && failed.tx().is_none());
    assert_eq!((world.sums(), world.vaults.each_ref().map(Vault::prepared)), ([-1, 1], [0, 0]));
    // Neither readers nor a single writer need a name.
    for deltas in [[0, 0], [5, 0], [0, 7]] {
        let mut tx = synod.transaction();
        for (vault, delta) in world.vaults.iter().zip(deltas) {
            tx.on(vault).await.unwrap().delta += delta;
        }
        assert_eq!(tx.commit().await.unwrap(), Outcome::Committed);
    }
    assert_eq!(world.sums(), [4, 8]);
    let next = world.local.node(NodeId(1)).unwrap().names(1).await.unwrap();
    assert_eq!(next.names.first(), TxId { origin: NodeId(1), seq: 4 }, "a block of one, and one of two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_database_has_rolled_back_has_not_committed_though_no_manager_says_so() {
    for full in [&[1][..], &[0, 1]] {
        let world = world(1).await;
        let manager = world.local.node(NodeId(1)).unwrap().clone();
        let builder = Synod::builder(manager.clone());
        let synod = builder.attempt(Duration::from_millis(200)).patience(Duration::from_millis(500)).build().unwrap();
        // The second one takes a block of two names: one is left.
        for _ in 0..2 {
            assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
        }
        manager.shutdown().await.unwrap();
        full.iter().for_each(|vault: &usize| world.vaults[*vault].fill_up());
        let failed = world.transfer(&synod).await.unwrap_err();
        assert!(
            matches!(&failed, CommitError::Database { participant, .. } if *participant == NodeId(11 + full[0] as u64)),
            "{failed:?}"
        );
        assert!(!failed.may_have_committed() && world.sums() == [-2, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_of_two_clusters_make_no_front_door() {
    let (one, other) = (world(1).await, world(1).await);
    let manager = |world: &World| world.local.node(NodeId(1)).unwrap().clone();
    let error = Synod::builder(manager(&one)).manager(manager(&other)).build().unwrap_err();
    assert_eq!((error.wanted, error.found), (one.local.cluster(), other.local.cluster()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_named_before_the_members_changed_aborts_and_the_next_ones_commit() {
    let world = world(3).await;
    let synod = world.hasty();
    // Blocks of one, two, and four: one name of the last is used.
    for _ in 0..4 {
        assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
    }
    let handle = |node| world.local.node(NodeId(node)).unwrap();
    let mut next = handle(1).epoch().await.unwrap().unwrap().membership;
    next.managers.pop();
    handle(1).change(next).await.unwrap();
    for node in [1, 2, 3] {
        while handle(node).epoch().await.unwrap().unwrap().number == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Aborted, "it may be done again");
    assert_eq!((world.sums(), world.vaults.each_ref().map(Vault::prepared)), ([-4, 4], [0, 0]));
    for turn in 5..=8 {
        assert_eq!(world.transfer(&synod).await.unwrap(), Outcome::Committed);
        assert_eq!(world.sums(), [-turn, turn]);
    }
}
