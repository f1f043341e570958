//! What is restored from which records, and which of them no node can have written.

use super::*;

/// A node that is acceptor, resource manager and transaction manager.
const ALL: NodeId = RMS[0];

/// What that node has written first.
fn first() -> [Record; 2] {
    founding(&together(), ALL)
}

fn try_restore(records: impl IntoIterator<Item = Record>) -> Result<(), RestoreError> {
    let records = first().into_iter().chain(records);
    Node::restore(config(&together(), ALL), records).map(|_| ())
}

fn of_rm(transaction: &Transaction, vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    let (transaction, meta) = (transaction.clone(), vote.map(|_| say::meta(transaction)));
    Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote, finished })
}

fn of_acceptor(transaction: &Transaction, votes: &[(usize, Vote)], higher: &[HigherInstance]) -> Record {
    let votes = votes.iter().copied().collect::<Votes>();
    Record::Acceptor(AcceptorRecord { transaction: transaction.clone(), votes, higher: higher.into() })
}

fn higher(rm: NodeId, promised: Ballot, accepted: Option<(Ballot, Vote)>) -> HigherInstance {
    HigherInstance { rm, state: paxos::AcceptorRecord { promised: Some(promised), accepted } }
}

#[test]
fn votes_and_outcomes_that_contradict_each_other_are_refused() {
    let one = transaction(1);
    let contradiction = Err(RestoreError::ContradictoryOutcome(tx(1)));
    for (vote, finished, result) in [
        (None, None, contradiction),
        (None, Some(Outcome::Committed), contradiction),
        (None, Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Aborted), None, Ok(())),
        (Some(Vote::Aborted), Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Aborted), Some(Outcome::Committed), contradiction),
        (Some(Vote::Prepared), None, Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Committed), Ok(())),
    ] {
        assert_eq!(try_restore([of_rm(&one, vote, finished)]), result, "{vote:?}, {finished:?}");
    }
}

#[test]
fn an_acceptors_record_that_none_can_have_written_is_refused() {
    let one = transaction(1);
    let [first, second, third] = RMS.map(Ballot::initial);
    let (low, high) = (Ballot::new(1, RMS[1]), Ballot::new(2, RMS[0]));
    let votes = [(0, Vote::Prepared)];
    let raised = higher(RMS[1], high, Some((low, Vote::Aborted)));
    let own = [Record::Rounds { reserved: 3 }, of_rm(&one, Some(Vote::Prepared), None)];
    let restored = |record| try_restore(own.iter().cloned().chain([record]));
    let with = |votes: &[_], higher: &[_]| restored(of_acceptor(&one, votes, higher));
    assert_eq!(with(&votes, &[raised]), Ok(()));
    assert_eq!(
        with(&[], &[higher(RMS[0], low, Some((high, Vote::Prepared)))]),
        Err(RestoreError::AcceptedAbovePromise)
    );
    assert_eq!(with(&[], &[higher(RMS[1], high, Some((third, Vote::Prepared)))]), Err(RestoreError::NotTheOwner));
    assert_eq!(with(&[], &[higher(RMS[1], high, Some((second, Vote::Prepared)))]), Ok(()));
    let wrong = Err(RestoreError::WrongInstances(tx(1)));
    // Votes of no participant; instances of none, twice, or out of order; or both in one instance.
    assert_eq!(with(&[(3, Vote::Prepared)], &[]), wrong);
    assert_eq!(with(&[(200, Vote::Aborted)], &[]), wrong);
    assert_eq!(with(&votes, &[higher(STRANGER, high, None)]), wrong);
    assert_eq!(with(&votes, &[raised, raised]), wrong);
    assert_eq!(with(&votes, &[higher(RMS[2], high, None), raised]), wrong);
    assert_eq!(with(&[(1, Vote::Prepared)], &[raised]), wrong);
    // What is promised above the initial ballot is above it.
    for promised in [first, second] {
        assert_eq!(with(&votes, &[higher(RMS[1], promised, None)]), wrong);
    }
    let unpromised = paxos::AcceptorRecord { promised: None, accepted: None };
    assert_eq!(with(&votes, &[HigherInstance { rm: RMS[1], state: unpromised }]), wrong);
    // The third one is no transaction manager.
    let stranger = Err(RestoreError::NotAProposer(tx(1)));
    assert_eq!(with(&votes, &[higher(RMS[1], Ballot::new(3, RMS[2]), None)]), stranger);
    assert_eq!(with(&votes, &[higher(RMS[1], high, Some((Ballot::new(1, RMS[2]), Vote::Aborted)))]), stranger);
}

