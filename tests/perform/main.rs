//! The driver and the memory handlers: one write a flush, nothing before it, and nothing after a failed one.

mod resources;

use std::cell::RefCell;

use synod::{
    NodeId, Quorums, Refusal, RestoreError, TxId,
    commit::{
        Cluster, ClusterId, Config, Decision, Input, Key, Message, Meta, Outcome, Participants, Promised, Record,
        ResourceKind, ResourceManagerState, Status, Time, Transaction, TxRange, Vote, What,
    },
    perform::{
        Driver, DriverError, Handlers, Progress, RecoverError, Resource, Storage,
        memory::{MemoryStorage, Network, Port, WriteFailed},
    },
};

const MANAGER: NodeId = NodeId(1);
const BRANCHES: [NodeId; 2] = [NodeId(2), NodeId(3)];
/// How many records a new node has: of its identity, of its epoch, and of its birth.
const BLANK: usize = 3;
const META: &[u8] = b"what it is about";

/// A resource that does as it is told, and remembers what it was asked.
#[derive(Default)]
struct Puppet {
    vote: Option<Vote>,
    commits_later: bool,
    asked: RefCell<Vec<Decision>>,
}

impl Puppet {
    fn voting(vote: Option<Vote>) -> Self {
        Self { vote, ..Self::default() }
    }

    fn note(&self, decision: Decision) {
        self.asked.borrow_mut().push(decision);
    }
}

impl Resource for Puppet {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        self.note(Decision::Vote { transaction: transaction.clone(), meta: meta.clone() });
        self.vote
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.note(Decision::Commit { transaction: transaction.clone(), meta: meta.clone() });
        if self.commits_later { Progress::Later } else { Progress::Finished }
    }

    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.note(Decision::Abort { transaction: transaction.clone(), meta: meta.cloned() });
        Progress::Finished
    }

    fn begun(&mut self, tx: TxId) {
        self.note(Decision::Begun(tx));
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.note(Decision::Decided { tx, outcome });
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        self.note(Decision::Completed { tx, outcome });
    }
}

type Member = (Driver, Handlers<MemoryStorage, Port, Puppet>);

fn config(node: NodeId) -> Config {
    let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([MANAGER]).unwrap(), [MANAGER]).unwrap();
    Config::new(cluster, node, 0)
}

fn handlers(network: &Network, node: NodeId) -> Handlers<MemoryStorage, Port, Puppet> {
    let resource = Puppet::voting(Some(Vote::Prepared));
    Handlers { storage: MemoryStorage::new(), transport: network.port(node), resource }
}

fn member(network: &Network, node: NodeId) -> Member {
    let mut handlers = handlers(network, node);
    (Driver::create(config(node), &mut handlers).unwrap(), handlers)
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: NodeId(9), seq }, BRANCHES, META).unwrap()
}

fn begin_as(seq: u64) -> Input {
    Input::BeginAs { transaction: transaction(seq), meta: META.into() }
}

fn vote(seq: u64) -> Decision {
    Decision::Vote { transaction: transaction(seq), meta: META.into() }
}

fn commit(seq: u64) -> Decision {
    Decision::Commit { transaction: transaction(seq), meta: META.into() }
}

/// Runs until nothing is under way.
fn run(network: &Network, members: &mut [Member]) {
    while members.iter().any(|(driver, _)| !driver.is_idle()) || network.in_flight() > 0 {
        for (driver, handlers) in members.iter_mut() {
            while let Some((from, messages)) = network.receive(driver.node().config().id) {
                driver.receive(from, &messages);
            }
            driver.flush(handlers).unwrap();
        }
    }
}

fn prepare(seq: u64) -> Message {
    Message::about(&transaction(seq), What::prepare(META.into()))
}

/// Handlers in memory go wherever a caller's threads go.
const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<MemoryStorage>();
    shared_between_threads::<Network>();
    shared_between_threads::<Port>();
};

#[test]
fn a_transaction_that_all_can_commit_is_committed_completed_and_forgotten() {
    let network = Network::new();
    let mut members: Vec<_> = [MANAGER, BRANCHES[0], BRANCHES[1]].map(|node| member(&network, node)).into();
    members[0].0.push(begin_as(1)).unwrap();
    run(&network, &mut members);

    let tx = transaction(1).id();
    let [outcome, completed] = [
        Decision::Decided { tx, outcome: Outcome::Committed },
        Decision::Completed { tx, outcome: Outcome::Committed },
    ];
    assert_eq!(*members[0].1.resource.asked.borrow(), [outcome, completed]);
    for (driver, handlers) in &members[1..] {
        let asked = handlers.resource.asked.borrow();
        assert_eq!(*asked, [vote(1), commit(1)]);
        assert!(driver.node().status(tx).is_retired());
        let keys: Vec<Key> = handlers.storage.records().iter().map(Record::key).collect();
        assert_eq!(keys, [Key::Identity, Key::Retired(tx), Key::Birth, Key::Epoch]);
    }
}

