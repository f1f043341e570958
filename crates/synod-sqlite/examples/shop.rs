//! Two SQLite files, one transaction, a crash in the middle:
//!
//! ```sh
//! cargo run -p synod-sqlite --example shop             # Ann buys a lamp: her money and the lamp change hands
//! cargo run -p synod-sqlite --example shop -- --crash  # the process dies when both have promised
//! cargo run -p synod-sqlite --example shop             # it finishes that purchase first, then makes another
//! ```
//!
//! `accounts.sqlite` has money, `stock.sqlite` has goods. A purchase takes 30 from an account *and* a lamp from stock, or
//! does neither. Each file is a participant, with its node's records in it. While the outcome is not known, nobody takes what
//! is promised, whatever program it is: after `--crash`, try
//!
//! ```sh
//! sqlite3 shop/accounts.sqlite "UPDATE account SET balance = 0"   # refused
//! sqlite3 shop/accounts.sqlite "UPDATE account SET balance = 30"  # not promised, so it may go
//! ```
//!
//! Everything is in one process here, to be read in one sitting. On three machines only `Network` would differ.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real time, real files")]

use std::{collections::BTreeMap, env, error::Error, fs, io::Write, path::Path, process, thread, time};

use synod::{
    NodeId, Packet, Quorums, TxId,
    commit::{
        ClusterId, ClusterSpec, Config, Input, Message, Meta, Outcome, Participants, Record, Time, Timeouts,
        Transaction,
    },
    perform::{
        Driver, Start, Storage, Transport,
        embedded::{Embedded, Step, Store},
        memory::{Network, Port},
    },
};
use synod_sqlite::{Guard, SqliteError, SqliteStore};

const FOLDER: &str = "shop";
const ACCOUNTS: NodeId = NodeId(1);
const STOCK: NodeId = NodeId(2);
const WITNESS: NodeId = NodeId(3);

/// A SQLite file with a table of amounts, and the records of its node.
struct Site {
    store: SqliteStore,
    guard: Guard,
    /// Which part of a purchase, such as `ann 30 lamp 1`, is about the rows here: the first pair, or the second.
    part: usize,
    port: Port,
    outcome: Option<(TxId, Outcome)>,
    /// What to do when all have promised.
    when_promised: Promised,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Promised {
    GoOn,
    Crash,
    Hang,
}

impl Site {
    fn open(name: &str, part: usize, port: Port, when_promised: Promised) -> Result<Self, SqliteError> {
        let store = SqliteStore::open(Path::new(FOLDER).join(format!("{name}.sqlite")))?;
        let [table, key, amount] = [["account", "name", "balance"], ["stock", "what", "pieces"]][part];
        store.connection().execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, {amount} INTEGER NOT NULL CHECK ({amount} >= 0))"
        ))?;
        let guard = Guard::install(&store, table, key, amount)?;
        Ok(Self { store, guard, part, port, outcome: None, when_promised })
    }

    fn amount(&self, row: &str) -> Result<i64, SqliteError> {
        Ok(self.guard.amount(self.store.connection(), row)?.unwrap_or(0))
    }
}

impl Store for Site {
    /// A row, and how much is taken.
    type Change = (String, i64);
    type Error = SqliteError;

    fn load(&mut self) -> Result<Vec<Record>, SqliteError> {
        self.store.load()
    }

