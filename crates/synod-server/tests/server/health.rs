//! The health service and reflection of gRPC, as tools find them at a process.

use rustix::process::Signal;
use synod::NodeId;
use synod_grpc::{
    Client, Options, Security, Tls,
    tonic::{Code, codegen::tokio_stream, transport::Channel},
};
use tokio::time::timeout;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{LONG, Machines, get, until};

/// As an application reaches a node.
fn channel(machines: &Machines, number: u16) -> Channel {
    let file = |name: &str| machines.cluster().join("client-1000").join(name);
    let tls = Tls::from_files(file("authority.pem"), file("client-1000.pem"), file("client-1000.key")).unwrap();
    let (cluster, address) = (tls.identity().cluster, machines.ports.address(number));
    let (node, options) = (NodeId(number.into()), Options::default());
    Client::new(cluster, node, &address, &Security::Tls(tls), &options).unwrap().channel()
}

fn all() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

async fn check(channel: &Channel) -> ServingStatus {
    let mut client = HealthClient::new(channel.clone());
    timeout(LONG, client.check(all())).await.unwrap().unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_serves_over_grpc_when_it_is_ready_and_no_longer_when_it_is_told_to_end() {
    let machines = Machines::new(&[]);
    let mut first = machines.start(1);
    until("that it answers", || get(&first.http, "/healthz").is_some_and(|(code, _)| code == 200));
    let http = first.http.clone();
    let reads = || get(&http, "/readyz").unwrap();
    until("that it waits for a second one", || reads().1.contains("no majority"));
    let channel = channel(&machines, 1);
    let mut client = HealthClient::new(channel.clone());
    let mut watched = timeout(LONG, client.watch(all())).await.unwrap().unwrap().into_inner();
    let mut next = async || timeout(LONG, watched.message()).await.unwrap().map(|told| told.unwrap().status());
    assert_eq!((check(&channel).await, next().await.unwrap()), (ServingStatus::NotServing, ServingStatus::NotServing));

    let mut second = machines.start(2);
    // Nobody has to ask over HTTP for that.
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    first.ready();
    assert_eq!(check(&channel).await, ServingStatus::Serving);

    second.kill();
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    assert_eq!((reads().0, check(&channel).await), (503, ServingStatus::NotServing));
    second = machines.start(2);
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);

    first.signal(Signal::TERM);
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    assert_eq!(next().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(first.terminate().1, 0);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_lists_what_a_process_can_be_asked() {
    let machines = Machines::new(&[]);
    let first = machines.start(1);
    until("that it answers", || get(&first.http, "/readyz").is_some_and(|(_, said)| said.contains("no majority")));
    let question = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel(&machines, 1));
    let answers = timeout(LONG, client.server_reflection_info(tokio_stream::iter([request]))).await.unwrap();
    let answer = timeout(LONG, answers.unwrap().into_inner().message()).await.unwrap().unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let mut names: Vec<&str> = list.service.iter().map(|service| &*service.name).collect();
    names.sort_unstable();
    let services =
        ["Acceptor", "Manager", "Peer", "Proposer", "Resource", "Transactions"].map(|name| format!("synod.v1.{name}"));
    assert_eq!(names, [&["grpc.health.v1.Health"], &services.each_ref().map(String::as_str)[..]].concat());
}
