//! Faults that shipped in other libraries and that the Paxos layer could have, one test each. Rows are numbered as
//! in the project's list of published bugs; the reports are named.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Ballot, Effect, EffectOf, Machine, NodeId, Outbox, Quorums, Refusal,
    paxos::{Acceptor, AcceptorRecord, Input, Learner, Message, Proposer, ProposerConfig, ProposerRecord},
};

const A: NodeId = NodeId(11);
const B: NodeId = NodeId(12);
const C: NodeId = NodeId(13);
const ME: NodeId = NodeId(2);
const OTHER: NodeId = NodeId(3);

fn config() -> ProposerConfig {
    let acceptors = Quorums::majority([A, B, C]).unwrap();
    ProposerConfig::new(ME, acceptors, [ME, OTHER])
}

fn proposing(value: char) -> Proposer<char> {
    let mut proposer = Proposer::new(config());
    proposer.step(Input::Propose(value));
    proposer
}

fn mine(round: u64) -> Ballot {
    Ballot::new(round, ME)
}

fn theirs(round: u64) -> Ballot {
    Ballot::new(round, OTHER)
}

fn from(from: NodeId, message: Message<char>) -> Input<char> {
    Input::Receive { from, message }
}

fn promise(by: NodeId, ballot: Ballot, accepted: Option<(Ballot, char)>) -> Input<char> {
    from(by, Message::Promise { ballot, accepted })
}

fn accepted(by: NodeId, ballot: Ballot, value: char) -> Input<char> {
    from(by, Message::Accepted { ballot, value })
}

fn reject(by: NodeId, ballot: Ballot, promised: Ballot) -> Input<char> {
    from(by, Message::Reject { ballot, promised })
}

fn request(message: Message<char>) -> Input<char> {
    from(message.ballot().node, message)
}

/// What `machine` says of `input`, and what follows.
fn take<T: Machine>(machine: &mut T, input: T::Input) -> (Result<(), Refusal>, Vec<EffectOf<T>>) {
    let mut effects = Vec::new();
    (machine.step_into(input, &mut effects), effects)
}

fn messages<R, D>(effects: Vec<Effect<R, Message<char>, D>>) -> Vec<Message<char>> {
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::Send { message, .. } = effect { Some(message) } else { None })
        .collect()
}

/// Row 1: efficient/epaxos#28, hiqlite#361, phxpaxos#32.
#[test]
fn no_reply_is_to_be_seen_before_its_record_is_durable() {
    let mut acceptor = Acceptor::new(None);
    let mut outbox = Outbox::new();
    let ballot = mine(1);
    for message in [Message::Prepare { ballot }, Message::Accept { ballot, value: 'x' }] {
        outbox.step(&mut acceptor, request(message)).unwrap();
        assert!(outbox.take_free().is_none());
        let pending = outbox.take().unwrap();
        assert_eq!(pending.records().last(), Some(acceptor.record()));
        assert_eq!(pending.persisted().packets()[0].to, ME);
    }
}

/// Row 1, where the write fails: what was in memory must not be told by anyone.
#[test]
fn a_promise_that_was_never_written_is_never_told_and_a_restart_does_not_know_it() {
    let mut acceptor = Acceptor::<char>::new(None);
    let disk = *acceptor.record();
    let mut outbox = Outbox::new();
    outbox.step(&mut acceptor, request(Message::Prepare { ballot: mine(5) })).unwrap();
    outbox.take().unwrap().failed();
    let again = outbox.step(&mut acceptor, request(Message::Prepare { ballot: mine(5) }));
    assert_eq!(again, Err(Refusal::Fenced));
    assert!(outbox.take().is_none() && outbox.take_free().is_none());
    assert_eq!(Acceptor::restore(disk).unwrap().promised(), None);
}

/// Row 2: Brooker's blog of 2021-11-16. Without it, two values are chosen: the second acceptance below is of a lower
/// ballot than the first.
#[test]
fn an_acceptor_that_accepted_takes_nothing_lower_although_it_promised_nothing() {
    let mut acceptor = Acceptor::new(None);
    acceptor.step(request(Message::Accept { ballot: theirs(2), value: 'y' }));
    let late = acceptor.step(request(Message::Accept { ballot: mine(1), value: 'x' }));
    assert_eq!(messages(late), [Message::Reject { ballot: mine(1), promised: theirs(2) }]);
    assert_eq!(acceptor.accepted(), Some(&(theirs(2), 'y')));
}

