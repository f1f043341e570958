//! What is counted, for Prometheus. What nodes and the network count themselves is explained here, too.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{interval, timeout};

use crate::{
    failure::{Exit, Failure},
    run::Process,
};

/// How often what only grows in memory is put in order.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a node may take to say how it is.
const PATIENCE: Duration = Duration::from_millis(500);

/// Seconds that writes and outcomes take.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const RECORDS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];

/// What this process counts beside its nodes: gauges, by name and meaning.
const OWN: [(&str, &str); 10] = [
    (
        "synod_in_doubt_transactions",
        "transactions that the database here has promised to commit, and whose outcome is not known here",
    ),
    ("synod_in_doubt_oldest_seconds", "for how long the oldest of them has been in doubt; 0 without any"),
    (
        "synod_violating_transactions",
        "transactions that show that an assumption of the protocol was broken: an operator is needed",
    ),
    ("synod_database_alarms", "branches that were ended behind the cluster's back: an operator is needed"),
    ("synod_database_away", "1 while the database of this node does not answer"),
    ("synod_epoch", "the epoch that the node is in"),
    ("synod_member", "1 if the node is an acceptor and transaction manager of its epoch"),
    (
        "synod_recording_stopped",
        "of a node that is recorded: 1 if its disk has failed, and nothing more is recorded; 0 otherwise",
    ),
    ("synod_up", "1 while the node answers"),
    ("synod_build_info", "1; the label says which version runs"),
];

/// What it counts of the recording of its nodes, if they are recorded.
const RECORDED: [(&str, &str); 3] = [
    ("synod_recorded_inputs_total", "inputs and packets of the node that were recorded"),
    ("synod_recorded_bytes_total", "bytes that were written of its recording"),
    (
        "synod_recording_lost_total",
        "inputs and packets that were not recorded: the disk has failed, or did not keep up",
    ),
];

const COUNTERS: [(&str, &str); 21] = [
    ("synod_steps_total", "inputs taken by the node"),
    ("synod_messages_sent_total", "messages for other nodes"),
    ("synod_records_total", "records to be written"),
    ("synod_writes_total", "batches that are durable"),
    ("synod_outcomes_total", "transactions whose outcome became known here, by outcome"),
    ("synod_recoveries_total", "ballots above round 0 that were tried"),
    ("synod_missed_outcomes_total", "transactions that were over before their outcome was learned"),
    ("synod_refusals_total", "inputs refused, by reason"),
    ("synod_violations_total", "refused inputs that show a broken protocol or a lost storage"),
    ("synod_packets_dropped_total", "packets for which the inbox had no room, or that came to a node that had stopped"),
    ("synod_resource_panics_total", "calls of the resource that panicked"),
    ("synod_refused_answers_total", "answers of the resource that the node refused"),
    ("synod_grpc_messages_sent_total", "messages handed to a connection"),
    ("synod_grpc_packets_sent_total", "packets handed to a connection"),
    ("synod_grpc_messages_dropped_total", "messages that never left, by reason"),
    ("synod_grpc_connections_total", "connections that came about"),
    ("synod_grpc_connect_failures_total", "attempts to connect that came to nothing"),
    ("synod_grpc_disagreements_total", "meetings with a node of the same epoch that has other members"),
    ("synod_grpc_packets_received_total", "packets, and calls that carry a message"),
    ("synod_grpc_messages_received_total", "messages in them"),
    ("synod_grpc_faults_total", "what the server refused, by fault"),
];

const GAUGES: [(&str, &str); 10] = [
    ("synod_open_transactions", "open transactions"),
    ("synod_fenced_transactions", "open transactions about which the node is silent, because an invariant broke"),
    ("synod_retired_ranges", "ranges that finished transactions are remembered as"),
    ("synod_unacknowledged_ranges", "of those, what other nodes have not acknowledged"),
    ("synod_waiting_callers", "callers who wait for an outcome"),
    ("synod_votes_in_line", "transactions that wait for the database to consider its vote"),
    ("synod_verdicts_in_line", "transactions that wait for the database to carry them out"),
    ("synod_unwritten_bytes", "about how many bytes wait for a write"),
    ("synod_write_under_way_seconds", "how long the present write has been taking, once that is a second; 0 otherwise"),
    ("synod_grpc_connected", "1 while there is a connection to the peer"),
];

/// Installs the recorder: what is made before it counts nowhere.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let no_metrics = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Failed, "metrics cannot be recorded", "report this").caused_by(error)
    };
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full("synod_batch_records".into()), &RECORDS))
        .map_err(|error| no_metrics(&error))?;
    let handle = builder.install_recorder().map_err(|error| no_metrics(&error))?;
    COUNTERS.into_iter().chain(RECORDED).for_each(|(name, help)| describe_counter!(name, help));
    OWN.into_iter().chain(GAUGES).for_each(|(name, help)| describe_gauge!(name, help));
    describe_gauge!("synod_grpc_certificate_days_left", "for how many days more the certificates are valid");
    describe_histogram!("synod_batch_records", "records in a batch");
    describe_histogram!("synod_write_seconds", Unit::Seconds, "how long a batch took to be durable");
    describe_histogram!("synod_outcome_seconds", Unit::Seconds, "from the begin here until the outcome was known");
    gauge!("synod_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let kept = handle.clone();
    tokio::spawn(async move {
        let mut turns = interval(UPKEEP);
        loop {
            turns.tick().await;
            kept.run_upkeep();
        }
    });
    Ok(handle)
}

/// The text for Prometheus, of this moment.
pub(crate) async fn render(process: &Process) -> String {
    for slot in process.slots() {
        let labels = [("cluster", process.config().cluster.to_string()), ("node", slot.id().0.to_string())];
        let set = |name: &'static str, value: f64| gauge!(name, &labels).set(value);
        if slot.database.is_some() {
            set("synod_database_away", if slot.away().is_some() { 1.0 } else { 0.0 });
        }
        set("synod_database_alarms", slot.database.as_ref().map_or(0, |database| database.alarms().len()) as f64);
        let answers = async {
            let handle = slot.handle()?;
            let in_doubt = handle.in_doubt().await.ok()?;
            let violations = handle.violations().await.ok()?;
            let epoch = handle.epoch().await.ok()?;
            Some((in_doubt, violations, epoch, handle.recording().await.ok()?))
        };
        let answers = timeout(PATIENCE, answers).await.ok().flatten();
        set("synod_up", if answers.is_some() { 1.0 } else { 0.0 });
        if let Some((in_doubt, violations, epoch, recording)) = answers {
            // The unit of time-outs is a millisecond.
            let oldest = in_doubt.iter().map(|each| each.age).max().unwrap_or(0) as f64 / 1_000.0;
            set("synod_in_doubt_transactions", in_doubt.len() as f64);
            set("synod_in_doubt_oldest_seconds", oldest);
            set("synod_violating_transactions", violations.len() as f64);
            if let Some(progress) = recording {
                let counts = [progress.recorded, progress.written, progress.lost];
                for ((name, _), count) in RECORDED.iter().zip(counts) {
                    counter!(*name, &labels).absolute(count);
                }
                set("synod_recording_stopped", if progress.failure.is_some() { 1.0 } else { 0.0 });
            }
            if let Some(epoch) = epoch {
                set("synod_epoch", epoch.number as f64);
                set("synod_member", if epoch.membership.is_member(slot.id()) { 1.0 } else { 0.0 });
            }
        }
    }
    process.metrics.render()
}
