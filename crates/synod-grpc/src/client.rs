//! A client's way to one node.

use synod::{
    NodeId, TxId,
    commit::{ClusterId, InDoubt, Meta, Outcome, Status, Transaction},
};
use tonic::transport::Channel;

use crate::{
    CallError, Error, Identity, Options, Security, peers,
    v1::{self, transactions_client::TransactionsClient},
    wire::{self, Needed},
};

/// A connection to one node, to begin transactions there and to ask about them. A clone shares it.
///
/// It comes about with the first call, and again with the next call when it broke. A call fails when the node cannot be
/// reached, and is not made again.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    most: usize,
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
        options.check()?;
        tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let wanted = Identity::node(cluster, node);
        if let Security::Tls(tls) = security
            && tls.identity().cluster != cluster
        {
            return Err(Error::OtherIdentity { wanted, found: tls.identity() });
        }
        let channel = peers::endpoint(node, address, wanted, security, options)?.connect_lazy();
        Ok(Self { channel, most: options.message })
    }

    /// The connection, for the stubs in [`v1`].
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn stub(&self) -> TransactionsClient<Channel> {
        TransactionsClient::new(self.channel()).max_decoding_message_size(self.most)
    }

    /// Begins a transaction among `participants`, which the node names. It must be a transaction manager, or one of them.
    pub async fn begin(
        &self,
        participants: impl IntoIterator<Item = NodeId>,
        meta: impl Into<Meta>,
    ) -> Result<TxId, CallError> {
        let participants = participants.into_iter().map(|node| node.0).collect();
        let request = v1::BeginRequest { participants, meta: meta.into().into(), id: None };
        let reply = self.stub().begin(request).await?.into_inner();
        Ok(reply.id.needed("the transaction's id")?.into())
    }

    /// Begins `transaction`, whose name has the number of this client, or node, as its origin, and is used once, ever. To
    /// begin it again, here or at another transaction manager, does no harm and brings it on.
    pub async fn begin_as(&self, transaction: &Transaction, meta: impl Into<Meta>) -> Result<(), CallError> {
        let v1::Transaction { id, participants, .. } = transaction.into();
        self.stub().begin(v1::BeginRequest { participants, meta: meta.into().into(), id }).await?;
        Ok(())
    }

    /// Waits until the node knows how `tx` ended. See [`Handle::outcome`](synod::perform::tokio::Handle::outcome).
    pub async fn outcome(&self, tx: TxId) -> Result<Outcome, CallError> {
        let reply = self.stub().outcome(v1::OutcomeRequest { id: Some(tx.into()) }).await?;
        Ok(wire::outcome(reply.into_inner().outcome)?)
    }

    /// What the node knows of `tx`.
    pub async fn status(&self, tx: TxId) -> Result<Status, CallError> {
        let reply = self.stub().status(v1::StatusRequest { id: Some(tx.into()) }).await?;
        Ok(reply.into_inner().try_into()?)
    }

    /// The transactions that the node's resource has voted to commit without knowing the outcome, in order of name.
    pub async fn in_doubt(&self) -> Result<Vec<InDoubt>, CallError> {
        let (mut listed, mut after, mut more) = (Vec::<InDoubt>::new(), None, true);
        while more {
            let reply = self.stub().in_doubt(v1::InDoubtRequest { after, limit: 0 }).await?.into_inner();
            // A list that says that there is more, and has nothing, would never end.
            more = reply.more && !reply.in_doubt.is_empty();
            for each in reply.in_doubt {
                listed.push(each.try_into()?);
            }
            after = listed.last().map(|last| last.transaction.id().into());
        }
        Ok(listed)
    }

    /// Has the node drive `tx` to its outcome without waiting for a timer: to abort, where a vote is missing. Any client
    /// may, of any transaction.
    pub async fn inquire(&self, tx: TxId) -> Result<(), CallError> {
        self.stub().inquire(v1::InquireRequest { id: Some(tx.into()) }).await?;
        Ok(())
    }
}
