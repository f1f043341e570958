//! Verdicts that cannot be carried out at once.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use synod::{
    Refusal, TxId,
    commit::{Config, Meta, Outcome, Promised, Transaction, Vote},
    perform::tokio::{Error, Handle, Options, Progress, RecoverError, Resource, Start, spawn},
};
use tokio::sync::Semaphore;

use crate::scene::{Disk, IDS, Task, Wires, of, soon, timeless, until};

/// Commits when it is let to, with the answers that it was given, and finishes when it has no more of them.
#[derive(Clone)]
struct Busy(Arc<Diary>);

struct Diary {
    answers: Mutex<VecDeque<Progress>>,
    let_commit: Semaphore,
    commits: Mutex<Vec<Instant>>,
    at_once: AtomicUsize,
}

impl Busy {
    fn answering(answers: &[Progress]) -> Self {
        Self::waiting(answers, Semaphore::MAX_PERMITS)
    }

    fn waiting(answers: &[Progress], permits: usize) -> Self {
        let (answers, let_commit) = (Mutex::new(answers.iter().copied().collect()), Semaphore::new(permits));
        Self(Arc::new(Diary { answers, let_commit, commits: Mutex::default(), at_once: AtomicUsize::new(0) }))
    }

    fn commits(&self) -> usize {
        self.0.commits.lock().unwrap().len()
    }

    fn pauses(&self) -> Vec<Duration> {
        self.0.commits.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Resource for Busy {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    async fn vote(&self, _: &Transaction, _: &Meta) -> Vote {
        Vote::Prepared
    }

    async fn commit(&self, _: &Transaction, _: &Meta) -> Progress {
        self.0.commits.lock().unwrap().push(Instant::now());
        assert_eq!(self.0.at_once.fetch_add(1, Ordering::Relaxed), 0, "two calls at once");
        self.0.let_commit.acquire().await.unwrap().forget();
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
        self.0.answers.lock().unwrap().pop_front().unwrap_or(Progress::Finished)
    }
}

async fn start(start: Start, disk: &Disk, busy: &Busy, options: Options) -> (Handle, Task) {
    let config = Config::new(of([IDS[0]], [IDS[0]]), IDS[0], 1);
    let port = Wires::default().port(IDS[0]);
    spawn(config, start, disk.clone(), port, busy.clone(), options).await.unwrap()
}

/// A node with this resource, and a transaction that is committed there and not carried out.
async fn committed(busy: &Busy, options: Options) -> (Handle, Task, TxId) {
    let (handle, task) = start(Start::Create, &Disk::default(), busy, options).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    (handle, task, tx)
}

/// Waits until the node has handed a verdict over a few times more.
async fn repeats(handle: &Handle) {
    let before = handle.metrics().await.unwrap().decisions;
    until(async || handle.metrics().await.unwrap().decisions >= before + 3).await;
}

#[tokio::test]
async fn what_could_not_be_committed_is_tried_again_after_ever_longer_pauses_without_the_node() {
    let busy = Busy::answering(&[Progress::Again; 6]);
    // None of the node's timers ends.
    let options = timeless().with_retry_ceiling(Duration::from_millis(80));
    let (handle, _task, tx) = committed(&busy, options).await;
    assert_eq!(soon(handle.completed(tx)).await.unwrap(), Outcome::Committed);
    for (pause, least) in busy.pauses().into_iter().zip([10, 20, 40, 80, 80, 80]) {
        assert!(pause >= Duration::from_millis(least), "{:?}", busy.pauses());
    }
    assert_eq!(busy.commits(), 7);
}

#[tokio::test]
async fn the_node_s_own_repeats_do_not_shorten_a_pause_and_nothing_is_asked_twice_at_once() {
    let busy = Busy::answering(&[Progress::Again]);
    let (handle, _task, tx) = committed(&busy, Options::default().with_retry(Duration::from_millis(600))).await;
    repeats(&handle).await;
    assert_eq!(soon(handle.completed(tx)).await.unwrap(), Outcome::Committed);
    assert_eq!(busy.commits(), 2);
    assert!(busy.pauses()[0] >= Duration::from_millis(600), "{:?}", busy.pauses());
}

#[tokio::test]
async fn what_is_committed_later_is_not_asked_for_again_and_done_when_the_handle_is_told() {
    let busy = Busy::answering(&[Progress::Later]);
    let (handle, _task, tx) = committed(&busy, Options::default()).await;
    repeats(&handle).await;
    soon(handle.finished(tx)).await.unwrap();
    assert_eq!(soon(handle.completed(tx)).await.unwrap(), Outcome::Committed);
    assert_eq!(busy.commits(), 1);
    let unknown = soon(handle.finished(TxId { seq: 99, ..tx })).await;
    assert!(matches!(unknown, Err(Error::Refused(Refusal::UnknownTransaction))), "{unknown:?}");
}

#[tokio::test]
async fn what_the_handle_is_told_of_is_not_tried_again_whether_it_waits_or_is_being_tried() {
    for permits in [0, 1] {
        let busy = Busy::waiting(&[Progress::Again], permits);
        let (handle, _task, tx) = committed(&busy, timeless().with_retry(Duration::from_millis(20))).await;
        until(async || busy.0.let_commit.available_permits() == 0 && busy.commits() == 1).await;
        // If it has answered, it is in line now.
        handle.metrics().await.unwrap();
        soon(handle.finished(tx)).await.unwrap();
        busy.0.let_commit.add_permits(10);
        until(async || handle.status(tx).await.unwrap().is_retired()).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(busy.commits(), 1, "{permits}");
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_the_next_try_which_comes_after_the_restart() {
    let (busy, disk) = (Busy::answering(&[Progress::Again]), Disk::default());
    let options = Options::default().with_retry(Duration::from_secs(3_600)).with_retry_ceiling(Duration::MAX);
    let (handle, task) = start(Start::Create, &disk, &busy, options.with_grace(Duration::MAX)).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || busy.commits() == 1).await;
    soon(handle.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();
    let (handle, _task) = start(Start::Restore, &disk, &busy, options).await;
    assert_eq!(soon(handle.completed(tx)).await.unwrap(), Outcome::Committed);
    assert_eq!(busy.commits(), 2);
}
