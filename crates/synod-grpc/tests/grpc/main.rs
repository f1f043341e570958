//! Nodes on real sockets: transactions end alike everywhere, an impostor changes nothing, and nobody waits for
//! anybody.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "sockets, and the clock for bounded waits")]

mod authority;
mod bounds;
mod clients;
mod commit;
mod conformance;
mod connections;
mod epochs;
mod failover;
mod greetings;
#[cfg(target_os = "linux")]
mod half_sent;
mod identities;
mod intruders;
mod metrics;
mod papers;
mod python;
mod queues;
mod roles;
mod tools;
mod typescript;
mod upgrade;
mod wire;
mod world;

use std::time::Duration;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `holds`, and fails when it takes too long.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < give_up, "never came about: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Fails when `future` takes too long.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("took too long: {what}"))
}
