//! Storages that fail: alone, and under one node of a cluster whose other nodes go on.

#![allow(clippy::disallowed_methods, reason = "a write that hangs needs a thread")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use synod::{
    NodeId, Quorums, RestoreError, TxId,
    commit::{
        Cluster, ClusterId, ClusterSpec, Config, Input, Key, Meta, Outcome, Participants, Promised, Record, Time,
        Timeouts, Transaction, Vote,
    },
    perform::{
        Driver, DriverError, Handlers, Progress, RecoverError, Resource, Start, Storage,
        conformance::{self, StorageUnderTest},
        faulty::{Faults, FaultyError, FaultyStorage},
        memory::{MemoryStorage, Network, Port, WriteFailed},
    },
};

type Disk = FaultyStorage<MemoryStorage>;
type Failed = FaultyError<WriteFailed>;

fn rounds(reserved: u64) -> Record {
    Record::Rounds { reserved }
}

fn sequence(reserved: u64) -> Record {
    Record::Sequence { reserved }
}

fn disk() -> (Disk, Faults) {
    let disk = FaultyStorage::new(MemoryStorage::new());
    let faults = disk.faults();
    (disk, faults)
}

#[test]
fn a_full_disk_takes_nothing_until_it_is_freed() {
    let (mut disk, faults) = disk();
    disk.persist(&[rounds(1)]).unwrap();
    faults.fill();
    for _ in 0..3 {
        assert_eq!(disk.persist(&[rounds(2)]), Err(Failed::Full));
    }
    assert_eq!(disk.load().unwrap(), [rounds(1)]);
    faults.free();
    disk.persist(&[rounds(3)]).unwrap();
    assert_eq!(disk.load().unwrap(), [rounds(3)]);
}

#[test]
fn of_a_short_write_the_first_records_are_there() {
    let (mut disk, faults) = disk();
    faults.cut_next_write(1);
    assert_eq!(disk.persist(&[sequence(1), rounds(1)]), Err(Failed::Short { written: 1 }));
    assert_eq!(disk.load().unwrap(), [sequence(1)]);
    disk.persist(&[sequence(2), rounds(2)]).unwrap();
    assert_eq!(disk.load().unwrap(), [sequence(2), rounds(2)]);
}

#[test]
fn a_failed_sync_is_an_error_whether_the_write_is_durable_or_not() {
    let (mut disk, faults) = disk();
    faults.fail_next_sync(false);
    assert_eq!(disk.persist(&[rounds(1)]), Err(Failed::Sync));
    assert_eq!(disk.load().unwrap(), []);
    faults.fail_next_sync(true);
    assert_eq!(disk.persist(&[rounds(1)]), Err(Failed::Sync));
    assert_eq!(disk.load().unwrap(), [rounds(1)]);
}

#[test]
fn damage_is_noticed_or_not_and_can_be_undone() {
    let (mut disk, faults) = disk();
    disk.persist(&[sequence(1), rounds(1)]).unwrap();
    faults.damage();
    assert_eq!(disk.load(), Err(Failed::Damaged));
    faults.repair();
    faults.lose(Key::Rounds);
    faults.change(sequence(7));
    assert_eq!(disk.load().unwrap(), [sequence(7)]);
    faults.repair();
    assert_eq!(disk.load().unwrap(), [sequence(1), rounds(1)]);
}

#[test]
fn a_stalled_write_goes_on_when_it_is_released_unless_its_life_is_over() {
    for is_restored in [false, true] {
        let (mut disk, faults) = disk();
        faults.stall();
        let mut writer = disk.clone();
        let writing = std::thread::spawn(move || writer.persist(&[rounds(1)]));
        while faults.stalled() == 0 {
            std::thread::yield_now();
        }
        assert!(disk.get_ref().is_empty() && !writing.is_finished());
        if is_restored {
            assert_eq!(disk.load().unwrap(), []);
        }
        faults.release();
        assert_eq!(writing.join().unwrap().is_err(), is_restored);
        assert_eq!(disk.load().unwrap().len(), usize::from(!is_restored));
    }
}

/// Faulty storages by name.
#[derive(Default)]
struct Shelf(BTreeMap<String, Disk>);

impl StorageUnderTest for Shelf {
    type Storage = Disk;

    fn open(&mut self, name: &str) -> Result<Disk, Failed> {
        Ok(self.0.entry(name.into()).or_default().clone())
    }

    fn fail_next_write(&mut self, storage: &mut Disk) -> bool {
        storage.faults().cut_next_write(2);
        true
    }
}

#[test]
fn without_orders_it_keeps_the_contract_of_a_storage_and_with_them_that_of_a_failing_one() {
    conformance::storage(&mut Shelf::default()).assert();
}

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// An account: it takes its part of a transfer when that commits. It keeps its books apart from the node.
#[derive(Clone)]
struct Account {
    id: NodeId,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    balance: i64,
    done: BTreeMap<TxId, Outcome>,
}