    /// The records, and the rows that they tell of, are one transaction of SQLite.
    fn write(&mut self, records: &[Record], steps: &[Step<'_, Self::Change>]) -> Result<(), SqliteError> {
        if self.when_promised != Promised::GoOn && steps.iter().any(|step| matches!(step, Step::Commit(..))) {
            both_have_promised(self.when_promised == Promised::Crash);
        }
        let guard = &self.guard;
        self.store.persist_with(records, |db| {
            for step in steps {
                match step {
                    Step::Promise(tx, (row, taken)) => guard.promise(db, *tx, row, *taken)?,
                    Step::Release(tx, _) => guard.release(db, *tx)?,
                    Step::Commit(tx, (row, taken)) => {
                        guard.release(db, *tx)?;
                        guard.add(db, row, -taken)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn change(&self, _: &Transaction, meta: &Meta) -> Option<Self::Change> {
        let mut words = str::from_utf8(meta.bytes()).ok()?.split(' ').skip(2 * self.part);
        let (row, taken) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        (taken >= 0).then_some((row, taken))
    }

    fn check(
        &mut self,
        _: TxId,
        (row, taken): &Self::Change,
        promised: &BTreeMap<TxId, Self::Change>,
    ) -> Result<bool, SqliteError> {
        let spent: i64 = promised.values().filter(|(other, _)| other == row).map(|(_, taken)| taken).sum();
        // From here to the write of the promise, nobody else can write.
        match self.store.hold() {
            Ok(db) => Ok(self.guard.amount(db, row)?.is_some_and(|there| there - spent >= *taken)),
            Err(SqliteError::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn recover(&mut self, promised: &BTreeMap<TxId, Self::Change>) -> Result<(), SqliteError> {
        let guard = &self.guard;
        let promises = promised.iter().map(|(tx, (row, taken))| (*tx, row.as_str(), *taken));
        self.store.change(|db| guard.restore(db, promises))
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

/// Ends the process, or waits until somebody else does.
fn both_have_promised(crash: bool) {
    println!("both have promised, and the process {}", if crash { "dies" } else { "waits" });
    // Nobody may read it.
    let _ = std::io::stdout().flush();
    if crash {
        process::abort();
    }
    loop {
        thread::park();
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
    let when_promised = match env::args().nth(1).as_deref() {
        Some("--crash") => Promised::Crash,
        Some("--hang") => Promised::Hang,
        _ => Promised::GoOn,
    };
    fs::create_dir_all(FOLDER)?;
    let ids = [ACCOUNTS, STOCK, WITNESS];
    // Milliseconds, as the ticks above are. Who is in doubt asks soon.
    let timeouts = Timeouts::default().with_inquire(200);
    let spec = ClusterSpec::new(ClusterId(*b"a shop of SQLite"), Quorums::majority(ids)?, ids);
    let cluster = spec.with_timeouts(timeouts).build()?;
    let (network, start) = (Network::new(), time::Instant::now());
    let mut nodes = Vec::new();
    // The witness is an acceptor and nothing else: nobody asks it to promise anything.
    for (id, name, part, goods) in [
        (ACCOUNTS, "accounts", 0, "account VALUES ('ann', 100)"),
        (STOCK, "stock", 1, "stock VALUES ('lamp', 10)"),
        (WITNESS, "witness", 0, ""),
    ] {
        let mut site = Site::open(name, part, network.port(id), when_promised)?;
        // Here an empty file belongs to a new node. On a machine of its own that could also be a member whose disk was lost:
        // there its operator must say which it is.
        let how = if site.load()?.is_empty() { Start::Create } else { Start::Restore };
        if how == Start::Create && !goods.is_empty() {
            site.store.connection().execute(&format!("INSERT OR IGNORE INTO {goods}"), [])?;
        }
        let mut site = Embedded::new(site);
        let driver = Driver::open(Config::new(cluster.clone(), id, id.0), how, &mut site)?;
        nodes.push((id, driver, site));
    }

    let is_over = |nodes: &[Member]| {
        nodes.iter().all(|(_, driver, _)| driver.is_idle() && driver.node().open_transactions().is_empty())
    };
    for (_, driver, _) in &nodes {
        driver.node().in_doubt().iter().for_each(|doubt| println!("{} was left in doubt", doubt.transaction.id()));
    }
    work(&mut nodes, &network, start, is_over)?;

    let purchase = Input::Begin { participants: Participants::new([ACCOUNTS, STOCK])?, meta: b"ann 30 lamp 1".into() };
    nodes[0].2.store_mut().outcome = None;
    nodes[0].1.push(purchase)?;
    work(&mut nodes, &network, start, |nodes| nodes[0].2.store().outcome.is_some() && is_over(nodes))?;
    if let Some((tx, outcome)) = nodes[0].2.store().outcome {
        println!("{tx} {outcome:?}");
    }
    let [money, lamps] = [(0, "ann"), (1, "lamp")].map(|(node, row)| nodes[node].2.store().amount(row));
    println!("ann has {} left, and there are {} lamps", money?, lamps?);
    Ok(())
}
