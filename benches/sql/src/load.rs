//! Clients that transfer for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    bank::{ACCOUNTS, Balances, Bank},
    contestant::{Contestant, Teller, Transfer},
    machine,
};

/// What one case took in one round.
#[derive(Debug)]
pub struct Took {
    /// For how long it was measured.
    pub seconds: f64,
    /// How long each transfer took that ended in that time.
    pub transfers: Vec<Duration>,
    /// How many percent of the processors others had, before it or after it.
    pub others: f64,
}

/// How many transfers there were, of everyone's.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The accounts of one client in the database that takes. Any client takes from any account of the other one, so that
/// there they may wait for each other; if they could in both, two could wait for each other for ever.
pub struct Accounts {
    own: u64,
    clients: u64,
}

impl Accounts {
    /// Those of client `own` of `clients`.
    pub fn of(own: usize, clients: usize) -> Self {
        Self { own: own as u64, clients: clients as u64 }
    }

    /// The next transfer.
    pub fn transfer(&self) -> Transfer {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let random = mix(number);
        let to = (random >> 32) % (ACCOUNTS / self.clients) * self.clients + self.own;
        Transfer { number, from: (random % ACCOUNTS) as i64, to: to as i64 }
    }
}

/// The finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Lets `clients` of `who` transfer for `time`, after a fifth of it that does not count.
pub async fn run(who: &dyn Contestant, bank: &Bank, clients: usize, time: Duration) -> Result<Took> {
    bank.rest()?;
    let (before, others) = (bank.balances()?, machine::calm().await?);
    let (start, mut tasks) = (Arc::new(Barrier::new(clients)), JoinSet::new());
    for client in 0..clients {
        let (teller, start) = (who.teller(bank).await?, Arc::clone(&start));
        tasks.spawn(transfers(teller, Accounts::of(client, clients), start, time));
    }
    let (mut took, mut all) = (Took { seconds: time.as_secs_f64(), transfers: Vec::new(), others }, 0);
    while let Some(done) = tasks.join_next().await {
        let (count, transfers) = done??;
        all += count;
        took.transfers.extend(transfers);
    }
    took.others = took.others.max(machine::others().await?);
    verify(who, before, bank.balances()?, all)?;
    Ok(took)
}

/// How many transfers a client carried out, and how long those took that count.
async fn transfers(
    mut teller: Box<dyn Teller>,
    accounts: Accounts,
    start: Arc<Barrier>,
    time: Duration,
) -> Result<(i64, Vec<Duration>)> {
    start.wait().await;
    let from = Instant::now() + time / 5;
    let (mut count, mut counted) = (0, Vec::new());
    loop {
        let began = Instant::now();
        teller.transfer(accounts.transfer()).await?;
        let ended = Instant::now();
        count += 1;
        if ended >= from + time {
            return Ok((count, counted));
        }
        if ended >= from {
            counted.push(ended - began);
        }
    }
}

/// Fails unless the balances say that there were so many transfers, and nothing is left prepared.
pub fn verify(who: &dyn Contestant, before: Balances, after: Balances, transfers: i64) -> Result<()> {
    let given = before.sums[0] - transfers;
    let taken = before.sums[1] + transfers * (who.writes() - 1);
    let right = Balances { sums: [given, taken], prepared: [0, 0] };
    ensure!(after == right, "{}: after {transfers} transfers there must be {right:?}, and is {after:?}", who.name());
    Ok(())
}
