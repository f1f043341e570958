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
//! and the record which says that it was changed are one write (`perform::embedded`). They and a third node, the witness,
//! are acceptors.
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
        ClusterId, ClusterSpec, Config, Input, Message, Meta, Outcome, Participants, Record, Time, Timeouts,
        Transaction,
    },
    perform::{
        Driver, Start, Storage, Transport,
        embedded::{Embedded, Step, Store},
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
    outcome: Option<(TxId, Outcome)>,
    crash: bool,
}

impl Site {
    fn open(path: &Path, change: fn(i64) -> i64, port: Port, crash: bool) -> Result<Self, FjallError> {
        let storage = FjallStorage::open(path)?;
        let rows = storage.database().keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Self { storage, rows, port, change, outcome: None, crash })
    }

    fn row(&self, name: &str) -> i64 {
        let stored = || Some(i64::from_be_bytes(self.rows.get(name).ok()??.as_ref().try_into().ok()?));
        stored().unwrap_or(0)
    }
}

impl Store for Site {
    /// A row, and what is to be added to it.
    type Change = (String, i64);
    type Error = FjallError;

    fn load(&mut self) -> Result<Vec<Record>, FjallError> {
        self.storage.load()
    }

    /// The records and the rows that they tell of are one write.
    fn write(&mut self, records: &[Record], steps: &[Step<'_, Self::Change>]) -> Result<(), FjallError> {
        let mut changed = BTreeMap::new();
        for step in steps {
            if let Step::Commit(_, (row, delta)) = step {
                if self.crash {
                    say::out!("both have promised, and the process dies");
                    process::abort();
                }
                *changed.entry(row).or_insert_with(|| self.row(row)) += delta;
            }
        }
        self.storage.persist_with(records, |batch| {
            for (row, value) in changed {
                batch.insert(&self.rows, row.as_str(), value.to_be_bytes());
            }
        })
    }

    /// A purchase is such as `ann 30`.
    fn change(&self, _: &Transaction, meta: &Meta) -> Option<Self::Change> {
        let (buyer, price) = str::from_utf8(meta.bytes()).ok()?.split_once(' ')?;
        Some((buyer.to_owned(), (self.change)(price.parse().ok()?)))
    }

    /// No row may fall below zero, whichever of the promises come to be kept.
    fn check(
        &mut self,
        _: TxId,
        (row, delta): &Self::Change,
        promised: &BTreeMap<TxId, Self::Change>,
    ) -> Result<bool, FjallError> {
        let spent: i64 = promised.values().filter(|(name, _)| name == row).map(|(_, delta)| delta.min(&0)).sum();
        Ok(self.row(row) + spent + delta >= 0)
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.outcome = Some((tx, outcome));
    }
}

impl Transport for Site {
    fn send(&mut self, packet: Packet<Message>) {
        self.port.send(packet);
    }
}

/// A node, and what carries its effects out.
type Member = (NodeId, Driver, Embedded<Site>);

/// Lets all nodes work until `done` says so.
fn work(
    nodes: &mut [Member],
    network: &Network,
    start: time::Instant,
    done: impl Fn(&[Member]) -> bool,
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
            site.rows.insert("ann", 100_i64.to_be_bytes())?; // durable with the node's first write
        }
        let mut site = Embedded::new(site);
        let driver = Driver::open(Config::new(cluster.clone(), id, id.0), how, &mut site)?;
        nodes.push((id, driver, site));
    }

    let is_over = |nodes: &[Member]| {
        nodes.iter().all(|(_, driver, _)| driver.is_idle() && driver.node().open_transactions().is_empty())
    };
    for (_, driver, _) in &nodes {
        driver.node().in_doubt().iter().for_each(|doubt| say::out!("{} was left in doubt", doubt.transaction.id()));
    }
    work(&mut nodes, &network, start, is_over)?;

    let purchase = Input::Begin { participants: Participants::new([ACCOUNTS, ORDERS])?, meta: b"ann 30".into() };
    nodes[0].2.store_mut().outcome = None;
    nodes[0].1.push(purchase)?;
    work(&mut nodes, &network, start, |nodes| nodes[0].2.store().outcome.is_some() && is_over(nodes))?;
    if let Some((tx, outcome)) = nodes[0].2.store().outcome {
        say::out!("{tx} {outcome:?}");
    }
    say::out!("ann has {} left, and {} orders", nodes[0].2.store().row("ann"), nodes[1].2.store().row("ann"));
    Ok(())
}
