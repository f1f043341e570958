//! The conformance suites: our own handlers pass them, and each check finds the fault that it is there for.

#![allow(clippy::disallowed_methods, reason = "a transport that waits")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use synod::{
    NodeId, Packet,
    commit::{Key, Message, Record, ResourceManagerRecord, TxRange, Vote, What},
    perform::{
        Storage, Transport,
        conformance::{self, Report, StorageUnderTest, TransportUnderTest, Verdict},
        fjall::{FjallError, FjallStorage, KEYSPACE},
        memory::{MemoryStorage, Network, WriteFailed},
    },
};

/// Stores in memory, by name, with a fault.
#[derive(Default)]
struct Shelf {
    stores: BTreeMap<String, MemoryStorage>,
    fault: StorageFault,
}

/// What can be wrong with a storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StorageFault {
    #[default]
    None,
    Stained,
    Misreads,
    Unsynced,
    HalfBatch,
    FirstWins,
    Reorders,
    TellsHistory,
    NoTombstones,
    TombstonesFirst,
    MissesWhatIsGone,
    OriginsMixed,
    LosesHighBits,
    CutsOff,
    Crowded,
    EmptyIsAnError,
    OneForAll,
    Weary,
    LetsTheDeadWrite,
    NoThreesomes,
    SwallowsErrors,
    LeavesHoles,
}

/// A storage with a fault.
struct Faulty {
    disk: MemoryStorage,
    fault: StorageFault,
    /// What was written last, if it is not on the disk yet.
    unsynced: Vec<Record>,
    /// All that was ever written.
    history: Vec<Record>,
    batches: usize,
    fails: bool,
}

impl StorageUnderTest for Shelf {
    type Storage = Faulty;

    fn open(&mut self, name: &str) -> Result<Faulty, WriteFailed> {
        let name = if self.fault == StorageFault::OneForAll { "" } else { name };
        let disk = self.stores.entry(name.into()).or_insert_with(|| {
            let stain = (self.fault == StorageFault::Stained).then_some(Record::Rounds { reserved: 1 });
            MemoryStorage::with_records(stain)
        });
        let (unsynced, history) = Default::default();
        Ok(Faulty { disk: disk.clone(), fault: self.fault, unsynced, history, batches: 0, fails: false })
    }

    fn fail_next_write(&mut self, storage: &mut Faulty) -> bool {
        storage.fails = true;
        storage.disk.fail_after(2);
        true
    }
}

impl Storage for Faulty {
    type Error = WriteFailed;

