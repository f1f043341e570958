//! What can be chosen about connections.

use std::time::Duration;

use synod::commit::Limits;

use crate::{Error, wire};

/// Bounds of queues, sizes and waits.
///
/// ```
/// # use synod_grpc::Options;
/// let options = Options::default().with_queue(1_000).with_connections(64);
/// assert_eq!((options.queue, options.connections), (1_000, 64));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The most bytes that one message takes on the wire, either way. All nodes of a cluster should have the same. It
    /// must have room for a transaction as large as the cluster's limits allow; with less than 512 KiB, the membership may not be
    /// able to change. One that is made to take as much memory as
    /// it can takes up to 128 times that, for a moment.
    pub message: usize,
    /// How many messages wait for one other node. One more pushes the oldest out, and that is counted.
    pub queue: usize,
    /// How many bytes wait for one other node, at most. More push the oldest messages out.
    pub queue_bytes: usize,
    /// How long a connection may take to come about, with all its handshakes; at a server, until the first call over it.
    pub connect: Duration,
    /// How long a connection may be silent until it is asked for a sign of life.
    pub keep_alive: Duration,
    /// How long that sign may take.
    pub keep_alive_timeout: Duration,
    /// How long to wait before the first attempt to connect again. It doubles with every attempt, and is drawn at random
    /// from its upper half.
    pub backoff: Duration,
    /// How long to wait at most.
    pub backoff_ceiling: Duration,
    /// How many connections clients have at a server at once. One more is closed, and counted.
    pub connections: usize,
    /// How many connections nodes have at a server at once. No client takes the place of one of these.
    ///
    /// Without TLS nobody knows who a client is: a connection whose first call is one for nodes is a node's.
    pub node_connections: usize,
    /// How many of them are one node's or one client's at most. (Without TLS there is no such limit.)
    pub connections_each: usize,
    /// How many connections a server has, beside those, of which it is not yet known whose they are. When there is one
    /// more, the oldest of them is closed, and counted.
    pub newcomers: usize,
    /// How many calls one connection makes at once, waiting ones among them. More wait at the client.
    pub calls: u32,
    /// How long a server waits until a long answer is read, before it closes the connection. There is one such answer at a
    /// time over a connection. And how long it waits until all of a request has come, before it refuses it.
    pub read: Duration,
    /// How long a call of a [`Client`](crate::Client) may take in all, with connecting and with all nodes that it turns to.
    pub call: Duration,
    /// How long a client gives one node, connecting included, before it turns to the next.
    pub attempt: Duration,
    /// How long a shutdown waits for what is under way.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            queue: 1 << 16,
            queue_bytes: 1 << 24,
            connect: Duration::from_secs(5),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(10),
            backoff: Duration::from_millis(50),
            backoff_ceiling: Duration::from_secs(5),
            connections: 384,
            node_connections: 128,
            connections_each: 32,
            newcomers: 64,
            calls: 256,
            read: Duration::from_secs(30),
            call: Duration::from_secs(30),
            attempt: Duration::from_secs(5),
            grace: Duration::from_secs(5),
        }
    }
}

/// The methods that set the public fields of a `#[non_exhaustive]` struct.
macro_rules! with_methods {
    ($($name:ident($field:ident: $type:ty);)+) => {$(
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub const fn $name(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )+};
}

impl Options {
    with_methods! {
        with_message(message: usize);
        with_queue(queue: usize);
        with_queue_bytes(queue_bytes: usize);
        with_connect(connect: Duration);
        with_keep_alive(keep_alive: Duration);
        with_keep_alive_timeout(keep_alive_timeout: Duration);
        with_backoff(backoff: Duration);
        with_backoff_ceiling(backoff_ceiling: Duration);
        with_connections(connections: usize);
        with_node_connections(node_connections: usize);
        with_connections_each(connections_each: usize);
        with_newcomers(newcomers: usize);
        with_calls(calls: u32);
        with_read(read: Duration);
        with_call(call: Duration);
        with_attempt(attempt: Duration);
        with_grace(grace: Duration);
    }

    /// The same, without durations that no clock can count. Refuses what would leave no room, or no time, for anything.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        let Self { message, queue, queue_bytes, calls, .. } = self;
        let counts = [
            ("message", message),
            ("queue", queue),
            ("queue_bytes", queue_bytes),
            ("connections", self.connections),
            ("node_connections", self.node_connections),
            ("connections_each", self.connections_each),
            ("newcomers", self.newcomers),
            ("calls", calls as usize),
        ];
        let waits = [
            ("connect", self.connect),
            ("keep_alive", self.keep_alive),
            ("keep_alive_timeout", self.keep_alive_timeout),
            ("backoff", self.backoff),
            ("backoff_ceiling", self.backoff_ceiling),
            ("read", self.read),
            ("call", self.call),
            ("attempt", self.attempt),
        ];
        let count = counts.iter().find(|(_, count)| *count == 0).map(|(name, _)| *name);
        match count.or(waits.iter().find(|(_, wait)| wait.is_zero()).map(|(name, _)| *name)) {
            Some(name) => Err(Error::ZeroOption(name)),
            None => Ok(self.bounded()),
        }
    }

    fn bounded(self) -> Self {
        Self {
            connect: self.connect.min(FAR),
            keep_alive: self.keep_alive.min(FAR),
            keep_alive_timeout: self.keep_alive_timeout.min(FAR),
            backoff: self.backoff.min(FAR),
            backoff_ceiling: self.backoff_ceiling.min(FAR),
            read: self.read.min(FAR),
            call: self.call.min(FAR),
            attempt: self.attempt.min(FAR),
            grace: self.grace.min(FAR),
            ..self
        }
    }

    /// Refuses more connections than the process may open files for, with those that its storage, its own connections and
    /// the rest of it take.
    pub(crate) fn check_files(&self) -> Result<(), Error> {
        let Self { connections, node_connections, newcomers, .. } = *self;
        let connections = connections.saturating_add(node_connections).saturating_add(newcomers);
        match open_files() {
            Some(allowed) if connections.saturating_add(OTHER_FILES) as u64 > allowed => {
                Err(Error::OpenFiles { connections, others: OTHER_FILES, allowed })
            }
            _ => Ok(()),
        }
    }

    /// Refuses limits under which a transaction could begin whose messages would not fit.
    pub(crate) fn check_room(&self, limits: &Limits) -> Result<(), Error> {
        let needed = wire::largest(limits);
        if needed <= self.message { Ok(()) } else { Err(Error::SmallMessages { needed, allowed: self.message }) }
    }
}

/// Longer than this nothing waits; it keeps sums of instants small.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// Files that a process has open beside the connections to its server: those of its storage, its connections to other nodes,
/// and what else there is.
const OTHER_FILES: usize = 256;

/// How many files this process may open, if that is limited.
fn open_files() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    return None;
}
