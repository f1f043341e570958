//! One life of a storage at a time: what a task that was aborted has still under way undoes nothing.

use std::sync::{Arc, Condvar, Mutex};

use fjall::Database;
use synod::{
    Ballot, NodeId, Packet,
    commit::{Config, Key, Message, Record, Vote, What},
    perform::{
        NoResource, Storage, Transport,
        fjall::{FjallError, FjallStorage},
        memory::MemoryStorage,
        tokio::{Options, Start, spawn},
    },
};

use crate::scene::{IDS, Puppet, of, prepare, soon, transaction, until};

/// A storage whose writes wait at a gate before they come to it.
struct Gated<S>(S, Gate);

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    fn shut(&self) {
        self.0.0.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = false;
        self.0.1.notify_all();
    }

    fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().1
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        self.0.1.wait_while(state, |(shut, _)| *shut).unwrap().1 -= 1;
    }
}

/// A test that fails must not wait for ever for its writers.
struct OpenAtLast(Gate);

impl Drop for OpenAtLast {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl<S: Storage> Storage for Gated<S> {
    type Error = S::Error;

    fn load(&mut self) -> Result<Vec<Record>, S::Error> {
        self.0.load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), S::Error> {
        self.1.pass();
        self.0.persist(records)
    }
}

/// Keeps all that was sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Message>>>);

impl Transport for Sent {
    fn send(&mut self, packet: Packet<Message>) {
        self.0.lock().unwrap().extend(packet.messages);
    }
}

impl Sent {
    fn votes(&self) -> Vec<Vote> {
        let vote = |message: &Message| match message {
            Message::About { what: What::Vote { vote, .. }, .. } => Some(*vote),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(vote).collect()
    }
}

/// The first life votes, and is aborted while that is on its way to the storage. The second, whose resource has changed
/// its mind, votes otherwise and says so. The first life's write comes only now. The third life must say what the second
/// has said.
async fn lives_of_a_participant<S>(again: impl Fn() -> S)
where
    S: Storage<Error: Send + Sync> + Send + 'static,
{
    let (gate, sent) = (Gate::default(), Sent::default());
    let config = Config::new(of([IDS[0]], [IDS[0]]), IDS[1], 0);
    let start = async |start, gate: &Gate, vote| {
        let (storage, resource) = (Gated(again(), gate.clone()), Puppet::voting(vote));
        spawn(config.clone(), start, storage, sent.clone(), resource, Options::default()).await.unwrap()
    };
    let ask = || vec![prepare(1, &IDS[1..])];

    let (first, task) = start(Start::Create, &gate, Vote::Prepared).await;
    gate.shut();
    let _open = OpenAtLast(gate.clone());
    first.deliver(IDS[0], ask());
    until(async || gate.waiting() == 1).await;
    task.abort();
    assert!(soon(task).await.unwrap_err().is_cancelled());

    let (second, task) = start(Start::Restore, &Gate::default(), Vote::Aborted).await;
    second.deliver(IDS[0], ask());
    until(async || !sent.votes().is_empty()).await;
    gate.open();
    until(async || gate.waiting() == 0).await;
    soon(second.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();

    let (third, _task) = start(Start::Restore, &Gate::default(), Vote::Aborted).await;
    third.deliver(IDS[0], ask());
    soon(third.shutdown()).await.unwrap();
    assert!(sent.votes().iter().all(|vote| *vote == Vote::Aborted), "{:?}", sent.votes());
    let key = Key::ResourceManager(transaction(1, &IDS[1..]).id());
    let records = again().load().unwrap();
    let kept = records.iter().find(|record| record.key() == key).unwrap();
    assert!(matches!(kept, Record::ResourceManager(record) if record.vote == Some(Vote::Aborted)), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_an_aborted_task_was_writing_does_not_replace_the_vote_that_the_restored_node_has_sent() {
    let storage = MemoryStorage::new();
    lives_of_a_participant(|| storage.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_database_that_stays_open_it_does_not_either() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path().join("site")).open().unwrap();
    lives_of_a_participant(|| FjallStorage::within(database.clone(), "node").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_a_restored_acceptor_has_sent_stays_durable() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path().join("site")).open().unwrap();
    let again = || FjallStorage::within(database.clone(), "node").unwrap();
    let (gate, sent) = (Gate::default(), Sent::default());
    let config = Config::new(of([IDS[0], IDS[1], IDS[2]], [IDS[1]]), IDS[0], 0);
    let start = async |start, gate: &Gate| {
        let storage = Gated(again(), gate.clone());
        spawn(config.clone(), start, storage, sent.clone(), NoResource, Options::default()).await.unwrap()
    };
    let about = transaction(1, &[NodeId(4)]);

    let (first, task) = start(Start::Create, &gate).await;
    gate.shut();
    let vote = What::Vote { vote: Vote::Prepared, manager: IDS[1] };
    first.deliver(NodeId(4), vec![Message::about(&about, vote)]);
    until(async || gate.waiting() == 1).await;
    task.abort();
    assert!(soon(task).await.unwrap_err().is_cancelled());

    let (second, _task) = start(Start::Restore, &Gate::default()).await;
    let ballot = Ballot::new(1, IDS[1]);
    let asked = What::Phase1a { ballot, instances: [0].into_iter().collect() };
    second.deliver(IDS[1], vec![Message::about(&about, asked)]);
    until(async || !sent.0.lock().unwrap().is_empty()).await;
    gate.open();
    until(async || gate.waiting() == 0).await;
    soon(second.shutdown()).await.unwrap();
    let records = again().load().unwrap();
    let kept = records.iter().find(|record| record.key() == Key::Acceptor(about.id())).unwrap();
    let Record::Acceptor(record) = kept else { panic!("{kept:?}") };
    assert_eq!(record.higher.first().and_then(|instance| instance.state.promised), Some(ballot));
}

/// Two writes through two handles, in whatever order: nothing else is to be waited for.
#[test]
fn a_write_that_is_under_way_when_a_storage_is_loaded_again_is_waited_for() -> Result<(), FjallError> {
    let folder = tempfile::tempdir().unwrap();
    let mut first = FjallStorage::open(folder.path().join("node"))?;
    let mut second = FjallStorage::within(first.database().clone(), synod::perform::fjall::KEYSPACE)?;
    let gate = Gate::default();
    gate.shut();
    let _open = OpenAtLast(gate.clone());
    let record = Record::Rounds { reserved: 7 };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| first.persist_with(std::slice::from_ref(&record), |_| gate.pass()));
        while gate.waiting() == 0 {
            std::thread::yield_now();
        }
        let loader = scope.spawn(|| second.load());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!loader.is_finished(), "it was loaded while a write was under way");
        gate.open();
        writer.join().unwrap().expect("it was first");
        assert_eq!(loader.join().unwrap().unwrap(), std::slice::from_ref(&record));
    });
    let refused = first.persist(&[Record::Rounds { reserved: 8 }]).unwrap_err();
    assert!(matches!(refused, FjallError::EarlierLife(_)), "{refused:?}");
    assert!(refused.to_string().contains("loaded again") && refused.to_string().contains("restored"), "{refused}");
    assert_eq!(first.clone().records()?, std::slice::from_ref(&record));
    assert!(first.clone().persist(&[]).is_err(), "a clone is of the life of what it is a clone of");
    second.clone().persist(&[Record::Rounds { reserved: 9 }])
}
