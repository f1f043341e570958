//! Whether a storage keeps the contract of [`Storage`].

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, Verdict, report::shown};
use crate::{
    Ballot, NodeId, Quorums, TxId,
    commit::{
        AcceptorRecord, Cluster, ClusterId, Config, HigherInstance, Input, Key, Meta, Outcome, Promised, Record,
        ResourceManagerRecord, Time, Transaction, TxRange, Vote, Votes, mix,
    },
    paxos,
    perform::{
        Driver, Handlers, RecoverError, Resource, Start, Storage,
        memory::{MemoryStorage, Network},
    },
};

/// A storage to be tested, as something that opens stores by name.
///
/// A closure from a name to a storage is one. Names are the same in every run: start with an empty folder.
///
/// See the [module](super) for an example.
pub trait StorageUnderTest {
    /// The storage.
    type Storage: Storage;

    /// Opens the store `name`: a blank one if it was never opened before, otherwise with all that is durable in it.
    fn open(&mut self, name: &str) -> Result<Self::Storage, <Self::Storage as Storage>::Error>;

    /// Opens the store `name` again, as a node does that is restored in the same process while `storage`, another handle
    /// to the same store, is still around in a thread that has not heard of it. Returns nothing if a store cannot be open
    /// twice at once; then it is not tried whether it refuses writes of an earlier life.
    ///
    /// Unless given, this is [`open`](Self::open), and an error of that says that it cannot be.
    fn open_again(&mut self, name: &str, storage: &mut Self::Storage) -> Option<Self::Storage> {
        let _ = storage;
        self.open(name).ok()
    }

    /// Ends the process that has the store `name` open, as a crash would: only what is durable may be there when it is
    /// opened again. Unless given, this drops `storage`. Give it if `storage` may write something when it is dropped.
    fn crash(&mut self, name: &str, storage: Self::Storage) {
        let _ = name;
        drop(storage);
    }

    /// Lets the next write to `storage`, of three records, fail in its middle or anywhere else, and returns true; or
    /// returns false if it has no way to do so, as it does unless given. Then what a failed write does is not checked.
    fn fail_next_write(&mut self, storage: &mut Self::Storage) -> bool {
        let _ = storage;
        false
    }
}

impl<F, S> StorageUnderTest for F
where
    F: FnMut(&str) -> Result<S, S::Error>,
    S: Storage,
{
    type Storage = S;

    fn open(&mut self, name: &str) -> Result<S, S::Error> {
        self(name)
    }
}

/// Puts a storage through all that a node relies on.
pub fn storage<U: StorageUnderTest>(subject: &mut U) -> Report {
    let mut report = Report::new("storage");
    for (number, (name, contract, check)) in checks::<U>().into_iter().enumerate() {
        let store = format!("store-{number}");
        report.add(name, contract, check(&mut Bench { subject, name: store }));
    }
    report
}

type Check<U> = fn(&mut Bench<'_, U>) -> Verdict;
/// What should be in a store.
type Model = BTreeMap<Key, Record>;

/// A store on the bench.
struct Bench<'a, U> {
    subject: &'a mut U,
    name: String,
}