/// Records of a node that has named a transaction, has voted in it, and has promised and proposed a ballot of its own.
fn good() -> Vec<Record> {
    let own = Transaction::new(TxId { origin: ALL, seq: 7 }, RMS, *b"meta").unwrap();
    let mine = Ballot::new(5, ALL);
    vec![
        Record::Sequence { reserved: 8 },
        Record::Rounds { reserved: 6 },
        Record::Retired(TxRange::new(ALL, 1, 6).unwrap()),
        of_rm(&own, Some(Vote::Prepared), None),
        of_acceptor(&own, &[(0, Vote::Prepared)], &[higher(RMS[1], mine, Some((mine, Vote::Aborted)))]),
    ]
}

/// What becomes of a restore when the record of this place among the good ones is another.
fn with(place: usize, record: Record) -> Result<(), RestoreError> {
    let mut records = good();
    assert_eq!(records[place].key(), record.key());
    records[place] = record;
    try_restore(records)
}

fn without(place: usize) -> Result<(), RestoreError> {
    let mut records = good();
    records.remove(place);
    try_restore(records)
}

/// A later record of a key that is there already.
fn then(record: Record) -> Result<(), RestoreError> {
    try_restore(good().into_iter().chain([record]))
}

fn own() -> Transaction {
    let Record::ResourceManager(record) = &good()[3] else { unreachable!() };
    record.transaction.clone()
}

#[test]
fn numbers_and_rounds_that_the_other_records_show_to_be_used_are_reserved() {
    assert_eq!(try_restore(good()), Ok(()));
    let (own, mine) = (own().id(), Ballot::new(5, ALL));
    for reserved in [1, 6, 7] {
        let lowest = if reserved == 7 { own } else { TxId { seq: 6, ..own } };
        assert_eq!(with(0, Record::Sequence { reserved }), Err(RestoreError::UnreservedNumber(lowest)), "{reserved}");
    }
    assert_eq!(without(0), Err(RestoreError::UnreservedNumber(TxId { seq: 6, ..own })));
    for reserved in [1, 5] {
        assert_eq!(with(1, Record::Rounds { reserved }), Err(RestoreError::UnreservedRound(mine)), "{reserved}");
    }
    assert_eq!(without(1), Err(RestoreError::UnreservedRound(mine)));
    // Another node's numbers and rounds are its own affair.
    let others = Record::Retired(TxRange::new(CLIENT, 1, u64::MAX).unwrap());
    assert_eq!(then(others), Ok(()));
    assert_eq!(with(4, of_acceptor(&self::own(), &[], &[higher(RMS[1], Ballot::new(99, RMS[1]), None)])), Ok(()));
    // A ballot that is only promised was shown to the world, too.
    let promised = of_acceptor(&self::own(), &[], &[higher(RMS[1], Ballot::new(6, ALL), None)]);
    assert_eq!(with(4, promised), Err(RestoreError::UnreservedRound(Ballot::new(6, ALL))));
}

