//! How the rest of the program talks to a running node.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ::tokio::sync::{mpsc, oneshot, watch};

use super::{
    Error,
    contacts::{Contacts, Met},
    outcomes::{RecentOutcome, Until},
    telemetry,
};
use crate::{
    NodeId, Refusal, TxId,
    commit::{
        ClusterId, EpochStatus, EpochTag, GivenNames, InDoubt, Membership, Message, Meta, Metrics, Node,
        OpenTransaction, Outcome, Participants, Status, Transaction, Violation, Weight,
    },
};

/// A running node, to its users and to its transport. A clone is another handle to the same node; when the last one is
/// dropped, the node shuts down.
///
/// Nothing is answered that a crash could make untrue: an answer that rests on a write waits for it. Every method is
/// cancel safe, though what it asked for may still be done.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct Handle {
    node: NodeId,
    cluster: ClusterId,
    birth: Option<u64>,
    contacts: Contacts,
    requests: mpsc::Sender<Request>,
    inbox: mpsc::Sender<Delivery>,
    /// How many bytes are in the inbox, and how many may be when one more packet comes.
    inbox_bytes: Arc<AtomicUsize>,
    most_inbox_bytes: usize,
    /// How the node came to its end; closed when it has stopped. Nothing, if it did so without coming to an end.
    end: watch::Receiver<Option<Result<(), Error>>>,
    dropped: Arc<AtomicU64>,
    drops: metrics::Counter,
}

/// A packet that another node sent.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) from: NodeId,
    pub(super) messages: Vec<Message>,
    /// About how many bytes it takes.
    weight: usize,
}

/// The node's end of the queue of packets.
#[derive(Debug)]
pub(super) struct Inbox {
    packets: mpsc::Receiver<Delivery>,
    bytes: Arc<AtomicUsize>,
}

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a handle asks of the node.
#[derive(Debug)]
pub(super) enum Request {
    Begin {
        participants: Participants,
        meta: Meta,
        reply: Reply<TxId>,
    },
    /// Where its name must have been given, one that was not, as far as the node can tell, is refused.
    BeginAs {
        transaction: Transaction,
        meta: Meta,
        must_be_given: bool,
        reply: Reply<()>,
    },
    Names {
        count: u64,
        reply: Reply<GivenNames>,
    },
    Prepared {
        transaction: Transaction,
        meta: Meta,
        reply: Reply<()>,
    },
    Outcome {
        tx: TxId,
        until: Until,
        reply: Reply<Outcome>,
    },
    Status {
        tx: TxId,
        reply: Reply<Status>,
    },
    InDoubt {
        reply: Reply<Vec<InDoubt>>,
    },
    Open {
        limit: usize,
        reply: Reply<Vec<OpenTransaction>>,
    },
    Recent {
        limit: usize,
        reply: Reply<Vec<RecentOutcome>>,
    },
    Inquire {
        tx: TxId,
        reply: Reply<()>,
    },
    Finished {
        tx: TxId,
        reply: Reply<()>,
    },
    Resolve {
        tx: TxId,
        outcome: Outcome,
        reply: Reply<()>,
    },
    Change {
        membership: Box<Membership>,
        reply: Reply<()>,
    },
    Epoch {
        reply: Reply<Option<EpochStatus>>,
    },
    #[cfg(feature = "record")]
    Recording {
        reply: Reply<Option<crate::perform::record::Progress>>,
    },
    Violations {
        reply: Reply<Vec<Violation>>,
    },
    Patience {
        tx: TxId,
        patience: u64,
        reply: Reply<()>,
    },
    Metrics {
        reply: Reply<Metrics>,
    },
    Shutdown,
}

impl Request {
    /// Whom a begin names.
    pub(super) fn participants(&self) -> Option<&[NodeId]> {
        match self {
            Self::Begin { participants, .. } => Some(participants.nodes()),
            Self::BeginAs { transaction, .. } => Some(transaction.participants()),
            _ => None,
        }
    }
}

/// The node's ends of a handle's queues.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) inbox: Inbox,
    /// Whom it meets.
    pub(super) met: Met,
    pub(super) contacts: Contacts,
    pub(super) end: watch::Sender<Option<Result<(), Error>>>,
}

