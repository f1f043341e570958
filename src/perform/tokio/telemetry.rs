//! What is counted and measured, and under which names. The table is in the documentation of the module above.

use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};
use core::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

use crate::{
    NodeId, Refusal, TxId,
    commit::{ClusterId, Metrics, Outcome},
};

/// One node's counters, gauges and histograms.
pub(super) struct Telemetry {
    labels: [Label; 2],
    /// What was said of the node last.
    told: Metrics,
    steps: Counter,
    messages: Counter,
    records: Counter,
    writes: Counter,
    recoveries: Counter,
    missed_outcomes: Counter,
    violations: Counter,
    panics: Counter,
    refused_answers: Counter,
    committed: Counter,
    aborted: Counter,
    open: Gauge,
    fenced: Gauge,
    retired_ranges: Gauge,
    unacknowledged_ranges: Gauge,
    waiting: Gauge,
    unwritten: Gauge,
    votes_in_line: Gauge,
    verdicts_in_line: Gauge,
    writing: Gauge,
    batch_records: Histogram,
    write_seconds: Histogram,
    outcome_seconds: Histogram,
}

/// What waits at a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Callers, for outcomes.
    pub(super) callers: usize,
    /// What was stepped, for a write.
    pub(super) bytes: usize,
    /// Transactions, for the resource: to vote, and to carry them out.
    pub(super) in_line: (usize, usize),
}

/// The labels of all that is said of a node.
fn labels(cluster: ClusterId, node: NodeId) -> [Label; 2] {
    [Label::new("cluster", cluster.to_string()), Label::new("node", node.0.to_string())]
}

fn and(labels: &[Label], one_more: Label) -> Vec<Label> {
    labels.iter().cloned().chain([one_more]).collect()
}

/// Packets that a full inbox, or the inbox of a node that has stopped, dropped.
pub(super) fn dropped_packets(cluster: ClusterId, node: NodeId) -> Counter {
    counter!("synod_packets_dropped_total", labels(cluster, node).iter())
}

impl Telemetry {
    pub(super) fn new(cluster: ClusterId, node: NodeId) -> Self {
        let labels = labels(cluster, node);
        let counter = |name: &'static str| counter!(name, labels.iter());
        let gauge = |name: &'static str| gauge!(name, labels.iter());
        let histogram = |name: &'static str| histogram!(name, labels.iter());
        let outcome =
            |outcome: &'static str| counter!("synod_outcomes_total", and(&labels, Label::new("outcome", outcome)));
        Self {
            told: Metrics::default(),
            steps: counter("synod_steps_total"),
            messages: counter("synod_messages_sent_total"),
            records: counter("synod_records_total"),
            writes: counter("synod_writes_total"),
            recoveries: counter("synod_recoveries_total"),
            missed_outcomes: counter("synod_missed_outcomes_total"),
            violations: counter("synod_violations_total"),
            panics: counter("synod_resource_panics_total"),
            refused_answers: counter("synod_refused_answers_total"),
            committed: outcome("committed"),
            aborted: outcome("aborted"),
            open: gauge("synod_open_transactions"),
            fenced: gauge("synod_fenced_transactions"),
            retired_ranges: gauge("synod_retired_ranges"),
            unacknowledged_ranges: gauge("synod_unacknowledged_ranges"),
            waiting: gauge("synod_waiting_callers"),
            unwritten: gauge("synod_unwritten_bytes"),
            votes_in_line: gauge("synod_votes_in_line"),
            verdicts_in_line: gauge("synod_verdicts_in_line"),
            writing: gauge("synod_write_under_way_seconds"),
            batch_records: histogram("synod_batch_records"),
            write_seconds: histogram("synod_write_seconds"),
            outcome_seconds: histogram("synod_outcome_seconds"),
            labels,
        }
    }

    /// Says what has changed at the node.
    pub(super) fn note(&mut self, now: Metrics, waiting: Waiting) {
        let told = core::mem::replace(&mut self.told, now);
        if now != told {
            self.steps.increment(now.steps.saturating_sub(told.steps));
            self.messages.increment(now.sends.saturating_sub(told.sends));
            self.records.increment(now.writes.saturating_sub(told.writes));
            self.recoveries.increment(now.recoveries.saturating_sub(told.recoveries));
            self.missed_outcomes.increment(now.missed_outcomes.saturating_sub(told.missed_outcomes));
            self.open.set(now.open as f64);
            self.fenced.set(now.fenced as f64);
            self.retired_ranges.set(now.retired_ranges as f64);
            self.unacknowledged_ranges.set(now.unacknowledged_ranges as f64);
            for (refusal, count) in now.refusals() {
                match count.saturating_sub(told.refused(refusal)) {
                    0 => {}
                    more => self.refused(refusal, more),
                }
            }
        }
        let Waiting { callers, bytes, in_line: (votes, verdicts) } = waiting;
        self.waiting.set(callers as f64);
        self.unwritten.set(bytes as f64);
        self.votes_in_line.set(votes as f64);
        self.verdicts_in_line.set(verdicts as f64);
    }

    fn refused(&self, refusal: Refusal, count: u64) {
        if refusal.is_violation() {
            tracing::error!(?refusal, count, "the protocol is broken, or a storage was lost");
            self.violations.increment(count);
        } else {
            tracing::debug!(?refusal, count, "refused");
        }
        // This is rare enough to be looked up each time.
        let reason = Label::new("reason", format!("{refusal:?}"));
        counter!("synod_refusals_total", and(&self.labels, reason)).increment(count);
    }

    /// A batch is durable.
    pub(super) fn written(&self, records: usize, took: Duration) {
        tracing::trace!(records, ?took, "written");
        self.writes.increment(1);
        self.batch_records.record(records as f64);
        self.write_seconds.record(took);
    }

    /// How long the present write has been taking.
    pub(super) fn writing(&self, taking: Duration) {
        self.writing.set(taking.as_secs_f64());
    }

    /// The present write takes too long.
    pub(super) fn stalled(&self, taking: Duration) {
        tracing::warn!(?taking, "a write hangs");
    }

    /// A write that took too long is over.
    pub(super) fn unstalled(&self, took: Duration) {
        tracing::warn!(?took, "a write that hung is over");
    }

    /// Nobody has spoken to a node that is behind whom it believes: not these members, but perhaps a stranger.
    pub(super) fn alone(&self, waiting: Duration, members: &BTreeSet<NodeId>, stranger: Option<NodeId>) {
        let members: Vec<u64> = members.iter().map(|member| member.0).collect();
        tracing::warn!(
            ?waiting,
            ?members,
            stranger = stranger.map(display),
            "no member that this node believes speaks to it; if these are not the present members, start it again with those in its \
             configuration"
        );
    }

    /// An outcome is known; `took` since it was begun, if that was here.
    pub(super) fn outcome(&self, outcome: Outcome, took: Option<Duration>) {
        match outcome {
            Outcome::Committed => self.committed.increment(1),
            Outcome::Aborted => self.aborted.increment(1),
        }
        if let Some(took) = took {
            self.outcome_seconds.record(took);
        }
    }

    /// The node refuses what the resource has answered.
    pub(super) fn answer_refused(&self, refusal: Refusal) {
        tracing::debug!(?refusal, "answer refused");
        self.refused_answers.increment(1);
    }

    /// A call of the resource has panicked, about `tx` if it was about one.
    pub(super) fn panicked(&self, tx: Option<TxId>, call: &'static str) {
        tracing::error!(tx = tx.map(display), call, "a call of the resource has panicked");
        self.panics.increment(1);
    }
}
