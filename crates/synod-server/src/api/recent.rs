//! How transactions ended lately.

use std::{collections::BTreeMap, time::Duration};

use synod::{
    TxId,
    commit::Outcome,
    perform::tokio::{Handle, RecentOutcome},
};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{
    look::{PATIENCE, word},
    view::{self, What},
};
use crate::run::Process;

/// Among how many of the last outcomes that of one transaction is looked for.
const MOST: usize = 1 << 16;

/// The outcomes that the nodes of this process have learned last.
pub(crate) async fn recent(process: &Process, limit: usize) -> view::Recent {
    let mut all: BTreeMap<TxId, (RecentOutcome, Vec<u64>)> = BTreeMap::new();
    for handle in process.handles() {
        let Ok(Ok(listed)) = timeout(PATIENCE, handle.recent(limit)).await else { continue };
        for each in listed {
            let (first, known_at) = all.entry(each.tx).or_insert((each, Vec::new()));
            first.ago = first.ago.max(each.ago);
            first.took = first.took.or(each.took);
            known_at.push(handle.node().0);
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|(each, _)| each.ago);
    all.truncate(limit);
    let now = OffsetDateTime::now_utc();
    let outcomes = all.into_iter().map(|(each, known_at)| view::RecentOutcome {
        tx: each.tx.to_string(),
        outcome: word(each.outcome).into(),
        at: at(now, each.ago),
        ago_seconds: each.ago.as_secs_f64(),
        took_seconds: each.took.map(|took| took.as_secs_f64()),
        known_at,
    });
    view::Recent { outcomes: outcomes.collect() }
}

/// `ago` before now, to the second.
fn at(now: OffsetDateTime, ago: Duration) -> String {
    let Some(at) = now.checked_sub(ago.try_into().unwrap_or_default()) else { return String::new() };
    let (date, time) = (at.date(), at.time());
    format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// What a node remembers of how `tx` ended.
pub(super) async fn moments(handle: &Handle, tx: TxId) -> Vec<view::Moment> {
    let recent = timeout(PATIENCE, handle.recent(MOST)).await.ok().and_then(Result::ok).unwrap_or_default();
    let Some(found) = recent.into_iter().find(|each| each.tx == tx) else { return Vec::new() };
    let (node, ago) = (handle.node().0, found.ago.as_secs_f64());
    let what = if found.outcome == Outcome::Committed { What::Committed } else { What::Aborted };
    let begun = found.took.map(|took| view::Moment { node, what: What::Begun, ago_seconds: ago + took.as_secs_f64() });
    begun.into_iter().chain([view::Moment { node, what, ago_seconds: ago }]).collect()
}
