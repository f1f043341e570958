//! What tools ask that know nothing of synod: the health service and reflection of gRPC.

use synod::NodeId;
use synod_grpc::{
    Client, Fault, Identity, Server,
    tonic::{Code, Status, Streaming, codegen::tokio_stream, transport::*},
};
use tokio::{net::TcpListener, sync::watch};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use super::{
    soon,
    world::{CLUSTER, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];
const SERVICES: [&str; 6] = ["Acceptor", "Manager", "Peer", "Proposer", "Resource", "Transactions"];

/// A second server of a node, which says that it is ready when it is told so.
async fn server(world: &World) -> (Server, watch::Sender<bool>) {
    let (ready, said) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let security = world.security(Identity::node(CLUSTER, TARGET));
    (Server::start_with_health(listener, world.handle(TARGET).clone(), said, security, options()).unwrap(), ready)
}

fn channel(world: &World, server: &Server, identity: Identity) -> Channel {
    let (address, security) = (server.address().to_string(), world.security(identity));
    Client::new(CLUSTER, TARGET, &address, &security, &options()).unwrap().channel()
}

/// With a certificate of the right authority, for another name.
fn stranger(world: &World, server: &Server) -> Channel {
    let paper = world.authority.issue(&["localhost"]);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&world.authority.certificate))
        .identity(synod_grpc::tonic::transport::Identity::from_pem(&paper.certificate, &paper.key))
        .domain_name(Identity::node(CLUSTER, TARGET).to_string());
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address())).unwrap();
    endpoint.tls_config(tls).unwrap().connect_lazy()
}

fn asked(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let answer = soon("the answer", HealthClient::new(channel.clone()).check(asked(service))).await?;
    Ok(answer.into_inner().status())
}

async fn watch(channel: &Channel, service: &str) -> Result<Streaming<HealthCheckResponse>, Status> {
    Ok(soon("the watch", HealthClient::new(channel.clone()).watch(asked(service))).await?.into_inner())
}

async fn next(watched: &mut Streaming<HealthCheckResponse>) -> Result<ServingStatus, Status> {
    Ok(soon("the next status", watched.message()).await?.unwrap().status())
}