/// Row 3: MyPaxos#18.
#[test]
fn a_promise_of_a_ballot_given_up_never_counts_for_the_next() {
    let mut proposer = proposing('x');
    proposer.step(promise(A, mine(1), None));
    proposer.step(Input::Timeout);
    assert_eq!(take(&mut proposer, promise(B, mine(1), None)), (Err(Refusal::OtherBallot), vec![]));
    assert_eq!(proposer.step(promise(C, mine(2), None)), [], "only one promise of ballot 2 has come");
    assert_eq!(proposer.step(promise(B, mine(2), None)).len(), 3);
}

/// Row 4: phxpaxos#145.
#[test]
fn after_a_restart_old_promises_meet_no_ballot_that_they_could_count_for() {
    let mut proposer = proposing('x');
    let restored = Proposer::restore(config(), *proposer.record());
    proposer.step(promise(A, mine(1), None));
    let mut restored = restored.unwrap();
    restored.step(Input::Propose('y'));
    assert_eq!(restored.ballot(), Some(mine(2)));
    for stale in [promise(A, mine(1), None), promise(B, mine(1), None), accepted(C, mine(1), 'y')] {
        assert_eq!(take(&mut restored, stale), (Err(Refusal::OtherBallot), vec![]));
    }
}

/// Row 5: jjzhang/booth#47.
#[test]
fn every_message_may_come_twice_and_the_second_changes_nothing() {
    let mut proposer = proposing('x');
    let mut learner = Learner::new(config().acceptors);
    let inputs = [
        promise(A, mine(1), Some((theirs(0), 'o'))),
        promise(A, mine(1), None),
        reject(B, mine(1), theirs(1)),
        promise(C, mine(1), None),
        accepted(A, mine(1), 'o'),
        reject(B, mine(1), theirs(2)),
    ];
    for input in inputs {
        proposer.step(input);
        learner.step(input);
        let (before, knew) = (proposer.clone(), learner.clone());
        assert_eq!(proposer.step(input), [], "{input:?}");
        assert_eq!(learner.step(input), [], "{input:?}");
        assert_eq!((&proposer, &learner), (&before, &knew), "{input:?}");
    }
    assert_eq!(proposer.step(accepted(C, mine(1), 'o')), [Effect::Decide('o')]);

    let mut acceptor = Acceptor::new(None);
    for message in [Message::Prepare { ballot: mine(1) }, Message::Accept { ballot: mine(1), value: 'x' }] {
        let first = messages(acceptor.step(request(message)));
        let again = acceptor.step(request(message));
        assert!(!again.iter().any(|effect| matches!(effect, Effect::Persist(_))), "nothing is written twice");
        assert_eq!(messages(again), first);
    }
}

/// Row 6: efficient/epaxos#20.
#[test]
fn the_value_of_the_highest_accepted_ballot_wins_and_not_that_of_the_last_promise() {
    for order in [[A, B, C], [A, C, B], [B, A, C], [B, C, A], [C, A, B], [C, B, A]] {
        let mut proposer = Proposer::restore(config(), ProposerRecord { round: 6, initial: None }).unwrap();
        proposer.step(Input::Propose('x'));
        let told =
            |node| if node == A { Some((theirs(5), 'h')) } else { Some((theirs(if node == B { 4 } else { 3 }), 'l')) };
        proposer.step(promise(order[0], mine(7), told(order[0])));
        let sent = messages(proposer.step(promise(order[1], mine(7), told(order[1]))));
        let value = if order[2] == A { 'l' } else { 'h' };
        assert_eq!(sent, [Message::Accept { ballot: mine(7), value }; 3]);
    }
}

/// Row 7: openraft#1146, openraft#1220.
#[test]
fn a_rejection_never_counts_as_a_vote_in_either_phase() {
    let mut proposer = proposing('x');
    for acceptor in [A, B, C] {
        assert_eq!(proposer.step(reject(acceptor, mine(1), theirs(3))), []);
    }
    assert_eq!(proposer.step(promise(A, mine(1), None)), []);
    assert_eq!(proposer.step(promise(B, mine(1), None)).len(), 3);
    for acceptor in [A, B, C] {
        assert_eq!(proposer.step(reject(acceptor, mine(1), theirs(3))), []);
    }
    assert_eq!(proposer.step(accepted(C, mine(1), 'x')), []);
    assert_eq!(proposer.chosen(), None);
}

