//! A store of your own, in any language, as a participant of [`synod`].
//!
//! What takes part in a transaction must keep a promise through a crash, and that is all that a store should have to know. So it
//! stands behind an agent, as a database does: the agent is a node, it votes at the acceptors, repeats what is lost, asks how
//! transactions ended, and follows the members of the cluster. The store is a gRPC service, `Store` in
//! `proto/synod/v1/store.proto` of the package `synod-grpc`, where its whole contract is. Seven calls are that of a resource whose
//! votes are [durable in itself](synod::commit::ResourceKind::VotesElsewhere). By three more applications have it take part in
//! transactions with databases (feature `client`): `tx.on(&store).await?.stage("7")?`, as [`StoreBranch`] has it.
//!
//! `clients/python` has a base class for stores in Python. For one in another language, make the service from the `.proto` files,
//! and let [`conformance`] play the agent to it: with real crashes, by SIGKILL.
//!
//! The binary `synod` has this built in: `synod dev --database 13=store://localhost:7513`.

mod agent;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod forgotten;
#[cfg(feature = "client")]
mod front;
mod options;
mod resource;
mod store;

#[cfg(feature = "client")]
pub use self::front::{MOST_STAGED, StoreBranch};
pub use self::{error::Error, options::Options, resource::StoreResource, store::Store};