async fn ask(channel: &Channel, question: MessageRequest) -> Result<MessageResponse, Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let asked = async {
        let stream = tokio_stream::iter([request]);
        let mut answers =
            ServerReflectionClient::new(channel.clone()).server_reflection_info(stream).await?.into_inner();
        answers.message().await
    };
    let answer = soon("the answer", asked).await?.ok_or_else(|| Status::cancelled("it has ended without an answer"))?;
    Ok(answer.message_response.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_of_every_service_is_what_the_program_says_until_the_server_closes() {
    let world = World::new().await;
    let (server, ready) = server(&world).await;
    let channel = channel(&world, &server, Identity::client(CLUSTER, NodeId(9)));
    let names: Vec<String> = SERVICES.iter().map(|name| format!("synod.v1.{name}")).chain([String::new()]).collect();
    let mut watches = Vec::new();
    for name in &names {
        let mut watched = watch(&channel, name).await.unwrap();
        assert_eq!(next(&mut watched).await.unwrap(), ServingStatus::NotServing);
        watches.push(watched);
    }
    for (is_ready, status) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)] {
        ready.send_replace(is_ready);
        // What is said twice is told once.
        ready.send_replace(is_ready);
        for (name, watched) in names.iter().zip(&mut watches) {
            assert_eq!(check(&channel, name).await.unwrap(), status);
            assert_eq!(next(watched).await.unwrap(), status);
        }
    }
    ready.send_replace(true);
    for watched in &mut watches {
        assert_eq!(next(watched).await.unwrap(), ServingStatus::Serving);
    }
    soon("the end", server.shutdown()).await;
    for watched in &mut watches {
        assert_eq!(next(watched).await.unwrap(), ServingStatus::NotServing);
        assert_eq!(next(watched).await.unwrap_err().code(), Code::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_has_no_health() {
    let world = World::new().await;
    let (server, _ready) = server(&world).await;
    let channel = channel(&world, &server, Identity::client(CLUSTER, NodeId(9)));
    // Stores serve `synod.v1.Store`; nodes do not.
    for unknown in ["synod.v1.Store", "synod.v1.peer"] {
        assert_eq!(check(&channel, unknown).await.unwrap_err().code(), Code::NotFound);
        let mut watched = watch(&channel, unknown).await.unwrap();
        assert_eq!(next(&mut watched).await.unwrap(), ServingStatus::ServiceUnknown);
    }
    // The program of this one says nothing of its health.
    let silent = world.client(TARGET, Identity::client(CLUSTER, NodeId(9))).channel();
    assert_eq!(check(&silent, "").await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_that_are_there_and_has_the_files_of_each() {
    let world = World::new().await;
    let (server, _ready) = server(&world).await;
    let channel = channel(&world, &server, Identity::client(CLUSTER, NodeId(9)));
    let listed = |answer| match answer {
        MessageResponse::ListServicesResponse(list) => {
            list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let mut names = listed(ask(&channel, MessageRequest::ListServices(String::new())).await.unwrap());
    names.sort();
    let expected: Vec<String> = ["grpc.health.v1.Health".to_owned()]
        .into_iter()
        .chain(SERVICES.iter().map(|name| format!("synod.v1.{name}")))
        .collect();
    assert_eq!(names, expected);
    for name in names.iter().map(String::as_str).chain(["synod.v1.Transactions.Begin", "synod.v1.Vote"]) {
        let answer = ask(&channel, MessageRequest::FileContainingSymbol(name.to_owned())).await.unwrap();
        let MessageResponse::FileDescriptorResponse(file) = answer else { panic!("{answer:?}") };
        assert_eq!(file.file_descriptor_proto.len(), 1, "{name}");
    }
    let imported = MessageRequest::FileByFilename("synod/v1/types.proto".into());
    assert!(matches!(ask(&channel, imported).await, Ok(MessageResponse::FileDescriptorResponse(_))));
    let unknown = MessageRequest::FileContainingSymbol("synod.v1.Nothing".into());
    assert_eq!(ask(&channel, unknown).await.unwrap_err().code(), Code::NotFound);
    let endless = MessageRequest::FileContainingSymbol("n".repeat(5_000));
    assert_eq!(ask(&channel, endless).await.map(drop).unwrap_err().code(), Code::Cancelled);

    // Some tools know the version before alone.
    let question = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut before = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let stream = tokio_stream::iter([request]);
    let mut answers = soon("the call", before.server_reflection_info(stream)).await.unwrap().into_inner();
    assert!(soon("the answer", answers.message()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_nobody_in_the_cluster_is_told_neither() {
    let world = World::new().await;
    let (server, _ready) = server(&world).await;
    let nobody = stranger(&world, &server);
    assert_eq!(check(&nobody, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(watch(&nobody, "").await.map(drop).unwrap_err().code(), Code::PermissionDenied);
    let list = ask(&nobody, MessageRequest::ListServices(String::new())).await;
    assert_eq!(list.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(server.stats().faults(Fault::Stranger), 3);
    for somebody in [Identity::client(CLUSTER, NodeId(9)), Identity::node(CLUSTER, MANAGERS[1])] {
        let channel = channel(&world, &server, somebody);
        assert_eq!(check(&channel, "").await.unwrap(), ServingStatus::NotServing);
        ask(&channel, MessageRequest::ListServices(String::new())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_few_streams_that_last_and_they_do_not_hold_up_the_end() {
    let world = World::new().await;
    let (server, _ready) = server(&world).await;
    let channel = channel(&world, &server, Identity::client(CLUSTER, NodeId(9)));
    let mut kept = Vec::new();
    let refused = loop {
        match watch(&channel, "").await {
            Ok(watched) => kept.push(watched),
            Err(refused) => break refused,
        }
    };
    assert_eq!((kept.len(), refused.code()), (16, Code::ResourceExhausted));
    kept.pop();
    let asked = || ask(&channel, MessageRequest::ListServices(String::new()));
    let mut answered = false;
    for _ in 0..1_000 {
        answered = asked().await.is_ok();
        if answered {
            break;
        }
    }
    assert!(answered, "the place of a stream that has ended is not free");
    let start = tokio::time::Instant::now();
    soon("the end", server.shutdown()).await;
    assert!(start.elapsed() < options().grace, "it waited for watches");
}
