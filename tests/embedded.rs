//! An embedded store as a participant: rows and records are one write, whenever a crash comes.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a runtime")]

use std::{
    collections::BTreeMap,
    slice,
    sync::{Arc, Mutex, MutexGuard},
};

use synod::{
    NodeId, Packet, Quorums, TxId,
    commit::{
        Cluster, ClusterId, Config, Input, Key, Message, Meta, Outcome, Participants, Promised, Record,
        ResourceManagerRecord, Time, Transaction, TxRange, Vote,
    },
    perform::{
        Driver, DriverError, Progress, Resource, Storage, Transport,
        conformance::{self, ResourceUnderTest, SceneError, Verdict},
        embedded::{Embedded, Step, Store},
        memory::{Network, Port},
    },
};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const OPENING: i64 = 100;

/// What is durable: rows of amounts, marks of what is promised, and the records.
#[derive(Debug, Default)]
struct Disk {
    balance: i64,
    /// The changes that were made.
    made: Vec<TxId>,
    marks: BTreeMap<TxId, i64>,
    records: BTreeMap<Key, Record>,
    /// How many more writes come to their end.
    until_crash: Option<usize>,
    /// Whether the write that crashes is there all the same, and only its answer is lost.
    lands: bool,
}

/// An account. Its own part in a transfer is the sum at its place.
#[derive(Clone)]
struct Account {
    disk: Arc<Mutex<Disk>>,
    place: usize,
    port: Option<Port>,
    is_broken: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum AccountError {
    #[error("a crash")]
    Crash,
    #[error("the disk cannot be read")]
    Unreadable,
}

impl Account {
    fn new(place: usize) -> Self {
        let disk = Disk { balance: OPENING, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)), place, port: None, is_broken: false }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
}

impl Store for Account {
    type Change = i64;
    type Error = AccountError;

    fn load(&mut self) -> Result<Vec<Record>, AccountError> {
        Ok(self.disk().records.values().cloned().collect())
    }

