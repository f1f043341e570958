//! What it costs to record nodes: the same load with and without, in turn.
//!
//! ```sh
//! cargo bench --bench recording
//! ```

#![allow(clippy::disallowed_types, reason = "what measures has a clock")]

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use synod::{
    NodeId, Packet, Quorums,
    commit::{Cluster, ClusterId, Config, Input, Message, Meta, Outcome, Participants, Promised, Transaction, Vote},
    perform::{
        Driver, Handlers, Progress, RecoverError, Resource, Start, Storage, Transport,
        fjall::FjallStorage,
        memory::{MemoryStorage, Network, Port},
        record::{Options, Recorder, Recording, files},
        tokio::{self as driver, Handle},
    },
};

/// How many transactions are begun at once.
const IN_FLIGHT: usize = 128;

/// How many rounds are measured, one with and one without a recorder in each.
const ROUNDS: usize = 21;

struct Ready;

impl Resource for Ready {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }

    fn commit(&mut self, _: &Transaction, _: &Meta) -> Progress {
        Progress::Finished
    }
}

fn cluster() -> Cluster {
    let managers = [1, 2, 3].map(NodeId);
    Cluster::new(ClusterId(*b"what it costs..."), Quorums::majority(managers).unwrap(), managers).unwrap()
}

type Member<S> = (NodeId, Driver, Handlers<S, Port, Ready>);

/// Three acceptors, which are transaction managers, too, and two resource managers, in one thread.
struct World<S> {
    network: Network,
    members: Vec<Member<S>>,
}

impl<S: Storage> World<S> {
    fn new(mut storage: impl FnMut(NodeId) -> S, record: Option<&Path>) -> Self {
        let network = Network::new();
        let members = (1..=5).map(NodeId).map(|node| {
            let mut handlers = Handlers { storage: storage(node), transport: network.port(node), resource: Ready };
            let mut driver = Driver::create(Config::new(cluster(), node, 0), &mut handlers).unwrap();
            if let Some(folder) = record {
                driver.record(Recorder::open(folder, Options::default()).unwrap());
            }
            (node, driver, handlers)
        });
        let members = members.collect();
        Self { network, members }
    }

