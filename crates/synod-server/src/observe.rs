//! What a process says of itself while it runs: its log, and traces.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

#[cfg(feature = "opentelemetry")]
use crate::traces::Traces;
use crate::{
    config::{Config, LogFormat},
    failure::Failure,
};

/// A part of what listens.
type Part = Box<dyn Layer<Registry> + Send + Sync>;

/// What goes on until the process ends.
pub(crate) struct Observed {
    #[cfg(feature = "opentelemetry")]
    traces: Option<Traces>,
}

impl Observed {
    /// Writes the log to the standard error, and sends traces to where they are wanted.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        let filter = EnvFilter::new(&config.log.filter);
        let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let log: Part = match config.log.format {
            LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
            LogFormat::Json => log.json().with_filter(filter).boxed(),
        };
        #[cfg_attr(not(feature = "opentelemetry"), allow(unused_mut, reason = "there is only the log"))]
        let mut parts = vec![log];
        #[cfg(feature = "opentelemetry")]
        let traces = Traces::new(&config.traces)?;
        #[cfg(feature = "opentelemetry")]
        parts.extend(traces.iter().map(|traces| traces.layer().boxed()));
        // It fails if the process has a subscriber already; then that one stays.
        let _ = tracing_subscriber::registry().with(parts).try_init();
        Ok(Self {
            #[cfg(feature = "opentelemetry")]
            traces,
        })
    }

    /// Sends what has gathered.
    pub(crate) async fn end(self) {
        #[cfg(feature = "opentelemetry")]
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}