#[test]
fn a_vote_that_has_changed_or_is_lost_is_found_out() {
    let (own, changed) = (own(), Err(RestoreError::VoteChanged(own().id())));
    // In a later record of it.
    assert_eq!(then(of_rm(&own, Some(Vote::Prepared), Some(Outcome::Committed))), Ok(()));
    assert_eq!(then(of_rm(&own, Some(Vote::Aborted), None)), changed);
    assert_eq!(then(of_rm(&own, None, Some(Outcome::Aborted))), changed);
    let finished = of_rm(&own, Some(Vote::Prepared), Some(Outcome::Aborted));
    let records = |last: Record| good().into_iter().chain([finished.clone(), last]);
    assert_eq!(try_restore(records(of_rm(&own, Some(Vote::Prepared), Some(Outcome::Committed)))), changed);
    assert_eq!(try_restore(records(of_rm(&own, Some(Vote::Prepared), None))), changed);
    // In what the node's own acceptor has accepted.
    assert_eq!(with(3, of_rm(&own, Some(Vote::Aborted), None)), changed);
    assert_eq!(with(3, of_rm(&own, None, Some(Outcome::Aborted))), changed);
    assert_eq!(without(3), changed);
    let accepted = |ballot| of_acceptor(&own, &[], &[higher(ALL, Ballot::new(4, ALL), Some((ballot, Vote::Aborted)))]);
    assert_eq!(with(4, accepted(Ballot::initial(ALL))), changed, "before a higher ballot was promised");
    assert_eq!(with(4, accepted(Ballot::new(4, ALL))), Ok(()), "any transaction manager may propose to abort");
    // Nobody proposes to commit but for a vote that was durable before.
    let mine = Ballot::new(4, ALL);
    let prepared = || of_acceptor(&own, &[], &[higher(ALL, mine, Some((mine, Vote::Prepared)))]);
    let and_own = |vote: Option<Record>| {
        let others = good().into_iter().enumerate().filter(|(place, _)| *place < 3).map(|(_, record)| record);
        try_restore(others.chain(vote).chain([prepared()]))
    };
    assert_eq!(and_own(Some(of_rm(&own, Some(Vote::Prepared), None))), Ok(()));
    assert_eq!(and_own(Some(of_rm(&own, Some(Vote::Aborted), None))), changed);
    assert_eq!(and_own(None), changed);
    // What others voted is not written here.
    assert_eq!(with(4, of_acceptor(&own, &[(0, Vote::Prepared), (2, Vote::Aborted)], &[])), Ok(()));
}

#[test]
fn an_acceptor_that_goes_back_on_an_earlier_record_is_found_out() {
    let own = own();
    let back = Err(RestoreError::AcceptorWentBack(own.id()));
    let later = |votes: &[_], promised, accepted| then(of_acceptor(&own, votes, &[higher(RMS[1], promised, accepted)]));
    let (prepared, mine) = ([(0, Vote::Prepared)], Ballot::new(5, ALL));
    let aborted = Some((mine, Vote::Aborted));
    assert_eq!(later(&prepared, mine, aborted), Ok(()));
    assert_eq!(later(&prepared, Ballot::new(9, RMS[1]), aborted), Ok(()));
    let low = Ballot::new(4, ALL);
    assert_eq!(later(&prepared, low, None), back, "a promise");
    assert_eq!(later(&prepared, mine, None), back, "an acceptance");
    assert_eq!(later(&prepared, mine, Some((low, Vote::Aborted))), back, "to a lower ballot");
    assert_eq!(later(&prepared, mine, Some((mine, Vote::Prepared))), back, "another value of the ballot");
    assert_eq!(later(&[], mine, aborted), back, "a vote");
    assert_eq!(later(&[(0, Vote::Aborted)], mine, aborted), back, "another vote");
    assert_eq!(then(of_acceptor(&own, &prepared, &[])), back, "to the initial ballot");
}