    fn load(&mut self) -> Result<Vec<Record>, WriteFailed> {
        match self.fault {
            StorageFault::TellsHistory if !self.history.is_empty() => Ok(self.history.clone()),
            StorageFault::Misreads => Ok(self.disk.load()?.into_iter().skip(1).collect()),
            _ => Ok(self.disk.load()?.into_iter().chain(self.unsynced.clone()).collect()),
        }
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), WriteFailed> {
        let mut batch = records.to_vec();
        self.batches += 1;
        self.history.extend(batch.iter().cloned());
        match self.fault {
            StorageFault::Unsynced => std::mem::swap(&mut batch, &mut self.unsynced),
            StorageFault::HalfBatch => batch.truncate(1_000),
            StorageFault::FirstWins => {
                let taken = self.keys();
                batch.retain(|record| record.is_tombstone() || !taken.contains(&record.key()));
            }
            StorageFault::Reorders => batch.reverse(),
            StorageFault::NoTombstones => batch.retain(|record| !record.is_tombstone()),
            StorageFault::TombstonesFirst => batch.sort_by_key(|record| !record.is_tombstone()),
            StorageFault::MissesWhatIsGone => {
                let mut known = self.keys();
                known.extend(batch.iter().filter(|record| !record.is_tombstone()).map(Record::key));
                if batch.iter().any(|record| !known.contains(&record.key())) {
                    return Err(WriteFailed::Ordered { written: 0 });
                }
            }
            StorageFault::OriginsMixed => batch.iter_mut().for_each(|record| {
                if let Record::Retired(range) = record {
                    let last = range.last().seq;
                    *range = TxRange::new(NodeId(range.origin().0 % 256), range.first().seq, last).unwrap();
                }
            }),
            StorageFault::LosesHighBits => batch.iter_mut().for_each(|record| {
                if let Record::Sequence { reserved } = record {
                    *reserved &= u64::MAX >> 1;
                }
            }),
            StorageFault::CutsOff => batch.iter_mut().for_each(|record| {
                if let Record::ResourceManager(ResourceManagerRecord { meta: Some(meta), .. }) = record {
                    *meta = meta.bytes()[..meta.bytes().len().min(1 << 16)].into();
                }
            }),
            StorageFault::Crowded => batch.truncate(9_000_usize.saturating_sub(self.disk.len())),
            StorageFault::EmptyIsAnError if batch.is_empty() => return Err(WriteFailed::Ordered { written: 0 }),
            StorageFault::Weary if self.batches.is_multiple_of(16) => batch.clear(),
            StorageFault::NoThreesomes => batch.retain(|record| {
                !matches!(record, Record::ResourceManager(record) if record.transaction.participants().len() == 3)
            }),
            // A handle that is loaded is of the last life.
            StorageFault::LetsTheDeadWrite => drop(self.disk.load()?),
            StorageFault::LeavesHoles if self.fails => batch.swap(0, 2),
            _ => {}
        }
        match self.disk.persist(&batch) {
            Err(WriteFailed::Ordered { .. }) if self.fault == StorageFault::SwallowsErrors => Ok(()),
            result => result,
        }
    }
}

impl Faulty {
    fn keys(&self) -> BTreeSet<Key> {
        self.disk.records().iter().map(Record::key).collect()
    }
}

fn first_failure(report: &Report) -> Option<&'static str> {
    report.failures().next().map(|check| check.name)
}

#[test]
fn each_check_of_a_storage_is_the_first_to_find_a_fault() {
    let faults = [
        (StorageFault::Stained, "a new store is blank"),
        (StorageFault::Misreads, "what was persisted is there"),
        (StorageFault::OneForAll, "stores are kept apart"),
        (StorageFault::Unsynced, "a write is durable when it returns"),
        (StorageFault::HalfBatch, "a batch is there as a whole"),
        (StorageFault::FirstWins, "the last record of a key is the truth"),
        (StorageFault::Reorders, "order within a batch counts"),
        (StorageFault::TellsHistory, "a key has one record"),
        (StorageFault::NoTombstones, "a tombstone erases"),
        (StorageFault::TombstonesFirst, "a tombstone counts in its place"),
        (StorageFault::MissesWhatIsGone, "what is not there can be erased"),
        (StorageFault::OriginsMixed, "keys are kept apart"),
        (StorageFault::LosesHighBits, "records come back unchanged"),
        (StorageFault::CutsOff, "a large record comes back"),
        (StorageFault::Crowded, "many records come back"),
        (StorageFault::EmptyIsAnError, "an empty batch changes nothing"),
        (StorageFault::Weary, "any batches have their effect"),
        (StorageFault::LetsTheDeadWrite, "a write of an earlier life is refused"),
        (StorageFault::NoThreesomes, "a node can live on it"),
        (StorageFault::SwallowsErrors, "a failed write is reported"),
        (StorageFault::LeavesHoles, "of a failed write a prefix is there"),
    ];
    let report = conformance::storage(&mut Shelf::default());
    report.assert();
    let names: Vec<_> = report.checks().iter().map(|check| check.name).collect();
    assert_eq!(names, faults.map(|(_, name)| name), "every check has its fault");
    for (fault, name) in faults {
        let report = conformance::storage(&mut Shelf { fault, ..Shelf::default() });
        assert_eq!(first_failure(&report), Some(name), "{fault:?}: {report}");
    }
}

#[test]
fn a_storage_of_which_no_write_can_be_made_to_fail_passes_without_those_checks() {
    let mut stores = BTreeMap::<String, MemoryStorage>::new();
    let mut open = |name: &str| Ok::<_, WriteFailed>(stores.entry(name.into()).or_default().clone());
    let report = conformance::storage(&mut open);
    report.assert();
    let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
    assert_eq!(skipped.count(), 2);
}

