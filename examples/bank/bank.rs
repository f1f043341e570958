//! The event loop: all nodes of the bank in one process, and the network between them.
//!
//! One turn hands every node what has arrived, carries out what follows with one write a node, and puts the packets
//! that this releases on their way: they arrive in the next turn.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use synod::{
    NodeId, Refusal, TxId,
    commit::{Input, Message, Outcome, Time, Transaction},
    perform::{Driver, DriverError, embedded::Embedded, fjall::FjallError},
};

use crate::{
    args::Crash,
    cast::{Cast, Name},
    folder::{Folder, FolderError},
    ledger::BookError,
    meter::Meter,
    site::Site,
    teller::{Teller, TellerError},
    transfer::Account,
};

/// How long a node that was dropped stays away.
const AWAY: Duration = Duration::from_millis(300);
/// The longest rest when nothing happens.
const REST: Duration = Duration::from_millis(20);

/// The bank at work.
pub(crate) struct Bank {
    folder: Folder,
    cast: Cast,
    /// In the order of node ids.
    nodes: Vec<Station>,
    /// Crashes to come.
    crashes: Vec<Crash>,
    start: Instant,
    tally: Tally,
}

/// What the nodes have counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) meter: Meter,
    /// How many inputs only a broken protocol or a lost disk could have caused.
    pub(crate) violations: u64,
}

/// A place in the network where a node is, or was and will be.
struct Station {
    name: Name,
    state: State,
    inbox: VecDeque<(NodeId, Vec<Message>)>,
}

enum State {
    Up(Box<(Driver, Embedded<Site>)>),
    Down { until: Instant },
}

/// Why the bank cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BankError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Teller(#[from] TellerError),
    #[error("{name} has stopped")]
    Driver { name: Name, source: DriverError<FjallError> },
    #[error("{name}: an account cannot be opened")]
    Opening { name: Name, source: fjall::Error },
    #[error("{name}: the books cannot be read")]
    Books { name: Name, source: BookError },
    #[error("{name} refuses to begin {tx}")]
    Refused { name: Name, tx: TxId, source: Refusal },
}

impl Bank {
    /// The bank as its databases hold it. `accounts` are opened where they are not open yet.
    pub(crate) fn restore(
        folder: Folder,
        cast: Cast,
        accounts: &[Account],
        crashes: Vec<Crash>,
    ) -> Result<Self, BankError> {
        let mut nodes = Vec::new();
        for name in cast.names() {
            let (driver, mut site) = folder.restore(name)?;
            if let Some((ledger, database)) = site.store_mut().ledger() {
                let opened = ledger.open_accounts(database, accounts.iter().copied());
                opened.map_err(|source| BankError::Opening { name, source })?;
            }
            nodes.push(Station { name, state: State::Up(Box::new((driver, site))), inbox: VecDeque::new() });
        }
        Ok(Self { folder, cast, nodes, crashes, start: Instant::now(), tally: Tally::default() })
    }

    /// Tells every node to get what it has open to its outcome, without waiting for its timers.
    pub(crate) fn inquire(&mut self) {
        for station in &mut self.nodes {
            if let State::Up(node) = &mut station.state {
                let (driver, _) = &mut **node;
                for tx in driver.node().open_transactions() {
                    // It is open: there is nothing to refuse.
                    let _ = driver.push(Input::Inquire(tx));
                }
            }
        }
    }

    /// Begins what the teller asks for.
    pub(crate) fn begin(&mut self, teller: &mut Teller, now: Instant) -> Result<(), BankError> {
        for (name, transaction, meta) in teller.requests(now) {
            let tx = transaction.id();
            let place = self.place(self.cast.node(name));
            let State::Up(node) = &mut self.nodes[place].state else { continue };
            match node.0.push(Input::BeginAs { transaction: transaction.clone(), meta }) {
                // A node that is too busy is asked again.
                Ok(()) | Err(Refusal::TooManyOpen | Refusal::Overloaded) => {}
                Err(Refusal::Retired) => {
                    if let Some(outcome) = self.look_up(&transaction)? {
                        teller.settle(tx, outcome, now);
                    }
                }
                Err(source) => return Err(BankError::Refused { name, tx, source }),
            }
        }
        Ok(())
    }

    /// One turn of the loop. Returns whether anything happened.
    pub(crate) fn turn(&mut self, teller: &mut Teller, now: Instant) -> Result<bool, BankError> {
        self.crash(teller, now)?;
        let time = self.time(now);
        let mut packets = Vec::new();
        for station in &mut self.nodes {
            let State::Up(node) = &mut station.state else {
                // What is sent to a node that is away is lost.
                station.inbox.clear();
                continue;
            };
            let (driver, site) = &mut **node;
            // The time first: what comes now is waited for from now on.
            driver.push(Input::Tick(time)).expect("time does not go back");
            for (from, messages) in station.inbox.drain(..) {
                driver.receive(from, &messages);
            }
            driver.flush(site).map_err(|source| BankError::Driver { name: station.name, source })?;
            let (from, site) = (self.cast.node(station.name), site.store_mut());
            packets.extend(site.outgoing.drain(..).map(|packet| (from, packet)));
            for (tx, outcome) in site.outcomes.drain(..) {
                teller.settle(tx, outcome, Instant::now());
            }
            self.tally.meter.take(&mut site.meter);
        }
        let happened = !packets.is_empty();
        for (from, packet) in packets {
            let place = self.place(packet.to);
            self.nodes[place].inbox.push_back((from, packet.messages));
        }
        Ok(happened || !self.is_idle())
    }

