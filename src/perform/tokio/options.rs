//! What can be chosen about a driver.

use core::time::Duration;

use super::Error;

/// Bounds of a running node's queues, the unit of its clock, and how long a write may wait.
///
/// ```
/// # use std::time::Duration;
/// # use synod::perform::tokio::Options;
/// let options = Options::default().with_linger(Duration::ZERO).with_inbox(1_000);
/// assert_eq!(options.unit, Duration::from_millis(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long one unit of [`Time`](crate::commit::Time) is, the unit of the configuration's timeouts. A millisecond,
    /// unless said otherwise.
    pub unit: Duration,
    /// How many packets of other nodes may wait to be taken. One more is dropped, and counted.
    pub inbox: usize,
    /// About how many bytes these may take. While they take that much, more packets are dropped, and counted.
    pub inbox_bytes: usize,
    /// How many requests may wait to be taken. One more waits to be put there.
    pub requests: usize,
    /// How many callers may wait for outcomes at once.
    pub waiting: usize,
    /// How many outcomes are remembered for callers who ask later.
    pub outcomes: usize,
    /// How many effects and answers to callers may wait behind a write. With more than that, no packet and no request is
    /// taken.
    pub ahead: usize,
    /// About how many bytes of records, messages and decisions may wait for a write, or be part of one. While it is that
    /// much, no packet and no request is taken, no time-out ends, and the resource is asked nothing more. What was taken by
    /// then may lead to a little more than that: a packet, some requests, and the answers of the resource.
    pub unwritten_bytes: usize,
    /// How many votes the resource is asked for at once. The others wait for their turn, in order. A database with few
    /// connections needs few votes at once, or it will vote to abort for want of a connection.
    pub votes: usize,
    /// How many transactions the resource is asked to commit or to abort at once.
    pub verdicts: usize,
    /// How long to wait before the resource is asked again to carry out what it could not: at first. Each time it is twice
    /// as long, up to [`retry_ceiling`](Self::retry_ceiling), and up to half longer at random.
    pub retry: Duration,
    /// The longest such wait, without what random adds to it.
    pub retry_ceiling: Duration,
    /// How long a record for which nobody waits may wait for another to ride along with, counted from when it came or, if
    /// that is later, from the end of the write that was under way then. After that it is written anyway.
    /// Keep this far below the `repeat` of the configuration's time-outs, because others wait that long for what follows
    /// from such a record before they ask again. Zero writes every record at once.
    pub linger: Duration,
    /// How long a shutdown waits for the resource to finish what it was asked before; and for a write that is under way
    /// then, or begins meanwhile.
    pub grace: Duration,
    /// How long a write may take before it is said to hang. Then a warning is logged, and callers are told
    /// [`Error::Stalled`] until the write ends: those who wait, and those who come. The node itself waits on.
    pub stall: Duration,
    /// How long a node that is behind, or in no epoch yet, waits for a word of a member that it believes until a warning is
    /// logged. It waits on.
    pub alone: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults, as a constant.
    pub const fn new() -> Self {
        Self {
            unit: Duration::from_millis(1),
            inbox: 4_096,
            inbox_bytes: 1 << 26,
            requests: 1_024,
            waiting: 1 << 16,
            outcomes: 1 << 16,
            ahead: 1 << 18,
            unwritten_bytes: 1 << 26,
            votes: 64,
            verdicts: 256,
            retry: Duration::from_millis(10),
            retry_ceiling: Duration::from_secs(10),
            linger: Duration::from_millis(5),
            grace: Duration::from_secs(5),
            stall: Duration::from_secs(3),
            alone: Duration::from_secs(10),
        }
    }

    with_methods! {
        with_unit(unit: Duration);
        with_inbox(inbox: usize);
        with_inbox_bytes(inbox_bytes: usize);
        with_requests(requests: usize);
        with_waiting(waiting: usize);
        with_outcomes(outcomes: usize);
        with_ahead(ahead: usize);
        with_unwritten_bytes(unwritten_bytes: usize);
        with_votes(votes: usize);
        with_verdicts(verdicts: usize);
        with_retry(retry: Duration);
        with_retry_ceiling(retry_ceiling: Duration);
        with_linger(linger: Duration);
        with_grace(grace: Duration);
        with_stall(stall: Duration);
        with_alone(alone: Duration);
    }
}

/// Longer than this nothing waits; it keeps sums of instants small.
pub(super) const FAR: Duration = Duration::from_secs(24 * 60 * 60);

impl Options {
    /// The same, without durations that no clock can count.
    pub(super) fn bounded(self) -> Self {
        Self {
            linger: self.linger.min(FAR),
            grace: self.grace.min(FAR),
            stall: self.stall.min(FAR),
            alone: self.alone.min(FAR),
            retry_ceiling: self.retry_ceiling.min(FAR),
            ..self
        }
    }

    /// Refuses what would leave no room or no time for anything.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_zero = [
            ("unit", self.unit.is_zero()),
            ("inbox", self.inbox == 0),
            ("inbox_bytes", self.inbox_bytes == 0),
            ("requests", self.requests == 0),
            ("waiting", self.waiting == 0),
            ("outcomes", self.outcomes == 0),
            ("ahead", self.ahead == 0),
            ("unwritten_bytes", self.unwritten_bytes == 0),
            ("votes", self.votes == 0),
            ("verdicts", self.verdicts == 0),
            ("retry", self.retry.is_zero()),
            ("retry_ceiling", self.retry_ceiling.is_zero()),
            ("stall", self.stall.is_zero()),
        ];
        match is_zero.iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(Error::ZeroOption(name)),
            None => Ok(()),
        }
    }
}
