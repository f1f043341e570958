//! Memory: what waits for a write, and what waits to be taken, is bounded in bytes.

use synod::{
    NodeId, TxId,
    commit::{Message, Meta, Transaction, Vote, What},
    perform::tokio::Start,
};

use crate::{
    scene::{IDS, Member, Puppet, Wires, of, timeless, transaction, until},
    telemetry::Book,
};

/// Asks node 1 for its vote on something long.
fn long_prepare(seq: u64) -> Vec<Message> {
    let meta = Meta::from(vec![1; LONG]);
    let about = Transaction::new(TxId { origin: NodeId(9), seq }, [IDS[0]], meta.clone()).unwrap();
    vec![Message::about(&about, What::prepare(meta))]
}

const LONG: usize = 60_000;

#[tokio::test]
async fn what_waits_for_a_write_and_what_waits_to_be_taken_is_bounded_in_bytes() {
    let book = Book::default();
    let _recorder = metrics::set_default_local_recorder(&book);
    let puppet = Puppet::voting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[1]], [IDS[1]]), IDS[0], &Wires::default(), puppet);
    let (bound, votes) = (1 << 20, 4);
    // The node has a room of a megabyte, its inbox of half of that.
    member.options = timeless().with_unwritten_bytes(bound).with_inbox_bytes(bound / 2).with_votes(votes);
    let (handle, _task) = member.start(Start::Create).await;
    let unwritten = || book.get("synod_unwritten_bytes", "") as usize;
    member.disk.hold();
    let (mut taken, mut most) = (0, 0);
    for seq in 1..=200 {
        taken += usize::from(handle.deliver(IDS[1], long_prepare(seq)));
        for _ in 0..10 {
            tokio::task::yield_now().await;
            most = most.max(unwritten());
        }
    }
    assert!(handle.dropped() > 100, "{taken} were taken");
    assert!(most >= bound, "{most}");
    // A packet, and the votes under way, may exceed it.
    let last = (1 + votes) * (LONG + 1_000);
    assert!(most < bound + last, "{most}");
    assert!(taken * LONG < bound + last + bound / 2 + LONG, "{taken} were taken");

    member.disk.release();
    until(async || handle.in_doubt().await.unwrap().len() == taken).await;
    until(async || handle.metrics().await.is_ok() && unwritten() == 0).await;
    // There is room again, for a packet larger than the room, too.
    let mut packet = Vec::new();
    (201..=220).for_each(|seq| packet.extend(long_prepare(seq)));
    assert!(handle.deliver(IDS[1], packet));
    until(async || handle.in_doubt().await.unwrap().len() == taken + 20).await;
}

#[tokio::test]
async fn while_too_many_bytes_wait_for_a_write_the_resource_is_asked_for_no_vote() {
    let book = Book::default();
    let _recorder = metrics::set_default_local_recorder(&book);
    let puppet = Puppet::waiting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[1]], [IDS[1]]), IDS[0], &Wires::default(), puppet.clone());
    let (bound, votes, all) = (1 << 20, 4, 60);
    member.options = timeless().with_unwritten_bytes(bound).with_votes(votes);
    let (handle, _task) = member.start(Start::Create).await;
    (1..=all).for_each(|seq| assert!(handle.deliver(IDS[1], long_prepare(seq))));
    until(async || handle.metrics().await.unwrap().open as u64 == all).await;
    member.disk.hold();
    puppet.let_vote(all as usize);
    let unwritten = || book.get("synod_unwritten_bytes", "") as usize;
    until(async || unwritten() >= bound).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(unwritten() < bound + votes * (LONG + 1_000), "{}", unwritten());
    assert!(puppet.asked().len() < 30, "{}", puppet.asked().len());
    member.disk.release();
    until(async || handle.in_doubt().await.unwrap().len() as u64 == all).await;
}

#[tokio::test]
async fn a_full_node_takes_not_even_the_next_packet_however_many_have_come() {
    let book = Book::default();
    let _recorder = metrics::set_default_local_recorder(&book);
    let puppet = Puppet::voting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[0]], [IDS[1]]), IDS[0], &Wires::default(), puppet);
    let bound = 1 << 16;
    member.options = timeless().with_unwritten_bytes(bound);
    let (handle, _task) = member.start(Start::Create).await;
    member.disk.hold();
    // Each vote is a record for an acceptor.
    let vote = |seq| {
        let about = transaction(seq, &IDS[1..2]);
        Message::about(&about, What::Vote { vote: Vote::Prepared, manager: IDS[1] })
    };
    for packet in 0..50 {
        assert!(handle.deliver(IDS[1], (1..=100).map(|seq| vote(100 * packet + seq)).collect()));
    }
    let unwritten = || book.get("synod_unwritten_bytes", "") as usize;
    until(async || unwritten() >= bound).await;
    assert!(unwritten() < 2 * bound, "{}", unwritten());
    member.disk.release();
    until(async || handle.metrics().await.unwrap().open == 5_000).await;
}
