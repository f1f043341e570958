//! What a node says of itself through `metrics` and `tracing`, and that the table has it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use synod::{
    NodeId,
    commit::{EpochMessage, EpochTag, Message, Outcome, Vote},
    perform::{
        memory::MemoryStorage,
        tokio::{Options, Start, spawn},
    },
};
use tokio::time::sleep;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    panics::{self, Brittle},
    scene::{IDS, Member, Puppet, Wires, cluster, of, prepare, soon, timeless, until},
};

const TABLE: &str = include_str!("../../src/perform/tokio/mod.rs");

/// Keeps the last value, or the sum, of everything by name and labels.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<BTreeMap<String, Arc<Cell>>>>);

#[derive(Default)]
pub(crate) struct Cell(AtomicU64);

impl Book {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    pub(crate) fn get(&self, name: &str, more: &str) -> u64 {
        let name = format!("{name}{{cluster={},node=1{more}}}", "05".repeat(16));
        self.0.lock().unwrap().get(&name).unwrap_or_else(|| panic!("no {name}")).0.load(Ordering::Relaxed)
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().keys().map(|name| name.split('{').next().unwrap().to_owned()).collect()
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        unreachable!("gauges are set, and not moved")
    }

    fn decrement(&self, _: f64) {
        unreachable!("gauges are set, and not moved")
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::Relaxed);
    }
}

/// Counts how much was recorded.
impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// Keeps the names of spans, and the texts of events.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Entry>>>);

/// A name or a text, and the names of its fields.
type Entry = (String, Vec<String>);

struct Fields<'a>(&'a mut String, &'a mut Vec<String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        } else {
            self.1.push(field.name().to_owned());
        }
    }
}

