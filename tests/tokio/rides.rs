//! Which writes there are, what waits for them, and what does not.

use std::time::Duration;

use synod::{
    NodeId, Packet, Refusal, TxId,
    commit::{Decision, Limits, Message, Outcome, Record, Status, Vote, What},
    perform::tokio::{Error, Handle, Start},
};

use tokio::time::timeout;

use crate::scene::{IDS, META, Member, Puppet, Task, Wires, of, prepare, soon, timeless, transaction, until};

/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// Nodes that are participants and nothing else.
const BRANCHES: [NodeId; 2] = [NodeId(4), NodeId(5)];

/// Node 1, which accepts and manages; whoever else there is, is not there.
fn manager() -> Member {
    Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared))
}

/// Node 2, which takes part in what node 1 manages, and whose records wait for ever for one to ride along with.
fn participant() -> Member {
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options = timeless().with_linger(FOR_EVER);
    member
}

/// Three nodes that accept and manage, and two that take part, each on its own disk.
async fn five(latency: Duration) -> Vec<(Member, Handle, Task)> {
    let (wires, cluster) = (Wires::default(), of(IDS, IDS));
    let mut nodes = Vec::new();
    for id in IDS.into_iter().chain(BRANCHES) {
        let member = Member::new(&cluster, id, &wires, Puppet::voting(Vote::Prepared));
        member.disk.slow_down(latency);
        let (handle, task) = member.start(Start::Create).await;
        nodes.push((member, handle, task));
    }
    nodes
}

fn said(packets: &[Packet<Message>], to: NodeId) -> Vec<&What> {
    let packets = packets.iter().filter(|packet| packet.to == to);
    let messages = packets.flat_map(|packet| &packet.messages);
    messages.filter_map(|message| if let Message::About { what, .. } = message { Some(what) } else { None }).collect()
}

#[tokio::test]
async fn a_prepare_and_a_name_leave_while_an_unrelated_write_is_under_way() {
    let member = manager();
    let (handle, _task) = member.start(Start::Create).await;
    // Reserves numbers.
    let first = soon(handle.begin([IDS[1]], META)).await.unwrap();
    member.wires.lost();
    member.disk.hold();
    let vote = What::Vote { vote: Vote::Prepared, manager: IDS[0] };
    handle.deliver(IDS[1], vec![Message::about(&transaction(7, &[IDS[1]]), vote)]);
    until(async || member.disk.is_writing()).await;

    let second = soon(handle.begin([IDS[2]], META)).await.unwrap();
    assert_eq!(second.seq, first.seq + 1);
    assert_eq!(soon(handle.status(second)).await.unwrap(), Status::Open { state: None, outcome: None });
    let sent = member.wires.lost();
    assert!(
        matches!(said(&sent, IDS[2])[..], [What::Prepare { meta, .. }] if meta.bytes() == META.as_bytes()),
        "{sent:?}"
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(member.disk.is_writing());
    assert!(said(&member.wires.lost(), IDS[1]).iter().all(|what| !matches!(what, What::Outcome(_))));
    member.disk.release();
    until(async || said(&member.wires.lost(), IDS[1]).iter().any(|what| matches!(what, What::Outcome(_)))).await;
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_write_that_it_does_not_rest_on() {
    let member = participant();
    let (handle, _task) = member.start(Start::Create).await;
    let [durable, unwritten] = [1, 2].map(|seq| transaction(seq, &IDS[1..]).id());
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || handle.in_doubt().await.unwrap().len() == 1).await;
    soon(handle.status(durable)).await.unwrap();
    member.disk.hold();
    handle.deliver(IDS[0], vec![prepare(2, &IDS[1..])]);
    until(async || member.disk.is_writing()).await;

    let waits = tokio::spawn({
        let handle = handle.clone();
        async move { handle.status(unwritten).await }
    });
    assert!(matches!(soon(handle.status(durable)).await.unwrap(), Status::Open { state: Some(_), outcome: None }));
    soon(handle.inquire(durable)).await.unwrap();
    assert!(!waits.is_finished());
    member.disk.release();
    assert!(matches!(soon(waits).await.unwrap().unwrap(), Status::Open { state: Some(_), outcome: None }));
}

#[tokio::test]
async fn a_begin_is_answered_once_the_block_of_its_number_is_durable() {
    let member = manager();
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    let begins = [0, 1].map(|_| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.begin([IDS[1]], META).await })
    });
    until(async || member.disk.is_writing()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(begins.iter().all(|begin| !begin.is_finished()));
    assert_eq!(member.wires.lost(), [], "a name is told to nobody before");
    member.disk.release();
    for (begin, seq) in begins.into_iter().zip(1..) {
        assert_eq!(soon(begin).await.unwrap().unwrap(), TxId { origin: IDS[0], seq });
        let reserved = |record: &Record| matches!(record, Record::Sequence { reserved } if *reserved > seq);
        assert!(member.disk.records().iter().any(reserved));
    }
}