#[test]
fn a_log_that_takes_back_what_it_says_is_found_out() {
    let (reserved, over) =
        (Err(RestoreError::ReservationWentBack), |first| Err(RestoreError::RetirementWentBack(first)));
    let own = own();
    let range = |first, last| Record::Retired(TxRange::new(ALL, first, last).unwrap());
    let name = |seq| TxId { origin: ALL, seq };
    for (key, fewer, more) in [
        (Key::Sequence, Record::Sequence { reserved: 7 }, Record::Sequence { reserved: 9 }),
        (Key::Rounds, Record::Rounds { reserved: 5 }, Record::Rounds { reserved: 7 }),
    ] {
        assert_eq!(then(more), Ok(()));
        assert_eq!(then(fewer), reserved);
        assert_eq!(then(Record::Erased(key)), reserved);
    }
    // Ranges grow, and are erased only when another one covers them: range first, tombstone after.
    assert_eq!(then(range(1, 6)), Ok(()));
    assert_eq!(then(range(1, 5)), over(name(1)));
    assert_eq!(then(Record::Erased(Key::Retired(name(1)))), over(name(1)));
    let erased = Record::Erased(Key::Retired(name(1)));
    let ranges = |records: &[Record]| try_restore(good().into_iter().chain(records.iter().cloned()));
    assert_eq!(ranges(&[range(0, 6), erased.clone()]), Ok(()));
    assert_eq!(ranges(&[range(0, 5), erased.clone()]), over(name(1)));
    assert_eq!(ranges(&[range(0, 0), erased]), over(name(1)));
    // Votes and acceptances are erased only when the transaction is over.
    let (vote, accepted) = (Record::Erased(good()[3].key()), Record::Erased(good()[4].key()));
    assert_eq!(then(vote.clone()), Err(RestoreError::VoteChanged(own.id())));
    assert_eq!(then(accepted.clone()), Err(RestoreError::AcceptorWentBack(own.id())));
    let finished = of_rm(&own, Some(Vote::Prepared), Some(Outcome::Aborted));
    assert_eq!(ranges(&[finished, range(1, 7), vote, accepted]), Ok(()));
    // Of one that nothing else tells of, too.
    let (vote, tx) = (of_rm(&transaction(9), Some(Vote::Prepared), None), transaction(9).id());
    let erased = Record::Erased(vote.key());
    assert_eq!(ranges(&[vote, erased]), Err(RestoreError::VoteChanged(tx)));
    let promised = higher(RMS[1], Ballot::new(4, ALL), None);
    for held in
        [of_acceptor(&transaction(9), &[(1, Vote::Prepared)], &[]), of_acceptor(&transaction(9), &[], &[promised])]
    {
        let erased = Record::Erased(held.key());
        assert_eq!(ranges(&[held, erased]), Err(RestoreError::AcceptorWentBack(tx)));
    }
    let blank = of_acceptor(&transaction(1), &[], &[]);
    assert_eq!(ranges(&[blank.clone(), Record::Erased(blank.key())]), Ok(()), "it held nothing");
    // A disk is one node's.
    let identity = |node, cluster| Record::Identity { node, cluster };
    let of = |records: [Record; 2]| Node::restore(config(&cluster_of(&RMS, &RMS), ALL), records).map(|_| ());
    let mine = identity(ALL, CLUSTER);
    assert_eq!(of([mine.clone(), mine.clone()]), Ok(()));
    for other in [identity(RMS[1], CLUSTER), identity(ALL, ClusterId([7; 16]))] {
        assert_eq!(of([mine.clone(), other.clone()]), Err(RestoreError::IdentityChanged));
        assert_eq!(of([other, mine.clone()]), Err(RestoreError::IdentityChanged));
    }
    assert_eq!(of([mine, Record::Erased(Key::Identity)]), Err(RestoreError::NoIdentity));
}

