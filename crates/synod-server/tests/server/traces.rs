//! Transactions as traces, as a collector gets them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry::trace::TraceId;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use synod::{NodeId, TxId, commit::ClusterId};
use synod_grpc::tonic::{Request, Response, Status, async_trait, transport::Server};
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    databases::{DATABASE, postgres},
    support::{Machines, Process, synod, until},
};

#[allow(dead_code, reason = "the binary uses all of it")]
#[path = "../../src/traces/name.rs"]
mod name;

/// What a collector has got.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let service = text(&resource.resource.unwrap_or_default().attributes, "service.name");
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn listen(&self, runtime: &Runtime, at: SocketAddr) -> JoinHandle<()> {
        let service = TraceServiceServer::new(self.clone());
        runtime.spawn(async move { Server::builder().add_service(service).serve(at).await.unwrap() })
    }

    /// The spans with this name, and their nodes, in order.
    fn named(&self, name: &str) -> Vec<(String, Span)> {
        let all = self.0.lock().unwrap();
        let named = all.iter().filter(|(_, span)| span.name == name);
        let mut named: Vec<_> = named.map(|(_, span)| (text(&span.attributes, "synod.node"), span.clone())).collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        named
    }
}

#[test]
fn a_transaction_is_one_trace_at_a_collector_and_a_collector_that_is_away_holds_up_nothing() {
    let Some(servers) = postgres() else { return };
    let runtime = Runtime::new().unwrap();
    let machines = Machines::new(&[servers[0].url(DATABASE), servers[1].url(DATABASE)]);
    let (collector, address) = (Collector::default(), machines.ports.address(30));
    let listening = collector.listen(&runtime, address.parse().unwrap());
    let mut processes = Vec::new();
    for number in [1, 2, 3, 11, 12] {
        let file = std::fs::read_to_string(machines.file(number)).unwrap();
        let file = format!("{file}[traces]\nendpoint = \"http://{address}\"\n");
        std::fs::write(machines.file(number), file).unwrap();
        processes.push(machines.start(number));
    }
    processes.iter_mut().for_each(Process::ready);
    let commit = || {
        let said = synod(&machines.cluster(), &["try", "agent-11/node.toml", "agent-12/node.toml"]);
        assert_eq!((said.code, said.first_word()), (0, "committed"), "{said:?}");
    };
    commit();
    until("the whole trace", || {
        collector.named("vote").len() >= 2
            && !collector.named("transaction").is_empty()
            && !collector.named("completion").is_empty()
    });

    let all = collector.0.lock().unwrap().clone();
    let [(beginner, root)] = &collector.named("transaction")[..] else { panic!("{all:?}") };
    assert!(["1", "2", "3"].contains(&&**beginner) && root.parent_span_id.is_empty(), "{root:?}");
    assert_eq!(text(&root.attributes, "synod.outcome"), "committed");
    assert!(root.start_time_unix_nano < root.end_time_unix_nano, "{root:?}");
    for (service, span) in &all {
        assert_eq!((&**service, &span.trace_id), ("synod", &root.trace_id), "{span:?}");
        assert_eq!(text(&span.attributes, "synod.tx"), text(&root.attributes, "synod.tx"));
        if span.span_id != root.span_id {
            assert_eq!(span.parent_span_id, root.span_id, "{span:?}");
        }
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    let votes = collector.named("vote");
    assert_eq!(votes.iter().map(|(node, _)| &**node).collect::<Vec<_>>(), ["11", "12"]);
    assert!(votes.iter().all(|(_, vote)| text(&vote.attributes, "synod.vote") == "prepared"), "{votes:?}");
    let [(node, completion)] = &collector.named("completion")[..] else { panic!("{all:?}") };
    assert_eq!((node, completion.start_time_unix_nano), (beginner, root.end_time_unix_nano));
    let names: Vec<_> = all.iter().map(|(_, span)| (&*span.name, text(&span.attributes, "synod.node"))).collect();
    println!("{names:?}");

    listening.abort();
    // What is there of it goes with it.
    let _ = runtime.block_on(listening);
    drop(runtime);
    commit();
    let logs = |word: &str| processes.iter().any(|process| process.log().contains(word));
    until("that traces are lost", || logs("traces are lost"));
    let runtime = Runtime::new().unwrap();
    let _listening = collector.listen(&runtime, address.parse().unwrap());
    until("that they are sent again", || {
        commit();
        logs("traces are sent again")
    });
    for process in &mut processes {
        let (took, code) = process.terminate();
        assert!(code == 0 && took.as_secs() < 3, "{took:?}");
    }
}

fn named(cluster: u8, origin: u64, seq: u64) -> TraceId {
    name::trace(ClusterId([cluster; 16]), TxId { origin: NodeId(origin), seq })
}

#[test]
fn a_trace_is_that_of_one_transaction_of_one_cluster() {
    // Another binary of the same cluster says the same.
    assert_eq!(named(7, 1, 5).to_string(), "5c1ee2f3f2501fe2bd0ced4156fcc3f6");
    let all = [named(7, 1, 5), named(7, 5, 1), named(7, 1, 6), named(8, 1, 5)];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| one != other));
    }
}

#[test]
fn about_the_share_that_was_asked_for_is_kept() {
    let kept = |ratio| (0..10_000).filter(|seq| name::is_kept(named(7, 1, *seq), ratio)).count();
    assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
    assert!((900..1_100).contains(&kept(0.1)), "{}", kept(0.1));
}