#[tokio::test]
async fn callers_who_begin_at_once_each_hear_the_name_of_their_own_transaction() {
    let member = manager();
    let (handle, _task) = member.start(Start::Create).await;
    let mut begins = Vec::new();
    for number in 0..300_u32 {
        // Every third is refused.
        let meta = if number % 3 == 0 { vec![0; Limits::default().meta + 1] } else { number.to_be_bytes().to_vec() };
        let mut begin = Box::pin(handle.begin([IDS[0]], meta));
        let early = timeout(Duration::ZERO, &mut begin).await;
        // Every fifth caller leaves before the answer.
        match early {
            _ if number % 5 == 0 => {}
            Ok(answer) => begins.push((number, None, Some(answer))),
            Err(_) => begins.push((number, Some(begin), None)),
        }
    }
    let mut names = Vec::new();
    for (number, begin, early) in begins {
        let answer = match begin {
            Some(begin) => soon(begin).await,
            None => early.unwrap(),
        };
        match answer {
            Ok(tx) => names.push((number, tx)),
            Err(error) => assert!(matches!(error, Error::Refused(Refusal::MetaTooLong)) && number % 3 == 0),
        }
    }
    assert!(names.len() == 160 && names.is_sorted_by_key(|(_, tx)| *tx), "{names:?}");
    for (number, tx) in names {
        soon(handle.outcome(tx)).await.unwrap();
        let asked = member.puppet.asked();
        let asked_for =
            |asked: &&Decision| matches!(asked, Decision::Vote { transaction, .. } if transaction.id() == tx);
        let Some(Decision::Vote { meta, .. }) = asked.iter().find(asked_for) else { panic!("no vote on {tx}") };
        assert_eq!(meta.bytes(), number.to_be_bytes(), "{tx}");
    }
    // Those who left had asked, so their transactions have numbers; the refused ones have not.
    assert_eq!(soon(handle.begin([IDS[0]], META)).await.unwrap().seq, 201);
}

#[tokio::test]
async fn a_record_that_nobody_waits_for_goes_with_the_next_that_somebody_waits_for() {
    let member = participant();
    let (handle, _task) = member.start(Start::Create).await;
    let first = transaction(1, &IDS[1..]);
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.batches() == [3, 1]).await;
    handle.deliver(IDS[0], vec![Message::about(&first, What::Outcome(Outcome::Committed))]);
    until(async || member.puppet.verdicts(first.id()) == [Outcome::Committed]).await;
    let finished = |packets: &[Packet<Message>]| {
        said(packets, IDS[0]).iter().any(|what| matches!(what, What::Finished(Outcome::Committed)))
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!finished(&member.wires.lost()));
    assert_eq!(member.disk.batches(), [3, 1]);
    handle.deliver(IDS[0], vec![prepare(2, &IDS[1..])]);
    until(async || finished(&member.wires.lost())).await;
    assert_eq!(member.disk.batches(), [3, 1, 2]);
}

#[tokio::test]
async fn without_a_linger_every_record_is_written_at_once() {
    let mut member = participant();
    member.options.linger = Duration::ZERO;
    let (handle, _task) = member.start(Start::Create).await;
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.batches() == [3, 1]).await;
    handle.deliver(IDS[0], vec![Message::about(&transaction(1, &IDS[1..]), What::Outcome(Outcome::Committed))]);
    until(async || member.disk.batches() == [3, 1, 1]).await;
}

#[tokio::test]
async fn a_full_house_waits_for_no_record_to_ride_along_with() {
    let mut member = participant();
    member.options.ahead = 1;
    let (handle, _task) = member.start(Start::Create).await;
    for seq in 1..=3 {
        let outcome = Message::about(&transaction(seq, &IDS[1..]), What::Outcome(Outcome::Committed));
        handle.deliver(IDS[0], vec![prepare(seq, &IDS[1..])]);
        until(async || handle.in_doubt().await.unwrap().len() == 1).await;
        handle.deliver(IDS[0], vec![outcome]);
        // Were its record to wait for ever, no request would be taken any more.
        until(async || handle.metrics().await.unwrap().writes == 2 * seq).await;
    }
    until(async || member.disk.batches() == [3, 1, 1, 1, 1, 1, 1]).await;
}

