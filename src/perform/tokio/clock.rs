//! The node's time, from the runtime's clock.

use core::time::Duration;

use ::tokio::time::Instant;

use super::options::FAR;
use crate::commit::Time;

/// Counts units since the node was started. No time is ever in a record, so every start may begin at zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    /// In nanoseconds, and not zero.
    unit: u128,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start(unit: Duration) -> Self {
        Self { start: Instant::now(), unit: unit.as_nanos().max(1) }
    }

    /// How late it is.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_nanos() / self.unit).unwrap_or(u64::MAX))
    }

    /// When it will be `time`, or a day from now if that is later.
    pub(super) fn instant(&self, time: Time) -> Instant {
        let nanos = u64::try_from(u128::from(time.0).saturating_mul(self.unit)).unwrap_or(u64::MAX);
        let latest = Instant::now() + FAR;
        self.start.checked_add(Duration::from_nanos(nanos)).map_or(latest, |instant| instant.min(latest))
    }
}
