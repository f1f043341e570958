//! Bounds: what is full drops and counts, or waits, and grows no further.

use std::time::Duration;

use synod::{
    commit::{Message, Outcome, Vote},
    perform::tokio::{Error, Options, Start},
};

use crate::scene::{self, IDS, Member, Puppet, Wires, of, soon, until};

fn member(options: Options) -> Member {
    let cluster = of([IDS[0]], [IDS[0]]);
    let mut member = Member::new(&cluster, IDS[1], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options = options;
    member
}

fn prepare(seq: u64) -> Vec<Message> {
    vec![scene::prepare(seq, &IDS[1..])]
}

#[tokio::test]
async fn a_full_inbox_drops_packets_and_counts_them() {
    // Little may wait behind a write, so that packets stay in the inbox.
    let member = member(Options::default().with_inbox(2).with_ahead(1));
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    assert!(handle.deliver(IDS[0], prepare(1)));
    until(async || member.disk.is_writing()).await;
    assert!(handle.deliver(IDS[0], prepare(2)));
    // The node takes it, and now has enough behind the write.
    let mut taken = 0;
    while handle.deliver(IDS[0], prepare(3 + taken)) {
        taken += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(taken < 10, "the inbox takes everything");
    }
    assert_eq!(handle.dropped(), 1);
    assert!(!handle.clone().deliver(IDS[0], prepare(99)));
    assert_eq!(handle.dropped(), 2);

    member.disk.release();
    until(async || handle.in_doubt().await.unwrap().len() as u64 == 2 + taken).await;
    assert!(handle.deliver(IDS[0], prepare(100)));
    assert_eq!(handle.dropped(), 2);
}

#[tokio::test]
async fn a_request_waits_while_too_much_is_behind_a_write() {
    let member = member(Options::default().with_ahead(1).with_requests(1));
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    handle.deliver(IDS[0], prepare(1));
    until(async || member.disk.is_writing()).await;
    handle.deliver(IDS[0], prepare(2));
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.begin([IDS[1], IDS[2]], "").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(asked.iter().all(|asked| !asked.is_finished()));
    member.disk.release();
    let mut names = Vec::new();
    for asked in asked {
        names.push(soon(asked).await.unwrap().unwrap().seq);
    }
    names.sort_unstable();
    assert_eq!(names, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn answers_that_wait_for_a_write_are_bounded_and_so_are_those_of_callers_who_gave_up() {
    let member = member(Options::default().with_ahead(16).with_requests(4));
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    handle.deliver(IDS[0], prepare(1));
    until(async || member.disk.is_writing()).await;
    let tx = scene::transaction(1, &IDS[1..]).id();
    // Each asks, and is gone. What is not taken is refused a place: the queue of requests is full.
    let mut asked = 0;
    while tokio::time::timeout(Duration::from_millis(20), handle.status(tx)).await.is_err() {
        asked += 1;
        if asked > 16 + 4 {
            break;
        }
    }
    let full = async { tokio::time::timeout(Duration::from_millis(200), handle.metrics()).await.is_err() };
    assert!(full.await, "it takes requests without an end");
    member.disk.release();
    soon(handle.status(tx)).await.unwrap();
}

#[tokio::test]
async fn durations_that_no_clock_can_count_are_as_good_as_a_day() {
    let member = member(Options::default().with_linger(Duration::MAX).with_grace(Duration::MAX));
    let (handle, task) = member.start(Start::Create).await;
    handle.deliver(IDS[0], prepare(1));
    until(async || handle.in_doubt().await.unwrap().len() == 1).await;
    handle.deliver(IDS[0], vec![scene::outcome(1, &IDS[1..], Outcome::Committed)]);
    until(async || handle.in_doubt().await.unwrap().is_empty()).await;
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn options_of_zero_are_refused() {
    let good = Options::default();
    let bad = [
        ("unit", good.with_unit(Duration::ZERO)),
        ("inbox", good.with_inbox(0)),
        ("requests", good.with_requests(0)),
        ("waiting", good.with_waiting(0)),
        ("outcomes", good.with_outcomes(0)),
        ("ahead", good.with_ahead(0)),
        ("inbox_bytes", good.with_inbox_bytes(0)),
        ("unwritten_bytes", good.with_unwritten_bytes(0)),
        ("votes", good.with_votes(0)),
        ("verdicts", good.with_verdicts(0)),
        ("retry", good.with_retry(Duration::ZERO)),
        ("retry_ceiling", good.with_retry_ceiling(Duration::ZERO)),
        ("stall", good.with_stall(Duration::ZERO)),
    ];
    for (name, options) in bad {
        let error = member(options).try_start(Start::Create).await.unwrap_err();
        assert!(matches!(error, Error::ZeroOption(it) if it == name), "{name}: {error:?}");
    }
}
