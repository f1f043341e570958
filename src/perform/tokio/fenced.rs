//! What callers hear of a transaction that a broken invariant fences: a test from inside, for nothing from outside can
//! break one.

#![allow(clippy::expect_used, reason = "a test may panic")]

use alloc::vec::Vec;
use core::{convert::Infallible, time::Duration};

use ::tokio::{join, time::timeout};

use super::{Error, Options, Resource, start_task};
use crate::{
    NodeId, Packet, Refusal,
    commit::{
        Message, Promised, Record,
        node::fenced::{about_to_be_fenced, message, transaction},
    },
    perform::{Driver, RecoverError, Storage, Transport},
};

/// Takes everything, and does nothing.
struct Nothing;

impl Storage for Nothing {
    type Error = Infallible;

    fn load(&mut self) -> Result<Vec<Record>, Infallible> {
        Ok(Vec::new())
    }

    fn persist(&mut self, _: &[Record]) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Transport for Nothing {
    fn send(&mut self, _: Packet<Message>) {}
}

impl Resource for Nothing {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }
}

#[::tokio::test]
async fn who_waits_for_a_transaction_that_is_fenced_is_told_at_once_and_who_waits_for_another_goes_on() {
    let driver = Driver::of(about_to_be_fenced());
    let (handle, task) = start_task(driver, Nothing, Nothing, Nothing, Options::default());
    let node = ::tokio::spawn(task.run());
    let (broken, sound) = (transaction(1).id(), transaction(2).id());
    let (before, other, ()) = join!(
        timeout(Duration::from_secs(60), handle.outcome(broken)),
        timeout(Duration::from_millis(200), handle.outcome(sound)),
        async {
            // What has asked is heard before the packet is.
            while handle.metrics().await.expect("it runs").steps == 0 {
                handle.deliver(NodeId(3), [message(1), message(2)].into());
            }
        },
    );
    assert!(matches!(before, Ok(Err(Error::Refused(Refusal::Broken)))), "{before:?}");
    assert!(other.is_err(), "{other:?}");
    let after = handle.outcome(broken).await;
    assert!(matches!(after, Err(Error::Refused(Refusal::Broken))), "{after:?}");
    let after = handle.completed(broken).await;
    assert!(matches!(after, Err(Error::Refused(Refusal::Broken))), "{after:?}");
    handle.shutdown().await.expect("the node itself goes on");
    node.await.expect("no panic").expect("no failed write");
}
