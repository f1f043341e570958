//! Nodes on plain threads and UDP sockets, for any event loop will do: `cargo run --release --example threads`.
//!
//! Three nodes, each an acceptor, a transaction manager and a resource manager at once, each a thread with a socket and a
//! log. A client begins 300 transactions, of which some must be refused. In the middle one thread dies with its hands
//! full, and later starts again from its log. In the end every transaction has one outcome, and nothing is open.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real threads, real time")]

#[path = "support/say.rs"]
mod say;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    net::{SocketAddr, UdpSocket},
    ops::RangeInclusive,
    path::Path,
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use synod::{
    NodeId, Packet, Quorums, TxId, codec,
    commit::*,
    perform::{Driver, Handlers, Progress, Resource, Start, Storage, Transport},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CLUSTER: ClusterId = ClusterId(*b"threads and UDP.");
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const TRANSACTIONS: u64 = 300;
const IN_FLIGHT: u64 = 32;
/// What fits into one Ethernet frame: of a longer datagram, any lost fragment would lose all.
const DATAGRAM: usize = 1_400;
/// Within these no message is too long for a datagram.
const LIMITS: Limits = Limits::new().with_open(10_000).with_participants(3).with_meta(400);

/// A file of JSON lines, synced once per batch. It only grows: `Node::snapshot` would be what to cut it down to.
struct Log(File);

impl Storage for Log {
    type Error = io::Error;

    fn load(&mut self) -> io::Result<Vec<synod::commit::Record>> {
        let (mut log, mut latest) = (Vec::new(), BTreeMap::new());
        self.0.rewind()?;
        self.0.read_to_end(&mut log)?;
        // A line that a crash has torn has no end, and was never called durable.
        log.truncate(log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.0.set_len(log.len() as u64)?;
        for record in serde_json::Deserializer::from_slice(&log).into_iter::<synod::commit::Record>() {
            let record = record?;
            latest.insert(record.key(), record);
        }
        Ok(latest.into_values().filter(|record| !record.is_tombstone()).collect())
    }

    fn persist(&mut self, records: &[synod::commit::Record]) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        self.0.write_all(&lines)?;
        self.0.sync_data()
    }
}

/// What all threads can see.
struct World {
    nodes: BTreeMap<NodeId, Place>,
    /// How each transaction ended, and who has carried that out.
    done: Mutex<BTreeMap<(TxId, Outcome), BTreeSet<NodeId>>>,
}

/// Where a node is, or was and will be.
struct Place {
    socket: UdpSocket,
    address: SocketAddr,
    to_begin: Mutex<Vec<Input>>,
    open: AtomicUsize,
    killed: AtomicBool,
}

/// A node in the world: its way to the others, and its resource.
#[derive(Clone, Copy)]
struct Seat<'a>(&'a World, NodeId);

impl Transport for Seat<'_> {
    /// Sends a packet in as many datagrams as it takes. Any of them may be lost.
    fn send(&mut self, packet: Packet<Message>) {
        let Self(world, from) = *self;
        let Some(to) = world.nodes.get(&packet.to) else { return };
        let mut rest = &packet.messages[..];
        while !rest.is_empty() {
            let (mut count, mut datagram) = (rest.len(), codec::encode_frame(CLUSTER, from, packet.to, rest));
            while datagram.len() > DATAGRAM && count > 1 {
                count = count.div_ceil(2);
                datagram = codec::encode_frame(CLUSTER, from, packet.to, &rest[..count]);
            }
            rest = &rest[count..];
            // If this fails the datagram is lost, as it could have been anywhere on its way.
            let _ = world.nodes[&from].socket.send_to(&datagram, to.address);
        }
    }
}

impl Resource for Seat<'_> {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>> {
        Ok(Vec::new())
    }

    /// It refuses what its own name is written on.
    fn vote(&mut self, _: &Transaction, meta: &Meta) -> Option<Vote> {
        let refused = meta.bytes().first() == Some(&(self.1.0 as u8));
        Some(if refused { Vote::Aborted } else { Vote::Prepared })
    }

    fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
        self.note(transaction.id(), Outcome::Committed)
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.note(transaction.id(), Outcome::Aborted)
    }
}

