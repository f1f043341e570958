//! The nodes of a [`synod`] cluster, and its clients, over gRPC with mutual TLS.
//!
//! The protocol is in `synod`, the network here: this package uses what any other transport can use.
//!
//! [`Peers`] is a node's [`Transport`](synod::perform::Transport): a bounded queue and a connection for each other node.
//! [`Server`] is its door: what other nodes send goes to its [`Handle`](synod::perform::tokio::Handle), and clients begin
//! transactions and ask about them. [`Client`] is such a client. One in another language is made from the `.proto` files
//! in this package's `proto/`, which also say what each service is for. Each call of a client has a deadline, and turns to
//! the next node when one does not answer, where that does no harm.
//!
//! The certificate of a connection *is* the node: a message that says it is from another is refused and counted, and
//! changes nothing. [`Identity`] says which name a certificate must have, and [`Tls`] takes the files. Without TLS, which
//! takes [`Security::Plaintext`] by name, every claim is believed. A certificate that is not valid now is an error that
//! names it; another one is taken up without a restart ([`Tls::reload`]).
//!
//! # What others cannot do to a server
//!
//! - *Keep it from opening files.* [`Options`] bound the connections of clients, those of nodes, and those that are not yet
//!   anybody's, each for itself; the defaults fit a process that may open 1,024 files, and a process that may open too few
//!   for its options is told so at the start. When there are too many that are nobody's, the oldest one gives way.
//! - *Keep nodes out.* Clients never take the places of nodes, and nobody takes more than a few. Over TLS the certificate
//!   says who is a node. In plain text the first call does: that holds off clients that leak connections, and nobody who
//!   means harm.
//! - *Keep a connection for nothing.* One over which no call comes in time that its caller may make, from the first byte
//!   of TCP on, is closed.
//! - *Have it remember what they do not finish.* A request is taken when all of it has come. The half-sent ones of a
//!   connection take up to four times [`Options::message`], those of all connections that are not proved to be nodes' up to
//!   16 times that; one more is refused, and so is one that takes too long.
//! - *Have it remember what they do not read.* There is one long answer at a time over a connection, and a connection over
//!   which it is not read in time is closed.
//!
//! # What other tools can ask
//!
//! A server also speaks two services that are not synod's, for nodes and clients of the cluster alone, like all of it.
//! *Reflection* (`grpc.reflection.v1`, and `v1alpha`) tells such tools as `grpcurl` what can be called. *Health*
//! (`grpc.health.v1`) tells whether the node can take part, if its program says so ([`Server::start_with_health`]): the
//! same for every service of synod as for the whole.
//!
//! # Upgrades
//!
//! Nodes of a cluster may be upgraded one by one while transactions go on. A node skips and counts what it does not know
//! of a packet ([`Fault::UnknownKind`]), and takes the rest. It may go back for as long as it has written no record of a new
//! kind. When nodes connect, the one that is called says which versions
//! of the protocol it speaks; with which one of them a node is spoken to is in [`PeerStats::version`].
//!
//! # Who has met whom
//!
//! A node has a connection to every transaction manager at all times, and makes it again when it breaks, whether it has
//! something to send or not. It says its birth over each ([`Peers::set_birth`]), and the one that is called says its own
//! ([`PeerStats::birth`]). It also says a number that it draws for as long as its process lives. When a process of a node
//! calls, the connections of the one before it end; should that one call again, the node runs twice, and the older process
//! is refused ([`Fault::RunsTwice`]).
//!
//! Each of the two says the epoch that it is in, too, and a digest of its members. Whoever is behind learns of the later epoch
//! by that. Two nodes in one epoch that do not agree on its members refuse each other, and both raise an error
//! ([`Fault::OtherMembership`], [`PeerStats::disagreements`]): one of them was created with another configuration.
//!
//! # When the members change
//!
//! The [contacts](synod::commit::Membership::contacts) of a membership are addresses here, such as `https://seven.example:7000`;
//! those of participants may be among them. A transport takes the addresses of the present epoch ([`Peers::new`] says which it
//! drops), and has a connection to each of its transaction managers. So a node that joins needs the address of one member, and
//! the member that is told of it gets its address with the new membership.
//!
//! Founders have contacts, too, if their configuration does. Nothing fills them in from [`Peers::set`]: the contacts are part of
//! what all nodes of an epoch agree on, and two nodes may well reach a third one at different addresses. Give all of them the
//! same ones.
//!
//! A [`Client`] hears of a change with any answer, and turns to the new transaction managers.
//!
//! # What is counted
//!
//! Nothing here waits for another node: a full queue drops its oldest messages, a full inbox the newest packet, and both
//! count; the protocol says again what matters. [`PeerStats`] and [`ServerStats`] have the counts, and so have metrics:
//!
//! | metric | labels | what it counts |
//! |---|---|---|
//! | `synod_grpc_messages_sent_total` | cluster, node, peer | messages handed to a connection |
//! | `synod_grpc_packets_sent_total` | cluster, node, peer | packets, of one message or more |
//! | `synod_grpc_messages_dropped_total` | cluster, node, peer, reason | messages that never left: `queue_full`, `too_large`, `no_address` |
//! | `synod_grpc_connections_total` | cluster, node, peer | connections that came about |
//! | `synod_grpc_connect_failures_total` | cluster, node, peer | attempts that came to nothing |
//! | `synod_grpc_disagreements_total` | cluster, node, peer | meetings with a node of the same epoch that has other members: raise an alarm |
//! | `synod_grpc_connected` | cluster, node, peer | 1 while connected (gauge) |
//! | `synod_grpc_packets_received_total` | cluster, node | packets, and calls that carry a message |
//! | `synod_grpc_messages_received_total` | cluster, node | messages in them |
//! | `synod_grpc_faults_total` | cluster, node, fault | what a server refused, by [`Fault`] |
//! | `synod_grpc_certificate_days_left` | cluster, node | for how many days more the certificates are valid (gauge) |
//!
//! Metrics go to the recorder that is installed when a transport or a server is made.
//!
//! ```no_run
//! use std::fs;
//! use synod::{NodeId, Quorums, commit::*};
//! use synod::perform::{NoResource, fjall::FjallStorage, tokio::{self as driver, Start}};
//! use synod_grpc::*;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let managers = [1, 2, 3].map(NodeId);
//! let cluster = Cluster::new(ClusterId(*b"over the network"), Quorums::majority(managers)?, managers)?;
//! let config = Config::new(cluster, NodeId(1), 42);
//! let tls = Tls::from_pem(&fs::read("authority.pem")?, &fs::read("node-1.pem")?, &fs::read("node-1.key")?)?;
//!
//! let peers = Peers::new(&config, Security::Tls(tls.clone()), Options::default())?;
//! peers.set(NodeId(2), "two.example:7000")?;
//! peers.set(NodeId(3), "three.example:7000")?;
//! let storage = FjallStorage::open("node-1")?;
//! // The very first time it is `Start::Create`.
//! let (handle, _task) =
//!     driver::spawn(config, Start::Restore, storage, peers.clone(), NoResource, driver::Options::default()).await?;
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:7000").await?;
//! let server = Server::start(listener, handle.clone(), Security::Tls(tls), Options::default())?;
//!
//! // And at the end, in this order:
//! server.shutdown().await;
//! handle.shutdown().await?;
//! peers.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod answers;
mod client;
mod error;
mod health;
mod identity;
mod lasting;
mod listener;
mod lives;
mod options;
mod peers;
mod places;
mod queue;
mod reflection;
mod requests;
mod roles;
mod security;
mod serve;
mod server;
mod stats;
mod transactions;
mod wire;

/// Version 1 of the protocol buffers and services: for calls that nothing here makes, and for tests.
///
/// Made from the `.proto` files. Messages convert: `v1::Message::from(&message)`, and `Message::try_from(wire)` back,
/// which is strict.
#[allow(clippy::all, missing_docs, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
#[path = "generated/synod.v1.rs"]
pub mod v1;

/// The versions that [`v1`] is made for.
pub use {::prost, ::tonic};

pub use self::{
    client::Client,
    error::{CallError, Error},
    identity::{Identity, IdentityError, Role},
    options::Options,
    peers::{Peers, channel},
    security::{Security, Tls, TlsError},
    server::Server,
    stats::{Fault, PeerStats, ServerStats},
    v1::Reason,
    wire::WireError,
};

/// The README's code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
