//! The bytes of frames, records and keys: frozen, and the only ones that are understood.

use proptest::{collection::vec, prelude::*};
use synod::{
    Ballot, NodeId, TxId,
    codec::{
        DecodeError, Frame, decode_frame, decode_key, decode_record, encode_frame, encode_frame_into, encode_key,
        encode_record,
    },
    commit::{
        AcceptorRecord, ClusterId, EmptyRange, Key, Message, Outcome, Part, Record, ResourceManagerRecord, Transaction,
        TransactionError, TxRange, Vote,
    },
    paxos, strategies,
};

const CLUSTER: ClusterId = ClusterId(*b"0123456789abcdef");
const FROM: NodeId = NodeId(7);
const TO: NodeId = NodeId(8);

/// Version, cluster, from, to.
const HEAD: &str = "01 30313233343536373839616263646566 07 08 ";
/// The bytes of [`transaction`]: origin 7, number 10,000, three participants, two bytes of meta.
const TRANSACTION: &str = "07 fb1027 03 010203 02 6869";

fn transaction() -> Transaction {
    let id = TxId { origin: NodeId(7), seq: 10_000 };
    Transaction::new(id, [NodeId(1), NodeId(2), NodeId(3)], *b"hi").unwrap()
}

fn range(first: u64, last: u64) -> TxRange {
    TxRange::new(NodeId(7), first, last).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame_of(message: &Message) -> Vec<u8> {
    encode_frame(CLUSTER, FROM, TO, std::slice::from_ref(message))
}

/// The outcome of decoding a frame of one message that has these bytes.
fn one_message(body: &str) -> Result<Message, DecodeError> {
    let frame = bytes(&format!("{HEAD} 01 {body}"));
    decode_frame(&frame, CLUSTER, TO).map(|mut frame| frame.messages.remove(0))
}

/// Every kind of message, and every kind of part, with its bytes.
fn messages() -> Vec<(Message, String)> {
    use paxos::Message::{Accept, Accepted, Prepare, Promise, Reject};
    let transaction = transaction();
    let (low, high) = (Ballot::new(3, NodeId(4)), Ballot::new(1_000_000, NodeId(u64::MAX)));
    let parts = [
        Prepare { ballot: low },
        Promise { ballot: low, accepted: None },
        Promise { ballot: high, accepted: Some((low, Vote::Prepared)) },
        Accept { ballot: low, value: Vote::Aborted },
        Accepted { ballot: Ballot::initial(NodeId(6)), value: Vote::Prepared },
        Reject { ballot: low, promised: high },
    ];
    let parts = (1..).zip(parts).map(|(rm, message)| Part { rm: NodeId(rm), message }).collect();
    let t = TRANSACTION;
    vec![
        (Message::Begin { transaction: transaction.clone() }, format!("01 {t}")),
        (Message::Prepare { transaction: transaction.clone() }, format!("02 {t}")),
        (
            Message::Vote { transaction: transaction.clone(), vote: Vote::Prepared, manager: NodeId(9) },
            format!("03 {t} 01 09"),
        ),
        (
            Message::Vote { transaction: transaction.clone(), vote: Vote::Aborted, manager: NodeId(300) },
            format!("03 {t} 02 fb2c01"),
        ),
        (
            Message::Paxos { transaction: transaction.clone(), parts },
            format!(
                "04 {t} 06
                 01 01 03 04
                 02 02 03 04 00
                 03 02 fc40420f00 fdffffffffffffffff 01 03 04 01
                 04 03 03 04 02
                 05 04 00 06 01
                 06 05 03 04 fc40420f00 fdffffffffffffffff"
            ),
        ),
        (Message::Paxos { transaction: transaction.clone(), parts: vec![] }, format!("04 {t} 00")),
        (Message::Inquire { transaction: transaction.clone() }, format!("05 {t}")),
        (Message::Outcome { transaction: transaction.clone(), outcome: Outcome::Committed }, format!("06 {t} 01")),
        (Message::Outcome { transaction: transaction.clone(), outcome: Outcome::Aborted }, format!("06 {t} 02")),
        (Message::Finished { transaction: transaction.clone(), outcome: Outcome::Committed }, format!("07 {t} 01")),
        (Message::Retired { range: range(250, 251) }, "08 07 fa fbfb00".into()),
        (Message::RetiredNoted { range: range(0, u64::MAX) }, "09 07 00 fdffffffffffffffff".into()),
    ]
}

/// Every kind of record with its bytes.
fn records() -> Vec<(Record, String)> {
    let transaction = transaction();
    let t = TRANSACTION;
    let instances = vec![
        paxos::AcceptorRecord { promised: None, accepted: None },
        paxos::AcceptorRecord { promised: Some(Ballot::new(5, NodeId(6))), accepted: None },
        paxos::AcceptorRecord {
            promised: Some(Ballot::new(5, NodeId(6))),
            accepted: Some((Ballot::new(3, NodeId(4)), Vote::Aborted)),
        },
    ];
    let manager = |vote, finished| {
        Record::ResourceManager(ResourceManagerRecord { transaction: transaction.clone(), vote, finished })
    };
    let tx = TxId { origin: NodeId(7), seq: 10_000 };
    vec![
        (Record::Identity { cluster: CLUSTER, node: NodeId(7) }, "01 01 30313233343536373839616263646566 07".into()),
        (Record::Sequence { reserved: 65_536 }, "01 02 fc00000100".into()),
        (Record::Rounds { reserved: 64 }, "01 03 40".into()),
        (
            Record::Acceptor(AcceptorRecord { transaction: transaction.clone(), instances }),
            format!("01 04 {t} 03 00 00 01 0506 00 01 0506 01 0304 02"),
        ),
        (manager(None, None), format!("01 05 {t} 00 00")),
        (manager(Some(Vote::Prepared), None), format!("01 05 {t} 01 01 00")),
        (manager(Some(Vote::Aborted), Some(Outcome::Aborted)), format!("01 05 {t} 01 02 01 02")),
        (manager(Some(Vote::Prepared), Some(Outcome::Committed)), format!("01 05 {t} 01 01 01 01")),
        (Record::Retired(range(1, 10_000)), "01 06 07 01 fb1027".into()),
        (Record::Erased(Key::Rounds), "01 07 03".into()),
        (Record::Erased(Key::Acceptor(tx)), "01 07 04 0000000000000007 0000000000002710".into()),
    ]
}

/// Every kind of key with its bytes.
fn keys() -> Vec<(Key, &'static str)> {
    let tx = TxId { origin: NodeId(7), seq: 10_000 };
    vec![
        (Key::Identity, "01"),
        (Key::Sequence, "02"),
        (Key::Rounds, "03"),
        (Key::Acceptor(tx), "04 0000000000000007 0000000000002710"),
        (Key::ResourceManager(tx), "05 0000000000000007 0000000000002710"),
        (Key::Retired(tx), "06 0000000000000007 0000000000002710"),
    ]
}

#[test]
fn the_bytes_of_every_message_are_frozen() {
    for (message, body) in messages() {
        let frame = bytes(&format!("{HEAD} 01 {body}"));
        assert_eq!(hex(&frame_of(&message)), hex(&frame), "{message:?}");
        let decoded = decode_frame(&frame, CLUSTER, TO).unwrap();
        assert_eq!((decoded.from, decoded.to, decoded.messages), (FROM, TO, vec![message]));
    }
}

#[test]
fn a_frame_holds_any_number_of_messages_in_order() {
    let (messages, bodies): (Vec<_>, Vec<_>) = messages().into_iter().unzip();
    let frame = bytes(&format!("{HEAD} {:02x} {}", messages.len(), bodies.concat()));
    assert_eq!(hex(&encode_frame(CLUSTER, FROM, TO, &messages)), hex(&frame));
    assert_eq!(decode_frame(&frame, CLUSTER, TO).unwrap().messages, messages);

    assert_eq!(encode_frame(CLUSTER, FROM, TO, &[]), bytes(&format!("{HEAD} 00")));
}

#[test]
fn a_frame_is_appended_to_what_is_there() {
    let mut all = b"length".to_vec();
    encode_frame_into(&mut all, CLUSTER, FROM, TO, &[]);
    assert_eq!(all, [b"length".to_vec(), encode_frame(CLUSTER, FROM, TO, &[])].concat());
}

#[test]
fn the_bytes_of_every_record_are_frozen() {
    for (record, frozen) in records() {
        assert_eq!(hex(&encode_record(&record)), hex(&bytes(&frozen)), "{record:?}");
        assert_eq!(decode_record(&bytes(&frozen)), Ok(record));
    }
}

#[test]
fn the_bytes_of_every_key_are_frozen() {
    for (key, frozen) in keys() {
        assert_eq!(hex(&encode_key(&key)), hex(&bytes(frozen)), "{key:?}");
        assert_eq!(decode_key(&bytes(frozen)), Ok(key));
    }
}

#[test]
fn a_vote_among_three_takes_32_bytes() {
    let id = TxId { origin: NodeId(7), seq: 10_000 };
    let transaction = Transaction::new(id, [NodeId(1), NodeId(2), NodeId(3)], []).unwrap();
    let vote = Message::Vote { transaction, vote: Vote::Prepared, manager: NodeId(9) };
    assert_eq!(frame_of(&vote).len(), 32);
}

#[test]
fn no_ballot_loses_its_round_or_its_node() {
    let ballots = [Ballot::new(0, NodeId(0)), Ballot::new(0, NodeId(1)), Ballot::new(1, NodeId(0))];
    let far = [Ballot::new(u64::MAX, NodeId(2)), Ballot::new(2, NodeId(u64::MAX))];
    let ballots: Vec<Ballot> = ballots.into_iter().chain(far).collect();
    for &one in &ballots {
        for &other in &ballots {
            let accepted = Some((other, Vote::Prepared));
            let parts = [
                paxos::Message::Prepare { ballot: one },
                paxos::Message::Promise { ballot: one, accepted },
                paxos::Message::Accept { ballot: one, value: Vote::Prepared },
                paxos::Message::Accepted { ballot: one, value: Vote::Prepared },
                paxos::Message::Reject { ballot: one, promised: other },
            ];
            let parts = parts.map(|message| Part { rm: NodeId(1), message }).to_vec();
            let message = Message::Paxos { transaction: transaction(), parts };
            assert_eq!(decode_frame(&frame_of(&message), CLUSTER, TO).unwrap().messages, [message]);

            let instances = vec![paxos::AcceptorRecord { promised: Some(one), accepted }];
            let record = Record::Acceptor(AcceptorRecord { transaction: transaction(), instances });
            assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        }
    }
}

#[test]
fn no_beginning_of_a_frame_is_a_frame() {
    for (message, _) in messages() {
        let frame = frame_of(&message);
        for end in 0..frame.len() {
            assert_eq!(decode_frame(&frame[..end], CLUSTER, TO), Err(DecodeError::Truncated), "{message:?}");
        }
    }
}

#[test]
fn no_beginning_of_a_record_or_key_is_one() {
    for (record, _) in records() {
        let bytes = encode_record(&record);
        for end in 0..bytes.len() {
            assert_eq!(decode_record(&bytes[..end]), Err(DecodeError::Truncated), "{record:?}");
        }
    }
    for (key, _) in keys() {
        let bytes = encode_key(&key);
        for end in 0..bytes.len() {
            assert_eq!(decode_key(&bytes[..end]), Err(DecodeError::Truncated), "{key:?}");
        }
    }
}

#[test]
fn nothing_may_be_left_over_at_the_end() {
    for (message, _) in messages() {
        let longer = [frame_of(&message), vec![0]].concat();
        assert_eq!(decode_frame(&longer, CLUSTER, TO), Err(DecodeError::LeftOver(1)));
    }
    for (record, _) in records() {
        let longer = [encode_record(&record), vec![0; 2]].concat();
        assert_eq!(decode_record(&longer), Err(DecodeError::LeftOver(2)));
    }
    for (key, _) in keys() {
        let longer = [encode_key(&key), vec![0]].concat();
        assert_eq!(decode_key(&longer), Err(DecodeError::LeftOver(1)));
    }
}

/// Every change of one byte.
fn changes(bytes: Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 256).filter_map(move |change| {
        let (place, byte) = (change / 256, (change % 256) as u8);
        let mut changed = bytes.clone();
        changed[place] = byte;
        (changed != bytes).then_some(changed)
    })
}