impl Inbox {
    /// Waits for the next packet; `None` if there is no handle any more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        let packet = self.packets.recv().await?;
        Some(self.taken(packet))
    }

    /// A packet that has come already.
    pub(super) fn try_next(&mut self) -> Option<Delivery> {
        let packet = self.packets.try_recv().ok()?;
        Some(self.taken(packet))
    }

    fn taken(&self, packet: Delivery) -> Delivery {
        self.bytes.fetch_sub(packet.weight, Ordering::Relaxed);
        packet
    }
}

impl Handle {
    /// A handle for `node`, and the node's ends of its queues.
    pub(super) fn new(node: &Node, options: &super::Options) -> (Self, Mailbox) {
        let (birth, config) = (node.birth(), node.config());
        let (contacts, met) = Contacts::new(node);
        let (node, cluster) = (config.id, config.cluster.id());
        let (requests, asked) = mpsc::channel(options.requests);
        let (inbox, delivered) = mpsc::channel(options.inbox);
        let (ended, end) = watch::channel(None);
        let drops = telemetry::dropped_packets(cluster, node);
        let (bytes, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (inbox_bytes, most_inbox_bytes) = (Arc::clone(&bytes), options.inbox_bytes);
        let handle = Self {
            node,
            cluster,
            birth,
            contacts,
            requests,
            inbox,
            inbox_bytes,
            most_inbox_bytes,
            end,
            dropped,
            drops,
        };
        let (inbox, contacts) = (Inbox { packets: delivered, bytes }, handle.contacts.clone());
        (handle, Mailbox { requests: asked, inbox, met, contacts, end: ended })
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The cluster that it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The random number that the node was given when it was created. A transport says it in its greeting.
    pub fn birth(&self) -> Option<u64> {
        self.birth
    }

    /// The epoch that the node is in, durably, and the digest of its members; `None` if it has come to the cluster, and knows of
    /// none yet. A transport says it in its greeting.
    pub fn tag(&self) -> Option<EpochTag> {
        self.contacts.epoch()
    }

    /// The node meets another one, which says this birth and this [epoch](Self::tag): a transport calls it before it
    /// [delivers](Self::deliver) the first packet of a connection. Once a node has met any other, it begins no transaction with
    /// one that it has not met. And whoever of the two is behind learns of the later epoch at once.
    ///
    /// On an error the connection must be refused, and an alarm raised. With [`Refusal::Departed`] operators have written the other
    /// node off, and it must not run any more. With [`Refusal::OtherBirth`] this node knows the other
    /// one under another birth: whoever is there has lost its storage, or is one of two with the same id. With
    /// [`Refusal::OtherMembership`] the two are in the same epoch, of different members: one was created with another
    /// configuration.
    pub fn meet(&self, node: NodeId, birth: u64, epoch: Option<EpochTag>) -> Result<(), Refusal> {
        self.contacts.meet(node, birth, epoch)
    }

    /// Begins a transaction among `participants` and names it. `meta` goes with it everywhere, unread. The node must be a
    /// transaction manager, or one of the participants.
    ///
    /// When this returns, the name is durably taken and the transaction is on its way; [`outcome`](Self::outcome) waits
    /// for its end. Should this node crash before anyone has voted, nobody may know of the transaction: whoever wants to
    /// ask again after that uses [`begin_as`](Self::begin_as).
    pub async fn begin(
        &self,
        participants: impl IntoIterator<Item = NodeId>,
        meta: impl Into<Meta>,
    ) -> Result<TxId, Error> {
        let (participants, meta) = (Participants::new(participants)?, meta.into());
        self.ask(|reply| Request::Begin { participants, meta, reply }).await
    }

    /// Begins `transaction`, whose name the caller has seen to, and which is about `meta`. To begin it again, here or at
    /// another transaction manager, does no harm and brings it on.
    pub async fn begin_as(&self, transaction: Transaction, meta: impl Into<Meta>) -> Result<(), Error> {
        let meta = meta.into();
        self.ask(|reply| Request::BeginAs { transaction, meta, must_be_given: false, reply }).await
    }

    /// The same for a caller who is not trusted to see to the name: in the present epoch it must be one of a transaction
    /// manager's, and one of this node's own must have been [given](Self::names). Otherwise this is refused for
    /// [`Refusal::NotNamedHere`](crate::Refusal::NotNamedHere), and nobody's numbers are used up.
    pub async fn begin_given(&self, transaction: Transaction, meta: impl Into<Meta>) -> Result<(), Error> {
        let meta = meta.into();
        self.ask(|reply| Request::BeginAs { transaction, meta, must_be_given: true, reply }).await
    }

    /// Up to `count` names of this node's own, which must be a transaction manager, for transactions that are begun by
    /// [`begin_as`](Self::begin_as), here or at another one. They are durably taken. `count` is from 1 to
    /// [`MOST_NAMES`](crate::commit::MOST_NAMES). Transactions under them are of the epoch that comes with them; once that is
    /// over, take others.
    ///
    /// A name that is never used leaves a gap, which every node remembers for ever: ask for few.
    pub async fn names(&self, count: u64) -> Result<GivenNames, Error> {
        self.ask(|reply| Request::Names { count, reply }).await
    }

    /// Says that the resource here, whose votes are [durable elsewhere](crate::commit::ResourceKind), finds `transaction`
    /// prepared in itself, in a sweep after the start: the node votes to commit, and asks for the outcome. See
    /// [`Input::Prepared`](crate::commit::Input::Prepared).
    pub async fn prepared(&self, transaction: Transaction, meta: impl Into<Meta>) -> Result<(), Error> {
        let meta = meta.into();
        self.ask(|reply| Request::Prepared { transaction, meta, reply }).await
    }

    /// Waits until this node knows how `tx` ended: at a transaction manager or a participant.
    ///
    /// Of a transaction that never comes here it waits for ever. One that is over, and that this node no longer knows the
    /// outcome of, is [`Error::Forgotten`].
    pub async fn outcome(&self, tx: TxId) -> Result<Outcome, Error> {
        self.ask(|reply| Request::Outcome { tx, until: Until::Known, reply }).await
    }

    /// Waits until every resource manager has carried out how `tx` ended, as far as this node hears of that: soon at the
    /// transaction manager that sees `tx` through, and later at the others, when they are told that it is over.
    ///
    /// The errors are those of [`outcome`](Self::outcome). For a transaction that never comes here it waits for ever, too.
    pub async fn completed(&self, tx: TxId) -> Result<Outcome, Error> {
        self.ask(|reply| Request::Outcome { tx, until: Until::Completed, reply }).await
    }

    /// Says that the resource has durably carried out how `tx` ended: after [`Progress::Later`](super::Progress::Later), or
    /// before it is asked again. From then on it is not asked any more before a restart.
    ///
    /// When this returns, that is durable, and the resource is not asked after a restart either. [`Error::Stalled`] says
    /// that the node has heard it, but cannot write it now.
    pub async fn finished(&self, tx: TxId) -> Result<(), Error> {
        self.ask(|reply| Request::Finished { tx, reply }).await
    }

    /// What this node knows of `tx`.
    pub async fn status(&self, tx: TxId) -> Result<Status, Error> {
        self.ask(|reply| Request::Status { tx, reply }).await
    }

    /// The transactions that the resource here has voted to commit without knowing the outcome, in order of name.
    pub async fn in_doubt(&self) -> Result<Vec<InDoubt>, Error> {
        self.ask(|reply| Request::InDoubt { reply }).await
    }

    /// The open transactions, at most `limit`, the oldest first, and who is waited for, as far as this node knows.
    pub async fn open(&self, limit: usize) -> Result<Vec<OpenTransaction>, Error> {
        self.ask(|reply| Request::Open { limit, reply }).await
    }

    /// The outcomes that became known here last, at most `limit`, the latest first: of those that the node
    /// [remembers](super::Options::outcomes) since it was started. What has ended longer ago is known by
    /// [`status`](Self::status).
    pub async fn recent(&self, limit: usize) -> Result<Vec<RecentOutcome>, Error> {
        self.ask(|reply| Request::Recent { limit, reply }).await
    }

    /// Has this transaction manager wait for the votes on `tx`, which must be open here, until `patience` after it began, in
    /// the unit of the cluster's time-outs: see [`Input::Patience`](crate::commit::Input::Patience).
    pub async fn patience(&self, tx: TxId, patience: u64) -> Result<(), Error> {
        self.ask(|reply| Request::Patience { tx, patience, reply }).await
    }

    /// Drives `tx`, which must be open here, to its outcome without waiting for a timer: to abort, where a vote is
    /// missing.
    pub async fn inquire(&self, tx: TxId) -> Result<(), Error> {
        self.ask(|reply| Request::Inquire { tx, reply }).await
    }

    /// An operator's last resort: ends `tx`, which must be in doubt here, by the operator's word, here and nowhere else.
    /// See [`Input::Resolve`](crate::commit::Input::Resolve).
    pub async fn resolve(&self, tx: TxId, outcome: Outcome) -> Result<(), Error> {
        self.ask(|reply| Request::Resolve { tx, outcome, reply }).await
    }

    /// The transactions that stay in doubt here because an assumption of the protocol was broken, in order of name.
    pub async fn violations(&self) -> Result<Vec<Violation>, Error> {
        self.ask(|reply| Request::Violations { reply }).await
    }

    /// Asks the members to come whether they are there and, once enough of them are, hands over to them: see
    /// [`Input::Change`](crate::commit::Input::Change). When this returns, that has begun; [`epoch`](Self::epoch) tells how it
    /// has ended.
    pub async fn change(&self, membership: Membership) -> Result<(), Error> {
        self.ask(|reply| Request::Change { membership: Box::new(membership), reply }).await
    }

    /// The epoch that this node is in, its members, and which machines may be switched off for good; `None` if the node has
    /// come to the cluster, and knows of none yet. All that it says is durable.
    pub async fn epoch(&self) -> Result<Option<EpochStatus>, Error> {
        self.ask(|reply| Request::Epoch { reply }).await
    }

    /// How the [recorder](crate::perform::record) of the node gets on, if it has one.
    #[cfg(feature = "record")]
    pub async fn recording(&self) -> Result<Option<crate::perform::record::Progress>, Error> {
        self.ask(|reply| Request::Recording { reply }).await
    }

    /// The node's counters.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        self.ask(|reply| Request::Metrics { reply }).await
    }

    /// Hands the node a packet that `from` sent, as the transport vouches for it. Never waits: if the inbox is full, or
    /// the node has stopped, the packet is dropped and counted, and this returns false. (The protocol says it again.)
    pub fn deliver(&self, from: NodeId, messages: Vec<Message>) -> bool {
        let weight = messages.iter().map(Weight::weight).sum();
        // The packet that fills the inbox may be too large for it: otherwise, one larger than all of it would never come in.
        let has_room = self.inbox_bytes.fetch_add(weight, Ordering::Relaxed) < self.most_inbox_bytes;
        let taken = has_room && self.inbox.try_send(Delivery { from, messages, weight }).is_ok();
        if !taken {
            self.inbox_bytes.fetch_sub(weight, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.drops.increment(1);
        }
        taken
    }

    /// How many packets [`deliver`](Self::deliver) has dropped, by any handle to this node.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Stops the node: it writes all that was stepped, sends what that releases, lets the resource finish what it
    /// was asked, and lets go of its storage. It takes as long as [`Options::grace`](super::Options::grace) lets it, and ends
    /// with [`Error::Stalled`] if a write hangs. An error if it has stopped, or stops now, because a write failed, or if its
    /// task has panicked or was aborted.
    pub async fn shutdown(self) -> Result<(), Error> {
        // If nobody takes this, it has stopped already.
        let _ = self.requests.send(Request::Shutdown).await;
        let mut end = self.end;
        while end.changed().await.is_ok() {}
        let result = end.borrow().clone();
        result.unwrap_or(Err(Error::Crashed))
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(request(reply)).await.is_err() {
            return Err(self.why_stopped());
        }
        answer.await.unwrap_or_else(|_| Err(self.why_stopped()))
    }

    fn why_stopped(&self) -> Error {
        match self.end.borrow().clone() {
            Some(Err(error)) => error,
            Some(Ok(())) => Error::Stopped,
            None => Error::Crashed,
        }
    }
}
