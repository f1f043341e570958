//! Two databases, one transaction, a crash in the middle:
//!
//! ```sh
//! cargo run --features fjall --example two_databases             # Ann buys something: both databases change
//! cargo run --features fjall --example two_databases -- --crash  # the process dies when both have promised
//! cargo run --features fjall --example two_databases             # it finishes that purchase first, then makes another
//! ```
//!
//! One database keeps accounts, the other one orders. A purchase takes 30 from an account *and* adds an order, or does
//! neither. Each database is a participant, with the node's records in the same fjall database as its rows, so that a row
//! and the record which says that it was changed are one write. They and a third node, the witness, are acceptors.
//!
//! Everything is in one process here, to be read in one sitting. On three machines only `Network` would differ.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real time, real files")]

#[path = "support/say.rs"]
mod say;

use std::{collections::BTreeMap, env, error::Error, path::Path, process, thread, time};

use fjall::{Keyspace, KeyspaceCreateOptions};
use synod::{
    NodeId, Packet, Quorums, TxId,
    commit::{
        ClusterId, ClusterSpec, Config, Input, Message, Meta, Outcome, Participants, Promised, Record, Time, Timeouts,
        Transaction, Vote,
    },
    perform::{
        Driver, Progress, RecoverError, Resource, Start, Storage, Transport,
        fjall::{FjallError, FjallStorage},
        memory::{Network, Port},
    },
};

const FOLDER: &str = "two-databases";
const ACCOUNTS: NodeId = NodeId(1);
const ORDERS: NodeId = NodeId(2);
const WITNESS: NodeId = NodeId(3);

/// A database with rows of numbers, and the records of its node.
struct Site {
    storage: FjallStorage,
    rows: Keyspace,
    port: Port,
    /// What a purchase of this price adds to the row of its buyer here.
    change: fn(i64) -> i64,
    /// What was promised to be added: a vote to commit is binding.
    promised: BTreeMap<TxId, (String, i64)>,
    /// Rows that go into the next write, with the record that they are finished.
    staged: BTreeMap<String, i64>,
    outcome: Option<(TxId, Outcome)>,
    crash: bool,
}

impl Site {
    fn open(path: &Path, change: fn(i64) -> i64, port: Port, crash: bool) -> Result<Self, FjallError> {
        let storage = FjallStorage::open(path)?;
        let rows = storage.database().keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Self {
            storage,
            rows,
            port,
            change,
            promised: BTreeMap::new(),
            staged: BTreeMap::new(),
            outcome: None,
            crash,
        })
    }

    /// What a purchase, such as `ann 30`, wants to add to which row.
    fn wanted(&self, meta: &Meta) -> (String, i64) {
        let text = String::from_utf8_lossy(meta.bytes());
        let (buyer, price) = text.split_once(' ').unwrap_or((&text, "0"));
        (buyer.to_owned(), (self.change)(price.parse().unwrap_or(0)))
    }

    fn row(&self, name: &str) -> i64 {
        let stored = || Some(i64::from_be_bytes(self.rows.get(name).ok()??.as_ref().try_into().ok()?));
        self.staged.get(name).copied().or_else(stored).unwrap_or(0)
    }
}

impl Resource for Site {
    /// A promise outlives the process: its record tells what it was about.
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        let kept = promised.iter().map(|kept| (kept.transaction.id(), self.wanted(&kept.meta)));
        self.promised = kept.collect();
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        if self.promised.contains_key(&transaction.id()) {
            return Some(Vote::Prepared);
        }
        let (row, delta) = self.wanted(meta);
        let promised: i64 =
            self.promised.values().filter(|(name, _)| *name == row).map(|(_, delta)| delta.min(&0)).sum();
        if self.row(&row) + promised + delta < 0 {
            return Some(Vote::Aborted);
        }
        self.promised.insert(transaction.id(), (row, delta));
        Some(Vote::Prepared)
    }

    fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
        if self.crash {
            say::out!("both have promised, and the process dies");
            process::abort();
        }
        if let Some((row, delta)) = self.promised.remove(&transaction.id()) {
            let value = self.row(&row) + delta;
            self.staged.insert(row, value);
        }
        Progress::Finished
    }

    fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
        self.promised.remove(&transaction.id());
        Progress::Finished
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.outcome = Some((tx, outcome));
    }
}

