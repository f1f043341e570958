//! Messages to protobuf and back.

use proptest::{collection::vec, prelude::*};
use synod::{
    Ballot, Fence, NodeId, QuorumError, Quorums, TxId,
    commit::{
        self, ClusterId, ClusterSpec, Entry, EpochMessage, Fingerprint, Learning, Message, Outcome, Page, Part,
        ResourceManagerState, Status, Targets, Transaction, TransactionError, TxRange, Vote,
    },
    strategies,
};
use synod_grpc::{
    WireError,
    prost::Message as _,
    v1::{self, about::What, message::Message as Wire},
};

fn transaction() -> v1::Transaction {
    v1::Transaction { id: Some(v1::TxId { origin: 1, seq: 2 }), participants: vec![3, 4], content: 5, epoch: 0 }
}

fn ballot() -> Option<v1::Ballot> {
    Some(v1::Ballot { round: 1, node: 2 })
}

fn votes() -> Option<v1::Votes> {
    Some(v1::Votes { cast: vec![3], prepared: vec![1] })
}

fn convert(message: Wire) -> Result<Message, WireError> {
    v1::Message { message: Some(message) }.try_into()
}

fn say(what: What) -> Result<Message, WireError> {
    convert(Wire::About(Box::new(v1::About { transaction: Some(transaction()), what: Some(what) })))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_message_comes_back_as_it_was(message in strategies::any_message()) {
        let bytes = v1::Message::from(&message).encode_to_vec();
        let back = v1::Message::decode(&*bytes).unwrap();
        prop_assert_eq!(Message::try_from(back), Ok(message));
    }

    #[test]
    fn no_bytes_make_a_conversion_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(packet) = v1::Packet::decode(&*bytes) {
            for message in packet.messages {
                let _ = Message::try_from(message);
            }
        }
    }

    /// One byte of a good packet is another, or some are missing: what then still is a message comes back as it is.
    #[test]
    fn a_damaged_message_is_an_error_or_another_message(
        message in strategies::any_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = v1::Message::from(&message).encode_to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2).max(1));
        if let Ok(Ok(other)) = v1::Message::decode(&*bytes).map(Message::try_from) {
            let again = v1::Message::from(&other);
            prop_assert_eq!(Message::try_from(again), Ok(other));
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let missing = |result: Result<Message, WireError>| match result {
        Err(WireError::Missing(what)) => what,
        other => panic!("{other:?}"),
    };
    let unknown = |result: Result<Message, WireError>| match result {
        Err(error @ WireError::UnknownKind(what)) if error.is_news() => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(v1::Message::default().try_into()), "what a message says");
    let about = |transaction, what| convert(Wire::About(Box::new(v1::About { transaction, what })));
    let inquire = || Some(What::Inquire(v1::Inquire {}));
    let nameless = v1::Transaction { id: None, ..transaction() };
    assert_eq!(missing(about(Some(nameless), inquire())), "the transaction's id");
    assert_eq!(missing(about(None, inquire())), "the transaction");
    assert_eq!(unknown(about(Some(transaction()), None)), "what is said about the transaction");
    let (instances, higher) = (vec![1], vec![v1::Acceptance { rm: 3, ballot: None, vote: 1 }]);
    let without_a_ballot = [
        (What::Phase1a(v1::Phase1a { ballot: None, instances: instances.clone() }), "the ballot"),
        (
            What::Phase1b(v1::Phase1b { ballot: None, instances: instances.clone(), votes: votes(), higher: vec![] }),
            "the ballot",
        ),
        (
            What::Phase1b(v1::Phase1b { ballot: ballot(), instances, votes: votes(), higher: higher.clone() }),
            "the ballot of an acceptance",
        ),
        (What::Phase2a(v1::Phase2a { ballot: None, votes: votes() }), "the ballot"),
        (What::Phase2b(v1::Phase2b { votes: votes(), higher }), "the ballot of an acceptance"),
        (What::Reject(v1::Reject { ballot: None, promised: vec![] }), "the ballot"),
        (
            What::Reject(v1::Reject { ballot: ballot(), promised: vec![v1::Obstacle { rm: 3, promised: None }] }),
            "the promised ballot",
        ),
    ];
    for (what, name) in without_a_ballot {
        assert_eq!(missing(say(what)), name);
    }
    let without_votes = [
        What::Phase1b(v1::Phase1b { ballot: ballot(), instances: vec![1], votes: None, higher: vec![] }),
        What::Phase2a(v1::Phase2a { ballot: ballot(), votes: None }),
        What::Phase2b(v1::Phase2b { votes: None, higher: vec![] }),
    ];
    for each in without_votes {
        assert_eq!(missing(say(each)), "the votes");
    }
}

