//! A database server of either kind, as the process that starts it sees it.

use std::sync::{Arc, Mutex, PoisonError};

use synod_servers::{Error, Maria, Options, Postgres};
use tokio::task::spawn_blocking;

use crate::databases::Kind;

/// The database on each of the servers.
const DATABASE: &str = "bank";

/// A server, for several tasks.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    engine: Arc<Mutex<dyn Engine>>,
}

/// What both kinds can do. All calls block.
trait Engine: Send {
    fn url(&self) -> String;
    fn sql(&self, statements: &str) -> Result<String, Error>;
    fn kill(&mut self) -> Result<(), Error>;
    fn start_again(&mut self) -> Result<(), Error>;
}

macro_rules! engine {
    ($kind:ty) => {
        impl Engine for $kind {
            fn url(&self) -> String {
                self.url(DATABASE)
            }

            fn sql(&self, statements: &str) -> Result<String, Error> {
                self.sql(DATABASE, statements)
            }

            fn kill(&mut self) -> Result<(), Error> {
                self.kill()
            }

            fn start_again(&mut self) -> Result<(), Error> {
                self.start_again()
            }
        }
    };
}

engine!(Postgres);
engine!(Maria);

impl Server {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let started = spawn_blocking(move || -> Result<Arc<Mutex<dyn Engine>>, Error> {
            Ok(match kind {
                Kind::Postgres => {
                    let server = Postgres::start(Options::default())?;
                    server.create_database(DATABASE)?;
                    Arc::new(Mutex::new(server))
                }
                Kind::Maria => {
                    let server = Maria::start(Options::default())?;
                    server.create_database(DATABASE)?;
                    Arc::new(Mutex::new(server))
                }
            })
        });
        Ok(Self { kind, engine: started.await?? })
    }

    /// Lets the server do something that takes a while.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Engine) -> Result<T, Error> + Send + 'static,
    ) -> anyhow::Result<T> {
        let engine = Arc::clone(&self.engine);
        let asked = spawn_blocking(move || ask(&mut *engine.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(asked.await??)
    }

    pub(crate) async fn url(&self) -> anyhow::Result<String> {
        self.ask(|engine| Ok(engine.url())).await
    }

    /// What `statements` answer.
    pub(crate) async fn sql(&self, statements: String) -> anyhow::Result<String> {
        self.ask(move |engine| engine.sql(&statements)).await
    }

    /// Kills the server, with all its processes.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        self.ask(|engine| engine.kill()).await
    }

    /// Starts the server again, if it was killed, and waits until it answers.
    pub(crate) async fn start_again(&self) -> anyhow::Result<()> {
        self.ask(|engine| engine.start_again()).await
    }
}
