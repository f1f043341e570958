//! Nodes, and what each of them refuses, with the reason.

use super::*;

/// A node that limits allow one transaction of two participants and four bytes.
fn limited() -> Node {
    let limits = Limits::default().with_open(1).with_participants(2).with_meta(4);
    let mut node = Node::create(config(&spec().with_limits(limits).build().unwrap(), TMS[0])).0;
    node.step(say::begins(&Transaction::new(tx(7), &RMS[..2], []).unwrap()));
    node
}

/// A transaction manager that has met two participants and recovers one transaction, and of each of these may have one
/// more at most.
fn acquainted() -> Node {
    let limits = Limits::default().with_nodes(2).with_open_per_peer(1).with_open_per_participant(1).with_recoveries(1);
    let mut node = Node::create(config(&spec().with_limits(limits).build().unwrap(), TMS[0])).0;
    RMS[..2].iter().for_each(|rm| drop(node.step(Input::Met { node: *rm, birth: 1, epoch: None })));
    node.step(say::from(RMS[0], say::inquire(&Transaction::new(tx(7), &RMS[..1], []).unwrap())));
    node
}

/// The same, with one more that waits for its turn.
fn crowded() -> Node {
    let mut node = acquainted();
    node.step(say::from(RMS[1], say::inquire(&Transaction::new(tx(6), &RMS[..2], []).unwrap())));
    node
}

/// The same, with two participants that have left two transactions unfinished.
fn left_behind() -> Node {
    let mut node = crowded();
    for (seq, participants) in [(6, 2), (7, 1)] {
        let transaction = Transaction::new(tx(seq), &RMS[..participants], []).unwrap();
        node.step(say::from(TMS[1], say::outcome(&transaction, Outcome::Aborted)));
    }
    node
}

/// A transaction manager at its first ballot.
pub(super) fn recovering() -> (Node, Ballot) {
    let mut tm = node(TMS[0]);
    tm.step(say::from(RMS[0], say::inquire(&transaction(1))));
    (tm, Ballot::new(1, TMS[0]))
}

/// An acceptor that has promised a ballot for the first two instances, and has a vote for the third.
pub(super) fn promised() -> (Node, Ballot) {
    let mut acceptor = node(ACCEPTORS[0]);
    let ballot = Ballot::new(2, TMS[1]);
    acceptor.step(say::from(TMS[1], say::paxos(&transaction(1), &RMS[..2], Prepare { ballot })));
    acceptor.step(say::from(RMS[2], say::vote(&transaction(1), Vote::Prepared, TMS[1])));
    (acceptor, ballot)
}

/// A node that comes later.
const NEWCOMER: NodeId = NodeId(14);

/// A page with no entries, of something that has so many.
pub(super) fn page(first: u64, total: u64) -> Page {
    Page { digest: 0, total, first, entries: [].into() }
}

/// What is said of this epoch.
pub(super) fn of_epoch(number: Option<u64>, what: EpochMessage) -> Message {
    Message::Epoch { number, what: Box::new(what) }
}

/// The epoch after the first one.
pub(super) fn told(membership: Membership, page: Page) -> Message {
    let former = cluster().membership().members().into_iter().collect();
    of_epoch(Some(1), EpochMessage::Told { membership: membership.into(), former, page })
}

/// The membership of epoch 1: a newcomer takes the place of an acceptor, and one participant is written off.
pub(super) fn later() -> Membership {
    cluster().membership().replace(ACCEPTORS[2], NEWCOMER).with_departed(RMS[2])
}

/// The node `at`, in epoch 1.
fn in_epoch_1(at: NodeId) -> Node {
    let mut node = node(at);
    node.step(say::from(TMS[1], told(later(), page(0, 0))));
    assert_eq!(node.tag().map(|tag| tag.number), Some(1));
    node
}

/// A transaction manager in epoch 1, to which the first transaction is committed.
fn remembering() -> Node {
    let mut tm = node(TMS[0]);
    let committed = Page::alone([Entry::Committed(transaction(1).fingerprint())]);
    tm.step(say::from(TMS[1], told(later(), committed)));
    tm
}