#[test]
fn a_changed_byte_is_refused_or_means_something_else() {
    for (message, _) in messages() {
        for changed in changes(frame_of(&message)) {
            if let Ok(frame) = decode_frame(&changed, CLUSTER, TO) {
                assert_eq!(encode_frame(CLUSTER, frame.from, frame.to, &frame.messages), changed);
            }
        }
    }
    for (record, _) in records() {
        for changed in changes(encode_record(&record)) {
            if let Ok(record) = decode_record(&changed) {
                assert_eq!(encode_record(&record), changed);
            }
        }
    }
    for (key, _) in keys() {
        for changed in changes(encode_key(&key)) {
            if let Ok(key) = decode_key(&changed) {
                assert_eq!(encode_key(&key), changed);
            }
        }
    }
}

#[test]
fn another_version_is_refused_whatever_follows() {
    for version in (0..=255).filter(|version| *version != 1) {
        assert_eq!(decode_frame(&[version], CLUSTER, TO), Err(DecodeError::UnknownVersion(version)));
        assert_eq!(decode_record(&[version, 7, 3]), Err(DecodeError::UnknownVersion(version)));
    }
}

#[test]
fn a_frame_of_another_cluster_or_for_another_node_is_refused() {
    let frame = encode_frame(CLUSTER, FROM, TO, &[]);
    let other = ClusterId([9; 16]);
    assert_eq!(decode_frame(&frame, other, TO), Err(DecodeError::OtherCluster(CLUSTER)));
    assert_eq!(decode_frame(&frame, CLUSTER, FROM), Err(DecodeError::OtherAddressee(TO)));
    assert_eq!(decode_frame(&frame, other, FROM), Err(DecodeError::OtherCluster(CLUSTER)));
}