#[test]
fn what_a_transaction_is_about_is_with_the_vote_and_is_that_transactions() {
    let other = Err(RestoreError::OtherContent(own().id()));
    let of = |meta: Option<&[u8]>, vote, finished| {
        let meta = meta.map(Meta::from);
        with(3, Record::ResourceManager(ResourceManagerRecord { transaction: own(), meta, vote, finished }))
    };
    let prepared = Some(Vote::Prepared);
    assert_eq!(of(Some(b"meta"), prepared, None), Ok(()));
    assert_eq!(of(Some(b"other"), prepared, None), other);
    assert_eq!(of(None, prepared, None), other, "it could not be committed");
    assert_eq!(of(Some(b""), prepared, Some(Outcome::Committed)), other);
    let unasked = |meta: Option<&[u8]>| {
        let (transaction, meta) = (transaction(1), meta.map(Meta::from));
        let (vote, finished) = (None, Some(Outcome::Aborted));
        try_restore([Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote, finished })])
    };
    assert_eq!(unasked(None), Ok(()));
    assert_eq!(unasked(Some(b"meta")), Ok(()));
    assert_eq!(unasked(Some(b"other")), Err(RestoreError::OtherContent(tx(1))));
}

#[test]
fn what_is_over_is_finished_or_stays_in_doubt() {
    let over = Record::Retired(TxRange::only(tx(1)));
    for (vote, finished, result) in [
        (Some(Vote::Prepared), None, Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Committed), Ok(())),
        (Some(Vote::Prepared), Some(Outcome::Aborted), Ok(())),
        (Some(Vote::Aborted), None, Ok(())),
        (None, Some(Outcome::Aborted), Ok(())),
    ] {
        let rm = of_rm(&transaction(1), vote, finished);
        assert_eq!(try_restore([rm.clone(), over.clone()]), result, "{vote:?}, {finished:?}");
        assert_eq!(try_restore([over.clone(), rm]), result, "in either order");
    }
}

#[test]
fn an_acceptors_record_with_nothing_to_remember_is_erased() {
    let empty = of_acceptor(&transaction(1), &[], &[]);
    let records = [&first()[..], std::slice::from_ref(&empty)].concat();
    let mut node = restore(&Node::create(config(&together(), ALL)).0, &records);
    assert_eq!(node.snapshot(), first());
    assert_eq!(node.status(tx(1)), Status::Unknown);
    assert_eq!(node.step(Input::Tick(Time(0))), [Effect::Persist(Record::Erased(empty.key()))]);
}

#[test]
fn records_of_roles_that_the_node_does_not_have_are_refused() {
    let (one, others) = (transaction(1), Transaction::new(tx(1), &RMS[1..], []).unwrap());
    let elsewhere = |cluster: &Cluster, record| {
        let records = founding(cluster, ALL).into_iter().chain([record]);
        Node::restore(config(cluster, ALL), records).map(|_| ())
    };
    let record = of_acceptor(&one, &[], &[]);
    assert_eq!(elsewhere(&cluster(), record), Err(RestoreError::NotAnAcceptor(tx(1))));
    let record = of_rm(&others, Some(Vote::Prepared), None);
    assert_eq!(try_restore([record]), Err(RestoreError::NotAParticipant(tx(1))));
}

#[test]
fn two_transactions_of_one_name_are_refused() {
    let namesake = Transaction::new(tx(1), RMS, *b"other").unwrap();
    let accepted = [0, 1, 2].map(|place| (place, Vote::Prepared));
    let records = [of_acceptor(&transaction(1), &accepted, &[]), of_rm(&namesake, Some(Vote::Prepared), None)];
    assert_eq!(try_restore(records), Err(RestoreError::OtherTransaction(tx(1))));
}