#[test]
fn votes_and_outcomes_may_be_answered_later() {
    let network = Network::new();
    let mut members: Vec<_> = [MANAGER, BRANCHES[0], BRANCHES[1]].map(|node| member(&network, node)).into();
    members[2].1.resource = Puppet { vote: None, commits_later: true, ..Puppet::default() };
    members[0].0.push(begin_as(1)).unwrap();
    run(&network, &mut members);

    let tx = transaction(1).id();
    let state = |member: &Member| match member.0.node().status(tx) {
        Status::Open { state, .. } => state,
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&members[1]), Some(ResourceManagerState::Prepared));
    members[2].0.push(Input::Vote { transaction: transaction(1), vote: Vote::Prepared }).unwrap();
    run(&network, &mut members);
    assert_eq!(members[2].1.resource.asked.borrow().last(), Some(&commit(1)));
    assert!(!members[2].0.node().status(tx).is_retired());
    members[2].0.push(Input::Finished(tx)).unwrap();
    run(&network, &mut members);
    assert!(members[2].0.node().status(tx).is_retired());
}

#[test]
fn whatever_is_gathered_between_two_flushes_is_one_write() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    let before = handlers.storage.writes();
    driver.receive(MANAGER, &(1..=50).map(prepare).collect::<Vec<_>>());
    driver.flush(&mut handlers).unwrap();
    assert_eq!(handlers.storage.writes(), before + 1);
    assert_eq!(handlers.storage.len(), BLANK + 50);
    assert_eq!(network.packets(), 1, "fifty votes to one acceptor are one packet");
}

#[test]
fn the_node_goes_on_while_a_batch_is_written_and_what_gathers_is_the_next_one() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    driver.receive(MANAGER, &[prepare(1)]);
    let first = driver.begin(&mut handlers).unwrap();
    driver.receive(MANAGER, &[prepare(2), prepare(3)]);
    assert!(driver.begin(&mut handlers).is_none(), "one batch is out");
    driver.flush(&mut handlers).unwrap();
    assert_eq!((handlers.storage.len(), network.packets()), (BLANK, 0), "nothing more is written, and nothing is sent");

    handlers.storage.persist(first.records()).unwrap();
    driver.finish(first, &mut handlers).unwrap();
    assert_eq!((handlers.storage.len(), network.packets()), (BLANK + 1, 1));
    driver.flush(&mut handlers).unwrap();
    assert_eq!((handlers.storage.len(), network.packets()), (BLANK + 3, 2));
}

#[test]
fn a_batch_is_finished_by_its_own_driver_alone() {
    let network = Network::new();
    let mut members = [BRANCHES[0], BRANCHES[1]].map(|id| member(&network, id));
    let batches = members.each_mut().map(|(driver, handlers)| {
        driver.receive(MANAGER, &[prepare(1)]);
        driver.begin(handlers).unwrap()
    });
    let [(one, of_one), (other, of_other)] = &mut members;
    let [batch, others] = batches;
    let batch = other.finish(batch, of_other).unwrap_err();
    assert_eq!(network.packets(), 0);
    one.finish(batch, of_one).unwrap();
    other.finish(others, of_other).unwrap();
    assert_eq!(network.packets(), 2);
}

#[test]
fn a_batch_that_is_dropped_stops_the_driver() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    driver.receive(MANAGER, &[prepare(1)]);
    drop(driver.begin(&mut handlers).unwrap());
    driver.receive(MANAGER, &[prepare(2)]);
    assert!(driver.begin(&mut handlers).is_none());
    assert!(matches!(driver.flush(&mut handlers), Err(DriverError::Fenced)));
    assert_eq!(network.packets(), 0);
}

#[test]
fn after_a_failed_write_nothing_is_sent_and_nothing_more_is_done() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    handlers.storage.fail_after(1);
    driver.receive(MANAGER, &[prepare(1), prepare(2)]);
    assert!(matches!(driver.flush(&mut handlers), Err(DriverError::Write(WriteFailed::Ordered { written: 1 }))));
    assert!(driver.is_fenced());
    driver.receive(MANAGER, &[prepare(3)]);
    assert_eq!(driver.node().status(transaction(3).id()), Status::Unknown);
    assert!(matches!(driver.flush(&mut handlers), Err(DriverError::Fenced)));
    assert_eq!(network.packets(), 0);

    // What was durable by then is what the restored node knows: the vote that was never sent binds it.
    let restored = Driver::restore(config(BRANCHES[0]), &mut handlers).unwrap();
    assert_eq!(restored.node().in_doubt().len(), 1);
    assert_eq!(restored.node().status(transaction(2).id()), Status::Unknown);
}