#[rustfmt::skip]
fn checks<U: StorageUnderTest>() -> Vec<(&'static str, &'static str, Check<U>)> {
    vec![
        ("a new store is blank",
         "a store that was never written to has no records: by that a new node is told from one that was a member",
         |bench| bench.blank().into()),
        ("what was persisted is there",
         "`load` yields every record that was persisted, and nothing else",
         |bench| bench.read_back().into()),
        ("stores are kept apart",
         "what is written to one store is in no other",
         |bench| bench.two_stores().into()),
        ("a write is durable when it returns",
         "when `persist` returns `Ok`, no crash can undo it: the node speaks of it right after",
         |bench| bench.durable().into()),
        ("a batch is there as a whole",
         "`persist` makes all of its records durable, however many they are",
         |bench| bench.batches([(0..2_000).map(|seq| acceptor(tx(seq), 1)).collect()]).into()),
        ("the last record of a key is the truth",
         "records are whole: a later one of the same key replaces the earlier one",
         |bench| bench.batches([1, 2, 3].map(|round| vec![Record::Rounds { reserved: round }, acceptor(tx(1), round)])).into()),
        ("order within a batch counts",
         "of several records of one key in a batch, the last one is the truth",
         |bench| bench.batches([in_one_batch()]).into()),
        ("a key has one record",
         "`load` yields the last record of each key, and no earlier one",
         |bench| bench.one_record_per_key().into()),
        ("a tombstone erases",
         "after a tombstone its key has no record: otherwise what a node keeps grows with its history",
         |bench| bench.batches([some_records(), some_records().iter().step_by(2).map(erased).collect()]).into()),
        ("a tombstone counts in its place",
         "a tombstone erases what comes before it in its batch, and not what comes after",
         |bench| bench.batches(around_a_tombstone()).into()),
        ("what is not there can be erased",
         "a tombstone of a key that has no record does nothing: nodes write such after a torn write",
         |bench| bench.batches([vec![erased(&acceptor(tx(7), 1))], some_records(), vec![erased(&acceptor(tx(7), 1))]]).into()),
        ("keys are kept apart",
         "records of different keys do not replace each other, however alike the keys are",
         |bench| bench.batches([alike()]).into()),
        ("records come back unchanged",
         "every bit of a record counts",
         |bench| bench.batches([extreme()]).into()),
        ("a large record comes back",
         "a record may have as many participants and as much content as the limits of the cluster let in; here a thousand, \
          and a megabyte",
         |bench| bench.batches([large().into()]).into()),
        ("many records come back",
         "a store holds as many records as there are open transactions; here ten thousand, of which half are erased again",
         |bench| bench.batches(many()).into()),
        ("an empty batch changes nothing",
         "`persist` of no records succeeds",
         |bench| bench.batches([some_records(), vec![], vec![]]).into()),
        ("any batches have their effect",
         "all of the above, for two hundred batches made at random, with crashes between them",
         |bench| bench.at_random().into()),
        ("a write of an earlier life is refused",
         "once a store is loaded again, whoever had it before can write no more: a batch that is late would undo what \
          the restored node has promised",
         |bench| bench.earlier_life()),
        ("a node can live on it",
         "a node that is restored after each of its writes is the node that wrote them, and its transactions end",
         |bench| bench.life().into()),
        ("a failed write is reported",
         "when `persist` could not make all of its records durable, it returns an error: on `Ok` the node speaks of them",
         |bench| bench.failed_write(|_, reported, _| {
             if reported { Ok(()) } else { Err("the write failed, and `persist` returned `Ok`".into()) }
         })),
        ("of a failed write a prefix is there",
         "records reach the store in order: what retires a transaction comes before what erases it",
         |bench| bench.failed_write(|before, _, after| is_prefix(before, after))),
    ]
}

