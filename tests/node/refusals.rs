//! Every reason for which a node refuses an input.

mod refused;

use std::collections::BTreeSet;

use synod::{
    Ballot, Effect, Machine, NodeId, Refusal, TxId,
    commit::{
        Acceptance, Entry, EpochMessage, Input, Learning, Limits, Membership, Message, Meta, Node, Obstacle, Outcome,
        OutcomeBlock, Page, Participants, Places, Promises, Record, Time, Transaction, TxRange, Vote, Votes, What,
        roles::{ResourceManager, ResourceManagerInput, TransactionManager, TransactionManagerInput},
    },
    paxos::Message::{Accept, Accepted, Prepare, Promise, Reject},
};

use self::refused::{later, of_epoch, page, promised, recovering, refused, told, trying};
use super::{
    completed, prepared,
    support::{
        ACCEPTORS, CLIENT, RMS, STRANGER, TMS, cluster, cluster_of, config, founding, node, refuse, say, say::Part,
        spec, transaction, tx, verdict,
    },
};

#[test]
fn what_is_refused_is_counted_for_the_reason_that_the_step_gives_and_changes_nothing() {
    let mut seen = BTreeSet::new();
    for (refusal, mut node, input) in refused() {
        seen.insert(refusal);
        refuse(&mut node, input.clone(), refusal);
        refuse(&mut node, input, refusal);
    }
    // These are for roles that are driven alone, for a round that a node does not have, for drivers, for an invariant
    // that correct code does not break, and for a resource of the other kind.
    use Refusal::{AlreadyDecided, AlreadyProposed, Broken, CommitLost, Fenced, NotForThisRole, RoundsUsedUp};
    seen.extend([AlreadyDecided, AlreadyProposed, Broken, CommitLost, Fenced, NotForThisRole, RoundsUsedUp]);
    assert_eq!(seen, Refusal::ALL.iter().copied().collect());
}

/// The answer asks for a later epoch: `from`, if it is a member of the present one, and else those who are.
fn asks(node: &Node, from: NodeId, answer: &[synod::commit::Effect]) {
    let mut members = node.config().cluster.membership().members();
    if members.contains(&from) {
        members = [from].into();
    }
    members.remove(&node.config().id);
    let wanted = of_epoch(node.tag().map(|tag| tag.number), EpochMessage::Wanted);
    let asked: Vec<_> = members.into_iter().map(|member| (member, &wanted)).collect();
    assert_eq!(say::sends(answer), asked);
}

#[test]
fn the_answer_to_a_refused_input_is_a_rejection_or_how_it_ended_or_of_the_epoch_or_silence() {
    for (refusal, mut node, input) in refused() {
        let answer = refuse(&mut node, input.clone(), refusal);
        match (&input, refusal) {
            // It is said by a participant, which may be in doubt.
            (Input::Receive { from, message }, Refusal::Retired) if message.transaction().is_some() => {
                assert_eq!(say::sends(&answer), [(*from, &say::outcome(&transaction(1), Outcome::Committed))]);
            }
            (Input::Receive { from, message }, Refusal::StaleBallot) if say::is_paxos(message) => {
                let (ballot, promised) = (Ballot::new(1, TMS[0]), Ballot::new(2, TMS[1]));
                let reject = say::paxos(&transaction(1), &RMS[..2], Reject { ballot, promised });
                assert_eq!(say::sends(&answer), [(*from, &reject)]);
            }
            // The node that gives the name gives it to another transaction.
            (
                Input::Receive {
                    from,
                    message: Message::About { transaction, what: What::Begin { .. } | What::Inquire },
                },
                Refusal::NotNamedHere,
            ) => {
                assert_eq!(say::sends(&answer), [(*from, &Message::about(transaction, What::OtherTransaction))]);
            }
            (Input::Receive { from, message: Message::Epoch { what, .. } }, Refusal::StaleBallot) => {
                assert!(matches!(**what, EpochMessage::Prepare { .. } | EpochMessage::Accept { .. }));
                let (ballot, promised) = (Ballot::new(1, TMS[1]), Ballot::new(2, TMS[1]));
                let reject = of_epoch(Some(0), EpochMessage::Reject { ballot, promised });
                assert_eq!(say::sends(&answer), [(*from, &reject)]);
            }
            // The answers of acceptors of an epoch that is over are of no use to anyone.
            (Input::Receive { message: Message::About { what: What::Phase2b { .. }, .. }, .. }, Refusal::OldEpoch) => {
                assert_eq!(answer, []);
            }
            (Input::Receive { from, .. }, Refusal::OldEpoch) => {
                assert_eq!(say::sends(&answer), [(*from, &of_epoch(Some(1), EpochMessage::Newer))]);
            }
            // Whoever seems to be ahead is asked. So is whoever says how something ended, or that much is over.
            (Input::Receive { from, .. }, Refusal::NewerEpoch | Refusal::InvitedByStranger) => {
                asks(&node, *from, &answer)
            }
            (
                Input::Receive {
                    from,
                    message: Message::About { what: What::Outcome(_), .. } | Message::Retired { .. },
                },
                Refusal::NotAManager | Refusal::WideRange,
            ) => asks(&node, *from, &answer),
            (Input::Receive { from, .. }, Refusal::Changing) => {
                let promised = Ballot::new(2, TMS[1]);
                assert_eq!(say::sends(&answer), [(*from, &of_epoch(Some(0), EpochMessage::Frozen { promised }))]);
            }
            _ => assert_eq!(answer, [], "{refusal:?}"),
        }
    }
}