/// fjall databases in a folder. A crash leaves what is in their files while they are still open.
struct Databases {
    folder: PathBuf,
    crashes: BTreeMap<String, u32>,
}

impl Databases {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{}", self.crashes.get(name).copied().unwrap_or_default()))
    }
}

impl StorageUnderTest for Databases {
    type Storage = FjallStorage;

    fn open(&mut self, name: &str) -> Result<FjallStorage, FjallError> {
        FjallStorage::open(self.path(name))
    }

    fn open_again(&mut self, _: &str, storage: &mut FjallStorage) -> Option<FjallStorage> {
        FjallStorage::within(storage.database().clone(), KEYSPACE).ok()
    }

    fn crash(&mut self, name: &str, storage: FjallStorage) {
        let before = self.path(name);
        *self.crashes.entry(name.into()).or_default() += 1;
        copy(&before, &self.path(name)).unwrap();
        drop(storage);
        fs::remove_dir_all(before).unwrap();
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn fjall_keeps_the_contract_of_a_storage_through_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let report = conformance::storage(&mut Databases { folder: folder.path().into(), crashes: BTreeMap::new() });
    println!("{report}");
    report.assert();
}

#[test]
fn a_report_says_what_the_contract_is_and_what_was_found() {
    let fault = StorageFault::NoTombstones;
    let report = conformance::storage(&mut Shelf { fault, ..Shelf::default() }).to_string();
    for line in [
        "  passed   what was persisted is there\n",
        "  FAILED   a tombstone erases\n",
        "           the contract: after a tombstone its key has no record",
        "           found: Identity {",
    ] {
        assert!(report.contains(line), "{report}");
    }
}

#[test]
#[should_panic(expected = "FAILED   a write is durable when it returns")]
fn to_assert_a_report_with_a_failure_is_to_panic_with_it() {
    conformance::storage(&mut Shelf { fault: StorageFault::Unsynced, ..Shelf::default() }).assert();
}

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(7)];

/// The network in memory, with a fault.
#[derive(Default)]
struct Wire {
    network: Network,
    fault: WireFault,
    /// How many packets were sent.
    count: usize,
    broken: bool,
}

/// What can be wrong with a transport, or unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WireFault {
    #[default]
    None,
    Unreliable,
    ToEveryone,
    Forges,
    FlipsVotes,
    Reverses,
    NeverRetires,
    ShortPackets,
    ShortMessages,
    BreaksOnNobody,
    Blocks,
    Jams,
}

impl TransportUnderTest for Wire {
    fn nodes(&self) -> Vec<NodeId> {
        NODES.into()
    }

    fn send(&mut self, from: NodeId, mut packet: Packet<Message>) {
        self.count += 1;
        let mut port = self.network.port(if self.fault == WireFault::Forges { NODES[0] } else { from });
        match self.fault {
            WireFault::Unreliable => {
                // Of three packets one is lost, one is delivered twice, and one in pieces.
                match self.count % 3 {
                    0 => {}
                    1 => [packet.clone(), packet].into_iter().for_each(|packet| port.send(packet)),
                    _ => packet.messages.chunks(2).rev().for_each(|piece| {
                        port.send(Packet { to: packet.to, messages: piece.to_vec() });
                    }),
                }
                return;
            }
            WireFault::ToEveryone => {
                let others = NODES.into_iter().filter(|node| *node != packet.to);
                others.for_each(|to| port.send(Packet { to, messages: packet.messages.clone() }));
            }
            WireFault::FlipsVotes => packet.messages.iter_mut().for_each(|message| {
                if let Message::About { what: What::Vote { vote, .. }, .. } = message {
                    *vote = Vote::Aborted;
                }
            }),
            WireFault::Reverses => packet.messages.reverse(),
            WireFault::NeverRetires => packet.messages.retain(|message| !matches!(message, Message::Retired { .. })),
            WireFault::ShortPackets => packet.messages.truncate(100),
            WireFault::ShortMessages => packet.messages.retain(|message| match message {
                Message::About { what: What::Begin { meta } | What::Prepare { meta, .. }, .. } => {
                    meta.bytes().len() < 1_400
                }
                _ => true,
            }),
            WireFault::BreaksOnNobody => self.broken |= !NODES.contains(&packet.to),
            WireFault::Blocks if self.network.in_flight() > 100 => std::thread::sleep(Duration::from_millis(5)),
            WireFault::Jams => self.broken |= self.network.in_flight() > 100,
            _ => {}
        }
        if !self.broken {
            port.send(packet);
        }
    }

