//! A database that a node stands beside.

use std::{error::Error as StdError, path::Path, sync::Arc};

use mysql_async::SslOpts;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem, pem::PemObject},
};
use synod::{
    NodeId,
    commit::ClusterId,
    perform::tokio::{Error, Handle},
};
use synod_client::{Agent, Alarm, Cause, Listed};
use synod_grpc::{Security, Tls};
use synod_mysql::Mysql;
use synod_postgres::Postgres;
use synod_store::Store;
use tokio::net::TcpListener;

use super::node::{Node, Place, Started};
use crate::{
    config::{Kind, Url},
    failure::{Exit, Failure, chain},
};

/// A database. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) enum Beside {
    Postgres(Postgres),
    Mysql(Mysql),
    Store(Store),
}

/// Why the node beside a database has not started.
pub(super) enum NotYet {
    /// The database is away.
    Away(String),
    /// Nothing will change that.
    Failed(Failure),
}

impl Beside {
    /// Does not connect yet. A store is reached with the certificate of its node.
    pub(crate) fn new(url: &Url, node: NodeId, tls: Option<&Tls>) -> Result<Self, Failure> {
        match url.kind {
            Kind::Postgres => {
                let options = synod_postgres::Options::new();
                let options = match &url.ca {
                    Some(ca) => options.tls(Arc::new(trusting(ca, url, node)?)),
                    None => options,
                };
                let database = Postgres::connect_lazy(&url.text, node, options);
                database.map(Self::Postgres).map_err(|error| cannot_take_part(url, node, &error))
            }
            Kind::Mysql => {
                let options = synod_mysql::Options::new();
                let options = match &url.ca {
                    Some(ca) => options.tls(SslOpts::default().with_root_certs(vec![ca.clone().into()])),
                    None => options,
                };
                let database = Mysql::connect_lazy(&url.text, node, options);
                database.map(Self::Mysql).map_err(|error| cannot_take_part(url, node, &error))
            }
            Kind::Store => {
                let Some(tls) = tls else {
                    let what =
                        format!("{}, the store of node {}, is reached with a certificate only", url.text, node.0);
                    let remedy =
                        "stage what a transaction wants of it, or begin one among stores, with that of a client";
                    return Err(Failure::new(Exit::Database, what, remedy));
                };
                let (address, security) = (url.address(), Security::Tls(tls.clone()));
                let store = Store::new(address, node, security, synod_store::Options::new());
                store.map(Self::Store).map_err(|error| cannot_take_part(url, node, &error))
            }
        }
    }

    /// Connects, and sees whether it can take part.
    pub(crate) async fn check(&self, url: &Url, node: NodeId) -> Result<(), Failure> {
        match self {
            Self::Postgres(database) => database.check().await.map_err(|error| cannot_take_part(url, node, &error)),
            Self::Mysql(database) => database.check().await.map_err(|error| cannot_take_part(url, node, &error)),
            // Whether it can depends on the cluster, and its agent says so.
            Self::Store(_) => Ok(()),
        }
    }

    /// What is not as it must be in it.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        match self {
            Self::Postgres(database) => database.alarms(),
            Self::Mysql(database) => database.alarms(),
            Self::Store(store) => store.alarms(),
        }
    }

    /// What it lists itself as prepared: at most `limit`, and how many there are.
    pub(crate) async fn prepared(&self, cluster: ClusterId, limit: usize) -> Result<(Vec<Listed>, usize), Cause> {
        match self {
            Self::Postgres(database) => Ok(database.prepared(limit).await?),
            Self::Mysql(database) => Ok(database.prepared(limit).await?),
            Self::Store(store) => Ok(store.listed(cluster, limit).await?),
        }
    }

    /// Starts the node beside it.
    pub(super) async fn start(&self, place: &Place, listener: &mut Option<TcpListener>) -> Result<Node, NotYet> {
        match self {
            Self::Postgres(database) => start(database, place, listener).await,
            Self::Mysql(database) => start(database, place, listener).await,
            Self::Store(store) => start(store, place, listener).await,
        }
    }

    /// What goes on beside the node as long as it runs.
    pub(super) async fn watch(self, cluster: ClusterId, node: Handle) {
        match self {
            Self::Postgres(database) => database.watch(cluster, node).await,
            Self::Mysql(database) => database.watch(cluster, node).await,
            Self::Store(store) => store.watch(cluster, node).await,
        }
    }
}