#[tokio::test]
async fn a_time_out_starts_when_what_it_belongs_to_comes_however_long_the_node_was_idle() {
    let mut member = manager();
    member.options.unit = Duration::from_millis(2);
    let (handle, _task) = member.start(Start::Create).await;
    let over = soon(handle.begin([IDS[0]], META)).await.unwrap();
    until(async || handle.status(over).await.unwrap().is_retired()).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // Nobody votes, so a ballot is tried after 200 units at least, and 300 at most.
    let before = std::time::Instant::now();
    soon(handle.begin([IDS[1]], META)).await.unwrap();
    until(async || handle.metrics().await.unwrap().recoveries == 1).await;
    assert!(before.elapsed() >= Duration::from_millis(395), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_shutdown_writes_what_nobody_waited_for() {
    let member = participant();
    let (handle, _task) = member.start(Start::Create).await;
    let first = transaction(1, &IDS[1..]);
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || member.disk.batches() == [3, 1]).await;
    handle.deliver(IDS[0], vec![Message::about(&first, What::Outcome(Outcome::Committed))]);
    until(async || handle.metrics().await.unwrap().writes == 2).await;
    let rests_on_it = tokio::spawn({
        let (handle, tx) = (handle.clone(), first.id());
        async move { handle.status(tx).await }
    });
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    assert!(!rests_on_it.is_finished());
    soon(handle.shutdown()).await.unwrap();
    assert_eq!(member.disk.batches(), [3, 1, 1]);
    let finished = |record: &Record| matches!(record, Record::ResourceManager(it) if it.finished.is_some());
    assert!(member.disk.records().iter().any(finished));
    let status = soon(rests_on_it).await.unwrap().unwrap();
    assert!(matches!(status, Status::Open { outcome: Some(Outcome::Committed), .. }), "{status:?}");
}

#[tokio::test]
async fn without_another_write_a_record_waits_no_longer_than_it_may() {
    let nodes = five(Duration::ZERO).await;
    let tx = soon(nodes[0].1.begin(BRANCHES, META)).await.unwrap();
    let outcome = soon(nodes[0].1.outcome(tx)).await.unwrap();
    let [decided, completed] = [Decision::Decided { tx, outcome }, Decision::Completed { tx, outcome }];
    let puppet = &nodes[0].0.puppet;
    until(async || puppet.when(&completed).is_some()).await;
    let took = puppet.when(&completed).unwrap() - puppet.when(&decided).unwrap();
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert!(took >= Duration::from_millis(5), "{took:?}: it did not wait for a write to ride along with");
}

/// Two votes and three acceptors: that is five writes that somebody waits for. All else rides along.
#[tokio::test]
async fn a_transaction_of_two_participants_and_three_acceptors_costs_hardly_more_than_five_writes() {
    for latency in [0, 500, 2_000].map(Duration::from_micros) {
        let nodes = five(latency).await;
        let begin = async |number: u64| {
            let tx = soon(nodes[0].1.begin(BRANCHES, META)).await.unwrap();
            assert_eq!(soon(nodes[0].1.outcome(tx)).await.unwrap(), Outcome::Committed, "{number}");
        };
        let writes = || nodes.iter().map(|(member, ..)| member.disk.batches().len()).collect::<Vec<_>>();
        begin(0).await;
        let before = writes();
        const TRANSACTIONS: u64 = 300;
        for number in 1..=TRANSACTIONS {
            begin(number).await;
        }
        let each: Vec<f64> = writes()
            .into_iter()
            .zip(before)
            .map(|(after, before)| (after - before) as f64 / TRANSACTIONS as f64)
            .collect();
        let all: f64 = each.iter().sum();
        assert!(all <= 5.5, "{latency:?} a write: {all} writes a transaction, of the nodes: {each:?}");
        for (_, handle, _) in &nodes {
            until(async || handle.metrics().await.unwrap().open == 0).await;
            assert_eq!(handle.metrics().await.unwrap().violations(), 0);
        }
    }
}
