//! Every kind of message, record and key with its bytes.

use super::*;

/// Every kind of message with its bytes.
pub(super) fn messages() -> Vec<(Message, String)> {
    let transaction = transaction();
    let (low, high) = (Ballot::new(3, NodeId(4)), Ballot::new(1_000_000, NodeId(u64::MAX)));
    let places = |places: &[usize]| places.iter().copied().collect::<Places>();
    let votes = |votes: &[(usize, Vote)]| votes.iter().copied().collect::<Votes>();
    let accepted = |rm, ballot, vote| Acceptance { rm: NodeId(rm), ballot, vote };
    let promises = Promises {
        instances: places(&[0, 1, 2]),
        votes: votes(&[(2, Vote::Prepared)]),
        higher: [accepted(2, low, Vote::Aborted)].into(),
    };
    let higher = [accepted(1, low, Vote::Prepared), accepted(3, high, Vote::Aborted)];
    let obstacles = [(1, high), (3, low)].map(|(rm, promised)| Obstacle { rm: NodeId(rm), promised });
    let far = "fc40420f00 fdffffffffffffffff";
    let about = |what: What, bytes: &str| (Message::about(&transaction, what), format!("01 {TRANSACTION} {bytes}"));
    let instances = Places::default();
    let of_epoch = |number, what: EpochMessage, bytes: &str| {
        let (number, tag) = if number == 0 { (None, "00") } else { (Some(number), "01") };
        let head = format!("{tag} {:02x} 00000000000000", number.unwrap_or_default());
        (Message::Epoch { number, what: Box::new(what) }, format!("04 {head} {bytes}"))
    };
    let (m, p) = (MEMBERSHIP, PAGE);
    let blank = Page { digest: 0, total: 0, first: 0, entries: [].into() };
    vec![
        about(What::Begin { meta: Meta::from(b"hi") }, "01 02 6869"),
        about(What::Begin { meta: Meta::default() }, "01 00"),
        about(What::prepare(Meta::from(b"hi")), "02 02 6869 00"),
        about(What::Prepare { meta: Meta::from(b"hi"), acceptors: [0, 2].into_iter().collect() }, "02 02 6869 01 05"),
        about(What::Vote { vote: Vote::Prepared, manager: NodeId(9) }, "03 01 09"),
        about(What::Vote { vote: Vote::Aborted, manager: NodeId(300) }, "03 02 fb2c01"),
        about(What::Phase1a { ballot: low, instances: places(&[0, 2]) }, "04 03 04 01 05"),
        about(What::Phase1a { ballot: high, instances: places(&[0, 64]) }, &format!("04 {far} 02 01 01")),
        about(What::Phase1a { ballot: low, instances: instances.clone() }, "04 03 04 00"),
        about(
            What::Phase1b { ballot: high, promises: Box::new(promises) },
            &format!("05 {far} 01 07 01 04 01 04 01 02 03 04 02"),
        ),
        about(
            What::Phase1b { ballot: low, promises: Box::new(Promises { instances, ..Promises::default() }) },
            "05 03 04 00 00 00 00",
        ),
        about(
            What::Phase2a { ballot: low, votes: votes(&[(0, Vote::Prepared), (2, Vote::Aborted)]) },
            "06 03 04 01 05 01 01",
        ),
        about(
            What::Phase2b { votes: votes(&[(0, Vote::Prepared), (1, Vote::Prepared)]), higher: Box::default() },
            "07 01 03 01 03 00",
        ),
        about(
            What::Phase2b { votes: votes(&[(1, Vote::Aborted)]), higher: higher.into() },
            &format!("07 01 02 00 02 01 03 04 01 03 {far} 02"),
        ),
        about(What::Reject { ballot: low, promised: obstacles.into() }, &format!("08 03 04 02 01 {far} 03 03 04")),
        about(What::Inquire, "09"),
        about(What::Outcome(Outcome::Committed), "0a 01"),
        about(What::Outcome(Outcome::Aborted), "0a 02"),
        about(What::Finished(Outcome::Committed), "0b 01"),
        (Message::retired(range(250, 251)), "02 07 fa fbfb00 00".into()),
        (
            Message::Retired {
                range: range(250, 251),
                outcomes: [OutcomeBlock::of(TxId { origin: NodeId(7), seq: 250 }, Outcome::Aborted)]
                    .into_iter()
                    .collect(),
            },
            "02 07 fa fbfb00 01 07 03 fd0000000000000004 00".into(),
        ),
        about(What::Decline, "0c"),
        about(What::Wait, "0d"),
        about(What::OtherTransaction, "0e"),
        (Message::RetiredNoted { range: range(0, u64::MAX) }, "03 07 00 fdffffffffffffffff".into()),
        of_epoch(5, EpochMessage::Invite(membership().into()), &format!("01 {m}")),
        of_epoch(5, EpochMessage::Ready, "02"),
        of_epoch(5, EpochMessage::Hold, "03"),
        of_epoch(5, EpochMessage::Prepare { ballot: low }, "04 03 04"),
        of_epoch(
            5,
            EpochMessage::Promise { ballot: high, accepted: Some((low, membership().into())), page: page() },
            &format!("05 {far} 01 03 04 {m} {p}"),
        ),
        of_epoch(
            5,
            EpochMessage::Promise { ballot: low, accepted: None, page: blank.clone() },
            "05 03 04 00 00 00 00 00",
        ),
        of_epoch(
            5,
            EpochMessage::Accept { ballot: low, membership: membership().into(), page: page() },
            &format!("06 03 04 {m} {p}"),
        ),
        of_epoch(5, EpochMessage::Accepted { ballot: low }, "07 03 04"),
        of_epoch(5, EpochMessage::Reject { ballot: low, promised: high }, &format!("08 03 04 {far}")),
        of_epoch(5, EpochMessage::Frozen { promised: low }, "09 03 04"),
        of_epoch(5, EpochMessage::More { digest: 300, next: 4096 }, "0a fb2c01 fb0010"),
        of_epoch(5, EpochMessage::Newer, "0b"),
        of_epoch(0, EpochMessage::Wanted, "0c"),
        of_epoch(5, EpochMessage::Wanted, "0c"),
        of_epoch(
            5,
            EpochMessage::Told {
                membership: membership().into(),
                former: [NodeId(1), NodeId(300)].into(),
                page: page(),
            },
            &format!("0d {m} 02 01 fb2c01 {p}"),
        ),
        of_epoch(5, EpochMessage::Noted, "0e"),
        of_epoch(5, EpochMessage::Drained, "0f"),
    ]
}

