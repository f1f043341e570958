//! The members of a cluster change, over the network.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use synod::{
    NodeId, TxId,
    commit::{Cluster, EpochMessage, GivenNames, Learning, Message, Outcome, Status, Transaction},
    perform::tokio::{Handle, Start},
};
use synod_grpc::{CallError, Client, Fault, Identity, Reason, tonic::Code};

use super::{
    soon, until,
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

/// The nodes that come later.
pub(crate) const NEW: [NodeId; 3] = [NodeId(6), NodeId(7), NodeId(8)];

/// The cluster as a newcomer's configuration has it: nobody's address.
fn without_contacts(cluster: &Cluster) -> Cluster {
    cluster.spec().clone().with_contacts(BTreeMap::new()).build().unwrap()
}

/// Puts a new node in the place of `old`, by a word to `by`. The new one knows who the members are, and the address of `by`.
/// Returns once `old` may be switched off.
pub(crate) async fn replace(world: &mut World, old: NodeId, new: NodeId, by: NodeId) {
    let handle = world.handle(by).clone();
    let before = soon("the epoch", handle.epoch()).await.unwrap().unwrap();
    let cluster = world.cluster.with_membership(before.membership.clone()).unwrap();
    world.add(new, Start::Join, without_contacts(&cluster), by).await;
    let contact = format!("https://{}", world.address(new));
    let next = before.membership.replace(old, new).with_contact(new, contact);
    soon("a change", handle.change(next.clone())).await.unwrap();
    soon("that the old one may leave", async {
        loop {
            let epoch = handle.epoch().await.unwrap().unwrap();
            if epoch.number > before.number && epoch.may_leave {
                assert_eq!(epoch.membership, next);
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_epoch_with_other_members_refuse_each_other_and_both_say_so() {
    let mut world = World::new().await;
    let [first, ..] = MANAGERS;
    let other = world.cluster.spec().clone().with_learning(Learning::Everyone).build().unwrap();
    world.add(NEW[0], Start::Create, other, first).await;
    let stats = |world: &World| world.member(NEW[0]).peers.stats(first).unwrap();
    until("the one that calls says so", || stats(&world).disagreements > 1).await;
    let faults = |world: &World| world.member(first).server.stats().faults(Fault::OtherMembership);
    until("the one that is called says so", || faults(&world) > 1).await;
    assert_eq!((stats(&world).messages, stats(&world).connected), (0, false));
    let met = soon("the metrics", world.handle(first).metrics()).await.unwrap().met;
    assert_eq!(met, MANAGERS.len() + BRANCHES.len() - 1, "it was not met");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_during_a_change_learns_of_it_by_greeting_a_manager() {
    let mut world = World::by_contacts().await;
    world.stop(BRANCHES[1]).await;
    replace(&mut world, MANAGERS[2], NEW[0], MANAGERS[0]).await;
    world.restart(BRANCHES[1]).await;
    // Nothing has begun, and nothing is asked.
    in_epoch(world.handle(BRANCHES[1]), 1).await;
    until("it knows where the new one is", || {
        world.member(BRANCHES[1]).peers.stats(NEW[0]).is_some_and(|stats| stats.connected)
    })
    .await;
    let tag = |node| world.handle(node).tag().unwrap();
    assert_eq!((tag(BRANCHES[1]), tag(BRANCHES[1]).number), (tag(NEW[0]), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moves_is_found_where_the_membership_says() {
    let mut world = World::by_contacts().await;
    let [first, second, third] = MANAGERS;
    world.stop(third).await;
    let listener = world.shift(third).await;
    let contact = world.address(third).to_string();
    let next = world.cluster.membership().with_contact(third, contact);
    soon("a change", world.handle(first).change(next)).await.unwrap();
    for manager in [first, second] {
        in_epoch(world.handle(manager), 1).await;
    }
    world.restart_at(third, listener).await;
    for node in [first, second, BRANCHES[0]] {
        until("it is found", || world.member(node).peers.stats(third).unwrap().connected).await;
    }
    in_epoch(world.handle(third), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_keeps_the_addresses_that_members_say_and_nobody_elses() {
    let mut world = World::by_contacts().await;
    // It hears from nobody else.
    world.stop(MANAGERS[0]).await;
    world.add(NEW[0], Start::Join, without_contacts(&world.cluster), MANAGERS[0]).await;
    let invitation = |node| {
        let membership = without_contacts(&world.cluster).membership().replace(MANAGERS[2], NEW[0]);
        let what = EpochMessage::Invite(membership.with_contact(node, "127.0.0.1:9").into());
        vec![Message::Epoch { number: Some(0), what: Box::new(what) }]
    };
    let (newcomer, [told, made_up]) = (world.member(NEW[0]), [NEW[1], NEW[2]]);
    assert!(newcomer.handle.deliver(BRANCHES[0], invitation(made_up)));
    assert!(newcomer.handle.deliver(MANAGERS[1], invitation(told)));
    until("a member is believed", || newcomer.peers.stats(told).is_some()).await;
    assert!(newcomer.peers.stats(made_up).is_none());
}

/// A client that begins one transaction after the other, and finds out how each has ended.
struct Load {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    ended: tokio::task::JoinHandle<Vec<(TxId, Outcome)>>,
}

impl Load {
    fn start(client: Client) -> Self {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let ended = tokio::spawn({
            let (stop, committed) = (Arc::clone(&stop), Arc::clone(&committed));
            async move {
                let mut ended = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let Ok(given) = client.names(1).await else { continue };
                    let transaction = named(given, given.names.first().seq);
                    let outcome = end(&client, &transaction).await;
                    committed.fetch_add(usize::from(outcome == Outcome::Committed), Ordering::Relaxed);
                    ended.push((transaction.id(), outcome));
                }
                ended
            }
        });
        Self { stop, committed, ended }
    }

    /// Waits until more has committed.
    async fn goes_on(&self) {
        let before = self.committed.load(Ordering::Relaxed);
        until("the client goes on", || self.committed.load(Ordering::Relaxed) > before + 5).await;
    }
}

/// Begins `transaction` until it is known how it ends.
async fn end(client: &Client, transaction: &Transaction) -> Outcome {
    loop {
        match client.begin_as(transaction, []).await {
            Ok(()) => match client.outcome(transaction.id()).await {
                Ok(outcome) => return outcome,
                Err(error) => assert!(!matches!(error, CallError::Forgotten(_)), "{error:?}"),
            },
            Err(CallError::Refused { reason: Reason::OldEpoch, .. }) => return Outcome::Aborted,
            Err(CallError::Refused { reason: Reason::Over, status }) => panic!("{status:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_are_replaced_one_after_another_under_the_load_of_a_client_that_knows_the_founders() {
    let mut world = World::by_contacts().await;
    let options = world.options.with_attempt(Duration::from_secs(1)).with_call(Duration::from_secs(5));
    let security = world.security(Identity::client(CLUSTER, ME));
    let address = |node| world.address(node).to_string();
    let client = Client::new(CLUSTER, MANAGERS[0], &address(MANAGERS[0]), &security, &options).unwrap();
    let client = client.with_node(MANAGERS[1], &address(MANAGERS[1])).unwrap();
    let client = client.with_node(MANAGERS[2], &address(MANAGERS[2])).unwrap();
    let load = Load::start(client.clone());
    for (old, new, by) in [(0, 0, MANAGERS[1]), (1, 1, MANAGERS[2]), (2, 2, NEW[0])] {
        load.goes_on().await;
        replace(&mut world, MANAGERS[old], NEW[new], by).await;
        world.stop(MANAGERS[old]).await;
        load.goes_on().await;
    }
    load.stop.store(true, Ordering::Relaxed);
    let ended = soon("the load", load.ended).await.unwrap();
    let (number, membership) = soon("the members", client.members()).await.unwrap().unwrap();
    assert_eq!((number, &membership.managers[..]), (3, &NEW[..]));
    assert!(membership.acceptors.nodes().eq(NEW));
    for (tx, outcome) in &ended {
        for branch in BRANCHES {
            match outcome {
                Outcome::Committed => {
                    until("it commits", || world.ledger(branch).read(*tx) == Some(Outcome::Committed)).await;
                }
                Outcome::Aborted => assert_ne!(world.ledger(branch).read(*tx), Some(Outcome::Committed), "{tx}"),
            }
        }
    }
    assert!(ended.iter().filter(|(_, outcome)| *outcome == Outcome::Committed).count() > 30);
    for node in NEW.into_iter().chain(BRANCHES) {
        in_epoch(world.handle(node), 3).await;
        for old in MANAGERS {
            until("it is let go", || world.member(node).peers.stats(old).is_none()).await;
        }
    }
}
