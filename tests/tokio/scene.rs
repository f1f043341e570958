//! Nodes in one process, and what they are made of.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use synod::{
    Effect, NodeId, Packet, Quorums, TxId,
    commit::{
        Cluster, ClusterId, ClusterSpec, Config, Decision, Key, Message, Meta, Node, Outcome, Promised, Record,
        Timeouts, Transaction, Vote, What,
    },
    perform::{
        Storage, Transport,
        tokio::{Error, Handle, Options, Progress, RecoverError, Resource, Start, spawn},
    },
};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

/// Whatever must happen happens within this time, on a slow machine too.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) type Task = JoinHandle<Result<(), Error>>;

/// A node that is an acceptor, a transaction manager and a participant, as all three are here.
pub(crate) const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Waits for `future`, which must not take for ever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(BOUND, future).await.expect("it takes for ever")
}

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    soon(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Three nodes that play all roles.
pub(crate) fn cluster() -> Cluster {
    of(IDS, IDS)
}

/// A cluster of `acceptors` and `managers`, which is quick to ask again.
pub(crate) fn of<const A: usize, const M: usize>(acceptors: [NodeId; A], managers: [NodeId; M]) -> Cluster {
    let quorums = Quorums::majority(acceptors).unwrap();
    let timeouts =
        Timeouts::default().with_flush(10).with_recover(200).with_inquire(100).with_repeat(50).with_ceiling(500);
    ClusterSpec::new(ClusterId([5; 16]), quorums, managers).with_timeouts(timeouts).build().unwrap()
}

/// What the founder `node` of `cluster` writes before all else.
pub(crate) fn founding(cluster: &Cluster, node: NodeId) -> Vec<Record> {
    let (_, effects) = Node::create(Config::new(cluster.clone(), node, 0));
    let record = |effect| if let Effect::Persist(record) = effect { Some(record) } else { None };
    effects.into_iter().filter_map(record).collect()
}

/// A disk that outlives its node. A clone is another handle to it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<(Mutex<Plates>, Condvar)>, u64);

#[derive(Default)]
struct Plates {
    /// How often it was loaded: a write of a handle that has not seen the last time fails.
    life: u64,
    records: BTreeMap<Key, Record>,
    /// How many records each batch had.
    batches: Vec<usize>,
    held: bool,
    /// How long a write takes.
    latency: Duration,
    /// Whether a write is being held.
    writing: bool,
    broken: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is broken")]
pub(crate) struct Broken;

impl Disk {
    /// From now on no write comes to its end.
    pub(crate) fn hold(&self) {
        self.plates().held = true;
    }

    /// From now on every write takes this long.
    pub(crate) fn slow_down(&self, latency: Duration) {
        self.plates().latency = latency;
    }

    /// Lets writes come to their end again.
    pub(crate) fn release(&self) {
        self.plates().held = false;
        self.0.1.notify_all();
    }

    /// From now on every write fails.
    pub(crate) fn smash(&self) {
        self.plates().broken = true;
    }

    pub(crate) fn repair(&self) {
        self.plates().broken = false;
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.plates().writing
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.plates().batches.clone()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.plates().records.values().cloned().collect()
    }

    /// How many handles to it there are.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn plates(&self) -> MutexGuard<'_, Plates> {
        self.0.0.lock().unwrap()
    }
}

impl Storage for Disk {
    type Error = Broken;

    fn load(&mut self) -> Result<Vec<Record>, Broken> {
        let mut plates = self.0.0.lock().unwrap();
        plates.life += 1;
        self.1 = plates.life;
        Ok(plates.records.values().cloned().collect())
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), Broken> {
        let mut plates = self.plates();
        plates.writing = true;
        let latency = plates.latency;
        if !latency.is_zero() {
            drop(plates);
            std::thread::sleep(latency);
            plates = self.plates();
        }
        plates = self.0.1.wait_while(plates, |plates| plates.held).unwrap();
        plates.writing = false;
        if plates.broken || plates.life != self.1 {
            return Err(Broken);
        }
        plates.batches.push(records.len());
        for record in records {
            if record.is_tombstone() {
                plates.records.remove(&record.key());
            } else {
                plates.records.insert(record.key(), record.clone());
            }
        }
        Ok(())
    }
}

/// The network: everyone's handle, and what was sent to whom is not here.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<Switchboard>>);

#[derive(Default)]
struct Switchboard {
    handles: BTreeMap<NodeId, Handle>,
    lost: Vec<Packet<Message>>,
}

pub(crate) struct Port {
    from: NodeId,
    wires: Wires,
}

impl Wires {
    pub(crate) fn port(&self, from: NodeId) -> Port {
        Port { from, wires: self.clone() }
    }

    pub(crate) fn plug(&self, handle: &Handle) {
        self.0.lock().unwrap().handles.insert(handle.node(), handle.clone());
    }

    pub(crate) fn unplug(&self, node: NodeId) {
        self.0.lock().unwrap().handles.remove(&node);
    }

    /// What was sent to nodes that are not there, since this was asked last.
    pub(crate) fn lost(&self) -> Vec<Packet<Message>> {
        std::mem::take(&mut self.0.lock().unwrap().lost)
    }
}

impl Transport for Port {
    fn send(&mut self, packet: Packet<Message>) {
        let mut board = self.wires.0.lock().unwrap();
        match board.handles.get(&packet.to) {
            Some(handle) => drop(handle.deliver(self.from, packet.messages)),
            None => board.lost.push(packet),
        }
    }
}

/// A resource that votes when it is let to, and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Puppet(Arc<Strings>);

struct Strings {
    vote: Vote,
    asked: Mutex<Vec<(Instant, Decision)>>,
    /// One permit for each vote that may be given.
    votes: Semaphore,
    /// One permit for each verdict that may be carried out.
    verdicts: Semaphore,
}

impl Puppet {
    /// Votes at once.
    pub(crate) fn voting(vote: Vote) -> Self {
        let (votes, verdicts) = (Semaphore::new(Semaphore::MAX_PERMITS), Semaphore::new(Semaphore::MAX_PERMITS));
        Self(Arc::new(Strings { vote, asked: Mutex::default(), votes, verdicts }))
    }

    /// Votes, and carries out, when told to.
    pub(crate) fn waiting(vote: Vote) -> Self {
        let (votes, verdicts) = (Semaphore::new(0), Semaphore::new(0));
        Self(Arc::new(Strings { vote, asked: Mutex::default(), votes, verdicts }))
    }

    pub(crate) fn let_vote(&self, times: usize) {
        self.0.votes.add_permits(times);
    }

    pub(crate) fn let_carry_out(&self, times: usize) {
        self.0.verdicts.add_permits(times);
    }

    /// The verdicts on `tx` that it was asked to carry out, in order. Each is about the content that the transaction has.
    pub(crate) fn verdicts(&self, tx: TxId) -> Vec<Outcome> {
        let verdict = |asked: Decision| match asked {
            Decision::Commit { transaction, meta } if transaction.id() == tx => {
                assert!(transaction.is_about(&meta), "{transaction:?} is not about {meta:?}");
                Some(Outcome::Committed)
            }
            Decision::Abort { transaction, meta } if transaction.id() == tx => {
                assert!(meta.as_ref().is_none_or(|meta| transaction.is_about(meta)), "{transaction:?}: {meta:?}");
                Some(Outcome::Aborted)
            }
            _ => None,
        };
        self.asked().into_iter().filter_map(verdict).collect()
    }

    pub(crate) fn asked(&self) -> Vec<Decision> {
        self.0.asked.lock().unwrap().iter().map(|(_, decision)| decision.clone()).collect()
    }

    /// When it was first told `decision`.
    pub(crate) fn when(&self, decision: &Decision) -> Option<Instant> {
        self.0.asked.lock().unwrap().iter().find(|(_, told)| told == decision).map(|(when, _)| *when)
    }

    fn note(&self, decision: Decision) {
        self.0.asked.lock().unwrap().push((Instant::now(), decision));
    }
}

impl Resource for Puppet {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    async fn vote(&self, transaction: &Transaction, meta: &Meta) -> Vote {
        self.note(Decision::Vote { transaction: transaction.clone(), meta: meta.clone() });
        self.0.votes.acquire().await.unwrap().forget();
        self.0.vote
    }

    async fn commit(&self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.note(Decision::Commit { transaction: transaction.clone(), meta: meta.clone() });
        self.0.verdicts.acquire().await.unwrap().forget();
        Progress::Finished
    }

    async fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.note(Decision::Abort { transaction: transaction.clone(), meta: meta.cloned() });
        self.0.verdicts.acquire().await.unwrap().forget();
        Progress::Finished
    }

    fn decided(&self, tx: TxId, outcome: Outcome) {
        self.note(Decision::Decided { tx, outcome });
    }

    fn completed(&self, tx: TxId, outcome: Outcome) {
        self.note(Decision::Completed { tx, outcome });
    }
}

