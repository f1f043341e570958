//! Whom a node meets, and begins that come before.

use std::time::{Duration, Instant};

use synod::{
    Refusal,
    commit::{EpochTag, Vote},
    perform::tokio::{Error, Start},
};

use crate::scene::{IDS, Member, Puppet, Wires, of, soon, until};

fn manager() -> Member {
    Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared))
}

#[tokio::test]
async fn a_begin_waits_for_its_participants_to_be_met() {
    let (handle, _task) = manager().start(Start::Create).await;
    handle.meet(IDS[1], 1, None).unwrap();
    let begin = tokio::spawn({
        let handle = handle.clone();
        async move { handle.begin([IDS[1], IDS[2]], "").await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!begin.is_finished());
    handle.meet(IDS[2], 2, None).unwrap();
    soon(begin).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_begin_that_names_who_does_not_come_is_refused_in_a_while() {
    let (handle, _task) = manager().start(Start::Create).await;
    handle.meet(IDS[1], 1, None).unwrap();
    let since = Instant::now();
    let begun = soon(handle.begin([IDS[1], IDS[2]], "")).await;
    assert!(matches!(begun, Err(Error::Refused(Refusal::NeverMet))), "{begun:?}");
    assert!(since.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn who_was_met_is_known_under_one_birth_after_a_restart_too() {
    let member = manager();
    let (handle, task) = member.start(Start::Create).await;
    let birth = handle.birth();
    assert!(birth.is_some());
    assert_eq!([1, 1].map(|birth| handle.meet(IDS[1], birth, None)), [Ok(()); 2]);
    assert_eq!(handle.meet(IDS[1], 2, None), Err(Refusal::OtherBirth));
    // What was said after that is answered after that.
    soon(handle.metrics()).await.unwrap();
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
    member.wires.unplug(member.id);
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.birth(), birth);
    assert_eq!([2, 1].map(|birth| handle.meet(IDS[1], birth, None)), [Err(Refusal::OtherBirth), Ok(())]);
}

#[tokio::test]
async fn who_has_other_members_in_the_same_epoch_is_refused_and_not_remembered() {
    let member = manager();
    let (handle, _task) = member.start(Start::Create).await;
    let own = handle.tag().expect("a founder is in epoch 0");
    assert_eq!(own.digest, member.cluster.membership().digest());
    let other = EpochTag { digest: own.digest ^ 1, ..own };
    assert_eq!(handle.meet(IDS[1], 1, Some(other)), Err(Refusal::OtherMembership));
    assert_eq!(soon(handle.metrics()).await.unwrap().met, 0);
    // Created once more, and well.
    handle.meet(IDS[1], 2, Some(own)).unwrap();
    // One that is in another epoch has other members.
    handle.meet(IDS[2], 3, Some(EpochTag { number: 1, ..other })).unwrap();
    until(async || handle.metrics().await.unwrap().met == 2).await;
}

#[tokio::test]
async fn who_was_written_off_is_refused_whatever_its_birth_and_after_a_restart_too() {
    let member = manager();
    let (handle, task) = member.start(Start::Create).await;
    handle.meet(IDS[1], 1, None).unwrap();
    soon(handle.change(member.cluster.membership().with_departed(IDS[1]))).await.unwrap();
    until(async || handle.meet(IDS[1], 1, None) == Err(Refusal::Departed)).await;
    assert_eq!([1, 2].map(|birth| handle.meet(IDS[1], birth, None)), [Err(Refusal::Departed); 2]);
    assert_eq!(handle.meet(IDS[2], 3, None), Ok(()));
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
    member.wires.unplug(member.id);
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.meet(IDS[1], 1, None), Err(Refusal::Departed));
}
