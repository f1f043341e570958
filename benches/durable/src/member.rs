//! A node and its driver, on any storage.

use std::{convert::Infallible, error::Error};

use anyhow::Result;
use synod::{
    Packet, TxId,
    commit::{Config, Input, Message, Record, Transaction, Vote},
    perform::{Driver, Handlers, Progress, Resource, Storage},
};

/// A real node, through the library's own loop.
pub struct Member<S> {
    driver: Driver,
    handlers: Handlers<S, Vec<Packet<Message>>, Ready>,
}

impl<S: Storage<Error: Error + Send + Sync>> Member<S> {
    pub fn new(config: Config, mut storage: S) -> Result<Self> {
        let driver = Driver::create(config, &mut storage)?;
        Ok(Self { driver, handlers: Handlers { storage, transport: Vec::new(), resource: Ready } })
    }

    /// Takes inputs. All that follows from them is durable when this returns, and its messages are ready to be sent.
    pub fn take(&mut self, inputs: Vec<Input>) -> Result<()> {
        inputs.into_iter().for_each(|input| self.driver.push(input));
        while !self.driver.is_idle() {
            self.driver.flush(&mut self.handlers)?;
        }
        Ok(())
    }

    /// Loses the messages that are ready to be sent, and says how many there were.
    pub fn lose_messages(&mut self) -> usize {
        self.handlers.transport.drain(..).map(|packet| packet.messages.len()).sum()
    }

    pub fn storage(&mut self) -> &mut S {
        &mut self.handlers.storage
    }
}

/// A resource that is always prepared, and commits at once.
struct Ready;

impl Resource for Ready {
    fn vote(&mut self, _: &Transaction) -> Option<Vote> {
        Some(Vote::Prepared)
    }

    fn commit(&mut self, _: TxId) -> Progress {
        Progress::Finished
    }
}

/// Takes note of the batch that is written.
#[derive(Default)]
pub struct Noted(pub Option<Vec<Record>>);

impl Storage for Noted {
    type Error = Infallible;

    fn load(&mut self) -> Result<Vec<Record>, Infallible> {
        Ok(Vec::new())
    }

    fn persist(&mut self, records: &[Record]) -> Result<(), Infallible> {
        assert!(self.0.replace(records.into()).is_none(), "a batch is written at once");
        Ok(())
    }
}
