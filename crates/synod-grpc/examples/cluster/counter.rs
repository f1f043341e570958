//! The teller's way to the cluster: begins a transfer at a transaction manager, and asks until it knows how it ended.
//!
//! A transfer's name follows from its id, so it can be begun any number of times, anywhere, and goes through once. When a
//! transaction manager does not answer, the next one is turned to, for any of them can finish any transfer.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use synod::{
    NodeId, TxId,
    commit::{Meta, Outcome, Status, Transaction},
};
use synod_grpc::{CallError, Client, Identity, Reason};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    cast::{CAST, CLUSTER, TELLER},
    fleet::Look,
    papers,
    places::{Places, options},
};

/// How long a single answer is waited for that nobody else can give.
const PATIENCE: Duration = Duration::from_secs(1);
/// After this long without an answer, at most, the next transaction manager is turned to.
const CEILING: Duration = Duration::from_secs(12);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Counter {
    /// One for each transaction manager.
    clients: Vec<Client>,
    /// The transaction manager that is turned to first.
    favourite: AtomicUsize,
    /// After this long without an answer, the next transaction manager is turned to, unless this one is there. It doubles
    /// each time.
    turn: Duration,
    /// Whether an earlier run may have made the next transfer. The first one that it has not made tells.
    resumes: AtomicBool,
    looks: mpsc::UnboundedSender<Look>,
    /// Whether the members may change. There is one client then, which follows them.
    follows: bool,
    /// The epoch that transfers are of, as far as is known.
    epoch: AtomicU64,
    asking: Mutex<()>,
}

/// What a change of the members did to a transfer. It may be made again, under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was named before the change, and not begun after it.
    Refused,
    /// It was begun, and has ended as aborted when there was another epoch.
    Aborted,
}

/// How a transfer went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    pub(crate) tx: TxId,
    pub(crate) outcome: Outcome,
    /// From the first request until the outcome was known.
    pub(crate) waited: Duration,
    /// Whether it was over before it was begun: an earlier run has made it.
    pub(crate) is_old: bool,
    pub(crate) cut: Option<Cut>,
    /// Whether managers were not to begin it for a while, as a change was under way.
    pub(crate) was_held_back: bool,
}

/// What one transaction manager has to say.
enum Answer {
    Ended(Outcome),
    /// Its epoch is over: it has not committed, and never will.
    Stale,
    /// A change is under way.
    Changing,
    /// It is over, and how it ended is to be asked elsewhere.
    Over,
    /// It is there, and does not know yet.
    Open,
    /// Nothing.
    None,
}

impl Counter {
    pub(crate) fn open(
        data: &Path,
        places: &Places,
        turn: Duration,
        looks: mpsc::UnboundedSender<Look>,
        follows: bool,
    ) -> anyhow::Result<Self> {
        let security = papers::security(data, Identity::client(CLUSTER, TELLER))?;
        let client = |name| {
            let (node, address) = (CAST.node(name), places.of(name)?);
            Ok::<_, anyhow::Error>(Client::new(CLUSTER, node, address, &security, &options())?)
        };
        let mut clients = CAST.managers().map(client).collect::<Result<Vec<_>, _>>()?;
        if follows {
            let mut all = clients.swap_remove(0);
            for name in CAST.managers().skip(1) {
                all = all.with_node(CAST.node(name), places.of(name)?)?;
            }
            clients = vec![all];
        }
        let (favourite, resumes) = (AtomicUsize::new(0), AtomicBool::new(true));
        let (epoch, asking) = (AtomicU64::new(0), Mutex::new(()));
        Ok(Self { clients, favourite, turn, resumes, looks, follows, epoch, asking })
    }

    /// The epoch that a transfer is of that is begun now.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Asks whether there is a later epoch than `than`, and says so.
    async fn has_changed(&self, than: u64) -> bool {
        let _asking = self.asking.lock().await;
        if self.epoch() <= than
            && let Ok(Ok(Some((number, _)))) = timeout(PATIENCE, self.clients[0].members()).await
        {
            self.epoch.fetch_max(number, Ordering::Relaxed);
        }
        self.epoch() > than
    }