impl Seat<'_> {
    fn note(&self, tx: TxId, outcome: Outcome) -> Progress {
        self.0.done.lock().unwrap().entry((tx, outcome)).or_default().insert(self.1);
        Progress::Finished
    }

    /// The next packet, if it comes from its sender's address. (Where addresses can be forged, UDP vouches for nobody.)
    fn receive(&self, buffer: &mut [u8]) -> Option<(NodeId, Vec<Message>)> {
        let (length, address) = self.0.nodes[&self.1].socket.recv_from(buffer).ok()?;
        let frame = codec::decode_frame(&buffer[..length], CLUSTER, self.1).ok()?;
        self.0.nodes.get(&frame.from).filter(|sender| sender.address == address)?;
        Some((frame.from, frame.messages))
    }

    /// The event loop: wait, gather, write once, send; until the node is killed.
    fn run(self, cluster: &Cluster, start: Start, log: &Path) -> Result<()> {
        let place = &self.0.nodes[&self.1];
        let log = Log(OpenOptions::new().create(true).read(true).append(true).open(log)?);
        let mut site = Handlers { storage: log, transport: self, resource: self };
        let mut driver = Driver::open(Config::new(cluster.clone(), self.1, self.1.0), start, &mut site)?;
        let (clock, mut buffer) = (Instant::now(), vec![0; 1 << 16]);
        let now = || clock.elapsed().as_millis() as u64;
        loop {
            // Nothing but a packet wakes this thread, so it does not sleep for long.
            let wait = driver.node().deadline().map_or(10, |due| due.0.saturating_sub(now())).clamp(1, 10);
            place.socket.set_nonblocking(false)?;
            place.socket.set_read_timeout(Some(Duration::from_millis(wait)))?;
            driver.push(Input::Tick(Time(now()))).expect("time does not go back");
            for _ in 0..64 {
                let Some((from, messages)) = self.receive(&mut buffer) else { break };
                driver.receive(from, &messages);
                place.socket.set_nonblocking(true)?;
            }
            // One that is over, or for which there is no room, is refused; the client will see.
            place.to_begin.lock().unwrap().drain(..).for_each(|begin| driver.push(begin).unwrap_or_default());
            if place.killed.load(Relaxed) {
                assert_eq!(driver.node().metrics().violations(), 0, "{:?}", driver.node().metrics());
                return Ok(());
            }
            while !driver.is_idle() {
                driver.flush(&mut site)?;
            }
            place.open.store(driver.node().metrics().open, Relaxed);
        }
    }
}

impl World {
    /// Begins these transactions, some at a time.
    fn work(&self, seqs: RangeInclusive<u64>) -> Result<()> {
        seqs.into_iter().try_for_each(|seq| {
            self.begin(seq, seq as usize);
            self.wait(seq, IN_FLIGHT)
        })
    }

    fn begin(&self, seq: u64, at: usize) {
        let (tx, meta) = (TxId { origin: NodeId(9), seq }, Meta::from([(seq % 20) as u8; 300]));
        let transaction = Transaction::new(tx, NODES, meta.clone()).expect("someone takes part");
        self.nodes[&NODES[at % NODES.len()]].to_begin.lock().unwrap().push(Input::BeginAs { transaction, meta });
    }

    /// Waits until so few transactions up to `last` are under way, or none is open. What takes long is begun elsewhere, too.
    fn wait(&self, last: u64, few: u64) -> Result<()> {
        for turn in 1..60_000 {
            let done = self.done.lock().unwrap().values().filter(|by| by.len() == NODES.len()).count() as u64;
            if last - done <= few && (few > 0 || self.nodes.values().all(|place| place.open.load(Relaxed) == 0)) {
                return Ok(());
            }
            if turn % 500 == 0 {
                (1..=last).for_each(|seq| self.begin(seq, seq as usize + turn / 500));
            }
            sleep(Duration::from_millis(1));
        }
        Err("a minute was not enough".into())
    }
}

fn main() -> Result<()> {
    let (folder, mut nodes) = (tempfile::tempdir()?, BTreeMap::new());
    for id in NODES {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (address, to_begin, open, killed) = (socket.local_addr()?, Mutex::default(), 0.into(), false.into());
        nodes.insert(id, Place { socket, address, to_begin, open, killed });
    }
    let world = World { nodes, done: Mutex::default() };
    let waits = Timeouts::new().with_flush(20).with_recover(100).with_inquire(150).with_repeat(50).with_ceiling(1_000);
    let spec = ClusterSpec::new(CLUSTER, Quorums::majority(NODES)?, NODES);
    let cluster = spec.with_timeouts(waits).with_limits(LIMITS).build()?;
    let run = |id: NodeId, start| Seat(&world, id).run(&cluster, start, &folder.path().join(id.to_string()));
    let kill = |id, killed| world.nodes[&id].killed.store(killed, Relaxed);
    let is_refused = |(tx, _): &&(TxId, Outcome)| NODES.contains(&NodeId(tx.seq % 20));

    scope(|threads| {
        let spawn = |id, start| threads.spawn(move || run(id, start));
        let mut running = NODES.map(|id| Some(spawn(id, Start::Create)));
        let work = world.work(1..=TRANSACTIONS / 2);
        kill(NODES[2], true);
        let died = running[2].take().map(|thread| thread.join());
        // Long enough for the others to give up waiting for its votes.
        sleep(Duration::from_millis(300));
        kill(NODES[2], false);
        running[2] = Some(spawn(NODES[2], Start::Restore));
        let work = work.and_then(|()| world.work(TRANSACTIONS / 2 + 1..=TRANSACTIONS));
        let work = work.and_then(|()| world.wait(TRANSACTIONS, 0));
        NODES.iter().for_each(|id| kill(*id, true));
        let ends = running.into_iter().flatten().map(|thread| thread.join()).chain(died);
        ends.map(|end| end.map_err(|_| "a node panicked")?).chain([work]).collect::<Result<()>>()
    })?;

    let done = world.done.into_inner()?;
    assert!(done.len() as u64 == TRANSACTIONS && done.values().all(|by| by.len() == NODES.len()), "{done:?}");
    let committed = done.keys().filter(|(_, outcome)| *outcome == Outcome::Committed);
    assert!(committed.clone().all(|tx| !is_refused(&tx)), "{done:?}");
    let (committed, refused) = (committed.count() as u64, done.keys().filter(is_refused).count() as u64);
    let late = TRANSACTIONS - committed - refused;
    say::out!("{TRANSACTIONS} transactions: {committed} committed, {refused} refused, {late} aborted for a late vote");
    Ok(())
}
