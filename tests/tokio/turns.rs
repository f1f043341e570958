//! Who is asked when: calls to the resource are bounded, and the others wait for their turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synod::{
    TxId,
    commit::{Config, Decision, Meta, Outcome, Promised, Transaction, Vote},
    perform::tokio::{Options, Progress, RecoverError, Resource, Start, spawn},
};
use tokio::sync::Semaphore;

use crate::scene::{Disk, IDS, Member, Puppet, Wires, of, soon, timeless, until};

/// A database with few connections. If none is left, it votes to abort.
#[derive(Clone)]
struct Pool {
    connections: Arc<Semaphore>,
    voting: Arc<AtomicUsize>,
    most_voting: Arc<AtomicUsize>,
}

impl Resource for Pool {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    async fn vote(&self, _: &Transaction, _: &Meta) -> Vote {
        let Ok(_connection) = self.connections.try_acquire() else { return Vote::Aborted };
        let voting = self.voting.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_voting.fetch_max(voting, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.voting.fetch_sub(1, Ordering::Relaxed);
        Vote::Prepared
    }

    async fn commit(&self, _: &Transaction, _: &Meta) -> Progress {
        let _connection = self.connections.try_acquire().expect("a connection is left for this");
        tokio::time::sleep(Duration::from_millis(1)).await;
        Progress::Finished
    }
}

#[tokio::test]
async fn of_500_transfers_at_once_none_aborts_because_a_database_has_only_12_connections() {
    let pool = Pool { connections: Arc::new(Semaphore::new(12)), voting: Arc::default(), most_voting: Arc::default() };
    let config = Config::new(of([IDS[0]], [IDS[0]]), IDS[0], 1);
    let port = Wires::default().port(IDS[0]);
    // No time-out may end it.
    let options = timeless().with_votes(8).with_verdicts(4);
    let (handle, _task) = spawn(config, Start::Create, Disk::default(), port, pool.clone(), options).await.unwrap();
    let transfer = |handle: synod::perform::tokio::Handle| async move {
        let tx = handle.begin([IDS[0]], "10 from 1 to 2").await.unwrap();
        handle.completed(tx).await.unwrap()
    };
    let transfers: Vec<_> = (0..500).map(|_| tokio::spawn(transfer(handle.clone()))).collect();
    for transfer in transfers {
        assert_eq!(soon(transfer).await.unwrap(), Outcome::Committed);
    }
    assert_eq!(pool.most_voting.load(Ordering::Relaxed), 8);
}

/// Node 1 alone, which is asked for one vote at a time, and for as many verdicts.
fn member(puppet: &Puppet, options: Options) -> Member {
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), puppet.clone());
    member.options = options.with_votes(1).with_verdicts(1);
    member
}

fn votes(puppet: &Puppet) -> Vec<TxId> {
    let vote = |asked: Decision| match asked {
        Decision::Vote { transaction, .. } => Some(transaction.id()),
        _ => None,
    };
    puppet.asked().into_iter().filter_map(vote).collect()
}

#[tokio::test]
async fn votes_wait_for_their_turn_in_order_and_verdicts_do_not_wait_for_votes() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = member(&puppet, timeless());
    let (handle, _task) = member.start(Start::Create).await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(soon(handle.begin([IDS[0]], "")).await.unwrap());
    }
    for turn in 1..=5 {
        until(async || votes(&puppet).len() == turn).await;
        handle.metrics().await.unwrap();
        assert_eq!(votes(&puppet), begun[..turn]);
        if turn < 5 {
            puppet.let_vote(1);
        }
    }
    // The fifth vote is being considered.
    puppet.let_carry_out(4);
    for tx in &begun[..4] {
        until(async || handle.status(*tx).await.unwrap().is_retired()).await;
    }
}

#[tokio::test]
async fn a_vote_that_is_aborted_before_its_turn_is_not_asked_for() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = member(&puppet, timeless());
    let (handle, _task) = member.start(Start::Create).await;
    let first = soon(handle.begin([IDS[0]], "")).await.unwrap();
    let second = soon(handle.begin([IDS[0]], "")).await.unwrap();
    let third = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || votes(&puppet) == [first]).await;
    // This one's verdict comes before its turn.
    soon(handle.inquire(second)).await.unwrap();
    assert_eq!(soon(handle.outcome(second)).await.unwrap(), Outcome::Aborted);
    until(async || puppet.verdicts(second) == [Outcome::Aborted]).await;
    // This one's verdict is behind a write when its turn comes.
    member.disk.hold();
    let asked = handle.clone();
    let inquiry = tokio::spawn(async move { asked.inquire(third).await });
    until(async || member.disk.is_writing()).await;
    let before = handle.metrics().await.unwrap().decisions;
    puppet.let_vote(1);
    until(async || handle.metrics().await.unwrap().decisions > before).await;
    assert_eq!(votes(&puppet), [first]);
    member.disk.release();
    soon(inquiry).await.unwrap().unwrap();
    puppet.let_carry_out(3);
    for (tx, outcome) in [(first, Outcome::Committed), (second, Outcome::Aborted), (third, Outcome::Aborted)] {
        assert_eq!(soon(handle.completed(tx)).await.unwrap(), outcome);
    }
    assert_eq!(votes(&puppet), [first]);
}

#[tokio::test]
async fn a_shutdown_waits_for_the_votes_that_are_considered_and_not_for_those_in_line() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = member(&puppet, timeless().with_grace(Duration::MAX));
    let (handle, task) = member.start(Start::Create).await;
    let first = soon(handle.begin([IDS[0]], "")).await.unwrap();
    soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || votes(&puppet) == [first]).await;
    member.wires.unplug(member.id);
    let shutdown = tokio::spawn(handle.shutdown());
    tokio::task::yield_now().await;
    puppet.let_vote(1);
    soon(shutdown).await.unwrap().unwrap();
    soon(task).await.unwrap().unwrap();
    assert_eq!(votes(&puppet), [first]);
}