    /// Has `transaction` made, however long that takes.
    pub(crate) async fn run(&self, transaction: &Transaction, meta: &Meta) -> Errand {
        let (begun, tx, mut patience) = (Instant::now(), transaction.id(), self.turn);
        let (mut cut, mut was_held_back, epoch) = (None, false, transaction.epoch());
        let is_old = self.resumes.load(Ordering::Relaxed) && self.is_made(tx).await;
        loop {
            let manager = self.favourite.load(Ordering::Relaxed);
            let asked = timeout(patience, Self::ask(&self.clients[manager], transaction, meta)).await;
            let asked_in_vain = asked.is_err();
            let answer = match asked {
                Ok(answer) => answer,
                Err(_) if self.is_there(manager, tx).await => Answer::Open,
                Err(_) => Answer::None,
            };
            let outcome = match answer {
                Answer::Ended(outcome) => {
                    if self.follows && outcome == Outcome::Aborted && self.has_changed(epoch).await {
                        cut = Some(Cut::Aborted);
                    }
                    Some(outcome)
                }
                Answer::Stale => {
                    self.has_changed(epoch).await;
                    cut = Some(Cut::Refused);
                    Some(Outcome::Aborted)
                }
                Answer::Changing => {
                    was_held_back = true;
                    None
                }
                Answer::Over => self.look(transaction).await,
                Answer::Open => None,
                Answer::None => {
                    self.turn_from(manager);
                    None
                }
            };
            if let Some(outcome) = outcome {
                return Errand { tx, outcome, waited: begun.elapsed(), is_old, cut, was_held_back };
            }
            if asked_in_vain {
                patience = CEILING.min(patience * 2);
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether an earlier run has made this transfer.
    async fn is_made(&self, tx: TxId) -> bool {
        let client = &self.clients[self.favourite.load(Ordering::Relaxed)];
        let Ok(Ok(status)) = timeout(PATIENCE, client.status(tx)).await else { return false };
        if !status.is_retired() {
            self.resumes.store(false, Ordering::Relaxed);
        }
        status.is_retired()
    }

    /// Whether a transaction manager that did not know the outcome of `tx` in time still answers, and knows of `tx`. If so, the
    /// other managers would have to wait for the same votes, and turning to each in a row would lead to the one that stands
    /// still.
    async fn is_there(&self, manager: usize, tx: TxId) -> bool {
        matches!(timeout(self.turn / 4, self.clients[manager].status(tx)).await, Ok(Ok(_)))
    }

    async fn ask(client: &Client, transaction: &Transaction, meta: &Meta) -> Answer {
        let tx = transaction.id();
        let begun = client.begin_as(transaction, meta.clone()).await;
        match &begun {
            Err(CallError::Refused { reason: Reason::OldEpoch, .. }) => return Answer::Stale,
            Err(CallError::Refused { reason: Reason::Changing | Reason::NewerEpoch, .. }) => return Answer::Changing,
            _ => {}
        }
        if begun.is_ok()
            && let Ok(outcome) = client.outcome(tx).await
        {
            return Answer::Ended(outcome);
        }
        match client.status(tx).await {
            Ok(Status::Retired { outcome: Some(outcome) }) => Answer::Ended(outcome),
            Ok(Status::Retired { outcome: None }) => Answer::Over,
            _ => Answer::None,
        }
    }

    /// The next one's turn, unless that was seen to already.
    fn turn_from(&self, manager: usize) {
        let next = (manager + 1) % self.clients.len();
        let _ = self.favourite.compare_exchange(manager, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How a transfer that is over everywhere has ended, from a branch's books; `None` while that branch is away.
    async fn look(&self, transaction: &Transaction) -> Option<Outcome> {
        let branch = CAST.name(*transaction.participants().first().unwrap_or(&NodeId(0)))?;
        let (reply, answer) = oneshot::channel();
        self.looks.send(Look { branch, transfer: transaction.id().seq, reply }).ok()?;
        let applied = timeout(PATIENCE, answer).await.ok()?.ok()?;
        Some(if applied { Outcome::Committed } else { Outcome::Aborted })
    }
}