#[test]
fn a_set_of_places_has_one_form_and_nobody_is_prepared_who_has_not_voted() {
    let phase1a = |words: &[u64]| say(What::Phase1a(v1::Phase1a { ballot: ballot(), instances: words.to_vec() }));
    let phase1b = |words: &[u64]| {
        let instances = words.to_vec();
        say(What::Phase1b(v1::Phase1b { ballot: ballot(), instances, votes: votes(), higher: vec![] }))
    };
    for instances in [&phase1a as &dyn Fn(&[u64]) -> Result<Message, WireError>, &phase1b] {
        for good in [&[][..], &[1], &[1, 1], &[0, 1]] {
            assert!(instances(good).is_ok(), "{good:?}");
        }
        for idle in [&[0][..], &[1, 0], &[0, 0]] {
            assert_eq!(instances(idle), Err(WireError::IdleWord("instances")));
        }
    }
    let voted = |cast: &[u64], prepared: &[u64]| {
        let votes = || Some(v1::Votes { cast: cast.to_vec(), prepared: prepared.to_vec() });
        let [result, others @ ..] = [
            say(What::Phase1b(v1::Phase1b { ballot: ballot(), instances: vec![1], votes: votes(), higher: vec![] })),
            say(What::Phase2a(v1::Phase2a { ballot: ballot(), votes: votes() })),
            say(What::Phase2b(v1::Phase2b { votes: votes(), higher: vec![] })),
        ]
        .map(|result| result.map(drop));
        assert!(others.iter().all(|other| *other == result), "{result:?}, and {others:?}");
        result
    };
    assert_eq!(voted(&[3], &[2]), Ok(()));
    assert_eq!(voted(&[3], &[]), Ok(()));
    assert_eq!(voted(&[1], &[2]), Err(WireError::UncastVote));
    assert_eq!(voted(&[1], &[1, 1]), Err(WireError::UncastVote));
    assert_eq!(voted(&[], &[1]), Err(WireError::UncastVote));
    assert_eq!(voted(&[1, 0], &[1]), Err(WireError::IdleWord("cast")));
    assert_eq!(voted(&[1], &[1, 0]), Err(WireError::IdleWord("prepared")));
}

#[test]
fn a_value_that_is_not_known_is_refused() {
    for value in [0, 3, -1, i32::MAX] {
        let vote = WireError::UnknownValue { kind: "vote", value };
        assert_eq!(say(What::Vote(v1::InitialVote { vote: value, manager: 1 })), Err(vote));
        let higher = vec![v1::Acceptance { rm: 3, ballot: ballot(), vote: value }];
        let promises = v1::Phase1b { ballot: ballot(), instances: vec![1], votes: votes(), higher: higher.clone() };
        assert_eq!(say(What::Phase1b(promises)), Err(vote));
        assert_eq!(say(What::Phase2b(v1::Phase2b { votes: votes(), higher })), Err(vote));
        let outcome = Err(WireError::UnknownValue { kind: "outcome", value });
        assert_eq!(say(What::Outcome(value)), outcome);
        assert_eq!(say(What::Finished(value)), outcome);
    }
}

#[test]
fn what_is_no_transaction_and_no_range_is_refused() {
    let among = |participants: &[u64]| {
        let transaction = v1::Transaction { participants: participants.to_vec(), ..transaction() };
        let what = Some(What::Inquire(v1::Inquire {}));
        convert(Wire::About(Box::new(v1::About { transaction: Some(transaction), what }))).map(drop)
    };
    assert_eq!(among(&[3, 4]), Ok(()));
    assert_eq!(among(&[]), Err(TransactionError::NoParticipants.into()));
    assert_eq!(among(&[4, 3]), Err(TransactionError::Unsorted(synod::NodeId(3)).into()));
    assert_eq!(among(&[3, 3]), Err(TransactionError::Repeated(synod::NodeId(3)).into()));
    let range = v1::TxRange { origin: 1, first: 3, last: 2 };
    let over = |first, block| v1::Over { origin: 1, first, last: 2, outcomes: vec![block] };
    let over = |first, block| convert(Wire::Retired(Box::new(over(first, block))));
    let sound = v1::OutcomeBlock { number: 0, known: 6, committed: 2 };
    assert!(over(1, sound).is_ok());
    assert!(matches!(over(3, sound), Err(WireError::EmptyRange(_))));
    let unknown = v1::OutcomeBlock { committed: 1, ..sound };
    assert!(matches!(over(1, unknown), Err(WireError::MalformedBlock(_))));
    assert!(matches!(convert(Wire::RetiredNoted(range)), Err(WireError::EmptyRange(_))));
}

