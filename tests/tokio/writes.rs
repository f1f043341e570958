//! One batch at a time, nothing before it, and nothing after a failed one.

use synod::{
    Refusal,
    commit::{Message, Outcome, Record, Status, Vote},
    perform::tokio::{Error, Start},
};

use crate::scene::{self, IDS, Member, Puppet, Wires, cluster, of, soon, transaction, until};

/// Node 2, which takes part in what node 1 manages.
fn participant(vote: Vote) -> Member {
    Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), Puppet::voting(vote))
}

fn prepare(seq: u64) -> Message {
    scene::prepare(seq, &IDS[1..])
}

#[tokio::test]
async fn what_is_stepped_while_a_batch_is_being_written_is_the_next_batch() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    assert!(handle.deliver(IDS[0], (1..=51).map(prepare).collect()));
    until(async || puppet.asked().len() == 51).await;
    member.disk.hold();
    puppet.let_vote(1);
    until(async || member.disk.is_writing()).await;

    puppet.let_vote(50);
    until(async || handle.in_doubt().await.unwrap().len() == 51).await;
    assert_eq!(member.disk.batches(), [3], "the identity, the epoch and the birth");
    assert!(member.wires.lost().is_empty(), "nothing is said before it is durable");

    member.disk.release();
    until(async || member.disk.batches().len() == 3).await;
    assert_eq!(member.disk.batches(), [3, 1, 50]);
    soon(handle.shutdown()).await.unwrap();
    let sent: Vec<usize> = member.wires.lost().iter().map(|packet| packet.messages.len()).collect();
    // Timers may have said some of it again.
    assert!(sent.contains(&1) && sent.iter().any(|messages| *messages >= 50), "{sent:?}");
}

#[tokio::test]
async fn an_answer_waits_for_the_write_that_it_rests_on() {
    let member = participant(Vote::Aborted);
    let (handle, _task) = member.start(Start::Create).await;
    let tx = transaction(1, &IDS[1..]).id();
    member.disk.hold();
    handle.deliver(IDS[0], vec![prepare(1)]);
    until(async || member.disk.is_writing()).await;
    // A vote to abort settles the outcome, but only once it is durable.
    let [status, outcome] = [0, 1].map(|_| handle.clone());
    let status = tokio::spawn(async move { status.status(tx).await });
    let outcome = tokio::spawn(async move { outcome.outcome(tx).await });
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    assert!(!status.is_finished() && !outcome.is_finished());
    member.disk.release();
    assert_eq!(soon(outcome).await.unwrap().unwrap(), Outcome::Aborted);
    let status = soon(status).await.unwrap().unwrap();
    assert!(matches!(status, Status::Open { outcome: Some(Outcome::Aborted), .. }), "{status:?}");
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_said_and_everyone_hears_why() {
    let member = participant(Vote::Prepared);
    let (handle, task) = member.start(Start::Create).await;
    let tx = transaction(1, &IDS[1..]).id();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.outcome(tx).await }
    });
    member.disk.smash();
    let begun = soon(handle.begin([IDS[1], IDS[2]], "")).await;
    let failed = |error: Error| {
        let Error::Write(cause) = error else { panic!("{error:?}") };
        assert_eq!(cause.to_string(), "the disk is broken");
    };
    failed(begun.unwrap_err());
    failed(soon(waiting).await.unwrap().unwrap_err());
    failed(soon(task).await.unwrap().unwrap_err());
    failed(handle.status(tx).await.unwrap_err());
    assert!(!handle.deliver(IDS[0], vec![prepare(2)]));
    assert_eq!(handle.dropped(), 1);
    failed(soon(handle.shutdown()).await.unwrap_err());
    assert!(member.wires.lost().is_empty());

    // Its storage is let go, and it can be had from there again.
    member.wires.unplug(member.id);
    assert_eq!(member.disk.handles(), 1);
    member.disk.repair();
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.begin([IDS[1], IDS[2]], "").await.unwrap().seq, 1);
}

#[tokio::test]
async fn used_storage_is_not_created_on_and_blank_storage_is_not_restored() {
    let mut member = participant(Vote::Prepared);
    let blank = member.try_start(Start::Restore).await.unwrap_err();
    assert!(matches!(&blank, Error::Start(_)), "{blank:?}");
    let (handle, _task) = member.start(Start::Create).await;
    soon(handle.shutdown()).await.unwrap();
    let used = member.try_start(Start::Create).await.unwrap_err();
    assert!(matches!(&used, Error::Start(cause) if cause.to_string().contains("in use")), "{used:?}");
    member.id = IDS[2];
    let other = member.try_start(Start::Restore).await.unwrap_err();
    assert!(matches!(&other, Error::Start(cause) if cause.to_string().contains("node n2")), "{other:?}");
}

#[tokio::test]
async fn a_name_is_durably_taken_when_begin_returns() {
    let member = Member::new(&cluster(), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    let (handle, task) = member.start(Start::Create).await;
    let first = soon(handle.begin(IDS, "")).await.unwrap();
    assert!(
        member
            .disk
            .records()
            .iter()
            .any(|record| matches!(record, Record::Sequence { reserved } if *reserved > first.seq))
    );
    member.crash(task).await;
    let (handle, _task) = member.start(Start::Restore).await;
    assert!(soon(handle.begin(IDS, "")).await.unwrap() > first);
    assert_eq!(handle.metrics().await.unwrap().refused(Refusal::OtherTransaction), 0);
}