#[test]
fn a_vote_of_257_is_no_vote() {
    let t = TRANSACTION;
    assert!(one_message(&format!("03 {t} 01 09")).is_ok());
    assert_eq!(one_message(&format!("03 {t} fb0101 09")), Err(DecodeError::UnknownTag { kind: "vote", tag: 0xfb }));
}

#[test]
fn unknown_tags_are_refused() {
    let t = TRANSACTION;
    let unknown = |kind, tag| DecodeError::UnknownTag { kind, tag };
    for tag in [0, 10, 255] {
        assert_eq!(one_message(&format!("{tag:02x} {t}")), Err(unknown("message", tag)));
        assert_eq!(decode_record(&[1, tag, 0, 0]), Err(unknown("record", tag)));
        assert_eq!(decode_key(&[tag; 17]), Err(unknown("key", tag)));
    }
    for tag in [0, 3, 255] {
        assert_eq!(one_message(&format!("03 {t} {tag:02x} 09")), Err(unknown("vote", tag)));
        assert_eq!(one_message(&format!("06 {t} {tag:02x}")), Err(unknown("outcome", tag)));
    }
    for tag in [0, 6, 255] {
        let part = format!("04 {t} 01 01 {tag:02x} 03 04");
        assert_eq!(one_message(&part), Err(unknown("Paxos message", tag)));
    }
    let record = bytes(&format!("01 05 {t} 02 00"));
    assert_eq!(decode_record(&record), Err(unknown("option", 2)));
}

