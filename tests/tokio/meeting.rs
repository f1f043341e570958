//! Whom a node meets, and begins that come before.

use std::time::{Duration, Instant};

use synod::{
    Refusal,
    commit::Vote,
    perform::tokio::{Error, Start},
};

use crate::scene::{IDS, Member, Puppet, Wires, of, soon};

fn manager() -> Member {
    Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared))
}

#[tokio::test]
async fn a_begin_waits_for_its_participants_to_be_met() {
    let (handle, _task) = manager().start(Start::Create).await;
    assert!(handle.meet(IDS[1], 1));
    let begin = tokio::spawn({
        let handle = handle.clone();
        async move { handle.begin([IDS[1], IDS[2]], "").await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!begin.is_finished());
    assert!(handle.meet(IDS[2], 2));
    soon(begin).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_begin_that_names_who_does_not_come_is_refused_in_a_while() {
    let (handle, _task) = manager().start(Start::Create).await;
    handle.meet(IDS[1], 1);
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
    assert!(handle.meet(IDS[1], 1) && handle.meet(IDS[1], 1));
    assert!(!handle.meet(IDS[1], 2));
    // What was said after that is answered after that.
    soon(handle.metrics()).await.unwrap();
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
    member.wires.unplug(member.id);
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.birth(), birth);
    assert!(!handle.meet(IDS[1], 2) && handle.meet(IDS[1], 1));
}
