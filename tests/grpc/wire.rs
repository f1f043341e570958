//! Messages to protobuf and back.

use proptest::{collection::vec, prelude::*};
use synod::{
    commit::{Message, Outcome, TransactionError, Vote},
    perform::grpc::{
        WireError,
        prost::Message as _,
        v1::{self, message::Message as Wire, part::Part},
    },
    strategies,
};

fn transaction() -> v1::Transaction {
    v1::Transaction { id: Some(v1::TxId { origin: 1, seq: 2 }), participants: vec![3, 4], meta: vec![5] }
}

fn ballot() -> Option<v1::Ballot> {
    Some(v1::Ballot { round: 1, node: 2 })
}

fn convert(message: Wire) -> Result<Message, WireError> {
    v1::Message { message: Some(message) }.try_into()
}

fn part(part: Part) -> Result<Message, WireError> {
    let parts = vec![v1::Part { part: Some(part) }];
    convert(Wire::Paxos(v1::Bundle { transaction: Some(transaction()), parts }))
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
    assert_eq!(missing(v1::Message::default().try_into()), "what a message says");
    assert_eq!(missing(convert(Wire::Begin(v1::Transaction { id: None, ..transaction() }))), "the transaction's id");
    assert_eq!(
        missing(convert(Wire::Vote(v1::InitialVote { transaction: None, vote: 1, manager: 1 }))),
        "the transaction"
    );
    assert_eq!(missing(convert(Wire::Paxos(v1::Bundle { transaction: None, parts: vec![] }))), "the transaction");
    assert_eq!(missing(convert(Wire::Outcome(v1::Ending { transaction: None, outcome: 1 }))), "the transaction");
    let parts = vec![v1::Part { part: None }];
    let bundle = v1::Bundle { transaction: Some(transaction()), parts };
    assert_eq!(missing(convert(Wire::Paxos(bundle))), "the part of a bundle");
    let parts = [
        Part::Prepare(v1::Prepare { rm: 3, ballot: None }),
        Part::Promise(v1::Promise { rm: 3, ballot: None, accepted: None }),
        Part::Promise(v1::Promise {
            rm: 3,
            ballot: ballot(),
            accepted: Some(v1::Acceptance { ballot: None, vote: 1 }),
        }),
        Part::Accept(v1::Accept { rm: 3, ballot: None, vote: 1 }),
        Part::Accepted(v1::Accepted { rm: 3, ballot: None, vote: 1 }),
        Part::Reject(v1::Reject { rm: 3, ballot: None, promised: ballot() }),
        Part::Reject(v1::Reject { rm: 3, ballot: ballot(), promised: None }),
    ];
    for each in parts {
        assert_eq!(missing(part(each)), "a ballot");
    }
}

#[test]
fn a_value_that_is_not_known_is_refused() {
    for value in [0, 3, -1, i32::MAX] {
        let vote = WireError::UnknownValue { kind: "vote", value };
        let initial = v1::InitialVote { transaction: Some(transaction()), vote: value, manager: 1 };
        assert_eq!(convert(Wire::Vote(initial)), Err(vote));
        assert_eq!(part(Part::Accept(v1::Accept { rm: 3, ballot: ballot(), vote: value })), Err(vote));
        assert_eq!(part(Part::Accepted(v1::Accepted { rm: 3, ballot: ballot(), vote: value })), Err(vote));
        let accepted = Some(v1::Acceptance { ballot: ballot(), vote: value });
        assert_eq!(part(Part::Promise(v1::Promise { rm: 3, ballot: ballot(), accepted })), Err(vote));
        let ending = v1::Ending { transaction: Some(transaction()), outcome: value };
        let outcome = Err(WireError::UnknownValue { kind: "outcome", value });
        assert_eq!(convert(Wire::Outcome(ending.clone())), outcome);
        assert_eq!(convert(Wire::Finished(ending)), outcome);
    }
}

#[test]
fn what_is_no_transaction_and_no_range_is_refused() {
    let among = |participants: &[u64]| {
        let transaction = v1::Transaction { participants: participants.to_vec(), ..transaction() };
        convert(Wire::Prepare(transaction)).map(drop)
    };
    assert_eq!(among(&[3, 4]), Ok(()));
    assert_eq!(among(&[]), Err(TransactionError::NoParticipants.into()));
    assert_eq!(among(&[4, 3]), Err(TransactionError::Unsorted(synod::NodeId(3)).into()));
    assert_eq!(among(&[3, 3]), Err(TransactionError::Repeated(synod::NodeId(3)).into()));
    let range = v1::TxRange { origin: 1, first: 3, last: 2 };
    assert!(matches!(convert(Wire::Retired(range)), Err(WireError::EmptyRange(_))));
    assert!(matches!(convert(Wire::RetiredNoted(range)), Err(WireError::EmptyRange(_))));
}

#[test]
fn votes_and_outcomes_have_the_numbers_that_the_proto_files_say() {
    assert_eq!(v1::Vote::from(Vote::Prepared) as i32, 1);
    assert_eq!(v1::Vote::from(Vote::Aborted) as i32, 2);
    assert_eq!(v1::Outcome::from(Outcome::Committed) as i32, 1);
    assert_eq!(v1::Outcome::from(Outcome::Aborted) as i32, 2);
}
