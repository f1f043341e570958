//! The members of a cluster change, over the network.

use std::time::Duration;

use synod::{
    NodeId, TxId,
    commit::{GivenNames, Outcome, Status, Transaction},
    perform::tokio::Handle,
};
use synod_grpc::{CallError, Fault, Identity, Reason, tonic::Code};

use super::{
    soon,
    world::{BRANCHES, CLUSTER, MANAGERS, World},
};

const ME: NodeId = NodeId(9);

/// Waits until `handle` is in epoch `number`.
async fn in_epoch(handle: &Handle, number: u64) {
    soon("the next epoch", async {
        while handle.epoch().await.unwrap().is_none_or(|epoch| epoch.number < number) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The transaction that a client begins under the name `seq` of its block.
fn named(given: GivenNames, seq: u64) -> Transaction {
    Transaction::new(TxId { seq, ..given.names.first() }, BRANCHES, []).unwrap().in_epoch(given.epoch)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_names_of_an_epoch_that_is_over_begins_nothing_by_them_and_goes_on_with_others() {
    let world = World::new().await;
    let clients = MANAGERS.map(|manager| world.client(manager, Identity::client(CLUSTER, ME)));
    // Of a manager that leaves.
    let old = soon("names", clients[2].names(4)).await.unwrap();
    let first = named(old, old.names.first().seq);
    soon("to begin", clients[0].begin_as(&first, [])).await.unwrap();
    assert_eq!(soon("the outcome", clients[0].outcome(first.id())).await.unwrap(), Outcome::Committed);
    let next = world.cluster.membership().replace(MANAGERS[2], BRANCHES[0]);
    soon("a change", world.handle(MANAGERS[0]).change(next)).await.unwrap();
    for manager in [MANAGERS[0], MANAGERS[1], BRANCHES[0]] {
        in_epoch(world.handle(manager), 1).await;
    }
    for client in &clients[..2] {
        let late = named(old, old.names.last().seq);
        let refused = soon("to begin", client.begin_as(&late, [])).await.unwrap_err();
        assert!(matches!(refused, CallError::Refused { reason: Reason::OldEpoch, .. }), "{refused:?}");
        assert_eq!(refused.code(), Code::Aborted);
        assert_eq!(soon("the status", client.status(late.id())).await.unwrap(), Status::Unknown);
    }
    let new = soon("names", clients[0].names(2)).await.unwrap();
    assert_eq!((new.names.origin(), new.epoch), (MANAGERS[0], 1));
    for (client, seq) in clients.iter().zip([new.names.first().seq, new.names.last().seq]) {
        let transaction = named(new, seq);
        soon("to begin", client.begin_as(&transaction, [])).await.unwrap();
        assert_eq!(soon("the outcome", client.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
    }
    let early = named(GivenNames { epoch: 2, ..new }, 1 << 40);
    let refused = soon("to begin", clients[1].begin_as(&early, [])).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused { reason: Reason::NewerEpoch, .. }), "{refused:?}");
    // Who has left gives no names any more.
    let before = world.member(MANAGERS[0]).server.stats().faults(Fault::Forged);
    let made_up = named(GivenNames { epoch: 1, ..old }, old.names.last().seq);
    assert_eq!(clients[0].begin_as(&made_up, []).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.member(MANAGERS[0]).server.stats().faults(Fault::Forged), before + 1);
}