    fn write(&mut self, records: &[Record], steps: &[Step<'_, i64>]) -> Result<(), AccountError> {
        let mut disk = self.disk();
        let crash = match &mut disk.until_crash {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if crash && !disk.lands {
            return Err(AccountError::Crash);
        }
        for step in steps {
            match *step {
                Step::Release(tx, delta) => assert_eq!(disk.marks.remove(&tx), Some(*delta)),
                Step::Promise(tx, delta) => assert_eq!(disk.marks.insert(tx, *delta), None),
                Step::Commit(tx, delta) => {
                    assert_eq!(disk.marks.remove(&tx), Some(*delta));
                    disk.balance += delta;
                    disk.made.push(tx);
                }
            }
        }
        for record in records {
            if record.is_tombstone() {
                disk.records.remove(&record.key());
            } else {
                disk.records.insert(record.key(), record.clone());
            }
        }
        if crash { Err(AccountError::Crash) } else { Ok(()) }
    }

    fn change(&self, _: &Transaction, meta: &Meta) -> Option<i64> {
        str::from_utf8(meta.bytes()).ok()?.split(' ').nth(self.place)?.parse().ok()
    }

    fn check(&mut self, _: TxId, delta: &i64, promised: &BTreeMap<TxId, i64>) -> Result<bool, AccountError> {
        if self.is_broken {
            return Err(AccountError::Unreadable);
        }
        Ok(self.disk().balance + promised.values().filter(|delta| **delta < 0).sum::<i64>() + delta >= 0)
    }

    fn recover(&mut self, promised: &BTreeMap<TxId, i64>) -> Result<(), AccountError> {
        self.disk().marks.clone_from(promised);
        Ok(())
    }
}

impl Transport for Account {
    fn send(&mut self, packet: Packet<Message>) {
        if let Some(port) = &mut self.port {
            port.send(packet);
        }
    }
}

fn transfer(seq: u64, meta: &str) -> (Transaction, Meta) {
    let meta = Meta::from(meta);
    (Transaction::new(TxId { origin: NodeId(9), seq }, NODES, meta.clone()).unwrap(), meta)
}

fn record(transaction: &Transaction, vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    let transaction = transaction.clone();
    Record::ResourceManager(ResourceManagerRecord { transaction, meta: Some(Meta::default()), vote, finished })
}

fn voted(transaction: &Transaction) -> Record {
    record(transaction, Some(Vote::Prepared), None)
}

/// Three accounts among which there are transfers, one of them killed in a write, and restored.
struct Bank {
    network: Network,
    cluster: Cluster,
    members: Vec<(Driver, Embedded<Account>)>,
    time: u64,
}

impl Bank {
    fn new() -> Self {
        let network = Network::new();
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority(NODES).unwrap(), NODES).unwrap();
        let member = |(place, node): (usize, NodeId)| {
            let account = Account { port: Some(network.port(node)), ..Account::new(place) };
            let mut embedded = Embedded::new(account);
            (Driver::create(Config::new(cluster.clone(), node, 0), &mut embedded).unwrap(), embedded)
        };
        let members = NODES.into_iter().enumerate().map(member).collect();
        Self { members, cluster, network, time: 0 }
    }

    fn begin(&mut self, meta: &str) {
        let participants = Participants::new(NODES).unwrap();
        self.members[1].0.push(Input::Begin { participants, meta: meta.into() }).unwrap();
    }

    /// Lets everyone work until nothing is open. Whoever crashes is restored, and returns how many there were.
    fn work(&mut self) -> usize {
        let mut crashes = 0;
        for _ in 0..10_000 {
            self.time += 50;
            for (place, node) in NODES.into_iter().enumerate() {
                let (driver, embedded) = &mut self.members[place];
                driver.push(Input::Tick(Time(self.time))).unwrap();
                while let Some((from, messages)) = self.network.receive(node) {
                    driver.receive(from, &messages);
                }
                match driver.flush(embedded) {
                    Ok(()) => {}
                    Err(DriverError::Write(AccountError::Crash)) => {
                        crashes += 1;
                        embedded.store().disk().until_crash = None;
                        let mut again = Embedded::new(embedded.store().clone());
                        let config = Config::new(self.cluster.clone(), node, 0);
                        *driver = Driver::restore(config, &mut again).unwrap();
                        *embedded = again;
                        let marks = embedded.store().disk().marks.clone();
                        assert_eq!(*embedded.promised(), marks);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            let is_over = |(driver, _): &(Driver, _)| driver.is_idle() && driver.node().open_transactions().is_empty();
            if self.members.iter().all(is_over) && self.network.in_flight() == 0 {
                return crashes;
            }
        }
        panic!("it comes to no end");
    }

    fn balances(&self) -> Vec<i64> {
        self.members.iter().map(|(_, embedded)| embedded.store().disk().balance).collect()
    }
}

#[test]
fn a_transfer_is_made_once_everywhere_whichever_write_a_crash_comes_in() {
    let mut crashes = 0;
    for (place, lands) in [(0, false), (0, true), (1, false), (1, true)] {
        for until in 0..20 {
            let mut bank = Bank::new();
            {
                let mut disk = bank.members[place].1.store().disk();
                (disk.until_crash, disk.lands) = (Some(until), lands);
            }
            for pair in [["-30 20 10", "-30 10 20"], ["-80 80 0", "10 -20 10"], ["5 5 -10", "-40 0 40"]] {
                pair.into_iter().for_each(|meta| bank.begin(meta));
                crashes += bank.work();
            }
            let balances = bank.balances();
            assert_eq!(balances.iter().sum::<i64>(), 3 * OPENING, "{place} {lands} {until}: {balances:?}");
            assert!(balances.iter().all(|balance| *balance >= 0), "{place} {lands} {until}: {balances:?}");
            for (_, embedded) in &bank.members {
                assert!(embedded.promised().is_empty() && embedded.store().disk().marks.is_empty());
            }
        }
    }
    assert!(crashes > 20, "{crashes}");
}

#[test]
fn a_promise_is_written_with_the_vote_and_a_change_with_the_record_that_it_is_made() {
    let mut account = Embedded::new(Account::new(0));
    let (transaction, meta) = transfer(1, "-30");
    let tx = transaction.id();
    assert_eq!(account.vote(&transaction, &meta), Some(Vote::Prepared));
    assert_eq!(*account.promised(), BTreeMap::from([(tx, -30)]));
    account.persist(&[voted(&transaction)]).unwrap();
    assert_eq!(account.store().disk().marks, BTreeMap::from([(tx, -30)]));
    assert_eq!(account.commit(&transaction, &meta), Progress::Finished);
    // A write that was under way with other records, as another thread may have one, does not make the change.
    account.persist(&[Record::Rounds { reserved: 1 }]).unwrap();
    assert_eq!(account.store().disk().balance, 100);
    let finished = record(&transaction, Some(Vote::Prepared), Some(Outcome::Committed));
    // It makes it if the record is erased in the same write.
    account.persist(&[finished.clone(), Record::Erased(finished.key())]).unwrap();
    assert_eq!(account.store().disk().balance, 70);
    assert!(account.promised().is_empty() && account.store().disk().marks.is_empty());
    // Again, it changes nothing.
    assert_eq!(account.commit(&transaction, &meta), Progress::Finished);
    account.persist(&[finished]).unwrap();
    assert_eq!(account.store().disk().balance, 70);
}

#[test]
fn what_is_promised_is_not_promised_twice_and_free_once_it_is_aborted() {
    let mut account = Embedded::new(Account::new(0));
    let votes = |account: &mut Embedded<Account>, seq| {
        let (transaction, meta) = transfer(seq, "-60");
        account.vote(&transaction, &meta).unwrap()
    };
    let (first, meta) = transfer(1, "-60");
    assert_eq!([1, 1, 2].map(|seq| votes(&mut account, seq)), [Vote::Prepared, Vote::Prepared, Vote::Aborted]);
    account.persist(&[voted(&first)]).unwrap();
    assert_eq!(account.abort(&first, Some(&meta)), Progress::Finished);
    assert_eq!(account.abort(&first, None), Progress::Finished);
    // It is held until the record of that is written, and that alone.
    account.persist(&[Record::Rounds { reserved: 1 }]).unwrap();
    assert_eq!([1, 2].map(|seq| votes(&mut account, seq)), [Vote::Aborted; 2]);
    account.persist(&[record(&first, Some(Vote::Prepared), Some(Outcome::Aborted))]).unwrap();
    assert_eq!(votes(&mut account, 3), Vote::Prepared);
    account.persist(&[Record::Rounds { reserved: 2 }]).unwrap();
    let marked: Vec<u64> = account.store().disk().marks.keys().map(|tx| tx.seq).collect();
    assert_eq!(marked, [3]);
    // A promise that was never written leaves nothing.
    let (third, meta) = transfer(3, "-60");
    let mut account = Embedded::new(Account::new(0));
    account.vote(&third, &meta);
    assert_eq!(account.abort(&third, Some(&meta)), Progress::Finished);
    account.persist(&[Record::Rounds { reserved: 1 }]).unwrap();
    assert!(account.store().disk().marks.is_empty());
}

#[test]
fn what_was_aborted_is_never_promised_again_while_anybody_could_ask() {
    let (transaction, meta) = transfer(5, "-60");
    let tx = transaction.id();
    let aborted = record(&transaction, None, Some(Outcome::Aborted));
    let mut account = Embedded::new(Account::new(0));
    assert_eq!(account.abort(&transaction, None), Progress::Finished);
    assert_eq!(account.vote(&transaction, &meta), Some(Vote::Aborted));
    account.persist(&[aborted]).unwrap();
    // After a restart the records tell.
    let mut account = Embedded::new(account.store().clone());
    account.load().unwrap();
    assert_eq!(account.recover(&[]).unwrap(), []);
    assert_eq!(account.vote(&transaction, &meta), Some(Vote::Aborted));
    for over in [Record::Retired(TxRange::only(tx)), Record::Erased(Key::ResourceManager(tx))] {
        let mut account = Embedded::new(account.store().clone());
        account.load().unwrap();
        account.persist(&[over]).unwrap();
        assert_eq!(account.vote(&transaction, &meta), Some(Vote::Prepared), "nobody remembers it");
    }
}

#[test]
fn what_an_operator_gives_up_is_let_go_of() {
    let (transaction, meta) = transfer(1, "-60");
    let tx = transaction.id();
    for (given_up, is_written) in [
        (Record::Erased(Key::ResourceManager(tx)), true),
        (Record::Retired(TxRange::only(tx)), true),
        (Record::Retired(TxRange::only(tx)), false),
    ] {
        let mut account = Embedded::new(Account::new(0));
        account.vote(&transaction, &meta);
        if is_written {
            account.persist(&[voted(&transaction)]).unwrap();
        }
        account.persist(&[given_up]).unwrap();
        assert!(account.promised().is_empty() && account.store().disk().marks.is_empty());
        assert_eq!(account.store().disk().balance, 100);
    }
}

#[test]
fn a_promise_that_cannot_be_read_any_more_keeps_the_node_from_starting() {
    let (transaction, meta) = transfer(1, "nonsense");
    let mut account = Embedded::new(Account::new(0));
    assert_eq!(account.vote(&transaction, &meta), Some(Vote::Aborted));
    let error = account.recover(&[Promised::new(transaction, meta)]).unwrap_err();
    assert!(error.to_string().starts_with("n9#1 was promised here"), "{error}");
}

#[test]
fn a_store_that_cannot_be_read_votes_to_abort_and_fails_the_next_write() {
    let mut account = Embedded::new(Account::new(0));
    let (transaction, meta) = transfer(1, "-60");
    account.store_mut().is_broken = true;
    assert_eq!(account.vote(&transaction, &meta), Some(Vote::Aborted));
    account.store_mut().is_broken = false;
    assert_eq!(account.vote(&transfer(2, "-1").0, &meta), Some(Vote::Aborted), "it has to be restored");
    assert_eq!(account.persist(&[Record::Rounds { reserved: 1 }]), Err(AccountError::Unreadable));
}

/// Pieces of work, each a payment to the account.
struct Scene(Account);

impl ResourceUnderTest for Scene {
    type Resource = Embedded<Account>;

    fn work(&self, number: u64) -> Promised {
        let (transaction, meta) = transfer(number, "1");
        Promised::new(transaction, meta)
    }

    async fn open(&mut self) -> Result<Embedded<Account>, SceneError> {
        let mut account = Embedded::new(self.0.clone());
        account.load()?;
        Ok(account)
    }

    async fn shows(&mut self, _: &Embedded<Account>, number: u64) -> Result<usize, SceneError> {
        Ok(self.0.disk().made.iter().filter(|tx| tx.seq == number).count())
    }

    async fn holds(&mut self, account: &Embedded<Account>, number: u64) -> Result<Option<bool>, SceneError> {
        let tx = self.work(number).transaction.id();
        assert!(account.promised().contains_key(&tx) || !self.0.disk().marks.contains_key(&tx));
        Ok(Some(account.promised().contains_key(&tx)))
    }

    async fn write(&mut self, account: &mut Embedded<Account>, record: &Record) -> Result<(), SceneError> {
        Ok(account.persist(slice::from_ref(record))?)
    }
}

#[test]
fn an_embedded_store_keeps_the_contract_of_a_resource() {
    let report = conformance::resource(&mut Scene(Account::new(0)));
    report.assert();
    let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
    assert_eq!(skipped.map(|check| check.name).collect::<Vec<_>>(), ["a lost promise is not taken for done"]);
}

#[cfg(feature = "tokio")]
mod tokio_driver {
    use std::{collections::BTreeSet, mem};

    use synod::perform::tokio::{Handle, Options, Start, spawn};

    use super::*;

    #[derive(Clone, Default)]
    struct Wires(Arc<Mutex<BTreeMap<NodeId, Handle>>>);

    struct Way(NodeId, Wires);

    impl Transport for Way {
        fn send(&mut self, packet: Packet<Message>) {
            if let Some(handle) = self.1.0.lock().unwrap().get(&packet.to) {
                handle.deliver(self.0, packet.messages);
            }
        }
    }

    async fn start(accounts: &[Account], how: Start) -> Wires {
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority(NODES).unwrap(), NODES).unwrap();
        let wires = Wires::default();
        for (node, account) in NODES.into_iter().zip(accounts) {
            let (storage, resource) = Embedded::new(account.clone()).split();
            let (config, way) = (Config::new(cluster.clone(), node, node.0), Way(node, wires.clone()));
            let (handle, _task) = spawn(config, how, storage, way, resource, Options::default()).await.unwrap();
            wires.0.lock().unwrap().insert(node, handle);
        }
        wires
    }

    async fn stop(wires: Wires) {
        let handles = mem::take(&mut *wires.0.lock().unwrap());
        for handle in handles.into_values() {
            handle.shutdown().await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_transfers_at_once_are_each_made_once_everywhere_over_a_restart() {
        let accounts = [0, 1, 2].map(Account::new);
        let mut committed = 0;
        for (round, how) in [Start::Create, Start::Restore].into_iter().enumerate() {
            let wires = start(&accounts, how).await;
            let handle = wires.0.lock().unwrap()[&NODES[round]].clone();
            let mut begun = BTreeSet::new();
            for _ in 0..60 {
                begun.insert(handle.begin(NODES, "-2 1 1").await.unwrap());
            }
            for tx in begun {
                committed += i64::from(handle.outcome(tx).await.unwrap() == Outcome::Committed);
            }
            stop(wires).await;
        }
        assert_eq!(committed, OPENING / 2, "what is not there is not spent, and what is there is");
        let balances = accounts.each_ref().map(|account| account.disk().balance);
        assert_eq!(balances, [0, 150, 150]);
        assert!(accounts.iter().all(|account| account.disk().marks.is_empty()));
    }
}
