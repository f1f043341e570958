//! A watch over the write that is under way: a disk that hangs says nothing.

use core::time::Duration;

use ::tokio::time::Instant;

use super::telemetry::Telemetry;

/// How often it is said how long a write has been taking.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the present write from time to time, and says so when it takes too long.
#[derive(Debug)]
pub(super) struct Watch {
    /// A write that takes longer hangs.
    limit: Duration,
    write: Option<Write>,
}

/// The present write.
#[derive(Debug)]
struct Write {
    since: Instant,
    next_look: Instant,
    /// After how long something is said next.
    next_warning: Duration,
}

impl Watch {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, write: None }
    }

    /// A write begins.
    pub(super) fn began(&mut self) {
        let since = Instant::now();
        self.write = Some(Write { since, next_look: since + LOOK.min(self.limit), next_warning: self.limit });
    }

    /// It is over.
    pub(super) fn ended(&mut self, telemetry: &Telemetry) {
        if let Some(write) = self.write.take() {
            let took = write.since.elapsed();
            if took >= self.limit {
                telemetry.unstalled(took);
            }
            telemetry.writing(Duration::ZERO);
        }
    }

    /// Since when the present write has been under way.
    pub(super) fn since(&self) -> Option<Instant> {
        self.write.as_ref().map(|write| write.since)
    }

    /// Whether the present write hangs.
    pub(super) fn is_stalled(&self) -> bool {
        self.since().is_some_and(|since| since.elapsed() >= self.limit)
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.write.as_ref().map(|write| write.next_look)
    }

    /// Says what is to be said by now.
    pub(super) fn look(&mut self, telemetry: &Telemetry) {
        let Some(write) = &mut self.write else { return };
        let now = Instant::now();
        if now < write.next_look {
            return;
        }
        let taking = now - write.since;
        telemetry.writing(taking);
        if taking >= write.next_warning {
            telemetry.stalled(taking);
            write.next_warning = taking.saturating_mul(2);
        }
        let warning = write.since + write.next_warning;
        write.next_look = if warning > now { warning.min(now + LOOK) } else { now + LOOK };
    }
}
