//! The way to a store.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Promised, Transaction, TxRange, Vote},
};
use synod_client::{Alarm, Alarms, Listed, ListedBranch};
use synod_grpc::{
    Identity, Security,
    tonic::{Code, Request, Response, Status, transport::Channel},
    v1::{self, store_client::StoreClient},
};
use tokio::{
    sync::RwLock,
    time::{Instant, sleep, timeout},
};

use crate::{Error, Options, forgotten::Forgotten};

/// A store of one participant, at an address. A clone is the same one.
///
/// It is an [`Agent`](synod_client::Agent): start its node with the resource that this has, and run `watch` beside the node. And it is
/// a [`Database`](synod_client::Database), the application's way to it: see [`StoreBranch`](crate::StoreBranch).
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) participant: NodeId,
    pub(crate) address: Box<str>,
    pub(crate) options: Options,
    security: Security,
    channel: Mutex<Option<Channel>>,
    alarms: Alarms,
    forgotten: Mutex<Forgotten>,
    /// In which cluster it has been found to stage what applications want.
    #[cfg(feature = "client")]
    known_in: Mutex<Option<ClusterId>>,
    /// Held by each vote while it is given. Who holds it alone knows that the node has heard of all that were.
    pub(crate) votes_given: RwLock<()>,
}

/// How the end of a transaction was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Lost,
    Otherwise,
}

/// What has become of something that was to be staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(any(feature = "client", feature = "conformance")), expect(dead_code, reason = "applications stage"))]
pub(crate) enum Staged {
    Done,
    Otherwise,
    Late,
}

impl Store {
    /// The store of `participant` at `address`, such as `localhost:7513`. With TLS, `security` has the certificate of the
    /// participant's node, which is also the store's; or in an application that is not beside it, that of a client. Does not
    /// connect yet. To be called in a tokio runtime.
    pub fn new(address: &str, participant: NodeId, security: Security, options: Options) -> Result<Self, Error> {
        let inner = Inner {
            participant,
            address: address.into(),
            options,
            security,
            channel: Mutex::default(),
            alarms: Alarms::default(),
            forgotten: Mutex::default(),
            #[cfg(feature = "client")]
            known_in: Mutex::default(),
            votes_given: RwLock::default(),
        };
        // A malformed address is an error here, and not with the first call.
        inner.connect(ClusterId([0; 16]))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Asks whether the store is there, and that of this participant in `cluster`. If it was nobody's, it is from now on.
    pub async fn check(&self, cluster: ClusterId) -> Result<(), Error> {
        self.0.open(cluster).await
    }

    /// What it lists itself as prepared: at most `limit`, and how many there are.
    pub async fn listed(&self, cluster: ClusterId, limit: usize) -> Result<(Vec<Listed>, usize), Error> {
        let (held, participant) = (self.0.prepared(cluster).await?, self.0.participant);
        let listed = |held: &Promised| {
            let tx = held.transaction.id();
            Listed::new(tx.to_string(), Some(ListedBranch { cluster, participant, tx }), None)
        };
        Ok((held.iter().take(limit).map(listed).collect(), held.len()))
    }

    /// What is not as it must be.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms.list()
    }
}

/// One call of the service, with a deadline.
macro_rules! call {
    ($inner:expr, $cluster:expr, $call:ident, $request:expr) => {{
        let (inner, cluster) = ($inner, $cluster);
        let mut client = StoreClient::new(inner.channel(cluster)?);
        let mut request = Request::new($request);
        request.set_timeout(inner.options.answer);
        // The deadline is the server's, too, and may never come back from one that hangs.
        let asked = timeout(inner.options.answer, client.$call(request)).await;
        inner.read(cluster, asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("it takes too long"))))
    }};
}

impl Inner {
    pub(crate) async fn open(&self, cluster: ClusterId) -> Result<(), Error> {
        let agent = self.agent(cluster);
        let reply = call!(self, cluster, open, v1::OpenRequest { agent })?;
        if reply.is_new {
            tracing::info!(participant = %self.participant, %cluster, "the store is this participant's from now on");
        }
        Ok(())
    }

    /// Asks again while the store is away, until the time of one answer is over.
    async fn insist<T, F: Future<Output = Result<T, Error>>>(&self, ask: impl Fn() -> F) -> Result<T, Error> {
        let end = Instant::now() + self.options.answer;
        loop {
            match ask().await {
                Err(error) if error.is_away() && Instant::now() < end => sleep(self.options.retry).await,
                answer => return answer,
            }
        }
    }

