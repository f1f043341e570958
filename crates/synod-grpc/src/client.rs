//! A client's way to the nodes.
//!
//! Every call has a deadline, which begins before there is a connection. A call that is harmless when it is made twice
//! turns to the next node when one does not answer; one that is not says so, and leaves it at that.

use std::{
    collections::BTreeSet,
    error::Error as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, GivenNames, InDoubt, Membership, Meta, Outcome, Status, Transaction},
};
use tokio::time::{Instant, timeout};
use tonic::{Code, ConnectError, Response, metadata::MetadataMap, transport::Channel};

use crate::{
    CallError, Error, Identity, Options, Reason, Security, peers,
    transactions::EPOCH,
    v1::{self, transactions_client::TransactionsClient},
    wire::{self, Needed},
};

/// The way to one node or to several, to begin transactions there and to ask about them. A clone shares it.
///
/// A connection comes about with the first call, and again with the next call when it broke. Every call ends within
/// [`Options::call`], whatever the nodes do.
///
/// Calls turn to the node that answered last. When it cannot be reached, gives no answer within [`Options::attempt`], or
/// has no room, the next one is turned to. When an answer says that the members of the cluster have changed, the client learns
/// the transaction managers of the new epoch, where the membership has their addresses as
/// [contacts](synod::commit::Membership::contacts), and drops the nodes that have left. So one that was given the founders goes
/// on when all of them are gone, if it has made a call now and then. That holds for what is harmless when it is done twice, which is everything but
/// [`begin`](Self::begin): it turns to the next node only where it is certain that nothing has begun, and is
/// [`CallError::MayHaveBegun`] where it is not. [`in_doubt`](Self::in_doubt) is a question to one node, the first.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cluster: ClusterId,
    security: Security,
    options: Options,
    /// To the node that was named first.
    first: Arc<Way>,
    ways: Mutex<Ways>,
    /// Whether the members of a later epoch are being asked for.
    is_learning: AtomicBool,
}

/// The nodes to turn to.
#[derive(Clone, Debug)]
struct Ways {
    /// As of this epoch; 0 if the members have never changed, as far as this client knows.
    epoch: u64,
    all: Vec<Arc<Way>>,
    /// The one that answered last.
    favourite: usize,
}

/// The way to one node.
#[derive(Debug)]
struct Way {
    node: NodeId,
    address: String,
    /// And how often certificates were renewed before it was made.
    channel: Mutex<(u64, Channel)>,
}

/// What a call does when it is made twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// No harm: any node may be asked, and asked again.
    Harmless,
    /// The same; and to wait in vain at one node says nothing about it.
    Waits,
    /// Something else.
    Harmful,
}

/// What to do about an error.
enum Next {
    /// Nothing was done: turn to the next node.
    Turn,
    /// The same, if to do it twice does no harm.
    Doubt,
    /// It is the answer.
    Final,
}

impl Client {
    /// The way to `node` of `cluster` at `address`, of the form `host:port`. The certificate may be any of the cluster.
    ///
    /// An error if the certificate is another cluster's, and outside of a tokio runtime.
    pub fn new(
        cluster: ClusterId,
        node: NodeId,
        address: &str,
        security: &Security,
        options: &Options,
    ) -> Result<Self, Error> {
        let options = options.checked()?;
        tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        if let Security::Tls(tls) = security
            && tls.identity().cluster != cluster
        {
            return Err(Error::OtherIdentity { wanted: Identity::node(cluster, node), found: tls.identity() });
        }
        let first = way(cluster, node, address, security, &options)?;
        Ok(Self::of(cluster, security.clone(), options, Ways { epoch: 0, all: vec![first], favourite: 0 }))
    }

    /// Turns to `node` at `address` too, after those that were named before: another transaction manager, of the same
    /// cluster.
    pub fn with_node(self, node: NodeId, address: &str) -> Result<Self, Error> {
        let Inner { cluster, security, options, .. } = &*self.0;
        let mut ways = self.0.ways().clone();
        ways.all.push(way(*cluster, node, address, security, options)?);
        Ok(Self::of(*cluster, security.clone(), *options, ways))
    }

    fn of(cluster: ClusterId, security: Security, options: Options, ways: Ways) -> Self {
        let (first, is_learning) = (Arc::clone(&ways.all[0]), AtomicBool::new(false));
        Self(Arc::new(Inner { cluster, security, options, first, ways: Mutex::new(ways), is_learning }))
    }

    /// The connection to the first node, for the stubs in [`v1`]. Their calls have no deadline but their own. Certificates
    /// that are renewed later are not for it: ask again then.
    pub fn channel(&self) -> Channel {
        self.0.channel(&self.0.first)
    }

