//! A write that hangs: callers are told, the rest goes on, and a shutdown ends.

use std::time::{Duration, Instant};

use synod::{
    commit::{Message, Outcome, Status, Vote, What},
    perform::tokio::{Error, Options, Start},
};

use crate::scene::{IDS, Member, Puppet, Wires, of, outcome, prepare, soon, transaction, until};

/// Node 2, which takes part in what node 1 manages, and can begin transactions.
fn member(options: Options) -> Member {
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options = options;
    member
}

#[tokio::test]
async fn while_a_write_hangs_callers_are_told_to_ask_elsewhere_and_what_can_go_on_goes_on() {
    let member = member(Options::default().with_stall(Duration::from_millis(300)));
    let (handle, _task) = member.start(Start::Create).await;
    // What is durable before.
    let over = transaction(1, &IDS[1..]).id();
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || !handle.in_doubt().await.unwrap().is_empty()).await;
    handle.deliver(IDS[0], vec![outcome(1, &IDS[1..], Outcome::Committed)]);
    // On a busy machine any write may take long.
    until(async || matches!(handle.outcome(over).await, Ok(Outcome::Committed))).await;
    until(async || matches!(handle.status(over).await, Ok(Status::Open { .. }))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    member.disk.hold();
    handle.deliver(IDS[0], vec![prepare(2, &IDS[1..])]);
    until(async || member.disk.is_writing()).await;
    let asked = |handle: synod::perform::tokio::Handle| async move { handle.begin([IDS[1], IDS[2]], "").await };
    let begun = tokio::spawn(asked(handle.clone()));
    let open = transaction(2, &IDS[1..]).id();
    let (status, waits, longer) = (handle.clone(), handle.clone(), handle.clone());
    let status = tokio::spawn(async move { status.status(open).await });
    let waits = tokio::spawn(async move { waits.outcome(open).await });
    let longer = tokio::spawn(async move { longer.completed(open).await });
    // Those who wait hear, though nothing else happens.
    assert!(matches!(soon(begun).await.unwrap(), Err(Error::Stalled)));
    assert!(matches!(soon(status).await.unwrap(), Err(Error::Stalled)));
    assert!(matches!(soon(waits).await.unwrap(), Err(Error::Stalled)));
    assert!(matches!(soon(longer).await.unwrap(), Err(Error::Stalled)));
    // Those who come hear at once, and nothing is begun.
    let steps = handle.metrics().await.unwrap().steps;
    for _ in 0..3 {
        assert!(matches!(soon(asked(handle.clone())).await, Err(Error::Stalled)));
    }
    assert!(matches!(soon(handle.begin_as(transaction(3, &IDS[1..]), "from the client")).await, Err(Error::Stalled)));
    assert!(matches!(soon(handle.status(open)).await, Err(Error::Stalled)));
    // What rests on nothing unwritten is answered, and packets are stepped.
    assert_eq!(soon(handle.outcome(over)).await.unwrap(), Outcome::Committed);
    soon(handle.in_doubt()).await.unwrap();
    handle.deliver(IDS[0], vec![prepare(4, &IDS[1..])]);
    until(async || handle.in_doubt().await.unwrap().iter().any(|it| it.transaction == transaction(4, &IDS[1..]))).await;
    assert!(handle.metrics().await.unwrap().steps > steps);

    member.disk.release();
    until(async || handle.begin([IDS[1], IDS[2]], "").await.is_ok()).await;
    until(async || matches!(handle.status(open).await, Ok(Status::Open { .. }))).await;
    let voted = |packet: &synod::Packet<Message>| {
        let is_vote = |message: &Message| matches!(message, Message::About { what: What::Vote { .. }, .. });
        packet.messages.iter().filter(|message| is_vote(message)).count()
    };
    until(async || member.wires.lost().iter().map(voted).sum::<usize>() > 0).await;
}

#[tokio::test]
async fn requests_are_answered_though_there_is_no_room_behind_a_write_that_hangs() {
    let member = member(Options::default().with_stall(Duration::from_millis(50)).with_ahead(1));
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.is_writing()).await;
    handle.deliver(IDS[0], vec![prepare(2, &IDS[1..])]);
    assert!(matches!(soon(handle.begin([IDS[1], IDS[2]], "")).await, Err(Error::Stalled)));
    soon(handle.metrics()).await.unwrap();
    member.disk.release();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_grace_for_a_write_that_hangs() {
    let member = member(Options::default().with_grace(Duration::from_millis(100)));
    let (handle, task) = member.start(Start::Create).await;
    member.disk.hold();
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.is_writing()).await;
    let (other, asked) = (handle.clone(), Instant::now());
    let result = soon(handle.shutdown()).await;
    assert!(matches!(result, Err(Error::Stalled)), "{result:?}");
    assert!(asked.elapsed() >= Duration::from_millis(100), "it is given up too early");
    assert!(matches!(soon(task).await.unwrap(), Err(Error::Stalled)));
    let late = other.metrics().await;
    assert!(matches!(late, Err(Error::Stalled)), "{late:?}");
    // The node can be had again at once. What was left behind does not land any more.
    member.wires.unplug(member.id);
    let (handle, _task) = member.start(Start::Restore).await;
    member.disk.release();
    until(async || member.disk.handles() == 2).await;
    assert!(handle.in_doubt().await.unwrap().is_empty());
    assert_eq!(member.disk.batches(), [3], "the identity, the epoch and the birth");
}

#[tokio::test]
async fn a_shutdown_waits_for_a_write_that_is_slow() {
    let member = member(Options::default().with_stall(Duration::from_millis(20)));
    let (handle, task) = member.start(Start::Create).await;
    member.disk.slow_down(Duration::from_millis(200));
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.is_writing()).await;
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
    assert_eq!(member.disk.handles(), 1);
}
