//! From what nodes say to spans.
//!
//! | span | from | to | where |
//! |---|---|---|---|
//! | `transaction` | it is begun | its outcome is known there | the node where it is begun |
//! | `vote` | the resource is asked | it has voted | each participant |
//! | `decision` | | the outcome is known there | every other node |
//! | `carry_out` | the resource is told to commit or to abort | it has answered; once more for each attempt | each participant |
//! | `completion` | the outcome is known | all participants have carried it out | the node where it is begun |

use std::{
    collections::HashMap,
    fmt::Debug,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use synod::{TxId, commit::ClusterId};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::name;

/// How many transactions are known at once, twice. Those that have not come to an end after so many others are forgotten.
const MOST: usize = 1 << 14;

/// Makes spans of what nodes say, and hands them on.
pub(super) struct Spans<P> {
    to: Arc<P>,
    ratio: f64,
    scope: InstrumentationScope,
    known: Mutex<Known>,
}

/// Which node says something. It is with the span of the node.
#[derive(Clone, Copy)]
struct Node {
    cluster: ClusterId,
    id: u64,
}

/// A call of the resource. It is with its span.
struct Call {
    said: Said,
    since: SystemTime,
}

/// When things came about at a node.
#[derive(Clone, Copy, Default)]
struct Moments {
    begun: Option<SystemTime>,
    asked: Option<SystemTime>,
    decided: Option<SystemTime>,
}

/// Transactions that have not come to an end, by node.
#[derive(Default)]
struct Known {
    young: HashMap<(u64, TxId), Moments>,
    old: HashMap<(u64, TxId), Moments>,
}

impl Known {
    fn take(&mut self, key: (u64, TxId)) -> Moments {
        self.young.remove(&key).or_else(|| self.old.remove(&key)).unwrap_or_default()
    }

    fn put(&mut self, key: (u64, TxId), moments: Moments) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, moments);
    }
}

/// What is said of a transaction.
#[derive(Default)]
struct Said {
    message: String,
    cluster: Option<ClusterId>,
    id: Option<u64>,
    tx: Option<TxId>,
    outcome: Option<String>,
    vote: Option<String>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = || format!("{value:?}");
        match field.name() {
            "message" => self.message = text(),
            "cluster" => self.cluster = text().parse().ok(),
            "tx" => self.tx = text().parse().ok(),
            "outcome" => self.outcome = Some(text()),
            "vote" => self.vote = Some(text()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "id" {
            self.id = Some(value);
        }
    }
}

impl<P> Spans<P> {
    pub(super) fn new(to: Arc<P>, ratio: f64) -> Self {
        Self { to, ratio, scope: InstrumentationScope::builder("synod").build(), known: Mutex::default() }
    }
}

impl<P: SpanProcessor> Spans<P> {
    /// A node has said something.
    fn hear(&self, node: Node, tx: TxId, said: &Said) {
        let now = SystemTime::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, mut moments) = ((node.id, tx), known.take((node.id, tx)));
        let outcome = said.outcome.as_ref().map(|outcome| ("synod.outcome", outcome.to_lowercase()));
        match &*said.message {
            "begun" => {
                moments.begun = moments.begun.or(Some(now));
                known.put(key, moments);
            }
            "voted" => {
                let vote = said.vote.as_ref().map(|vote| ("synod.vote", vote.to_lowercase()));
                self.tell(node, tx, "vote", (moments.asked.take().unwrap_or(now), now), vote);
                if moments.begun.is_some() {
                    known.put(key, moments);
                }
            }
            "decided" => match moments.begun {
                Some(begun) => {
                    self.tell(node, tx, "transaction", (begun, now), outcome);
                    known.put(key, Moments { decided: Some(now), ..moments });
                }
                None => self.tell(node, tx, "decision", (now, now), outcome),
            },
            "completed" => {
                if let Some(decided) = moments.decided {
                    self.tell(node, tx, "completion", (decided, now), outcome);
                }
            }
            _ if moments.begun.is_some() || moments.asked.is_some() => known.put(key, moments),
            _ => {}
        }
    }

    /// The resource of a node is asked for its vote.
    fn asked(&self, node: Node, tx: TxId, since: SystemTime) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (node.id, tx);
        let moments = known.take(key);
        known.put(key, Moments { asked: Some(since), ..moments });
    }

    /// Hands a span on, if its trace is kept.
    fn tell(
        &self,
        node: Node,
        tx: TxId,
        what: &'static str,
        (from, to): (SystemTime, SystemTime),
        told: Option<(&'static str, String)>,
    ) {
        let trace = name::trace(node.cluster, tx);
        if !name::is_kept(trace, self.ratio) {
            return;
        }
        let root = name::root(trace);
        let moment = from.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (own, parent) = match what {
            "transaction" => (root, SpanId::INVALID),
            _ => (name::part(trace, what, node.id, moment), root),
        };
        let mut attributes = vec![
            KeyValue::new("synod.cluster", node.cluster.to_string()),
            KeyValue::new("synod.node", i64::try_from(node.id).unwrap_or(i64::MAX)),
            KeyValue::new("synod.tx", tx.to_string()),
        ];
        attributes.extend(told.map(|(key, value)| KeyValue::new(key, value)));
        self.to.on_end(SpanData {
            span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: what.into(),
            start_time: from,
            end_time: to.max(from),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

impl<S, P> Layer<S> for Spans<P>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    P: SpanProcessor + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        match (span.name(), said.tx) {
            ("node", _) => {
                if let (Some(cluster), Some(id)) = (said.cluster, said.id) {
                    span.extensions_mut().insert(Node { cluster, id });
                }
            }
            ("vote", Some(tx)) => {
                if let Some(node) = node(&span) {
                    self.asked(node, tx, SystemTime::now());
                }
            }
            ("carry_out", Some(_)) => span.extensions_mut().insert(Call { said, since: SystemTime::now() }),
            _ => {}
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let node = context.event_span(event).and_then(|span| node(&span));
        if let (Some(node), Some(tx)) = (node, said.tx) {
            self.hear(node, tx, &said);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Call { said, since }) = span.extensions_mut().remove::<Call>() else { return };
        if let (Some(node), Some(tx)) = (node(&span), said.tx) {
            let outcome = said.outcome.map(|outcome| ("synod.outcome", outcome.to_lowercase()));
            self.tell(node, tx, "carry_out", (since, SystemTime::now()), outcome);
        }
    }
}

/// The node within whose span this one is.
fn node<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Node> {
    span.scope().find_map(|span| span.extensions().get::<Node>().copied())
}