#[test]
fn a_driver_restored_from_every_prefix_of_its_writes_reaches_the_same_outcome() {
    for records in 0.. {
        let network = Network::new();
        let mut members: Vec<_> = [MANAGER, BRANCHES[0], BRANCHES[1]].map(|node| member(&network, node)).into();
        members[1].1.storage.fail_after(records);
        let mut crashed = false;
        let tx = transaction(1).id();
        members[0].0.push(begin_as(1)).unwrap();
        for turn in 0..100_000 {
            for (driver, handlers) in &mut members {
                let node = driver.node().config().id;
                while let Some((from, messages)) = network.receive(node) {
                    driver.receive(from, &messages);
                }
                driver.push(Input::Tick(synod::commit::Time(turn * 10))).unwrap();
                if driver.flush(handlers).is_err() {
                    crashed = true;
                    network.lose(node);
                    *driver = Driver::restore(config(node), handlers).unwrap();
                }
            }
            if members.iter().all(|(driver, _)| driver.node().status(tx).is_retired()) {
                break;
            }
        }
        let last = |member: &Member| match member.1.resource.asked.borrow().last() {
            Some(decision) if *decision == commit(1) => Outcome::Committed,
            Some(Decision::Abort { transaction, meta }) => {
                assert!(*transaction == self::transaction(1) && meta.as_ref().is_none_or(|meta| meta.bytes() == META));
                Outcome::Aborted
            }
            other => panic!("{other:?} after {records} records"),
        };
        for (driver, _) in &members {
            assert!(driver.node().status(tx).is_retired(), "after {records} records");
            assert_eq!(driver.node().metrics().violations(), 0);
        }
        assert_eq!(last(&members[1]), last(&members[2]), "after {records} records");
        if !crashed {
            assert!(records > 2, "the branch writes its vote, its outcome, and that all is over");
            break;
        }
    }
}

#[test]
fn a_batch_of_a_dropped_driver_is_refused_once_its_node_is_restored() {
    let mut disk = MemoryStorage::new();
    let network = Network::new();
    let mut first = Driver::create(config(NodeId(2)), &mut disk).unwrap();
    let mut here = handlers(&network, NodeId(2));
    first.receive(NodeId(1), &[prepare(1)]);
    let batch = first.begin(&mut here).unwrap();
    // The disk's thread has the batch, and a handle to the disk.
    let mut thread = disk.clone();
    drop(first);
    let mut second = handlers(&network, NodeId(2));
    second.storage = disk.clone();
    let restored = Driver::restore(config(NodeId(2)), &mut second).unwrap();
    let before = disk.records();
    assert!(matches!(thread.persist(batch.records()), Err(WriteFailed::EarlierLife(_))));
    assert_eq!(disk.records(), before);
    let mut snapshot = restored.node().snapshot();
    snapshot.sort_by_key(Record::key);
    assert_eq!(snapshot, before);
    second.storage.persist(&[Record::Rounds { reserved: 1 }]).unwrap();
}

#[test]
fn storage_that_is_in_use_is_not_created_on_and_blank_storage_is_not_restored() {
    let network = Network::new();
    let (_, mut handlers) = member(&network, BRANCHES[0]);
    assert!(matches!(Driver::create(config(BRANCHES[0]), &mut handlers), Err(DriverError::InUse)));
    assert!(Driver::restore(config(BRANCHES[0]), &mut handlers).is_ok());
    handlers.storage.wipe();
    let restored = Driver::restore(config(BRANCHES[0]), &mut handlers);
    assert!(matches!(restored, Err(DriverError::Restore(RestoreError::NoIdentity))));
}

#[test]
fn who_pushes_an_input_that_is_refused_hears_why() {
    let network = Network::new();
    let (mut driver, _) = member(&network, BRANCHES[0]);
    let unknown = transaction(1).id();
    assert_eq!(driver.push(Input::Finished(unknown)), Err(Refusal::UnknownTransaction));
    assert!(driver.is_idle());
    assert_eq!(driver.node().metrics().refused(Refusal::UnknownTransaction), 1);
}