impl<U: StorageUnderTest> Bench<'_, U> {
    /// Opens the store, and loads it, as a driver does before anything else.
    fn open(&mut self) -> Result<U::Storage, String> {
        let opened = self.subject.open(&self.name);
        let mut storage = opened.map_err(|error| format!("the store cannot be opened: {}", told(&error)))?;
        load(&mut storage)?;
        Ok(storage)
    }

    /// Crashes the process that has the store open, and opens it again.
    fn reopen(&mut self, storage: U::Storage) -> Result<U::Storage, String> {
        self.subject.crash(&self.name, storage);
        self.open()
    }

    fn blank(&mut self) -> Result<(), String> {
        let mut storage = self.open()?;
        expect(&mut storage, &Model::new())?;
        let mut storage = self.reopen(storage)?;
        expect(&mut storage, &Model::new()).map_err(after_crash)
    }

    fn read_back(&mut self) -> Result<(), String> {
        let (mut storage, mut model) = (self.open()?, Model::new());
        write(&mut storage, &mut model, &some_records())?;
        expect(&mut storage, &model)
    }

    /// After each of these batches the store has what it should have; and so it has after a crash.
    fn batches(&mut self, batches: impl IntoIterator<Item = Vec<Record>>) -> Result<(), String> {
        let (mut storage, mut model) = (self.open()?, Model::new());
        for batch in batches {
            write(&mut storage, &mut model, &batch)?;
            expect(&mut storage, &model)?;
        }
        let mut storage = self.reopen(storage)?;
        expect(&mut storage, &model).map_err(after_crash)
    }

    fn durable(&mut self) -> Result<(), String> {
        let (mut storage, mut model) = (self.open()?, Model::new());
        for round in 1..=8 {
            write(&mut storage, &mut model, &[acceptor(tx(round), 1), resource_manager(tx(round), None)])?;
            storage = self.reopen(storage)?;
            expect(&mut storage, &model).map_err(after_crash)?;
        }
        Ok(())
    }

    fn one_record_per_key(&mut self) -> Result<(), String> {
        let mut storage = self.open()?;
        for round in 1..=3 {
            write(&mut storage, &mut Model::new(), &[Record::Rounds { reserved: round }, acceptor(tx(1), round)])?;
        }
        let mut keys = BTreeSet::new();
        match load(&mut storage)?.into_iter().find(|record| !keys.insert(record.key())) {
            None => Ok(()),
            Some(record) => Err(format!("`load` yields more than one record of {:?}", record.key())),
        }
    }

    fn two_stores(&mut self) -> Result<(), String> {
        let mut other = Bench { subject: &mut *self.subject, name: format!("{}-other", self.name) };
        let (mut there, mut theirs) = (other.open()?, Model::new());
        let (mut here, mut ours) = (self.open()?, Model::new());
        write(&mut there, &mut theirs, &some_records())?;
        expect(&mut here, &ours)?;
        write(&mut here, &mut ours, &[acceptor(tx(1), 8), acceptor(tx(8), 8)])?;
        expect(&mut there, &theirs)?;
        expect(&mut here, &ours)
    }

    fn at_random(&mut self) -> Result<(), String> {
        let (mut storage, mut model) = (self.open()?, Model::new());
        let mut state = 0;
        let mut below = |bound: u64| {
            state = mix(state);
            state % bound
        };
        for _ in 0..200 {
            let batch: Vec<Record> = (0..below(12)).map(|_| arbitrary(&mut below)).collect();
            write(&mut storage, &mut model, &batch)?;
            if below(4) == 0 {
                storage = self.reopen(storage)?;
            }
            expect(&mut storage, &model).map_err(|found| format!("after {}: {found}", shown(&batch)))?;
        }
        Ok(())
    }

    /// Two handles to one store: when the second is loaded, the first has had its time.
    fn earlier_life(&mut self) -> Verdict {
        let mut run = || {
            let (mut late, mut model) = (self.open()?, Model::new());
            expect(&mut late, &model)?;
            write(&mut late, &mut model, &[Record::Rounds { reserved: 1 }, acceptor(tx(1), 1)])?;
            let Some(mut storage) = self.subject.open_again(&self.name, &mut late) else { return Ok(None) };
            expect(&mut storage, &model)?;
            write(&mut storage, &mut model, &[acceptor(tx(1), 2)])?;
            let batch = [acceptor(tx(1), 1), acceptor(tx(2), 1)];
            if late.persist(&batch).is_ok() {
                return Err(format!("the store was loaded again, and a late write of {} succeeds", shown(&batch)));
            }
            // Nothing of it is there, and the new life goes on.
            write(&mut storage, &mut model, &[resource_manager(tx(3), None)])?;
            expect(&mut storage, &model)?;
            drop(late);
            let mut storage = self.reopen(storage)?;
            expect(&mut storage, &model).map_err(after_crash).map(Some)
        };
        match run() {
            Ok(Some(())) => Verdict::Passed,
            Ok(None) => Verdict::Skipped("a store cannot be open twice at once"),
            Err(found) => Verdict::Failed(found),
        }
    }

    /// Three nodes of which the first has its records here, and is restored after each of its writes.
    fn life(&mut self) -> Result<(), String> {
        let network = Network::new();
        let nodes = [1, 2, 3].map(NodeId);
        let cluster = Quorums::majority(nodes).ok().and_then(|all| Cluster::new(ClusterId([1; 16]), all, nodes).ok());
        let cluster = cluster.ok_or("three nodes make no cluster")?;
        let config = |node| Config::new(cluster.clone(), node, 0);
        let port = |node| network.port(node);
        let failed = |error: &dyn core::error::Error| told(error);

        let mut here = Handlers { storage: self.open()?, transport: port(nodes[0]), resource: Yes };
        let mut first = Driver::open(config(nodes[0]), Start::Create, &mut here).map_err(|error| failed(&error))?;
        let mut others = Vec::new();
        for node in [nodes[1], nodes[2]] {
            let mut handlers = Handlers { storage: MemoryStorage::new(), transport: port(node), resource: Yes };
            let driver = Driver::open(config(node), Start::Create, &mut handlers).map_err(|error| failed(&error))?;
            others.push((driver, handlers));
        }
        let txs = [1, 2, 3].map(|seq| TxId { origin: NodeId(9), seq });
        for tx in txs {
            let meta = Meta::from(b"life");
            let transaction = Transaction::new(tx, nodes, meta.clone()).map_err(|error| failed(&error))?;
            others[0].0.push(Input::BeginAs { transaction, meta }).map_err(|refusal| failed(&refusal))?;
        }
        for turn in 0..1_000 {
            for (driver, handlers) in &mut others {
                turn_of(driver, &network, turn);
                driver.flush(handlers).map_err(|error| failed(&error))?;
            }
            turn_of(&mut first, &network, turn);
            first.flush(&mut here).map_err(|error| failed(&error))?;
            if first.is_idle() {
                let before = first.node().snapshot();
                here.storage = self.reopen(here.storage)?;
                first = Driver::open(config(nodes[0]), Start::Restore, &mut here).map_err(|error| failed(&error))?;
                let after = first.node().snapshot();
                if before != after {
                    return Err(format!("before a crash a node knew {}, and then {}", shown(&before), shown(&after)));
                }
            }
            let mut drivers = others.iter().map(|(driver, _)| driver).chain([&first]);
            if drivers.all(|driver| txs.iter().all(|tx| driver.node().status(*tx).is_retired())) {
                return Ok(());
            }
        }
        Err(format!("transactions do not end: the first is {:?}", first.node().status(txs[0])))
    }

    /// Lets a write of three records fail, and `judge` what was there before, whether it was reported, and what is there
    /// after a crash.
    fn failed_write(&mut self, judge: fn(&Model, bool, Model) -> Result<(), String>) -> Verdict {
        let mut run = || {
            let (mut storage, mut before) = (self.open()?, Model::new());
            write(&mut storage, &mut before, &[Record::Rounds { reserved: 1 }, acceptor(tx(1), 1)])?;
            if !self.subject.fail_next_write(&mut storage) {
                return Ok(None);
            }
            let reported = storage.persist(&to_fail()).is_err();
            let mut storage = self.reopen(storage)?;
            let after = load(&mut storage)?.into_iter().map(|record| (record.key(), record)).collect();
            judge(&before, reported, after).map(Some)
        };
        match run() {
            Ok(Some(())) => Verdict::Passed,
            Ok(None) => Verdict::Skipped("there is no way to let a write fail"),
            Err(found) => Verdict::Failed(found),
        }
    }
}

