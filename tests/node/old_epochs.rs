//! What a node in epoch 1 hears of transactions of epoch 0, and how it gets rid of what is left of them.

use synod::{
    Effect, Machine, NodeId, Refusal,
    commit::{
        self, EpochMessage, Input, Key, Limits, Membership, Message, Meta, Node, Outcome, Page, Record, Time,
        Transaction, Vote, What,
    },
};

use super::{
    decisions,
    support::{
        ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, aborts_unknown, cluster, config, node, refuse, say, spec, transaction,
        tx,
    },
};

/// The acceptor and the transaction manager that come with epoch 1, in the places of the last of each.
pub(super) const NEW: [NodeId; 2] = [NodeId(14), NodeId(24)];

pub(super) fn of_epoch(number: impl Into<Option<u64>>, what: EpochMessage) -> Message {
    Message::Epoch { number: number.into(), what: Box::new(what) }
}

/// The membership of epoch 1.
pub(super) fn later() -> Membership {
    cluster().membership().replace(ACCEPTORS[2], NEW[0]).replace(TMS[1], NEW[1])
}

/// A page of what a member tells of epoch `number`.
pub(super) fn told(number: u64, page: Page) -> Message {
    let former = cluster().membership().members().into_iter().collect();
    of_epoch(number, EpochMessage::Told { membership: later().into(), former, page })
}

/// Lets `node` hear that it is in epoch 1, where nothing was committed.
pub(super) fn lead_on(mut node: Node) -> Node {
    let teller = if node.config().id == TMS[0] { ACCEPTORS[0] } else { TMS[0] };
    node.step(say::from(teller, told(1, Page::alone([]))));
    assert_eq!(node.tag().map(|tag| tag.number), Some(1));
    node
}

pub(super) fn in_epoch_1(at: NodeId) -> Node {
    lead_on(node(at))
}

/// Another transaction of the name of the first one.
fn namesake() -> Transaction {
    Transaction::new(tx(1), &RMS[..2], []).unwrap()
}

/// A participant that was asked for its vote and has not voted when the epoch ended. Its resource has let go.
fn let_go() -> Node {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    let mut rm = lead_on(rm);
    rm.step(Input::Finished(tx(1)));
    rm
}

/// The answer of `node` asks `asked` for a later epoch.
fn asks(node: &Node, asked: impl IntoIterator<Item = NodeId>, answer: &[commit::Effect]) {
    let wanted = of_epoch(node.tag().map(|tag| tag.number), EpochMessage::Wanted);
    let id = node.config().id;
    let asked: Vec<_> = asked.into_iter().filter(|node| *node != id).map(|node| (node, &wanted)).collect();
    assert_eq!(say::sends(answer), asked);
}

#[test]
fn who_takes_no_part_in_an_old_transaction_or_means_another_one_hears_nothing_of_how_it_ended() {
    let one = transaction(1);
    let other = Message::about(&one, What::Begin { meta: Meta::from(b"other") });
    let decline = Message::about(&one, What::Decline);
    for at in [TMS[0], ACCEPTORS[0], RMS[0]] {
        let mut node = in_epoch_1(at);
        for said in [say::begin(&one), say::inquire(&one), say::finished(&one, Outcome::Aborted), decline.clone()] {
            for from in [STRANGER, ACCEPTORS[1]] {
                assert_eq!(refuse(&mut node, say::from(from, said.clone()), Refusal::NotAParticipant), []);
            }
        }
        assert_eq!(refuse(&mut node, say::from(RMS[1], other.clone()), Refusal::OtherContent), []);
    }
    for said in [say::begin(&one), say::inquire(&one), decline] {
        let effects = in_epoch_1(TMS[0]).step(say::from(RMS[0], said));
        assert!(say::sends(&effects).contains(&(RMS[0], &say::outcome(&one, Outcome::Aborted))), "{effects:?}");
    }
}

#[test]
fn whoever_was_asked_before_the_epoch_ended_answers_when_it_is_asked_again() {
    let (one, mut rm) = (transaction(1), let_go());
    let again = rm.step(say::from(TMS[0], say::prepare(&one)));
    assert_eq!(say::sends(&again), [(TMS[0], &say::finished(&one, Outcome::Aborted))]);
    let answer = refuse(&mut rm, say::from(TMS[0], say::prepare(&namesake())), Refusal::OldEpoch);
    assert_eq!(say::sends(&answer), [(TMS[0], &of_epoch(1, EpochMessage::Newer))]);
}

