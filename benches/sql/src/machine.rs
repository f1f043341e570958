//! How busy the machine is with other things.

use std::{fmt, fs, time::Duration};

use anyhow::{Context, Result};

/// What others have of the processors.
pub struct Others {
    percent: f64,
    load: String,
}

/// Looks for a second, in which this process does nothing.
pub async fn others() -> Result<Others> {
    let before = ticks()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = ticks()?;
    let [busy, all] = [after.0 - before.0, after.1 - before.1];
    let load = fs::read_to_string("/proc/loadavg").context("reading /proc/loadavg")?;
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    Ok(Others { percent: 100.0 * busy as f64 / all.max(1) as f64, load })
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "others have {:.0} % of the processors, load averages {}", self.percent, self.load)?;
        if self.percent > 10.0 { write!(f, "; do not trust this round") } else { Ok(()) }
    }
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