fn members() -> commit::Membership {
    let acceptors = Quorums::majority([NodeId(1), NodeId(2), NodeId(3)]).unwrap();
    let spec = ClusterSpec::new(ClusterId([0; 16]), acceptors, [NodeId(4), NodeId(300)]);
    let spec = spec.with_learning(Learning::Everyone).with_targets(Targets::Quorum);
    spec.build().unwrap().membership().with_contact(NodeId(1), *b"host:1").with_departed(NodeId(9))
}

/// Every kind of statement about an epoch, and every kind of entry.
fn of_epochs() -> Vec<EpochMessage> {
    let (ballot, promised) = (Ballot::new(1, NodeId(2)), Ballot::new(u64::MAX, NodeId(u64::MAX)));
    let range = TxRange::new(NodeId(7), 3, u64::MAX).unwrap();
    let transaction = Fingerprint { tx: TxId { origin: NodeId(7), seq: 1 }, digest: u64::MAX };
    let instances = [None, Some((ballot, Vote::Prepared)), Some((promised, Vote::Aborted))];
    let entries = [
        Entry::Ready(transaction),
        Entry::Part(Part { transaction, instances: instances.into() }),
        Entry::Committed(transaction),
        Entry::Retired(range),
        Entry::Peer { node: NodeId(7), birth: u64::MAX },
    ];
    let page = Page { digest: u64::MAX, total: 9, first: 2, entries: entries.into() };
    let members = || Box::new(members());
    vec![
        EpochMessage::Invite(members()),
        EpochMessage::Ready,
        EpochMessage::Hold,
        EpochMessage::Prepare { ballot },
        EpochMessage::Promise { ballot, accepted: None, page: page.clone() },
        EpochMessage::Promise { ballot: promised, accepted: Some((ballot, members())), page: page.clone() },
        EpochMessage::Accept { ballot, membership: members(), page: page.clone() },
        EpochMessage::Accepted { ballot },
        EpochMessage::Reject { ballot, promised },
        EpochMessage::Frozen { promised },
        EpochMessage::More { digest: 300, next: 4_096 },
        EpochMessage::Newer,
        EpochMessage::Wanted,
        EpochMessage::Told { membership: members(), former: [NodeId(1), NodeId(300)].into(), page },
        EpochMessage::Noted,
        EpochMessage::Drained,
    ]
}

#[test]
fn what_is_said_of_epochs_comes_back_as_it_was() {
    for what in of_epochs() {
        for number in [None, Some(0), Some(u64::MAX)] {
            let message = Message::Epoch { number, what: Box::new(what.clone()) };
            let bytes = v1::Message::from(&message).encode_to_vec();
            assert_eq!(v1::Message::decode(&*bytes).unwrap().try_into(), Ok(message));
        }
    }
}