/// Except for what would show that a range is wrong: see [`what_is_over_is_finished`].
#[test]
fn what_is_over_is_not_looked_at_any_more() {
    let nonsense =
        of_acceptor(&transaction(2), &[(9, Vote::Prepared)], &[higher(STRANGER, Ballot::new(1, STRANGER), None)]);
    assert!(try_restore([nonsense.clone()]).is_err());
    let over = Record::Retired(TxRange::new(tx(1).origin, 1, 3).unwrap());
    assert_eq!(try_restore([nonsense.clone(), over.clone()]), Ok(()));
    assert_eq!(try_restore([over.clone(), nonsense.clone()]), Ok(()), "in either order");
    let erased = Record::Erased(nonsense.key());
    assert_eq!(try_restore([nonsense, over.clone(), erased]), Ok(()));
    // A resource manager's record is read, for it may be prepared; what none can have written is refused there too.
    let nonsense = of_rm(&transaction(2), None, Some(Outcome::Committed));
    assert_eq!(try_restore([nonsense, over]), Err(RestoreError::ContradictoryOutcome(tx(2))));
}

/// When a range takes in others, it is written first and they are erased after; a torn batch leaves some of both.
#[test]
fn ranges_that_overlap_after_a_torn_batch_are_merged() {
    let mut group = Group::apart(together());
    for seq in [1, 3, 5, 2, 4] {
        group.complete(ALL, &transaction(seq));
    }
    let log = group.log(ALL);
    let overlaps = |records: &[Record]| {
        let ranges = |record: &Record| if let Record::Retired(range) = record { Some(*range) } else { None };
        let ranges: Vec<TxRange> = records.iter().filter_map(ranges).collect();
        ranges.iter().any(|one| ranges.iter().any(|other| one != other && one.contains(other.first())))
    };
    let torn: Vec<_> = (1..=log.len()).map(|length| latest(&log[..length])).filter(|left| overlaps(left)).collect();
    assert_eq!(torn.len(), 2, "when 2 joins 1 and 3, and when 4 joins those and 5");
    for left in torn {
        let node = restore(group.node(ALL), &left);
        assert!(!overlaps(&node.snapshot()));
        for seq in 1..=5 {
            assert_eq!(node.status(tx(seq)), restore(group.node(ALL), &node.snapshot()).status(tx(seq)));
        }
        let covered =
            left.iter().filter_map(|record| if let Record::Retired(range) = record { Some(range) } else { None });
        covered.for_each(|range| assert!(node.status(range.last()).is_retired()));
    }
    let scattered = [(4, 9), (1, 2), (3, 3), (5, 6), (8, 12), (20, 21)];
    let ranges = scattered.map(|(first, last)| Record::Retired(TxRange::new(tx(1).origin, first, last).unwrap()));
    let mut node = restore(group.node(ALL), &[&first()[..], &ranges].concat());
    let merged =
        [(1, 12), (20, 21)].map(|(first, last)| Record::Retired(TxRange::new(tx(1).origin, first, last).unwrap()));
    assert_eq!(node.snapshot()[2..], merged);
    // The next step mends that on the disk: the range first.
    let swallowed = [3, 4, 5, 8].map(|first| Record::Erased(Key::Retired(tx(first))));
    let mended: Vec<_> = [&merged[..1], &swallowed].concat().into_iter().map(Effect::Persist).collect();
    assert!(node.step(Input::Tick(Time(0))).starts_with(&mended));
}

#[test]
fn what_a_torn_write_left_behind_is_put_right_by_the_first_step_whatever_it_is() {
    let range = |first, last| Record::Retired(TxRange::new(ALL, first, last).unwrap());
    let cluster = cluster_of(&RMS, &RMS);
    let [identity, epoch] = founding(&cluster, ALL);
    let torn = [identity, epoch, Record::Sequence { reserved: 9 }, range(1, 5), range(3, 7)];
    let right = Effect::Persist(range(1, 7));
    for input in [Input::Inquire(transaction(1).id()), Input::Tick(Time(0))] {
        let mut node = Node::restore(config(&cluster, ALL), torn.clone()).unwrap();
        let mut steps = [Vec::new(), Vec::new()];
        for effects in &mut steps {
            let _ = node.step_into(input.clone(), effects);
        }
        assert_eq!(steps.map(|effects| effects.contains(&right)), [true, false], "{input:?}");
    }
}
