//! The ready driver: a node as one task of a [tokio] runtime.
//!
//! [`spawn`] starts it and gives a [`Handle`], by which transactions are begun and their outcomes awaited, and to which
//! the transport [delivers](Handle::deliver) what other nodes send. The task is a loop around a [`Driver`]: it takes
//! whatever has come, steps the node, carries out at once what rests on nothing unwritten, and has the records that gather
//! written in *one* batch on a blocking thread; meanwhile it goes on stepping, for the next batch. What rests on a batch is carried out once that is durable. A write starts as soon as somebody
//! waits for it; a record for which nobody waits [lingers](Options::linger) for one to ride along with. A failed write
//! stops the task, and everyone who waits is told.
//!
//! ```
//! # #[cfg(feature = "fjall")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # ::tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! use std::{collections::BTreeMap, sync::{Arc, Mutex}};
//! use synod::{NodeId, Packet, Quorums, TxId, commit::*};
//! use synod::perform::{Transport, fjall::FjallStorage, tokio::{Handle, Options, RecoverError, Resource, Start, spawn}};
//!
//! /// A network inside one process: everyone's handle.
//! #[derive(Clone, Default)]
//! struct Wires(Arc<Mutex<BTreeMap<NodeId, Handle>>>);
//! struct Port(NodeId, Wires);
//!
//! impl Transport for Port {
//!     fn send(&mut self, packet: Packet<Message>) {
//!         if let Some(handle) = self.1.0.lock().unwrap().get(&packet.to) {
//!             handle.deliver(self.0, packet.messages);
//!         }
//!     }
//! }
//!
//! /// A resource that can always commit.
//! struct Yes;
//!
//! impl Resource for Yes {
//!     async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
//!         Ok(Vec::new()) // it holds nothing
//!     }
//!
//!     async fn vote(&self, _: &Transaction, _: &Meta) -> Vote {
//!         Vote::Prepared
//!     }
//! }
//!
//! let ids = [NodeId(1), NodeId(2), NodeId(3)];
//! let cluster = Cluster::new(ClusterId(*b"a cluster of 3.."), Quorums::majority(ids)?, ids)?;
//! let (folder, wires) = (tempfile::tempdir()?, Wires::default());
//! for id in ids {
//!     let storage = FjallStorage::open(folder.path().join(id.to_string()))?;
//!     let (config, port) = (Config::new(cluster.clone(), id, id.0), Port(id, wires.clone()));
//!     let (handle, _task) = spawn(config, Start::Create, storage, port, Yes, Options::default()).await?;
//!     wires.0.lock().unwrap().insert(id, handle);
//! }
//!
//! let first = wires.0.lock().unwrap()[&NodeId(1)].clone();
//! let tx = first.begin(ids, "move 10 from 1 to 2").await?;
//! assert_eq!(first.outcome(tx).await?, Outcome::Committed);
//! let handles = std::mem::take(&mut *wires.0.lock().unwrap());
//! for handle in handles.into_values() {
//!     handle.shutdown().await?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })
//! # }
//! # #[cfg(not(feature = "fjall"))]
//! # fn main() {}
//! ```
//!
//! # What can be seen
//!
//! By the [`metrics`] facade, all labelled with `cluster` (hexadecimal) and `node`. Install a recorder before
//! nodes are spawned.
//!
//! | name | kind | what it tells |
//! |---|---|---|
//! | `synod_steps_total` | counter | inputs taken |
//! | `synod_messages_sent_total` | counter | messages for other nodes |
//! | `synod_records_total` | counter | records to be written |
//! | `synod_writes_total` | counter | batches that are durable |
//! | `synod_batch_records` | histogram | records in a batch |
//! | `synod_write_seconds` | histogram | how long a batch took to be durable |
//! | `synod_outcomes_total` | counter | transactions whose outcome became known here, by `outcome`: `committed`, `aborted` |
//! | `synod_outcome_seconds` | histogram | from the begin here until the outcome was known |
//! | `synod_recoveries_total` | counter | ballots above round 0 that were tried |
//! | `synod_missed_outcomes_total` | counter | transactions that were over before their outcome was learned |
//! | `synod_refusals_total` | counter | inputs refused, by `reason`: the name of a [`Refusal`](crate::Refusal) |
//! | `synod_violations_total` | counter | those of them that show a broken protocol or a lost storage: raise an alarm |
//! | `synod_packets_dropped_total` | counter | packets for which the inbox had no room, or that came to a node that had stopped |
//! | `synod_resource_panics_total` | counter | calls of the resource that panicked |
//! | `synod_refused_answers_total` | counter | answers of the resource that the node refused |
//! | `synod_open_transactions` | gauge | open transactions |
//! | `synod_fenced_transactions` | gauge | of those, the ones about which the node is silent, because an invariant broke: raise an alarm |
//! | `synod_retired_ranges` | gauge | ranges that finished transactions are remembered as |
//! | `synod_unacknowledged_ranges` | gauge | of those, what other nodes have not acknowledged |
//! | `synod_waiting_callers` | gauge | callers who wait for an outcome |
//! | `synod_votes_in_line` | gauge | transactions that wait for the resource to consider its vote |
//! | `synod_verdicts_in_line` | gauge | transactions that wait for the resource to carry them out, for the first time or again: raise an alarm when it grows |
//! | `synod_unwritten_bytes` | gauge | about how many bytes of records, messages and decisions wait for a write, or are part of one |
//! | `synod_write_under_way_seconds` | gauge | how long the present write has been taking, once that is a second; 0 otherwise: raise an alarm when it grows |
//!
//! By the [`tracing`] crate, all within the span `node`, which has the fields `cluster` and `id`:
//!
//! | name | level | fields |
//! |---|---|---|
//! | span `vote`: the resource considers its vote | debug | `tx` |
//! | span `carry_out`: the resource commits or aborts | debug | `tx`, `outcome` |
//! | span `flush`: a batch is being written | debug | `records` |
//! | `started`, `stopped` | info; error, if a write failed | `start`; `error` |
//! | `in another epoch`; `the membership has changed`: a change that was asked for here is over | info | `number`; `is_mine` |
//! | `begun`, `voted`, `decided`, `completed` | debug | `tx`; `vote`; `outcome` |
//! | `refused` | debug | `refusal`, `count` |
//! | `answer refused`: the node refuses what the resource has answered | debug | `refusal` |
//! | `the protocol is broken, or a storage was lost` | error | `refusal`, `count` |
//! | `a call of the resource has panicked` | error | `tx`, unless it was `recover`; `call` |
//! | `written` | trace | `records`, `took` |
//! | `a write hangs`: said when it takes too long, and again when that has doubled | warn | `taking` |
//! | `a write that hung is over` | warn | `took` |
//! | `nothing more is recorded`: see [`record`](super::record) | error | `failure` |
//! | `no member that this node believes speaks to it; if these are not the present members, start it again with those in its configuration`: said of a node that is in no epoch, or hears of a later one from strangers, after [`Options::alone`], and again when that has doubled | warn | `waiting`, `members`, `stranger` if one speaks |