/// One turn of a node: what time it is, and what has come.
fn turn_of(driver: &mut Driver, network: &Network, turn: u64) {
    // Time never runs back here, so no tick is refused.
    let _ = driver.push(Input::Tick(Time(turn * 100)));
    while let Some((from, messages)) = network.receive(driver.node().config().id) {
        driver.receive(from, &messages);
    }
}

/// A resource that can always commit.
struct Yes;

impl Resource for Yes {
    /// It holds nothing before a vote is written.
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }
}

/// Writes a batch to `storage`, and to what it should be like.
fn write<S: Storage>(storage: &mut S, model: &mut Model, batch: &[Record]) -> Result<(), String> {
    storage.persist(batch).map_err(|error| format!("a write of {} fails: {}", shown(&batch), told(&error)))?;
    put(model, batch);
    Ok(())
}

fn put(model: &mut Model, batch: &[Record]) {
    for record in batch {
        if record.is_tombstone() {
            model.remove(&record.key());
        } else {
            model.insert(record.key(), record.clone());
        }
    }
}

/// What is in a store, without tombstones, which may be among it.
fn load<S: Storage>(storage: &mut S) -> Result<Vec<Record>, String> {
    let records = storage.load().map_err(|error| format!("`load` fails: {}", told(&error)))?;
    Ok(records.into_iter().filter(|record| !record.is_tombstone()).collect())
}