    fn receive(&mut self, at: NodeId, _: Duration) -> Option<(NodeId, Vec<Message>)> {
        // Nothing that is not here already will come.
        self.network.receive(at)
    }

    fn patience(&self) -> Duration {
        // No longer than it takes to see that nothing more will come.
        let passes = matches!(self.fault, WireFault::None | WireFault::Unreliable);
        Duration::from_millis(if passes { 10_000 } else { 500 })
    }
}

#[test]
fn each_check_of_a_transport_is_the_first_to_find_a_fault() {
    let faults = [
        (WireFault::ToEveryone, "a packet comes to whom it names"),
        (WireFault::Forges, "its sender is who it is from"),
        (WireFault::FlipsVotes, "messages come unchanged"),
        (WireFault::Reverses, "messages of a packet keep their order"),
        (WireFault::NeverRetires, "what is said again and again arrives"),
        (WireFault::ShortPackets, "a packet of many messages arrives"),
        (WireFault::ShortMessages, "a long message arrives"),
        (WireFault::BreaksOnNobody, "a packet to nobody is lost, and nothing else"),
        (WireFault::Blocks, "to send does not wait"),
        (WireFault::Jams, "to send does not wait"),
    ];
    let report = conformance::transport(&mut Wire::default());
    report.assert();
    let names: BTreeSet<_> = report.checks().iter().map(|check| check.name).collect();
    assert_eq!(names, faults.iter().map(|(_, name)| *name).collect(), "every check has its fault");
    for (fault, name) in faults {
        let report = conformance::transport(&mut Wire { fault, ..Wire::default() });
        assert_eq!(first_failure(&report), Some(name), "{fault:?}: {report}");
    }
}

#[test]
fn a_transport_may_lose_repeat_and_take_apart_as_long_as_what_is_repeated_arrives() {
    conformance::transport(&mut Wire { fault: WireFault::Unreliable, ..Wire::default() }).assert();
}

/// Threads with a delay between any two nodes: what is sent arrives later, and not in order.
struct Delayed {
    inboxes: BTreeMap<NodeId, (Sender<Delivery>, Receiver<Delivery>)>,
    count: u64,
}

type Delivery = (NodeId, Vec<Message>);

impl TransportUnderTest for Delayed {
    fn nodes(&self) -> Vec<NodeId> {
        self.inboxes.keys().copied().collect()
    }

    fn send(&mut self, from: NodeId, packet: Packet<Message>) {
        let Some((inbox, _)) = self.inboxes.get(&packet.to) else { return };
        self.count += 1;
        let (inbox, delay) = (inbox.clone(), Duration::from_millis(self.count % 7));
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            let _ = inbox.send((from, packet.messages));
        });
    }

    fn receive(&mut self, at: NodeId, patience: Duration) -> Option<Delivery> {
        self.inboxes[&at].1.recv_timeout(patience).ok()
    }
}

#[test]
fn a_transport_that_works_in_the_background_is_waited_for() {
    let inboxes = NODES.into_iter().map(|node| (node, channel())).collect();
    conformance::transport(&mut Delayed { inboxes, count: 0 }).assert();
}

#[test]
fn a_single_node_is_no_transport() {
    let inboxes = [(NODES[0], channel())].into();
    let report = conformance::transport(&mut Delayed { inboxes, count: 0 });
    assert_eq!(first_failure(&report), Some("what is said again and again arrives"), "{report}");
}