/// One node, with all that it needs to be started again.
pub(crate) struct Member {
    pub(crate) cluster: Cluster,
    pub(crate) id: NodeId,
    pub(crate) disk: Disk,
    pub(crate) wires: Wires,
    pub(crate) puppet: Puppet,
    pub(crate) options: Options,
}

impl Member {
    pub(crate) fn new(cluster: &Cluster, id: NodeId, wires: &Wires, puppet: Puppet) -> Self {
        let (disk, options) = (Disk::default(), Options::default());
        Self { cluster: cluster.clone(), id, disk, wires: wires.clone(), puppet, options }
    }

    pub(crate) async fn try_start(&self, start: Start) -> Result<(Handle, Task), Error> {
        let config = Config::new(self.cluster.clone(), self.id, self.id.0);
        let (disk, port, puppet) = (self.disk.clone(), self.wires.port(self.id), self.puppet.clone());
        spawn(config, start, disk, port, puppet, self.options).await
    }

    /// Starts it, and plugs it in.
    pub(crate) async fn start(&self, start: Start) -> (Handle, Task) {
        let (handle, task) = self.try_start(start).await.unwrap();
        self.wires.plug(&handle);
        (handle, task)
    }

    /// Pulls the plug: what is in memory is lost.
    pub(crate) async fn crash(&self, task: Task) {
        self.wires.unplug(self.id);
        task.abort();
        assert!(soon(task).await.unwrap_err().is_cancelled());
    }
}