impl Storage for Site {
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        self.storage.load()
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), FjallError> {
        let (rows, staged) = (&self.rows, std::mem::take(&mut self.staged));
        self.storage.persist_with(records, |batch| {
            for (row, value) in staged {
                batch.insert(rows, row, value.to_be_bytes());
            }
        })
    }
}

impl Transport for Site {
    fn send(&mut self, packet: Packet<Message>) {
        self.port.send(packet);
    }
}

/// Lets all nodes work until `done` says so.
fn work(
    nodes: &mut [(NodeId, Driver, Site)],
    network: &Network,
    start: time::Instant,
    done: impl Fn(&[(NodeId, Driver, Site)]) -> bool,
) -> Result<(), Box<dyn Error>> {
    while !done(nodes) {
        for (id, driver, site) in nodes.iter_mut() {
            driver.push(Input::Tick(Time(start.elapsed().as_millis() as u64)))?;
            while let Some((from, messages)) = network.receive(*id) {
                driver.receive(from, &messages);
            }
            driver.flush(site)?;
        }
        thread::sleep(time::Duration::from_millis(1));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let crash = env::args().any(|arg| arg == "--crash");
    let ids = [ACCOUNTS, ORDERS, WITNESS];
    // Milliseconds, as the ticks above are. Who is in doubt asks soon.
    let timeouts = Timeouts::default().with_inquire(200);
    let spec = ClusterSpec::new(ClusterId(*b"two databases..."), Quorums::majority(ids)?, ids);
    let cluster = spec.with_timeouts(timeouts).build()?;
    let (network, start) = (Network::new(), time::Instant::now());
    let mut nodes = Vec::new();
    for (id, name, change) in [
        (ACCOUNTS, "accounts", (|price| -price) as fn(i64) -> i64),
        (ORDERS, "orders", |_| 1),
        (WITNESS, "witness", |_| 0),
    ] {
        let mut site = Site::open(&Path::new(FOLDER).join(name), change, network.port(id), crash && id == ACCOUNTS)?;
        // Here a blank database is a new one. On machines of their own, whoever runs a node must say whether it was a member
        // before, for a disk that was lost looks the same.
        let how = if site.load()?.is_empty() { Start::Create } else { Start::Restore };
        if how == Start::Create && id == ACCOUNTS {
            site.staged.insert("ann".to_owned(), 100);
        }
        let driver = Driver::open(Config::new(cluster.clone(), id, id.0), how, &mut site)?;
        nodes.push((id, driver, site));
    }

    let is_over = |nodes: &[(NodeId, Driver, Site)]| {
        nodes.iter().all(|(_, driver, _)| driver.is_idle() && driver.node().open_transactions().is_empty())
    };
    for (_, driver, _) in &nodes {
        driver.node().in_doubt().iter().for_each(|doubt| say::out!("{} was left in doubt", doubt.transaction.id()));
    }
    work(&mut nodes, &network, start, is_over)?;

    let purchase = Input::Begin { participants: Participants::new([ACCOUNTS, ORDERS])?, meta: b"ann 30".into() };
    nodes[0].2.outcome = None;
    nodes[0].1.push(purchase)?;
    work(&mut nodes, &network, start, |nodes| nodes[0].2.outcome.is_some() && is_over(nodes))?;
    if let Some((tx, outcome)) = nodes[0].2.outcome {
        say::out!("{tx} {outcome:?}");
    }
    say::out!("ann has {} left, and {} orders", nodes[0].2.row("ann"), nodes[1].2.row("ann"));
    Ok(())
}