/// Row 8: MyPaxos#19.
#[test]
fn an_accept_above_the_promise_is_taken_without_a_promise_of_its_own() {
    let mut acceptor = Acceptor::new(None);
    acceptor.step(request(Message::Prepare { ballot: mine(1) }));
    let (ballot, value) = (theirs(2), 'x');
    let record = AcceptorRecord { promised: Some(ballot), accepted: Some((ballot, value)) };
    let reply = Effect::Send { to: OTHER, message: Message::Accepted { ballot, value } };
    assert_eq!(acceptor.step(request(Message::Accept { ballot, value })), [Effect::Persist(record), reply]);
}

/// Row 9: cocagne/multi-paxos-example#4. Each acceptor is silent, says yes or says no, in each phase: unless it decides,
/// the proposer tries again above all it has heard of, and an undisturbed ballot then decides.
#[test]
fn no_mix_of_replies_leaves_a_proposer_stuck() {
    for mix in 0..3u32.pow(6) {
        let mut proposer = proposing('x');
        let mut highest = 1;
        for (place, acceptor) in [A, B, C, A, B, C].into_iter().enumerate() {
            let answer = mix / 3u32.pow(place as u32) % 3;
            let refusal = theirs(2 + place as u64);
            proposer.step(match (answer, place < 3) {
                (0, _) => continue,
                (1, true) => promise(acceptor, mine(1), None),
                (1, false) => accepted(acceptor, mine(1), 'x'),
                _ => reject(acceptor, mine(1), refusal),
            });
            if answer == 2 && proposer.chosen().is_none() {
                highest = refusal.round;
            }
        }
        if proposer.chosen().is_none() {
            let asked = messages(proposer.step(Input::Timeout));
            assert_eq!(asked, [Message::Prepare { ballot: mine(highest + 1) }; 3], "mix {mix}");
            for answer in [promise(A, mine(highest + 1), None), promise(B, mine(highest + 1), None)] {
                proposer.step(answer);
            }
            for answer in [accepted(A, mine(highest + 1), 'x'), accepted(B, mine(highest + 1), 'x')] {
                proposer.step(answer);
            }
        }
        assert_eq!(proposer.chosen(), Some(&'x'), "mix {mix}");
    }
}

/// Row 10: swiftpaxos#3, in the plain encoding that every type has.
#[test]
fn no_field_of_a_message_or_record_is_lost_in_its_encoding() {
    let (ballot, promised, value) = (mine(3), theirs(4), 'x');
    let messages = [
        Message::Prepare { ballot },
        Message::Promise { ballot, accepted: None },
        Message::Promise { ballot, accepted: Some((theirs(2), value)) },
        Message::Accept { ballot, value },
        Message::Accepted { ballot, value },
        Message::Reject { ballot, promised },
    ];
    let mut texts = BTreeSet::new();
    for message in messages {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message<char>>(&text).unwrap(), message);
        assert!(text.contains(r#""round":3,"node":2"#), "{text}");
        texts.insert(text);
    }
    assert_eq!(texts.len(), messages.len());

    let record = AcceptorRecord { promised: Some(promised), accepted: Some((ballot, value)) };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<AcceptorRecord<char>>(&text).unwrap(), record);
    let record = ProposerRecord { round: 7, initial: Some(value) };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<ProposerRecord<char>>(&text).unwrap(), record);
}

/// Row 11: openraft#1960, openraft#2118. Writes cannot be confirmed out of order, for there is one at a time; and a
/// confirmation is spent on the write that it belongs to, however alike the next one looks.
#[test]
fn confirming_one_write_releases_nothing_of_the_next() {
    let mut outbox = Outbox::<u8, &str, ()>::new();
    for name in ["first", "second"] {
        outbox.push(Effect::Persist(1));
        outbox.push(Effect::Send { to: A, message: name });
    }
    let both = outbox.take().unwrap();
    outbox.push(Effect::Persist(1));
    outbox.push(Effect::Send { to: A, message: "third" });
    assert!(outbox.take().is_none(), "two writes are never out at a time");
    assert_eq!(both.persisted().packets()[0].messages, ["first", "second"]);
    assert!(outbox.take_free().is_none(), "the third is not covered by that");
    assert_eq!(outbox.take().unwrap().persisted().packets()[0].messages, ["third"]);
}

