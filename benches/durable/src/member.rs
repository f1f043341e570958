//! A node and its driver, on any storage.

use std::convert::Infallible;

use anyhow::{Context, Result, ensure};
use synod::{
    Packet,
    commit::{Config, Input, Message, Meta, Promised, Record, Transaction, Vote},
    perform::{Batch, Driver, Handlers, Progress, RecoverError, Resource, Storage, fjall::FjallStorage},
};

use crate::lane::{Back, Front};

/// A real node, through the library's own loop. Its storage is elsewhere.
pub struct Member {
    driver: Driver,
    handlers: Handlers<(), Vec<Packet<Message>>, Ready>,
}

impl Member {
    pub fn new<S: Storage<Error: Send + Sync>>(config: Config, storage: &mut S) -> Result<Self> {
        let driver = Driver::create(config, storage)?;
        Ok(Self { driver, handlers: Handlers { storage: (), transport: Vec::new(), resource: Ready } })
    }

    /// Loses the messages that are ready to be sent, and says how many there were. There must be nothing else to do.
    pub fn lose_messages(&mut self) -> Result<usize> {
        ensure!(self.driver.is_idle(), "a batch has left something over");
        Ok(self.handlers.transport.drain(..).map(|packet| packet.messages.len()).sum())
    }
}

impl Front for Member {
    type Load = Vec<Input>;
    type Batch = Option<Batch>;

    fn prepare(&mut self, inputs: Vec<Input>) {
        inputs.into_iter().for_each(|input| self.driver.push(input).expect("a member takes what is prepared for it"));
    }

    fn begin(&mut self) -> Option<Batch> {
        self.driver.begin(&mut self.handlers)
    }

    fn finish(&mut self, batch: Option<Batch>) {
        if let Some(batch) = batch {
            self.driver.finish(batch, &mut self.handlers).expect("it is this driver's");
        }
    }
}

impl Back<Option<Batch>> for FjallStorage {
    fn write(&mut self, batch: Option<Batch>) -> Result<Option<Batch>> {
        self.persist(batch.as_ref().context("there is nothing to write")?.records())?;
        Ok(batch)
    }
}

/// A resource that is always prepared, and commits at once.
struct Ready;

impl Resource for Ready {
    /// It holds nothing before a vote is written.
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }

    fn commit(&mut self, _: &Transaction, _: &Meta) -> Progress {
        Progress::Finished
    }
}

/// Takes note of the batches that are written.
#[derive(Default)]
pub struct Noted(pub Vec<Vec<Record>>);

impl Storage for Noted {
    type Error = Infallible;

    fn load(&mut self) -> Result<Vec<Record>, Infallible> {
        Ok(Vec::new())
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), Infallible> {
        self.0.push(records.into());
        Ok(())
    }
}

impl Back<Option<Batch>> for Noted {
    fn write(&mut self, batch: Option<Batch>) -> Result<Option<Batch>> {
        self.persist(batch.as_ref().context("there is nothing to write")?.records())?;
        Ok(batch)
    }
}
