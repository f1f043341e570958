//! What is restored of epochs and handovers, of what operators have resolved, and of the history; and what none can have written.

use synod::commit::{Entry, EpochMessage, Membership, Message, OutcomeBlock, Page};

use super::{
    support::{aborts, commits},
    *,
};

/// A node of every role, as it is in epoch 0.
const ALL: NodeId = RMS[0];
const NEWCOMER: NodeId = NodeId(14);

fn try_restore(records: impl IntoIterator<Item = Record>) -> Result<Node, RestoreError> {
    Node::restore(config(&together(), ALL), founding(&together(), ALL).into_iter().chain(records))
}

fn verdict(records: impl IntoIterator<Item = Record>) -> Result<(), RestoreError> {
    try_restore(records).map(|_| ())
}

fn next() -> Membership {
    together().membership().replace(RMS[2], NEWCOMER)
}

fn epoch(number: u64, membership: Membership, former: &[NodeId]) -> Record {
    let former = former.to_vec().into_boxed_slice();
    Record::Epoch { number, membership: membership.into(), former, committed: Default::default() }
}

/// An acceptor that has promised this round of another one's in the handover of `epoch`.
fn handover(epoch: u64, round: u64) -> Record {
    let state = paxos::AcceptorRecord { promised: Some(Ballot::new(round, RMS[1])), accepted: None };
    Record::Handover { epoch, state: Box::new(state) }
}

#[test]
fn epochs_grow_and_each_has_one_membership() {
    let back = Err(RestoreError::EpochWentBack);
    let one = epoch(1, next(), &RMS);
    assert_eq!(verdict([one.clone(), one.clone()]), Ok(()));
    assert_eq!(verdict([one.clone(), epoch(2, next(), &[NEWCOMER])]), Ok(()));
    assert_eq!(verdict([epoch(2, next(), &RMS), one.clone()]), back, "to a lower one");
    assert_eq!(verdict([one.clone(), epoch(1, together().membership(), &RMS)]), back, "to other members");
    assert_eq!(verdict([one.clone(), epoch(1, next(), &RMS[..2])]), back, "to others before them");
    assert_eq!(verdict([one, Record::Erased(Key::Epoch)]), back, "to none");
}

#[test]
fn an_acceptor_that_goes_back_on_what_it_has_promised_in_a_handover_is_found_out() {
    let back = Err(RestoreError::EpochWentBack);
    assert_eq!(verdict([handover(0, 4), handover(0, 4)]), Ok(()));
    assert_eq!(verdict([handover(0, 4), handover(0, 5)]), Ok(()));
    assert_eq!(verdict([handover(0, 4), handover(0, 3)]), back, "to a lower ballot");
    let one = epoch(1, next(), &RMS);
    assert_eq!(verdict([handover(0, 4), one.clone(), handover(1, 1)]), Ok(()), "that is another handover");
    assert_eq!(verdict([one.clone(), handover(1, 4), handover(0, 5)]), back, "to an earlier handover");
    let erased = Record::Erased(Key::Handover);
    assert_eq!(verdict([handover(0, 4), erased.clone()]), back, "to none, in the same epoch");
    assert_eq!(verdict([handover(0, 4), one, erased]), Ok(()), "its epoch is over");
}

#[test]
fn a_promise_in_a_handover_is_of_the_present_epoch_and_an_acceptors() {
    assert!(verdict([handover(0, 4)]).is_ok());
    assert_eq!(verdict([handover(1, 4)]), Err(RestoreError::OtherEpoch), "of one that has not begun");
    let records = founding(&cluster(), RMS[0]).into_iter().chain([handover(0, 4)]);
    assert_eq!(Node::restore(config(&cluster(), RMS[0]), records).map(|_| ()), Err(RestoreError::OtherEpoch));
    // What a torn write has left of an epoch before is erased.
    let mut node = try_restore([handover(0, 4), epoch(1, next(), &RMS)]).unwrap();
    assert!(node.step(Input::Tick(Time(0))).contains(&Effect::Persist(Record::Erased(Key::Handover))));
}