impl Subscriber for Diary {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("synod")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let fields = span.metadata().fields().iter().map(|field| field.name().to_owned()).collect();
        let mut entries = self.0.lock().unwrap();
        entries.push((format!("span {}", span.metadata().name()), fields));
        span::Id::from_u64(entries.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let (mut text, mut fields) = (String::new(), Vec::new());
        event.record(&mut Fields(&mut text, &mut fields));
        self.0.lock().unwrap().push((text, fields));
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn everything_that_is_measured_or_told_is_in_the_table_and_true() {
    let (book, diary) = (Book::default(), Diary::default());
    // Nodes run on this very thread.
    let _recorder = metrics::set_default_local_recorder(&book);
    let _subscriber = tracing::subscriber::set_default(diary.clone());
    // With only one listener, whether an event matters to anyone is what the first thread that comes to it says; and that
    // may be another test's.
    let _another = tracing::Dispatch::new(Diary::default());

    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    let (handle, task) = member.start(Start::Create).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
    // Node 3 is no transaction manager.
    handle.deliver(IDS[2], vec![prepare(1, &IDS[..1])]);
    until(async || handle.metrics().await.unwrap().refusals().count() == 1).await;
    member.disk.smash();
    // It is node 1's vote whose write fails.
    soon(handle.begin([IDS[0], IDS[1]], "")).await.unwrap();
    assert!(soon(task).await.unwrap().is_err());
    handle.deliver(IDS[1], Vec::new());

    let metrics = [
        ("synod_outcomes_total", ",outcome=committed", 1),
        ("synod_outcomes_total", ",outcome=aborted", 0),
        ("synod_outcome_seconds", "", 1),
        ("synod_refusals_total", ",reason=NotAManager", 1),
        ("synod_violations_total", "", 0),
        ("synod_packets_dropped_total", "", 1),
        ("synod_resource_panics_total", "", 0),
        ("synod_retired_ranges", "", 1),
        ("synod_waiting_callers", "", 0),
        ("synod_votes_in_line", "", 0),
        ("synod_verdicts_in_line", "", 0),
        ("synod_open_transactions", "", 1),
        ("synod_fenced_transactions", "", 0),
        ("synod_refused_answers_total", "", 0),
        ("synod_write_under_way_seconds", "", 0),
    ];
    for (name, more, value) in metrics {
        assert_eq!(book.get(name, more), value, "{name}{more}");
    }
    let batches = member.disk.batches().len() as u64;
    // The identity was written before the task began.
    for name in ["synod_writes_total", "synod_batch_records", "synod_write_seconds"] {
        assert_eq!(book.get(name, ""), batches - 1, "{name}");
    }
    assert!(book.get("synod_records_total", "") >= batches && book.get("synod_steps_total", "") > 3);
    for name in book.names() {
        assert!(TABLE.contains(&format!("| `{name}` |")), "{name} is not in the table");
    }

    let entries = diary.0.lock().unwrap().clone();
    let (started, stopped) = (entries.iter().position(|(it, _)| it == "started"), entries.len() - 1);
    assert_eq!((started, entries[stopped].0.as_str()), (Some(1), "stopped"), "{entries:?}");
    let seen: BTreeSet<&str> = entries.iter().map(|(text, _)| text.as_str()).collect();
    let due = [
        "span node",
        "span vote",
        "span carry_out",
        "span flush",
        "started",
        "begun",
        "voted",
        "decided",
        "completed",
        "refused",
        "written",
        "stopped",
    ];
    assert_eq!(seen, BTreeSet::from(due));
    for (text, fields) in entries {
        let name = text.strip_prefix("span ").unwrap_or(&text);
        for word in std::iter::once(name).chain(fields.iter().map(String::as_str)) {
            assert!(TABLE.contains(&format!("`{word}`")), "{word} of {text} is not in the table");
        }
    }
}

#[tokio::test]
async fn a_write_that_hangs_is_measured_and_told_though_nothing_else_happens() {
    let (book, diary) = (Book::default(), Diary::default());
    let _recorder = metrics::set_default_local_recorder(&book);
    let _subscriber = tracing::subscriber::set_default(diary.clone());
    let _another = tracing::Dispatch::new(Diary::default());

    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    // No timer ends.
    member.options = timeless().with_stall(Duration::from_millis(50));
    let (handle, _task) = member.start(Start::Create).await;
    let told =
        |name: &str| diary.0.lock().unwrap().iter().filter(|(text, _)| text == name).cloned().collect::<Vec<_>>();
    member.disk.hold();
    let asker = handle.clone();
    let begun = tokio::spawn(async move { asker.begin([IDS[0]], "").await });
    until(async || member.disk.is_writing()).await;
    until(async || book.get("synod_write_under_way_seconds", "") >= 2).await;
    // After 0.05 seconds, and when that had doubled, and so on.
    let warnings = told("a write hangs");
    assert!((4..=7).contains(&warnings.len()), "{warnings:?}");
    assert_eq!(warnings[0].1, ["taking"]);
    member.disk.release();
    until(async || !told("a write that hung is over").is_empty()).await;
    assert_eq!(told("a write that hung is over")[0].1, ["took"]);
    assert_eq!(book.get("synod_write_under_way_seconds", ""), 0);
    assert!(soon(begun).await.unwrap().is_err());
    for text in ["a write hangs", "a write that hung is over", "taking", "took"] {
        assert!(TABLE.contains(&format!("`{text}`")), "{text} is not in the table");
    }
}

/// What a node says that is behind, and hears nobody whom it believes.
const ALONE: &str = "no member that this node believes speaks to it; if these are not the present members, start it again with \
                     those in its configuration";

#[tokio::test]
async fn a_node_that_is_behind_says_so_if_nobody_speaks_to_it_whom_it_believes_and_only_then() {
    let diary = Diary::default();
    let _subscriber = tracing::subscriber::set_default(diary.clone());
    let _another = tracing::Dispatch::new(Diary::default());
    let told = || {
        let told = diary.0.lock().unwrap().clone().into_iter().filter(|(text, _)| text == ALONE);
        told.map(|(_, fields)| fields).collect::<Vec<_>>()
    };
    let (limit, while_it_says_nothing) = (Duration::from_millis(50), Duration::from_millis(300));
    let start = async |id, start| {
        let mut member = Member::new(&cluster(), id, &Wires::default(), Puppet::voting(Vote::Prepared));
        member.options = timeless().with_alone(limit);
        member.start(start).await
    };
    let (stranger, later) = (NodeId(99), Some(EpochTag { number: 5, digest: 5 }));
    let newer = || vec![Message::Epoch { number: Some(5), what: Box::new(EpochMessage::Newer) }];

    // A newcomer that hears nobody, and then somebody who is in no list of members that it has.
    let (newcomer, task) = start(NodeId(7), Start::Join).await;
    until(async || told().len() == 1).await;
    newcomer.deliver(stranger, newer());
    until(async || told().len() == 4).await;
    assert_eq!(told()[0], ["waiting", "members"]);
    assert_eq!(told()[3], ["waiting", "members", "stranger"]);
    // 0.05 seconds, and twice that, and so on: it is not said again and again.
    let since_then = Instant::now();
    until(async || told().len() == 5).await;
    assert!(since_then.elapsed() > limit * 4, "{:?}", since_then.elapsed());
    soon(newcomer.shutdown()).await.unwrap();
    soon(task).await.unwrap().unwrap();

    // A member to which nobody has to speak, and then a stranger does: by a greeting, or by a message.
    for greets in [true, false] {
        let before = told().len();
        let (member, task) = start(IDS[0], Start::Create).await;
        sleep(while_it_says_nothing).await;
        // What a member says may be believed, so that it is waited for.
        member.meet(IDS[1], 1, later).unwrap();
        member.deliver(IDS[2], newer());
        sleep(while_it_says_nothing).await;
        assert_eq!(told().len(), before);
        if greets {
            member.meet(stranger, 1, later).unwrap();
        } else {
            member.deliver(stranger, newer());
        }
        until(async || told().len() > before).await;
        assert_eq!(told()[before], ["waiting", "members", "stranger"]);
        soon(member.shutdown()).await.unwrap();
        soon(task).await.unwrap().unwrap();
    }
    for text in [ALONE, "waiting", "members", "stranger"] {
        assert!(TABLE.contains(&format!("`{text}`")), "{text} is not in the table");
    }
}

#[tokio::test]
async fn an_answer_of_the_resource_that_the_node_refuses_is_counted_and_told() {
    let (book, diary) = (Book::default(), Diary::default());
    let _recorder = metrics::set_default_local_recorder(&book);
    let _subscriber = tracing::subscriber::set_default(diary.clone());
    let _another = tracing::Dispatch::new(Diary::default());

    let puppet = Puppet::waiting(Vote::Aborted);
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || !puppet.asked().is_empty()).await;
    soon(handle.inquire(tx)).await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Aborted);
    assert_eq!(book.get("synod_refused_answers_total", ""), 0);
    // It votes on what is aborted already.
    puppet.let_vote(1);
    puppet.let_carry_out(1);
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
    assert_eq!(book.get("synod_refused_answers_total", ""), 1);
    assert_eq!(book.get("synod_refusals_total", ",reason=AlreadyAborted"), 1);
    let (text, fields) = ("answer refused".to_owned(), vec!["refusal".to_owned()]);
    assert!(diary.0.lock().unwrap().contains(&(text, fields)));
}