impl Account {
    fn end(&self, tx: TxId, outcome: Outcome, change: i64) -> Progress {
        let mut books = self.books.lock().unwrap();
        match books.done.insert(tx, outcome) {
            None => books.balance += change,
            Some(before) => assert_eq!(before, outcome, "{tx} ends twice"),
        }
        Progress::Finished
    }
}

impl Resource for Account {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
        // Some transfers do not please.
        Some(if transaction.id().seq.is_multiple_of(7) { Vote::Aborted } else { Vote::Prepared })
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        let amount = i64::from(meta.bytes()[0]);
        // The first participant pays.
        let pays = transaction.participants().first() == Some(&self.id);
        self.end(transaction.id(), Outcome::Committed, if pays { -amount } else { amount })
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.end(transaction.id(), Outcome::Aborted, 0)
    }
}

type Hands = Handlers<Disk, Port, Account>;

struct Member {
    id: NodeId,
    driver: Option<Driver>,
    hands: Hands,
}

struct World {
    cluster: Cluster,
    network: Network,
    members: Vec<Member>,
    now: u64,
    random: u64,
    begun: BTreeSet<TxId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let quorums = Quorums::majority(NODES).unwrap();
        let timeouts = Timeouts::default().with_recover(300).with_inquire(200).with_repeat(100).with_ceiling(1_000);
        let cluster = ClusterSpec::new(ClusterId([3; 16]), quorums, NODES).with_timeouts(timeouts).build().unwrap();
        let (network, begun) = (Network::new(), BTreeSet::new());
        let members = NODES.map(|id| {
            let storage = FaultyStorage::new(MemoryStorage::new());
            let mut hands =
                Handlers { storage, transport: network.port(id), resource: Account { id, books: Arc::default() } };
            let driver = Driver::create(Config::new(cluster.clone(), id, 0), &mut hands).unwrap();
            Member { id, driver: Some(driver), hands }
        });
        Self { cluster, network, members: members.into(), now: 0, random: seed + 1, begun }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Begins a transfer from `from` to `to` at `at`.
    fn transfer(&mut self, at: usize, from: usize, to: usize) {
        let amount = 1 + self.below(99) as u8;
        let participants = Participants::new([NODES[from], NODES[to]]).unwrap();
        if let Some(driver) = &mut self.members[at].driver {
            let _ = driver.push(Input::Begin { participants, meta: [amount].into() });
        }
    }

    /// One turn of everyone. A member whose write fails is gone, and what failed it is returned.
    fn turn(&mut self) -> Vec<(NodeId, Failed)> {
        self.now += 10;
        let mut failed = Vec::new();
        for member in &mut self.members {
            let Some(driver) = &mut member.driver else {
                self.network.lose(member.id);
                continue;
            };
            driver.push(Input::Tick(Time(self.now))).unwrap();
            while let Some((from, messages)) = self.network.receive(member.id) {
                driver.receive(from, &messages);
            }
            if let Err(error) = driver.flush(&mut member.hands) {
                let DriverError::Write(error) = error else { panic!("{error:?}") };
                assert!(driver.is_fenced() && driver.push(Input::Tick(Time(self.now))).is_err());
                failed.push((member.id, error));
                member.driver = None;
            }
        }
        for member in &self.members {
            let names = member.hands.resource.books.lock().unwrap().done.keys().copied().collect::<Vec<_>>();
            self.begun.extend(names);
        }
        failed
    }

    fn restore(&mut self, place: usize) -> Result<(), DriverError<Failed>> {
        let member = &mut self.members[place];
        let config = Config::new(self.cluster.clone(), member.id, self.now);
        member.driver = Some(Driver::open(config, Start::Restore, &mut member.hands)?);
        Ok(())
    }

    /// How many transfers each account has committed.
    fn commits(&self, place: usize) -> usize {
        let books = self.members[place].hands.resource.books.lock().unwrap();
        books.done.values().filter(|outcome| **outcome == Outcome::Committed).count()
    }

    /// Everything that was begun is over, everybody agrees, and no money is lost or made.
    fn check(&mut self) {
        for _ in 0..1_000 {
            self.turn();
        }
        let drivers: Vec<&Driver> = self.members.iter().map(|member| member.driver.as_ref().unwrap()).collect();
        let mut outcomes = BTreeMap::new();
        let mut total = 0;
        for member in &self.members {
            let books = member.hands.resource.books.lock().unwrap();
            total += books.balance;
            for (tx, outcome) in &books.done {
                assert_eq!(outcomes.entry(*tx).or_insert(*outcome), outcome, "{tx}");
            }
        }
        assert_eq!(total, 0);
        for driver in drivers {
            assert_eq!((driver.node().metrics().violations(), driver.node().in_doubt().len()), (0, 0));
            assert!(self.begun.iter().all(|tx| driver.node().status(*tx).is_retired()));
        }
    }
}