#[test]
fn votes_of_an_epoch_that_has_not_begun_are_refused_and_those_of_one_that_is_over_are_erased() {
    let later = transaction(1).in_epoch(1);
    let (meta, votes) = (Some(say::meta(&later)), [(1, Vote::Prepared)].into_iter().collect::<Votes>());
    let vote = Record::ResourceManager(ResourceManagerRecord {
        transaction: later.clone(),
        meta,
        vote: Some(Vote::Prepared),
        finished: None,
    });
    let accepted = |transaction: &Transaction| {
        let (transaction, votes) = (transaction.clone(), votes.clone());
        Record::Acceptor(AcceptorRecord { transaction, votes, higher: [].into() })
    };
    for record in [vote.clone(), accepted(&later)] {
        assert_eq!(verdict([record.clone()]), Err(RestoreError::OtherEpoch), "{record:?}");
        assert_eq!(verdict([epoch(1, next(), &RMS), record]), Ok(()));
    }
    let old = accepted(&transaction(1));
    let mut node = try_restore([old.clone(), epoch(1, next(), &RMS)]).unwrap();
    assert!(node.open_transactions().is_empty());
    assert!(node.step(Input::Tick(Time(0))).contains(&Effect::Persist(Record::Erased(old.key()))));
    // What its own acceptor had accepted says nothing of its vote any more: that may be over.
    let own = AcceptorRecord {
        transaction: transaction(1),
        votes: [(0, Vote::Prepared)].into_iter().collect(),
        higher: [].into(),
    };
    assert_eq!(verdict([Record::Acceptor(own.clone())]), Err(RestoreError::VoteChanged(tx(1))));
    assert_eq!(verdict([Record::Acceptor(own), epoch(1, next(), &RMS)]), Ok(()));
}

/// A vote to commit, whose outcome is not known.
fn prepared() -> Record {
    let (transaction, meta) = (transaction(1), Some(say::meta(&transaction(1))));
    Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote: Some(Vote::Prepared), finished: None })
}

/// A vote to commit that an operator resolved.
fn resolved(vote: Vote, finished: Option<Outcome>, outcome: Outcome) -> Record {
    let (transaction, meta) = (transaction(1), Some(say::meta(&transaction(1))));
    Record::Resolved { record: ResourceManagerRecord { transaction, meta, vote: Some(vote), finished }, outcome }
}

#[test]
fn what_an_operator_has_resolved_stays_so() {
    let (changed, prepared) = (Err(RestoreError::VoteChanged(tx(1))), Vote::Prepared);
    let by_hand = |finished| resolved(prepared, finished, Outcome::Committed);
    let Record::Resolved { record: vote, .. } = by_hand(None) else { unreachable!() };
    let vote = Record::ResourceManager(vote);
    assert_eq!(verdict([vote.clone(), by_hand(None), by_hand(None), by_hand(Some(Outcome::Committed))]), Ok(()));
    let contradicts = Err(RestoreError::ContradictoryOutcome(tx(1)));
    assert_eq!(verdict([by_hand(Some(Outcome::Aborted))]), contradicts, "and is not carried out as the opposite");
    assert_eq!(verdict([by_hand(None), vote]), changed, "to a vote that nobody has resolved");
    assert_eq!(verdict([by_hand(None), resolved(prepared, None, Outcome::Aborted)]), changed, "to the opposite");
    assert_eq!(verdict([by_hand(Some(Outcome::Committed)), by_hand(None)]), changed, "to what is not carried out");
}

#[test]
fn a_history_only_learns_more_and_knows_how_old_it_is() {
    let block = |known, committed, age| Record::History {
        outcomes: OutcomeBlock::new(CLIENT, 3, known, committed).unwrap(),
        age,
    };
    let first = tx(3 * 64);
    let before = || block(0b0011, 0b0001, 9);
    let then = |record| verdict([before(), record]);
    let back = Err(RestoreError::HistoryWentBack(first));
    assert_eq!(then(before()), Ok(()));
    assert_eq!(then(block(0b1011, 0b1001, 9)), Ok(()));
    assert_eq!(then(block(0b0001, 0b0001, 9)), back, "it forgets one");
    assert_eq!(then(block(0b0011, 0b0000, 9)), back, "one that has committed has not");
    assert_eq!(then(block(0b0011, 0b0011, 9)), back, "one that has aborted has not");
    assert_eq!(then(block(0b0011, 0b0001, 8)), back, "it gets younger");
    assert_eq!(then(block(0b0011, 0b0001, 10)), back, "it gets older");
}

