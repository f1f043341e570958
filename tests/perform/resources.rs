//! What the driver asks of a resource: that it recovers, votes, and may panic.

use super::*;

/// A resource that keeps account of what it must hold, and may have lost it.
#[derive(Default)]
struct Shelf {
    held: Vec<TxId>,
    lost: bool,
}

impl Resource for Shelf {
    fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        self.held = promised.iter().map(|promised| promised.transaction.id()).collect();
        if self.lost { Err("a row is gone".into()) } else { Ok(Vec::new()) }
    }
}

#[test]
fn a_restored_driver_has_its_resource_recover_and_does_not_start_if_it_cannot() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    driver.receive(MANAGER, &[prepare(1)]);
    driver.flush(&mut handlers).unwrap();
    while !driver.is_idle() {
        driver.flush(&mut handlers).unwrap();
    }
    drop(driver);
    let packets = network.packets();
    let transport = network.port(BRANCHES[0]);
    let mut again = Handlers { storage: handlers.storage.clone(), transport, resource: Shelf::default() };
    let restored = Driver::restore(config(BRANCHES[0]), &mut again).unwrap();
    assert_eq!(again.resource.held, [transaction(1).id()]);
    assert_eq!(restored.node().promised().len(), 1);
    again.resource.lost = true;
    let failed = Driver::restore(config(BRANCHES[0]), &mut again);
    assert!(matches!(failed, Err(DriverError::Recover(error)) if error.to_string() == "a row is gone"));
    assert_eq!(network.packets(), packets);
}

/// A resource whose votes are durable in itself.
#[derive(Default)]
struct Vault {
    prepared: Vec<Promised>,
    forgotten: Vec<TxRange>,
}

impl Resource for Vault {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(self.prepared.clone())
    }

    fn forget(&mut self, range: TxRange) {
        self.forgotten.push(range);
    }
}

#[test]
fn what_a_resource_finds_when_it_recovers_is_voted_for_and_asked_about_before_anything_else() {
    let network = Network::new();
    let config = || config(BRANCHES[0]).with_resource(ResourceKind::VotesElsewhere);
    let resource = Vault { prepared: vec![Promised::new(transaction(1), META.into())], ..Vault::default() };
    let transport = network.port(BRANCHES[0]);
    let mut handlers = Handlers { storage: MemoryStorage::new(), transport, resource };
    Driver::create(config(), &mut handlers).unwrap();
    let mut driver = Driver::restore(config(), &mut handlers).unwrap();
    driver.release(&mut handlers);
    let vote = What::Vote { vote: Vote::Prepared, manager: MANAGER };
    let said = [vote, What::Inquire].map(|what| Message::about(&transaction(1), what));
    assert_eq!(network.receive(MANAGER), Some((BRANCHES[0], said.to_vec())));

    // Once it is over, the resource hears so; but not before that is written.
    driver.receive(MANAGER, &[Message::about(&transaction(1), What::Outcome(Outcome::Aborted))]);
    driver.flush(&mut handlers).unwrap();
    let range = TxRange::only(transaction(1).id());
    driver.receive(MANAGER, &[Message::retired(range)]);
    driver.release(&mut handlers);
    assert_eq!(handlers.resource.forgotten, []);
    driver.flush(&mut handlers).unwrap();
    assert_eq!(handlers.resource.forgotten, [range]);
}

#[test]
fn all_that_is_stepped_is_weighed_until_it_is_carried_out() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    let long = |seq| {
        let meta = Meta::from(vec![0; 10_000]);
        let about = Transaction::new(TxId { origin: NodeId(9), seq }, BRANCHES, meta.clone()).unwrap();
        Message::about(&about, What::prepare(meta))
    };
    assert_eq!((driver.waiting(), driver.unwritten_bytes()), (0, 0));
    driver.receive(MANAGER, &[long(1)]);
    assert_eq!(driver.waiting(), 1);
    // The request for a vote, then the record of the vote and what waits for it.
    assert!((10_000..11_000).contains(&driver.unwritten_bytes()), "{}", driver.unwritten_bytes());
    driver.release(&mut handlers);
    let one = driver.unwritten_bytes();
    assert!((10_000..11_500).contains(&one), "{one}");
    let batch = driver.begin(&mut handlers).unwrap();
    assert_eq!(driver.unwritten_bytes(), one, "what is being written takes memory");
    driver.receive(MANAGER, &[long(2)]);
    driver.release(&mut handlers);
    assert_eq!(driver.unwritten_bytes(), 2 * one);
    handlers.storage.persist(batch.records()).unwrap();
    driver.finish(batch, &mut handlers).unwrap();
    assert_eq!(driver.unwritten_bytes(), one);
    driver.flush(&mut handlers).unwrap();
    assert_eq!(driver.unwritten_bytes(), 0);
}

/// Panics when it commits for the first time.
#[derive(Default)]
struct Brittle {
    commits: usize,
}

impl Resource for Brittle {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }

    fn commit(&mut self, _: &Transaction, _: &Meta) -> Progress {
        self.commits += 1;
        assert_ne!(self.commits, 1, "on purpose");
        if self.commits == 2 { Progress::Again } else { Progress::Finished }
    }
}

#[test]
fn a_panic_of_the_resource_goes_to_the_loop_and_the_node_asks_it_again() {
    let network = Network::new();
    let mut handlers =
        Handlers { storage: MemoryStorage::new(), transport: network.port(BRANCHES[0]), resource: Brittle::default() };
    let mut driver = Driver::create(config(BRANCHES[0]), &mut handlers).unwrap();
    let outcome = Message::about(&transaction(1), What::Outcome(Outcome::Committed));
    driver.push(Input::Tick(Time(0))).unwrap();
    driver.receive(MANAGER, &[prepare(1)]);
    driver.flush(&mut handlers).unwrap();
    driver.receive(MANAGER, &[outcome]);
    let flush = std::panic::AssertUnwindSafe(|| driver.flush(&mut handlers));
    assert!(std::panic::catch_unwind(flush).is_err());
    assert!(!driver.is_fenced());
    // The first time it says that it cannot commit now.
    for commits in [2, 3] {
        assert!(matches!(driver.node().promised().as_slice(), [_]));
        driver.push(Input::Tick(driver.node().deadline().unwrap())).unwrap();
        driver.flush(&mut handlers).unwrap();
        assert_eq!(handlers.resource.commits, commits);
    }
    driver.flush(&mut handlers).unwrap();
    assert!(driver.node().promised().is_empty());
}

#[test]
fn a_resource_that_has_voted_meanwhile_is_not_asked_again() {
    let network = Network::new();
    let (mut driver, mut handlers) = member(&network, BRANCHES[0]);
    handlers.resource.vote = None;
    driver.push(Input::Tick(Time(0))).unwrap();
    driver.receive(MANAGER, &[prepare(1)]);
    driver.release(&mut handlers);
    let due = driver.node().deadline().unwrap();
    driver.push(Input::Tick(due)).unwrap();
    driver.release(&mut handlers);
    let asked = |handlers: &Handlers<_, _, Puppet>| handlers.resource.asked.borrow().len();
    assert_eq!(asked(&handlers), 2, "it may have crashed");
    // Before the third time is told, it votes.
    let due = driver.node().deadline().unwrap();
    driver.push(Input::Tick(due)).unwrap();
    driver.push(Input::Vote { transaction: transaction(1), vote: Vote::Prepared }).unwrap();
    driver.flush(&mut handlers).unwrap();
    assert_eq!(asked(&handlers), 2);
}