    /// Has the store vote. While it is away it is asked again, until the time of one answer is over.
    pub(crate) async fn prepare(&self, cluster: ClusterId, tx: &Transaction, meta: &Meta) -> Result<Vote, Error> {
        self.insist(move || self.prepare_once(cluster, tx, meta)).await
    }

    /// The same, asked once.
    pub(crate) async fn prepare_once(&self, cluster: ClusterId, tx: &Transaction, meta: &Meta) -> Result<Vote, Error> {
        let (agent, transaction, meta) = (self.agent(cluster), Some(tx.into()), meta.bytes().to_vec());
        let reply = call!(self, cluster, prepare, v1::WorkRequest { agent, transaction, meta })?;
        match reply.vote() {
            v1::Vote::Prepared => Ok(Vote::Prepared),
            v1::Vote::Aborted => Ok(Vote::Aborted),
            v1::Vote::Unspecified => Err(self.senseless("an unspecified vote")),
        }
    }

    pub(crate) async fn commit(&self, cluster: ClusterId, tx: TxId) -> Result<End, Error> {
        let (agent, id) = (self.agent(cluster), Some(tx.into()));
        let reply = call!(self, cluster, commit, v1::EndRequest { agent, id })?;
        self.end(reply.end())
    }

    pub(crate) async fn abort(&self, cluster: ClusterId, tx: TxId) -> Result<End, Error> {
        let (agent, id) = (self.agent(cluster), Some(tx.into()));
        let reply = call!(self, cluster, abort, v1::EndRequest { agent, id })?;
        self.end(reply.end())
    }

    fn end(&self, end: v1::End) -> Result<End, Error> {
        match end {
            v1::End::Done => Ok(End::Done),
            v1::End::Lost => Ok(End::Lost),
            v1::End::Otherwise => Ok(End::Otherwise),
            v1::End::Unspecified => Err(self.senseless("an unspecified end")),
        }
    }

    /// All that the store has prepared.
    pub(crate) async fn prepared(&self, cluster: ClusterId) -> Result<Vec<Promised>, Error> {
        let mut held: Vec<Promised> = Vec::new();
        loop {
            let (agent, after) = (self.agent(cluster), held.last().map(|last| last.transaction.id().into()));
            let page = call!(self, cluster, prepared, v1::ListRequest { agent, after })?;
            let before = held.len();
            for v1::Work { transaction, meta } in page.works {
                let transaction =
                    transaction.ok_or_else(|| self.senseless("a prepared transaction without its name"))?;
                let transaction: Transaction = transaction.try_into().map_err(|error: synod_grpc::WireError| {
                    self.senseless(&format!("a malformed prepared transaction, {error}"))
                })?;
                if held.last().is_some_and(|last| last.transaction.id() >= transaction.id()) {
                    return Err(self.senseless("prepared transactions that are not in order"));
                }
                held.push(Promised::new(transaction, Meta::from(meta)));
            }
            if !page.more {
                return Ok(held);
            }
            if held.len() == before {
                return Err(self.senseless("an empty page with more to come"));
            }
        }
    }

    /// A page of what the store remembers the end of, and whether there is more.
    pub(crate) async fn ended(&self, cluster: ClusterId, after: Option<TxId>) -> Result<(Vec<TxId>, bool), Error> {
        let (agent, after) = (self.agent(cluster), after.map(v1::TxId::from));
        let page = call!(self, cluster, ended, v1::ListRequest { agent, after })?;
        let more = page.more && !page.ids.is_empty();
        Ok((page.ids.into_iter().map(TxId::from).collect(), more))
    }

    pub(crate) async fn forget(&self, cluster: ClusterId, range: TxRange) -> Result<(), Error> {
        let (agent, range) = (self.agent(cluster), Some(range.into()));
        call!(self, cluster, forget, v1::ForgetRequest { agent, range }).map(|_| ())
    }

    /// Stages what a transaction wants. While the store is away it is asked again, until the time of one answer is over.
    #[cfg(any(feature = "client", feature = "conformance"))]
    pub(crate) async fn stage(&self, cluster: ClusterId, tx: TxId, content: Vec<u8>) -> Result<Staged, Error> {
        self.insist(|| self.stage_once(cluster, tx, content.clone())).await
    }