#[test]
fn a_name_is_told_and_used_once_its_number_is_durably_reserved() {
    let network = Network::new();
    let mut handlers = Handlers {
        storage: MemoryStorage::new(),
        transport: network.port(MANAGER),
        resource: Puppet::voting(Some(Vote::Prepared)),
    };
    let mut driver = Driver::create(config(MANAGER), &mut handlers).unwrap();
    let begin = || Input::Begin { participants: Participants::new(BRANCHES).unwrap(), meta: META.into() };
    driver.push(begin()).unwrap();
    driver.release(&mut handlers);
    assert_eq!((network.packets(), handlers.resource.asked.borrow().len()), (0, 0));
    driver.flush(&mut handlers).unwrap();
    assert!(network.packets() > 0);
    let first = TxId { origin: MANAGER, seq: 1 };
    assert_eq!(*handlers.resource.asked.borrow(), [Decision::Begun(first)]);
    // The next number is reserved already, and waits for no write.
    driver.push(begin()).unwrap();
    driver.release(&mut handlers);
    let second = TxId { seq: 2, ..first };
    assert_eq!(handlers.resource.asked.borrow().last(), Some(&Decision::Begun(second)));

    let mut restored = Driver::restore(config(MANAGER), &mut handlers).unwrap();
    restored.push(begin()).unwrap();
    restored.flush(&mut handlers).unwrap();
    let asked = handlers.resource.asked.borrow();
    assert!(matches!(asked.last(), Some(Decision::Begun(tx)) if *tx > second), "{asked:?}");
}

#[test]
fn what_rests_on_nothing_unwritten_leaves_while_a_batch_is_out() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, MANAGER);
    let begin = |participants: [NodeId; 1]| Input::Begin {
        participants: Participants::new(participants).unwrap(),
        meta: META.into(),
    };
    driver.push(begin([BRANCHES[0]])).unwrap();
    driver.flush(&mut handlers).unwrap();
    while network.receive(BRANCHES[0]).is_some() {}
    // Node 2 votes to commit: the acceptor here writes that.
    let tx = TxId { origin: MANAGER, seq: 1 };
    let about = Transaction::new(tx, [BRANCHES[0]], META).unwrap();
    let voted = Message::about(&about, What::Vote { vote: Vote::Prepared, manager: MANAGER });
    driver.receive(BRANCHES[0], &[voted]);
    assert!(driver.is_urgent() && driver.has_records());
    let batch = driver.begin(&mut handlers).unwrap();
    assert!(!driver.is_urgent() && !driver.has_records());
    assert!(!driver.is_durable(driver.node().scope(tx)));

    driver.push(begin([BRANCHES[1]])).unwrap();
    driver.release(&mut handlers);
    assert!(network.receive(BRANCHES[1]).is_some(), "it rests on nothing that is being written");
    assert!(network.receive(BRANCHES[0]).is_none(), "this does");
    assert!(!handlers.resource.asked.borrow().iter().any(|asked| matches!(asked, Decision::Decided { .. })));

    handlers.storage.persist(batch.records()).unwrap();
    driver.finish(batch, &mut handlers).unwrap();
    assert!(driver.is_durable(driver.node().scope(tx)));
    assert!(network.receive(BRANCHES[0]).is_some());
    let decided = Decision::Decided { tx, outcome: Outcome::Committed };
    assert!(handlers.resource.asked.borrow().contains(&decided));
}

#[test]
fn a_record_that_nobody_waits_for_is_not_urgent_and_goes_with_the_next_flush() {
    let network = Network::new();
    let mut members: Vec<_> = [MANAGER, BRANCHES[0], BRANCHES[1]].map(|node| member(&network, node)).into();
    members[1].1.resource.commits_later = true;
    members[0].0.push(begin_as(1)).unwrap();
    run(&network, &mut members);
    let (driver, handlers) = &mut members[1];
    driver.push(Input::Finished(transaction(1).id())).unwrap();
    driver.release(handlers);
    assert!(driver.has_records() && !driver.is_urgent());
    assert_eq!(network.in_flight(), 0, "that it has finished is not durable yet");
    driver.receive(MANAGER, &[prepare(2)]);
    driver.release(handlers);
    assert!(driver.is_urgent());
    let before = handlers.storage.writes();
    driver.flush(handlers).unwrap();
    assert_eq!(handlers.storage.writes(), before + 1);
    assert!(!driver.has_records() && network.in_flight() > 0);
}

#[test]
fn a_network_loses_what_is_sent_to_and_from_a_node_that_is_cut_off() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    network.cut_off(MANAGER);
    driver.receive(MANAGER, &[prepare(1)]);
    driver.flush(&mut handlers).unwrap();
    assert_eq!((network.packets(), network.in_flight()), (1, 0));
    network.reconnect(MANAGER);
    driver.receive(MANAGER, &[prepare(2)]);
    driver.flush(&mut handlers).unwrap();
    let (from, messages) = network.receive(MANAGER).unwrap();
    assert_eq!((from, messages.len()), (BRANCHES[0], 1));
}