/// Every kind of record with its bytes.
pub(super) fn records() -> Vec<(Record, String)> {
    let transaction = transaction();
    let t = TRANSACTION;
    let instance =
        |rm, promised, accepted| HigherInstance { rm: NodeId(rm), state: paxos::AcceptorRecord { promised, accepted } };
    let higher = [
        instance(2, Some(Ballot::new(5, NodeId(6))), None),
        instance(3, Some(Ballot::new(5, NodeId(6))), Some((Ballot::new(3, NodeId(4)), Vote::Aborted))),
    ];
    let votes: Votes = [(0, Vote::Prepared)].into_iter().collect();
    let acceptor = |votes: &Votes, higher: &[HigherInstance]| {
        let (transaction, votes) = (transaction.clone(), votes.clone());
        Record::Acceptor(AcceptorRecord { transaction, votes, higher: higher.into() })
    };
    let meta = Some(Meta::from(b"hi"));
    let manager = |meta: &Option<Meta>, vote, finished| {
        let (transaction, meta) = (transaction.clone(), meta.clone());
        Record::ResourceManager(ResourceManagerRecord { transaction, meta, vote, finished })
    };
    let tx = TxId { origin: NodeId(7), seq: 10_000 };
    let m = MEMBERSHIP;
    let ending = Ending {
        membership: membership(),
        committed: vec![fingerprint(1, 10)].into(),
        retired: vec![range(12, 12)].into(),
    };
    let handover = |promised, accepted| Record::Handover {
        epoch: 5,
        state: Box::new(paxos::AcceptorRecord { promised, accepted }),
    };
    vec![
        (Record::Identity { cluster: CLUSTER, node: NodeId(7) }, "03 01 30313233343536373839616263646566 07".into()),
        (Record::Sequence { reserved: 65_536 }, "03 02 fc00000100".into()),
        (Record::Rounds { reserved: 64 }, "03 03 40".into()),
        (acceptor(&Votes::default(), &[]), format!("03 04 {t} 00 00 00")),
        (acceptor(&votes, &[]), format!("03 04 {t} 01 01 01 01 00")),
        (acceptor(&votes, &higher), format!("03 04 {t} 01 01 01 01 02 02 01 0506 00 03 01 0506 01 0304 02")),
        (acceptor(&Votes::default(), &[instance(9, None, None)]), format!("03 04 {t} 00 00 01 09 00 00")),
        (manager(&None, None, None), format!("03 05 {t} 00 00 00")),
        (manager(&None, None, Some(Outcome::Aborted)), format!("03 05 {t} 00 00 01 02")),
        (manager(&meta, Some(Vote::Prepared), None), format!("03 05 {t} 01 02 6869 01 01 00")),
        (manager(&meta, Some(Vote::Aborted), Some(Outcome::Aborted)), format!("03 05 {t} 01 02 6869 01 02 01 02")),
        (manager(&meta, Some(Vote::Prepared), Some(Outcome::Committed)), format!("03 05 {t} 01 02 6869 01 01 01 01")),
        (Record::Retired(range(1, 10_000)), "03 06 07 01 fb1027".into()),
        (Record::Erased(Key::History(tx)), "03 07 07 0000000000000007 0000000000002710".into()),
        (
            Record::History { outcomes: OutcomeBlock::new(NodeId(7), 3, 5, 4).unwrap(), age: 9 },
            "03 08 07 03 05 04 09".into(),
        ),
        (
            Record::Resolved {
                record: ResourceManagerRecord {
                    transaction: transaction.clone(),
                    meta: meta.clone(),
                    vote: Some(Vote::Prepared),
                    finished: None,
                },
                outcome: Outcome::Aborted,
            },
            format!("03 09 {t} 01 02 6869 01 01 00 02"),
        ),
        (Record::Birth(9), "03 0a 09".into()),
        (Record::Peer { node: NodeId(7), birth: 300 }, "03 0b 07 fb2c01".into()),
        (Record::Resolutions { count: 3 }, "03 0c 03".into()),
        (
            Record::Epoch {
                number: 5,
                membership: membership().into(),
                former: [NodeId(1), NodeId(300)].into(),
                committed: vec![fingerprint(1, 10), fingerprint(12, 300)].into(),
            },
            format!("03 0d 05 {m} 02 01 fb2c01 02 07010a 070cfb2c01"),
        ),
        (
            Record::Epoch {
                number: 0,
                membership: membership().into(),
                former: [].into(),
                committed: Fingerprints::default(),
            },
            format!("03 0d 00 {m} 00 00"),
        ),
        (handover(Some(Ballot::new(3, NodeId(4))), None), "03 0e 05 01 0304 00".into()),
        (
            handover(Some(Ballot::new(5, NodeId(6))), Some((Ballot::new(3, NodeId(4)), ending))),
            format!("03 0e 05 01 0506 01 0304 {m} 01 07010a 01 070c0c"),
        ),
        (Record::Erased(Key::Handover), "03 07 0c".into()),
        (Record::Erased(Key::Rounds), "03 07 03".into()),
        (Record::Erased(Key::Acceptor(tx)), "03 07 04 0000000000000007 0000000000002710".into()),
    ]
}