#[test]
fn how_an_old_transaction_ended_is_believed_of_managers_and_of_former_members_alone() {
    let (one, aborted) = (transaction(1), say::outcome(&transaction(1), Outcome::Aborted));
    let finished = say::finished(&one, Outcome::Aborted);
    let mut rm = let_go();
    for from in [TMS[0], NEW[1], TMS[1], ACCEPTORS[0], ACCEPTORS[2]] {
        let effects = rm.step(say::from(from, aborted.clone()));
        assert!(matches!(&say::sends(&effects)[..], [(_, said)] if **said == finished), "{from}: {effects:?}");
    }
    for mut node in [in_epoch_1(RMS[0]), in_epoch_1(ACCEPTORS[0]), in_epoch_1(TMS[0]), rm] {
        for stranger in [STRANGER, RMS[1]] {
            let answer = refuse(&mut node, say::from(stranger, aborted.clone()), Refusal::NotAManager);
            asks(&node, later().members(), &answer);
        }
        let answer = refuse(&mut node, say::from(NEW[0], aborted.clone()), Refusal::NotAManager);
        asks(&node, [NEW[0]], &answer);
    }
}

#[test]
fn how_an_old_transaction_ended_is_heard_by_participants_and_by_whoever_has_it_open() {
    let (one, aborted) = (transaction(1), say::outcome(&transaction(1), Outcome::Aborted));
    for at in [ACCEPTORS[0], TMS[0]] {
        assert_eq!(refuse(&mut in_epoch_1(at), say::from(NEW[1], aborted.clone()), Refusal::UnknownTransaction), []);
    }
    let effects = in_epoch_1(RMS[0]).step(say::from(NEW[1], aborted.clone()));
    assert_eq!(decisions(&effects), [aborts_unknown(&one)]);
    let mut tm = node(TMS[0]);
    tm.step(say::begins(&one));
    let mut tm = lead_on(tm);
    assert_eq!(tm.step_into(say::from(NEW[1], aborted), &mut Vec::new()), Ok(()));
    let committed = say::outcome(&one, Outcome::Committed);
    assert_eq!(refuse(&mut tm, say::from(NEW[1], committed), Refusal::ContradictoryOutcome), []);
    let other = say::outcome(&namesake(), Outcome::Aborted);
    assert_eq!(refuse(&mut tm, say::from(NEW[1], other), Refusal::UnknownTransaction), []);
}

#[test]
fn who_speaks_for_all_and_is_no_manager_here_may_be_one_of_a_later_epoch() {
    let one = transaction(1);
    let mut rm = node(RMS[0]);
    let members = || cluster().membership().members();
    for (said, refusal) in
        [(say::outcome(&one, Outcome::Aborted), Refusal::NotAManager), (say::retired_to(tx(1), 2), Refusal::WideRange)]
    {
        let answer = refuse(&mut rm, say::from(STRANGER, said.clone()), refusal);
        asks(&rm, members(), &answer);
        let answer = refuse(&mut rm, say::from(ACCEPTORS[0], said), refusal);
        asks(&rm, [ACCEPTORS[0]], &answer);
    }
    // Whoever asks for a vote, or says of one thing that it is over, speaks for himself.
    assert_eq!(refuse(&mut rm, say::from(STRANGER, say::prepare(&one)), Refusal::NotAManager), []);
    assert_eq!(refuse(&mut rm, say::from(STRANGER, say::retired(tx(1))), Refusal::UnknownTransaction), []);
}

#[test]
fn what_an_acceptor_has_left_of_an_epoch_is_erased_a_pageful_at_a_time_and_no_sooner_than_others_have_had_their_time() {
    let most = 10;
    let limits = Limits::default().with_page(8 * most as usize);
    let mut acceptor = Node::create(config(&spec().with_limits(limits).build().unwrap(), ACCEPTORS[0])).0;
    acceptor.step(Input::Tick(Time(0)));
    for (seq, rm) in (1..=3 * most).flat_map(|seq| RMS.map(|rm| (seq, rm))) {
        acceptor.step(say::from(rm, say::vote(&transaction(seq), Vote::Prepared, TMS[0])));
    }
    let erased = |effects: &[commit::Effect]| -> Vec<u64> {
        let erased = effects.iter().filter_map(|effect| match effect {
            Effect::Persist(Record::Erased(Key::Acceptor(tx))) => Some(tx.seq),
            _ => None,
        });
        erased.collect()
    };
    let names = |first: u64| -> Vec<u64> { (first..first + most).collect() };
    assert_eq!(erased(&acceptor.step(say::from(TMS[0], told(1, Page::alone([]))))), names(1));
    for turn in 1..=2 {
        let due = turn * TIMEOUTS.flush;
        assert_eq!(acceptor.deadline(), Some(Time(due)));
        assert_eq!(acceptor.step(Input::Tick(Time(due - 1))), []);
        assert_eq!(erased(&acceptor.step(Input::Tick(Time(due)))), names(1 + turn * most));
    }
    assert_eq!((acceptor.metrics().open, acceptor.deadline()), (0, None), "nothing is left to be done");
}