/// TLS to a server whose certificate this authority has issued.
fn trusting(ca: &Path, url: &Url, node: NodeId) -> Result<ClientConfig, Failure> {
    let no_use = |error: &(dyn StdError + 'static)| {
        let what = format!("{}, which is node.database_ca of node {}, cannot be used", ca.display(), node.0);
        let remedy = format!("put the certificate of the authority of {} there, in PEM", url.without_password());
        Failure::new(Exit::Configuration, what, remedy).caused_by(error)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| no_use(&error))? {
        let certificate = certificate.map_err(|error| no_use(&error))?;
        roots.add(certificate).map_err(|error| no_use(&error))?;
    }
    if roots.is_empty() {
        return Err(no_use(&pem::Error::NoItemsFound));
    }
    // Named, so that it is the same whatever else the program links.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| no_use(&error))?.with_root_certificates(roots).with_no_client_auth())
}

async fn start<A: Agent>(agent: &A, place: &Place, listener: &mut Option<TcpListener>) -> Result<Node, NotYet> {
    let resource = match agent.resource(place.config.cluster.id()).await {
        Ok(resource) => resource,
        Err(cause) if agent.may_come_back(&cause) => return Err(NotYet::Away(chain(&*cause))),
        Err(cause) => return Err(NotYet::Failed(place.database_failure(&cause))),
    };
    match place.start(place.config.clone().with_resource(A::KIND), resource, listener).await {
        Ok(node) => Ok(node),
        // The database went away again before anything happened.
        Err(Started::Not(Error::Recover(cause))) => Err(NotYet::Away(chain(&Arc::clone(&cause)))),
        Err(Started::Not(error)) => Err(NotYet::Failed(place.not_started(&error))),
        Err(Started::Failed(failure)) => Err(NotYet::Failed(failure)),
    }
}

impl Place {
    fn database_failure(&self, cause: &Cause) -> Failure {
        let error: &(dyn StdError + 'static) = &**cause;
        match &self.node.database {
            Some(url) => cannot_take_part(url, self.node.id, error),
            None => Failure::new(Exit::Database, "a database cannot take part", "see the cause").caused_by(error),
        }
    }
}

/// That a database cannot take part, and what to do about it.
pub(crate) fn cannot_take_part(url: &Url, node: NodeId, error: &(dyn StdError + 'static)) -> Failure {
    let cause = chain(error);
    let says = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    let remedy = if url.kind == Kind::Store {
        "start the store at that address, with the certificate of this very node, and with the file of this very \
         participant"
    } else if says(&["max_prepared_transactions"]) {
        "in its postgresql.conf, set max_prepared_transactions = 100 (or the connections of all applications \
         together), and restart the server"
    } else if says(&["password", "Access denied", "no pg_hba.conf entry", "role"]) && !says(&["GRANT"]) {
        "give the user and the password in node.database of this node (or database_file) that the server knows, and \
         let its pg_hba.conf or its grants admit them from this machine"
    } else if says(&["sslmode", "TLS", "certificate", "ssl"]) {
        "give the authority of the server's certificate in node.database_ca, and a URL with a name that the \
         certificate is for; or have the server speak TLS"
    } else if says(&["does not exist", "Unknown database", "names no database"]) {
        "create the database, or name one that is there in node.database of this node"
    } else if says(&["malformed", "URL"]) && !says(&["DELETE FROM"]) {
        "write postgres://user:password@host:5432/database, or mysql://user:password@host:3306/database"
    } else {
        "do what the cause says, and start this again"
    };
    let kind = if url.kind == Kind::Store { "store" } else { &format!("{} database", url.kind.name()) };
    let what = format!("the {kind} of node {}, {}, cannot take part", node.0, url.without_password());
    Failure::new(Exit::Database, what, remedy).because(cause)
}