mod answers;
mod clock;
mod company;
mod contacts;
mod erased;
mod error;
#[cfg(test)]
mod fenced;
mod handle;
mod hands;
mod jobs;
mod line;
mod options;
mod outcomes;
mod resource;
mod stall;
mod task;
mod telemetry;
mod writer;

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};

use ::tokio::task::{JoinHandle, spawn_blocking};
use tracing::{Instrument, info_span};

use self::{
    answers::Answers, clock::Clock, company::Company, erased::AnyStorage, hands::Hands, jobs::Jobs, outcomes::Outcomes,
    stall::Watch, task::Task, telemetry::Telemetry, writer::Writer,
};
pub use self::{
    error::{Cause, Error},
    handle::Handle,
    options::Options,
    outcomes::RecentOutcome,
    resource::Resource,
};
use super::{Driver, Storage, Transport};
pub use super::{Progress, RecoverError, Start};
use crate::commit::Config;

/// Starts a node on the current runtime, whose time must be enabled.
///
/// The task ends when the node is [shut down](Handle::shutdown), when the last handle is dropped, or with an error when a
/// write fails; its storage is dropped by then. If a write [hangs](Options::stall) for as long as a shutdown may take, the
/// task ends all the same, with [`Error::Stalled`], and the write and the storage are left behind on their thread: a runtime
/// that is dropped waits for that thread, unless it is dropped by `shutdown_background` or `shutdown_timeout`.
///
/// To abort the task is to crash the node: nothing untrue was said, and the node can be restored from its storage, here
/// and at once. A write that is under way is not aborted with the task: it goes on, on its own thread. To start the node
/// again on the same records is to load its storage, which waits for that write, or sees to it that it never lands. That is
/// what a [`Storage`] owes, in its contract of one life at a time: the standard ones do it, and for one of your own
/// `conformance::storage` tries it.
pub async fn spawn<S, T, R>(
    config: Config,
    start: Start,
    storage: S,
    transport: T,
    resource: R,
    options: Options,
) -> Result<(Handle, JoinHandle<Result<(), Error>>), Error>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
    T: Transport + Send + 'static,
    R: Resource,
{
    spawn_as(config, start, storage, transport, resource, options, |_| {}).await
}