#[tokio::test]
async fn a_call_of_the_resource_that_panics_is_counted_and_told_with_its_transaction() {
    let (book, diary) = (Book::default(), Diary::default());
    let _recorder = metrics::set_default_local_recorder(&book);
    let _subscriber = tracing::subscriber::set_default(diary.clone());
    let _another = tracing::Dispatch::new(Diary::default());

    let told = || {
        let text = "a call of the resource has panicked";
        let told = diary.0.lock().unwrap().clone().into_iter().filter(|(told, _)| told == text);
        told.map(|(_, fields)| fields).collect::<Vec<_>>()
    };
    let (storage, options) = (MemoryStorage::new(), Options::default());
    let start = async |start, recover| {
        let (transport, resource) = (panics::Nowhere::new(), Brittle { recover, reports: 4 });
        spawn(panics::config(), start, storage.clone(), transport, resource, options).await
    };
    let (handle, _task) = start(Start::Create, false).await.unwrap();
    // `commit` and `abort` are tried again; the fourth one panics when it is decided, and when it is completed.
    for (call, panics) in [("vote", 1), ("commit", 2), ("abort", 2), ("", 2)] {
        let before = told().len();
        let tx = soon(handle.begin([IDS[0]], call)).await.unwrap();
        soon(handle.outcome(tx)).await.unwrap();
        until(async || told().len() >= before + panics).await;
        assert_eq!(book.get("synod_resource_panics_total", ""), told().len() as u64);
    }
    assert!(told().iter().all(|fields| *fields == ["tx", "call"]), "{:?}", told());
    soon(handle.shutdown()).await.unwrap();

    let before = told().len();
    assert!(start(Start::Restore, true).await.is_err());
    assert_eq!(told()[before..], [["call"]]);
    assert_eq!(book.get("synod_resource_panics_total", ""), before as u64 + 1);
}

#[tokio::test]
async fn who_is_in_line_for_the_resource_is_measured() {
    let book = Book::default();
    let _recorder = metrics::set_default_local_recorder(&book);
    let puppet = Puppet::waiting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), puppet.clone());
    member.options = timeless().with_votes(2).with_verdicts(1);
    let (handle, _task) = member.start(Start::Create).await;
    for _ in 0..5 {
        soon(handle.begin([IDS[0]], "")).await.unwrap();
    }
    let in_line = || (book.get("synod_votes_in_line", ""), book.get("synod_verdicts_in_line", ""));
    until(async || in_line() == (3, 0)).await;
    puppet.let_vote(5);
    until(async || in_line() == (0, 4)).await;
    puppet.let_carry_out(5);
    until(async || in_line() == (0, 0)).await;
}