/// Every kind of key with its bytes.
pub(super) fn keys() -> Vec<(Key, &'static str)> {
    let tx = TxId { origin: NodeId(7), seq: 10_000 };
    vec![
        (Key::Identity, "01"),
        (Key::Sequence, "02"),
        (Key::Rounds, "03"),
        (Key::Acceptor(tx), "04 0000000000000007 0000000000002710"),
        (Key::ResourceManager(tx), "05 0000000000000007 0000000000002710"),
        (Key::Retired(tx), "06 0000000000000007 0000000000002710"),
        (Key::History(tx), "07 0000000000000007 0000000000002710"),
        (Key::Birth, "08"),
        (Key::Peer(NodeId(7)), "09 0000000000000007"),
        (Key::Resolutions, "0a"),
        (Key::Epoch, "0b"),
        (Key::Handover, "0c"),
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

/// Nodes of different versions compare them.
#[test]
fn the_digests_of_what_is_told_and_of_memberships_are_frozen() {
    let instances = [Some((Ballot::new(3, NodeId(4)), Vote::Prepared)), None].into();
    let part = Entry::Part(Part { transaction: fingerprint(10_000, 9), instances });
    let told = Page::alone(page().entries.into_vec().into_iter().chain([part]));
    let mut other = membership();
    (other.learning, other.targets) = (Learning::Leader, Targets::All);
    let digests = [told.digest, membership().digest(), other.digest()];
    assert_eq!(digests, [15_416_885_709_332_188_673, 16_017_768_793_444_660_074, 12_259_699_165_434_717_607]);
}

/// The content is named by its digest, of eight bytes; the epoch takes one, as long as it is not a large number.
#[test]
fn a_vote_among_three_takes_41_bytes_whatever_the_transaction_is_about() {
    let id = TxId { origin: NodeId(7), seq: 10_000 };
    for content in [&b""[..], b"hi", &[7; 1_000]] {
        let transaction = Transaction::new(id, [NodeId(1), NodeId(2), NodeId(3)], content).unwrap();
        let vote = Message::about(&transaction, What::Vote { vote: Vote::Prepared, manager: NodeId(9) });
        assert_eq!(frame_of(&vote).len(), 41);
    }
}