#[test]
fn a_number_of_more_bytes_than_it_needs_is_refused() {
    for number in ["fb0700", "fbfa00", "fcffff0000", "fc00000000", "fdffffffff00000000", "fd0700000000000000"] {
        let frame = bytes(&format!("01 30313233343536373839616263646566 {number} 08 00"));
        assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::OverlongNumber), "{number}");
    }
    let overlong_lengths = [
        "01 07 fb1027 fb0300 010203 02 6869", // participants
        "01 07 fb1027 03 010203 fb0200 6869", // meta
        "04 07 fb1027 03 010203 00 fb0000",   // parts
    ];
    for body in overlong_lengths {
        assert_eq!(one_message(body), Err(DecodeError::OverlongNumber), "{body}");
    }
}

#[test]
fn a_number_of_more_than_64_bits_is_refused() {
    for number in ["fe07000000000000000000000000000000", "ff0700000000000000"] {
        let frame = bytes(&format!("01 30313233343536373839616263646566 {number} 08 00"));
        assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::MalformedNumber), "{number}");
    }
}

#[test]
fn a_transaction_that_is_none_is_refused() {
    let refused = |participants: &str| one_message(&format!("01 07 01 {participants} 00"));
    let reason = |error| Err(DecodeError::Transaction(error));
    assert_eq!(refused("00"), reason(TransactionError::NoParticipants));
    assert_eq!(refused("02 0202"), reason(TransactionError::Repeated(NodeId(2))));
    assert_eq!(refused("03 010302"), reason(TransactionError::Unsorted(NodeId(2))));
}