/// A transaction manager in epoch 1 that has begun the first transaction in the epoch before.
fn carrying() -> Node {
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&transaction(1)));
    tm.step(say::from(TMS[1], told(later(), page(0, 0))));
    tm
}

/// An acceptor that is frozen by the second transaction manager.
fn frozen() -> Node {
    let mut acceptor = node(ACCEPTORS[0]);
    let prepare = EpochMessage::Prepare { ballot: Ballot::new(2, TMS[1]) };
    acceptor.step(say::from(TMS[1], of_epoch(Some(0), prepare)));
    acceptor
}

/// A transaction manager that tries its first ballot for the membership of epoch 1.
pub(super) fn trying() -> Node {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(0)));
    tm.step(Input::Change(later().into()));
    for ready in [NEWCOMER, ACCEPTORS[0], ACCEPTORS[1]] {
        tm.step(say::from(ready, of_epoch(Some(0), EpochMessage::Ready)));
    }
    let effects = tm.step(Input::Tick(tm.deadline().unwrap()));
    let prepare = of_epoch(Some(0), EpochMessage::Prepare { ballot: Ballot::new(1, TMS[0]) });
    assert_eq!(say::sends(&effects), ACCEPTORS.map(|acceptor| (acceptor, &prepare)));
    tm
}