fn expect<S: Storage>(storage: &mut S, model: &Model) -> Result<(), String> {
    // Of several records of a key the node takes the last one; that there is but one is another check's matter.
    let there: Model = load(storage)?.into_iter().map(|record| (record.key(), record)).collect();
    compare(&there, model)
}

fn compare(there: &Model, model: &Model) -> Result<(), String> {
    let missing = model.iter().find(|(key, _)| !there.contains_key(key));
    let surplus = there.iter().find(|(key, _)| !model.contains_key(key));
    let wrong = there.iter().find(|(key, record)| model.get(key).is_some_and(|other| other != *record));
    let counts = format!("of {} records {} are there", model.len(), there.len());
    match (missing, surplus, wrong) {
        (None, None, None) => Ok(()),
        (Some((_, record)), ..) => Err(format!("{} is missing; {counts}", shown(record))),
        (_, Some((_, record)), _) => Err(format!("{} should not be there; {counts}", shown(record))),
        (.., Some((key, record))) => Err(format!("{} is there in place of {}", shown(record), shown(&model.get(key)))),
    }
}

/// Whether `after` is what some prefix of the failed write makes of `before`.
fn is_prefix(before: &Model, after: Model) -> Result<(), String> {
    let batch = to_fail();
    let prefixes = (0..=batch.len()).map(|length| {
        let mut model = before.clone();
        put(&mut model, &batch[..length]);
        model
    });
    if prefixes.into_iter().any(|prefix| prefix == after) {
        Ok(())
    } else {
        Err(format!("{} is there, after {} was, and {} failed", shown(&after), shown(before), shown(&batch)))
    }
}

fn told(error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn after_crash(found: String) -> String {
    format!("after a crash, {found}")
}

fn tx(seq: u64) -> TxId {
    TxId { origin: NodeId(1), seq }
}

fn transaction(id: TxId, participants: u64, meta: Vec<u8>) -> Transaction {
    Transaction::new(id, (1..=participants).map(NodeId), meta).expect("distinct participants, and some")
}

/// An acceptor's record of a transaction of one participant, that tells how far it is by its round.
fn acceptor(id: TxId, round: u64) -> Record {
    let ballot = Ballot::new(round, NodeId(1));
    let state = paxos::AcceptorRecord { promised: Some(ballot), accepted: Some((ballot, Vote::Prepared)) };
    let higher = [HigherInstance { rm: NodeId(1), state }].into();
    Record::Acceptor(AcceptorRecord { transaction: transaction(id, 1, vec![7]), votes: Votes::default(), higher })
}

fn resource_manager(id: TxId, finished: Option<Outcome>) -> Record {
    let (transaction, meta) = (transaction(id, 1, vec![7]), Some([7].into()));
    Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote: Some(Vote::Prepared), finished })
}

fn retired(first: TxId, last: u64) -> Record {
    Record::Retired(TxRange::new(first.origin, first.seq, last).expect("it does not end before it begins"))
}

fn erased(record: &Record) -> Record {
    Record::Erased(record.key())
}

/// One record of each kind.
fn some_records() -> Vec<Record> {
    vec![
        Record::Identity { cluster: ClusterId(*b"conformance test"), node: NodeId(1) },
        Record::Sequence { reserved: 1025 },
        Record::Rounds { reserved: 2049 },
        acceptor(tx(1), 3),
        resource_manager(tx(2), None),
        retired(tx(3), 9),
    ]
}

/// Some keys more than once.
fn in_one_batch() -> Vec<Record> {
    let again =
        [resource_manager(tx(2), Some(Outcome::Aborted)), acceptor(tx(1), 4), Record::Rounds { reserved: 9_999 }];
    some_records().into_iter().chain(again).chain([acceptor(tx(1), 5)]).collect()
}