/// The same as [`spawn`], with all that the node is told [recorded](super::record). If nothing can be recorded any more, the
/// node goes on, and that is logged; [`Handle::recording`] tells how it gets on.
#[cfg(feature = "record")]
pub async fn spawn_recorded<S, T, R>(
    config: Config,
    start: Start,
    storage: S,
    transport: T,
    resource: R,
    options: Options,
    recorder: super::record::Recorder,
) -> Result<(Handle, JoinHandle<Result<(), Error>>), Error>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
    T: Transport + Send + 'static,
    R: Resource,
{
    spawn_as(config, start, storage, transport, resource, options, |driver| driver.record(recorder)).await
}

async fn spawn_as<S, T, R>(
    config: Config,
    start: Start,
    storage: S,
    transport: T,
    resource: R,
    options: Options,
    record: impl FnOnce(&mut Driver),
) -> Result<(Handle, JoinHandle<Result<(), Error>>), Error>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
    T: Transport + Send + 'static,
    R: Resource,
{
    options.check()?;
    let (cluster, id) = (config.cluster.id(), config.id);
    let (mut driver, storage) = open(config, start, storage).await?;
    record(&mut driver);
    let (handle, mut task) = start_task(driver, storage, transport, resource, options);
    let span = info_span!("node", %cluster, id = id.0);
    if start == Start::Restore {
        let promised = task.driver.node().promised();
        let found = task.hands.recover(promised).instrument(span.clone()).await.map_err(Error::Recover)?;
        task.driver.take_found(found);
    }
    // Whoever is told the birth is told the epoch, too.
    if let Some(epoch) = task.driver.node().epoch() {
        task.hands.transport.enter(epoch.number, &epoch.membership);
    }
    if let Some(birth) = task.driver.node().birth() {
        task.hands.transport.introduce(birth);
    }
    span.in_scope(|| tracing::info!(?start, "started"));
    Ok((handle, ::tokio::spawn(task.run().instrument(span))))
}

/// The node of `config`, as `storage` has it or as it is founded there.
async fn open<S>(config: Config, start: Start, mut storage: S) -> Result<(Driver, S), Error>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
{
    let open = move || match start {
        Start::Create => Driver::create(config, &mut storage).map(|driver| (driver, storage)),
        Start::Restore => Driver::load(config, &mut storage).map(|driver| (driver, storage)),
        Start::Join => Driver::join(config, &mut storage).map(|driver| (driver, storage)),
    };
    let opened = spawn_blocking(open).await.map_err(|error| Error::Start(Arc::new(error)))?;
    opened.map_err(|error| Error::Start(Arc::new(error)))
}

/// The task of a node that is open, ready to run.
fn start_task(
    driver: Driver,
    storage: impl AnyStorage + 'static,
    transport: impl Transport + Send + 'static,
    resource: impl Resource,
    options: Options,
) -> (Handle, Task) {
    let options = options.bounded();
    let config = driver.node().config();
    let (cluster, id, seed) = (config.cluster.id(), config.id, config.seed);
    let (handle, mailbox) = Handle::new(driver.node(), &options);
    let hands = Hands {
        transport: Box::new(transport),
        jobs: Jobs::new(resource, &options, seed),
        begins: VecDeque::new(),
        namings: VecDeque::new(),
        outcomes: Outcomes::new(options.waiting, options.outcomes),
        telemetry: Telemetry::new(cluster, id),
        contacts: mailbox.contacts.clone(),
        company: Company::new(options.alone, driver.node().epoch_number().is_none()),
        is_newcomer: driver.node().epoch_number().is_none(),
        has_left: driver.node().tag().is_some_and(|tag| tag.number > 0),
    };
    let task = Task {
        driver,
        writer: Writer::new(storage),
        watch: Watch::new(options.stall),
        hands,
        mailbox,
        answers: Answers::default(),
        clock: Clock::start(options.unit),
        options,
        told: None,
        riding: None,
        fenced: 0,
        early: Vec::new(),
        holds: false,
        closing: false,
    };
    (handle, task)
}