    /// Transactions from their beginning until nothing is to be done. Returns how many a second.
    fn run(&mut self, batches: usize) -> f64 {
        let start = Instant::now();
        let participants = Participants::new([NodeId(4), NodeId(5)]).unwrap();
        for _ in 0..batches {
            for _ in 0..IN_FLIGHT {
                let input = Input::Begin { participants: participants.clone(), meta: Meta::from(b"sixteen bytes...") };
                self.members[0].1.push(input).unwrap();
            }
            while self.network.in_flight() > 0 || self.members.iter().any(|(_, driver, _)| !driver.is_idle()) {
                for (node, driver, handlers) in &mut self.members {
                    while let Some((from, messages)) = self.network.receive(*node) {
                        driver.receive(from, &messages);
                    }
                    driver.flush(handlers).unwrap_or_else(|error| panic!("{error}"));
                }
            }
        }
        (batches * IN_FLIGHT) as f64 / start.elapsed().as_secs_f64()
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn compare<S: Storage>(name: &str, batches: usize, storage: impl Fn(&Path, NodeId) -> S) {
    let folder = tempfile::tempdir_in("target").unwrap();
    let recordings = folder.path().join("recordings");
    let place = |kind: &str, node: NodeId| storage(&folder.path().join(format!("{kind}-{node}")), node);
    let mut plain = World::new(|node| place("plain", node), None);
    let mut recorded = World::new(|node| place("recorded", node), Some(&recordings));
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 2 {
        // Each comes first equally often.
        let (one, other) = if round % 2 == 0 {
            let one = plain.run(batches);
            (one, recorded.run(batches))
        } else {
            let other = recorded.run(batches);
            (plain.run(batches), other)
        };
        // The first ones warm up.
        if round >= 2 {
            without.push(one);
            with.push(other);
            ratios.push(other / one);
        }
    }
    let progress: Vec<_> =
        recorded.members.iter().filter_map(|(_, driver, _)| Some(driver.recorder()?.progress())).collect();
    let lost: u64 = progress.iter().map(|progress| progress.lost).sum();
    let bytes: u64 = progress.iter().map(|progress| progress.written).sum();
    drop(recorded);
    println!(
        "{name}: {:.0} transactions/s without, {:.0} with a recorder at all five nodes: {:+.1} %; {:.0} bytes a \
         transaction, {lost} inputs lost",
        median(without),
        median(with),
        (median(ratios) - 1.0) * 100.0,
        bytes as f64 / ((ROUNDS + 2) * batches * IN_FLIGHT) as f64,
    );
    let (mut steps, mut took) = (0_u64, Duration::ZERO);
    for file in files(&recordings).unwrap() {
        let mut recording = Recording::read(file).unwrap();
        let start = Instant::now();
        while let Some(step) = recording.step().unwrap() {
            assert_ne!(step.is_same, Some(false));
            steps += 1;
        }
        took += start.elapsed();
    }
    println!("{name}: {steps} inputs stepped again, {:.0} a second", steps as f64 / took.as_secs_f64());
}

/// Nodes of the driver for tokio on a real disk, with as many callers as transactions in flight.
struct Running {
    runtime: tokio::runtime::Runtime,
    handles: Vec<Handle>,
}

/// To nodes of the same process.
struct Direct(NodeId, Arc<OnceLock<Vec<Handle>>>);

impl Transport for Direct {
    fn send(&mut self, packet: Packet<Message>) {
        let handle = self.1.get().and_then(|handles| handles.iter().find(|handle| handle.node() == packet.to));
        // Whatever is lost is said again.
        handle.map(|handle| handle.deliver(self.0, packet.messages));
    }
}

struct AtOnce;

impl driver::Resource for AtOnce {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote_at_once(&self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }

    fn end_at_once(&self, _: &Transaction, _: Outcome) -> Option<Progress> {
        Some(Progress::Finished)
    }
}

impl Running {
    fn new(folder: &Path, record: Option<&Path>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (wires, mut handles) = (Arc::new(OnceLock::new()), Vec::new());
        for node in (1..=5).map(NodeId) {
            let storage = FjallStorage::open(folder.join(node.to_string())).unwrap();
            let (config, transport) = (Config::new(cluster(), node, 0), Direct(node, Arc::clone(&wires)));
            let (start, options) = (Start::Create, driver::Options::default());
            let spawned = runtime.block_on(async {
                match record {
                    None => driver::spawn(config, start, storage, transport, AtOnce, options).await,
                    Some(folder) => {
                        let recorder = Recorder::open(folder, Options::default()).unwrap();
                        driver::spawn_recorded(config, start, storage, transport, AtOnce, options, recorder).await
                    }
                }
            });
            handles.push(spawned.unwrap().0);
        }
        let _ = wires.set(handles.clone());
        Self { runtime, handles }
    }

    /// Returns how many a second.
    fn run(&self, each: usize) -> f64 {
        let start = Instant::now();
        self.runtime.block_on(async {
            let callers = (0..IN_FLIGHT).map(|caller| {
                let handle = self.handles[caller % 3].clone();
                tokio::spawn(async move {
                    for _ in 0..each {
                        let tx = handle.begin([NodeId(4), NodeId(5)], Meta::from(b"sixteen bytes...")).await.unwrap();
                        assert_eq!(handle.outcome(tx).await.unwrap(), Outcome::Committed);
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.unwrap();
            }
        });
        (IN_FLIGHT * each) as f64 / start.elapsed().as_secs_f64()
    }
}

fn compare_running() {
    let folder = tempfile::tempdir_in("target").unwrap();
    let [plain, recorded, recordings] = ["plain", "recorded", "recordings"].map(|name| folder.path().join(name));
    let (plain, recorded) = (Running::new(&plain, None), Running::new(&recorded, Some(&recordings)));
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 2 {
        let runs = if round % 2 == 0 { [&plain, &recorded] } else { [&recorded, &plain] }.map(|running| running.run(8));
        let [one, other] = if round % 2 == 0 { runs } else { [runs[1], runs[0]] };
        if round >= 2 {
            without.push(one);
            with.push(other);
            ratios.push(other / one);
        }
    }
    println!(
        "five tokio nodes on a disk: {:.0} transactions/s without, {:.0} with a recorder at all five: {:+.1} %",
        median(without),
        median(with),
        (median(ratios) - 1.0) * 100.0,
    );
}

fn main() {
    compare_running();
    compare("in memory, one thread for all", 40, |_, _| MemoryStorage::new());
    compare("on a disk", 2, |path, _| FjallStorage::open(path).unwrap());
}
