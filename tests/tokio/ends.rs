//! Crashes, restarts and shutdowns.

use synod::{
    TxId,
    commit::{Message, Outcome, ResourceManagerState, Vote, What},
    perform::tokio::{Error, Start},
};

use crate::scene::{IDS, Member, Puppet, Wires, of, prepare, soon, three, three_with, timeless, transaction, until};

#[tokio::test]
async fn a_participant_that_crashes_while_it_is_prepared_is_in_doubt_and_commits_when_the_others_do() {
    let (yes, slow) = (|| Puppet::voting(Vote::Prepared), Puppet::waiting(Vote::Prepared));
    let mut nodes = three_with([yes(), yes(), slow.clone()], timeless()).await;
    let tx = soon(nodes[0].1.begin(IDS, "")).await.unwrap();
    until(async || !nodes[1].1.in_doubt().await.unwrap().is_empty()).await;
    // When this is answered, its vote is durable.
    nodes[1].1.status(tx).await.unwrap();

    let (member, _, task) = nodes.remove(1);
    member.crash(task).await;
    let (handle, _task) = member.start(Start::Restore).await;
    let in_doubt = handle.in_doubt().await.unwrap();
    assert_eq!(in_doubt.len(), 1);
    assert_eq!((in_doubt[0].transaction.id(), in_doubt[0].state), (tx, ResourceManagerState::Prepared));

    slow.let_vote(1);
    slow.let_carry_out(1);
    for handle in [&nodes[0].1, &handle, &nodes[1].1] {
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
        until(async || handle.status(tx).await.unwrap().is_retired()).await;
    }
    assert_eq!(member.puppet.verdicts(tx), [Outcome::Committed]);
}

#[tokio::test]
async fn transactions_go_on_while_nodes_crash_and_come_back_in_turn() {
    let yes = || Puppet::voting(Vote::Prepared);
    let mut nodes = three([yes(), yes(), yes()]).await;
    let mut open: Vec<TxId> = Vec::new();
    for turn in 0..12 {
        let place = turn % 3;
        for _ in 0..20 {
            open.push(soon(nodes[place].1.begin(IDS, "")).await.unwrap());
        }
        let crashed = (place + turn / 3) % 3;
        let (member, _, task) = nodes.remove(crashed);
        member.crash(task).await;
        let (handle, task) = member.start(Start::Restore).await;
        nodes.insert(crashed, (member, handle, task));
    }
    for (_, handle, _) in &nodes {
        until(async || handle.metrics().await.unwrap().open == 0).await;
        assert_eq!(handle.metrics().await.unwrap().violations(), 0);
    }
    // Nobody has acted on another outcome than anybody else.
    for tx in open {
        let acted = |verdict: Outcome| {
            nodes.iter().filter(|(member, ..)| member.puppet.verdicts(tx).contains(&verdict)).count()
        };
        let (commits, aborts) = (acted(Outcome::Committed), acted(Outcome::Aborted));
        assert!(commits == 0 || (commits, aborts) == (3, 0), "{tx}: {commits} commits, {aborts} aborts");
    }
}

#[tokio::test]
async fn a_shutdown_writes_what_was_stepped_and_sends_what_that_releases() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), puppet.clone());
    let (handle, task) = member.start(Start::Create).await;
    handle.deliver(IDS[0], (1..=20).map(|seq| prepare(seq, &IDS[1..])).collect());
    until(async || puppet.asked().len() == 20).await;
    member.disk.hold();
    puppet.let_vote(1);
    until(async || member.disk.is_writing()).await;
    puppet.let_vote(19);
    until(async || handle.in_doubt().await.unwrap().len() == 20).await;

    let (other, shutdown) = (handle.clone(), tokio::spawn(handle.shutdown()));
    tokio::task::yield_now().await;
    assert!(!shutdown.is_finished());
    member.disk.release();
    soon(shutdown).await.unwrap().unwrap();
    soon(task).await.unwrap().unwrap();
    let late = other.status(transaction(1, &IDS[1..]).id()).await;
    assert!(matches!(late, Err(Error::Stopped)), "{late:?}");

    // All twenty votes were sent, and all twenty are on the disk.
    let votes = |packets: Vec<synod::Packet<Message>>| {
        let messages = packets.into_iter().flat_map(|packet| packet.messages);
        let mut voted: Vec<TxId> = messages
            .filter_map(|message| match message {
                Message::About { transaction, what: What::Vote { .. } } => Some(transaction.id()),
                _ => None,
            })
            .collect();
        voted.sort_unstable();
        voted.dedup();
        voted.len()
    };
    assert_eq!(votes(member.wires.lost()), 20);
    member.wires.unplug(member.id);
    assert_eq!(member.disk.handles(), 1);
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.in_doubt().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_shutdown_lets_the_resource_finish_what_it_was_asked_and_keeps_its_answer() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || !puppet.asked().is_empty()).await;
    let shutdown = tokio::spawn(handle.shutdown());
    tokio::task::yield_now().await;
    puppet.let_vote(1);
    soon(shutdown).await.unwrap().unwrap();
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(handle.in_doubt().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_grace_for_a_resource() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), puppet.clone());
    member.options.grace = std::time::Duration::from_millis(10);
    let (handle, _task) = member.start(Start::Create).await;
    handle.deliver(IDS[0], vec![prepare(1, &IDS[1..])]);
    until(async || !puppet.asked().is_empty()).await;
    soon(handle.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_node_whose_task_is_aborted_has_crashed_and_says_so() {
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &Wires::default(), Puppet::voting(Vote::Prepared));
    let (handle, task) = member.start(Start::Create).await;
    task.abort();
    assert!(soon(task).await.unwrap_err().is_cancelled());
    let late = handle.metrics().await;
    assert!(matches!(late, Err(Error::Crashed)), "{late:?}");
    let late = soon(handle.shutdown()).await;
    assert!(matches!(late, Err(Error::Crashed)), "{late:?}");
}

#[tokio::test]
async fn a_node_without_handles_shuts_down() {
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    let (handle, task) = member.try_start(Start::Create).await.unwrap();
    drop(handle);
    soon(task).await.unwrap().unwrap();
    assert_eq!(member.disk.handles(), 1);
}