#[test]
fn what_is_in_doubt_and_over_ends_as_the_history_says_and_what_is_only_remembered_waits_for_its_end() {
    let remembered = Record::History { outcomes: OutcomeBlock::of(tx(1), Outcome::Committed), age: 1 };
    let over = Record::Retired(TxRange::only(tx(1)));
    let in_doubt =
        |records: &[&Record]| try_restore(records.iter().map(|record| (*record).clone())).unwrap().in_doubt().len();
    assert_eq!(in_doubt(&[&prepared()]), 1);
    assert_eq!(in_doubt(&[&prepared(), &remembered]), 1, "another node's word may come");
    assert_eq!(in_doubt(&[&prepared(), &over]), 1);
    assert_eq!(in_doubt(&[&prepared(), &remembered, &over]), 0);
}

#[test]
fn what_a_restart_finds_in_doubt_ends_as_it_is_remembered_once_a_handover_says_that_it_is_over() {
    let told = || {
        let page = Page::alone([Entry::Retired(TxRange::only(tx(1)))]);
        let what = EpochMessage::Told { membership: next().into(), former: RMS.into(), page };
        say::from(RMS[1], Message::Epoch { number: Some(1), what: Box::new(what) })
    };
    let handed = Effect::Decide(commits(&transaction(1)));
    for (outcome, is_in_doubt) in [(Some(Outcome::Committed), false), (None, true)] {
        let remembered = outcome.map(|outcome| Record::History { outcomes: OutcomeBlock::of(tx(1), outcome), age: 1 });
        let mut node = try_restore([prepared()].into_iter().chain(remembered)).unwrap();
        assert_eq!(node.in_doubt().len(), 1);
        let effects = node.step(told());
        assert_eq!((effects.contains(&handed), !node.in_doubt().is_empty()), (!is_in_doubt, is_in_doubt));
    }
}

#[test]
fn what_was_open_when_its_epoch_ended_ends_with_the_first_step_after_a_restart() {
    let mut node = try_restore([prepared(), epoch(1, next(), &RMS)]).unwrap();
    let mut effects = node.step(Input::Tick(Time(0)));
    effects.retain(|effect| matches!(effect, Effect::Decide(_)));
    assert_eq!(effects, [Effect::Decide(aborts(&transaction(1)))], "once");
}

#[test]
fn whom_a_node_has_met_is_written_again_and_never_otherwise() {
    let peer = |birth| Record::Peer { node: RMS[1], birth };
    assert_eq!(verdict([peer(7), peer(7)]), Ok(()));
    assert_eq!(verdict([peer(7), peer(8)]), Err(RestoreError::BirthChanged));
    assert_eq!(verdict([Record::Birth(5), Record::Birth(5)]), Ok(()));
    assert_eq!(verdict([Record::Birth(5), Record::Birth(6)]), Err(RestoreError::BirthChanged));
}

#[test]
fn all_names_of_a_node_may_be_over_and_the_last_of_all_need_not_be_reserved() {
    let over = |first| Record::Retired(TxRange::new(ALL, first, u64::MAX).unwrap());
    let reserved = |reserved| Record::Sequence { reserved };
    assert_eq!(verdict([reserved(u64::MAX), over(1)]), Ok(()));
    assert_eq!(verdict([over(u64::MAX)]), Ok(()));
    let last = TxId { origin: ALL, seq: u64::MAX - 1 };
    assert_eq!(verdict([reserved(u64::MAX - 1), over(1)]), Err(RestoreError::UnreservedNumber(last)));
}