    /// Rests until something is due.
    pub(crate) fn rest(&self, teller: &Teller) {
        let now = Instant::now();
        let mut until = now + REST;
        until = teller.deadline().map_or(until, |deadline| until.min(deadline));
        for station in &self.nodes {
            let due = match &station.state {
                State::Up(node) => node.0.node().deadline().map(|Time(time)| self.start + Duration::from_millis(time)),
                State::Down { until } => Some(*until),
            };
            until = due.map_or(until, |due| until.min(due));
        }
        // A clock of milliseconds cannot tell shorter rests from none.
        std::thread::sleep(until.saturating_duration_since(now).max(Duration::from_millis(1)));
    }

    /// Whether every node is up, and no transaction is open or in doubt in any.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_idle() && self.nodes.iter().all(|station| matches!(station.state, State::Up(_))) && self.open() == 0
    }

    /// How many transactions the nodes have open, all together.
    pub(crate) fn open(&self) -> usize {
        self.drivers().map(|driver| driver.node().metrics().open).sum()
    }

    /// The nodes that have open transactions, for a report on why nothing moves.
    pub(crate) fn stuck(&self) -> String {
        let stuck = self.nodes.iter().filter_map(|station| match &station.state {
            State::Up(node) => {
                let open = node.0.node().open_transactions();
                let first = *open.first()?;
                Some(format!(
                    "{} has {} open, {first} first: {:?}",
                    station.name,
                    open.len(),
                    node.0.node().status(first)
                ))
            }
            State::Down { .. } => None,
        });
        stuck.collect::<Vec<_>>().join("; ")
    }

    /// Crashes that were asked for and have not come.
    pub(crate) fn crashes_left(&self) -> &[Crash] {
        &self.crashes
    }

    /// Closes every database, and returns what was counted.
    pub(crate) fn close(mut self) -> Tally {
        for station in self.nodes {
            if let State::Up(node) = station.state {
                self.tally.note(&node.0);
            }
        }
        self.tally
    }

    /// Drops the nodes whose time has come, and restores those that were away long enough.
    fn crash(&mut self, teller: &Teller, now: Instant) -> Result<(), BankError> {
        let done = teller.done_now() as u64;
        let due: Vec<Crash> = self.crashes.extract_if(.., |crash| crash.after <= done).collect();
        for crash in due {
            let place = self.place(self.cast.node(crash.name));
            let station = &mut self.nodes[place];
            let State::Up(node) = std::mem::replace(&mut station.state, State::Down { until: now + AWAY }) else {
                continue;
            };
            let (mut driver, _) = *node;
            // It dies with its hands full: it has stepped, and nothing of that is durable or has left.
            for (from, messages) in station.inbox.drain(..) {
                driver.receive(from, &messages);
            }
            self.tally.note(&driver);
        }
        for station in &mut self.nodes {
            if let State::Down { until } = station.state
                && until <= now
            {
                station.state = State::Up(Box::new(self.folder.restore(station.name)?));
            }
        }
        Ok(())
    }

    /// How a transaction that is over everywhere has ended, from a branch's books; `None` while that branch is away.
    fn look_up(&mut self, transaction: &Transaction) -> Result<Option<Outcome>, BankError> {
        let place = self.place(transaction.participants()[0]);
        let station = &mut self.nodes[place];
        let State::Up(node) = &mut station.state else { return Ok(None) };
        let Some((ledger, _)) = node.1.store_mut().ledger() else { return Ok(None) };
        let applied = ledger.books().has_applied(transaction.id().seq);
        let applied = applied.map_err(|source| BankError::Books { name: station.name, source })?;
        Ok(Some(if applied { Outcome::Committed } else { Outcome::Aborted }))
    }

    fn is_idle(&self) -> bool {
        self.nodes.iter().all(|station| station.inbox.is_empty()) && self.drivers().all(Driver::is_idle)
    }

    fn drivers(&self) -> impl Iterator<Item = &Driver> {
        self.nodes.iter().filter_map(|station| match &station.state {
            State::Up(node) => Some(&node.0),
            State::Down { .. } => None,
        })
    }

    fn time(&self, now: Instant) -> Time {
        Time(now.duration_since(self.start).as_millis() as u64)
    }

    /// Node ids count from 1.
    fn place(&self, node: NodeId) -> usize {
        (node.0 - 1) as usize
    }
}

impl Tally {
    /// Takes the counts of a node that is about to go.
    fn note(&mut self, driver: &Driver) {
        self.violations += driver.node().metrics().violations();
    }
}

impl Folder {
    /// A node and its handlers, from its database.
    pub(crate) fn restore(&self, name: Name) -> Result<(Driver, Embedded<Site>), FolderError> {
        let mut site = Embedded::new(self.site(name)?);
        let driver = Driver::restore(self.config(name), &mut site);
        Ok((driver.map_err(|source| FolderError::Driver { name, source })?, site))
    }
}