/// Inputs that are refused for the sake of an epoch, with the reason.
fn refused_for_its_epoch() -> Vec<(Refusal, Node, Input)> {
    use EpochMessage::{Accept, Accepted, Hold, Invite, More, Prepare, Promise, Ready, Reject};
    use Refusal::*;
    let (one, two, from) = (transaction(1), Transaction::new(tx(2), &RMS[..2], []).unwrap(), say::from);
    let after = transaction(1).in_epoch(1);
    let newcomer = || Node::join(config(&cluster(), NEWCOMER)).0;
    let (low, high) = (Ballot::new(1, TMS[1]), Ballot::new(3, TMS[1]));
    let old = |what| of_epoch(Some(0), what);
    let new = |participants: &[_]| Input::Begin {
        participants: Participants::new(participants).unwrap(),
        meta: Meta::default(),
    };
    let promise = |ballot| Promise { ballot, accepted: None, page: page(0, 0) };
    let accept = |ballot, page| Accept { ballot, membership: later().into(), page };
    let mine = Ballot::new(1, TMS[0]);
    let mut proposing = trying();
    for acceptor in &ACCEPTORS[..2] {
        proposing.step(from(*acceptor, old(promise(mine))));
    }
    let mut answered = trying();
    answered.step(from(ACCEPTORS[0], old(promise(mine))));
    let half = Page { entries: [Entry::Retired(TxRange::only(tx(1)))].into(), ..page(0, 2) };
    let alone = |seq| Transaction::new(tx(seq), &RMS[..1], []).unwrap();
    let phase_2b = What::Phase2b { votes: [(0, Vote::Prepared)].into_iter().collect(), higher: Box::default() };
    let mut held = node(TMS[0]);
    held.step(from(TMS[1], old(Hold)));
    let other = Node::create(config(&cluster_of(&ACCEPTORS[..1], &TMS), RMS[0])).0.tag();
    vec![
        // Who is behind is told so, unless it waits for nothing.
        (OldEpoch, in_epoch_1(TMS[0]), say::begins(&one)),
        (OldEpoch, in_epoch_1(ACCEPTORS[0]), from(RMS[0], say::vote(&two, Vote::Prepared, TMS[0]))),
        (
            OldEpoch,
            in_epoch_1(ACCEPTORS[0]),
            from(TMS[0], say::paxos(&one, &RMS, synod::paxos::Message::Prepare { ballot: Ballot::new(1, TMS[0]) })),
        ),
        (OldEpoch, in_epoch_1(RMS[0]), from(TMS[0], say::prepare(&two))),
        (OldEpoch, in_epoch_1(RMS[0]), from(RMS[1], say::inquire(&two))),
        (OldEpoch, in_epoch_1(TMS[0]), from(ACCEPTORS[0], Message::about(&one, phase_2b))),
        (OldEpoch, carrying(), from(TMS[1], say::prepare(&one))),
        // Nobody hears of an epoch before what he could not hear of this one.
        (NotAParticipant, in_epoch_1(RMS[0]), from(RMS[1], say::inquire(&alone(2)))),
        (NotAParticipant, remembering(), from(RMS[1], say::inquire(&alone(1)))),
        (OtherContent, in_epoch_1(RMS[0]), from(RMS[1], Message::about(&one, What::Begin { meta: b"other".into() }))),
        (NotAManager, in_epoch_1(ACCEPTORS[0]), from(RMS[1], say::outcome(&one, Outcome::Aborted))),
        (NotAManager, remembering(), from(RMS[1], say::outcome(&alone(1), Outcome::Aborted))),
        (UnknownTransaction, in_epoch_1(ACCEPTORS[0]), from(TMS[0], say::outcome(&one, Outcome::Aborted))),
        (OldEpoch, in_epoch_1(ACCEPTORS[0]), from(TMS[0], old(Prepare { ballot: Ballot::new(1, TMS[0]) }))),
        (OldEpoch, in_epoch_1(TMS[0]), from(ACCEPTORS[0], old(Accepted { ballot: low }))),
        // And who is ahead is asked.
        (NewerEpoch, node(TMS[0]), say::begins(&after)),
        (NewerEpoch, newcomer(), new(&[NEWCOMER])),
        (NewerEpoch, newcomer(), say::begins(&Transaction::new(tx(1), [NEWCOMER], []).unwrap())),
        (NewerEpoch, newcomer(), from(RMS[0], say::vote(&one, Vote::Prepared, TMS[0]))),
        (NewerEpoch, node(RMS[0]), from(TMS[0], say::prepare(&after))),
        (NewerEpoch, node(ACCEPTORS[0]), from(RMS[0], say::vote(&after, Vote::Prepared, TMS[0]))),
        (NewerEpoch, node(TMS[0]), from(RMS[0], say::inquire(&after))),
        (NewerEpoch, node(ACCEPTORS[0]), from(TMS[0], of_epoch(Some(1), Prepare { ballot: Ballot::new(1, TMS[0]) }))),
        (NewerEpoch, newcomer(), from(TMS[0], of_epoch(Some(0), Hold))),
        (
            NewerEpoch,
            Node::create(config(&cluster(), RMS[0]).with_resource(synod::commit::ResourceKind::VotesElsewhere)).0,
            Input::Prepared { meta: say::meta(&after), transaction: after.clone() },
        ),
        (Changing, frozen(), from(RMS[0], say::vote(&one, Vote::Prepared, TMS[0]))),
        (
            Changing,
            frozen(),
            from(TMS[0], say::paxos(&one, &RMS, synod::paxos::Message::Prepare { ballot: Ballot::new(1, TMS[0]) })),
        ),
        (Changing, held.clone(), say::begins(&one)),
        (Changing, held, new(&RMS)),
        (OtherMembership, node(TMS[0]), Input::Met { node: RMS[0], birth: 1, epoch: other }),
        (Departed, in_epoch_1(TMS[0]), from(RMS[2], say::inquire(&one))),
        (Departed, in_epoch_1(TMS[0]), from(RMS[2], of_epoch(Some(0), EpochMessage::Wanted))),
        (Departed, in_epoch_1(TMS[0]), Input::Met { node: RMS[2], birth: 1, epoch: None }),
        (Departed, in_epoch_1(TMS[0]), new(&RMS)),
        (Departed, in_epoch_1(TMS[0]), say::begins(&after)),
        (Departed, in_epoch_1(TMS[0]), Input::Change(cluster().membership().replace(ACCEPTORS[2], NEWCOMER).into())),
        (FormerMember, in_epoch_1(TMS[0]), Input::Change(later().replace(NEWCOMER, ACCEPTORS[2]).into())),
        (MalformedMembership, node(TMS[0]), Input::Change(cluster().membership().with_departed(TMS[1]).into())),
        (MalformedMembership, node(TMS[0]), from(TMS[1], told(later().with_departed(TMS[1]), page(0, 0)))),
        (NotAMember, node(RMS[0]), Input::Change(later().into())),
        (NotAMember, in_epoch_1(ACCEPTORS[2]), Input::Change(later().into())),
        (NotAMember, newcomer(), Input::Change(later().into())),
        (NotAMember, node(RMS[0]), from(TMS[0], old(Invite(later().into())))),
        (NotAMember, node(TMS[0]), from(RMS[0], old(Invite(later().into())))),
        (NewerEpoch, newcomer(), from(TMS[0], old(Invite(later().into())))),
        (NewerEpoch, newcomer(), from(TMS[0], of_epoch(None, Invite(later().into())))),
        (NewerEpoch, node(TMS[0]), from(ACCEPTORS[0], of_epoch(Some(1), Invite(later().into())))),
        (InvitedByStranger, newcomer(), from(RMS[0], old(Invite(later().into())))),
        (InvitedByStranger, node(TMS[0]), from(STRANGER, of_epoch(Some(1), Invite(later().into())))),
        (NotAMember, node(TMS[0]), from(STRANGER, told(later(), page(0, 0)))),
        (NotAMember, node(TMS[0]), from(RMS[0], old(Hold))),
        (NotAMember, node(ACCEPTORS[0]), from(STRANGER, old(Prepare { ballot: Ballot::new(1, STRANGER) }))),
        (OtherPage, node(TMS[0]), from(TMS[1], told(later(), page(1, 2)))),
        (OtherPage, node(TMS[0]), from(TMS[1], told(later(), page(0, 2)))),
        (OtherPage, node(TMS[0]), from(TMS[1], told(later(), Page { digest: 1, ..page(0, 0) }))),
        (OtherPage, frozen(), from(TMS[1], old(More { digest: 1, next: 0 }))),
        // The handover is Paxos, and refuses what Paxos refuses.
        (NotYourBallot, node(ACCEPTORS[0]), from(TMS[0], old(Prepare { ballot: low }))),
        (NotYourBallot, node(ACCEPTORS[0]), from(TMS[0], old(accept(low, page(0, 0))))),
        (NotAnAcceptor, node(TMS[0]), from(TMS[1], old(Prepare { ballot: low }))),
        (NotAnAcceptor, node(TMS[0]), from(TMS[1], old(accept(low, page(0, 0))))),
        (NothingProposed, node(TMS[0]), from(NEWCOMER, old(Ready))),
        (OtherBallot, node(TMS[0]), from(ACCEPTORS[0], old(promise(low)))),
        (OtherBallot, node(TMS[0]), from(ACCEPTORS[0], old(Accepted { ballot: low }))),
        (OtherBallot, node(TMS[0]), from(ACCEPTORS[0], old(Reject { ballot: low, promised: high }))),
        (NothingProposed, trying(), from(ACCEPTORS[0], old(Accepted { ballot: mine }))),
        (NotAnAcceptor, trying(), from(TMS[1], old(promise(mine)))),
        (OtherBallot, trying(), from(ACCEPTORS[0], old(promise(low)))),
        (
            ImpossiblePromise,
            trying(),
            from(ACCEPTORS[0], old(Promise { ballot: mine, accepted: Some((mine, later().into())), page: page(0, 0) })),
        ),
        (IdleRejection, trying(), from(ACCEPTORS[0], old(Reject { ballot: mine, promised: mine }))),
        (OtherBallot, trying(), from(ACCEPTORS[0], old(Reject { ballot: low, promised: high }))),
        (NotAProposer, trying(), from(ACCEPTORS[0], old(Reject { ballot: mine, promised: Ballot::new(2, STRANGER) }))),
        (PhaseIsOver, proposing.clone(), from(ACCEPTORS[2], old(promise(mine)))),
        (PhaseIsOver, proposing, from(ACCEPTORS[2], old(Promise { ballot: mine, accepted: None, page: half }))),
        (PhaseIsOver, answered, from(ACCEPTORS[0], old(promise(mine)))),
        // And these two are answered.
        (StaleBallot, frozen(), from(TMS[1], old(Prepare { ballot: low }))),
        (StaleBallot, frozen(), from(TMS[1], old(accept(low, page(0, 0))))),
    ]
}