#[test]
fn what_is_malformed_about_an_epoch_is_refused_and_what_is_new_is_news() {
    let say = |what| convert(Wire::Epoch(Box::new(v1::Epoch { number: Some(1), what }))).map(drop);
    assert!(say(None).unwrap_err().is_news(), "a kind that is not known here");
    let invite = |change: &dyn Fn(&mut v1::Membership)| {
        let message = Message::Epoch { number: Some(1), what: Box::new(EpochMessage::Invite(members().into())) };
        let Some(Wire::Epoch(epoch)) = v1::Message::from(&message).message else { panic!("an epoch") };
        let Some(v1::epoch::What::Invite(mut invited)) = epoch.what else { panic!("an invitation") };
        change(&mut invited);
        say(Some(v1::epoch::What::Invite(invited)))
    };
    assert_eq!(invite(&|_| ()), Ok(()));
    assert_eq!(invite(&|members| members.acceptors.clear()), Err(QuorumError::Empty.into()));
    assert!(invite(&|members| members.learning = 7).unwrap_err().is_news());
    assert!(!invite(&|members| members.targets = 0).unwrap_err().is_news());
    assert_eq!(invite(&|members| members.departed = vec![2, 2]), Err(WireError::Unsorted("departed")));
    let twice = |members: &mut v1::Membership| members.contacts.extend(members.contacts.clone());
    assert_eq!(invite(&twice), Err(WireError::Unsorted("contacts")));
    let page = |entry| {
        let page = v1::Page { digest: 0, total: 1, first: 0, entries: vec![v1::Entry { entry }] };
        let promise = v1::epoch::Promise { ballot: ballot(), accepted: None, membership: None, page: Some(page) };
        say(Some(v1::epoch::What::Promise(promise)))
    };
    assert!(page(None).unwrap_err().is_news());
    let range = v1::TxRange { origin: 1, first: 3, last: 2 };
    assert!(matches!(page(Some(v1::entry::Entry::Retired(range))), Err(WireError::EmptyRange(_))));
    let nameless = v1::entry::Fingerprint { id: None, digest: 3 };
    assert!(matches!(page(Some(v1::entry::Entry::Ready(nameless))), Err(WireError::Missing(_))));
    let transaction = v1::entry::Fingerprint { id: Some(v1::TxId { origin: 1, seq: 2 }), digest: 3 };
    let part = |instance| v1::entry::Part { transaction: Some(transaction), instances: vec![instance] };
    let part = |ballot, vote| page(Some(v1::entry::Entry::Part(part(v1::entry::Instance { ballot, vote }))));
    assert_eq!(part(None, 0), Ok(()));
    assert_eq!(part(ballot(), 1), Ok(()));
    assert_eq!(part(ballot(), 0), Err(WireError::UnknownValue { kind: "vote", value: 0 }));
    assert!(matches!(part(None, 1), Err(WireError::Missing(_))));
    let half = v1::epoch::Promise { ballot: ballot(), accepted: ballot(), membership: None, page: None };
    assert_eq!(say(Some(v1::epoch::What::Promise(half))), Err(WireError::Missing("the membership")));
}

#[test]
fn votes_and_outcomes_have_the_numbers_that_the_proto_files_say() {
    assert_eq!(v1::Vote::from(Vote::Prepared) as i32, 1);
    assert_eq!(v1::Vote::from(Vote::Aborted) as i32, 2);
    assert_eq!(v1::Outcome::from(Outcome::Committed) as i32, 1);
    assert_eq!(v1::Outcome::from(Outcome::Aborted) as i32, 2);
}

#[test]
fn what_a_node_knows_of_a_transaction_comes_back_as_it_was() {
    let fences = [Fence::AcceptorWentBack, Fence::ResourceManagerWentBack, Fence::MetaLost, Fence::EndlessExchange];
    let states = [
        ResourceManagerState::Working,
        ResourceManagerState::Prepared,
        ResourceManagerState::Committed,
        ResourceManagerState::Aborted,
    ];
    let states = states.map(Some).into_iter().chain([None]);
    let outcomes = [None, Some(Outcome::Committed), Some(Outcome::Aborted)];
    let open = states.flat_map(|state| outcomes.map(|outcome| Status::Open { state, outcome }));
    let over = outcomes.map(|outcome| Status::Retired { outcome });
    let all = open.chain(fences.map(Status::Fenced)).chain(over).chain([Status::Unknown]);
    for status in all {
        let bytes = v1::StatusReply::from(status).encode_to_vec();
        assert_eq!(Status::try_from(v1::StatusReply::decode(&*bytes).unwrap()), Ok(status));
    }
    let fenced = v1::StatusReply::from(Status::Fenced(Fence::MetaLost));
    assert_eq!(fenced.reason, Fence::MetaLost.to_string());
    for value in [0, 5, -1] {
        let refused = |kind| Err(WireError::UnknownValue { kind, value });
        assert_eq!(Status::try_from(v1::StatusReply { fence: value, ..fenced.clone() }), refused("fence"));
        assert_eq!(Status::try_from(v1::StatusReply { phase: value, ..fenced.clone() }), refused("phase"));
    }
}

#[test]
fn places_are_bits_the_lowest_first() {
    let instances = [0, 1, 63, 64, 130].into_iter().collect();
    let transaction = Transaction::new(TxId::default(), (0..131).map(NodeId), []).unwrap();
    let message = Message::about(&transaction, commit::What::Phase1a { ballot: Ballot::new(1, NodeId(2)), instances });
    let Some(Wire::About(about)) = v1::Message::from(&message).message else { panic!() };
    let Some(What::Phase1a(phase)) = about.what else { panic!() };
    assert_eq!(phase.instances, [1 << 63 | 3, 1, 4]);
}
