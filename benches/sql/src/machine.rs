//! How busy the machine is with other things.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

/// How long to look.
const LOOK: Duration = Duration::from_millis(300);

/// How long to wait for a calm moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many percent others may have in a calm moment.
const CALM: f64 = 10.0;

/// Waits for a calm moment, but not for ever. Says how many percent of the processors others had in it.
pub async fn calm() -> Result<f64> {
    let start = Instant::now();
    loop {
        let others = others().await?;
        if others <= CALM || start.elapsed() >= PATIENCE {
            return Ok(others);
        }
    }
}

/// How many percent of the processors others have. This process must do nothing meanwhile.
pub async fn others() -> Result<f64> {
    let (busy, all) = ticks()?;
    sleep(LOOK).await;
    let (busy_now, all_now) = ticks()?;
    Ok(100.0 * (busy_now - busy) as f64 / (all_now - all).max(1) as f64)
}

/// What all processors have done since the machine started: busy, and altogether.
fn ticks() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what comes after is part of the first two.
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<_, _>>()?;
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}
