//! A resource that panics harms its own transaction at most.

use synod::{
    NodeId, Packet, TxId,
    commit::{Config, Message, Meta, Outcome, Promised, Transaction, Vote},
    perform::tokio::{Error, Options, Progress, RecoverError, Resource, Start, spawn},
};

use crate::scene::{Disk, IDS, of, soon};

/// Panics in the call that a transaction's content names, and in this one.
pub(crate) struct Brittle {
    pub(crate) recover: bool,
    /// Reports have no content: those about the transaction that has this number panic.
    pub(crate) reports: u64,
}

impl Resource for Brittle {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        assert!(!self.recover, "on purpose");
        Ok(Vec::new())
    }

    async fn vote(&self, _: &Transaction, meta: &Meta) -> Vote {
        assert_ne!(meta.bytes(), b"vote", "on purpose");
        if meta.bytes() == b"abort" { Vote::Aborted } else { Vote::Prepared }
    }

    async fn commit(&self, _: &Transaction, meta: &Meta) -> Progress {
        assert_ne!(meta.bytes(), b"commit", "on purpose");
        Progress::Finished
    }

    async fn abort(&self, _: &Transaction, meta: Option<&Meta>) -> Progress {
        assert!(meta.is_none_or(|meta| meta.bytes() != b"abort"), "on purpose");
        Progress::Finished
    }

    fn decided(&self, tx: TxId, _: Outcome) {
        assert_ne!(tx.seq, self.reports, "on purpose");
    }

    fn completed(&self, tx: TxId, _: Outcome) {
        assert_ne!(tx.seq, self.reports, "on purpose");
    }
}

pub(crate) fn config() -> Config {
    Config::new(of([IDS[0]], [IDS[0]]), IDS[0], 1)
}

pub(crate) type Nowhere = Vec<Packet<Message>>;

#[tokio::test]
async fn a_report_that_panics_does_not_end_the_node_nor_again_after_each_restart() {
    let disk = Disk::default();
    for (life, start) in [Start::Create, Start::Restore, Start::Restore].into_iter().enumerate() {
        let resource = Brittle { recover: false, reports: 1_024 * life as u64 + 2 };
        let (handle, task) =
            spawn(config(), start, disk.clone(), Nowhere::new(), resource, Options::default()).await.unwrap();
        for _ in 0..3 {
            let tx = soon(handle.begin([NodeId(1)], "")).await.unwrap();
            assert_eq!(soon(handle.completed(tx)).await.unwrap(), Outcome::Committed);
        }
        soon(handle.shutdown()).await.unwrap();
        soon(task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_node_whose_resource_panics_while_it_recovers_does_not_start() {
    let disk = Disk::default();
    let start = async |start| {
        let resource = Brittle { recover: true, reports: 0 };
        spawn(config(), start, disk.clone(), Nowhere::new(), resource, Options::default()).await
    };
    let (handle, _task) = start(Start::Create).await.unwrap();
    soon(handle.shutdown()).await.unwrap();
    let Err(Error::Recover(cause)) = start(Start::Restore).await else { panic!("it starts") };
    assert!(cause.to_string().contains("panicked"), "{cause}");
}