    /// The same, asked once.
    #[cfg(any(feature = "client", feature = "conformance"))]
    pub(crate) async fn stage_once(&self, cluster: ClusterId, tx: TxId, content: Vec<u8>) -> Result<Staged, Error> {
        let (agent, id) = (self.agent(cluster), Some(tx.into()));
        let reply = call!(self, cluster, stage, v1::StageRequest { agent, id, content }).map_err(Error::of_staging)?;
        match reply.stage() {
            v1::Stage::Done => Ok(Staged::Done),
            v1::Stage::Otherwise => Ok(Staged::Otherwise),
            v1::Stage::Late => Ok(Staged::Late),
            v1::Stage::Unspecified => Err(self.senseless("an unspecified stage")),
        }
    }

    /// Takes back what is staged under these names. Without any, it finds out whether the store stages anything.
    pub(crate) async fn unstage(&self, cluster: ClusterId, txs: &[TxId]) -> Result<(), Error> {
        let (agent, ids) = (self.agent(cluster), txs.iter().map(|tx| v1::TxId::from(*tx)).collect());
        call!(self, cluster, unstage, v1::UnstageRequest { agent, ids }).map(|_| ()).map_err(Error::of_staging)
    }

    /// All that is staged, and not promised.
    pub(crate) async fn staged(&self, cluster: ClusterId) -> Result<Vec<TxId>, Error> {
        let mut staged: Vec<TxId> = Vec::new();
        loop {
            let (agent, after) = (self.agent(cluster), staged.last().map(|last| v1::TxId::from(*last)));
            let page = call!(self, cluster, staged, v1::ListRequest { agent, after }).map_err(Error::of_staging)?;
            let before = staged.len();
            for tx in page.ids.into_iter().map(TxId::from) {
                if staged.last().is_some_and(|last| *last >= tx) {
                    return Err(self.senseless("names of what is staged that are not in order"));
                }
                staged.push(tx);
            }
            if !page.more {
                return Ok(staged);
            }
            if staged.len() == before {
                return Err(self.senseless("an empty page with more to come"));
            }
        }
    }

    /// Makes sure that it is this participant's, and stages what applications want: one that does not might promise nothing at
    /// all, and that would commit. It is asked once.
    #[cfg(feature = "client")]
    pub(crate) async fn expect_staging(&self, cluster: ClusterId) -> Result<(), Error> {
        let known_in = || self.known_in.lock().unwrap_or_else(PoisonError::into_inner);
        if *known_in() != Some(cluster) {
            self.insist(|| self.unstage(cluster, &[])).await?;
            *known_in() = Some(cluster);
        }
        Ok(())
    }

    pub(crate) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    pub(crate) fn forgotten<T>(&self, with: impl FnOnce(&mut Forgotten, Duration) -> T) -> T {
        with(&mut self.forgotten.lock().unwrap_or_else(PoisonError::into_inner), self.options.keep)
    }

    fn agent(&self, cluster: ClusterId) -> Option<v1::Agent> {
        Some(v1::Agent { cluster: cluster.0.to_vec(), participant: self.participant.0 })
    }

    /// The connection, which comes about with the first call.
    fn channel(&self, cluster: ClusterId) -> Result<Channel, Error> {
        let mut kept = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match kept.take() {
            Some(channel) => channel,
            None => self.connect(cluster)?,
        };
        Ok(kept.insert(channel).clone())
    }

    fn connect(&self, cluster: ClusterId) -> Result<Channel, synod_grpc::Error> {
        let options = synod_grpc::Options::default();
        synod_grpc::channel(Identity::node(cluster, self.participant), &self.address, &self.security, &options)
    }

    fn read<T>(&self, cluster: ClusterId, answer: Result<Response<T>, Status>) -> Result<T, Error> {
        let (participant, address) = (self.participant, self.address.clone());
        answer.map(Response::into_inner).map_err(|status| {
            if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) {
                // The next one is made with the certificates that are in force then.
                *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            let (of_another, status) = (Error::is_of_another(status.code()), Box::new(status));
            if of_another {
                Error::Refused { participant, cluster, address, status }
            } else {
                Error::Away { participant, address, status }
            }
        })
    }

    fn senseless(&self, what: &str) -> Error {
        Error::Answer { participant: self.participant, what: what.into() }
    }
}