#[test]
fn violations_are_what_correct_nodes_never_cause() {
    for (refusal, mut node, input) in refused() {
        refuse(&mut node, input, refusal);
        assert_eq!(node.metrics().violations(), u64::from(refusal.is_violation()));
        assert_eq!(node.metrics().refusals().collect::<Vec<_>>(), [(refusal, 1)]);
    }
}

#[test]
fn the_farthest_round_that_a_rejection_may_name_is_gone_beyond() {
    let (mut tm, mine) = recovering();
    let promised = Ballot::new(mine.round + (1 << 32), TMS[1]);
    let reject = say::from(ACCEPTORS[0], say::paxos(&transaction(1), &RMS, Reject { ballot: mine, promised }));
    assert_eq!(tm.step_into(reject, &mut Vec::new()), Ok(()));
    let next = Ballot::new(promised.round + 1, TMS[0]);
    let prepare = say::paxos(&transaction(1), &RMS, Prepare { ballot: next });
    assert_eq!(say::sends(&tm.step(Input::Inquire(tx(1)))), ACCEPTORS.map(|acceptor| (acceptor, &prepare)));
}

#[test]
fn of_a_bundle_what_can_be_taken_is_taken() {
    let (mut acceptor, high) = promised();
    // Two instances have promised more; the third one takes the ballot, after the vote that it has.
    let ballot = Ballot::new(1, TMS[0]);
    let effects = acceptor.step(say::from(TMS[0], say::paxos(&transaction(1), &RMS, Prepare { ballot })));
    let reject = Reject { ballot, promised: high };
    let accepted = Some((Ballot::initial(RMS[2]), Vote::Prepared));
    let one = transaction(1);
    let promise = Part { rm: RMS[2], message: Promise { ballot, accepted } };
    assert!(matches!(effects[0], Effect::Persist(Record::Acceptor(_))));
    assert_eq!(
        say::sends(&effects),
        [
            (TMS[1], &say::bundle(&one, &RMS[2..], Vote::Prepared)),
            (TMS[0], &say::all(&one, [promise])),
            (TMS[0], &say::paxos(&one, &RMS[..2], reject)),
        ]
    );
    assert_eq!(effects.len(), 4);
}

#[test]
fn a_second_value_beside_what_is_granted_is_counted() {
    let (mut acceptor, ballot) = promised();
    let one = transaction(1);
    let accept = |rms: &[_], value| say::from(TMS[1], say::paxos(&one, rms, Accept { ballot, value }));
    acceptor.step(accept(&RMS[..1], Vote::Prepared));
    let effects = acceptor.step(accept(&RMS[..2], Vote::Aborted));
    assert_eq!(acceptor.metrics().refused(Refusal::SecondValue), 1);
    let granted = Part { rm: RMS[1], message: Accepted { ballot, value: Vote::Aborted } };
    assert_eq!(say::sends(&effects), [(TMS[1], &say::all(&one, [granted]))]);
}