/// What goes wrong, and how it is put right.
struct Trouble {
    name: &'static str,
    order: fn(&Faults, u64),
    is_right: fn(&Failed) -> bool,
    mend: fn(&Faults),
}

#[test]
fn a_cluster_goes_on_without_the_member_whose_storage_fails_and_with_it_once_that_is_mended() {
    let troubles = [
        Trouble { name: "full", order: |it, _| it.fill(), is_right: |it| *it == Failed::Full, mend: Faults::free },
        Trouble {
            name: "short",
            order: |it, random| it.cut_next_write(random as usize % 3),
            is_right: |it| matches!(it, Failed::Short { .. }),
            mend: |_| {},
        },
        Trouble {
            name: "no sync, durable",
            order: |it, _| it.fail_next_sync(true),
            is_right: |it| *it == Failed::Sync,
            mend: |_| {},
        },
        Trouble {
            name: "no sync, nothing durable",
            order: |it, _| it.fail_next_sync(false),
            is_right: |it| *it == Failed::Sync,
            mend: |_| {},
        },
        Trouble {
            name: "damaged",
            order: |it, _| (it.fail_next_sync(false), it.damage()).0,
            is_right: |it| *it == Failed::Sync,
            mend: Faults::repair,
        },
    ];
    for (seed, trouble) in (0..20).flat_map(|seed| troubles.iter().map(move |trouble| (seed, trouble))) {
        println!("seed {seed}, {}", trouble.name);
        let mut world = World::new(seed);
        let (place, when) = (world.below(3) as usize, 5 + world.below(40));
        let (others, faults) = ([(place + 1) % 3, (place + 2) % 3], world.members[place].hands.storage.faults());
        let mut failed = false;
        for turn in 0..400 {
            if turn == when {
                let random = world.below(100);
                (trouble.order)(&faults, random);
            }
            if turn % 4 == 0 {
                let (at, from) = (world.below(3) as usize, world.below(3) as usize);
                world.transfer(at, from, (from + 1) % 3);
            }
            if let Some((id, error)) = world.turn().first() {
                assert!(*id == NODES[place] && (trouble.is_right)(error), "{id}: {error:?}");
                failed = true;
                break;
            }
        }
        assert!(failed, "nothing has failed");

        // The others go on: a transfer between them commits.
        let before = world.commits(others[0]);
        for turn in 0..300 {
            if turn % 30 == 0 {
                world.transfer(others[turn % 2], others[0], others[1]);
            }
            assert!(world.turn().is_empty());
        }
        assert!(world.commits(others[0]) > before, "the others do not go on");

        // A damaged storage is not restored from.
        if trouble.name == "damaged" {
            assert!(matches!(world.restore(place), Err(DriverError::Load(Failed::Damaged))));
            faults.repair();
            faults.lose(Key::Identity);
            assert!(matches!(world.restore(place), Err(DriverError::Restore(RestoreError::NoIdentity))));
        }
        (trouble.mend)(&faults);
        world.restore(place).unwrap();
        world.transfer(place, place, others[0]);
        world.check();
    }
}

#[test]
fn a_member_whose_write_hangs_is_restored_and_what_hung_does_not_land_any_more() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let place = world.below(3) as usize;
        let others = [(place + 1) % 3, (place + 2) % 3];
        for _ in 0..10 {
            world.transfer(others[0], place, others[1]);
            world.turn();
        }
        let faults = world.members[place].hands.storage.faults();
        world.transfer(place, place, others[0]);
        let member = &mut world.members[place];
        let mut driver = member.driver.take().unwrap();
        let batch = driver.begin(&mut member.hands).expect("a name is to be reserved");
        faults.stall();
        let mut storage = member.hands.storage.clone();
        let writing = std::thread::spawn(move || storage.persist(batch.records()));
        while faults.stalled() == 0 {
            std::thread::yield_now();
        }
        let before = world.commits(others[0]);
        for turn in 0..200 {
            if turn % 30 == 0 {
                world.transfer(others[0], others[0], others[1]);
            }
            assert!(world.turn().is_empty());
        }
        assert!(world.commits(others[0]) > before, "the others do not go on");
        drop(driver);
        world.restore(place).unwrap();
        let kept = world.members[place].hands.storage.get_ref().records();
        faults.release();
        let late = writing.join().unwrap();
        assert!(matches!(late, Err(Failed::Storage(WriteFailed::EarlierLife(_)))), "{late:?}");
        assert_eq!(world.members[place].hands.storage.get_ref().records(), kept);
        world.check();
    }
}
