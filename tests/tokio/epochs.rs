//! Membership: a member is replaced while its cluster runs.

use std::time::Duration;

use synod::{
    NodeId, Refusal,
    commit::{Outcome, Vote},
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
async fn only_a_member_is_asked_for_another_membership() {
    let nodes = three([(); 3].map(|()| Puppet::voting(Vote::Prepared))).await;
    let participant = Member::new(&cluster(), NEW, &nodes[0].0.wires, Puppet::voting(Vote::Prepared));
    let (handle, _task) = participant.start(Start::Create).await;
    let refused = soon(handle.change(cluster().membership())).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::NotAMember))), "{refused:?}");
}