    /// Begins a transaction among `participants`, which the node names. It must be a transaction manager, or one of them.
    ///
    /// When the answer is lost, this is [`CallError::MayHaveBegun`], and the name of what may have begun is not known:
    /// where that matters, use [`begin_as`](Self::begin_as).
    pub async fn begin(
        &self,
        participants: impl IntoIterator<Item = NodeId>,
        meta: impl Into<Meta>,
    ) -> Result<TxId, CallError> {
        let participants = participants.into_iter().map(|node| node.0).collect();
        let request = v1::BeginRequest { participants, meta: meta.into().into(), id: None, epoch: 0 };
        let call = |mut stub: Stub| {
            let request = request.clone();
            async move { stub.begin(request).await }
        };
        let reply = self.ask(Repeat::Harmful, call).await?;
        Ok(reply.id.needed("the transaction's id")?.into())
    }

    /// Begins `transaction`, whose name was [given](Self::names) by a transaction manager, or has the number of this client, or
    /// node, as its origin; and is used once, ever. To
    /// begin it again, here or at another transaction manager, does no harm and brings it on. One that is over is
    /// [`Refused`](CallError::Refused), for [`Reason::Over`], unless it is this very call that may have begun it.
    ///
    /// It must be [of the epoch](Transaction::in_epoch) in which the name was given. Refused for [`Reason::OldEpoch`] it has
    /// not committed and never will: the members of the cluster have changed, and it may be done again under a new name.
    ///
    /// Number transactions in a row: what a node remembers of those that are over takes no more room then, however many
    /// there are.
    pub async fn begin_as(&self, transaction: &Transaction, meta: impl Into<Meta>) -> Result<(), CallError> {
        let v1::Transaction { id, participants, epoch, .. } = transaction.into();
        let request = v1::BeginRequest { participants, meta: meta.into().into(), id, epoch };
        let call = |mut stub: Stub| {
            let request = request.clone();
            async move { stub.begin(request).await }
        };
        let mut in_doubt = false;
        match self.ask_in_doubt(Repeat::Harmless, call, &mut in_doubt).await {
            // The answer was lost, and not the request.
            Err(CallError::Refused { reason: Reason::Over, .. }) if in_doubt => Ok(()),
            asked => asked.map(drop),
        }
    }

    /// The cluster of the nodes.
    pub fn cluster(&self) -> ClusterId {
        self.0.cluster
    }

    /// Up to `count` names of the first transaction manager that answers, durably taken, for [`begin_as`](Self::begin_as).
    /// `count` is from 1 to [`MOST_NAMES`](synod::commit::MOST_NAMES). An answer that is lost costs these names.
    pub async fn names(&self, count: u64) -> Result<GivenNames, CallError> {
        let call = |mut stub: Stub| async move { stub.names(v1::NamesRequest { count }).await };
        let reply = self.ask(Repeat::Harmless, call).await?;
        Ok(GivenNames { names: reply.names.needed("the names")?.try_into()?, epoch: reply.epoch })
    }

    /// Waits until a node knows how `tx` ended. See [`Handle::outcome`](synod::perform::tokio::Handle::outcome).
    ///
    /// A node that does not know yet is asked for no longer than [`Options::attempt`], and then the next one.
    /// [`CallError::Forgotten`] says that it is over, and that no node that answers knows how.
    pub async fn outcome(&self, tx: TxId) -> Result<Outcome, CallError> {
        let call = |mut stub: Stub| async move { stub.outcome(v1::OutcomeRequest { id: Some(tx.into()) }).await };
        Ok(wire::outcome(self.ask(Repeat::Waits, call).await?.outcome)?)
    }

    /// What the first node that answers knows of `tx`.
    pub async fn status(&self, tx: TxId) -> Result<Status, CallError> {
        let call = |mut stub: Stub| async move { stub.status(v1::StatusRequest { id: Some(tx.into()) }).await };
        Ok(self.ask(Repeat::Harmless, call).await?.try_into()?)
    }

    /// The transactions that the first node's resource has voted to commit without knowing the outcome, in order of name.
    pub async fn in_doubt(&self) -> Result<Vec<InDoubt>, CallError> {
        let end = Instant::now() + self.0.options.call;
        let (mut listed, mut after, mut more) = (Vec::<InDoubt>::new(), None, true);
        while more {
            let request = v1::InDoubtRequest { after, limit: 0 };
            let patience = self.0.options.attempt.min(end.saturating_duration_since(Instant::now()));
            let asked = timeout(patience, async { self.0.stub(&self.0.first).in_doubt(request).await });
            let reply = asked.await.map_err(|_| CallError::Deadline)??.into_inner();
            // A list that says that there is more, and has nothing, would never end.
            more = reply.more && !reply.in_doubt.is_empty();
            for each in reply.in_doubt {
                listed.push(each.try_into()?);
            }
            after = listed.last().map(|last| last.transaction.id().into());
        }
        Ok(listed)
    }

