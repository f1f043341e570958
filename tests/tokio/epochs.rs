//! Membership: a member is replaced while its cluster runs.

use std::time::Duration;

use synod::{
    NodeId, Refusal, TxId,
    commit::{GivenNames, Outcome, Status, Transaction, Vote},
    perform::tokio::{Error, Handle, Start},
};

use crate::scene::{IDS, META, Member, Puppet, cluster, soon, three};

const NEW: NodeId = NodeId(7);

/// Waits until `handle` is in epoch `number`.
async fn in_epoch(handle: &Handle, number: u64) {
    let reached = async {
        while soon(handle.epoch()).await.unwrap().is_none_or(|epoch| epoch.number != number) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("it goes to the next epoch");
}

#[tokio::test]
async fn a_member_is_replaced_by_a_node_that_joins_and_the_cluster_goes_on_without_it() {
    let mut nodes = three([(); 3].map(|()| Puppet::voting(Vote::Prepared))).await;
    let joiner = Member::new(&cluster(), NEW, &nodes[0].0.wires, Puppet::voting(Vote::Prepared));
    let (new, _task) = joiner.start(Start::Join).await;
    assert!(soon(new.begin([IDS[0]], META)).await.is_err(), "it is in no epoch, or is no manager");
    let first = nodes[0].1.clone();
    let next = cluster().membership().replace(IDS[2], NEW);
    soon(first.change(next.clone())).await.unwrap();
    for handle in [&first, &nodes[1].1, &new] {
        in_epoch(handle, 1).await;
    }
    let until_it_may_go = async {
        while !soon(first.epoch()).await.unwrap().unwrap().may_leave {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_it_may_go).await.expect("enough members note it");
    let epoch = soon(first.epoch()).await.unwrap().unwrap();
    assert_eq!((epoch.membership, epoch.left), (next, vec![IDS[2]]));
    let (member, _, task) = nodes.pop().unwrap();
    member.crash(task).await;
    let tx = soon(new.begin([IDS[0], IDS[1], NEW], META)).await.unwrap();
    assert_eq!(soon(new.outcome(tx)).await.unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn what_is_begun_while_the_members_change_waits_and_commits_in_the_next_epoch() {
    let nodes = three([(); 3].map(|()| Puppet::voting(Vote::Prepared))).await;
    let joiner = Member::new(&cluster(), NEW, &nodes[0].0.wires, Puppet::voting(Vote::Prepared));
    let (new, _task) = joiner.start(Start::Join).await;
    let [first, second] = [nodes[0].1.clone(), nodes[1].1.clone()];
    soon(first.change(cluster().membership().replace(IDS[2], NEW))).await.unwrap();
    // One after another at each, until both have long been in the next epoch; names, too.
    let begins = [&first, &second].map(|handle| async move {
        let (mut after, mut names) = (0, 0);
        while after < 10 {
            let tx = soon(handle.begin([IDS[0], IDS[1]], META)).await.expect("it is kept until it may begin");
            names = names.max(soon(handle.names(1)).await.expect("it is kept until there are names that last").epoch);
            soon(handle.outcome(tx)).await.unwrap();
            after += soon(handle.epoch()).await.unwrap().unwrap().number;
        }
        names
    });
    let [one, two] = begins;
    assert_eq!(tokio::join!(one, two), (1, 1));
    in_epoch(&new, 1).await;
}

#[tokio::test]
async fn only_a_member_is_asked_for_another_membership() {
    let nodes = three([(); 3].map(|()| Puppet::voting(Vote::Prepared))).await;
    let participant = Member::new(&cluster(), NEW, &nodes[0].0.wires, Puppet::voting(Vote::Prepared));
    let (handle, _task) = participant.start(Start::Create).await;
    let refused = soon(handle.change(cluster().membership())).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::NotAMember))), "{refused:?}");
}

/// The transaction that a client begins under the name `seq` of its block.
fn named(given: GivenNames, seq: u64) -> Transaction {
    let name = TxId { seq, ..given.names.first() };
    Transaction::new(name, [IDS[0], IDS[1]], META).unwrap().in_epoch(given.epoch)
}

#[tokio::test]
async fn a_client_with_names_of_an_epoch_that_is_over_begins_nothing_by_them_and_goes_on_with_others() {
    let nodes = three([(); 3].map(|()| Puppet::voting(Vote::Prepared))).await;
    let joiner = Member::new(&cluster(), NEW, &nodes[0].0.wires, Puppet::voting(Vote::Prepared));
    let (new, _task) = joiner.start(Start::Join).await;
    let [first, second] = [&nodes[0].1, &nodes[1].1];
    let old = soon(first.names(4)).await.unwrap();
    let before = named(old, 1);
    soon(first.begin_as(before.clone(), META)).await.unwrap();
    assert_eq!(soon(first.outcome(before.id())).await.unwrap(), Outcome::Committed);
    soon(first.change(cluster().membership().replace(IDS[2], NEW))).await.unwrap();
    for handle in [first, second, &new] {
        in_epoch(handle, 1).await;
    }
    for (handle, seq) in [(first, 2), (second, 3), (&new, 4)] {
        let late = named(old, seq);
        for begun in [handle.begin_as(late.clone(), META).await, handle.begin_given(late.clone(), META).await] {
            assert!(matches!(begun, Err(Error::Refused(Refusal::OldEpoch))), "{begun:?}");
        }
        assert_eq!(soon(handle.status(late.id())).await.unwrap(), Status::Unknown);
    }
    // What has committed is still known to have, under the same name and in its own epoch.
    soon(first.begin_as(before.clone(), META)).await.unwrap();
    assert_eq!(soon(first.outcome(before.id())).await.unwrap(), Outcome::Committed);
    let names = soon(new.names(2)).await.unwrap();
    assert_eq!((names.names.origin(), names.epoch), (NEW, 1));
    for (handle, seq) in [(first, names.names.first().seq), (&new, names.names.last().seq)] {
        let transaction = named(names, seq);
        soon(handle.begin_given(transaction.clone(), META)).await.unwrap();
        assert_eq!(soon(handle.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
    }
    // Who is no manager gives no names: not one who left, and not a stranger.
    for origin in [IDS[2], NodeId(99)] {
        let made_up = Transaction::new(TxId { origin, seq: 7 }, [IDS[0]], META).unwrap().in_epoch(1);
        let refused = soon(first.begin_given(made_up, META)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::NotNamedHere))), "{refused:?}");
    }
    let later = named(GivenNames { epoch: 2, ..names }, 1 << 40);
    let refused = soon(first.begin_given(later, META)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::NewerEpoch))), "{refused:?}");
}