#[test]
fn an_empty_range_is_refused() {
    assert_eq!(one_message("08 07 02 01"), Err(DecodeError::EmptyRange(EmptyRange)));
    assert_eq!(decode_record(&bytes("01 06 07 02 01")), Err(DecodeError::EmptyRange(EmptyRange)));
}

#[test]
fn the_smallest_values_fill_lists_of_any_length() {
    // The fewest bytes of each kind bound its lists; were one of these bounds too high, such a list would be refused.
    let transaction = Transaction::new(TxId::default(), [NodeId(0)], []).unwrap();
    let range = TxRange::only(TxId::default());
    let part = Part { rm: NodeId(0), message: paxos::Message::Prepare { ballot: Ballot::initial(NodeId(0)) } };
    let smallest = [
        Message::Retired { range },
        Message::Inquire { transaction: transaction.clone() },
        Message::Paxos { transaction: transaction.clone(), parts: vec![part; 100] },
    ];
    for message in smallest {
        let messages = vec![message; 100];
        let frame = encode_frame(CLUSTER, FROM, TO, &messages);
        assert_eq!(decode_frame(&frame, CLUSTER, TO).unwrap().messages, messages);
    }
    let instances = vec![paxos::AcceptorRecord { promised: None, accepted: None }; 100];
    let record = Record::Acceptor(AcceptorRecord { transaction, instances });
    assert_eq!(decode_record(&encode_record(&record)), Ok(record));
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        messages in vec(strategies::any_message(), 0..4),
        from in strategies::node(),
        to in strategies::node(),
        record in strategies::record(),
    ) {
        let frame = decode_frame(&encode_frame(CLUSTER, from, to, &messages), CLUSTER, to);
        prop_assert_eq!(frame, Ok(Frame { from, to, messages }));
        prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }

    #[test]
    fn keys_sort_as_their_bytes_do(one in strategies::key(), other in strategies::key()) {
        prop_assert_eq!(decode_key(&encode_key(&one)), Ok(one));
        prop_assert_eq!(encode_key(&one).cmp(&encode_key(&other)), one.cmp(&other));
        prop_assert!(one == other || !encode_key(&one).starts_with(&encode_key(&other)));
    }

    #[test]
    fn bytes_that_are_decoded_are_the_bytes_that_would_be_encoded(
        body in vec(prop_oneof![0..4u8, any::<u8>()], 0..64),
    ) {
        let frame = [&bytes(HEAD)[..], &body].concat();
        if let Ok(Frame { from, to, messages }) = decode_frame(&frame, CLUSTER, TO) {
            prop_assert_eq!(encode_frame(CLUSTER, from, to, &messages), frame);
        }
        let record = [&[1], &body[..]].concat();
        if let Ok(decoded) = decode_record(&record) {
            prop_assert_eq!(encode_record(&decoded), record);
        }
        if let Ok(key) = decode_key(&body) {
            prop_assert_eq!(encode_key(&key), body);
        }
    }
}