    /// Has a node drive `tx` to its outcome without waiting for a timer: to abort, where a vote is missing. Any client
    /// may, of any transaction. The first node where it is open does.
    pub async fn inquire(&self, tx: TxId) -> Result<(), CallError> {
        let call = |mut stub: Stub| async move { stub.inquire(v1::InquireRequest { id: Some(tx.into()) }).await };
        self.ask(Repeat::Harmless, call).await.map(drop)
    }

    /// Which epoch the first node that answers is in, and who its members are; `None` if it knows of none yet. A transaction that
    /// this client names itself is of that epoch.
    pub async fn members(&self) -> Result<Option<(u64, Membership)>, CallError> {
        let call = |mut stub: Stub| async move { stub.members(v1::MembersRequest {}).await };
        let reply = self.ask(Repeat::Harmless, call).await?;
        let Some(number) = reply.epoch else { return Ok(None) };
        Ok(Some((number, *wire::membership(reply.membership)?)))
    }

    /// The answer to `call` of the first node that has one. An error is that of the node that knew the most.
    async fn ask<T, F>(&self, repeat: Repeat, call: impl Fn(Stub) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, tonic::Status>>,
    {
        self.ask_in_doubt(repeat, call, &mut false).await
    }

    /// The same; and says whether a node that did not answer may have done what was asked.
    async fn ask_in_doubt<T, F>(
        &self,
        repeat: Repeat,
        call: impl Fn(Stub) -> F,
        in_doubt: &mut bool,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, tonic::Status>>,
    {
        let (inner, options) = (&self.0, &self.0.options);
        let end = Instant::now() + options.call;
        loop {
            let (mut worst, mut has_waited) = (None, false);
            let Ways { all, favourite, .. } = inner.ways().clone();
            let (before, from) = all.split_at(favourite.min(all.len()));
            for way in from.iter().chain(before) {
                let left = end.saturating_duration_since(Instant::now());
                let status = match timeout(options.attempt.min(left), call(inner.stub(way))).await {
                    Ok(Ok(reply)) => {
                        inner.answered(way);
                        inner.hear(way, reply.metadata());
                        return Ok(reply.into_inner());
                    }
                    Ok(Err(status)) => status,
                    Err(_) if repeat == Repeat::Harmful => {
                        let silent = "the node gave no answer in time";
                        return Err(CallError::MayHaveBegun(tonic::Status::deadline_exceeded(silent)));
                    }
                    Err(_) if left <= options.attempt => return Err(CallError::Deadline),
                    Err(_) => {
                        (has_waited, *in_doubt) = (true, true);
                        continue;
                    }
                };
                inner.hear(way, status.metadata());
                let next = judge(&status);
                let error = CallError::from(status);
                match next {
                    Next::Final => {
                        inner.answered(way);
                        return Err(error);
                    }
                    Next::Doubt if repeat == Repeat::Harmful => return Err(may_have_begun(error)),
                    Next::Doubt => *in_doubt = true,
                    Next::Turn => {}
                }
                if weight(&error) >= worst.as_ref().map_or(0, weight) {
                    worst = Some(error);
                }
            }
            match worst {
                // Somebody waited with us, and may know soon.
                Some(CallError::Failed(_)) | None if repeat == Repeat::Waits && has_waited => {}
                Some(error) => return Err(error),
                None => return Err(CallError::Deadline),
            }
        }
    }
}

impl Inner {
    fn stub(&self, way: &Way) -> Stub {
        TransactionsClient::new(self.channel(way)).max_decoding_message_size(self.options.message)
    }

    /// Nothing that panics is done with the lock held, so that a poisoned one is as good.
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This one is turned to first from now on.
    fn answered(&self, way: &Arc<Way>) {
        let mut ways = self.ways();
        if let Some(at) = ways.all.iter().position(|known| Arc::ptr_eq(known, way)) {
            ways.favourite = at;
        }
    }

    /// If a node says that it is in a later epoch, asks it for the members, while the caller goes on.
    fn hear(self: &Arc<Self>, way: &Arc<Way>, metadata: &MetadataMap) {
        let said = metadata.get(EPOCH).and_then(|number| number.to_str().ok()?.parse::<u64>().ok());
        if said.is_none_or(|epoch| epoch <= self.ways().epoch) || self.is_learning.swap(true, Ordering::Relaxed) {
            return;
        }
        let (inner, way) = (Arc::clone(self), Arc::clone(way));
        tokio::spawn(async move {
            let asked = timeout(inner.options.attempt, async { inner.stub(&way).members(v1::MembersRequest {}).await });
            match asked.await {
                Ok(Ok(reply)) => inner.take_up(reply.into_inner()),
                Ok(Err(status)) => tracing::debug!(node = %way.node, %status, "the members are not known yet"),
                Err(_) => tracing::debug!(node = %way.node, "the members are not known yet"),
            }
            // After an error the next answer has this asked again.
            inner.is_learning.store(false, Ordering::Relaxed);
        });
    }

    /// Turns to the transaction managers of a later epoch, too, and not to the nodes that have left.
    fn take_up(&self, reply: v1::MembersReply) {
        let Some(epoch) = reply.epoch else { return };
        let membership = match wire::membership(reply.membership) {
            Ok(membership) => membership,
            Err(error) => return tracing::warn!(%error, "the members that a node tells make no sense"),
        };
        let left: BTreeSet<NodeId> = reply.left.into_iter().map(NodeId).collect();
        let mut ways = self.ways();
        if epoch <= ways.epoch {
            return;
        }
        let mut all: Vec<Arc<Way>> = ways.all.iter().filter(|way| !left.contains(&way.node)).cloned().collect();
        for manager in &membership.managers {
            let Some(address) = membership.contacts.get(manager).and_then(|contact| peers::address_of(contact)) else {
                continue;
            };
            let known = all.iter().position(|way| way.node == *manager);
            if known.is_some_and(|at| all[at].address == address) {
                continue;
            }
            match (way(self.cluster, *manager, address, &self.security, &self.options), known) {
                (Ok(moved), Some(at)) => all[at] = moved,
                (Ok(new), None) => all.push(new),
                (Err(error), _) => tracing::warn!(node = %manager, %error, "its contact is of no use"),
            }
        }
        let favourite = ways.all.get(ways.favourite);
        let favourite = favourite.and_then(|way| all.iter().position(|known| known.node == way.node)).unwrap_or(0);
        ways.epoch = epoch;
        // Whoever has left may still answer, and is better than nobody.
        if !all.is_empty() {
            (ways.all, ways.favourite) = (all, favourite);
        }
    }

    /// The connection to a node, made again if certificates were renewed since.
    fn channel(&self, way: &Way) -> Channel {
        let mut channel = way.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turn(&self.security);
        if channel.0 != turn
            && let Ok(new) = connect(self.cluster, way.node, &way.address, &self.security, &self.options)
        {
            *channel = (turn, new);
        }
        channel.1.clone()
    }
}

/// How often certificates were renewed.
fn turn(security: &Security) -> u64 {
    match security {
        Security::Tls(tls) => tls.turn(),
        Security::Plaintext => 0,
    }
}

/// The way to `node` at `address`.
fn way(
    cluster: ClusterId,
    node: NodeId,
    address: &str,
    security: &Security,
    options: &Options,
) -> Result<Arc<Way>, Error> {
    let channel = Mutex::new((turn(security), connect(cluster, node, address, security, options)?));
    Ok(Arc::new(Way { node, address: address.to_owned(), channel }))
}

/// A connection that comes about with the first call over it.
fn connect(
    cluster: ClusterId,
    node: NodeId,
    address: &str,
    security: &Security,
    options: &Options,
) -> Result<Channel, Error> {
    // To connect takes two steps, and a node that is there and silent is to be told from one that was asked something.
    let options = options.with_connect(options.connect.min(options.attempt * 2 / 5));
    Ok(peers::endpoint(node, address, Identity::node(cluster, node), security, &options)?.connect_lazy())
}

type Stub = TransactionsClient<Channel>;

/// What `status` says about what was done, and about other nodes.
fn judge(status: &tonic::Status) -> Next {
    let is_connect_error = |error: &(dyn std::error::Error + 'static)| error.is::<ConnectError>();
    let mut source = status.source();
    while let Some(error) = source {
        if is_connect_error(error) {
            return Next::Turn;
        }
        source = error.source();
    }
    match CallError::from(status.clone()) {
        // Another node may know it, know how it ended, have room, or be a transaction manager.
        CallError::Unknown(_) | CallError::Forgotten(_) => Next::Turn,
        CallError::Refused { reason, .. } => match reason {
            Reason::TooManyOpen | Reason::TooManyWaiting | Reason::NumbersUsedUp | Reason::NotAManager => Next::Turn,
            // Another node may be further.
            Reason::NewerEpoch | Reason::Changing => Next::Turn,
            _ => Next::Final,
        },
        _ => match status.code() {
            Code::InvalidArgument | Code::PermissionDenied | Code::OutOfRange | Code::Unimplemented => Next::Final,
            _ => Next::Doubt,
        },
    }
}

/// How much an error says: one of a node that was reached says more than one of a node that was not.
fn weight(error: &CallError) -> u32 {
    match error {
        CallError::Forgotten(_) => 3,
        CallError::Unknown(_) => 2,
        CallError::Refused { .. } => 1,
        _ => 0,
    }
}

fn may_have_begun(error: CallError) -> CallError {
    match error {
        CallError::Failed(status) => CallError::MayHaveBegun(status),
        error => error,
    }
}