fn around_a_tombstone() -> Vec<Vec<Record>> {
    let (old, new, other) = (acceptor(tx(1), 1), acceptor(tx(1), 2), resource_manager(tx(1), None));
    vec![
        vec![old.clone(), other.clone(), erased(&old)],
        vec![erased(&old), erased(&other), new.clone()],
        vec![erased(&new), old.clone(), erased(&old), new],
    ]
}

/// Records whose keys differ in their kind, or in one half of a name.
fn alike() -> Vec<Record> {
    let numbers = [0, 1, 2, 255, 256, 1 << 32, u64::MAX];
    let names = numbers.iter().flat_map(|origin| numbers.map(|seq| TxId { origin: NodeId(*origin), seq }));
    let kinds = |id| [acceptor(id, 1), resource_manager(id, None), retired(id, id.seq)];
    some_records().into_iter().chain(names.flat_map(kinds)).collect()
}

/// Records of all that is unusual.
fn extreme() -> Vec<Record> {
    let ballot = Ballot::new(u64::MAX, NodeId(u64::MAX));
    let accepted = Some((Ballot::initial(NodeId(2)), Vote::Aborted));
    let state = paxos::AcceptorRecord { promised: Some(ballot), accepted };
    let (votes, higher) = (Votes::from_iter([(2, Vote::Aborted)]), [HigherInstance { rm: NodeId(2), state }].into());
    let acceptor = AcceptorRecord { transaction: transaction(tx(1), 3, vec![]), votes, higher };
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let manager = |id, vote, finished| {
        let (transaction, meta) = (transaction(id, 1, all_bytes.clone()), Some(all_bytes.clone().into()));
        Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote, finished })
    };
    vec![
        Record::Identity { cluster: ClusterId([u8::MAX; 16]), node: NodeId(u64::MAX) },
        Record::Sequence { reserved: u64::MAX },
        Record::Rounds { reserved: 0 },
        Record::Acceptor(acceptor),
        manager(tx(2), None, Some(Outcome::Aborted)),
        manager(tx(3), Some(Vote::Aborted), None),
        manager(tx(4), Some(Vote::Prepared), Some(Outcome::Committed)),
        retired(tx(0), u64::MAX),
    ]
}

fn large() -> [Record; 2] {
    let higher = (1..=1_000).map(|rm| {
        let promised = Some(Ballot::new(u64::MAX - rm, NodeId(rm)));
        let state = paxos::AcceptorRecord { promised, accepted: Some((Ballot::initial(NodeId(rm)), Vote::Prepared)) };
        HigherInstance { rm: NodeId(rm), state }
    });
    let bytes: Vec<u8> = (0..1 << 20).map(|place: u32| (place % 251) as u8).collect();
    let (transaction, meta) = (transaction(tx(1), 1_000, bytes.clone()), Some(bytes.into()));
    [
        Record::Acceptor(AcceptorRecord {
            transaction: transaction.clone(),
            votes: Votes::default(),
            higher: higher.collect(),
        }),
        Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote: Some(Vote::Aborted), finished: None }),
    ]
}

fn many() -> impl Iterator<Item = Vec<Record>> {
    let batch = |number: u64| (0..1_000).map(|seq| acceptor(tx(number * 1_000 + seq), 1)).collect();
    let erasing = (0..10_000).step_by(2).map(|seq| Record::Erased(Key::Acceptor(tx(seq)))).collect();
    (0..10).map(batch).chain([erasing])
}

/// What is to be written when a write fails: the first of these is new, the second replaces, the third erases.
fn to_fail() -> [Record; 3] {
    [resource_manager(tx(2), None), Record::Rounds { reserved: 2 }, Record::Erased(Key::Acceptor(tx(1)))]
}

/// Any record, of few keys.
fn arbitrary(below: &mut impl FnMut(u64) -> u64) -> Record {
    let id = TxId { origin: NodeId(below(2)), seq: below(5) };
    let record = match below(5) {
        0 => Record::Sequence { reserved: below(1_000) },
        1 => Record::Rounds { reserved: below(1_000) },
        2 => acceptor(id, below(1_000)),
        3 => resource_manager(id, [None, Some(Outcome::Aborted)][below(2) as usize]),
        _ => retired(id, id.seq + below(1_000)),
    };
    if below(3) == 0 { erased(&record) } else { record }
}