/// Row 12: etcd#17078, restate#2963.
#[test]
fn a_message_for_another_or_from_another_changes_nothing() {
    let mut acceptor = Acceptor::new(Some(ME));
    let before = acceptor.clone();
    let strays = [
        from(OTHER, Message::Prepare { ballot: mine(1) }),
        from(OTHER, Message::Accept { ballot: mine(1), value: 'x' }),
        from(OTHER, Message::Accept { ballot: Ballot::initial(ME), value: 'x' }),
        from(OTHER, Message::Accept { ballot: Ballot::initial(OTHER), value: 'x' }),
        from(ME, Message::Prepare { ballot: Ballot::initial(ME) }),
        accepted(A, mine(1), 'x'),
        promise(A, mine(1), None),
        reject(A, mine(1), theirs(2)),
    ];
    for stray in strays {
        let (verdict, effects) = take(&mut acceptor, stray);
        assert!(verdict.is_err());
        assert_eq!(effects, []);
        assert_eq!(acceptor, before);
    }

    let mut proposer = proposing('x');
    let before = proposer.clone();
    let strays = [
        promise(OTHER, mine(1), None),
        promise(A, theirs(1), None),
        accepted(A, theirs(1), 'x'),
        reject(A, theirs(1), mine(9)),
        reject(A, mine(1), Ballot::new(9, NodeId(77))),
        from(A, Message::Prepare { ballot: mine(1) }),
        from(A, Message::Accept { ballot: mine(1), value: 'x' }),
    ];
    for stray in strays {
        let (verdict, effects) = take(&mut proposer, stray);
        assert!(verdict.is_err());
        assert_eq!(effects, []);
        assert_eq!(proposer, before);
    }
}

fn any_ballot() -> impl Strategy<Value = Ballot> {
    let extremes = || prop::sample::select(vec![0, 1, 2, 3, 11, 12, 13, u64::MAX - 1, u64::MAX]);
    (extremes(), extremes()).prop_map(|(round, node)| Ballot::new(round, NodeId(node)))
}

fn any_input() -> impl Strategy<Value = Input<char>> {
    let value = || prop::sample::select(vec!['x', 'y']);
    let message = prop_oneof![
        any_ballot().prop_map(|ballot| Message::Prepare { ballot }),
        (any_ballot(), prop::option::of((any_ballot(), value())))
            .prop_map(|(ballot, accepted)| Message::Promise { ballot, accepted }),
        (any_ballot(), value()).prop_map(|(ballot, value)| Message::Accept { ballot, value }),
        (any_ballot(), value()).prop_map(|(ballot, value)| Message::Accepted { ballot, value }),
        (any_ballot(), any_ballot()).prop_map(|(ballot, promised)| Message::Reject { ballot, promised }),
    ];
    prop_oneof![
        1 => value().prop_map(Input::Propose),
        1 => Just(Input::Timeout),
        12 => (any_ballot(), message).prop_map(|(sender, message)| from(sender.node, message)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        cases: 2000,
        ..ProptestConfig::default()
    })]

    /// Row 18: omnipaxos#124, etcd#17081. Nor does what is refused change anything.
    #[test]
    fn no_input_makes_a_role_panic_or_answer_at_length(
        inputs in prop::collection::vec(any_input(), 0..40),
        owner in prop::option::of((1..4u64).prop_map(NodeId)),
        eager in any::<bool>(),
    ) {
        let mut proposer = Proposer::new(config().with_owner(owner).with_eager(eager));
        let mut acceptor = Acceptor::new(owner);
        let mut learner = Learner::new(config().acceptors);
        for input in inputs {
            let (was, had, knew) = (proposer.clone(), acceptor.clone(), learner.clone());
            let (proposed, asked) = take(&mut proposer, input);
            let (answered, answers) = take(&mut acceptor, input);
            let (learnt, decided) = take(&mut learner, input);
            let refused = [proposed.is_err(), answered.is_err(), learnt.is_err()];
            let counts = [asked.len(), answers.len(), decided.len()];
            prop_assert!(counts[0] <= 4 && counts[1] <= 2 && counts[2] <= 1);
            prop_assert!(!refused[0] || (counts[0] == 0 && proposer == was));
            prop_assert!(!refused[1] || (counts[1] <= 1 && acceptor == had));
            prop_assert!(!refused[2] || (counts[2] == 0 && learner == knew));
        }
    }
}