#[test]
fn of_a_range_that_is_over_what_is_in_doubt_here_stays_and_is_counted() {
    let mut both = Node::create(config(&cluster_of(&RMS, &TMS), RMS[0])).0;
    for seq in 1..=5 {
        both.step(say::from(TMS[0], say::prepare(&transaction(seq))));
    }
    for seq in [2, 5] {
        both.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
    }
    let effects = both.step(say::from(TMS[0], say::retired_to(tx(1), 5)));
    assert_eq!(both.open_transactions(), [tx(2), tx(5)]);
    assert_eq!(both.metrics().refused(Refusal::RetiredUnfinished), 1);
    let noted = [(1, 1), (3, 4)]
        .map(|(first, last)| Message::RetiredNoted { range: TxRange::new(CLIENT, first, last).unwrap() });
    let noted: Vec<_> = noted.iter().map(|noted| (TMS[0], noted)).collect();
    assert_eq!(say::sends(&effects), noted, "only what was noted is acknowledged");
    for seq in [1, 3, 4] {
        assert!(both.status(tx(seq)).is_retired());
    }
    // Nothing is left of the range but what is in doubt.
    assert_eq!(refuse(&mut both, say::from(TMS[0], say::retired_to(tx(5), 5)), Refusal::RetiredUnfinished), []);
    assert_eq!(both.in_doubt().len(), 2);
}

#[test]
fn roles_that_are_driven_alone_refuse_in_the_same_way() {
    let two = Transaction::new(tx(1), &RMS[..2], []).unwrap();
    assert_eq!(ResourceManager::new(cluster(), RMS[2], two.clone()).map(|_| ()), Err(Refusal::NotAParticipant));
    let mut rm = ResourceManager::new(cluster(), RMS[0], two.clone()).unwrap();
    assert_eq!(verdict(&rm, &ResourceManagerInput::Finished), Err(Refusal::NoOutcome));
    assert_eq!(rm.step(ResourceManagerInput::Finished), []);

    let mut tm = TransactionManager::new(cluster(), TMS[0], two.clone());
    let recover = |round| TransactionManagerInput::Recover { round };
    assert_eq!(verdict(&tm, &recover(0)), Err(Refusal::StaleBallot), "round 0 is not its own");
    tm.step(recover(4));
    for round in [0, 4] {
        assert_eq!(verdict(&tm, &recover(round)), Err(Refusal::StaleBallot));
        assert_eq!(tm.step(recover(round)), []);
    }
    for from in &RMS[..2] {
        let message = say::finished(&two, Outcome::Aborted);
        tm.step(TransactionManagerInput::Receive { from: *from, message });
    }
    assert_eq!(verdict(&tm, &recover(5)), Err(Refusal::AlreadyDecided));
    assert_eq!(tm.step(recover(5)), []);
}

#[test]
fn a_page_that_is_refused_leaves_no_trace_of_itself() {
    let first = Page { entries: [Entry::Retired(TxRange::only(tx(1)))].into(), ..page(0, 2) };
    let mut half_told = node(TMS[0]);
    half_told.step(say::from(TMS[1], told(later(), first)));
    let accept = EpochMessage::Accept { ballot: Ballot::new(1, TMS[1]), membership: later().into(), page: page(1, 2) };
    let promise = EpochMessage::Promise { ballot: Ballot::new(1, TMS[0]), accepted: None, page: page(1, 2) };
    for (mut node, from, message) in [
        (half_told.clone(), TMS[1], told(later(), page(2, 3))),
        (half_told, TMS[1], told(later(), page(0, 2))),
        (node(ACCEPTORS[0]), TMS[1], of_epoch(Some(0), accept)),
        (trying(), ACCEPTORS[0], of_epoch(Some(0), promise)),
    ] {
        assert_eq!(refuse(&mut node, say::from(from, message), Refusal::OtherPage), []);
    }
}
