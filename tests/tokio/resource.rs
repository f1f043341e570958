//! What the resource is asked, and when.

use std::sync::atomic::{AtomicUsize, Ordering};

use synod::{
    Packet, TxId,
    commit::{
        Config, Decision, Message, Meta, Outcome, Promised, Record, ResourceKind, ResourceManagerRecord, Status,
        Transaction, Vote,
    },
    perform::{
        memory::MemoryStorage,
        tokio::{Error, Options, Progress, RecoverError, Resource, Start, spawn},
    },
};

use crate::scene::{Disk, IDS, META, Member, Puppet, Wires, founding, of, soon, transaction, until};

fn alone(puppet: Puppet) -> Member {
    Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), puppet)
}

#[tokio::test]
async fn a_verdict_waits_for_the_vote_that_is_being_considered() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = alone(puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    let transaction = transaction(1, &IDS[..1]);
    let tx = transaction.id();
    soon(handle.begin_as(transaction.clone(), META)).await.unwrap();
    until(async || !puppet.asked().is_empty()).await;
    soon(handle.inquire(tx)).await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Aborted);

    let decided = Decision::Decided { tx, outcome: Outcome::Aborted };
    let vote = Decision::Vote { transaction: transaction.clone(), meta: META.into() };
    assert_eq!(puppet.asked(), [vote.clone(), decided.clone()]);
    puppet.let_vote(1);
    puppet.let_carry_out(1);
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
    let completed = Decision::Completed { tx, outcome: Outcome::Aborted };
    let abort = Decision::Abort { transaction, meta: Some(META.into()) };
    assert_eq!(puppet.asked(), [vote, decided, abort, completed]);
}

#[tokio::test]
async fn a_verdict_that_is_being_carried_out_is_not_asked_for_again() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = alone(puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    puppet.let_vote(1);
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    // The node hands it over again and again, for nobody says that it is finished.
    let before = handle.metrics().await.unwrap().decisions;
    until(async || handle.metrics().await.unwrap().decisions >= before + 3).await;
    assert_eq!(puppet.verdicts(tx), [Outcome::Committed]);
    puppet.let_carry_out(1);
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
    assert_eq!(puppet.verdicts(tx), [Outcome::Committed]);
}

#[tokio::test]
async fn a_slow_resource_holds_up_nothing_but_its_own_transaction() {
    let puppet = Puppet::waiting(Vote::Prepared);
    let member = alone(puppet.clone());
    let (handle, _task) = member.start(Start::Create).await;
    let slow = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || puppet.asked().len() == 1).await;
    let other = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || puppet.asked().len() == 2).await;
    soon(handle.inquire(other)).await.unwrap();
    assert_eq!(soon(handle.outcome(other)).await.unwrap(), Outcome::Aborted);
    assert!(matches!(handle.status(slow).await.unwrap(), Status::Open { outcome: None, .. }));
}

/// Panics when it is to vote on what says so, and the first time it is to commit.
#[derive(Default)]
struct Clumsy {
    commits: AtomicUsize,
}

impl Resource for Clumsy {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    async fn vote(&self, _: &Transaction, meta: &Meta) -> Vote {
        assert_ne!(meta.bytes(), b"a banana skin");
        Vote::Prepared
    }

    async fn commit(&self, _: &Transaction, _: &Meta) -> Progress {
        assert_ne!(self.commits.fetch_add(1, Ordering::Relaxed), 0, "first time");
        Progress::Finished
    }
}

#[tokio::test]
async fn a_vote_that_panics_aborts_and_a_commit_that_panics_is_asked_for_again() {
    let config = Config::new(of([IDS[0]], [IDS[0]]), IDS[0], 1);
    let port = Wires::default().port(IDS[0]);
    let spawned =
        spawn(config, Start::Create, Disk::default(), port, Clumsy::default(), Options::default()).await.unwrap();
    let handle = spawned.0;
    let slips = soon(handle.begin([IDS[0]], "a banana skin")).await.unwrap();
    assert_eq!(soon(handle.outcome(slips)).await.unwrap(), Outcome::Aborted);
    let walks = soon(handle.begin([IDS[0]], "a carpet")).await.unwrap();
    assert_eq!(soon(handle.outcome(walks)).await.unwrap(), Outcome::Committed);
    for tx in [slips, walks] {
        until(async || handle.status(tx).await.unwrap().is_retired()).await;
    }
}

/// A resource that has lost what it must hold.
struct Forgetful;

impl Resource for Forgetful {
    async fn recover(&self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Err(format!("{} promised, and nothing held", promised.len()).into())
    }
}

#[tokio::test]
async fn a_node_whose_resource_cannot_recover_does_not_start() {
    let cluster = of([IDS[0]], [IDS[0]]);
    let config = || Config::new(cluster.clone(), IDS[1], 0);
    let meta = Meta::from(b"row 7");
    let vote = ResourceManagerRecord {
        transaction: Transaction::new(TxId { origin: IDS[0], seq: 1 }, [IDS[1]], meta.clone()).unwrap(),
        meta: Some(meta),
        vote: Some(Vote::Prepared),
        finished: None,
    };
    let records = founding(&cluster, IDS[1]).into_iter().chain([Record::ResourceManager(vote)]);
    let storage = MemoryStorage::with_records(records);
    let spawned =
        spawn(config(), Start::Restore, storage, Vec::<Packet<Message>>::new(), Forgetful, Options::default()).await;
    let Err(Error::Recover(cause)) = spawned else { panic!("{spawned:?}") };
    assert_eq!(cause.to_string(), "1 promised, and nothing held");
    // A new node has promised nothing.
    let blank = MemoryStorage::new();
    spawn(config(), Start::Create, blank, Vec::<Packet<Message>>::new(), Forgetful, Options::default()).await.unwrap();
}

/// A resource whose votes are durable in itself, and that holds one of another life.
struct Vault(Promised);

impl Resource for Vault {
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(vec![self.0.clone()])
    }
}

#[tokio::test]
async fn what_a_resource_finds_prepared_in_itself_is_ended_although_its_node_has_forgotten_it() {
    let cluster = of([IDS[0]], [IDS[0]]);
    let config = |kind| Config::new(cluster.clone(), IDS[0], 0).with_resource(kind);
    let tx = TxId { origin: IDS[1], seq: 1 };
    let forgotten = Promised::new(Transaction::new(tx, [IDS[0]], []).unwrap(), Meta::default());
    let storage = MemoryStorage::with_records(founding(&cluster, IDS[0]));
    let (network, kind) = (Vec::<Packet<Message>>::new(), ResourceKind::VotesElsewhere);
    let spawned = spawn(config(kind), Start::Restore, storage, network, Vault(forgotten), Options::default());
    let (handle, _) = spawned.await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
}