impl Drop for Member {
    /// A test that fails must not wait for ever for its disk.
    fn drop(&mut self) {
        self.disk.release();
    }
}

/// Three nodes that play all roles, with these resources.
pub(crate) async fn three(puppets: [Puppet; 3]) -> Vec<(Member, Handle, Task)> {
    three_with(puppets, Options::default()).await
}

/// Options by which no timer ever ends.
pub(crate) fn timeless() -> Options {
    Options::default().with_unit(Duration::from_secs(3_600))
}

pub(crate) async fn three_with(puppets: [Puppet; 3], options: Options) -> Vec<(Member, Handle, Task)> {
    three_of(&cluster(), puppets, options).await
}

/// The same, in a cluster like that.
pub(crate) async fn three_of(cluster: &Cluster, puppets: [Puppet; 3], options: Options) -> Vec<(Member, Handle, Task)> {
    let wires = Wires::default();
    let mut nodes = Vec::new();
    for (id, puppet) in IDS.into_iter().zip(puppets) {
        let mut member = Member::new(cluster, id, &wires, puppet);
        member.options = options;
        let (handle, task) = member.start(Start::Create).await;
        nodes.push((member, handle, task));
    }
    nodes
}

/// A transaction that a client named.
pub(crate) fn transaction(seq: u64, participants: &[NodeId]) -> Transaction {
    Transaction::new(TxId { origin: NodeId(9), seq }, participants, META).unwrap()
}

/// What a client's transaction is about.
pub(crate) const META: &str = "from the client";

/// Asks for the vote on a client's transaction.
pub(crate) fn outcome(seq: u64, participants: &[NodeId], outcome: Outcome) -> Message {
    Message::about(&transaction(seq, participants), What::Outcome(outcome))
}

pub(crate) fn prepare(seq: u64, participants: &[NodeId]) -> Message {
    Message::about(&transaction(seq, participants), What::prepare(META.into()))
}

impl fmt::Debug for Puppet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Puppet").field(&self.asked()).finish()
    }
}