/// Inputs with the reason for which a node refuses them.
pub(super) fn refused() -> Vec<(Refusal, Node, Input)> {
    refused_for_its_transaction().into_iter().chain(refused_for_its_epoch()).collect()
}

fn refused_for_its_transaction() -> Vec<(Refusal, Node, Input)> {
    use Refusal::*;
    let (one, from) = (transaction(1), say::from);
    let ((tm, mine), (acceptor, high)) = (recovering(), promised());
    let theirs = Ballot::new(1, TMS[1]);
    let all = |body| say::paxos(&one, &RMS, body);
    let parts = |rms: &[_], body| say::paxos(&one, rms, body);
    let about = |what| Message::about(&one, what);
    let mut proposing = tm.clone();
    for acceptor in &ACCEPTORS[..2] {
        proposing.step(say::from(*acceptor, all(Promise { ballot: mine, accepted: None })));
    }
    let mut told = tm.clone();
    told.step(from(ACCEPTORS[0], say::bundle(&one, &RMS, Vote::Prepared)));
    let mut decided = told.clone();
    decided.step(from(TMS[1], say::outcome(&one, Outcome::Committed)));
    // Where a resource manager is a transaction manager as well, its vote comes as a vote all the same.
    let beside = Node::create(config(&cluster_of(&ACCEPTORS, &RMS[..1]), ACCEPTORS[0])).0;
    let faster = Node::create(config(&spec().with_learning(Learning::Everyone).build().unwrap(), RMS[0])).0;
    let mut asked = node(RMS[0]);
    asked.step(say::from(TMS[0], say::prepare(&one)));
    let mut aborted = asked.clone();
    aborted.step(say::from(TMS[0], say::outcome(&one, Outcome::Aborted)));
    let mut late = node(RMS[0]);
    late.step(Input::Tick(Time(5)));
    let over = completed(Outcome::Committed).0;
    let mut gone = node(RMS[0]);
    gone.step(from(TMS[0], say::retired(tx(1))));
    let namesake = Transaction::new(tx(1), &RMS[..2], []).unwrap();
    let begin = |participants: &[_], meta: &[u8]| say::begins(&Transaction::new(tx(8), participants, meta).unwrap());
    let new = |participants: &[_], meta: &[u8]| Input::Begin {
        participants: Participants::new(participants).unwrap(),
        meta: Meta::from(meta),
    };
    let mut learning = faster.clone();
    learning.step(from(ACCEPTORS[0], say::bundle(&one, &RMS[1..2], Vote::Prepared)));
    // The first block of its numbers is reserved, and two of them are given.
    let mut named = node(TMS[0]);
    for _ in 0..2 {
        named.step(new(&RMS, b""));
    }
    let own = |origin, seq| Transaction::new(TxId { origin, seq }, RMS, []).unwrap();
    let records = founding(&cluster(), TMS[0]).into_iter().chain([Record::Sequence { reserved: u64::MAX }]);
    let used_up = Node::restore(config(&cluster(), TMS[0]), records).unwrap();
    let other = Meta::from(b"other");
    let acceptances =
        |rms: &[_]| rms.iter().map(|rm| Acceptance { rm: *rm, ballot: mine, vote: Vote::Prepared }).collect();
    let promises = |instances: &[usize], votes: &[usize], higher: &[_]| {
        about(What::Phase1b {
            ballot: mine,
            promises: Box::new(Promises {
                instances: instances.iter().copied().collect(),
                votes: votes.iter().map(|place| (*place, Vote::Prepared)).collect(),
                higher: acceptances(higher),
            }),
        })
    };
    let accepted = |places: &[usize], higher: &[_]| {
        let votes: Votes = places.iter().map(|place| (*place, Vote::Prepared)).collect();
        about(What::Phase2b { votes, higher: acceptances(higher) })
    };
    let rejects = |rms: &[_]| {
        let promised = rms.iter().map(|rm| Obstacle { rm: *rm, promised: high }).collect();
        about(What::Reject { ballot: mine, promised })
    };
    let prepare = Prepare { ballot: mine };
    // It was told that it is over, and not how it ended.
    let mut forgotten = node(TMS[0]);
    forgotten.step(from(TMS[1], say::retired(tx(1))));
    let strange = [OutcomeBlock::of(tx(9), Outcome::Aborted)].into_iter().collect();
    let wide = TxRange::new(CLIENT, 1, 2).unwrap();
    vec![
        (NotAManager, faster, from(ACCEPTORS[0], all(Promise { ballot: mine, accepted: None }))),
        (NotAManager, node(RMS[0]), from(ACCEPTORS[0], say::bundle(&one, &RMS, Vote::Prepared))),
        (NotYourBallot, acceptor.clone(), from(TMS[0], all(Prepare { ballot: Ballot::new(9, TMS[1]) }))),
        (
            NotYourBallot,
            acceptor.clone(),
            from(TMS[0], parts(&RMS[..1], Accept { ballot: Ballot::initial(RMS[0]), value: Vote::Prepared })),
        ),
        (
            NotYourBallot,
            beside,
            from(RMS[0], parts(&RMS[..1], Accept { ballot: Ballot::initial(RMS[0]), value: Vote::Prepared })),
        ),
        (StaleBallot, acceptor.clone(), from(RMS[0], say::vote(&one, Vote::Prepared, TMS[0]))),
        (SecondValue, acceptor.clone(), from(RMS[2], say::vote(&one, Vote::Aborted, TMS[0]))),
        (SecondValue, told, from(ACCEPTORS[1], say::bundle(&one, &RMS, Vote::Aborted))),
        (OtherBallot, tm.clone(), from(ACCEPTORS[0], all(Promise { ballot: theirs, accepted: None }))),
        (OtherBallot, node(TMS[0]), from(ACCEPTORS[0], all(Promise { ballot: mine, accepted: None }))),
        (
            ImpossiblePromise,
            tm.clone(),
            from(ACCEPTORS[0], all(Promise { ballot: mine, accepted: Some((mine, Vote::Prepared)) })),
        ),
        (IdleRejection, tm.clone(), from(ACCEPTORS[0], all(Reject { ballot: mine, promised: mine }))),
        (
            NotAProposer,
            tm.clone(),
            from(ACCEPTORS[0], all(Reject { ballot: mine, promised: Ballot::new(2, STRANGER) })),
        ),
        (
            FarBallot,
            tm.clone(),
            from(ACCEPTORS[0], all(Reject { ballot: mine, promised: Ballot::new((1 << 32) + 2, TMS[1]) })),
        ),
        (PhaseIsOver, proposing, from(ACCEPTORS[2], all(Promise { ballot: mine, accepted: None }))),
        (NotAnAcceptor, tm.clone(), from(TMS[1], say::bundle(&one, &RMS, Vote::Prepared))),
        (NotAnAcceptor, tm.clone(), from(RMS[0], say::vote(&one, Vote::Prepared, TMS[0]))),
        (NotAnAcceptor, tm.clone(), from(RMS[0], Message::RetiredNoted { range: wide })),
        (NotAParticipant, node(RMS[2]), from(TMS[0], say::prepare(&namesake))),
        (NotAParticipant, tm.clone(), from(STRANGER, say::begin(&one))),
        (NotAParticipant, tm.clone(), from(STRANGER, say::inquire(&one))),
        (NotAParticipant, tm.clone(), from(ACCEPTORS[0], say::finished(&one, Outcome::Aborted))),
        (NotAParticipant, acceptor.clone(), from(STRANGER, say::vote(&one, Vote::Prepared, TMS[0]))),
        (NotAParticipant, acceptor.clone(), from(TMS[0], say::outcome(&one, Outcome::Aborted))),
        (NotAParticipant, acceptor.clone(), from(STRANGER, say::retired(tx(1)))),
        (NotAManager, node(ACCEPTORS[0]), say::begins(&one)),
        (NotAManager, node(RMS[0]), from(RMS[1], say::begin(&one))),
        (NotAManager, node(RMS[0]), from(STRANGER, say::prepare(&one))),
        (NotAManager, asked.clone(), from(RMS[1], say::outcome(&one, Outcome::Aborted))),
        (NotAManager, acceptor.clone(), from(RMS[0], all(prepare))),
        (NotAManager, acceptor.clone(), from(RMS[2], say::vote(&one, Vote::Prepared, STRANGER))),
        (UnknownTransaction, node(RMS[0]), Input::Vote { transaction: transaction(1), vote: Vote::Aborted }),
        (NotAParticipant, acceptor.clone(), Input::Vote { transaction: transaction(1), vote: Vote::Prepared }),
        (OtherTransaction, asked.clone(), Input::Vote { transaction: namesake.clone(), vote: Vote::Prepared }),
        (UnknownTransaction, acceptor.clone(), Input::Finished(tx(1))),
        (UnknownTransaction, node(TMS[0]), Input::Inquire(tx(1))),
        (UnknownTransaction, node(TMS[1]), from(TMS[0], say::outcome(&one, Outcome::Aborted))),
        (UnknownTransaction, node(RMS[0]), from(ACCEPTORS[0], say::retired(tx(1)))),
        (OtherTransaction, asked.clone(), from(TMS[0], say::prepare(&namesake))),
        (OtherTransaction, tm.clone(), say::begins(&namesake)),
        (Retired, forgotten, say::begins(&one)),
        (Retired, over.clone(), Input::Inquire(tx(1))),
        (Retired, over.clone(), Input::Finished(tx(1))),
        (Retired, gone, Input::Vote { transaction: transaction(1), vote: Vote::Aborted }),
        (Retired, over.clone(), from(RMS[0], say::begin(&one))),
        (Retired, over.clone(), from(ACCEPTORS[0], say::retired(tx(1)))),
        (TooManyOpen, limited(), begin(&RMS[..2], b"")),
        (TooManyParticipants, limited(), begin(&RMS, b"")),
        (MetaTooLong, limited(), begin(&RMS[..2], b"12345")),
        (TooManyOpen, limited(), new(&RMS[..2], b"")),
        (TooManyParticipants, limited(), new(&RMS, b"")),
        (MetaTooLong, limited(), new(&RMS[..2], b"12345")),
        (NotAManager, node(RMS[2]), new(&RMS[..2], b"")),
        (NumbersUsedUp, used_up.clone(), new(&RMS, b"")),
        (NumbersUsedUp, used_up.clone(), Input::Names { count: 1 }),
        (BadCount, node(TMS[0]), Input::Names { count: 0 }),
        (NotAManager, node(RMS[2]), Input::Names { count: 1 }),
        (NumbersUsedUp, used_up.clone(), say::begins(&own(TMS[0], u64::MAX))),
        (OtherContent, node(TMS[0]), Input::BeginAs { transaction: one.clone(), meta: other.clone() }),
        (OtherContent, tm.clone(), Input::BeginAs { transaction: one.clone(), meta: other.clone() }),
        (OtherContent, node(RMS[0]), from(TMS[0], about(What::prepare(other.clone())))),
        (OtherContent, asked.clone(), from(TMS[0], about(What::prepare(other.clone())))),
        (OtherContent, node(TMS[0]), from(RMS[0], about(What::Begin { meta: other }))),
        (NotAsked, learning, Input::Vote { transaction: transaction(1), vote: Vote::Prepared }),
        (NotNamedHere, node(TMS[0]), from(RMS[0], say::begin(&own(TMS[0], 1)))),
        (NotNamedHere, named.clone(), from(RMS[0], say::inquire(&own(TMS[0], 1_025)))),
        (NotNamedHere, node(RMS[0]), from(TMS[0], say::prepare(&own(RMS[0], 1)))),
        (NotNamedHere, node(RMS[0]), from(TMS[0], say::outcome(&own(RMS[0], 1), Outcome::Aborted))),
        (NotNamedHere, node(ACCEPTORS[0]), from(RMS[0], say::vote(&own(ACCEPTORS[0], 7), Vote::Prepared, TMS[0]))),
        (NotNamedHere, node(TMS[0]), from(TMS[1], say::retired(TxId { origin: TMS[0], seq: 1 }))),
        (NotNamedHere, named.clone(), from(TMS[1], say::retired_to(TxId { origin: TMS[0], seq: 1 }, 1_025))),
        (NotNamedHere, named.clone(), from(TMS[1], say::retired_to(TxId { origin: TMS[0], seq: 0 }, u64::MAX))),
        (NotNamedHere, node(RMS[0]), from(ACCEPTORS[0], say::retired(TxId { origin: RMS[0], seq: 1 }))),
        (
            MalformedBundle,
            acceptor.clone(),
            from(TMS[0], about(What::Phase1a { ballot: mine, instances: Places::default() })),
        ),
        (MalformedBundle, acceptor.clone(), from(TMS[0], parts(&[RMS[0], STRANGER], prepare))),
        (
            MalformedBundle,
            acceptor.clone(),
            from(TMS[0], about(What::Phase2a { ballot: mine, votes: Votes::default() })),
        ),
        (
            MalformedBundle,
            acceptor.clone(),
            from(TMS[0], parts(&[RMS[0], STRANGER], Accept { ballot: mine, value: Vote::Prepared })),
        ),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[0, 3], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[0, 200], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[], &[RMS[1], RMS[0]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[], &[RMS[0], RMS[0]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], accepted(&[0], &[RMS[0], STRANGER]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[], &[], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[0, 3], &[], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[0, 1], &[2], &[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[0, 1], &[], &[RMS[2]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[0, 1, 2], &[], &[RMS[1], RMS[0]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], promises(&[0, 1, 2], &[], &[RMS[1], RMS[1]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], rejects(&[]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], rejects(&[RMS[1], RMS[0]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], rejects(&[RMS[0], RMS[0]]))),
        (MalformedBundle, tm.clone(), from(ACCEPTORS[0], rejects(&[RMS[0], STRANGER]))),
        (FromSelf, tm.clone(), from(TMS[0], all(prepare))),
        (AlreadyVoted, prepared(RMS[0]), Input::Vote { transaction: transaction(1), vote: Vote::Prepared }),
        (AlreadyVoted, prepared(RMS[0]), Input::Vote { transaction: transaction(1), vote: Vote::Aborted }),
        (AlreadyAborted, aborted, Input::Vote { transaction: transaction(1), vote: Vote::Aborted }),
        (NoOutcome, prepared(RMS[0]), Input::Finished(tx(1))),
        (NotInDoubt, asked.clone(), Input::Resolve { tx: tx(1), outcome: Outcome::Committed }),
        (ContradictoryOutcome, asked, from(TMS[0], say::outcome(&one, Outcome::Committed))),
        (ContradictoryOutcome, decided, from(TMS[1], say::outcome(&one, Outcome::Aborted))),
        (RetiredUnfinished, prepared(RMS[0]), from(TMS[0], say::retired(tx(1)))),
        (WideRange, acceptor.clone(), from(ACCEPTORS[1], Message::retired(wide))),
        (MalformedOutcomes, tm.clone(), from(TMS[1], Message::Retired { range: wide, outcomes: strange })),
        (TimeWentBack, late, Input::Tick(Time(4))),
        (FromSelf, acquainted(), Input::Met { node: TMS[0], birth: 1, epoch: None }),
        (OtherBirth, acquainted(), Input::Met { node: RMS[0], birth: 2, epoch: None }),
        (TooManyNodes, acquainted(), Input::Met { node: RMS[2], birth: 1, epoch: None }),
        (NeverMet, acquainted(), begin(&RMS, b"")),
        (NeverMet, acquainted(), new(&RMS, b"")),
        (TooManyOfPeer, acquainted(), from(RMS[0], say::begin(&Transaction::new(tx(8), &RMS[..1], []).unwrap()))),
        (Overloaded, crowded(), begin(&RMS[..2], b"")),
        (Overloaded, crowded(), new(&RMS[..2], b"")),
        (Overloaded, crowded(), from(RMS[2], say::begin(&one))),
        (ParticipantBehind, left_behind(), begin(&RMS[..2], b"")),
        (ParticipantBehind, left_behind(), new(&RMS[..1], b"")),
        (VotesAreHere, prepared(RMS[0]), Input::Prepared { meta: say::meta(&one), transaction: one.clone() }),
        // And this one is answered.
        (
            StaleBallot,
            acceptor,
            from(TMS[0], parts(&RMS[..2], Prepare { ballot: Ballot::new(high.round - 1, TMS[0]) })),
        ),
    ]
}
